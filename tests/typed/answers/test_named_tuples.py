"""Named tuples, which models are shown as arrays and some give as objects."""

from __future__ import annotations

import collections
from enum import Enum
from typing import Any, NamedTuple

import pytest

from alloy import ParseError, parse
from alloy._typed.types.compile import compile_type


class Level(Enum):
    LOW = 1
    HIGH = 2


class Inner(NamedTuple):
    n: int


class Point(NamedTuple):
    x: int
    y: float = 1.0
    ok: bool = False
    level: Level = Level.LOW
    name: str = ""
    tags: list[int] = []  # noqa: RUF012 - the items of a tuple, not attributes of the class
    inner: Inner | None = None


GIVEN = (
    '{"x": "2", "y": "3.5", "ok": "true", "level": "HIGH", "name": "7", "tags": "[1]", "inner": {"n": 4.0}}'
)
POINT = Point(2, 3.5, True, Level.HIGH, "7", [1], Inner(4))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Point, GIVEN, POINT),
        (Point, '["2", "3.5", "true", "HIGH", "7", "[1]", [4.0]]', POINT),
        (Point, '{"x": 2.0}', Point(2)),
        (Point | None, GIVEN, POINT),
        (list[Point], f"[{GIVEN}]", [POINT]),
        (dict[str, Point], f'{{"p": {GIVEN}}}', {"p": POINT}),
        (Point | str, GIVEN, POINT),
    ],
)
def test_the_fields_of_an_object_are_read_as_those_of_a_dataclass(kind: Any, text: str, value: Any) -> None:
    assert parse(kind, text) == value


@pytest.mark.parametrize(
    "text",
    ['{"x": "two"}', '{"x": 1, "name": 5}', '{"x": 1, "z": 2}', '{"y": 1}', '{"x": 1.5}', '{"x": null}'],
)
def test_what_is_not_clear_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse(Point, text)


def test_the_names_are_not_sent() -> None:
    """A model is shown an array; a `collections.namedtuple` has no types to convert to."""
    assert "x-alloy" not in str(compile_type(Point).schema)
    assert parse(collections.namedtuple("Bare", "a"), '{"a": "2"}') == ("2",)
