"""Union members are selected by JSON type, tag and keys, not by their order."""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from itertools import permutations
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, Union

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from alloy.errors import ParseError
from alloy.parsing import parse

T = TypeVar("T")


class Kind(enum.Enum):
    CAT = "cat"
    DOG = "dog"


@dataclass
class Cat:
    name: str
    lives: int = 9
    kind: Literal["cat"] = "cat"


@dataclass
class Dog:
    name: str
    lives: int = 1
    kind: Literal[Kind.DOG] = Kind.DOG


@dataclass
class Bare:
    name: str


@dataclass
class Priced:
    name: str
    price: float = 0.0


@dataclass
class Sized:
    name: str
    size: int = 0


@dataclass
class Numbered:
    name: int


@dataclass
class Dated:
    name: date


@dataclass
class Defaults:
    lives: int = 0


class Total(TypedDict):
    name: str
    total: int


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str


class Aliased(BaseModel):
    title: str = Field(alias="Title")


class Spot(NamedTuple):
    name: str
    size: int


@dataclass
class Box(Generic[T]):
    inside: T


@dataclass
class Plus:
    left: Sum
    right: Sum
    op: Literal["+"] = "+"


@dataclass
class Minus:
    left: Sum
    right: Sum
    op: Literal["-"] = "-"


Sum = Union[Plus, Minus, int]  # noqa: UP007 - a name that is not defined yet


@dataclass
class Twin:
    left: Twins
    right: Twins


@dataclass
class Brother:
    left: Twins
    right: Twins


Twins = Union[Twin, Brother, int]  # noqa: UP007


@dataclass
class Metadata:
    metadata: Defaults = field(default_factory=Defaults)
    default: Bare | Priced | None = None


NEW_PYDANTIC = tuple(map(int, pydantic.VERSION.split(".")[:2])) >= (2, 14)
FITS: list[tuple[tuple[Any, ...], str, Any]] = [
    ((Cat, Dog), '{"name": "a", "kind": "dog"}', Dog("a")),
    ((Cat, Dog), '{"name": "a", "kind": "cat"}', Cat("a")),
    ((Cat, Priced), '{"name": "a", "kind": "cat", "price": 2}', Cat("a")),
    ((Priced, Sized), '{"name": "a", "size": 2}', Sized("a", 2)),
    ((Priced, Sized), "{name: 'a', price: 2}", Priced("a", 2.0)),
    ((Priced, Bare), '{"name": "a"}', Bare("a")),
    ((Priced, Bare), '{"name": "a", "price": 0}', Priced("a")),
    ((Priced, Bare), '{"name": "a", "other": 0}', Bare("a")),
    ((Bare, Numbered), '{"name": 1}', Numbered(1)),
    ((Bare, Numbered), '{"name": "1"}', Bare("1")),
    ((Bare, Dated), '{"name": "2026-01-02"}', Bare("2026-01-02")),
    ((Bare, Total), '{"name": "a", "total": 1}', {"name": "a", "total": 1}),
    ((Bare, dict[str, str]), '{"name": "a"}', Bare("a")),
    ((Bare, dict[str, str]), '{"title": "a"}', {"title": "a"}),
    ((Bare, dict[str, Any]), '{"name": "a", "b": 1}', {"name": "a", "b": 1}),
    ((Closed, Priced), '{"name": "a", "price": 1}', Priced("a", 1.0)),
    ((Bare, Aliased), '{"Title": "a"}', Aliased(Title="a")),
    ((Box[int], Box[str]), '{"inside": "1"}', Box("1")),
    ((Box[int], Box[float]), '{"inside": 1}', Box(1)),
    ((Box[int], Box[float]), '{"inside": 1.5}', Box(1.5)),
    ((Box[Bare], Box[Numbered]), '{"inside": {"name": 1}}', Box(Numbered(1))),
    ((Box[list[int]], Box[dict[str, int]]), '{"inside": {"a": 1}}', Box({"a": 1})),
    ((Bare, int, str), '"7"', "7"),
    ((Bare, int, str), "7", 7),
    ((Bare, int, None), "null", None),
    ((Bare, list[int], bool), "[1]", [1]),
    ((int, str), "02134", "02134"),
    ((int, float), '{"value": 3.5}', 3.5),
    ((Bare, Spot), '["a", 1]', Spot("a", 1)),
    ((Bare, Priced, deque[int]), "[1]", deque([1])),
    ((Bare, OrderedDict[str, int]), '{"title": 1}', OrderedDict(title=1)),
    # Before 2.14 pydantic has no core schema for a union of these with a Fraction.
    *([((Priced, Sized, Fraction), '{"name": "a", "size": 2}', Sized("a", 2))] if NEW_PYDANTIC else []),
    ((bool, int), "1", 1),
    ((bool, int), "true", True),
]


@pytest.mark.parametrize(("members", "text", "value"), FITS)
@pytest.mark.parametrize(
    "nest", [lambda union: union, lambda union: list[union], lambda union: dict[str, union]]
)
def test_the_member_that_fits_is_taken(
    members: tuple[Any, ...], text: str, value: Any, nest: Callable[[Any], Any]
) -> None:
    """In any order of the members, at the root and inside."""
    for order in permutations(members):
        union: Any = nest(Union[order])  # noqa: UP007 - made at runtime
        wrapped = {list: f"[{text}]", dict: f'{{"k": {text}}}'}.get(getattr(union, "__origin__", None), text)
        if wrapped != text and (text == "02134" or "value" in text):
            continue  # a word without quotes, and the wrapper, stand only for the whole answer
        expected = {f"[{text}]": [value], f'{{"k": {text}}}': {"k": value}}.get(wrapped, value)
        found = parse(union, wrapped)

        assert found == expected
        assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    ("members", "text", "problem"),
    [
        ((Priced, Sized), '{"name": "a"}', "matches several equally well"),
        ((Cat, Dog), '{"name": "a"}', "matches several equally well"),
        ((Cat, Dog), '{"name": "a", "kind": "cow"}', "$.value"),
        ((Cat, Defaults), '{"name": 5}', "$.value.name: expected a string"),
        ((Defaults, Bare), '{"other": 5}', "$.value"),
        ((Cat, Dog), '{"name": "a", "kind": "dog", "lives": "many"}', "$.value.lives: expected an integer"),
    ],
)
def test_what_fits_none_or_several_is_an_error(members: tuple[Any, ...], text: str, problem: str) -> None:
    """Neither the first of several nor an instance of defaults is taken."""
    for order in permutations(members):
        with pytest.raises(ParseError) as caught:
            parse(Union[order], text)  # noqa: UP007 - made at runtime

        assert problem in caught.value.problems[0]


def test_the_discriminator_of_a_type_is_kept() -> None:
    """It comes before Alloy's own rules."""
    union = Annotated[Cat | Dog, Field(discriminator="kind")]

    assert parse(union, '{"name": "a", "kind": "dog"}') == Dog("a")
    with pytest.raises(ParseError):
        parse(union, '{"name": "a"}')


def test_members_that_hold_each_other_take_one_way_down() -> None:
    """Sixty levels of a tagged union do not try both members at each."""
    text, depth = "1", 0
    for index in range(60):
        text = f'{{"op": "{"+-"[index % 2]}", "left": {text}, "right": 2}}'
    value = parse(Sum, text)
    while not isinstance(value, int):
        value, depth = value.left, depth + 1

    assert (value, depth) == (1, 60)


def test_members_that_cannot_be_distinguished_are_an_error_at_once() -> None:
    """Without a tag every level needs a trial; their number does not grow exponentially."""
    text = "1"
    for _ in range(30):
        text = f'{{"left": {text}, "right": 2}}'
    with pytest.raises(ParseError, match="matches several equally well"):
        parse(Twins, text)


def test_fields_may_be_named_as_the_words_of_a_schema() -> None:
    """Unions inside of them are selected by the same rules."""
    assert parse(Metadata, '{"default": {"name": "a"}}') == Metadata(default=Bare("a"))
    with pytest.raises(ParseError, match="some of the keys lives"):
        parse(Metadata, '{"metadata": {"other": 1}}')
