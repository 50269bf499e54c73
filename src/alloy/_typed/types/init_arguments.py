"""Reading the arguments of a model's own `__init__`.

pydantic calls it with the values as they are in JSON, whatever they are, and then the class reads what it
passes on by the rules for Python values: `true` would be 1, bytes would stay base64, and a missing key
would be a `TypeError`. So the arguments are read first, like the fields of a model without `__init__`, and
`__init__` gets them as a Python caller gives them. Only the types are read before: the validators of the
class run when `__init__` calls pydantic.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import core_schema

from alloy._typed.types.choices import value_of
from alloy._typed.types.core_functions import (
    calls,
    is_of_a_type,
    is_ours,
    is_users,
    module_of,
    nodes_of_class,
)
from alloy._typed.types.core_nodes import Node, children, nodes, rebuilt
from alloy._typed.types.early_values import EarlyValue, is_simple
from alloy._typed.types.own_init import BY_NAME, hint_of, is_json, parameters_of, signature_of

__all__ = ["has_own_init", "with_read_arguments"]


def has_own_init(schema: Any) -> bool:
    """Whether a model in the core schema *schema* has an `__init__` of its own."""
    return any(node.get("custom_init") for node in nodes(schema))


def with_read_arguments(schema: Any) -> Any:
    """The core schema *schema* with the arguments of each `__init__` of a model's own read before it."""
    if not has_own_init(schema):
        return schema
    reading = _Reading({node["ref"]: node for node in nodes(schema) if "ref" in node})
    made = rebuilt(schema, reading.called)
    return core_schema.definitions_schema(made, [*reading.added.values()]) if reading.added else made


@dataclass(frozen=True, slots=True)
class _Call:
    """Calls `__init__` of *subject* with the fields that an instance of *holder* has.

    *paths* are the keys by which `__init__` gets each field, *always* the fields that it requires.
    *withheld* are keys of an answer that it must not get.
    """

    subject: type
    holder: Any
    paths: Mapping[str, Sequence[str | int]]
    always: frozenset[str]
    withheld: frozenset[str]
    keeps: bool  # whether the class keeps all other keys

    def __call__(self, read: Any) -> Any:
        if read.__class__ is not self.holder:
            return read  # a validator has returned an instance
        places = _Places()
        for name, value in vars(read).items():
            if name in read.__pydantic_fields_set__ or name in self.always:
                places.put(self.paths[name], value)
        arguments = places.finished()
        for name, value in (read.__pydantic_extra__ or {}).items():
            if name not in self.withheld:
                arguments.setdefault(name, value)
            elif self.keeps:
                raise ValueError(f"the key {name!r} is reserved")
        return _called(self.subject, **arguments)


def _called(*subject_and_values: Any, **arguments: Any) -> Any:
    subject, *values = subject_and_values  # not a parameter, because it may be the name of an argument
    try:
        return subject(*values, **arguments)
    except (ValueError, AssertionError):
        raise  # a problem of the answer, as in a validator
    except Exception as error:
        error.add_note(f"raised in {subject.__name__}.__init__, whose arguments were valid")
        raise


class _Places(dict[str | int, Any]):
    """Values at the paths of aliases: an object, or a list if the keys are numbers."""

    def put(self, path: Sequence[str | int], value: Any) -> None:
        """Put *value* at *path*, unless another value is on the way: that is what the path leads into."""
        key, *rest = path
        if not rest:
            self[key] = value
        elif isinstance(inside := self.setdefault(key, _Places()), _Places):
            inside.put(rest, value)

    def finished(self) -> Any:
        values = {k: v.finished() if isinstance(v, _Places) else v for k, v in self.items()}
        numbers = [key for key in values if isinstance(key, int)]
        if not numbers:
            return values
        # Long enough that no index from the start is one from the end.
        made: list[Any] = [None] * (max(0, max(numbers) + 1) + max(0, -min(numbers)))
        for number in numbers:
            made[number] = values[number]
        return made


class _Holder(type):
    """The classes that hold arguments. An instance of the model needs no arguments any more."""

    subject: type

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, cls.subject)


@dataclass(frozen=True, slots=True)
class _Taken:
    """What an `__init__` takes: the types of *named* parameters, and those that have no default."""

    named: Mapping[str, Any]
    needed: frozenset[str]
    rest: bool  # any other name, too
    self_name: tuple[str, ...]  # cannot be the key of an argument

    @classmethod
    def by(cls, subject: type[BaseModel]) -> _Taken:
        parameters = parameters_of(subject)
        if parameters is None:
            return cls({}, frozenset(), True, ())
        named = {name: each for name, each in parameters.items() if each.kind in BY_NAME}
        return cls(
            {name: hint_of(subject, each) for name, each in named.items()},
            frozenset(name for name, each in named.items() if each.default is each.empty),
            any(each.kind is each.VAR_KEYWORD for each in parameters.values()),
            tuple(name for name, each in (signature_of(subject) or [])[:1] if each.kind in BY_NAME),
        )

    def extra_behavior(self, rule: str) -> str:
        """What is done with other keys, by the *rule* of the class: it cannot keep what it does not take."""
        if self.rest:
            return "forbid" if rule == "forbid" else "allow"
        return "ignore" if rule == "ignore" else "forbid"


_UNTYPED = (inspect.Parameter.empty, Any, object)


class _Reading:
    """Replaces each model with an `__init__` of its own by a call of it, with arguments that are read.

    The arguments are the fields of a model that has no validators: what validators of the class do is left
    out (`_types_of`), since the class calls them when it gets the values. A validator of the whole model
    would run once more around `__init__`, so it is left out too. *added* are definitions without validators.
    """

    def __init__(self, definitions: Mapping[str, Node]) -> None:
        self.added: dict[str, Node] = {}
        self._definitions = definitions

    def called(self, node: Node, made: Node) -> Any:
        """The replacement for *node*, of which *made* is a copy with replacements in it."""
        if _is_validator_of_class(node):
            return {**made["schema"], "ref": node["ref"]} if "ref" in node else made["schema"]
        if node["type"] != "model" or not node.get("custom_init"):
            return made
        if node.get("root_model"):
            call = partial(_called, node["cls"])
            return _after(call, self._types_of(made["schema"]), node.get("ref"))
        return self._read(made)

    def _read(self, node: Node) -> Any:
        config: Any
        cls, config, inner = node["cls"], node.get("config") or {}, node["schema"]
        while inner["type"] != "model-fields":  # inside of validators of the class
            inner = inner["schema"]
        rule = inner.get("extra_behavior") or config.get("extra_fields_behavior") or "ignore"
        taken = _Taken.by(cls)
        paths = {name: _path(name, each, config, taken.named) for name, each in inner["fields"].items()}
        always = frozenset(name for name, path in paths.items() if path[0] in taken.needed)
        early = _may_change_fields(cls)
        fields: dict[str, Any] = {}
        for name, each in inner["fields"].items():
            typed = taken.named.get(str(paths[name][0]), Any) not in _UNTYPED
            schema = self._field(each["schema"], name in always, typed, early)
            fields[name] = {**each, "schema": schema}
        shown = fields.keys() | {path[0] for path in paths.values()}
        added = {name: hint for name, hint in taken.named.items() if name not in shown}
        if rule != "forbid":
            fields |= {name: field for name, hint in added.items() if (field := _added(hint))}
        arguments: Any = {**inner, "fields": fields, "extra_behavior": taken.extra_behavior(rule)}
        if "extras_schema" in inner:
            arguments["extras_schema"] = self._types_of(inner["extras_schema"])
        holder = _Holder(cls.__name__, (), {"subject": cls, "__module__": cls.__module__})
        paths = {**{name: [name] for name in added}, **paths}
        call = _Call(cls, holder, paths, always, frozenset((*added, *taken.self_name)), rule == "allow")
        return _after(call, core_schema.model_schema(holder, arguments, config=config), node.get("ref"))

    def _field(self, schema: Node, needed: bool, typed: bool, early: bool) -> Node:
        """The schema of an argument; it is required as the field is, and *needed* as `__init__` does.

        *typed* is whether `__init__` has a type for it. *early* is whether validators of the class change it.
        """
        default = schema["type"] == "default"
        types: Any = self._types_of(schema["schema"] if default else schema, typed)
        if early and not typed and is_simple(types):
            types = self._early(types, converts=True)
        if default and needed:
            return {**schema, "schema": types, "validate_default": False}
        if default or (early and not needed):
            return _optional(types)
        return dict(types)

    def _types_of(self, node: Any, typed: bool = False) -> Any:
        """*node* without the functions of the class. If it is *typed*, only its types are accepted."""
        if isinstance(node, list | tuple):
            return type(node)(self._types_of(part, typed) for part in node)
        if not isinstance(node, dict):
            return node
        kind = node.get("type", "")
        if not isinstance(kind, str) or kind in ("model", "dataclass") or is_ours(node):
            # With `use_enum_values` it is the class that takes the value of a member.
            return self._types_of(node["schema"], typed) if calls(node, value_of) else node
        if kind == "definition-ref":
            return {**node, "schema_ref": self._definition(node["schema_ref"])}
        if kind == "lax-or-strict" and not any(map(is_users, nodes_of_class(node))):
            return node  # a type of the standard library, which may be built by its class
        if kind == "chain" and any(map(is_users, nodes_of_class(node))):
            return self._types_of(node["steps"][0], typed)
        if kind.startswith("function-") and not is_of_a_type(node):
            return self._argument_of(node, typed)
        made = {**node, **{key: self._types_of(child, typed) for key, child in children(node).items()}}
        if kind == "json":
            return core_schema.no_info_wrap_validator_function(_checked, made)
        return _with_its_keys(made) if kind == "typed-dict" else made

    def _argument_of(self, node: Node, typed: bool) -> Any:
        """What the function that *node* calls gets. One that comes first may take other types, too."""
        if "schema" not in node:
            return core_schema.any_schema()
        types = self._types_of(node["schema"], typed)
        if node["type"] == "function-after" or typed or self._converts(node):
            return types
        return self._early(types, converts=False)

    def _early(self, types: Any, *, converts: bool) -> Any:
        accept = EarlyValue(types, self._all_definitions, converts=converts)
        return core_schema.no_info_plain_validator_function(accept)

    def _all_definitions(self) -> list[Any]:
        return [*rebuilt(list(self._definitions.values()), self.called), *self.added.values()]

    def _converts(self, node: Any) -> bool:
        """Whether Alloy converts something in *node*, or in what it refers to."""
        seen: set[str] = set()
        todo = [node]
        while todo:
            for part in nodes(todo.pop()):
                if is_ours(part) and module_of(part) not in (__name__, EarlyValue.__module__):
                    return True
                ref = part.get("schema_ref", "")
                if ref in self._definitions and ref not in seen:
                    seen.add(ref)
                    todo.append(self._definitions[ref])
        return False

    def _definition(self, ref: str) -> str:
        target = self._definitions[ref]
        if target["type"] in ("model", "dataclass"):
            return ref
        own = f"{ref} of an argument"
        if own not in self.added:
            self.added[own] = {}  # it may refer to itself
            self.added[own] = {**rebuilt(self._types_of(target), self.called), "ref": own}
        return own


def _after(build: Callable[[Any], Any], schema: Any, ref: str | None) -> Any:
    return core_schema.no_info_after_validator_function(build, schema, ref=ref)


def _checked(value: Any, check: Callable[[Any], Any]) -> Any:
    """*value*, which is text with JSON: the class reads it."""
    check(value)
    return value


# --- keys -------------------------------------------------------------------------------------------


def _path(name: str, field: Node, config: Mapping[str, Any], named: Mapping[str, Any]) -> list[str | int]:
    """Where the class looks for a field: under a key that `__init__` names, if there is one."""
    alias = field.get("validation_alias") if config.get("validate_by_alias", True) else None
    paths = _paths(alias)
    if not paths or config.get("validate_by_name") or config.get("populate_by_name"):
        paths = [*paths, [name]]
    keys = [path for path in paths if len(path) == 1]
    return next((key for key in keys if key[0] in named), [*keys, *paths][0])


def _paths(alias: Any) -> list[list[str | int]]:
    if isinstance(alias, list):
        return alias if alias and isinstance(alias[0], list) else [alias]
    return [] if alias is None else [[alias]]


def _optional(schema: Any) -> Node:
    """*schema* of an argument that may be missing, and is not passed on then."""
    return dict(core_schema.with_default_schema(schema, default=None, validate_default=False))


def _added(annotation: Any) -> Node | None:
    """The field for a parameter that is not a field: an answer may give it if it is as it is in JSON."""
    schema: Any = core_schema.any_schema()
    if annotation is not inspect.Parameter.empty and not isinstance(annotation, str):
        if not is_json(annotation):
            return None
        schema = TypeAdapter(annotation).core_schema
        if any("ref" in node or "definitions" in node for node in nodes(schema)):
            return None
    return dict(core_schema.model_field(_optional(schema)))


def _with_its_keys(node: Node) -> Any:
    """The TypedDict *node*, whose value has the keys of its input, so that it can be read once more."""
    config = node.get("config") or {}
    paths = {name: _path(name, field, config, {}) for name, field in node["fields"].items()}
    if all(path == [name] for name, path in paths.items()):
        return node
    bare = {key: value for key, value in node.items() if key != "ref"}
    return _after(partial(_renamed, paths), bare, node.get("ref"))


def _renamed(paths: Mapping[str, Sequence[str | int]], value: Mapping[str, Any]) -> Any:
    places = _Places()
    for name, item in value.items():
        places.put(paths.get(name, [name]), item)
    return places.finished()


# --- validators of the class ------------------------------------------------------------------------


def _is_validator_of_class(node: Node) -> bool:
    """Whether *node* calls a validator of a whole model, which has an `__init__` that calls it."""
    if not node["type"].startswith("function-"):
        return False
    inner = node
    while "schema" in inner and inner["type"].startswith("function-"):
        inner = inner["schema"]
    if inner["type"] == "tagged-union" and len(inner["choices"]) == 1:  # with a guard
        inner = next(iter(inner["choices"].values()))
    if inner["type"] != "model" or not inner.get("custom_init"):
        return False
    validators = inner["cls"].__pydantic_decorators__.model_validators.values()
    return any(each.func == node["function"]["function"] for each in validators)


def _may_change_fields(cls: type[BaseModel]) -> bool:
    """Whether validators of the class get the arguments before they are its fields."""
    decorators = cls.__pydantic_decorators__
    return any(each.info.mode != "after" for each in decorators.model_validators.values()) or any(
        each.info.mode == "before" for each in decorators.root_validators.values()
    )
