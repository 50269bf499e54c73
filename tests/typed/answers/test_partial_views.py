"""Views of unfinished values: what arrived is read as from the complete value, and nothing else is given."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime as dt
import enum
import json
import pickle
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from inspect import isfunction
from types import SimpleNamespace
from typing import Any, List, NamedTuple, NewType, TypedDict  # noqa: UP035

import msgspec
import pytest
from kit.partials import partial_of
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import to_json

from alloy import ConfigurationError


class Color(enum.Enum):
    """Its members are not their JSON."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Person:
    """With a text and a number."""

    name: str
    age: int


PEOPLE = '{"1": {"name": "ab", "age": 12}, "22": {"name": "cd'


@pytest.mark.parametrize(
    ("annotation", "text", "read", "expected"),
    [
        (dict[int, Person], PEOPLE, lambda d: d[22].name, "cd"),
        (dict[int, Person], PEOPLE, lambda d: d.get(22).name, "cd"),
        (dict[int, Person], PEOPLE, lambda d: d["22"].name, None),
        (dict[int, Person], PEOPLE, lambda d: d[1].name, "ab"),
        (dict[int, Person], PEOPLE, lambda d: d["1"].name, None),
        (dict[Color, list[int]], '{"red": [1], "blue": [3, 4', lambda d: d[Color.BLUE][0], 3),
        (dict[Color, list[int]], '{"red": [1], "blue": [3, 4', lambda d: d["blue"][0], None),
        (dict[dt.date, Person], '{"2027-01-02": {"name": "x', lambda d: d[dt.date(2027, 1, 2)].name, "x"),
        # A key that is not valid hides no other one, and what is valid in a value can be seen.
        (dict[int, Person], '{"x": {}, "22": {"name": "cd', lambda d: d[22].name, "cd"),
        (dict[int, Person], '{"1": {"name": "ab", "age": "?"}, ', lambda d: d[1].name, "ab"),
        (dict[str, Person], '{"k": {"name": "cd', lambda d: d["k"].name, "cd"),
    ],
)
def test_keys_of_a_dict_are_converted(
    annotation: Any, text: str, read: Callable[[Any], Any], expected: Any
) -> None:
    """Also the one whose value is arriving."""
    assert partial_of(annotation, text).get(read) == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r'"x\ud83d', "x"),
        (r'"x\ud83dy', "x\ufffdy"),
        (r'"x\ud83dy"', "x\ufffdy"),
        (r'"x\ud83d\ude00y', "x\U0001f600y"),
        (r'"x\ude00', "x\ufffd"),
        (r'"x\ud83d\ud83d', "x\ufffd"),
    ],
)
def test_half_a_surrogate_pair_is_a_replacement_character(text: str, shown: str) -> None:
    """What was shown stays, also when it is complete and the answer with it is not valid."""
    found = partial_of(Person, f'{{"name": {text}')
    assert (found.data, found.get(lambda person: person.name)) == ({"name": shown}, shown)
    found = partial_of(list[str], f'["a", {text}')
    assert (found.data, found.get(lambda texts: texts[1])) == (["a", shown], shown)


def test_half_a_surrogate_pair_in_a_complete_part() -> None:
    """It does not hide the parts next to it."""
    found = partial_of(Person, r'{"name": "x\ud83dy", "age": 1, ')
    assert found.get(lambda person: (person.name, person.age)) == ("x\ufffdy", 1)
    assert partial_of(dict[str, int], r'{"a\ud83d": 1, "b": 2, ').entries() == {"a\ufffd": 1, "b": 2}
    fenced = "Here:\n```json\n" + r'{"name": "x\ud83dy", "age": 1}' + "\n```"
    assert partial_of(Person, fenced) == {"name": "x\ufffdy", "age": 1}


LIST = '[{"name": "ab", "age": 12}, {"name": "cd'
OPEN = '{"name": "ab", '


def matched(value: Any) -> str:
    match value:
        case [Person(name="ab"), *_]:
            return "sequence"
        case {"a": int()}:
            return "mapping"
        case Person(name=name):
            return name
        case _:
            return "other"


def empty_or_one(value: Any) -> str:
    match value:
        case []:
            return "empty"
        case [_]:
            return "one"
        case _:
            return "more"


class Film(TypedDict, total=False):
    """Read by keys."""

    a: int
    b: str


class Pair(NamedTuple):
    """Read by position."""

    a: Person
    b: str


@pytest.mark.parametrize(
    ("annotation", "text", "read", "expected"),
    [
        (list[Person], LIST, matched, "default"),  # a longer pattern before it could match later
        (list[Person], "[", empty_or_one, "default"),
        (list[Person], '[{"name": "ab", "age": 12}', empty_or_one, "default"),
        (list[Person], '[{"name": "ab", "age": 12}]', matched, "sequence"),
        (set[int], "[1, 2", empty_or_one, "more"),
        (dict[str, int], '{"a": 1, "b": 2', matched, "mapping"),
        (dict[str, int], '{"b": 2, ', matched, "default"),
        (Film, '{"a": 1, "b": "x', matched, "mapping"),
        (Film, '{"b": "x', matched, "default"),
        (Pair, '[{"name": "ab", "age": 12}, "x', matched, "sequence"),
        (tuple[Person, str], '[{"name": "ab", ', empty_or_one, "more"),
        (Person, OPEN, matched, "ab"),
        (Person, '{"age": 1, ', matched, "default"),
    ],
)
def test_match_takes_the_branch_of_the_complete_value(
    annotation: Any, text: str, read: Callable[[Any], Any], expected: Any
) -> None:
    """Or none, if that is not known."""
    assert partial_of(annotation, text).get(read, "default") == expected


class Extended(BaseModel):
    """With fields that are not declared."""

    model_config = ConfigDict(extra="allow")
    a: int


class Star(msgspec.Struct):
    """Of another library."""

    name: str
    age: int


@dataclass
class Derived:
    """With attributes that only its methods know."""

    a: int

    def __post_init__(self) -> None:
        self.extra = 1
        object.__setattr__(self, "more", 2)

    def __truediv__(self, other: int) -> float:
        return self.a / other


@dataclass
class Anything:
    """Has every attribute."""

    a: int

    def __getattr__(self, name: str) -> int:
        if name.startswith("__"):
            raise AttributeError(name)
        return 42


@pytest.mark.parametrize(
    ("annotation", "text", "read"),
    [
        (Person, OPEN, copy.copy),
        (Person, OPEN, copy.deepcopy),
        (Person, OPEN, pickle.dumps),
        (list[Person], LIST, copy.copy),
        (Person, OPEN, dataclasses.asdict),
        (Person, OPEN, dataclasses.astuple),
        (Person, OPEN, lambda p: dataclasses.replace(p, name="x")),
        (Person, OPEN, vars),
        (list[int], "[1, 2", json.dumps),
        (list[int], "[1, 2", lambda numbers: json.dumps(numbers, indent=1)),
        (dict[str, int], '{"a": 1, "b": 2', lambda numbers: json.dumps({"n": numbers})),
        (tuple[int, str], "[1, ", json.dumps),
        (list[int], "[1, 2", lambda numbers: [] + numbers),  # noqa: RUF005
        (list[int], "[1, 2", lambda numbers: numbers + []),  # noqa: RUF005
        (list[int], "[1, 2", lambda numbers: 2 * numbers),
        (dict[str, int], '{"a": 1, "b": 2', lambda numbers: numbers | {}),
        (dict[str, int], '{"a": 1, "b": 2', lambda numbers: numbers.copy()),
        (tuple[int, str], "[1, ", lambda pair: () + pair),  # noqa: RUF005
        (list[list[int]], "[[1], [2", lambda lists: sum([lists[1]], [])),  # noqa: RUF017
        (collections.Counter[str], '{"a": 1, "b": 2', lambda counts: counts.most_common()),
        (collections.Counter[str], '{"a": 1, "b": 2', lambda counts: counts + counts),
        (collections.OrderedDict[str, int], '{"a": 1, "b": 2', lambda d: d.move_to_end("a")),
        # Other libraries that do not look at the class of a view.
        (list[int], "[1, 2", to_json),
        (list[int], "[1, 2", msgspec.json.encode),
        (Extended, '{"a": 1, ', to_json),
        (Extended, '{"a": 1, ', TypeAdapter(Extended).dump_json),
        (Star, OPEN, msgspec.json.encode),
        (Derived, '{"a": 1, ', lambda d: d.extra),
        (Derived, '{"a": 1, ', lambda d: d.more),
        (Derived, '{"a": 1, ', lambda d: d / 2),
        (Anything, '{"a": 1, ', lambda d: d.whatever),
        (Extended, '{"a": 1, "zz": 5, ', lambda d: d.zz),
    ],
)
def test_what_the_complete_value_can_do_has_not_arrived(
    annotation: Any, text: str, read: Callable[[Any], Any]
) -> None:
    """It is the default, and not an error of the reader."""
    assert partial_of(annotation, text).get(read, "default") == "default"


@pytest.mark.parametrize(
    ("annotation", "text", "read", "error"),
    [
        (Derived, '{"a": 1, ', lambda d: d.ekstra, AttributeError),
        (Derived, '{"a": 1, ', lambda d: d * 2, TypeError),
        (Extended, '{"a": 1, ', dataclasses.asdict, TypeError),
        (Person, OPEN, json.dumps, TypeError),
        (dict[str, int], '{"a": 1', lambda d: d.keyz, AttributeError),
        (Person, OPEN, lambda p: [] + p, TypeError),  # noqa: RUF005
    ],
)
def test_what_the_complete_value_cannot_do_is_an_error(
    annotation: Any, text: str, read: Callable[[Any], Any], error: type[Exception]
) -> None:
    """As it is later."""
    with pytest.raises(error):
        partial_of(annotation, text).get(read)


@pytest.mark.parametrize(
    "lazy",
    [
        lambda people: map(lambda index: people[index].name, [0, 1, 2]),  # noqa: C417
        lambda people: (people[index].name for index in [0, 1]),
        lambda people: iter([people[1]]),
        lambda people: lambda: people[0].name,
    ],
)
def test_a_view_cannot_be_read_later(lazy: Callable[[Any], Any]) -> None:
    """A result that reads it after `get` is refused, because it would see what has not arrived."""
    result = partial_of(list[Person], LIST).get(lazy)
    with pytest.raises(ConfigurationError, match=r"inside the function that you give to get\(\)"):
        read_later(result)


def read_later(result: Any) -> Any:
    if isfunction(result):
        return result()
    return [each if isinstance(each, str) else each.name for each in result]


def test_containers_with_a_view_are_the_default() -> None:
    """Also objects."""
    objects = (lambda items: SimpleNamespace(first=items), lambda items: [Person(items[0], 1)])
    for kind in (list, tuple, deque, lambda items: {0: items}, lambda items: Pair(*items, "b"), *objects):
        assert partial_of(list[Person], LIST).get(lambda people, kind=kind: kind([people[1]])) is None


Names = NewType("Names", list[str])


def test_elements_and_entries_of_other_spellings() -> None:
    """A list without a type, a `NewType` and a `TypedDict`."""
    assert partial_of(list, "[1, 2, 3").elements() == [1, 2]
    assert partial_of(List, "[1, 2, 3").elements() == [1, 2]  # noqa: UP006
    assert partial_of(tuple, "[1, 2, 3").elements() == [1, 2]
    assert partial_of(Names, '["a", "b').elements() == ["a"]
    assert partial_of(NewType("Ages", dict[str, int]), '{"a": 1, "b": 2').entries() == {"a": 1}
    assert partial_of(Film, '{"a": 1, "b": "x').entries() == {"a": 1}
    assert partial_of(Film, '{"a": 1, "b": "x"}').entries() == {"a": 1, "b": "x"}
