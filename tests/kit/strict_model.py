"""Types with values to try them on, the rules of strict mode, and a model that answers in it.

All of it is written without Alloy, so that it can judge what Alloy does.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

from hypothesis import strategies as st
from pydantic import Field
from typing_extensions import TypedDict


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


@dataclass
class Plain:
    vendor: str
    total: float
    lines: list[str]


@dataclass
class Leaf:
    n: int
    tag: str | None = None
    weight: float = 1.5


@dataclass
class Other:
    name: str
    many: dict[str, list[Leaf]] = field(default_factory=dict)


@dataclass
class Tree:
    leaf: Leaf
    kids: list[Tree] = field(default_factory=list)
    named: dict[str, Tree] = field(default_factory=dict)
    next: Tree | None = None


class Part(TypedDict):
    key: str
    count: NotRequired[int]


class Pair(NamedTuple):
    x: int
    label: str = "none"


@dataclass
class Cat:
    kind: Literal["cat"]
    lives: int = 9


@dataclass
class Dog:
    kind: Literal["dog"]
    lives: int | None = None


@dataclass
class Everything:
    pair: Pair
    span: tuple[int, str, bool]
    empty: tuple[()]
    part: Part
    by_number: dict[int, Color]
    choice: Leaf | Other | int | None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    literal: Literal["a", 1, True, None]
    color: Color = Color.RED
    size: Size = Size.SMALL
    price: Decimal = Decimal(0)
    day: date = date(2026, 1, 1)
    identity: uuid.UUID | None = None
    unique: frozenset[int] = frozenset()


numbers = st.floats(allow_nan=False, allow_infinity=False)
leaves = st.builds(Leaf, st.integers(), st.none() | st.text(), numbers)
others = st.builds(Other, st.text(), st.dictionaries(st.text(), st.lists(leaves, max_size=2), max_size=2))
trees = st.recursive(
    st.builds(Tree, leaves),
    lambda below: st.builds(
        Tree,
        leaves,
        st.lists(below, max_size=2),
        st.dictionaries(st.text(max_size=3), below, max_size=2),
        st.none() | below,
    ),
    max_leaves=5,
)
parts = st.fixed_dictionaries({"key": st.text()}, optional={"count": st.integers()})
pairs = st.builds(Pair, st.integers(), st.text())
pets = st.builds(Cat, st.just("cat"), st.integers()) | st.builds(
    Dog, st.just("dog"), st.none() | st.integers()
)
colors = st.sampled_from(Color)
everything = st.builds(
    Everything,
    pairs,
    st.tuples(st.integers(), st.text(), st.booleans()),
    st.just(()),
    parts,
    st.dictionaries(st.integers(), colors, max_size=3),
    leaves | others | st.integers() | st.none(),
    pets,
    st.sampled_from(["a", 1, True, None]),
    colors,
    st.sampled_from(Size),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.dates(),
    st.uuids(),
    st.frozensets(st.integers(), max_size=3),
)
SAMPLES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers()),
    (float, numbers),
    (bool, st.booleans()),
    (int | str | None, st.integers() | st.text() | st.none()),
    (Plain, st.builds(Plain, st.text(), numbers, st.lists(st.text()))),
    (Leaf, leaves),
    (Tree, trees),
    (Everything, everything),
    (list[Leaf], st.lists(leaves, max_size=3)),
    (dict[str, Leaf], st.dictionaries(st.text(), leaves, max_size=3)),
    (
        dict[str, dict[str, int]],
        st.dictionaries(st.text(), st.dictionaries(st.text(), st.integers()), max_size=3),
    ),
    (Leaf | Other, leaves | others),
    (list[Leaf | Other | str], st.lists(leaves | others | st.text(), max_size=3)),
    (Cat | Dog, pets),
    (Part, parts),
    (Pair, pairs),
    (tuple[Leaf, int | None], st.tuples(leaves, st.none() | st.integers())),
    (dict[str, int] | list[int], st.dictionaries(st.text(), st.integers()) | st.lists(st.integers())),
    (Color, colors),
    (Literal["a", "b", 3], st.sampled_from(["a", "b", 3])),
    (Any, st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())),
    (dict[str, Any], st.dictionaries(st.text(), st.integers() | st.text())),
    (datetime, st.datetimes()),
    (timedelta, st.timedeltas(timedelta(days=-99), timedelta(days=99))),
]


# --- what the tests know of strict mode by themselves ---------------------------------------------

HELD = {"type", "description", "enum", "const", "anyOf", "items", "properties", "required", "$ref", "$defs"}
HELD |= {"additionalProperties", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "multipleOf"}
HELD |= {"exclusiveMaximum", "minItems", "maxItems"}


def assert_strict(schema: Mapping[str, Any]) -> None:
    """The published rules of OpenAI's strict mode."""
    assert schema["type"] == "object"
    assert "anyOf" not in schema
    assert_strict_node(schema, schema.get("$defs", {}))
    for definition in schema.get("$defs", {}).values():
        assert_strict_node(definition, schema["$defs"])


def assert_strict_node(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> None:
    assert node.keys() <= HELD, node
    if "$ref" in node:
        assert node.keys() == {"$ref"}, node
        assert node["$ref"].removeprefix("#/$defs/") in definitions
        return
    assert "anyOf" in node or "type" in node, node
    if node.get("type") == "object":
        assert node["additionalProperties"] is False
        assert node["required"] == list(node["properties"])
    if node.get("type") == "array":
        assert "items" in node
    for child in [*node.get("properties", {}).values(), *node.get("anyOf", ())]:
        assert_strict_node(child, definitions)
    if "items" in node:
        assert_strict_node(node["items"], definitions)


def as_strict_model(value: Any, schema: Mapping[str, Any], *, gaps: bool = False) -> Any:
    """What a model in strict mode would write for *value*, which has the shape of the plain *schema*.

    With *gaps* it leaves out what *value* leaves out, else it says null there.
    """
    defs = schema.get("$defs", {})
    if "properties" not in schema and schema.get("type") == "object":
        return {"entries": on_wire(value, schema, defs, gaps)}
    return on_wire(value, schema, defs, gaps)


def on_wire(value: Any, node: Any, defs: Mapping[str, Any], gaps: bool) -> Any:
    if "$ref" in node:
        return on_wire(value, defs[node["$ref"].split("/")[-1]], defs, gaps)
    branches = node.get("anyOf") or node.get("oneOf")
    if branches:
        branch = next(branch for branch in branches if matches(value, branch, defs))
        return on_wire(value, branch, defs, gaps)
    if isinstance(value, list):
        if "prefixItems" in node or node.get("maxItems") == 0:
            first = node.get("prefixItems", [])
            given = [on_wire(item, part, defs, gaps) for item, part in zip(value, first, strict=False)]
            given += [None] * (len(first) - len(given))
            return {f"item_{index}": item for index, item in enumerate(given)}
        return [on_wire(item, node["items"], defs, gaps) for item in value]
    if not isinstance(value, dict):
        return value
    if "properties" in node:
        return {
            name: on_wire(value[name], part, defs, gaps) if name in value else None
            for name, part in node["properties"].items()
            if name in value or not gaps
        }
    inner = node["additionalProperties"]
    return [{"key": key, "value": on_wire(item, inner, defs, gaps)} for key, item in value.items()]


# --- the same for Anthropic ---------------------------------------------------------------------------

ANTHROPIC_HELD = HELD - {
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "maxItems",
}
ANTHROPIC_HELD |= {"minItems"}


def assert_anthropic(schema: Mapping[str, Any]) -> None:
    """The published rules of Anthropic's structured outputs."""
    assert schema["type"] == "object"
    definitions = schema.get("$defs", {})
    nodes = [
        *anthropic_nodes(schema),
        *(node for part in definitions.values() for node in anthropic_nodes(part)),
    ]
    optional = unions = 0
    for node in nodes:
        assert node.keys() <= ANTHROPIC_HELD, node
        assert node.get("minItems", 0) <= 1
        assert "$ref" not in node or node.keys() == {"$ref"}
        unions += "anyOf" in node
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert set(node["required"]) <= set(node["properties"])
            optional += len(node["properties"]) - len(node["required"])
    assert optional <= 24
    assert unions <= 16
    for name in definitions:
        assert not refers(definitions, name, name, frozenset())


def anthropic_nodes(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    below = [*node.get("properties", {}).values(), *node.get("anyOf", ())]
    below += [node["items"]] if "items" in node else []
    return [node, *(inner for part in below for inner in anthropic_nodes(part))]


def refers(definitions: Mapping[str, Any], start: str, goal: str, seen: frozenset[str]) -> bool:
    """Whether *goal* is used somewhere inside of the definition *start*."""
    nodes = anthropic_nodes(definitions[start])
    used = {node["$ref"].removeprefix("#/$defs/") for node in nodes if "$ref" in node} - seen
    return goal in used or any(refers(definitions, name, goal, seen | used) for name in used)


def matches(value: Any, node: Any, defs: Mapping[str, Any]) -> bool:
    if "$ref" in node:
        return matches(value, defs[node["$ref"].split("/")[-1]], defs)
    if branches := node.get("anyOf") or node.get("oneOf"):
        return any(matches(value, branch, defs) for branch in branches)
    if "enum" in node or "const" in node:
        return any(value == c and type(value) is type(c) for c in node.get("enum", [node.get("const")]))
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "boolean": bool,
        "null": type(None),
    }
    kind = node.get("type")
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind and (not isinstance(value, kinds[kind]) or (kind == "integer" and isinstance(value, bool))):
        return False
    if isinstance(value, list):
        return all(matches(item, node.get("items", {}), defs) for item in value)
    if isinstance(value, dict) and "properties" in node:
        named = node["properties"]
        return set(node.get("required", ())) <= value.keys() <= named.keys() and all(
            matches(item, named[key], defs) for key, item in value.items()
        )
    return True
