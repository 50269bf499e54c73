"""Views of unfinished values: what arrived is read as from the complete value, and nothing else is given."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from kit.partials import partial_of


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
