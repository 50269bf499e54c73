"""Anthropic's dialect: fewer keywords than OpenAI's, optional properties left out, hard limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from kit.dialects import ANTHROPIC
from kit.strict_model import SAMPLES, Leaf, assert_anthropic

from alloy._typed.answers.parse import read
from alloy._typed.schemas.dialects import Wire, to_wire
from alloy._typed.types.compile import compile_type
from alloy.errors import ParseError


def anthropic(schema: dict[str, Any]) -> Wire:
    return to_wire(schema, ANTHROPIC)


def optional(count: int) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{index}": {"type": "integer"} for index in range(count)}}


def holding(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize("annotation", [annotation for annotation, _ in SAMPLES], ids=str)
def test_anthropics_schemas_keep_its_rules(annotation: Any) -> None:
    """Whatever is sent as strict obeys the rules that Anthropic publishes, its limits included."""
    schema = compile_type(annotation).schema
    assert schema is not None
    wire = anthropic(schema)

    if wire.strict:
        assert_anthropic(wire.schema)
    else:
        assert wire.schema == schema


def test_anthropic_leaves_optional_properties_out_of_required() -> None:
    """A null that is only the default needs no union, of which there are few."""
    schema = compile_type(Leaf).schema
    assert schema is not None

    assert anthropic(schema).schema == {
        "type": "object",
        "properties": {
            "n": {"type": "integer"},
            "tag": {"type": "string"},
            "weight": {"type": "number", "description": "Default: 1.5."},
        },
        "required": ["n"],
        "additionalProperties": False,
    }
    assert anthropic(schema).restore is None


def test_a_null_that_is_not_the_default_keeps_its_union_for_anthropic() -> None:
    """Where None and nothing differ, both can be said; several other members stay a union."""
    part = {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 3}
    many = {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}], "default": None}
    schema = {"type": "object", "properties": {"x": part, "y": many}}

    assert anthropic(schema).schema["properties"] == {
        "x": {"anyOf": part["anyOf"], "description": "Default: 3."},
        "y": {"anyOf": many["anyOf"][:2]},
    }


def test_anthropic_takes_no_recursion() -> None:
    """A definition inside of itself has no strict form, one that is used twice has."""
    tree = {**holding(kids={"type": "array", "items": {"$ref": "#/$defs/Tree"}})}
    leaf = holding(n={"type": "integer"})
    twice = holding(a={"$ref": "#/$defs/Leaf"}, b={"$ref": "#/$defs/Leaf"})

    assert not anthropic({**holding(t={"$ref": "#/$defs/Tree"}), "$defs": {"Tree": tree}}).strict
    assert anthropic({**twice, "$defs": {"Leaf": leaf}}).strict


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (optional(24), True),
        (optional(25), False),
        (holding(**{f"p{index}": {"type": ["string", "integer"]} for index in range(16)}), True),
        (holding(**{f"p{index}": {"type": ["string", "integer"]} for index in range(17)}), False),
    ],
)
def test_schemas_over_anthropics_limits_are_not_strict(schema: dict[str, Any], strict: bool) -> None:
    """24 optional properties, 16 unions."""
    assert anthropic(schema).strict is strict


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        ({"type": "array", "minItems": 1}, {"minItems": 1}),
        ({"type": "array", "minItems": 2}, {"description": "(at least 2 items)"}),
        ({"type": "array", "maxItems": 9}, {"description": "(at most 9 items)"}),
        ({"type": "string", "pattern": "^[a-z]{2,9}$"}, {"pattern": "^[a-z]{2,9}$"}),
        ({"type": "string", "pattern": r"\bword\b"}, {"description": r"(matches \bword\b)"}),
        ({"type": "string", "pattern": r"(a)\1"}, {"description": r"(matches (a)\1)"}),
        ({"type": "string", "pattern": "a{1,1000}"}, {"description": "(matches a{1,1000})"}),
        ({"type": "string", "format": "uri"}, {"format": "uri"}),
        ({"type": "integer", "minimum": 1}, {"description": "(at least 1)"}),
    ],
    ids=str,
)
def test_what_anthropic_does_not_enforce_is_put_in_words(part: dict[str, Any], sent: dict[str, Any]) -> None:
    """Unsupported keywords are a refused request, so they become a description."""
    items = {"items": {"type": "integer"}} if part["type"] == "array" else {}

    assert anthropic(holding(x={**part, **items})).schema["properties"]["x"] == {
        "type": part["type"],
        **items,
        **sent,
    }


def test_unions_that_optional_properties_make_alike_are_not_strict() -> None:
    """With what may be left out, one object can fit two members: which to restore would be a guess."""

    @dataclass
    class One:
        x: int
        many: dict[str, int] | None = None

    @dataclass
    class Two:
        x: int
        y: int = 0

    @dataclass
    class Three:
        z: int
        many: dict[str, int] | None = None

    unclear, clear = compile_type(One | Two).schema, compile_type(Two | Three).schema
    assert unclear is not None
    assert clear is not None

    assert not anthropic(unclear).strict
    assert anthropic(clear).strict


def test_a_choice_is_read_in_any_case() -> None:
    """Anthropic does not promise the case of a choice; two that differ in nothing else are told apart."""
    assert read(compile_type(Literal["Red", "Blue"]), '{"value": "red"}') == "Red"
    assert read(compile_type(Literal["a", "A"]), '{"value": "A"}') == "A"
    with pytest.raises(ParseError):
        read(compile_type(Literal["ab", "aB"]), '{"value": "AB"}')
