"""Ollama's dialect: what its grammars hold and what its tools keep, the rest in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from kit.dialects import OLLAMA
from kit.strict_model import SAMPLES, Leaf, Tree

from alloy._typed.schemas.dialects import Wire, to_wire
from alloy._typed.types.compile import compile_type

# What llama.cpp's grammars/README.md lists, without what it leaves to luck.
HELD = {
    "type", "description", "enum", "anyOf", "$ref", "$defs", "items", "minItems", "maxItems", "properties",
    "required", "additionalProperties", "pattern", "format", "minLength", "maxLength",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
}  # fmt: skip


def ollama(schema: dict[str, Any]) -> Wire:
    return to_wire(schema, OLLAMA)


def nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    below = [*node.get("properties", {}).values(), *node.get("anyOf", ()), *node.get("$defs", {}).values()]
    for child in [*below, *([node["items"]] if "items" in node else [])]:
        yield from nodes(child)


def one(**part: Any) -> dict[str, Any]:
    """The form of a single property."""
    schema = {"type": "object", "properties": {"x": part}, "required": ["x"]}
    found: dict[str, Any] = ollama(schema).schema["properties"]["x"]
    return found


@pytest.mark.parametrize("annotation", [annotation for annotation, _ in SAMPLES], ids=str)
def test_every_schema_keeps_to_what_grammars_hold(annotation: Any) -> None:
    """No keyword but those; objects are closed, and `properties` stand beside no choice."""
    schema = compile_type(annotation).schema
    assert schema is not None
    wire = ollama(schema)
    if not wire.strict:
        assert wire.schema == schema
        return
    for node in nodes(wire.schema):
        assert node.keys() <= HELD
        assert "properties" not in node or (node["additionalProperties"] is False and "anyOf" not in node)
        assert "$ref" not in node or set(node) == {"$ref"}


def test_references_are_put_in_place() -> None:
    """The server's own types for tools have none; only a definition that holds itself keeps its name."""

    @dataclass
    class Two:
        one: Leaf
        other: Leaf

    schema = compile_type(Two).schema
    assert schema is not None
    sent = ollama(schema).schema
    assert "$defs" not in sent
    assert sent["properties"]["one"] == sent["properties"]["other"]
    assert sent["properties"]["one"]["properties"]["n"] == {"type": "integer"}

    tree = compile_type(Tree).schema
    assert tree is not None
    assert set(ollama(tree).schema["$defs"]) == {"Tree"}


def test_defaults_are_told_in_words() -> None:
    """The server drops the keyword; what may be left out is not required."""
    schema = compile_type(Leaf).schema
    assert schema is not None

    assert ollama(schema).schema == {
        "type": "object",
        "properties": {
            "n": {"type": "integer"},
            "tag": {"type": "string"},
            "weight": {"type": "number", "description": "Default: 1.5."},
        },
        "required": ["n"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize("pattern", ["^[a-z]+$", "^a{2,3}$", "^(?:a|b)$", "^a\\.b$", "^$"])
def test_patterns_that_a_grammar_can_hold_stay(pattern: str) -> None:
    """With both anchors, without look-around and escaped letters."""
    assert one(type="string", pattern=pattern) == {"type": "string", "pattern": pattern}


@pytest.mark.parametrize("pattern", ["[a-z]+", "^a", "a$", "^(?=a)b$", "^(?i)a$", "^\\d+$", "^\\bword$", ""])
def test_patterns_that_it_cannot_are_put_in_words(pattern: str) -> None:
    """The server answers 500 to them, or takes them for other ones."""
    assert one(type="string", pattern=pattern) == {"type": "string", "description": f"(matches {pattern})"}


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "email"}, {"type": "string", "description": "(format: email)"}),
        ({"type": "string", "format": "uri"}, {"type": "string", "description": "(format: uri)"}),
        ({"type": "string", "maxLength": 5}, {"type": "string", "maxLength": 5}),
        (
            {"type": "string", "maxLength": 100_000},
            {"type": "string", "description": "(at most 100000 characters)"},
        ),
        ({"type": "integer", "minimum": 1}, {"type": "integer", "minimum": 1}),
        ({"type": "integer", "multipleOf": 5}, {"type": "integer", "description": "(a multiple of 5)"}),
    ],
)
def test_what_is_skipped_in_silence_is_put_in_words(part: dict[str, Any], sent: dict[str, Any]) -> None:
    """And what no grammar can repeat so often."""
    assert one(**part) == sent


def test_unique_items_are_put_in_words() -> None:
    """A grammar has no memory."""
    sent = one(type="array", items={"type": "integer"}, uniqueItems=True)

    assert sent == {"type": "array", "items": {"type": "integer"}, "description": "(no item twice)"}


def test_a_schema_of_any_size_has_a_form() -> None:
    """Nothing but the machine limits a grammar."""
    wide = {f"p{index}": {"type": "integer"} for index in range(6_000)}
    deep: dict[str, Any] = {"type": "integer"}
    for _ in range(30):
        deep = {"type": "object", "properties": {"x": deep}, "required": ["x"]}

    assert ollama({"type": "object", "properties": wide}).strict
    assert ollama(deep).strict
    assert not re.search("null", str(ollama({"type": "object", "properties": wide}).schema))
