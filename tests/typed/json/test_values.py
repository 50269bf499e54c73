"""The type of a decoded JSON value, and equality as JSON has it."""

from __future__ import annotations

import enum
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloy._typed.json.text import Digits, decode
from alloy._typed.json.values import json_type, same

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


class Step(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("value", "name"),
    [
        *(("", "string"), (True, "boolean"), (1, "integer"), (1.0, "number"), (None, "null")),
        *(
            ([], "array"),
            ({}, "object"),
            (Digits("1.0"), "number"),
            (Step.ONE, "integer"),
            (object(), "object"),
        ),
    ],
)
def test_every_value_has_one_type(value: Any, name: str) -> None:
    """By its Python type, subclasses included; a boolean is not an integer."""
    assert json_type(value) == name


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, 1.0),
        (1, Digits("1.0")),
        ({"a": 1, "b": [2.0]}, {"b": [2], "a": 1.0}),
        (None, None),
    ],
)
def test_what_is_equal(left: Any, right: Any) -> None:
    """Numbers by their value, objects whatever the order of their keys."""
    assert same(left, right)
    assert same(right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (0, False),
        ([1], [True]),
        ({"a": 0}, {"a": False}),
        ("1", 1),
        (None, False),
        ([], {}),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ({"a": 1}, {"a": 1, "b": 1}),
        ([[True]], [[1]]),
    ],
)
def test_what_is_not_equal(left: Any, right: Any) -> None:
    """A boolean is not a number, at no depth."""
    assert not same(left, right)
    assert not same(right, left)


@given(values)
def test_a_value_is_equal_to_its_decoded_text(value: Any) -> None:
    """Whatever class its numbers have."""
    assert same(value, decode(json.dumps(value)))


@given(values, values)
def test_equal_values_have_equal_canonical_texts(left: Any, right: Any) -> None:
    """Judged by another way: the text with sorted keys, in which whole floats are written as integers."""
    assert same(left, right) == (canonical(left) == canonical(right))


def canonical(value: Any) -> str:
    """The text of *value* that equal values share."""
    if isinstance(value, list):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(key)}:{canonical(value[key])}' for key in sorted(value))}}}"
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)
