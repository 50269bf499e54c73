"""A property may have any name, that of a JSON Schema keyword included."""

from __future__ import annotations

import copy
import enum
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, make_dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired

import pytest
from kit.dialects import DIALECTS, written
from kit.provider_rules import RULES
from pydantic import BaseModel, ConfigDict, Field, create_model
from typing_extensions import TypedDict

from alloy import ask, command, tool
from alloy._typed.answers.parse import read
from alloy._typed.schemas.dialects import Wire, to_wire
from alloy._typed.schemas.notation import notation
from alloy._typed.schemas.samples import sample
from alloy._typed.types.compile import TypeSpec, compile_type
from alloy._typed.types.signature import compile_signature
from alloy.testing import replies

NAMES = (
    # https://json-schema.org/draft/2020-12: keywords, and names that the strict forms and Alloy's marks use
    *("$anchor", "$comment", "$defs", "$id", "$ref", "$schema", "additionalProperties", "allOf", "anyOf"),
    *("const", "contains", "contentSchema", "default", "definitions", "dependentSchemas", "description"),
    *("discriminator", "else", "entries", "enum", "examples", "format", "if", "item_0", "items", "key"),
    *("maxItems", "minItems", "minimum", "multipleOf", "not", "oneOf", "pattern", "patternProperties"),
    *("prefixItems", "properties", "propertyNames", "required", "then", "title", "type", "value"),
    *("x-alloy-decimal", "x-alloy-names"),
)
IDENTIFIERS = tuple(name for name in NAMES if name.isidentifier() and name not in ("else", "if", "not"))


class Tag(enum.Enum):
    RED = "red"
    GREEN = "green"


@dataclass
class Rate:
    """With everything that leaves a mark in a schema."""

    amount: Decimal
    step: Literal[1, 2]
    tag: Tag = Tag.RED


RATE = {"amount": "1.50", "step": 2, "tag": "green"}
SHAPES: tuple[tuple[Any, Any], ...] = (
    (Rate, RATE),
    (dict[str, list[Rate]] | None, {"a": [RATE]}),
    (tuple[Rate, int], [RATE, 3]),
    (Tag, "green"),
    (Literal[1, 2], 1),
)


def as_dataclass(name: str, type_: Any) -> Any:
    return make_dataclass("Made", [("field", Annotated[type_, Field(alias=name)]), ("other", int)])


def as_typed_dict(name: str, type_: Any) -> Any:
    return TypedDict("Made", {name: type_, "other": int})  # type: ignore[operator]


def as_model(name: str, type_: Any) -> Any:
    return create_model("Made", field=(type_, Field(alias=name)), other=(int, ...))


every_name = pytest.mark.parametrize("name", NAMES)
every_class = pytest.mark.parametrize("make", [as_dataclass, as_typed_dict, as_model])


def legal(schema: dict[str, Any], provider: str) -> Wire:
    """What is sent for *schema*, which is not changed; it keeps the provider's rules."""
    before = copy.deepcopy(schema)
    wire = to_wire(schema, DIALECTS[provider])

    assert schema == before
    if wire.strict or provider == "gemini":
        RULES[provider](wire.schema)
    return wire


def assert_round_trip(spec: TypeSpec[Any], plain: dict[str, Any], name: str) -> None:
    """*plain*, written as each provider wants it, is read as what the plain text is read as."""
    assert spec.schema is not None
    expected = read(spec, json.dumps(plain))
    for provider, dialect in DIALECTS.items():
        wire = legal(spec.schema, provider)

        assert name in wire.schema["properties"]
        assert read(spec, written(plain, spec.schema, dialect), wire) == expected, provider


@every_class
@every_name
def test_a_field_may_be_named_like_a_keyword(name: str, make: Callable[[str, Any], Any]) -> None:
    """In every kind of class and every dialect, whatever the field holds."""
    for type_, value in SHAPES:
        assert_round_trip(compile_type(make(name, type_)), {name: value, "other": 1}, name)


@every_class
@every_name
def test_a_field_of_a_nested_class_too(name: str, make: Callable[[str, Any], Any]) -> None:
    """The same in a class that is a part of another one, where its schema is a definition."""
    inner = make(name, Rate)
    outer = make_dataclass(
        "Outer", [("parts", list[inner]), ("one", inner | None), ("by_key", dict[str, inner])]
    )
    part = {name: RATE, "other": 1}

    assert_round_trip(compile_type(outer), {"parts": [part], "one": part, "by_key": {"a": part}}, "parts")


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_a_parameter_may_be_named_like_a_keyword(name: str) -> None:
    """A tool's parameter, in every dialect."""
    for type_, value in SHAPES:
        namespace: dict[str, Any] = {}
        exec(f"def price({name}, other=1): ...", namespace)
        namespace["price"].__annotations__.update({name: type_, "other": int})
        signature = compile_signature(namespace["price"])
        plain = {name: value, "other": 2}
        expected = read(
            compile_type(type_), json.dumps({"value": value} if not isinstance(value, dict) else value)
        )
        for provider, dialect in DIALECTS.items():
            wire = legal(signature.schema, provider)

            assert name in wire.schema["properties"]
            text = written(plain, signature.schema, dialect)
            assert signature.read(text, wire) == {name: expected, "other": 2}, provider


# --- recursion ----------------------------------------------------------------------------------------


@dataclass
class Tree:
    const: Rate
    default: Tree | None = None
    enum: tuple[Tree, ...] = ()
    properties: dict[str, Tree] | None = None
    required: Tree | None = None


class Model(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    const: Rate
    default: Model | None = None
    definitions: Model | None = Field(default=None, alias="$defs")
    reference: list[Model] | None = Field(default=None, alias="$ref")
    examples: list[Model] = Field(default_factory=list)
    items: dict[str, Model] = Field(default_factory=dict)


Mapped = TypedDict(
    "Mapped",
    {
        "const": Rate,
        "default": "NotRequired[Mapped]",
        "$defs": "NotRequired[dict[str, Mapped]]",
        "$ref": "NotRequired[list[Mapped]]",
        "x-alloy-names": "NotRequired[Mapped]",
    },
)


def nested(*names: str) -> dict[str, Any]:
    """A value with itself, without those names, under each of *names*."""
    leaf = {"const": RATE}
    one = {"default": leaf, "required": leaf, "x-alloy-names": leaf}
    some = {
        "examples": [leaf, leaf],
        "$ref": [leaf],
        "enum": [leaf],
        "items": {"k": leaf},
        "properties": {"k": leaf},
    }
    some |= {"$defs": {"k": leaf}}
    return {"const": RATE, **{name: {**one, **some}[name] for name in names}}


@pytest.mark.parametrize(
    ("type_", "plain"),
    [
        (Tree, nested("default", "enum", "properties", "required")),
        (Model, nested("default", "examples", "items", "$ref") | {"$defs": {"const": RATE}}),
        (Mapped, nested("default", "$defs", "$ref", "x-alloy-names")),
        (list[Tree], [nested("enum")]),
        (list[Mapped], [nested("$defs")]),
        (dict[str, Model], {"k": nested("examples")}),
    ],
    ids=[
        "dataclass",
        "BaseModel",
        "TypedDict",
        "list of dataclass",
        "list of TypedDict",
        "dict of BaseModel",
    ],
)
def test_recursive_fields_too(type_: Any, plain: Any) -> None:
    """A class that holds itself in fields that are named like keywords."""
    spec = compile_type(type_)
    assert spec.schema is not None
    plain = {"value": plain} if spec.wrapped else plain
    expected = read(spec, json.dumps(plain))
    for provider, dialect in DIALECTS.items():
        wire = legal(spec.schema, provider)

        assert read(spec, written(plain, spec.schema, dialect), wire) == expected, provider


# --- what is data, and no schema ----------------------------------------------------------------------


class Noted(BaseModel):
    """Its default and its examples look like schemas."""

    data: dict[str, Any] = Field(
        default={"x-alloy-names": {"a": 1}, "properties": {"enum": 1}}, examples=[{"x-alloy-decimal": True}]
    )
    pointer: Annotated[Any, Field(examples=[{"$ref": "#/$defs/Missing"}])] = None


def test_defaults_and_examples_are_not_read_as_schemas() -> None:
    """They stay as they are, and what they seem to refer to is not looked for."""
    schema = compile_type(Noted).schema
    assert schema is not None

    assert schema["properties"]["data"]["default"] == {
        "x-alloy-names": {"a": 1},
        "properties": {"enum": 1},
    }
    assert schema["properties"]["data"]["examples"] == [{"x-alloy-decimal": True}]
    assert '{"$ref": "#/$defs/Missing"}' in notation(schema)
    for provider in DIALECTS:
        legal(schema, provider)


# --- notation, samples, and through the public functions ----------------------------------------------


@every_class
@every_name
def test_notation_names_the_definition(name: str, make: Callable[[str, Any], Any]) -> None:
    """The type of such a field is written out below."""
    schema = compile_type(make(name, Rate)).schema
    assert schema is not None

    text = notation(schema)

    assert f"{name if name.isidentifier() else json.dumps(name)}: Rate" in text
    assert "type Rate = {" in text


@every_class
@every_name
def test_samples_are_valid(name: str, make: Callable[[str, Any], Any]) -> None:
    """The offline backend makes up a value, and it is read."""
    spec = compile_type(make(name, Rate))
    assert spec.schema is not None

    made = sample(spec.schema)

    assert set(made) == {name, "other"}
    read(spec, json.dumps(made))


def test_recursive_samples_end() -> None:
    """A reference under such a name is a reference."""
    for type_ in (Tree, Model, Mapped):
        spec = compile_type(type_)
        assert spec.schema is not None
        read(spec, json.dumps(sample(spec.schema)))


@pytest.mark.parametrize(
    "model",
    [
        "openai:gpt-5.6",
        "openai-chat:gpt-5.6",
        "anthropic:claude-opus-4-6",
        "gemini:gemini-3-pro",
        "ollama:qwen3",
    ],
)
def test_requests_hold_the_fields(model: str) -> None:
    """As the issue has it: an output and a tool's parameter, through the public functions."""

    @command(output=Tree, model=model, api_key="k")
    def plan() -> str:
        return "x"

    @tool
    def price(default: Rate, examples: list[Rate], enum: Rate | None = None) -> str:
        """Price."""
        return "x"

    text = json.dumps(plan.request())
    assert all(
        f'"{name}"' in text or f"{name}:" in text or f"{name}?:" in text
        for name in ("default", "enum", "const")
    )
    text = json.dumps(ask.request("x", tools=[price], model=model, api_key="k"))
    assert all(f'"{name}": {{' in text for name in ("default", "enum", "examples"))


def test_an_answer_with_such_fields_is_a_value() -> None:
    """The whole way, with the fake backend."""
    with replies(json.dumps(nested("default", "enum"))):
        found = ask("x", output=Tree)

    leaf = Tree(Rate(Decimal("1.50"), 2, Tag.GREEN))
    assert asdict(found) == asdict(Tree(leaf.const, leaf, (leaf,)))
