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
