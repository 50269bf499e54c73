"""What has arrived of an unfinished answer, typed: `Partial`."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import json
import pickle
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from inspect import isfunction
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

import attrs
import msgspec
import pytest
from kit.dialects import OPENAI
from kit.partials import partial_of
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    ValidationInfo,
    field_validator,
    model_validator,
)

from alloy import ConfigurationError, register_parser
from alloy._engine.runtime.await_parsers import resolved
from alloy._typed.answers.partial import begun
from alloy._typed.schemas.dialects import to_wire
from alloy._typed.types.compile import compile_type

T = TypeVar("T")


@dataclass
class Line:
    """A line of an invoice."""

    text: str
    price: float


@dataclass
class Customer:
    """Who pays."""

    name: str
    since: dt.date


@dataclass
class Invoice:
    """With a field of each sort."""

    vendor: str
    customer: Customer
    lines: list[Line]
    total: float
    note: str | None = None
    paid: bool = field(default=False, init=False)
    CURRENCY = "EUR"

    @property
    def tax(self) -> float:
        return self.total * 0.2

    @cached_property
    def net(self) -> float:
        return self.total - self.tax

    def described(self) -> str:
        return f"{self.vendor}: {self.total}"


HEAD = '{"vendor": "ACME", "customer": {"name": "Bob", "since": "2024-01-02"}, "lines": ['
TWO = HEAD + '{"text": "a", "price": 1}, {"text": "b'
SUM = HEAD + '{"text": "a", "price": 1}], "total": 12'


@pytest.mark.parametrize(
    ("text", "read", "expected"),
    [
        ('{"vendor": "AC', lambda i: i.vendor, "AC"),
        ('{"vendor": "AC\\u00e', lambda i: i.vendor, "AC"),
        ('{"vendor": "\\ud83e\\udd8a', lambda i: i.vendor, "🦊"),
        ('{"vendor": "\\ud83e', lambda i: i.vendor, ""),
        ('{"vendor": "AC', lambda i: i.total, None),
        ('{"vendor": "AC', lambda i: i.note, None),
        ('{"customer": {"name": "Bo', lambda i: i.customer.name, "Bo"),
        ('{"customer": {"name": "Bo', lambda i: i.customer, None),
        ('{"customer": {"name": "Bob", "since": "2024-01', lambda i: i.customer.since, None),
        (
            '{"customer": {"name": "Bob", "since": "2024-01-02"',
            lambda i: i.customer.since,
            dt.date(2024, 1, 2),
        ),
        (HEAD, lambda i: i.customer, Customer("Bob", dt.date(2024, 1, 2))),
        (HEAD, lambda i: list(i.lines), []),
        (TWO, lambda i: [line.text for line in i.lines], ["a"]),
        (TWO, lambda i: (len(i.lines), i.lines[0], i.lines[1].text), (1, Line("a", 1.0), "b")),
        (TWO, lambda i: i.lines[1].price, None),
        (TWO, lambda i: i.lines[2], None),
        (TWO, lambda i: i.lines[-1], None),
        (TWO, lambda i: i.lines[:5], [Line("a", 1.0)]),
        (TWO, lambda i: Line("a", 1.0) in i.lines, True),
        (TWO, lambda i: sum(line.price for line in i.lines if line), 1.0),
        (TWO, lambda i: i.lines, None),
        (TWO, lambda i: (i.vendor, i.lines), None),
        (TWO, lambda i: {"lines": [i.lines]}, None),
        (TWO, lambda i: i.lines + i.lines, None),
        (TWO, lambda i: i.lines.index(Line("a", 1.0)), None),
        (TWO, lambda i: bool(i.lines), True),
        (HEAD, lambda i: bool(i.lines), None),
        (SUM, lambda i: i.lines, [Line("a", 1.0)]),
        (SUM, lambda i: i.total, None),
        (SUM + ",", lambda i: i.total, 12.0),
        (SUM + ",", lambda i: (i.tax, i.net), None),
        (SUM + ",", lambda i: i.described(), None),
        (SUM + ",", lambda i: f"{i}", None),
        (SUM + ",", lambda i: i == i.vendor, None),
        (SUM + ",", lambda i: i.paid, None),
        (SUM + ",", lambda i: i, None),
        (SUM + ', "note": nul', lambda i: (i.note,), None),
        (SUM + ', "note": null', lambda i: (i.note,), (None,)),
        (SUM + "}", lambda i: (i.tax, i.paid), (2.4000000000000004, False)),
        (SUM + ', "extra": 1}', lambda i: dataclasses.asdict(i)["vendor"], "ACME"),
        # A value that does not fit counts as not arrived, and what is next to it still counts.
        ('{"vendor": 5, "total": "x", "lines": [], ', lambda i: i.lines, []),
        ('{"vendor": [5], "lines": [], ', lambda i: i.vendor, None),
        ('{"vendor": "ACME", "total": "a lot"}', lambda i: i.vendor, "ACME"),
        ('{"vendor": "ACME", "total": "a lot"}', lambda i: i.total, None),
        (
            HEAD + '{"text": "a", "price": 1}, {"text": 1}, {"text": "c", "price": 1}, ',
            lambda i: len(i.lines),
            1,
        ),
    ],
)
def test_what_has_arrived_of_an_object(text: str, read: Callable[[Any], Any], expected: Any) -> None:
    """Complete parts are converted, a text is its beginning, anything else is the default."""
    found = partial_of(Invoice, text).get(read)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (lambda i: i.vendr, AttributeError),
        (lambda i: i.customer.nam, AttributeError),
        (lambda i: i["vendor"], TypeError),
        (lambda i: i.vendor + 1, TypeError),
        (lambda i: {}["x"], KeyError),
        (lambda i: iter(i), TypeError),
        (lambda i: setattr(i, "vendor", "x"), AttributeError),
        (lambda i: delattr(i, "vendor"), AttributeError),
        (lambda i: len(i), TypeError),
    ],
)
def test_errors_of_the_reader_are_raised(read: Callable[[Any], Any], error: type[Exception]) -> None:
    """Only what has not arrived is the default, not a mistake in the code that reads it."""
    with pytest.raises(error):
        partial_of(Invoice, '{"vendor": "AC", "customer": {').get(read, "default")


def test_a_view_shows_what_it_is() -> None:
    """In a debugger, and to `isinstance`."""
    seen: list[Any] = []
    partial_of(Invoice, '{"vendor": "AC').get(seen.append)
    assert repr(seen[0]) == "<unfinished Invoice>"
    assert isinstance(seen[0], Invoice)
    assert bool(seen[0])


# --- classes of every sort ------------------------------------------------------------------------


class Movie(TypedDict):
    """Read by keys."""

    title: str
    year: NotRequired[int]


class Point(NamedTuple):
    """Read by names and positions."""

    x: int
    y: int
    label: str = ""


@dataclass
class Box(Generic[T]):
    """Of anything."""

    item: T
    more: list[T]


@dataclass
class Tree:
    """Of trees."""

    value: int
    below: list[Tree]


class Account(BaseModel):
    """With aliases, a validator of a field, one of two fields, and one of the whole."""

    model_config = ConfigDict(populate_by_name=True)
    owner: str = Field(alias="Owner")
    code: Annotated[str, AfterValidator(str.upper)]
    kind: str = Field(validation_alias=AliasChoices("type", "sort"))
    deep: str = Field("", validation_alias=AliasPath("in", "here"))
    low: int
    high: int

    @field_validator("high")
    @classmethod
    def not_below(cls, value: int, info: ValidationInfo) -> int:
        assert value >= info.data["low"]
        return value

    @model_validator(mode="after")
    def checked(self) -> Account:
        return self


class Cents(BaseModel):
    """Its fields are others than those of the answer."""

    euros: float

    @model_validator(mode="before")
    @classmethod
    def in_euros(cls, value: Any) -> Any:
        return {"euros": value["euros"] / 100}


class OwnInit(BaseModel):
    """What its `__init__` makes of its arguments is not known before."""

    name: str

    def __init__(self, name: str) -> None:
        super().__init__(name=name.upper())


class Stripped(BaseModel):
    """The beginning of a text is not what it will be."""

    model_config = ConfigDict(str_strip_whitespace=True)
    name: str


class Numbers(RootModel[list[int]]):
    """A list with a name."""


@attrs.define
class Stone:
    """With a private attribute and a converter."""

    _color: str
    size: str = attrs.field(converter=str.upper)


class Star(msgspec.Struct, rename="camel"):
    """With other names on the wire."""

    main_color: str
    size: int = 1


@dataclass
class Cat:
    """Told by a tag."""

    kind: Literal["cat"]
    name: str


@dataclass
class Dog:
    """The same."""

    kind: Literal["dog"]
    name: str


ACCOUNT = '{"Owner": "Bo", "code": "ab", "sort": "x", "in": {"here": "y"}, "low": 1, "high": 2, '
TAGGED = Annotated[Cat | Dog, Field(discriminator="kind")]


@pytest.mark.parametrize(
    ("annotation", "text", "read", "expected"),
    [
        (Movie, '{"title": "Al', lambda m: m["title"], "Al"),
        (Movie, '{"title": "Al', lambda m: m.get("title"), "Al"),
        (Movie, '{"title": "Al', lambda m: "title" in m, True),
        (Movie, '{"title": "Al', lambda m: "year" in m, None),
        (Movie, '{"title": "Al', lambda m: m.get("year", 5), None),
        (Movie, '{"title": "Al', lambda m: list(m), None),
        (Point, "[1, 2", lambda p: (p.x, p[0]), (1, 1)),
        (Point, "[1, 2", lambda p: p.y, None),
        (Point, '[1, 2, "a', lambda p: (p.y, p[-1], p.label), (2, "a", "a")),
        (Point, "[1, 2, ", lambda p: tuple(p), None),
        (Point, "[1, 2, ", lambda p: p[:2], (1, 2)),
        (tuple[int, str], '[1, "a', lambda pair: pair[0], 1),
        (tuple[int, str], '[1, "a', lambda pair: len(pair), 2),
        (tuple[int, ...], "[1, 2, 3", lambda some: list(some), [1, 2]),
        (set[int], "[1, 1, 2, 3", lambda some: sorted(some), [1, 2]),
        (deque[int], "[1, 2, 3", lambda some: some[1], 2),
        (Sequence[str], '["a", "b', lambda some: (list(some), some[1]), (["a"], "b")),
        (Iterator[int], "[1, 2, 3", lambda some: next(some), None),
        (list, '[1, {"a": 2}, 3', lambda some: some[1]["a"], 2),
        (dict[str, float], '{"a": 1, "b": 2', lambda d: (dict(d), len(d)), ({"a": 1.0}, 1)),
        (dict[str, float], '{"a": 1, "b": 2', lambda d: (d["a"], "a" in d), (1.0, True)),
        (dict[str, float], '{"a": 1, "b": 2', lambda d: list(d.items()), [("a", 1.0)]),
        (dict[str, float], '{"a": 1, "b": 2', lambda d: d.get("b", 0.0), None),
        (dict[str, float], '{"a": 1, "b": 2}', lambda d: d.get("c", 0.0), 0.0),
        (dict[str, list[int]], '{"a": [1, 2', lambda d: d["a"][0], 1),
        (dict[str, int], '{"a": 1, "b": "x", "c": 3, ', lambda d: dict(d), {"a": 1, "c": 3}),
        (dict[dt.date, int], '{"2024-01-02": 1, "2025', lambda d: d[dt.date(2024, 1, 2)], 1),
        (Box[dt.date], '{"item": "2024-01-02", "more": ["20', lambda b: b.item, dt.date(2024, 1, 2)),
        (Box[int], '{"item": 1, "more": [2, 3', lambda b: list(b.more), [2]),
        (Tree, '{"value": 1, "below": [{"value": 2, "below": [', lambda t: t.below[0].value, 2),
        (Account, ACCOUNT, lambda a: (a.owner, a.code, a.kind, a.low), ("Bo", "AB", "x", 1)),
        (Account, '{"owner": "Bo', lambda a: a.owner, "Bo"),
        (Account, '{"code": "ab', lambda a: a.code, None),
        (Account, ACCOUNT, lambda a: a.deep, None),
        (Account, ACCOUNT, lambda a: a.high, None),
        (Account, ACCOUNT[:-2] + "}", lambda a: (a.deep, a.high), ("y", 2)),
        (Account, ACCOUNT, lambda a: a.model_dump(), None),
        (Cents, '{"euros": 150, ', lambda c: c.euros, None),
        (Cents, '{"euros": 150}', lambda c: c.euros, 1.5),
        (list[OwnInit], '[{"name": "a"}, {"name": "b", ', lambda some: [each.name for each in some], ["A"]),
        (list[OwnInit], '[{"name": "a"}, {"name": "b", ', lambda some: some[1].name, None),
        (Stripped, '{"name": " a', lambda s: s.name, None),
        (Stripped, '{"name": " a "', lambda s: s.name, "a"),
        (Numbers, "[1, 2", lambda n: n.root, None),
        (Stone, '{"color": "re', lambda s: s._color, "re"),
        (Stone, '{"color": "red", "size": "xl", ', lambda s: s.size, None),
        (Star, '{"mainColor": "re', lambda s: s.main_color, "re"),
        (TAGGED, '{"name": "To', lambda c: c.name, None),
        (TAGGED, '{"kind": "cat", "name": "To', lambda c: (c.name, isinstance(c, Cat)), ("To", True)),
        (list[Cat | Dog], '[{"kind": "dog", "name": "Re', lambda some: some[0].name, "Re"),
        (list[Cat | Dog], '[{"kind": "do', lambda some: some[0].name, None),
        (list[Line | Customer], '[{"name": "Bo', lambda some: some[0].name, None),
        (Line | None, '{"value": {"text": "a', lambda line: line.text, "a"),
        (list[Line | str], '[{"text": "a', lambda some: some[0].text, "a"),
        (list[Line | str], '["te', lambda some: some[0], "te"),
        (list[int | str], '["te', lambda some: some[0], "te"),
        (list[str | dt.date], '["2024', lambda some: some[0], None),
        (list[Literal["one", "oneself"]], '["one', lambda some: some[0], None),
        (list[Annotated[str, Field(min_length=9)]], '["sh', lambda some: some[0], "sh"),
        (Annotated[list[int], Field(min_length=3)], "[1, 2", lambda some: list(some), [1]),
        (Annotated[list[int], AfterValidator(sorted)], "[3, 1", lambda some: some[0], None),
        (list[bytes], '["aGk=", "aG', lambda some: (list(some), len(some)), ([b"hi"], 1)),
        (list[bytes], '["aGk=", "aG', lambda some: some[1], None),
        (list[Decimal], "[1.1000000000000000001, 2", lambda some: str(some[0]), "1.1000000000000000001"),
        (list[Any], '["te', lambda some: some[0], None),
        (int, '{"value": 12', lambda number: number, None),
        (int, '{"value": 12}', lambda number: number, 12),
        (str, "Once upon", lambda text: text, "Once upon"),
    ],
    ids=lambda value: None if isfunction(value) else str(value),  # of a function, str() has the address
)  # fmt: skip
def test_what_has_arrived_of_every_sort(
    annotation: Any, text: str, read: Callable[[Any], Any], expected: Any
) -> None:
    """Each is read as the value itself is; what only the whole can say has not arrived."""
    assert partial_of(annotation, text).get(read) == expected


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Account, '{"low": 1, '),
        (Stone, '{"color": "x", '),
        (Star, '{"size": 1, '),
        (Point, "[1"),
        (list, "[1"),
    ],
)
def test_unknown_attributes_are_errors_of_the_reader(annotation: Any, text: str) -> None:
    """For classes of every sort, and without a warning of theirs."""
    found = partial_of(annotation, text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(AttributeError, match="has no attribute 'nam'"):
            found.get(lambda value: value.nam)


def test_unknown_keys_are_errors_of_the_reader() -> None:
    """As they are with the complete value."""
    with pytest.raises(KeyError, match="titel"):
        partial_of(Movie, '{"title": "Al').get(lambda movie: movie["titel"])


class Money:
    """A type that only its parser makes."""

    def __init__(self, cents: int) -> None:
        self.cents = cents


def test_types_with_a_parser() -> None:
    """A parser gets a complete value; an async one is awaited."""

    async def parse(line: Line) -> Money:
        return Money(round(line.price * 100))

    with register_parser(Money, wire=Line, parse=parse):
        some = partial_of(list[Money], '[{"text": "a", "price": 1.5}, {"text": "b", "price": 2, ')
        assert [money.cents for money in some.elements()] == [150]
        assert some.get(lambda money: money[1]) is None
    doubled = partial_of(int, '{"value": 2}', parser=lambda text: text)
    assert (doubled.data, doubled.get(lambda value: value)) == ('{"value": 2}', None)


# --- the answer around it -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "```json\n{'vendor': 'AC', \"lines\": [",
        'Here it is:\n{"vendor": "AC", "lines": [ // none yet',
        '<think>{"vendor": "no"}</think>{"vendor": "AC", "lines": [',
        'Final Answer: {"vendor": "AC", "lines": [',
        '{"value": {"vendor": "AC", "lines": [',
        '\ufeff {vendor: "AC", "lines": [1, {"te',
        '{"vendor": "AC", "total": 1,000',
    ],
)
def test_text_around_the_answer_and_its_notation(text: str) -> None:
    """What is read of a whole answer is read of an unfinished one."""
    found = partial_of(Invoice, text)
    assert found.get(lambda invoice: invoice.vendor) == "AC"
    assert found["vendor"] == "AC"


@pytest.mark.parametrize(
    "text", ["", "Sure, ", "<think>{", "Here is [a thought", "<think>hm</think>", '{"valu']
)
def test_nothing_has_arrived(text: str) -> None:
    """Then there is no partial."""
    assert begun(compile_type(list[Line]), text, None, resolved) is None


@pytest.mark.parametrize(
    ("annotation", "text", "data"),
    [
        (dict[str, int], '{"entries": [{"key": "a", "value": 1}, {"key": "b"', {"a": 1}),
        (dict[str, int], '{"entries": [{"key": "a", "value": 1}, {"key": "b", "value": 2', {"a": 1, "b": 2}),
        (dict[str, Line], '{"entries": [{"key": "a", "value": {"text": "x', {"a": {"text": "x"}}),
        (Box[dict[str, int]], '{"item": [{"key": "a", "value": 1}, {', {"item": {"a": 1}}),
        (Point, '{"value": {"item_0": 1, "item_1": 2', [1, 2]),
    ],
)
def test_forms_of_strict_providers(annotation: Any, text: str, data: Any) -> None:
    """Open dicts and tuples travel as entries and named positions, also before they are complete."""
    spec = compile_type(annotation)
    assert spec.schema is not None
    assert to_wire(spec.schema, OPENAI).strict
    assert partial_of(annotation, text, OPENAI).data == data


# --- elements, entries and data -------------------------------------------------------------------


def test_elements_are_the_complete_ones() -> None:
    """Up to the first one that does not fit."""
    text = '[{"text": "a", "price": 1}, {"text": "b", "price": 2}, {"text": "c", "pri'
    assert partial_of(list[Line], text).elements() == [Line("a", 1.0), Line("b", 2.0)]
    assert partial_of(set[int], "[2, 2, 3, 4").elements() == [2, 3]
    assert partial_of(tuple[int, ...], '[1, "x", 3, ').elements() == [1]
    assert partial_of(Annotated[list[int], AfterValidator(sorted)], "[3, 1").elements() == []
    assert partial_of(Annotated[list[int], AfterValidator(sorted)], "[3, 1]").elements() == [1, 3]


def test_entries_are_the_complete_ones() -> None:
    """Those that fit."""
    assert partial_of(dict[str, Line], '{"a": {"text": "x", "price": 1}, "b": {').entries() == {
        "a": Line("x", 1.0)
    }


@pytest.mark.parametrize("annotation", [Invoice, dict[str, int], str])
def test_elements_need_a_sequence(annotation: Any) -> None:
    """And entries a dict; otherwise it is a mistake in the program."""
    text = '{"vendor": "AC'
    with pytest.raises(ConfigurationError, match=r"elements\(\) needs a sequence"):
        partial_of(annotation, text).elements()
    with pytest.raises(ConfigurationError, match=r"entries\(\) needs a dict"):
        partial_of(list[int], "[1").entries()


def test_a_partial_is_like_its_data() -> None:
    """So that code for plain snapshots reads it, and tests can compare it."""
    found = partial_of(Invoice, '{"vendor": "AC", "total": 12')
    assert found == {"vendor": "AC", "total": 12}
    assert found == partial_of(Invoice, '{"vendor": "AC", "total": 12')
    assert found != {"vendor": "A"}
    assert (found["vendor"], len(found), "total" in found, [*found]) == ("AC", 2, True, ["vendor", "total"])
    assert repr(found) == "Partial({'vendor': 'AC', 'total': 12})"
    assert bool(partial_of(Invoice, "{"))
    assert json.dumps(found.data) == '{"vendor": "AC", "total": 12}'
    with pytest.raises(TypeError, match="unhashable"):
        hash(found)


def test_a_partial_can_be_copied_and_pickled() -> None:
    """With its type, if that can be pickled; the data is always kept."""
    found = partial_of(Invoice, TWO)
    again = pickle.loads(pickle.dumps(found))
    assert again == found == copy.copy(found) == copy.deepcopy(found)
    assert again.get(lambda invoice: invoice.lines[1].text) == "b"
    assert pickle.loads(pickle.dumps(partial_of(str, "Once"))).get(lambda text: text) == "Once"

    @dataclass
    class Local:
        name: str

    lost = pickle.loads(pickle.dumps(partial_of(Local, '{"name": "a')))
    assert lost == {"name": "a"}
    with pytest.raises(ConfigurationError, match=r"Local.*cannot be"):
        lost.get(lambda local: local.name)


def test_nothing_is_converted_before_it_is_asked_for() -> None:
    """Nor what is next to it."""
    calls = []

    def noted(value: str) -> str:
        calls.append(value)
        return value

    kind = dataclasses.make_dataclass("Kind", [("a", Annotated[str, AfterValidator(noted)]), ("b", str)])
    found = partial_of(kind, '{"a": "x", "b": "y", ')
    assert found.data == {"a": "x", "b": "y"}
    assert (found.get(lambda value: value.b), calls) == ("y", [])
    assert (found.get(lambda value: value.a), calls) == ("x", ["x"])
