"""Models with an `__init__` of their own.

pydantic calls it with the values as they are in JSON, and then the class reads what it passes on as
pydantic would: bytes would stay base64, and a name would not be a member. So values that Alloy reads
otherwise are converted first, and `__init__` gets them as a Python caller gives them. Only the types are
converted before: the validators of the class run when `__init__` calls pydantic.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import NoneType
from typing import Any, TypeVar, get_args

from pydantic import AliasPath, BaseModel
from pydantic_core import core_schema

from alloy._typed.types.annotations import UNIONS, class_of, resolved, type_name
from alloy._typed.types.constraints import Unsuited
from alloy._typed.types.core_nodes import Node, children, input_names, nodes, rebuilt

__all__ = ["check_parameters", "check_type", "with_converted_arguments"]


# --- what __init__ takes ----------------------------------------------------------------------------


def check_parameters(subject: type[BaseModel]) -> None:
    """Raise `Unsuited` if the `__init__` of *subject* cannot take the fields that the model is shown."""
    parameters = _parameters(subject)
    if parameters is None:
        return
    names = {name for name, kind in parameters.items() if kind.kind in _BY_NAME}
    shown = [_shown_name(subject, name) for name in subject.__pydantic_fields__]
    if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        for name in shown:
            if name not in names:
                raise _unsuited(subject, f"has no parameter for the field {name!r}: add it, or **kwargs")
    for name, each in parameters.items():
        needed = each.default is each.empty and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        if needed and (name not in shown or name not in names):
            raise _unsuited(subject, f"requires {name!r}, which is not a field: give it a default")


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _parameters(subject: type[BaseModel]) -> dict[str, inspect.Parameter] | None:
    """The parameters of the class's own `__init__`, without `self`; `None` if it has none of its own."""
    if not subject.__pydantic_custom_init__ or subject.__pydantic_root_model__:
        return None
    try:
        found = inspect.signature(subject.__init__).parameters
    except (TypeError, ValueError):  # written in C
        return None
    return dict(list(found.items())[1:])


def _shown_name(subject: type[BaseModel], field: str) -> str:
    info = subject.__pydantic_fields__[field]
    by_alias = subject.model_config.get("validate_by_alias", True)
    alias = info.validation_alias if by_alias else None
    return next(input_names(getattr(alias, "convert_to_aliases", lambda: alias)()), field)


def check_type(subject: type[BaseModel], field: str, hint: Any) -> None:
    """Raise `Unsuited` if `__init__` takes another type for *field* than *hint*, which is converted."""
    name = _shown_name(subject, field)
    parameters = _parameters(subject)
    alias = subject.__pydantic_fields__[field].validation_alias
    if parameters is not None and AliasPath in map(type, getattr(alias, "choices", [alias])):
        raise _unsuited(subject, f"cannot get {field!r}, whose alias is an AliasPath: give it a plain alias")
    if parameters is None or name not in parameters:
        return
    found = resolved(parameters[name].annotation, subject.__init__.__module__)
    if found is not inspect.Parameter.empty and not _accepts(found, hint):
        raise _unsuited(
            subject,
            f"takes {name!r} as {type_name(found)}, and the field is {type_name(hint)}: give both one type",
        )


def _accepts(taken: Any, given: Any) -> bool:
    """Whether a parameter of the type *taken* takes values of the type *given*, as far as classes show."""
    if isinstance(taken, TypeVar) or taken in (Any, object, ...) or type_name(taken) == type_name(given):
        return True
    if hasattr(given, "__metadata__"):
        return _accepts(taken, given.__origin__)
    if hasattr(taken, "__metadata__"):
        return _accepts(taken.__origin__, given)
    kind, other = class_of(taken), class_of(given)
    if other in UNIONS:
        members = (member for member in get_args(given) if member is not NoneType)
        return all(_accepts(taken, member) for member in members)
    if kind in UNIONS:
        return any(_accepts(member, given) for member in get_args(taken))
    if not isinstance(kind, type) or not isinstance(other, type) or not issubclass(other, kind):
        return False
    return all(map(_accepts, get_args(taken), get_args(given)))


def _unsuited(subject: type, problem: str) -> Unsuited:
    name = subject.__name__
    return Unsuited(
        f"{name}.__init__ {problem}, or register a parser with register_parser({name}, wire=…, parse=…)"
    )


# --- converting its arguments -----------------------------------------------------------------------


def with_converted_arguments(schema: Any) -> Any:
    """The core schema *schema* with conversions before each `__init__` of a model's own."""
    if not any(node.get("custom_init") for node in nodes(schema)):
        return schema
    conversions = _Conversions({node["ref"]: node for node in nodes(schema) if "ref" in node})
    made = rebuilt(schema, conversions.called)
    return core_schema.definitions_schema(made, [*conversions.added.values()]) if conversions.added else made


class _Conversions:
    """Replaces models with an `__init__` of their own by calls of it with converted values.

    In what is converted first, functions of the class are left out: the class calls them when it gets the
    values. *added* are definitions without them.
    """

    def __init__(self, definitions: Mapping[str, Node]) -> None:
        self.added: dict[str, Node] = {}
        self._definitions = definitions

    def called(self, node: Node, made: Node) -> Any:
        """The replacement for *node*, of which *made* is a copy with replacements in it."""
        if node["type"] != "model" or not node.get("custom_init") or not self._converts(node):
            return made
        if node.get("root_model"):
            return _after(node["cls"], self._conversion(made["schema"]), node)
        return _after(partial(_call, node["cls"]), self._arguments(made), node)

    def _arguments(self, node: Node) -> Any:
        holder = node["schema"]
        while holder["type"] != "model-fields":  # inside of validators of the class
            holder = holder["schema"]
        fields: dict[str, Any] = {}
        for name, field in holder["fields"].items():
            schema = field["schema"]["schema"] if field["schema"]["type"] == "default" else field["schema"]
            converted = self._conversion(schema) if self._converts(schema) else core_schema.any_schema()
            for key in (name, *input_names(field.get("validation_alias"))):
                fields[key] = core_schema.typed_dict_field(converted, required=False)
        return core_schema.typed_dict_schema(
            fields,
            extra_behavior="allow",
            extras_schema=self._conversion(holder.get("extras_schema", core_schema.any_schema())),
            config=node.get("config"),
        )

    def _converts(self, node: Any) -> bool:
        """Whether something is converted in *node*, or in what it refers to."""
        seen: set[str] = set()
        todo = [node]
        while todo:
            for part in nodes(todo.pop()):
                if _is_ours(part):
                    return True
                ref = part.get("schema_ref", "")
                if ref in self._definitions and ref not in seen:
                    seen.add(ref)
                    todo.append(self._definitions[ref])
        return False

    def _conversion(self, node: Any) -> Any:
        """*node* without the functions of the class."""
        if isinstance(node, list | tuple):
            return type(node)(map(self._conversion, node))
        if not isinstance(node, dict):
            return node
        kind = node.get("type", "")
        if not isinstance(kind, str) or kind in ("model", "dataclass") or _is_ours(node):
            return node
        if kind == "definition-ref":
            return {**node, "schema_ref": self._definition(node["schema_ref"])}
        if kind == "function-plain":
            return core_schema.any_schema()
        if kind.startswith("function-"):
            return self._conversion(node["schema"])
        return {**node, **{key: self._conversion(child) for key, child in children(node).items()}}

    def _definition(self, ref: str) -> str:
        target = self._definitions[ref]
        if target["type"] in ("model", "dataclass"):
            return ref
        own = f"{ref} of an argument"
        if own not in self.added:
            self.added[own] = {}  # it may refer to itself
            self.added[own] = {**rebuilt(self._conversion(target), self.called), "ref": own}
        return own


def _after(build: Callable[[Any], Any], schema: Any, node: Node) -> Any:
    return core_schema.no_info_after_validator_function(build, schema, ref=node.get("ref"))


def _call(kind: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    return kind(**arguments)


def _is_ours(node: Node) -> bool:
    """Whether *node* calls a function of Alloy, which converts a value."""
    if not str(node.get("type")).startswith("function-"):
        return False
    function = node["function"]["function"]
    module = getattr(getattr(function, "func", function), "__module__", None) or ""
    return module.partition(".")[0] == __name__.partition(".")[0]
