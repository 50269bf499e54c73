"""What each kind of type shows a model, what it takes, and what it refuses."""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import datetime as dt
import json
import re
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal

import attrs
import msgspec
import pytest
from annotated_types import Interval, Len
from kit.kind_table import ROWS, Row
from kit.kinds import (
    Base,
    Both,
    Closed,
    Color,
    Frozen,
    Moon,
    Partly,
    Permission,
    Person,
    Plant,
    Point,
    Size,
    Span,
    Star,
    Stone,
)
from pydantic import AfterValidator, Base64Bytes, BaseModel, ConfigDict, Field, StringConstraints

from alloy._typed.answers.parse import read
from alloy._typed.types.compile import compile_type
from alloy._typed.types.signature import compile_signature
from alloy.errors import ConfigurationError, ParseError


def shown(annotation: Any) -> Any:
    """The schema of *annotation* itself, without our wrapper."""
    spec = compile_type(annotation)
    assert spec.schema is not None
    return spec.schema["properties"]["value"] if spec.wrapped else spec.schema


def problems(annotation: Any, text: str) -> tuple[str, ...]:
    with pytest.raises(ParseError) as caught:
        read(compile_type(annotation), text)
    return caught.value.problems


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_kind_has_a_schema_as_output_and_as_parameter(row: Row) -> None:
    """It is plain JSON, without the marks that only Alloy reads, and with definitions for every reference."""

    def tool(part: Any) -> None: ...

    tool.__annotations__["part"] = row.annotation
    for schema in (
        compile_type(row.annotation, row.namespace).schema,
        compile_signature(tool, namespace=row.namespace).schema,
    ):
        text = json.dumps(schema)
        assert schema is not None
        assert schema["type"] == "object"
        assert "x-alloy" not in text
        assert set(re.findall(r"#/\$defs/([^\"]+)", text)) <= schema.get("$defs", {}).keys()


def keyed(keys: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": {"type": "integer"},
        "propertyNames": {"enum": keys},
    }


# --- enums and literals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (Literal[Color.RED], {"const": "red", "type": "string"}),
        (Literal[Color.RED, Color.BLUE, None], {"enum": ["red", 2, None]}),
        (Literal[b"raw", "x"], {"enum": ["raw", "x"], "type": "string"}),
        (Span, {"enum": ["SHORT", "LONG"], "title": "Span", "type": "string"}),
        (
            Permission,
            {
                "title": "Permission",
                "type": "array",
                "items": {"type": "string", "enum": ["READ", "WRITE", "BOTH"]},
                "uniqueItems": True,
            },
        ),
        (dict[Size, int], keyed(["1", "2"])),
        (dict[Literal[True, "a"], int], keyed(["true", "a"])),
    ],
    ids=str,
)
def test_choices_are_shown_in_their_json_form(annotation: Any, schema: dict[str, Any]) -> None:
    """By value, and by name if JSON cannot hold the value."""
    assert shown(annotation) == schema


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (Color, '"RED"', Color.RED),
        (Color, "null", Color.NONE),
        (Literal[Color.RED, Color.BLUE], '"BLUE"', Color.BLUE),
        (Literal[Color.RED], '"red"', Color.RED),
        (Literal[b"raw"], '"raw"', b"raw"),
        (Literal[Color.RED] | Literal["red", "x"], '"x"', "x"),
        (Span, '"long"', Span.LONG),
        (dict[Color, int], '{"red": 1, "BLUE": 2, "null": 3}', {Color.RED: 1, Color.BLUE: 2, Color.NONE: 3}),
        (Permission, '["READ", "WRITE"]', Permission.BOTH),
        (Permission, '"BOTH"', Permission.BOTH),
        (Permission, "2", Permission.WRITE),
        (Permission, "[]", Permission(0)),
    ],
)
def test_choices_are_read_by_value_and_by_name(annotation: Any, text: str, value: Any) -> None:
    """A member is what comes out."""
    found = read(compile_type(annotation), f'{{"value": {text}}}' if text[0] != "{" else text)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "text", "problem"),
    [
        (
            Literal[Color.RED, Color.BLUE],
            '{"value": "green"}',
            """$.value: expected 'red' or 2, got "green\"""",
        ),
        (Literal[Color.BLUE], '{"value": true}', "$.value: expected 2, got"),
        (dict[Size, int], '{"3": 1}', "$[\"3\"]: expected '1' or '2'"),
        (
            list[Permission],
            '{"value": [["READ", "FLY"]]}',
            "$.value[0][1]: expected 'READ', 'WRITE' or 'BOTH'",
        ),
        (list[Permission], '{"value": [8]}', "$.value[0]: "),
    ],
)
def test_other_choices_are_problems(annotation: Any, text: str, problem: str) -> None:
    """With what there is to choose from."""
    assert any(found.startswith(problem) for found in problems(annotation, text))


# --- collections -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (Iterable[int], list),
        (Collection[int], list),
        (abc.Reversible[int], list),
        (Iterable, list),
        (deque[int], deque),
        (Iterator[int], type(iter([]))),
        (Generator[int, None, None], type(_ for _ in ())),
    ],
    ids=str,
)
def test_items_are_validated_before_they_are_used(annotation: Any, kind: type) -> None:
    """No error comes later, from the middle of a loop."""
    spec = compile_type(annotation)
    found = read(spec, '{"value": [1, 2]}')

    assert type(found) is kind
    assert list(found) == [1, 2]
    if annotation is not Iterable:
        assert problems(annotation, '{"value": [1, "x"]}') == ('$.value[1]: expected an integer, got "x"',)


@pytest.mark.parametrize(
    "key", [tuple[int, int], frozenset[int], list[int], Base, Point, dict[str, int], Partly], ids=str
)
def test_keys_that_json_cannot_hold_are_refused(key: Any) -> None:
    """Before a model is asked."""
    with pytest.raises(ConfigurationError, match="keys of a JSON object are text"):
        compile_type(list[dict[key, int]])


# --- bytes -----------------------------------------------------------------------------------------


def test_bytes_are_base64() -> None:
    """So every byte can be read back; the lengths in the schema are those of the text."""
    annotation = Annotated[bytes, Field(min_length=2, max_length=4)]

    assert shown(annotation) == {"type": "string", "format": "base64", "minLength": 4, "maxLength": 8}
    assert read(compile_type(annotation), '{"value": "/wAB"}') == b"\xff\x00\x01"
    assert "base64" in problems(bytes, '{"value": "no base64!"}')[0]
    assert "at least 2" in problems(annotation, '{"value": "/w=="}')[0]


def test_bytes_with_their_own_encoding_keep_it() -> None:
    """Pydantic's encoded bytes are decoded once, not twice."""
    assert read(compile_type(Base64Bytes), '{"value": "aGk="}') == b"hi"


# --- constraints -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (Annotated[str, Field(gt=1)], "gt cannot constrain str"),
        (Annotated[int, Field(min_length=1)], "min_length cannot constrain int"),
        (Annotated[int, Field(pattern="a")], "pattern cannot constrain int"),
        (Annotated[list[int], Interval(gt=1, le=3)], "gt, le cannot constrain list"),
        (Annotated[dict[str, int], StringConstraints(pattern="a")], "pattern cannot constrain dict"),
        (Annotated[int | str, Field(gt=1)], "gt cannot constrain str"),
        (Annotated[bool, Field(ge=1)], "ge cannot constrain bool"),
        (Annotated[None, Field(ge=1)], "ge cannot constrain NoneType"),
        (Annotated[Color, Field(ge=1)], "ge cannot constrain Color"),
        (Annotated[Base, Field(max_length=1)], "max_length cannot constrain Base"),
        (Annotated[Both[int], Len(1, 2), Field(ge=1)], "ge cannot constrain tuple"),
        (Annotated[int, Field(max_digits=2)], "max_digits cannot constrain int"),
        (Annotated[str, Field(pattern="(")], "unclosed group"),
        (Annotated[dt.date, Field(gt=3)], "date has no JSON schema: "),
        (list[Annotated[str, Field(min_length=-1)]], "negative"),
    ],
    ids=str,
)
def test_constraints_that_a_type_cannot_have_are_refused(annotation: Any, name: str) -> None:
    """With a configuration error when the type is compiled, not with a crash when the answer arrives."""
    with pytest.raises(ConfigurationError, match=re.escape(name)):
        compile_type(annotation)


def test_constraints_in_the_default_of_a_field_are_checked_too() -> None:
    """A dataclass and a model name the field."""

    @dataclasses.dataclass
    class Record:
        size: str = Field(gt=1)

    class Model(BaseModel):
        size: int = Field(1, min_length=2)

    with pytest.raises(ConfigurationError, match="size: gt cannot constrain str"):
        compile_type(list[Record])
    with pytest.raises(ConfigurationError, match="size: min_length cannot constrain int"):
        compile_type(list[Model])


@pytest.mark.parametrize(
    ("annotation", "text", "problem"),
    [
        (Annotated[int | None, Field(gt=1)], "1", "greater than 1"),
        (Annotated[dt.timedelta, Field(lt=dt.timedelta(1))], '"P2D"', "less than"),
        (Annotated[Decimal, Field(max_digits=2)], "1.234", "no more than 2 digits"),
        (Annotated[Fraction, Field(gt=1)], '"1/2"', "greater than 1"),
        (Annotated[str, AfterValidator(len), Field(gt=2)], '"ab"', "greater than 2"),
        (Annotated[deque[int], Field(min_length=2)], "[1]", "at least 2"),
    ],
    ids=str,
)
def test_other_constraints_are_kept(annotation: Any, text: str, problem: str) -> None:
    """Also if a validator returns another type."""
    assert problem in problems(annotation, f'{{"value": {text}}}')[0]


# --- records ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "text", "problem"),
    [
        (Person, '{"full_name": "Ann"}', "$.fullName: required, but missing"),
        (Person, '{"fullName": "R2"}', "$.fullName: Value error, a name has no digits"),
        (Closed, '{"word": "red", "more": 1}', "$.more: Extra inputs are not permitted"),
        (Plant, '{"name": ""}', "$: Value error, Length of 'name'"),
        (Plant, '{"name": "a", "parts": [{"name": 1}]}', "$.parts[0].name: expected a string, got 1"),
        (Stone, '{"color": "red", "weight": "heavy"}', "$.weight: "),
        (Star, '{"type": "star", "mainColor": "red", "size": 0}', "$.size: "),
        (Star | Moon, '{"value": {"type": "comet"}}', "$.value.type: expected"),
        (Frozen, '{"name": "a", "size": 3}', "$.size: expected 1 or 2"),
    ],
)
def test_records_validate_their_fields(annotation: Any, text: str, problem: str) -> None:
    """Under the names that the model sees; the class's own validators run."""
    assert any(found.startswith(problem) for found in problems(annotation, text))


def test_models_answer_by_alias() -> None:
    """All aliases are read, and the first one is shown."""
    assert list(shown(Person)["properties"]) == ["fullName", "colors", "permission", "age"]
    assert read(compile_type(Person), '{"fullName": "Ann", "years": 3}').age == 3


def test_attrs_classes_convert_and_show_their_defaults() -> None:
    """A converter receives a value of the field's type, and a private name has no underscore in JSON."""

    @attrs.define
    class Tag:
        text: str = attrs.field(converter=str.upper, metadata={"description": "in any case"})
        made: list[int] = attrs.field(factory=list, init=False)

    assert shown(Tag)["properties"] == {"text": {"type": "string", "description": "in any case"}}
    assert read(compile_type(Tag), '{"text": "abc"}') == Tag("abc")
    assert shown(Plant)["$defs"]["Plant"]["properties"]["height"] == {"type": "number", "default": 0.5}


def test_structs_are_distinguished_by_their_tags() -> None:
    """The tag is shown, required, and not given to the class."""
    assert shown(Star)["properties"]["type"] == {"const": "star", "type": "string"}
    assert shown(Star)["properties"]["size"] == {"type": "integer", "minimum": 1, "default": 1}
    assert read(compile_type(Star | Moon), '{"type": "star", "mainColor": 2}') == Star(Color.BLUE)


def test_structs_may_be_generic_and_refer_to_themselves() -> None:
    """As msgspec's own types may."""

    class Link(msgspec.Struct):
        n: int
        next: Link | None = None

    assert read(compile_type(Link), '{"n": 1, "next": {"n": 2}}') == Link(1, Link(2))


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="pydantic.v1 cannot be imported from 3.14 on")
def test_old_models_are_read_without_losing_anything() -> None:
    """A value that they would round silently is a problem; aliases and constraints hold."""
    from kit.kinds import Gone

    assert shown(Gone)["properties"]["n"] == {"type": "integer", "exclusiveMinimum": 0}
    assert shown(Gone)["properties"]["Label"]["anyOf"][0] == {"type": "string", "maxLength": 9}
    assert read(compile_type(Gone), '{"n": 3, "Label": "x"}') == Gone(n=3, Label="x")
    assert problems(Gone, '{"n": 3.7}') == ("$.n: expected an integer, got 3.7",)
    assert problems(Gone, '{"n": 0}')[0].startswith("$.n: expected")


# --- types without a schema ------------------------------------------------------------------------


@dataclasses.dataclass
class Wrong:
    lock: threading.Event


@attrs.define
class Holder:
    wrong: dict[str, Wrong]


class Outer(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)  # or pydantic itself refuses the class
    holders: list[Holder]


@pytest.mark.parametrize(
    ("annotation", "place"),
    [
        (socket.socket, "socket has no JSON schema"),
        (Outer, "Outer.holders[].wrong[].lock: threading.Event has no JSON schema"),
        (tuple[Holder, ...], "tuple[Holder, ...][].wrong[].lock: threading.Event"),
        (Annotated[Outer | None, "text"], ".lock: threading.Event"),
        (list[type[int]], "type[int] has no JSON schema: JSON has no form of a class"),
        (type, "JSON has no form of a class"),
        (dict[str, Callable[[], int]], "Callable"),
    ],
    ids=str,
)
def test_types_without_a_schema_are_named_with_their_place(annotation: Any, place: str) -> None:
    """And with the fix, a parser."""
    with pytest.raises(ConfigurationError) as caught:
        compile_type(annotation)

    assert place in str(caught.value)
    if "form of a class" not in place:
        assert "register_parser(" in str(caught.value)


def test_a_record_with_an_undefined_name_is_refused() -> None:
    """The error names the class and how to fix it."""

    @attrs.define
    class Lost:
        part: Nowhere  # noqa: F821 (that it is not there is the point)

    with pytest.raises(ConfigurationError, match=r"Lost has a type hint .*Nowhere"):
        compile_type(list[Lost])
