"""JSON values for JSON Schemas: valid by pydantic's own judgement, the same everywhere, and readable."""

import datetime as dt
import enum
import ipaddress
import json
import re
import subprocess
import sys
import uuid
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypeVar,
)

import pydantic
import pytest
from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import TypeAliasType, TypedDict

from alloy._typed.schemas.samples import sample
from alloy.errors import ConfigurationError

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 3
    HIGH = 7


@dataclass
class Line:
    what: str
    price: Annotated[float, Field(gt=0)]


@dataclass
class Invoice:
    vendor: str
    total: float
    lines: list[Line]
    due: dt.date | None = None
    color: Color = Color.BLUE
    notes: dict[str, str] = field(default_factory=dict)


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Sparse(TypedDict, total=False):
    key: Required[int]
    other: str


class Point(NamedTuple):
    x: int
    y: int = 0


class Node(BaseModel):
    value: int
    next: Optional["Node"] = None


class Tree(BaseModel):
    name: str
    children: list["Tree"]


class Named(BaseModel):
    by_name: dict[str, "Named"]


class Hen(BaseModel):
    lays: "Egg"


class Egg(BaseModel):
    becomes: Hen | None


class Add(BaseModel):
    left: "Add | Negate | Number"
    right: "Add | Negate | Number"


class Negate(BaseModel):
    operand: "Add | Negate | Number"


class Number(BaseModel):
    number: float


class Loose(TypedDict):
    deeper: "NotRequired[Loose]"
    word: str


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Page(BaseModel, Generic[T]):
    items: Annotated[list[T], Field(min_length=1)]


class Strict(BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    count: int
    share: float
    at: dt.datetime


class Open(BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    known: int
    __pydantic_extra__: dict[str, int]


class Aliased(BaseModel):
    from_: str = Field(alias="from")


class Shown(BaseModel):
    model_config = pydantic.ConfigDict(json_schema_extra={"examples": [{"city": "Oslo"}]})
    city: str


Name = NewType("Name", str)
Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | str | int | None")
Deep = TypeAliasType("Deep", "list[Deep] | None")


def where(kind: Any, **rules: Any) -> Any:
    """*kind* with constraints."""
    return Annotated[kind, Field(**rules)]


Pet = where(Cat | Dog, discriminator="kind")
Short = where(str, pattern=r"^[ab]\d$")
Stripped = Annotated[str, pydantic.StringConstraints(strip_whitespace=True, min_length=5)]

PLAIN = [
    str, int, float, bool, None, bytes, Any, object, Decimal, Path,
    Literal["a", 1, None, True], Literal[7], Color, Level, Name,
    dt.date, dt.time, dt.datetime, dt.timedelta, pydantic.AwareDatetime, pydantic.PastDate,
    uuid.UUID, pydantic.UUID1, pydantic.UUID3, pydantic.UUID4, pydantic.UUID5,
    ipaddress.IPv4Address, ipaddress.IPv4Network, ipaddress.IPv4Interface, pydantic.IPvAnyAddress,
    ipaddress.IPv6Address, ipaddress.IPv6Network, ipaddress.IPv6Interface, pydantic.IPvAnyNetwork,
    pydantic.AnyUrl, pydantic.HttpUrl, pydantic.PostgresDsn, pydantic.SecretStr, pydantic.ByteSize,
    re.Pattern, pydantic.Base64Bytes, pydantic.Base64Str, pydantic.Base64UrlStr, pydantic.Json[list[int]],
    pydantic.JsonValue, pydantic.StrictBool, pydantic.FiniteFloat,
]  # fmt: skip
NUMBERS = [
    pydantic.PositiveInt, pydantic.NegativeInt, pydantic.NonPositiveFloat,
    where(int, ge=10, lt=11), where(int, gt=-8, le=-3), where(int, multiple_of=7, ge=50),
    where(int, ge=2**70), where(int, le=-(2**70)), where(int, multiple_of=10, le=-15),
    where(float, gt=0, lt=1), where(float, gt=0.1, lt=0.11), where(float, ge=-0.5, lt=0),
    where(float, multiple_of=0.25, gt=1), where(float, ge=1e-9, le=2e-9), where(float, ge=1e300),
    where(Decimal, max_digits=4, decimal_places=2, gt=0, lt=1),
    where(Decimal, max_digits=3, decimal_places=0),
]  # fmt: skip
STRINGS = [
    where(str, min_length=30), where(str, max_length=2), where(str, max_length=0),
    where(str, min_length=3, max_length=3), where(bytes, min_length=3), Stripped,
    where(str, pattern=r"^[A-Z]{3}-\d{4}$"), where(str, pattern="^(spam|ham)$"),
    where(str, pattern=r"^\w+@\w+\.[a-z]{2,3}$", min_length=12), where(str, pattern="é$", max_length=5),
]  # fmt: skip
CONTAINERS = [
    list, dict, tuple, set, list[str], set[int], frozenset[str], deque[int], list[Color], list[Name],
    dict[str, int], dict[int, str], dict[float, str], dict[bool, int], dict[Color, int], dict[Decimal, int],
    dict[dt.date, int], dict[uuid.UUID, int], dict[Literal["a", "b"], int], dict[str, dict[str, Any]],
    where(dict[str, int], min_length=3), where(dict[Color, int], min_length=2),
    where(dict[str, int], max_length=0), dict[where(str, pattern=r"^k\d+$"), int],
    tuple[int, str, bool], tuple[int, ...], tuple[()], tuple[tuple[int, str], list[bool]], Point, list[Point],
    where(tuple[int, ...], min_length=2), where(list[int], min_length=4), where(list[int], max_length=0),
    where(list[Literal[1]], min_length=3), where(set[int], min_length=4), where(set[bool], min_length=2),
    where(set[str], min_length=3), where(set[Color], min_length=2), where(set[dt.date], min_length=3),
    where(set[uuid.UUID], min_length=2), where(set[Short], min_length=5), where(set[float], min_length=100),
    where(frozenset[tuple[int, str]], min_length=3), where(set[where(float, ge=0, le=0.5)], min_length=3),
    where(set[int | str], min_length=3), where(set[where(int, ge=1, le=3) | None], min_length=4),
]  # fmt: skip
UNIONS = [
    int | None,
    None | str,
    str | int,
    int | list[int],
    Invoice | None,
    Node | Tree,
    Cat | Dog,
    Pet,
    list[Pet],
]
CLASSES = [
    Line, Invoice, list[Invoice], dict[str, Invoice], tuple[Invoice, int], Movie, list[Movie], Sparse,
    Node, Tree, Named, Hen, Egg, Add, Negate, Loose, Json, Deep, list[Node], dict[str, Tree],
    Page[int], Page[Invoice], Page[Node], Strict, Open, Aliased, Shown,
]  # fmt: skip
TYPES: list[Any] = [*PLAIN, *NUMBERS, *STRINGS, *CONTAINERS, *UNIONS, *CLASSES]


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: str(kind)[:80])
def test_pydantic_accepts_the_sample_of_every_type(kind):
    """What is made of a type's schema is a value of that type."""
    adapter = TypeAdapter(kind)

    adapter.validate_json(json.dumps(sample(adapter.json_schema())))


def test_all_fields_are_filled_with_readable_values():
    """Optional fields too: strings say their field's name, and the first enum member or default is taken."""
    assert sample(TypeAdapter(Invoice).json_schema()) == {
        "vendor": "vendor",
        "total": 1,
        "lines": [{"what": "what", "price": 1}],
        "due": "2025-01-31",
        "color": "blue",
        "notes": {"1": "notes"},
    }


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Node, {"value": 1, "next": None}),
        (Tree, {"name": "name", "children": []}),
        (Named, {"by_name": {}}),
        (Hen, {"lays": {"becomes": None}}),
        (Loose, {"word": "word"}),
        (Negate, {"operand": {"number": 1}}),
        (Add, {"left": {"number": 1}, "right": {"number": 1}}),
        (Page[Tree], {"items": [{"name": "name", "children": []}]}),
    ],
)
def test_recursion_ends_as_early_as_the_schema_allows(kind, value):
    """By null, an empty list or object, a missing property, or the branch that does not recur."""
    assert value == sample(TypeAdapter(kind).json_schema())


class Endless(BaseModel):
    again: "Endless"


class EndlessList(BaseModel):
    again: "Annotated[list[EndlessList], Field(min_length=1)]"


class EndlessDict(BaseModel):
    again: "Annotated[dict[str, EndlessDict], Field(min_length=1)]"


@pytest.mark.parametrize("kind", [Endless, EndlessList, EndlessDict])
def test_a_type_without_finite_values_is_refused(kind):
    """A recursion that nothing ends is an error that says where, and not a RecursionError."""
    with pytest.raises(ConfigurationError, match=r"\$\.again.*: it refers to itself without end"):
        sample(kind.model_json_schema())


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "examples": [3, "Oslo"], "default": "Rome"}, "Oslo"),
        ({"type": "string", "default": "Rome"}, "Rome"),
        ({"type": "string", "maxLength": 3, "default": "Rome", "examples": ["Oslo"]}, "tex"),
        ({"type": "string", "format": "date", "examples": ["tomorrow", "2024-02-29"]}, "2024-02-29"),
        ({"type": ["null", "integer"]}, 1),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}], "default": None}, True),
        ({"enum": [None, "a"]}, None),
        ({"const": {"a": [1]}}, {"a": [1]}),
        ({"minimum": 4}, 4),
        ({"items": {"type": "null"}, "minItems": 2}, [None, None]),
        ({"properties": {"a": {"type": "boolean"}}}, {"a": True}),
        ({"type": "object", "required": ["b"]}, {"b": "text"}),
        ({"type": "object", "patternProperties": {"^x_": {"type": "integer"}}}, {"x_": 1}),
        ({"type": "object", "additionalProperties": False}, {}),
        ({"type": "object", "minProperties": 2}, {"1": "text", "2": "text 2"}),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": False}, [1]),
        ({"allOf": [{"type": "integer", "minimum": 3}, {"multipleOf": 5}]}, 5),
        ({"oneOf": [{"type": "integer", "maximum": 9}, {"type": "number", "minimum": 0}]}, -1),
        ({"type": "integer", "multipleOf": 1.5}, 3),
        ({"type": "integer", "not": {"const": 1}}, 2),
        ({"$ref": "#/$defs/a~1b", "minLength": 6, "$defs": {"a/b": {"type": "string"}}}, "text t"),
        (True, "text"),
    ],
)
def test_hand_written_schemas(schema, value):
    """Keywords that pydantic rarely or never writes, but `json_schema_extra` may."""
    assert value == sample(schema)


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"required": ["a"], "properties": {"a": {"pattern": r"^(a)\1$"}}}, r"\$\.a: .*pattern"),
        ({"type": "array", "minItems": 1, "items": {"pattern": "("}}, r"\$\[0\]: .*pattern"),
        ({"type": "array", "minItems": 3, "uniqueItems": True, "items": {"type": "boolean"}}, "uniqueItems"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, '"maximum": 2'),
        ({"type": "object", "required": ["b"], "maxProperties": 0}, r"\$: .*maxProperties"),
        ({"anyOf": [{"enum": []}, False]}, r"\$"),
        ({"$ref": "#/$defs/nobody"}, "'#/\\$defs/nobody'"),
    ],
)  # fmt: skip
def test_what_cannot_be_met_is_named_with_its_path(schema, named):
    """No silent wrong answer: the error says where, and by which keyword."""
    with pytest.raises(ConfigurationError, match=named):
        sample(schema)


def test_an_optional_property_that_cannot_be_met_is_left_out():
    """The answer is still valid without it."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": []}}}

    assert sample(schema) == {"a": 1}


def test_many_types_that_all_refer_to_each_other_are_quick():
    """Sixty mutually recursive definitions with sixty optional fields each do not multiply."""
    names = [f"T{number}" for number in range(60)]
    fields = {name: {"anyOf": [{"$ref": f"#/$defs/{name}"}, {"type": "null"}]} for name in names}
    node = {"type": "object", "properties": fields, "required": names}
    schema = {"$ref": "#/$defs/T0", "$defs": dict.fromkeys(names, node)}

    assert dict.fromkeys(names) == sample(schema)


def test_dead_ends_are_not_tried_out_one_by_one():
    """Definitions that all need each other are refused at once, or ended by the one that ends."""
    names = [f"T{number}" for number in range(60)]
    branches = [{"$ref": f"#/$defs/{name}"} for name in names]
    node = {"type": "object", "properties": {"next": {"anyOf": branches}}, "required": ["next"]}
    endless = dict.fromkeys(names, node)

    with pytest.raises(ConfigurationError, match="without end"):
        sample({"$ref": "#/$defs/T0", "$defs": endless})
    assert sample({"$ref": "#/$defs/T0", "$defs": {**endless, "T59": {"const": 1}}}) == {"next": 1}


def test_another_process_makes_the_same_sample():
    """No hash seed, clock or random number has a say."""
    schema = TypeAdapter(list[Invoice] | dict[Color, Tree]).json_schema()
    program = (
        "import json, sys; from alloy._typed.schemas.samples import sample; "
        "print(json.dumps(sample(json.load(sys.stdin))))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            input=json.dumps(schema),
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }

    assert runs == {json.dumps(sample(schema))}
