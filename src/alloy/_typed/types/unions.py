"""Which type an object is an instance of: decided by what it says, never by the order of a union.

pydantic takes the member of a union that sets the most fields, and the first of several that set as
many; and an object that says nothing a type knows makes an instance of defaults. `fitting` rewrites a
core schema so that neither happens. The member of a union is the one

1. that can be an object at all, and whose tag (a `Literal` or an enum member) is the object's;
2. whose required keys are all there, and which knows at least one of the keys;
3. which knows every key, or else the most of them;
4. whose fields take the JSON types that are there, exactly (`3` is an `int` before it is a `float`);
5. with named fields rather than free keys, and with the fewest fields left to a default;
6. which alone validates. Where two still do, the answer is an error.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaValidator, core_schema

from alloy._typed.json.text import encode
from alloy._typed.types.core_nodes import children, new_validator, nodes

__all__ = ["fitting"]

_REST = "·"  # the tag of what is left to pydantic
_trials: ContextVar[int] = ContextVar("trials", default=0)
_MOST_TRIALS = 4  # one inside the other; each may double the work


def fitting(schema: Any) -> Any:
    """*schema*, a core schema, with every choice made by fit; the very same when it holds no choice."""
    definitions = {node["ref"]: node for node in nodes(schema) if "ref" in node}
    rewriter = _Rewriter(definitions)
    return rewriter.rewritten(schema) if any(map(rewriter.chooses, nodes(schema))) else schema


# --- shapes ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Field:
    names: frozenset[str]  # under any of which it may be given
    required: bool
    kinds: Mapping[str, bool] | None  # JSON type -> whether exactly; None: any
    tags: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Shape:
    """What an object must look like from outside."""

    name: str
    fields: tuple[_Field, ...] = ()
    extra: str = "ignore"
    known: frozenset[str] = field(default=frozenset())

    def used(self, value: Mapping[str, Any]) -> int:
        return len(value.keys() & self.known)

    def unset(self, value: Mapping[str, Any]) -> int:
        return sum(not (part.names & value.keys()) for part in self.fields)

    def complete(self, value: Mapping[str, Any]) -> bool:
        return all(part.names & value.keys() for part in self.fields if part.required)

    def foreign(self, value: Mapping[str, Any]) -> bool:
        """Whether *value* says something, but nothing that this type knows."""
        return bool(value) and bool(self.fields) and self.extra != "allow" and not self.used(value)

    def tag(self, value: Mapping[str, Any]) -> bool | None:
        """Whether the tag is this type's, or another's; `None` when there is none."""
        said = None
        for part in self.fields:
            for name in part.names & value.keys() if part.tags is not None else ():
                said = any(_same(value[name], tag) for tag in part.tags or ())
                if not said:
                    return False
        return said

    def inexact(self, value: Mapping[str, Any]) -> int | None:
        """How many fields would have to convert what is there; `None` when one cannot take it."""
        count = 0
        for part in self.fields:
            for name in part.names & value.keys() if part.kinds is not None else ():
                exact = (part.kinds or {}).get(_kind(value[name]))
                if exact is None:
                    return None
                count += not exact
        return count


def _same(value: Any, tag: Any) -> bool:
    return type(value) is type(tag) and bool(value == tag)


_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null")


_STRING = {"string": False}  # one that says something else
_ARRAY = {"array": True}
_OBJECT = {"object": True}
_TAKES: dict[str, dict[str, bool]] = {
    "none": {"null": True},
    "bool": {"boolean": True},
    "int": {"integer": True, "number": False},
    "float": {"number": True, "integer": False},
    "decimal": {"number": True, "integer": True, "string": False},
    "str": {"string": True},
    **dict.fromkeys(("bytes", "date", "time", "datetime", "timedelta", "uuid", "url"), _STRING),
    "multi-host-url": _STRING,
    **dict.fromkeys(("list", "tuple", "set", "frozenset", "generator", "arguments"), _ARRAY),
    **dict.fromkeys(("dict", "model", "dataclass", "typed-dict"), _OBJECT),
}
_INSIDE = {
    "default": "schema",
    "function-after": "schema",
    "json-or-python": "json_schema",
    "lax-or-strict": "strict_schema",
    "definitions": "schema",
    "custom-error": "schema",
}


class _Rewriter:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.definitions = definitions

    def resolved(self, node: Any) -> Any:
        """*node* without what stands round it and does not change what JSON it takes."""
        for _ in range(100):
            kind = node.get("type")
            if kind == "definition-ref":
                node = self.definitions.get(node["schema_ref"], {"type": "any"})
            elif kind == "chain":
                node = node["steps"][0]
            elif kind in _INSIDE and _INSIDE[kind] in node:
                node = node[_INSIDE[kind]]
            else:
                break
        return node

    def kinds(self, node: Any) -> Mapping[str, bool] | None:
        node = self.resolved(node)
        kind = node.get("type")
        if kind == "nullable":
            inner = self.kinds(node["schema"])
            return None if inner is None else {**inner, "null": True}
        if kind == "union":
            return _merged(self.kinds(_member(choice)) for choice in node["choices"])
        if kind in ("literal", "enum"):
            return {**dict.fromkeys((_kind(tag) for tag in _tags(node)), True), "string": True}
        return _TAKES.get(kind)

    def shape(self, node: Any) -> _Shape | None:
        """The shape of an object type or free keys; `None` for what it cannot tell."""
        node = self.resolved(node)
        if node["type"] == "dict":
            return _Shape("dict", extra="allow")
        if node["type"] == "typed-dict":
            fields, holder = node["fields"].items(), node
        elif node["type"] in ("model", "dataclass"):
            holder = node["schema"]
            if holder.get("type") == "model-fields":
                fields = holder["fields"].items()
            elif holder.get("type") == "dataclass-args":
                fields = [(part["name"], part) for part in holder["fields"] if part.get("init", True)]
            else:
                return None
        else:
            return None
        config = node.get("config") or {}
        made = tuple(self.field(name, part, config, node) for name, part in fields)
        extra = holder.get("extra_behavior") or node.get("extra_behavior")
        extra = extra or config.get("extra_fields_behavior")
        name = getattr(node.get("cls"), "__name__", "") or config.get("title", "")
        known = frozenset(name for part in made for name in part.names)
        return _Shape(name, made, extra or "ignore", known)

    def field(self, name: str, part: Any, config: Mapping[str, Any], node: Any) -> _Field:
        alias = part.get("validation_alias")
        by_name = config.get("populate_by_name") or config.get("validate_by_name")
        names = set(_alias_names(alias))
        if not names or by_name:
            names.add(name)
        schema = part["schema"]
        if node["type"] == "typed-dict":
            required = part.get("required", node.get("total", True))
        else:
            required = schema["type"] != "default"
        inner = self.resolved(schema)
        tags = tuple(_tags(inner)) if inner.get("type") in ("literal", "enum") else None
        return _Field(frozenset(names), required, self.kinds(schema), tags)

    # --- rewriting --------------------------------------------------------------------------------

    def chooses(self, node: Any) -> bool:
        return self.members(node) is not None or self.guarded(node) is not None

    def guarded(self, node: Any) -> _Shape | None:
        if node["type"] not in ("model", "dataclass", "typed-dict"):
            return None
        shape = self.shape(node)
        if shape is None or shape.extra != "ignore" or not shape.fields:
            return None
        return None if any(part.required for part in shape.fields) else shape

    def members(self, node: Any) -> dict[str, _Shape] | None:
        """The members of a union that can be objects, if it has several and all its members are known."""
        if node["type"] != "union" or node.get("mode") == "left_to_right":
            return None
        found: dict[str, _Shape] = {}
        for index, choice in enumerate(node["choices"]):
            member = _member(choice)
            kinds = self.kinds(member)
            if kinds is None:
                return None
            if "object" in kinds:
                shape = self.shape(member)
                if shape is None:
                    return None
                found[f"{_REST}{index}"] = shape
        return found if len(found) > 1 and any(shape.fields for shape in found.values()) else None

    def rewritten(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.rewritten(item) for item in node]
        if isinstance(node, tuple):
            return tuple(self.rewritten(item) for item in node)
        if not isinstance(node, dict):
            return node
        made = {**node, **{key: self.rewritten(item) for key, item in children(node).items()}}
        if not isinstance(node.get("type"), str):
            return made
        if (members := self.members(node)) is not None:
            return self._choice(made, members)
        if (shape := self.guarded(node)) is not None:
            return _guard(made, shape)
        return made

    def _choice(self, node: dict[str, Any], members: dict[str, _Shape]) -> Any:
        choices = {tag: _member(node["choices"][int(tag[len(_REST) :])]) for tag in members}
        names = ", ".join(shape.name for shape in members.values())
        return _tagged(
            {**choices, _REST: {key: item for key, item in node.items() if key != "ref"}},
            _Chooser(members, choices, self).choose,
            f"Input should be more like one of {names} than like the others, but it fits several alike",
            node.get("ref"),
        )


def _merged(parts: Iterable[Mapping[str, bool] | None]) -> Mapping[str, bool] | None:
    merged: dict[str, bool] = {}
    for part in parts:
        if part is None:
            return None
        for kind, exact in part.items():
            merged[kind] = merged.get(kind, False) or exact
    return merged


def _member(choice: Any) -> Any:
    return choice[0] if isinstance(choice, tuple) else choice  # (schema, label)


def _tags(node: Any) -> list[Any]:
    values = node["expected"] if node["type"] == "literal" else node["members"]
    return [value.value if isinstance(value, enum.Enum) else value for value in values]


def _alias_names(alias: Any) -> Iterator[str]:
    if isinstance(alias, str):
        yield alias
    elif isinstance(alias, list):  # a path, or several
        for part in alias if alias and isinstance(alias[0], list) else [alias]:
            yield part[0]


def _guard(node: dict[str, Any], shape: _Shape) -> Any:
    def known(value: Any) -> str | None:
        return None if isinstance(value, dict) and shape.foreign(value) else _REST

    keys = ", ".join(sorted(shape.known))
    inner = {key: item for key, item in node.items() if key != "ref"}
    message = f"Input should be an object with some of the keys {keys}"
    return _tagged({_REST: inner}, known, message, node.get("ref"))


def _tagged(choices: dict[str, Any], choose: Callable[[Any], Any], message: str, ref: str | None) -> Any:
    # A tagged union with a function for its tag is the one core schema that looks at JSON before it is
    # validated without turning it into Python objects, for which strict mode has other rules.
    return core_schema.tagged_union_schema(
        choices,
        choose,
        custom_error_type="fit",
        custom_error_message=message.replace("{", "{{"),
        ref=ref,
    )


# --- choosing -------------------------------------------------------------------------------------


class _Chooser:
    """The discriminator of a union: which member an object is, or that pydantic may look."""

    def __init__(self, members: dict[str, _Shape], choices: dict[str, Any], rewriter: _Rewriter) -> None:
        self._members, self._choices, self._rewriter = members, choices, rewriter

    def choose(self, value: Any) -> str | None:
        if not isinstance(value, dict):
            return _REST
        left = self._by_tag(value)
        left = [tag for tag in left if self._members[tag].complete(value)]
        left = [tag for tag in left if not self._members[tag].foreign(value)]
        left = self._by_keys(left, value)
        left = _least(left, lambda tag: self._members[tag].inexact(value))
        left = _least(left, lambda tag: not self._members[tag].fields)
        left = _least(left, lambda tag: self._members[tag].unset(value))
        if len(left) == 1:
            return left[0]
        return self._by_trial(left, value) if left and self._members[left[0]].fields else _REST

    def _by_tag(self, value: dict[str, Any]) -> list[str]:
        tagged = {tag: shape.tag(value) for tag, shape in self._members.items()}
        mine = [tag for tag, said in tagged.items() if said]
        return mine or [tag for tag, said in tagged.items() if said is None]

    def _by_keys(self, left: list[str], value: dict[str, Any]) -> list[str]:
        def unused(tag: str) -> int:
            shape = self._members[tag]
            return 0 if shape.extra == "allow" else len(value) - shape.used(value)

        return _least(left, unused)

    def _by_trial(self, left: list[str], value: dict[str, Any]) -> str | None:
        depth = _trials.get()
        if depth >= _MOST_TRIALS:
            return None
        token = _trials.set(depth + 1)
        try:
            text = encode(value)
            valid = [tag for tag in left if self._validates(tag, text)]
        finally:
            _trials.reset(token)
        if not valid:
            return None if depth else left[0]  # whose problems are told; on trial nobody asks for them
        return valid[0] if len(valid) == 1 else None

    def _validates(self, tag: str, text: str) -> bool:
        try:
            self._validators[tag].validate_json(text, strict=True)
        except ValidationError:
            return False
        return True

    @cached_property
    def _validators(self) -> dict[str, SchemaValidator]:
        definitions = [self._rewriter.rewritten(node) for node in self._rewriter.definitions.values()]
        return {
            tag: new_validator(core_schema.definitions_schema(_bare(choice), definitions))
            for tag, choice in self._choices.items()
        }


def _bare(node: Any) -> Any:
    return {key: item for key, item in node.items() if key != "ref"}


def _least(tags: list[str], cost: Callable[[str], int | None]) -> list[str]:
    """Those that cost least; all of them where every one is impossible."""
    costs = {tag: paid for tag in tags if (paid := cost(tag)) is not None}
    least = min(costs.values(), default=None)
    return tags if least is None else [tag for tag, paid in costs.items() if paid == least]
