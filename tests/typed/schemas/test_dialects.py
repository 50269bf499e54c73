"""Schemas obey their provider's rules, and values find their way back from every shape."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.dialects import DIALECTS, OPENAI, every_dialect, written
from kit.strict_model import (
    SAMPLES,
    Color,
    Everything,
    Leaf,
    Other,
    Pair,
    Plain,
    assert_strict,
)
from pydantic import BaseModel, Field, TypeAdapter

from alloy._typed.answers.parse import read
from alloy._typed.schemas.dialects import Dialect, to_wire
from alloy._typed.types.compile import compile_type
from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.backends.fake.backend import FakeBackend
from alloy.backends.gemini.content import GeminiBackend
from alloy.backends.ollama.chat import OllamaBackend, OllamaChatBackend
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.errors import ConfigurationError, ParseError


class Limits(BaseModel):
    name: str = Field(min_length=2, max_length=5, pattern="^[a-z]+$")
    count: int = Field(ge=1, le=9, description="how many")
    path: Path = Path("x")
    marks: set[int] = Field(default_factory=set, max_length=3)
    amount: Decimal = Field(default=Decimal(1), max_digits=5, decimal_places=2)


@pytest.mark.parametrize("annotation", [annotation for annotation, _ in SAMPLES] + [Limits], ids=str)
def test_strict_schemas_keep_every_rule(annotation: Any) -> None:
    """Whatever is sent as strict obeys OpenAI's published rules."""
    schema = compile_type(annotation).schema
    assert schema is not None
    before = copy.deepcopy(schema)

    wire = to_wire(schema, OPENAI)

    assert schema == before
    if wire.strict:
        assert_strict(wire.schema)
    else:
        assert wire.schema == schema
        assert wire.restore is None


@pytest.mark.parametrize(
    "annotation", [Any, dict[str, Any], list[Any], dict[str, int] | list[int], dict], ids=str
)
def test_what_has_no_strict_form_is_sent_plainly(annotation: Any) -> None:
    """Never a refusal: the plain schema without strict, and local validation."""
    schema = compile_type(annotation).schema
    assert schema is not None

    wire = to_wire(schema, OPENAI)

    assert (wire.schema, wire.strict, wire.restore) == (schema, False, None)


@every_dialect
@pytest.mark.parametrize("required", [["a", "b"], []])
@pytest.mark.parametrize(
    "reference", ["#/$defs/Missing", "#/properties/b", "#", "https://example.com/schema"]
)
def test_a_reference_that_leads_to_no_definition(
    reference: str, required: list[str], dialect: Dialect
) -> None:
    """A schema that a user wrote by hand is sent as it is, and no error of Python escapes."""
    parts = {"a": {"$ref": reference}, "b": {"type": "object", "propertyNames": {"$ref": reference}}}
    schema = {"type": "object", "properties": parts, "required": required, "$defs": {"Used": {}}}

    wire = to_wire(schema, dialect)

    assert wire.schema["properties"]["a"] == {"$ref": reference}
    assert not wire.strict


@pytest.mark.parametrize(
    "annotation", [int, bool, Plain, list[Plain], Color, Literal["a", "b"], Plain | None]
)
def test_simple_types_need_no_restoring(annotation: Any) -> None:
    """Then the text is read in one pass."""
    schema = compile_type(annotation).schema
    assert schema is not None

    wire = to_wire(schema, OPENAI)

    assert wire.strict
    assert wire.restore is None


@every_dialect
@settings(deadline=None)
@given(data=st.data())
def test_values_come_back_from_every_wire(dialect: Dialect, data: st.DataObject) -> None:
    """Dumped by pydantic, written in the wire's shape, read: the same value."""
    annotation, values = data.draw(st.sampled_from(SAMPLES))
    value = data.draw(values)
    spec = compile_type(annotation)
    assert spec.schema is not None
    wire = to_wire(spec.schema, dialect)
    short = data.draw(st.booleans())  # leave out what has its default
    plain = TypeAdapter(annotation).dump_python(value, mode="json", exclude_defaults=short)
    plain = {"value": plain} if spec.wrapped else plain

    assert read(spec, written(plain, spec.schema, dialect), wire) == value


@every_dialect
@settings(deadline=None)
@given(data=st.data())
def test_the_plain_shape_is_read_on_every_wire(dialect: Dialect, data: st.DataObject) -> None:
    """A server that does not enforce strict mode may answer in the plain shape."""
    annotation, values = data.draw(st.sampled_from(SAMPLES))
    value = data.draw(values)
    spec = compile_type(annotation)
    assert spec.schema is not None
    plain = TypeAdapter(annotation).dump_python(value, mode="json")

    text = json.dumps({"value": plain} if spec.wrapped else plain)

    assert read(spec, text, to_wire(spec.schema, dialect)) == value


def openai(annotation: Any) -> dict[str, Any]:
    schema = compile_type(annotation).schema
    assert schema is not None
    return to_wire(schema, OPENAI).schema


def test_optional_properties_become_unions_with_null() -> None:
    """Null stands for "not given"; the default is told in words."""
    properties = openai(Leaf)["properties"]

    assert properties["tag"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert properties["weight"] == {
        "anyOf": [{"type": "number"}, {"type": "null"}],
        "description": "null means the default, 1.5.",
    }


def test_open_dicts_become_closed_lists_of_entries() -> None:
    """At the root they stand in the property of an object."""
    entries = openai(dict[str, int])["properties"]["entries"]

    assert entries["type"] == "array"
    assert entries["items"]["properties"] == {"key": {"type": "string"}, "value": {"type": "integer"}}


def test_tuples_become_named_positions() -> None:
    """Strict mode knows no `prefixItems`."""
    assert openai(tuple[int, str])["properties"]["value"] == {
        "type": "object",
        "properties": {"item_0": {"type": "integer"}, "item_1": {"type": "string"}},
        "required": ["item_0", "item_1"],
        "additionalProperties": False,
    }


def test_constraints_that_strict_mode_refuses_are_put_in_words() -> None:
    """They are still checked here."""
    properties = openai(Limits)["properties"]

    assert properties["name"] == {
        "type": "string",
        "pattern": "^[a-z]+$",
        "description": "(at most 5 characters, at least 2 characters)",
    }
    assert properties["count"] == {"type": "integer", "minimum": 1, "maximum": 9, "description": "how many"}
    with pytest.raises(ParseError, match=r"\$\.name"):
        read(compile_type(Limits), '{"name": "x", "count": 1}')


def test_nothing_stands_beside_a_reference() -> None:
    """What a description belongs to is put in the reference's place."""

    class Box(BaseModel):
        leaf: Leaf = Field(description="the leaf")

    leaf = openai(Box)["properties"]["leaf"]

    assert leaf["description"] == "the leaf"
    assert leaf["properties"]["n"] == {"type": "integer"}


def test_mixed_choices_are_split_by_type() -> None:
    """Every schema of strict mode has a type."""
    assert openai(Literal["a", 1, None])["properties"]["value"] == {
        "anyOf": [{"type": "string", "enum": ["a"]}, {"type": "integer", "enum": [1]}, {"type": "null"}]
    }


@pytest.mark.parametrize(
    ("annotation", "text", "problem"),
    [
        (
            dict[str, int],
            '{"entries": [{"key": "a", "value": 1}, {"key": "a", "value": 1}]}',
            "$.entries[1].key: the key 'a' appears twice",
        ),
        (
            Other,
            '{"name": "x", "many": [{"key": "a", "value": [1]}]}',
            "$.many.a[0]: expected an object, got 1",
        ),
        (Leaf, '{"n": null, "tag": null, "weight": null}', "$.n: expected an integer, got null"),
        (tuple[int, str], '{"value": {"item_0": 1}}', '$.value: expected an array, got {"item_0":1}'),
    ],
)
def test_what_cannot_be_restored_is_a_problem_with_its_path(annotation: Any, text: str, problem: str) -> None:
    """Restoring never guesses and never crashes."""
    spec = compile_type(annotation)
    assert spec.schema is not None

    with pytest.raises(ParseError) as caught:
        read(spec, text, to_wire(spec.schema, OPENAI))

    assert caught.value.problems == (problem,)


def test_null_in_an_optional_position_stands_for_its_default() -> None:
    """Positions of a NamedTuple may have defaults."""
    spec = compile_type(Pair)
    assert spec.schema is not None

    wire = to_wire(spec.schema, OPENAI)

    assert read(spec, '{"value": {"item_0": 1, "item_1": null}}', wire) == Pair(1)


def test_unions_that_look_alike_in_strict_form_are_not_strict() -> None:
    """Which member to restore would be a guess."""

    @dataclass
    class One:
        x: int = 1

    @dataclass
    class Two:
        x: int | None

    schema = compile_type(One | Two).schema
    assert schema is not None

    assert not to_wire(schema, OPENAI).strict


def wide(count: int) -> dict[str, Any]:
    names = [f"p{index}" for index in range(count)]
    return {"type": "object", "properties": {name: {"type": "integer"} for name in names}, "required": names}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    for _ in range(levels - 1):
        schema = {"type": "object", "properties": {"x": schema}, "required": ["x"]}
    return schema


def choices(count: int, length: int = 1) -> dict[str, Any]:
    values = [f"{index:0{length}}" for index in range(count)]
    return {"type": "object", "properties": {"x": {"type": "string", "enum": values}}, "required": ["x"]}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (wide(5_000), True),
        (wide(5_001), False),
        (deep(10), True),
        (deep(11), False),
        (choices(1_000), True),
        (choices(1_001), False),
        (choices(251, 59), True),
        (choices(251, 60), False),
        (choices(200, 600), False),
    ],
)
def test_schemas_over_the_limits_are_not_strict(schema: dict[str, Any], strict: bool) -> None:
    """5,000 properties, 10 levels, 1,000 choices, 120,000 characters; 15,000 in one large enum."""
    assert to_wire(schema, OPENAI).strict is strict


@pytest.mark.parametrize(
    "part",
    [
        {},
        True,
        {"not": {"type": "string"}},
        {"allOf": [{"type": "object"}, {"type": "object"}]},
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": True},
        {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}},
        {"type": "array"},
        {"enum": [[1]]},
        {"type": "object", "patternProperties": {"^a": {"type": "integer"}, "^b": {"type": "string"}}},
    ],
    ids=str,
)
def test_foreign_schemas_without_a_strict_form_are_sent_plainly(part: Any) -> None:
    """Schemas that pydantic did not write are taken too."""
    schema = {"type": "object", "properties": {"x": part}, "required": ["x"]}

    assert to_wire(schema, OPENAI).schema == schema


def test_a_single_all_of_is_inlined() -> None:
    """Older pydantic versions put a reference with siblings this way."""
    schema = {
        "type": "object",
        "properties": {"x": {"allOf": [{"$ref": "#/$defs/N"}], "description": "d"}},
        "required": ["x"],
        "$defs": {"N": {"type": "integer"}},
    }

    assert to_wire(schema, OPENAI).schema["properties"]["x"] == {"type": "integer", "description": "d"}


def test_patterns_with_look_around_are_put_in_words() -> None:
    """Strict mode refuses them."""
    schema = {
        "type": "object",
        "properties": {"x": {"type": "string", "pattern": "^(?!a)"}},
        "required": ["x"],
    }

    assert to_wire(schema, OPENAI).schema["properties"]["x"] == {
        "type": "string",
        "description": "(matches ^(?!a))",
    }


def test_type_lists_become_unions() -> None:
    """`"type": ["string", "null"]` is how other tools write a nullable property."""
    schema = {
        "type": "object",
        "properties": {"x": {"type": ["string", "null"], "minLength": 1}},
        "required": ["x"],
    }

    assert to_wire(schema, OPENAI).schema["properties"]["x"]["anyOf"][1] == {"type": "null"}


def test_wires_are_cached() -> None:
    """The same schema gives the same wire."""
    schema = compile_type(Everything).schema
    assert schema is not None

    assert to_wire(schema, OPENAI) is to_wire(schema, OPENAI)


def test_a_dialect_is_an_object() -> None:
    """The error says which one, and what to use."""
    dialect: Any = "openai"
    with pytest.raises(
        ConfigurationError, match=r"must be an alloy\.backends\.Dialect, not str: Dialect\(\)"
    ):
        to_wire({"type": "object"}, dialect)


def test_every_backend_brings_its_dialect() -> None:
    """Both backends for OpenAI, and both for Ollama, have the same one."""
    backends = (
        OpenAIBackend,
        OpenAIChatBackend,
        AnthropicBackend,
        GeminiBackend,
        OllamaBackend,
        OllamaChatBackend,
    )

    found = {kind.name: kind.dialect for kind in backends}

    assert all(found[name] is DIALECTS[name.removesuffix("-chat")] for name in found)
    assert FakeBackend().dialect == DIALECTS["plain"]
