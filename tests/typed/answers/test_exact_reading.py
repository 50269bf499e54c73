"""What must not be read as something that it only resembles."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
)

from alloy import ParseError, parse
from alloy._typed.types.compile import compile_type
from alloy._typed.types.signature import ArgumentsError, compile_signature

v1 = pytest.importorskip("pydantic.v1")


class Level(enum.IntEnum):
    LOW = 1
    MID = 2


class Half(enum.Enum):
    HALF = 0.5
    WHOLE = 1.0


class Mixed(enum.Enum):
    NAME = "x"
    TWO = 2


@dataclass
class Settings:
    retries: int = 3
    region: str = "eu"


@dataclass
class Flagged:
    flag: Literal[0, 1] | None = None


class FlaggedDict(TypedDict):
    flag: Literal[0, 1] | None


class FlaggedTuple(NamedTuple):
    flag: Literal[0, 1] | None


class FlaggedModel(BaseModel):
    flag: Literal[0, 1] | None


@attrs.define
class FlaggedAttrs:
    flag: Literal[0, 1] | None


class FlaggedStruct(msgspec.Struct):
    flag: Literal[0, 1] | None


def refused(annotation: Any, text: str) -> str:
    """The first problem of *text*."""
    with pytest.raises(ParseError) as caught:
        parse(annotation, text)
    return caught.value.problems[0]


# --- numbers, booleans and choices ------------------------------------------------------------------


@pytest.mark.parametrize("nest", ["{}", "[{}]", '{{"a": {}}}'])
@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Level, "true"), (Level | None, "true"), (Literal[1], "true"),
        (Literal[1, 2, 3] | None, "true"),
        (Literal[0, 1] | str, "false"), (Level | float, "true"), (Half | None, "true"),
        (Mixed | None, "true"),
        (Literal[True], "1"), (Literal[True], "1.0"), (Literal[False] | None, "0"),
        (Literal[True] | str, "1"),
    ],
)  # fmt: skip
def test_a_boolean_is_not_a_number(annotation: Any, value: str, nest: str) -> None:
    """In Python they are equal, in JSON they are not; in a union either, and inside of containers."""
    kinds = {"{}": annotation, "[{}]": list[annotation], '{{"a": {}}}': dict[str, annotation]}
    assert refused(kinds[nest], nest.format(value)).endswith(f"got {value}")


class FlaggedInit(BaseModel):
    flag: Literal[0, 1] | None
    day: dt.date | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


def test_a_model_with_its_own_init() -> None:
    """Its `__init__` gets values that were checked."""
    refused(FlaggedInit, '{"flag": true}')
    refused(FlaggedInit, '{"flag": 1, "day": "0"}')
    assert parse(FlaggedInit, '{"flag": 1, "day": "2026-01-02"}').day == dt.date(2026, 1, 2)


@pytest.mark.parametrize(
    "kind", [Flagged, FlaggedDict, FlaggedModel, FlaggedAttrs, FlaggedStruct, Flagged | FlaggedModel | None]
)
def test_a_boolean_is_not_a_number_in_a_field(kind: Any) -> None:
    """For every kind of class."""
    refused(kind, '{"flag": true}')
    refused(FlaggedTuple, "[true]")


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (Literal[1] | bool, "true", True), (bool | Literal[1], "1", 1), (Literal[True] | int, "1", 1),
        (Level | bool, "true", True), (Half, "1", Half.WHOLE), (Half, "0.5", Half.HALF),
        (Literal[2], "2.0", 2),
        (Literal[1, 2], '"2"', 2), (Literal[1, 2] | None, '"2"', 2), (Level, '"2"', Level.MID),
        (list[Literal[1, 2]], '["1", "2"]', [1, 2]), (Half, '"0.5"', Half.HALF), (Mixed, '"2"', Mixed.TWO),
        (Literal[True], '"true"', True), (Literal["1", 2], '"1"', "1"), (Literal[1, 2] | str, '"2"', "2"),
    ],
)  # fmt: skip
def test_a_choice_has_its_type(annotation: Any, text: str, value: Any) -> None:
    """A number in a string is a choice, as it is an `int`, where no string is valid."""
    read = parse(annotation, text)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    "annotation", [int, int | None, Literal[30], Literal[30] | None, Level | Literal[30]]
)
@pytest.mark.parametrize(
    "text", ["30.0000000000000001", "29.99999999999999999999", "30.000000000000000000001e0", "3e-400"]
)
def test_a_float_is_an_integer_by_its_digits(annotation: Any, text: str) -> None:
    """And not by the nearest float."""
    refused(annotation, text)
    assert parse(annotation, "30.0") == parse(annotation, "3e1") == 30


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (str | Decimal, "0.1", Decimal("0.1")),
        (Decimal | str, "0.12345678901234567890123", Decimal("0.12345678901234567890123")),
        (str | Decimal | None, "1", Decimal(1)),
        (list[str | Decimal], '[0.10, "0.10"]', [Decimal("0.10"), "0.10"]),
        (dict[str, Decimal | str], '{"a": 1.10}', {"a": Decimal("1.10")}),
        (Decimal | dt.date, "0.1", Decimal("0.1")),
        (uuid.UUID | Decimal, "0.1", Decimal("0.1")),
        (Decimal | dt.date, '"2026-01-01"', dt.date(2026, 1, 1)),
        (int | Decimal | str, "3", 3),
        (int | Decimal | str, "3.50", Decimal("3.50")),
        (Decimal | bool, "true", True),
        (Annotated[Decimal | str, Field(description="x")] | list[int], "0.1", Decimal("0.1")),
        (Annotated[Decimal, Field(max_digits=3)] | None | str, "0.1", Decimal("0.1")),
        (Settings | Decimal | str, "0.1", Decimal("0.1")),
        (Settings | FlaggedModel | Decimal | str, "0.1", Decimal("0.1")),
        (Settings | FlaggedModel | Decimal | str, '{"flag": 1}', FlaggedModel(flag=1)),
    ],
)  # fmt: skip
def test_a_number_is_a_decimal_in_a_union(annotation: Any, text: str, value: Any) -> None:
    """With all of its digits, also next to members that take text."""
    read = parse(annotation, text)
    assert read == value and type(read) is type(value) and repr(read) == repr(value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=30, min_value=-10, max_value=10))
def test_every_decimal_keeps_its_digits_in_a_union(number: Decimal) -> None:
    assert str(parse(str | Decimal, f"{number:f}")) == str(Decimal(f"{number:f}"))


# --- dates and durations ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [dt.datetime, dt.date, dt.time])
@pytest.mark.parametrize(
    "text", ["2026", "0", "-5", "+5", "1.5", ".5", "20260101", "1767225600000", " 12 ", "1e3", "12"]
)
def test_digits_are_not_seconds_since_1970(kind: Any, text: str) -> None:
    """In a field, a container and a key either; a union takes them as what they are."""
    refused(kind, f'"{text}"')
    refused(list[kind], f'["{text}"]')
    refused(dict[kind, int], f'{{"{text}": 1}}')
    refused(kind | None, f'"{text}"')
    assert parse(kind | str, f'"{text}"') == text


def test_numbers_are_no_dates() -> None:
    assert parse(dt.datetime | int, "2026") == 2026
    assert parse(dt.date | str, '"2026-01-02"') == dt.date(2026, 1, 2)


@pytest.mark.parametrize("text", ["P1M", "P1Y", "P1Y2M", "P1M2DT1H", "-P1M", "P0.5Y", "+P2M"])
def test_months_have_no_length(text: str) -> None:
    """A duration with months or years is an error; weeks to seconds are read."""
    assert "months and years have no fixed length" in refused(dt.timedelta, f'"{text}"')
    assert parse(dt.timedelta | str, f'"{text}"') == text
    assert parse(dt.timedelta, '"P1DT1M"') == dt.timedelta(days=1, minutes=1)
    assert parse(dt.timedelta, '"P2W"') == dt.timedelta(weeks=2)


# --- keys -------------------------------------------------------------------------------------------

Lower = Annotated[str, StringConstraints(to_lower=True, strip_whitespace=True)]


@pytest.mark.parametrize(
    ("annotation", "first", "second"),
    [
        (dict[int, int], "1", "01"), (dict[int, int], "1", "1.0"), (Mapping[int, int], "1", " 1"),
        (OrderedDict[int, int], "1", "01"), (Counter[int], "1", "01"), (dict[float, int], "1", "1e0"),
        (dict[Decimal, int], "1", "1.0"), (dict[Lower, int], "A", "a "), (dict[bool, int], "true", "1"),
        (dict[Annotated[str, AfterValidator(str.casefold)], int], "ß", "ss"),
        (dict[uuid.UUID, int], "1" * 32, f"{'1' * 8}-1111-1111-1111-{'1' * 12}"),
        (dict[int, int] | None, "1", "01"), (dict[int, int] | list[int], "1", "01"),
    ],
)  # fmt: skip
def test_keys_that_become_one_are_a_conflict(annotation: Any, first: str, second: str) -> None:
    """With the same value they are one key, as a key given twice is."""
    assert "the same after conversion" in refused(annotation, f'{{"{first}": 1, "{second}": 2}}')
    assert list(parse(annotation, f'{{"{first}": 1, "{second}": 1}}').values()) == [1]
    assert "the same after conversion" in refused(list[annotation], f'[{{"{first}": 1, "{second}": 2}}]')


class Kids(BaseModel):
    kids: dict[int, Kids] = {}


def test_keys_in_recursive_types() -> None:
    assert parse(Kids, '{"kids": {"1": {"kids": {"2": {}, "3": {}}}}}').kids[1].kids.keys() == {2, 3}
    refused(Kids, '{"kids": {"1": {"kids": {"2": {}, "02": {"kids": {"1": {}}}}}}}')


@given(st.dictionaries(st.integers(), st.integers()))
def test_different_keys_are_kept(value: dict[int, int]) -> None:
    text = "{" + ", ".join(f'"{key}": {item}' for key, item in value.items()) + "}"
    assert parse(dict[int, int], text) == value


# --- strictness -------------------------------------------------------------------------------------


class Inner(BaseModel):
    x: int


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    a: int = 0
    number: float = 0
    flag: bool = False
    level: Level = Level.LOW
    optional: int | None = None
    many: list[int] = []
    word: Literal["x", "y"] = "x"
    choice: Literal[1, 2] = 1
    either: int | bool | None = None
    money: Decimal = Decimal(1)
    day: dt.date = dt.date(2026, 1, 1)
    lax: Annotated[int, Field(strict=False)] = 0
    inner: Inner | None = None


@pydantic.dataclasses.dataclass(config=ConfigDict(strict=True))
class StrictDataclass:
    a: int


class StrictDict(TypedDict):
    a: int


StrictDict.__pydantic_config__ = ConfigDict(strict=True)  # type: ignore[attr-defined]


class Old(v1.BaseModel):  # type: ignore[misc,name-defined]
    a: v1.StrictInt = 0
    flag: v1.StrictBool = False
    number: v1.StrictFloat = 0.0
    limited: v1.conint(strict=True, gt=0) = 1  # type: ignore[valid-type]


class Around(BaseModel):
    strict: Strict | None = None
    lax: int = 0


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Strict, '{"a": "1"}'), (Strict, '{"a": 1.0}'), (Strict, '{"number": "1"}'),
        (Strict, '{"flag": "true"}'),
        (Strict, '{"level": "MID"}'), (Strict, '{"level": "2"}'), (Strict, '{"optional": "1"}'),
        (Strict, '{"many": ["1"]}'), (Strict, '{"word": "X"}'), (Strict, '{"choice": "1"}'),
        (Strict, '{"either": "1"}'), (Around, '{"strict": {"a": "1"}}'), (StrictDataclass, '{"a": "1"}'),
        (StrictDict, '{"a": "1"}'), (list[StrictDict], '[{"a": "1"}]'), (StrictInt, '"3"'),
        (StrictInt, "3.0"),
        (StrictInt | None, '"3"'), (list[StrictInt], '["3"]'), (dict[str, StrictBool], '{"a": "true"}'),
        (StrictFloat, '"1.5"'), (Annotated[int, Field(strict=True)], '{"value": "3"}'),
        (Annotated[Level, Field(strict=True)], '"MID"'), (Old, '{"a": "1"}'), (Old, '{"flag": "true"}'),
        (Old, '{"flag": 1}'), (Old, '{"number": "1"}'), (Old, '{"limited": "2"}'),
    ],
)  # fmt: skip
def test_strict_types_take_no_conversion(annotation: Any, text: str) -> None:
    """Whatever declares them: a class's configuration, a field, a type of pydantic or of `pydantic.v1`."""
    refused(annotation, text)


def test_strict_types_take_their_values() -> None:
    """Text for a date or a Decimal is its form in JSON, and `strict=False` is a choice as well."""
    text = '{"a": 1, "number": 1, "level": 2, "money": 1.10, "day": "2026-02-03", "lax": "4", "either": true}'
    read = parse(Strict, text)
    assert (read.a, read.level, read.lax, read.either) == (1, Level.MID, 4, True)
    assert (str(read.money), read.day) == ("1.10", dt.date(2026, 2, 3))
    assert parse(Around, '{"lax": "1"}') == Around(lax=1)
    assert parse(Old, '{"flag": true, "a": 2}') == Old(flag=True, a=2)


def test_strict_parameters_take_no_conversion() -> None:
    def tool(n: Annotated[int, Field(strict=True)], flag: StrictBool = False) -> None: ...

    signature = compile_signature(tool)
    assert signature.read('{"n": 1}') == {"n": 1}
    for arguments in ('{"n": "1"}', '{"n": 1, "flag": "true"}'):
        with pytest.raises(ArgumentsError):
            signature.read(arguments)


def test_marks_are_not_shown() -> None:
    """What only Alloy reads is not in the schema."""
    for annotation in (Strict, Annotated[Level, Field(strict=True)], Decimal | str):
        assert "x-alloy" not in repr(compile_type(annotation).schema)


# --- unknown keys and fields that are not asked for -------------------------------------------------


class OldInner(v1.BaseModel):  # type: ignore[misc,name-defined]
    z: int = 0


class OldClosed(v1.BaseModel):  # type: ignore[misc,name-defined]
    class Config:
        extra = "forbid"

    a: int = 1
    inner: OldInner | None = None


class StructInner(msgspec.Struct):
    z: int = 0


class StructClosed(msgspec.Struct, forbid_unknown_fields=True):
    a: int = 1
    inner: StructInner | None = None


@pytest.mark.parametrize("kind", [OldClosed, StructClosed])
def test_unknown_keys_are_forbidden_where_the_class_says_so(kind: Any) -> None:
    """For the class itself, and not for the classes inside it."""
    assert refused(kind, '{"a": 1, "b": 2}').startswith("$.b: Extra inputs are not permitted")
    refused(list[kind], '[{"b": 2}]')
    refused(kind | int, '{"a": 1, "b": 2}')
    refused(kind | None, '{"b": 2}')
    assert parse(kind, '{"a": 2, "inner": {"z": 3, "q": 4}}').inner.z == 3
    assert compile_type(kind).schema["additionalProperties"] is False  # type: ignore[index]
    assert parse(OldInner, '{"z": 1, "q": 2}') == OldInner(z=1)


@dataclass
class Computed:
    a: int
    double: int = field(init=False)
    start: InitVar[int] = 3

    def __post_init__(self, start: int) -> None:
        self.double = self.a * 2 + start


@pydantic.dataclasses.dataclass
class Fixed:
    a: int
    b: int = field(init=False, default=7)
    c: int = Field(init=False, default=8)


@dataclass
class Derived(Computed):
    more: list[Computed] = field(default_factory=list)


@pytest.mark.parametrize(
    ("kind", "names"), [(Computed, ["a", "start"]), (Fixed, ["a"]), (Derived, ["a", "start", "more"])]
)
def test_a_field_that_init_does_not_take_is_not_asked_for(kind: Any, names: list[str]) -> None:
    """It is neither shown nor required, and an answer that has it is read without it."""
    schema = compile_type(kind).schema
    assert schema is not None
    assert list(schema["properties"]) == names and schema["required"] == ["a"]
    assert parse(kind, '{"a": 1, "double": 9, "b": 9}') == kind(a=1)


# --- the rest of broken JSON, escapes and fences ----------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (list[int], "[10, 20], 30]"), (list[int], "30], [10, 20]"), (list[int], "1, 2], [3]"),
        (list[int], "```json\n[10, 20], 30]\n```"), (list[int], "[10, 20]], 30]"),
        (Settings, '{"retries": 5}, "region": "us"}'), (Settings, '{"retries": 5}, "region": "us"'),
        (Settings, "{'retries': 5}, 'region': 'us'"), (Settings, '{"retries": 5}, region: "us"}'),
        (Settings, '{"retries": 5} "region": "us"}'), (Settings, '"region": "us"}, {"retries": 5}'),
        (Settings, '{"retries": 5}}, "region": "us"}'), (Settings, 'So: {"retries": 5},\n"region": "us"}'),
        (Settings, '<json>{"retries": 5}, "region": "us"</json>'), (Settings, '{"retries": 5}, true}'),
        (Settings, 'Answer: {"retries": 5}, "region": "us"}'), (int, "5]"), (int, "4, 5]"),
    ],
)  # fmt: skip
def test_the_rest_of_broken_json_is_not_prose(annotation: Any, text: str) -> None:
    """A part of an answer is not the answer."""
    refused(annotation, text)


@pytest.mark.parametrize(
    "text",
    [
        "See (0, 1]: [10, 20]", "[10, 20] in (0, 1]", "Sure :] [10, 20]", "[10, 20], which is right.",
        "[10, 20], as I said {here} already", "[10, 20]]",
    ],
)  # fmt: skip
def test_brackets_in_prose_are_prose(text: str) -> None:
    assert parse(list[int], text) == [10, 20]


@pytest.mark.parametrize(
    "text",
    ['{"region": "it\\\'s"}', "{\"region\": 'it\\'s'}", '{"region": “it\\\'s”}', '{"region": "it\'s"}'],
)
def test_an_escaped_single_quote_is_a_single_quote(text: str) -> None:
    r"""Between any quotes: `\\'` cannot mean anything else. Two backslashes are one."""
    assert parse(Settings, text) == Settings(region="it's")
    assert parse(Settings, '{"region": "\\\\\'\\\'"}') == Settings(region="\\''")
    refused(Settings, '{"region": "a\\`b"}')


@pytest.mark.parametrize("fence", ["```", "~~~", "````"])
def test_one_end_of_a_fence_around_whole_json(fence: str) -> None:
    """The other end says nothing: the JSON is whole."""
    document = '{"retries": 1, "region": "a"}'
    for text in (f"{fence}json\n{document}", f"{fence}\n{document}\n", f"{fence}json {document}",
                 f"{document}\n{fence}", f"{document}\n{fence}\n"):  # fmt: skip
        assert parse(Settings, text) == Settings(1, "a"), text
        assert parse(Settings | None, text) == Settings(1, "a"), text
    assert parse(list[int], f"{fence}\n[1, 2]") == parse(list[int], f"[1, 2]\n{fence}") == [1, 2]
    assert parse(Literal["a"], f'{fence}\n"a"') == parse(Literal["a"], f"a\n{fence}") == "a"
    assert parse(int, f"12\n{fence}") == 12


@pytest.mark.parametrize(
    "text",
    [
        "```\n12", "```json\n[1, 2", "```json\n[1, 2]\nand", "```json\n[1, 2]\n[1, 2]", "[1, 2]\n```json",
        "[1, 2]\n```\n[1", "So:\n```json\n[1, 2]", "[1, 2] ```", "<json>\n[1, 2]",
    ],
)  # fmt: skip
def test_one_end_of_a_fence_where_something_may_be_missing(text: str) -> None:
    refused(list[int] | int, text)
