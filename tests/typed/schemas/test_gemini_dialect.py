"""Gemini's dialect: few keywords, no null for what is not given, shapes as they are."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from kit.dialects import GEMINI
from kit.strict_model import SAMPLES, Everything, Tree
from pydantic import Field

from alloy._typed.schemas.dialects import to_wire
from alloy._typed.types.compile import compile_type

# The description of `response_json_schema` in google-genai 3.4.
# fmt: off
KNOWN = {
    "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items",
    "prefixItems", "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties",
    "additionalProperties", "required", "propertyOrdering",
}
# fmt: on


REF = {"$ref": "#/$defs/A"}


def gemini(annotation: Any) -> dict[str, Any]:
    schema = compile_type(annotation).schema
    assert schema is not None
    before = copy.deepcopy(schema)
    wire = to_wire(schema, GEMINI)
    assert schema == before
    assert (wire.strict, wire.restore) == (False, None)
    return wire.schema


def nodes(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Every schema inside of *schema*, itself the first."""
    yield schema
    for key in ("properties", "$defs"):
        for part in schema.get(key, {}).values():
            yield from nodes(part)
    for key in ("anyOf", "prefixItems"):
        for part in schema.get(key, ()):
            yield from nodes(part)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            yield from nodes(schema[key])


@dataclass
class Bounds:
    code: Annotated[str, Field(pattern="^a", min_length=2, description="the code")]
    even: Annotated[int, Field(gt=1, le=5, multiple_of=2)]
    when: datetime
    who: UUID
    flag: Literal[True, 1, "x", None]
    few: Annotated[set[int], Field(max_length=3)] = field(default_factory=set)
    counts: dict[Literal["a", "b"], int] = field(default_factory=dict)


@dataclass
class Node:
    name: str
    children: list[Node]
    parent: Node | None = None


@pytest.mark.parametrize("annotation", [annotation for annotation, _ in SAMPLES] + [Bounds, Node], ids=str)
def test_geminis_schemas_keep_its_rules(annotation: Any) -> None:
    """Only keywords that it reads, nothing beside a reference, and choices of texts and numbers."""
    for node in nodes(gemini(annotation)):
        assert set(node) <= KNOWN
        assert "$ref" not in node or set(node) == {"$ref"}
        assert all(type(choice) in (str, int, float) for choice in node.get("enum", ()))
        assert node.get("format", "date") in ("date-time", "date", "time")
        assert not isinstance(node.get("items"), bool)


def test_what_it_does_not_read_is_said_in_words() -> None:
    """Constraints, formats, defaults and choices that it cannot list stand in the description."""
    properties = gemini(Bounds)["properties"]

    assert set(properties["code"]) == {"type", "description"}
    assert {"matches ^a", "at least 2 characters"} == set(
        properties["code"]["description"][10:-1].split(", ")
    )
    assert properties["even"] == {
        "type": "integer",
        "maximum": 5,
        "description": "(more than 1, a multiple of 2)",
    }
    assert properties["when"] == {"type": "string", "format": "date-time"}
    assert properties["who"] == {"type": "string", "description": "(format: uuid)"}
    assert properties["flag"]["description"] == "(one of true)"
    assert properties["few"]["maxItems"] == 3
    assert properties["counts"]["description"].startswith("(keys are of a, b)")


def test_what_is_optional_is_left_out_of_required() -> None:
    """No null stands for it, and an open object stays one."""
    schema = gemini(Everything)
    assert "color" not in schema["required"]
    assert schema["properties"]["by_number"]["additionalProperties"] == {"$ref": "#/$defs/Color"}
    span = schema["properties"]["span"]
    assert [part["type"] for part in span["prefixItems"]] == ["integer", "string", "boolean"]


def test_recursion_goes_through_optional_properties_only() -> None:
    """Gemini takes no other; what a model leaves out is found when the value is read."""
    assert gemini(Node)["$defs"]["Node"]["required"] == ["name"]
    assert gemini(Node)["required"] == ["name", "children"]
    assert gemini(Tree)["$defs"]["Tree"]["required"] == ["leaf"]


@pytest.mark.parametrize(
    ("plain", "known"),
    [
        (
            {"allOf": [{"$ref": "#/$defs/A"}], "description": "d"},
            {"anyOf": [{"$ref": "#/$defs/A"}], "description": "d"},
        ),
        ({"allOf": [{"type": "object"}, {"required": ["a"]}], "type": "object"}, {"type": "object"}),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"const": None}, {"type": "null"}),
        ({"type": ["string", "null"], "maxLength": 3}, None),
        (
            {"oneOf": [{"type": "string"}, {"type": "null"}]},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ),
        (
            {"type": "object", "patternProperties": {"^x": {"type": "integer"}}},
            {"type": "object", "additionalProperties": {"type": "integer"}, "description": "(keys match ^x)"},
        ),
        (
            {"type": "object", "patternProperties": {"^x": {"type": "integer"}, "^y": {"type": "string"}}},
            {"type": "object", "additionalProperties": True, "description": "(keys match ^x, ^y)"},
        ),
        ({"type": "array", "prefixItems": [True], "items": False}, {"type": "array", "prefixItems": [{}]}),
        ({"type": "array", "items": {"type": "null"}}, {"type": "array", "items": {"type": "null"}}),
    ],
    ids=json.dumps,
)
def test_rarer_schemas_have_their_form_too(plain: dict[str, Any], known: dict[str, Any] | None) -> None:
    """What pydantic makes of a user's own schemas, or of a tool server's."""
    text = {"type": "string", "description": "(at most 3 characters)"}
    expected = {"anyOf": [text, {"type": "null", "description": "(at most 3 characters)"}]}

    assert to_wire(plain, GEMINI).schema == (expected if known is None else known)
