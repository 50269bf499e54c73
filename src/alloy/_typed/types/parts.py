"""The parts of a compiled type: how each is read by itself, and what is inside of it.

A value that is still arriving is not valid as a whole, but its parts are valid one by one. They are read by
the core schema of the whole type, so a part is converted as it will be in the complete value. Where that
cannot be known before a value is complete, because a validator of the user makes it or it may become several
members of a union, it has no content here.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from itertools import takewhile
from typing import Any, ClassVar, TypeAlias

from pydantic_core import core_schema

from alloy._typed.json.unfinished import NOTHING, OpenText, is_open
from alloy._typed.json.values import json_type
from alloy._typed.types.compile import WRAPPER, TypeSpec
from alloy._typed.types.core_functions import is_function, is_users, module_of, nodes_of_class
from alloy._typed.types.core_nodes import Node
from alloy._typed.types.core_schema import Core
from alloy._typed.types.guards import MAPPINGS
from alloy._typed.types.records import record_of_shape
from alloy._typed.types.unions import Rewriter
from alloy._typed.types.validation import Validator
from alloy.jsontypes import Json, JsonObject

__all__ = [
    "Content",
    "Fields",
    "Items",
    "Members",
    "NotValid",
    "Part",
    "Positions",
    "Resolve",
    "Text",
    "part_of",
]

Resolve: TypeAlias = Callable[[Callable[[], Any]], Any]


class NotValid(Exception):
    """A value is not valid for a part, or a validator of the user does not take it."""


@lru_cache(maxsize=256)
def part_of(spec: TypeSpec[Any]) -> Part:
    """The part that is all of *spec*'s value, which has a schema."""
    assert spec.validator is not None
    root, definitions = spec.validator.core.schema, {}
    if root["type"] == "definitions":
        root, definitions = root["schema"], {each["ref"]: each for each in root["definitions"]}
    return Part(root["fields"][WRAPPER]["schema"] if spec.wrapped else root, definitions)


class Text:
    """A string, whose beginning can be shown."""

    form = OpenText


@dataclass(frozen=True, slots=True)
class Items:
    """The elements of a collection *cls*; *whole* is a list of them."""

    item: Part
    whole: Part
    cls: Any = list

    form: ClassVar[type] = list

    def arrived(self, value: Sequence[Json], resolve: Resolve | None) -> list[Any]:
        """The complete elements, up to the first one that is not valid."""
        complete = list(takewhile(lambda item: not is_open(item), value))
        try:
            found = self.whole.read(complete, resolve)
        except NotValid:
            found = list(_valid(self.item, complete, resolve))
        return list(dict.fromkeys(found)) if self.cls in (set, frozenset) else found


def _valid(part: Part, values: Sequence[Json], resolve: Resolve | None) -> Iterator[Any]:
    for value in values:
        try:
            yield part.read(value, resolve)
        except NotValid:
            return


@dataclass(frozen=True, slots=True)
class Members:
    """Values by free keys; *whole* is a dict of them, and *keys* one with the same keys and any values."""

    item: Part
    whole: Part
    keys: Part
    cls: Any = dict

    form: ClassVar[type] = dict

    def arrived(self, value: JsonObject, resolve: Resolve | None) -> dict[Any, Any]:
        """The complete members that are valid."""
        complete = {key: item for key, item in value.items() if not is_open(item)}
        return _members(self.whole, complete, resolve)

    def member(self, value: JsonObject, key: Any, resolve: Resolve | None) -> Json:
        """The JSON under *key*, which is converted; or `NOTHING`."""
        names = _members(self.keys, {name: name for name in value}, resolve)
        return value[names[key]] if key in names else NOTHING


def _members(part: Part, value: JsonObject, resolve: Resolve | None) -> dict[Any, Any]:
    """*value* as *part*, which is a dict; without the members that are not valid."""
    try:
        return dict(part.read(value, resolve))
    except NotValid:
        if len(value) <= 1:
            return {}
    read = (_members(part, {key: item}, resolve) for key, item in value.items())
    return {key: item for one in read for key, item in one.items()}


@dataclass(frozen=True, slots=True)
class Positions:
    """A fixed number of elements, each with its own type; those of a named tuple, *cls*, have *names*."""

    parts: Sequence[Part]
    names: Sequence[str] = ()
    cls: Any = tuple

    form: ClassVar[type] = list


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a class; *keys* are those that it may have in JSON, the preferred one first."""

    keys: Sequence[str]
    part: Part

    def key(self, value: JsonObject) -> str | None:
        """Its key in *value*, if it is there."""
        return next((key for key in self.keys if key in value), None)


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a class, which can be read by themselves, by their names.

    *names* are those of all fields. With *keyed* they are read as keys, and otherwise as attributes.
    """

    cls: Any
    fields: Mapping[str, Field]
    names: frozenset[str]
    keyed: bool

    form: ClassVar[type] = dict

    def arrived(self, value: JsonObject, resolve: Resolve | None) -> dict[str, Any]:
        """The complete fields that are valid."""
        found = {}
        for name, each in self.fields.items():
            key = each.key(value)
            if key is not None and not is_open(value[key]):
                with suppress(NotValid):
                    found[name] = each.part.read(value[key], resolve)
        return found


Content: TypeAlias = Text | Items | Members | Positions | Fields


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of a union: the JSON *types* that it takes, if known, and its *shape* as an object."""

    part: Part
    types: Mapping[str, bool] | None
    shape: Any


@dataclass(frozen=True, slots=True)
class Choice:
    """A union of *members*, or of *tagged* ones with their tag under *key*."""

    members: Sequence[_Member]
    tagged: Mapping[Any, Part] = field(default_factory=dict)
    key: str | None = None

    def member(self, value: Json) -> Part | None:
        """The only member that *value* can be when it is complete, or `None`."""
        if isinstance(value, dict):
            complete = {key: item for key, item in value.items() if not is_open(item)}
            if self.key is not None:
                tag = complete.get(self.key)
                return self.tagged.get(tag) if isinstance(tag, str | int) else None
        kind = json_type(value)
        left = [member for member in self.members if member.types is None or kind in member.types]
        if len(left) > 1 and kind == "object":
            tags = [None if member.shape is None else member.shape.tag(complete) for member in left]
            left = [member for member, tag in zip(left, tags, strict=True) if tag] if None not in tags else []
        return left[0].part if len(left) == 1 else None


class Part:
    """A part of a type.

    *node* is its core schema, *definitions* what that refers to, *config* that of the class around it.

    `read` validates a complete value: the node alone is put into an object with one field, which has the
    configuration of the class, and compiled like a type of its own, when it is first needed. `content` says
    what is inside of a value that is not complete: `_resolved` follows references and what does not change
    values (defaults, `None`, validators of the class that run last) to the node that decides that; then each
    kind of node has its method, which makes the parts inside. Any other node has no content.
    """

    def __init__(self, node: Node, definitions: Mapping[str, Node], config: Any = None) -> None:
        self._node, self._definitions, self._config = node, definitions, config

    def read(self, value: Json, resolve: Resolve | None) -> Any:
        """The complete *value* as this type. Raises `NotValid`, whatever a validator of the user raises.

        *resolve* calls a function and runs the async parsers that it asks for.
        """
        take = partial(self._validator.take, {WRAPPER: value})
        try:
            return (take() if resolve is None else resolve(take))[WRAPPER]
        except Exception as error:
            raise NotValid from error

    @cached_property
    def _validator(self) -> Validator:
        schema: Any = self._node
        if schema["type"] == "default":  # which is for a field without a value
            schema = schema["schema"]
        if self._definitions:
            schema = core_schema.definitions_schema(schema, [*self._definitions.values()])
        return Validator(Core(schema).wrapped("Part", WRAPPER, self._config))

    def content(self, value: Json) -> Content | None:
        """What is inside *value*, which is unfinished or not valid as a whole; `None` if not known."""
        content = self._content
        if isinstance(content, Choice):
            chosen = content.member(value)
            return None if chosen is None else chosen.content(value)
        return content if content is not None and isinstance(value, content.form) else None

    @cached_property
    def _content(self) -> Content | Choice | None:
        node = self._resolved()
        kind = node["type"]
        if kind == "str":
            return None if self._changes_text(node) else Text()
        if kind in _COLLECTIONS:
            return self._items(node.get("items_schema"), _COLLECTIONS[kind])
        if kind == "tuple" and node.get("variadic_item_index") is not None:
            return self._items(node["items_schema"][0], tuple) if len(node["items_schema"]) == 1 else None
        if kind == "tuple":
            return Positions([*map(self._inside, node["items_schema"])])
        if kind in MAPPINGS:
            limits = ("min_length", "max_length", "ref")
            bare = {key: item for key, item in node.items() if key not in limits}
            whole = {**bare, "type": "dict"}
            keys = self._inside({**whole, "values_schema": {"type": "any"}})
            cls = _DICTS.get(kind) or _builder(self._node)
            return Members(self._inside(node.get("values_schema")), self._inside(whole), keys, cls)
        if kind in ("union", "tagged-union"):
            return self._choice(node)
        return self._record(node)

    def _inside(self, node: Any, config: Any = None) -> Part:
        found = {"type": "any"} if node is None else node
        return Part(found, self._definitions, self._config if config is None else config)

    def _items(self, node: Any, cls: type) -> Items:
        whole = self._inside({"type": "list", **({} if node is None else {"items_schema": node})})
        return Items(self._inside(node), whole, cls)

    # --- nodes ------------------------------------------------------------------------------------

    def _resolved(self) -> Node:
        """The node that decides what is inside; a function's if that is not known."""
        node = self._node
        while True:
            kind = node["type"]
            if kind == "definition-ref":
                node = self._definitions[node["schema_ref"]]
            elif kind in _INSIDE:
                node = node[_INSIDE[kind]]
            elif kind == "chain" and not any(map(is_users, node["steps"])):
                node = node["steps"][0]
            elif kind == "function-after" and _keeps_items(node["function"]["function"]):
                node = node["schema"]
            elif kind == "function-after" and (inner := _record_in(node)) is not None:
                return inner
            else:
                return node

    def _changes_text(self, node: Node) -> bool:
        config = self._config or {}
        return any(node.get(name, config.get(f"str_{name}")) for name in _TEXT_CHANGES)

    def _choice(self, node: Node) -> Choice:
        shapes = Rewriter(self._definitions)
        discriminator, choices = node.get("discriminator"), node["choices"]
        if isinstance(choices, dict):
            tags = {tag: self._inside(choice) for tag, choice in choices.items() if isinstance(choice, dict)}
            return Choice([], tags, discriminator if isinstance(discriminator, str) else None)
        nodes = [choice[0] if isinstance(choice, tuple) else choice for choice in choices]
        return Choice([self._member(each, shapes) for each in nodes])

    def _member(self, node: Node, shapes: Rewriter) -> _Member:
        types = shapes.types(node)
        shape = shapes.shape(node) if types is not None and "object" in types else None
        return _Member(self._inside(node), types, shape)

    def _record(self, node: Node) -> Fields | Positions | None:
        cls = node.get("cls")
        if node["type"] == "named-tuple":
            return self._named_tuple(node["fields"], cls)
        if node["type"] == "call":  # a named tuple before pydantic 2.14
            return self._named_tuple(node["arguments_schema"]["arguments_schema"], node["function"])
        if node.get("custom_init") or node.get("root_model"):
            return None
        holder = node["schema"] if node["type"] in ("model", "dataclass") else node
        config = node.get("config") or {}
        if holder["type"] == "dataclass-args":
            parts = {each["name"]: each for each in holder["fields"] if each.get("init", True)}
        elif holder["type"] in ("typed-dict", "model-fields"):
            parts = holder["fields"]
        else:
            return None
        record = record_of_shape(cls)
        names = {} if record is None else record.attributes
        changed = frozenset[str]() if record is None else record.changed
        found = {
            names.get(key, key): None if key in changed else self._field(key, each, config)
            for key, each in parts.items()
        }
        keyed = holder["type"] == "typed-dict" and record is None
        readable = {name: each for name, each in found.items() if each is not None}
        return Fields(cls if record is None else record.subject, readable, frozenset(found), keyed)

    def _named_tuple(self, fields: Sequence[Node], cls: Any) -> Positions:
        parts = [self._inside(each["schema"]) for each in fields]
        return Positions(parts, [each["name"] for each in fields], cls)

    def _field(self, name: str, part: Node, config: Mapping[str, Any]) -> Field | None:
        """A field with the keys that it may have; `None` if it cannot be read by itself."""
        alias = part.get("validation_alias")
        paths = [[alias]] if isinstance(alias, str) else alias or []
        paths = [paths] if paths and not isinstance(paths[0], list) else paths
        if any(len(path) > 1 for path in paths) or _looks_around(part["schema"]):
            return None
        keys = [path[0] for path in paths]
        if not keys or config.get("populate_by_name") or config.get("validate_by_name"):
            keys.append(name)
        return Field(tuple(keys), self._inside(part["schema"], config))


_COLLECTIONS: dict[str, type] = {
    "list": list,
    "set": set,
    "frozenset": frozenset,
    "deque": collections.deque,
    "generator": list,
}
_DICTS: dict[str, type] = {"ordered-dict": collections.OrderedDict, "counter": collections.Counter}
_TEXT_CHANGES = ("strip_whitespace", "to_lower", "to_upper")
_INSIDE = {
    "default": "schema",
    "nullable": "schema",
    "custom-error": "schema",
    "json-or-python": "json_schema",
    "lax-or-strict": "strict_schema",
    "definitions": "schema",
}
# Functions that build another collection of the same items.
_BUILDERS = (collections.OrderedDict, collections.Counter, collections.defaultdict)


def _keeps_items(function: Any) -> bool:
    return getattr(function, "func", function) in _BUILDERS


def _builder(node: Node) -> type:
    """The class of a dict that *node* builds, before pydantic 2.14."""
    while (function := node.get("function")) is None or not _keeps_items(function["function"]):
        inner = node.get(_INSIDE.get(node["type"], "schema"))
        if not isinstance(inner, dict):
            return dict
        node = inner
    built: type = getattr(function["function"], "func", function["function"])
    return built


def _record_in(node: Node) -> Node | None:
    """The node of the class that *node* belongs to, if it only calls a validator of that class afterwards."""
    functions = []
    while node["type"] == "function-after":
        functions.append(node)
        node = node["schema"]
    cls = node.get("cls")
    if node["type"] not in ("model", "dataclass", "typed-dict") or cls is None:
        return None
    return node if all(_is_of_class(each, cls) for each in functions) else None


def _is_of_class(node: Node, cls: Any) -> bool:
    function = node["function"]["function"]
    own = getattr(cls, getattr(function, "__name__", ""), None) == function
    return own or module_of(node) == record_of_shape.__module__


def _looks_around(node: Node) -> bool:
    """Whether a validator of the user's may look at other fields."""
    return any(
        is_users(part) and part["function"]["type"] == "with-info"
        for part in nodes_of_class(node)
        if is_function(part)
    )
