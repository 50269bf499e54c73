"""The arguments of a model's own `__init__` are read as the fields of the same model without it are."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import json
import pathlib
import uuid
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import pytest
import typing_extensions
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    Json,
    SecretStr,
    WrapValidator,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.types import Base64Bytes

from alloy import AnswerError, ParseError, ask, parse
from alloy.errors import ConfigurationError
from alloy.testing import replies


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Odd(enum.Enum):
    LOW = (1, 2)


class Point(NamedTuple):
    x: int
    at: date | None = None


class Keyed(typing_extensions.TypedDict):
    size: Annotated[int, Field(validation_alias="Size")]
    day: typing_extensions.NotRequired[date]


class Inner(BaseModel):
    nights: int


def twins(field: Any, **config: Any) -> tuple[type[BaseModel], type[BaseModel]]:
    """A model with one required field, and the same with an `__init__` that notes its arguments."""
    plain = create_model("Plain", __config__=ConfigDict(**config), value=field)

    class Own(plain):  # type: ignore[misc, valid-type]
        _got: dict[str, Any]

        def __init__(self, **values: Any) -> None:
            super().__init__(**values)
            self._got = values

    return plain, Own


def outcome(kind: Any, text: str) -> Any:
    try:
        return parse(kind, text).model_dump()
    except ParseError as error:
        return error.problems


VALUES = (
    '"low"', '"LOW"', '"high"', "true", "false", "0", "1", "-1", "1.0", "1.5", '"1"', '"yes"', "null",
    '"2026-01-02"', '"P1D"', '"PT1H"', "[]", "[1]", '["low"]', "[true]", '[1, "low"]', "{}", '{"low": 1}',
    '{"nights": 1}', '{"nights": true}', '{"Size": 1}', '{"Size": 1, "day": "2026-01-02"}', '{"size": 1}',
    '[1, "2026-01-02"]', '"aGk="', '"?"', '"12345678-1234-5678-1234-567812345678"', '"127.0.0.1"',
    '"https://a.example/"', '"[1]"', "86400",
)  # fmt: skip

TYPES = (
    int, bool, float, str, Decimal, date, timedelta, uuid.UUID, bytes, Level, int | None, date | None,
    int | str, list[Level], tuple[int, Level], set[int], dict[str, bool], Inner, list[Inner],
    dict[Level, int], Keyed, list[Keyed], Point, Sequence[date], ipaddress.IPv4Address, pathlib.Path, HttpUrl,
    SecretStr, Json[list[int]], Base64Bytes, Annotated[str, AfterValidator(str.upper)], frozenset[date],
    Inner | int,
)  # fmt: skip


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_arguments_are_read_as_fields(kind: Any, strict: bool) -> None:
    """Every value gives the same value, or the same problems, with `__init__` and without it."""
    plain, own = twins((kind, ...), strict=strict)
    valid = 0
    for value in VALUES:
        text = f'{{"value": {value}}}'
        expected = outcome(plain, text)
        assert outcome(own, text) == expected, text
        valid += isinstance(expected, dict)
    assert 0 < valid < len(VALUES)
    assert outcome(own, "{}") == outcome(plain, "{}") == ("$.value: required, but missing",)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Level, '"low"', Level.LOW),
        (list[Level], '["low"]', [Level.LOW]),
        (date, '"2026-01-02"', date(2026, 1, 2)),
        (uuid.UUID, f'"{uuid.UUID(int=1)}"', uuid.UUID(int=1)),
        (tuple[int, Level], '[1, "low"]', (1, Level.LOW)),
        (set[int], "[1]", {1}),
        (Decimal, "1.10", Decimal("1.10")),
        (ipaddress.IPv4Address, '"127.0.0.1"', ipaddress.IPv4Address("127.0.0.1")),
        (pathlib.Path, '"a"', pathlib.Path("a")),
        (SecretStr, '"a"', SecretStr("a")),
        (Inner, '{"nights": 1}', Inner(nights=1)),
        (dict[Level, date], '{"low": "2026-01-02"}', {Level.LOW: date(2026, 1, 2)}),
        (bytes, '"aGk="', b"hi"),
    ],
    ids=str,
)
@pytest.mark.parametrize("strict", [False, True])
def test_init_gets_python_values(kind: Any, text: str, value: Any, strict: bool) -> None:
    """As a Python caller gives them, next to a field that Alloy converts and without one."""
    for field in (kind, Annotated[kind, Field(description="a value")]):
        _, own = twins((field, ...), strict=strict)
        made: Any = parse(own, f'{{"value": {text}}}')
        assert made._got == {"value": value}
        assert type(made._got["value"]) is type(value)


@pytest.mark.parametrize("kind", [Level, Literal[Level.LOW], list[Literal[Level.LOW]], Odd])
def test_a_class_may_take_the_values_of_members(kind: Any) -> None:
    """`__init__` gets the members, as a Python caller gives them, and the class takes their values."""
    plain, own = twins((kind, ...), use_enum_values=True)
    text = '{"value": ["LOW"]}' if kind not in (Level, Literal[Level.LOW], Odd) else '{"value": "LOW"}'

    made: Any = parse(own, text)
    assert made.model_dump() == parse(plain, text).model_dump()
    assert made._got["value"] in (Level.LOW, [Level.LOW], Odd.LOW)


class Trip(BaseModel):
    """Its `__init__` takes no other arguments."""

    nights: int

    def __init__(self, nights: int) -> None:
        if nights < 1:
            raise ValueError("at least one night")
        super().__init__(nights=nights)


class Journey(BaseModel):
    trip: Trip
    others: list[Trip] = []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"nights": true}', "expected an integer, got true"),
        ('{"nights": "two"}', "expected an integer"),
        ("{}", "nights: required, but missing"),
        ('{"nights": 0}', "at least one night"),
        ("3", "expected an object"),
    ],
)
def test_a_wrong_answer_is_a_problem(text: str, problem: str) -> None:
    """Whether the types or `__init__` refuse it, nested too; the model is asked again."""
    for kind, answer in (
        (Trip, text),
        (list[Trip], f"[{text}]"),
        (Journey, f'{{"trip": {text}}}'),
        (Journey, f'{{"trip": {{"nights": 1}}, "others": [{text}]}}'),
        (Trip | str, text) if text != "3" else (Trip, text),
    ):
        with pytest.raises(ParseError, match=problem):
            parse(kind, answer)
    with replies(text, '{"nights": 2}'):
        assert ask("How many nights?", output=Trip).nights == 2
    with replies(text, text), pytest.raises(AnswerError, match=problem):
        ask("How many nights?", output=Trip)


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    nights: int

    def __init__(self, nights: int, note: str = "") -> None:
        super().__init__(nights=nights)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    nights: int

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class Narrow(BaseModel):
    model_config = ConfigDict(extra="allow")

    nights: int

    def __init__(self, nights: int) -> None:
        super().__init__(nights=nights)


class Noted(BaseModel):
    """It adds arguments, which are not shown to the model."""

    nights: int

    def __init__(self, nights: int, note: str = "none", level: Level = Level.LOW) -> None:
        super().__init__(nights=nights)
        self._note = note, level

    _note: tuple[str, Level]


def test_extra_keys_follow_the_rule_of_the_class() -> None:
    """Ignored, forbidden or kept; a class that could not keep them refuses them."""
    text = '{"nights": 3, "note": "x"}'

    assert parse(Trip, text) == Trip(3)
    assert parse(Open, text).model_extra == {"note": "x"}
    for kind in (Closed, Narrow):
        with pytest.raises(ParseError, match=r"\$\.note: Extra inputs are not permitted"):
            parse(kind, text)
    assert parse(Noted, text)._note == ("x", Level.LOW)
    assert parse(Noted, '{"nights": 3, "level": "high"}')._note == ("none", Level.LOW)
    with pytest.raises(ParseError, match=r"\$\.note: expected a string"):
        parse(Noted, '{"nights": 3, "note": 3}')


def test_the_name_of_self_is_no_argument() -> None:
    """Python cannot pass it twice."""
    _, own = twins((int, ...))

    assert parse(own, '{"value": 1, "self": 2, "subject": 3}').model_dump() == {"value": 1}
    with pytest.raises(ParseError, match="the key 'self' is reserved"):
        parse(Open, '{"nights": 1, "self": 2}')


class Defaulted(BaseModel):
    """Its `__init__` requires what the field does not."""

    nights: int = 7
    level: Level = Level.HIGH
    days: list[date] = Field(default_factory=lambda: [date(2026, 1, 2)])
    other: int = 1

    def __init__(self, nights: int, level: Level, days: list[date], **values: Any) -> None:
        super().__init__(nights=nights, level=level, days=days, **values)


def test_init_gets_the_default_of_a_field_that_it_requires() -> None:
    """Other fields without a value are not passed, so the class knows what was given."""
    made = parse(Defaulted, '{"level": "low"}')

    assert made.model_dump() == {"nights": 7, "level": Level.LOW, "days": [date(2026, 1, 2)], "other": 1}
    assert made.model_fields_set == {"nights", "level", "days"}


class Aliased(BaseModel):
    model_config = ConfigDict(validate_by_name=True)

    nights: int = Field(validation_alias=AliasChoices("Nights", "n"))
    deep: int = Field(0, validation_alias=AliasPath("a", 1, "b"))
    deeper: int = Field(0, validation_alias=AliasPath("a", 0))
    when: date = Field(date(2026, 1, 1), alias="day")

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


def test_aliases() -> None:
    """Any of them, and the name if the class accepts it."""
    for key in ("Nights", "n", "nights"):
        made = parse(Aliased, f'{{"{key}": 1, "a": [3, {{"b": 2}}], "day": "2026-01-02"}}')
        assert (made.nights, made.deep, made.deeper, made.when) == (1, 2, 3, date(2026, 1, 2))
        with pytest.raises(ParseError, match=r"ights: |\.n: "):
            parse(Aliased, f'{{"{key}": true}}')


class Ends(BaseModel):
    last: int = Field(validation_alias=AliasPath("a", -1))
    first: int = Field(validation_alias=AliasPath("a", 0))
    third: int = Field(0, validation_alias=AliasPath("a", -3, "b", "c"))
    days: list[date] = Field([], validation_alias=AliasPath("b", "days"))

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class EndsTwin(BaseModel):
    last: int = Field(validation_alias=AliasPath("a", -1))
    first: int = Field(validation_alias=AliasPath("a", 0))
    third: int = Field(0, validation_alias=AliasPath("a", -3, "b", "c"))
    days: list[date] = Field([], validation_alias=AliasPath("b", "days"))


@pytest.mark.parametrize(
    "items", ["[1, 2, 3]", "[5]", "[1, 2]", '[1, {"b": {"c": 7}}, 2, 3]', "[true]", "[]"]
)
def test_paths_of_aliases(items: str) -> None:
    """Indices count from both ends."""
    text = f'{{"a": {items}, "b": {{"days": ["2026-01-02"]}}}}'

    assert outcome(Ends, text) == outcome(EndsTwin, text)


calls: list[str] = []


class Validated(BaseModel):
    nights: int
    tags: list[str] = []
    word: str = ""
    name: str

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)

    @field_validator("tags", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        calls.append("tags")
        return value.split(",") if isinstance(value, str) else value

    @field_validator("word", mode="wrap")
    @classmethod
    def _wrapped(cls, value: Any, handler: Any) -> Any:
        calls.append("word")
        return handler(str(value))

    @field_validator("nights")
    @classmethod
    def _positive(cls, value: int) -> int:
        calls.append("nights")
        return value

    @model_validator(mode="before")
    @classmethod
    def _first(cls, values: Any) -> Any:
        calls.append("before")
        return {"name": "nobody", **values}

    @model_validator(mode="wrap")
    @classmethod
    def _around(cls, values: Any, handler: Any) -> Any:
        calls.append("wrap")
        return handler(values)

    @model_validator(mode="after")
    def _last(self) -> Validated:
        calls.append("after")
        return self


class Holding(BaseModel):
    one: Validated
    both: Validated | int = 0


def test_validators_of_the_class_run_once() -> None:
    """Inside `__init__`, and those that come first get what the model answered."""
    text = '{"nights": 1, "tags": "a,b", "word": 3}'
    for kind, answer in ((Validated, text), (Holding, f'{{"one": {text}}}'), (list[Validated], f"[{text}]")):
        calls.clear()
        made: Any = parse(kind, answer)
        made = made[0] if isinstance(made, list) else getattr(made, "one", made)
        assert made.model_dump() == {"nights": 1, "tags": ["a", "b"], "word": "3", "name": "nobody"}
        assert sorted(calls) == ["after", "before", "nights", "tags", "word", "wrap"]
    with pytest.raises(ParseError, match=r"\$\.nights: expected an integer"):
        parse(Validated, '{"nights": true}')


def unchanged(value: Any) -> Any:
    return value


def handled(value: Any, handler: Any) -> Any:
    return handler(value)


@pytest.mark.parametrize("validator", [BeforeValidator(unchanged), WrapValidator(handled)])
def test_a_validator_that_comes_first_hides_no_wrong_value(validator: Any) -> None:
    """It may pass on what it got, and the class would take that by the rules for Python values."""
    for kind, wrong in ((int, "true"), (bool, '"yes"'), (float, "true"), (date, "0"), (list[bool], "[1]")):
        field = Annotated[kind, validator]
        for shown, text in ((field, wrong), (dict[str, field], f'{{"a": {wrong}}}')):
            _, own = twins((shown, ...))
            with pytest.raises(ParseError, match="expected"):
                parse(own, f'{{"value": {text}}}')


def first_letter(value: Any) -> Any:
    return int(value[:1]) if isinstance(value, str) else value


def test_validators_that_come_first_inside_one_another() -> None:
    """The inner ones may change some of the items: the others are still read strictly."""
    items = list[Annotated[int, BeforeValidator(first_letter)]]
    _, own = twins((Annotated[items, BeforeValidator(unchanged)], ...))

    assert parse(own, '{"value": ["3x", 4]}').model_dump() == {"value": [3, 4]}
    for wrong in ("[true]", '["3x", true]'):
        with pytest.raises(ParseError, match="expected an integer, got true"):
            parse(own, f'{{"value": {wrong}}}')


class Watched(BaseModel):
    """It counts how often it is made."""

    nights: int

    @model_validator(mode="after")
    def _made(self) -> Watched:
        calls.append("watched")
        return self


@dataclasses.dataclass
class Part:
    nights: int

    def __post_init__(self) -> None:
        calls.append("part")


class Linked(typing_extensions.TypedDict):
    nights: int
    then: typing_extensions.NotRequired[Linked]


@pytest.mark.parametrize("kind", [Watched, Part, Linked, list[Watched], Trip, Watched | Linked])
@pytest.mark.parametrize("validator", [BeforeValidator(unchanged), WrapValidator(handled)])
def test_a_validator_that_comes_first_gets_what_a_class_is_read_from(kind: Any, validator: Any) -> None:
    """A wrong value is refused inside it, too, and nothing of the class is called for that."""
    _, own = twins((Annotated[kind, validator], ...))
    right, wrong = (
        ('[{"nights": 1}]', '[{"nights": true}]')
        if kind == list[Watched]
        else (
            '{"nights": 1}',
            '{"nights": true}',
        )
    )

    with pytest.raises(ParseError, match="expected an integer"):
        parse(own, f'{{"value": {wrong}}}')
    calls.clear()
    made: Any = parse(own, f'{{"value": {right}}}')
    assert made._got == {"value": json.loads(right)}
    assert len(calls) <= 1


class Restoring(BaseModel):
    """Its `__init__` has a type for one field; the other may be whatever the validator reads."""

    nights: int
    tags: list[str] = []

    def __init__(self, nights: int, **values: Any) -> None:
        super().__init__(nights=max(nights, 1), **values)

    @model_validator(mode="before")
    @classmethod
    def _split(cls, values: Any) -> Any:
        tags = values.get("tags", [])
        return {**values, "tags": tags.split(",") if isinstance(tags, str) else tags}

    @field_validator("nights", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return int(value.removesuffix(" nights")) if isinstance(value, str) else value


def test_an_argument_with_a_type_has_that_type() -> None:
    """`__init__` may rely on it, whatever the validators of the class read; other arguments may differ."""
    assert parse(Restoring, '{"nights": 0, "tags": "a,b"}').model_dump() == {"nights": 1, "tags": ["a", "b"]}
    for text in ('{"nights": "2 nights"}', '{"nights": true}', '{"tags": []}'):
        with pytest.raises(ParseError, match=r"\$\.nights: "):
            parse(Restoring, text)
    with pytest.raises(ParseError, match=r"\$\.tags\[0\]: expected a string"):
        parse(Restoring, '{"nights": 1, "tags": [1]}')


class Broken(BaseModel):
    nights: int

    def __init__(self, nights: int) -> None:
        super().__init__(nights=nights + None)  # type: ignore[operator]


def test_an_error_in_init_is_an_error_of_the_program() -> None:
    """As in a validator: it is raised as it is, with a note of where the fault is."""
    with pytest.raises(TypeError, match="unsupported operand") as caught:
        parse(Broken, '{"nights": 1}')
    assert caught.value.__notes__ == ["raised in Broken.__init__, whose arguments were valid"]
    with pytest.raises(ParseError, match="expected an integer"):
        parse(Broken, '{"nights": "one"}')


class OtherDay(BaseModel):
    day: date

    def __init__(self, day: str) -> None:
        super().__init__(day=date.fromisoformat(day))


class OtherInner(BaseModel):
    inner: Inner | None = None

    def __init__(self, inner: dict[str, int] | None = None) -> None:
        super().__init__(inner=inner)


class Wide(BaseModel):
    nights: int
    day: date
    days: list[date]
    keyed: Keyed | None = None
    words: list[str] = []

    def __init__(
        self, nights: float, day: date | str, days: Any, keyed: Keyed | None, words: str = ""
    ) -> None:
        super().__init__(nights=int(nights), day=day, days=days, keyed=keyed, words=[*words])


def test_init_has_to_accept_the_types_of_its_fields() -> None:
    """Only of those whose values differ from JSON: what it does with the others is its own affair."""
    for kind, taken in ((OtherDay, "day"), (OtherInner, "inner")):
        with pytest.raises(ConfigurationError, match=rf"__init__ takes {taken!r} as .*, and the field is"):
            parse(kind, "{}")
    made = parse(Wide, '{"nights": 1, "day": "2026-01-02", "days": [], "keyed": {"Size": 3}}')
    assert (made.nights, made.day, made.keyed) == (1, date(2026, 1, 2), {"size": 3})


class Node(BaseModel):
    """It holds itself."""

    day: date
    then: Node | None = None
    more: list[Node] = []

    def __init__(self, day: date, **values: Any) -> None:
        super().__init__(day=day + timedelta(1), **values)


def test_a_recursive_model_is_read() -> None:
    """Each instance comes out of `__init__`, once."""
    made = parse(
        Node, '{"day": "2026-01-01", "then": {"day": "2026-02-01", "more": [{"day": "2026-03-01"}]}}'
    )

    assert made.then is not None
    assert [made.day, made.then.day, made.then.more[0].day] == [date(2026, month, 2) for month in (1, 2, 3)]
    with pytest.raises(ParseError, match=r"\$\.then\.more\[0\]\.day: "):
        parse(Node, '{"day": "2026-01-01", "then": {"day": "2026-02-01", "more": [{"day": 0}]}}')


def _as_instance(value: Any) -> Any:
    return Trip(value) if isinstance(value, int) else value


class Given(BaseModel):
    trip: Annotated[Trip, BeforeValidator(_as_instance)]


def test_a_validator_may_return_an_instance() -> None:
    """Then there are no arguments to read."""
    assert parse(Given, '{"trip": 3}').trip == Trip(3)
