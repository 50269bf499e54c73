"""Union member selection: the member is chosen by an object's keys and values, never by its order.

pydantic chooses the member of a union that sets the most fields, and the first one of a tie. An object
without a single known key becomes an instance in which every field has its default.
`with_member_selection` rewrites a core schema so that neither happens. Of the members that can be
objects, the following rules keep some each, until one is left:

1. the tag (a field with a `Literal` or an enum) has the object's value;
2. every required key is present, and at least one key is known;
3. every key is known, or as many as possible;
4. the fields take the JSON types of the values, exactly if possible (`3` is an `int` before a `float`);
5. the member has named fields, not free keys, and the fewest fields without a value;
6. the member is the only one that validates. If there are two, the answer is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaValidator, core_schema

from alloy._typed.json.text import encode
from alloy._typed.json.values import json_type, same
from alloy._typed.schemas.coercion import NUMBER_END
from alloy._typed.types.core_nodes import Node, input_names, nodes, rebuilt
from alloy._typed.types.core_validators import new_validator
from alloy._typed.types.guards import MAPPINGS, OTHER, bare, choices_of, guarded, needs_guard, tagged
from alloy.jsontypes import Json, JsonObject

__all__ = ["Rewriter", "with_member_selection"]

_NUMBER = "·number"
_trials: ContextVar[int] = ContextVar("trials", default=0)
_MOST_TRIALS = 4  # inside one another; each of them may double the work


def with_member_selection(schema: Any) -> Any:
    """The core schema *schema* with these rules for its unions; the same object if no union needs them."""
    rewriter = Rewriter({node["ref"]: node for node in nodes(schema) if "ref" in node})
    return rebuilt(schema, rewriter.rewritten) if any(map(rewriter.concerns, nodes(schema))) else schema


# --- shapes ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Field:
    names: frozenset[str]  # the keys that it may have
    required: bool
    types: Mapping[str, bool] | None  # JSON type -> whether it is taken exactly; None: any
    tags: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Shape:
    """What an object's keys and values show of the type *name*."""

    name: str
    fields: tuple[_Field, ...] = ()
    extra: str = "ignore"
    known: frozenset[str] = field(default=frozenset())

    def known_keys(self, value: Mapping[str, Any]) -> int:
        return len(value.keys() & self.known)

    def missing(self, value: Mapping[str, Any]) -> int:
        return sum(not (part.names & value.keys()) for part in self.fields)

    def complete(self, value: Mapping[str, Any]) -> bool:
        return all(part.names & value.keys() for part in self.fields if part.required)

    def unrelated(self, value: Mapping[str, Any]) -> bool:
        """Whether *value* has keys, but none that this type knows."""
        return bool(value) and bool(self.fields) and self.extra != "allow" and not self.known_keys(value)

    def tag(self, value: Mapping[str, Any]) -> bool | None:
        """Whether the tag is that of this type; `None` if *value* has no tag."""
        found = None
        for part in self.fields:
            for name in part.names & value.keys() if part.tags is not None else ():
                found = any(same(value[name], tag) for tag in part.tags or ())
                if not found:
                    return False
        return found

    def inexact(self, value: Mapping[str, Any]) -> int | None:
        """How many fields would have to convert their value; `None` if one cannot take it at all."""
        count = 0
        for part in self.fields:
            for name in part.names & value.keys() if part.types is not None else ():
                exact = (part.types or {}).get(json_type(value[name]))
                if exact is None:
                    return None
                count += not exact
        return count


_STRING = {"string": False}  # text that stands for a value of another type
_DIGITS = {"number": True, "integer": True, "string": False}
_ARRAY = {"array": True}
_OBJECT = {"object": True}
_TAKES: dict[str, dict[str, bool]] = {
    "none": {"null": True},
    "bool": {"boolean": True},
    "int": {"integer": True, "number": False},
    "float": {"number": True, "integer": False},
    **dict.fromkeys(("decimal", "fraction"), _DIGITS),
    "str": {"string": True},
    **dict.fromkeys(("bytes", "date", "time", "datetime", "timedelta", "uuid", "url"), _STRING),
    "multi-host-url": _STRING,
    **dict.fromkeys(("list", "tuple", "set", "frozenset", "deque", "generator"), _ARRAY),
    **dict.fromkeys(("named-tuple", "call", "arguments"), _ARRAY),
    **dict.fromkeys(("model", "dataclass", "typed-dict", *MAPPINGS), _OBJECT),
}
_INSIDE = {
    "default": "schema",
    "function-after": "schema",
    "json-or-python": "json_schema",
    "lax-or-strict": "strict_schema",
    "definitions": "schema",
    "custom-error": "schema",
}


class Rewriter:
    """Rewrites a core schema whose references lead to *definitions*.

    `shape` and `types` tell from a node what JSON it takes. A union that has several members with a known
    shape (`members`) becomes a tagged union: its discriminator is a `_Chooser`, which applies the rules
    above, and the original union is one more choice, for values that are not objects. A type without a
    required key (`has_only_defaults`) becomes a tagged union with one choice, whose discriminator refuses
    objects that are unrelated to it. All other nodes are copied.
    """

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.definitions = definitions

    def resolved(self, node: Any) -> Any:
        """The node inside *node* that decides what JSON it takes."""
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

    def types(self, node: Any) -> Mapping[str, bool] | None:
        """The JSON types that *node* takes, each with whether exactly; `None` if that is not known."""
        node = self.resolved(node)
        kind = node.get("type")
        if kind == "nullable":
            inner = self.types(node["schema"])
            return None if inner is None else {**inner, "null": True}
        if kind == "union":
            return _merged(self.types(_member(choice)) for choice in node["choices"])
        if kind in ("literal", "enum"):
            return {**dict.fromkeys(map(json_type, choices_of(node)), True), "string": True}
        return _TAKES.get(kind)

    def shape(self, node: Any) -> _Shape | None:
        """The shape of a type with fields or free keys; `None` if it is not known."""
        node = self.resolved(node)
        if node["type"] in MAPPINGS:
            return _Shape("dict", extra="allow")
        holder = node["schema"] if node["type"] in ("model", "dataclass") else node
        found = _fields_in(holder)
        if found is None:
            return None
        config = node.get("config") or {}
        fields = tuple(self._field(name, part, config, node) for name, part in found)
        extra = holder.get("extra_behavior") or node.get("extra_behavior")
        extra = extra or config.get("extra_fields_behavior")
        name = getattr(node.get("cls"), "__name__", "") or config.get("title", "")
        known = frozenset(name for part in fields for name in part.names)
        return _Shape(name, fields, extra or "ignore", known)

    def _field(self, name: str, part: Any, config: Mapping[str, Any], node: Any) -> _Field:
        alias = part.get("validation_alias")
        by_name = config.get("populate_by_name") or config.get("validate_by_name")
        names = set(input_names(alias))
        if not names or by_name:
            names.add(name)
        schema = part["schema"]
        if node["type"] == "typed-dict":
            required = part.get("required", node.get("total", True))
        else:
            required = schema["type"] != "default"
        inner = self.resolved(schema)
        tags = tuple(choices_of(inner)) if inner.get("type") in ("literal", "enum") else None
        return _Field(frozenset(names), required, self.types(schema), tags)

    # --- rewriting --------------------------------------------------------------------------------

    def concerns(self, node: Any) -> bool:
        """Whether *node* has to be rewritten."""
        rewrites = self.members(node) is not None or self.has_only_defaults(node) is not None
        return rewrites or needs_guard(node) or bool(self._decimals(node))

    def has_only_defaults(self, node: Any) -> _Shape | None:
        """The shape of a type that ignores unknown keys and requires none."""
        if node["type"] not in ("model", "dataclass", "typed-dict"):
            return None
        shape = self.shape(node)
        if shape is None or shape.extra != "ignore" or not shape.fields:
            return None
        return None if any(part.required for part in shape.fields) else shape

    def members(self, node: Any) -> dict[str, _Shape] | None:
        """The members of a union that can be objects, by tag, if there are several and all are known."""
        if node["type"] != "union" or node.get("mode") == "left_to_right":
            return None
        found: dict[str, _Shape] = {}
        for index, choice in enumerate(node["choices"]):
            member = _member(choice)
            types = self.types(member)
            if types is None:
                return None
            if "object" in types:
                shape = self.shape(member)
                if shape is None:
                    return None
                found[f"{OTHER}{index}"] = shape
        return found if len(found) > 1 and any(shape.fields for shape in found.values()) else None

    def rewritten(self, node: Node, made: Node) -> Any:
        """*node* rewritten; *made* is a copy of it in which all other nodes are."""
        if decimals := self._decimals(node):
            made = _with_decimals(made, decimals)
        if (members := self.members(node)) is not None:
            return self._choice(node, made, members)
        if (shape := self.has_only_defaults(node)) is not None:
            return _guard(made, shape)
        return guarded(made, self.rewritten_definitions) if needs_guard(node) else made

    def _decimals(self, node: Any) -> list[int]:
        """The members of a union that can be a `Decimal`, if there are others."""
        if node["type"] != "union":
            return []
        found = [i for i, choice in enumerate(node["choices"]) if self._may_be_decimal(_member(choice))]
        return found if len(found) < len(node["choices"]) else []

    def _may_be_decimal(self, node: Any) -> bool:
        inner = self.resolved(node)
        if inner["type"] == "nullable":
            return self._may_be_decimal(inner["schema"])
        if inner["type"] == "union":
            return any(self._may_be_decimal(_member(choice)) for choice in inner["choices"])
        return bool(inner["type"] == "decimal")

    def rewritten_definitions(self) -> list[Any]:
        """The definitions, rewritten."""
        made: list[Any] = rebuilt(list(self.definitions.values()), self.rewritten)
        return made

    def _choice(self, node: Node, made: Node, members: dict[str, _Shape]) -> Any:
        union = made["choices"][OTHER] if made["type"] == "tagged-union" else made
        choices = {tag: _member(union["choices"][int(tag[len(OTHER) :])]) for tag in members}
        names = ", ".join(shape.name for shape in members.values())
        return tagged(
            {**choices, OTHER: bare(made)},
            _Chooser(members, choices, self).choose,
            f"Input should match one of {names} better than the others, but it matches several equally well",
            node.get("ref"),
        )


def _fields_in(holder: Any) -> Iterable[tuple[str, Any]] | None:
    kind = holder["type"]
    if kind in ("typed-dict", "model-fields"):
        fields: Iterable[tuple[str, Any]] = holder["fields"].items()
        return fields
    if kind == "dataclass-args":
        return [(part["name"], part) for part in holder["fields"] if part.get("init", True)]
    return None


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


def _with_decimals(node: Node, members: list[int]) -> Node:
    """The union *node*, in which the text of a number is for the *members* that can be a `Decimal`."""

    def choose(value: Json) -> str:
        return _NUMBER if isinstance(value, str) and value.endswith(NUMBER_END) else OTHER

    numbers = {**bare(node), "choices": [node["choices"][index] for index in members]}
    return tagged({_NUMBER: numbers, OTHER: bare(node)}, choose, "", node.get("ref"))


def _guard(node: Node, shape: _Shape) -> Any:
    def known(value: Json) -> str | None:
        return None if isinstance(value, dict) and shape.unrelated(value) else OTHER

    keys = ", ".join(sorted(shape.known))
    message = f"Input should be an object with some of the keys {keys}"
    return tagged({OTHER: bare(node)}, known, message, node.get("ref"))


# --- choosing -------------------------------------------------------------------------------------


class _Chooser:
    """The discriminator of a union: returns the tag of the member, or `OTHER` to leave it to pydantic."""

    def __init__(self, members: dict[str, _Shape], choices: dict[str, Node], rewriter: Rewriter) -> None:
        self._members, self._choices, self._rewriter = members, choices, rewriter

    def choose(self, value: Json) -> str | None:
        if not isinstance(value, dict):
            return OTHER
        left = self._by_tag(value)
        left = [tag for tag in left if self._members[tag].complete(value)]
        left = [tag for tag in left if not self._members[tag].unrelated(value)]
        left = self._by_keys(left, value)
        left = _least(left, lambda tag: self._members[tag].inexact(value))
        left = _least(left, lambda tag: not self._members[tag].fields)
        left = _least(left, lambda tag: self._members[tag].missing(value))
        if len(left) == 1:
            return left[0]
        return self._by_trial(left, value) if left and self._members[left[0]].fields else OTHER

    def _by_tag(self, value: JsonObject) -> list[str]:
        tagged = {tag: shape.tag(value) for tag, shape in self._members.items()}
        right = [tag for tag, found in tagged.items() if found]
        return right or [tag for tag, found in tagged.items() if found is None]

    def _by_keys(self, left: list[str], value: JsonObject) -> list[str]:
        def unused(tag: str) -> int:
            shape = self._members[tag]
            return 0 if shape.extra == "allow" else len(value) - shape.known_keys(value)

        return _least(left, unused)

    def _by_trial(self, left: list[str], value: JsonObject) -> str | None:
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
            return None if depth else left[0]  # to report its problems, which a trial does not need
        return valid[0] if len(valid) == 1 else None

    def _validates(self, tag: str, text: str) -> bool:
        try:
            self._validators[tag].validate_json(text, strict=True)
        except ValidationError:
            return False
        return True

    @cached_property
    def _validators(self) -> dict[str, SchemaValidator]:
        definitions = self._rewriter.rewritten_definitions()
        return {
            tag: new_validator(core_schema.definitions_schema(bare(choice), definitions))
            for tag, choice in self._choices.items()
        }


def _least(tags: list[str], cost: Callable[[str], int | None]) -> list[str]:
    """The tags with the lowest cost, or all of them if no tag has a cost."""
    costs = {tag: value for tag in tags if (value := cost(tag)) is not None}
    least = min(costs.values(), default=None)
    return tags if least is None else [tag for tag, value in costs.items() if value == least]
