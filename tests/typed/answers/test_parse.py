"""Text becomes values: exactly, with harmless noise removed, and never by a guess."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import pickle
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.dialects import OPENAI
from pydantic import BaseModel

from alloy._typed.answers.parse import dump, read
from alloy._typed.json.text import decode, encode
from alloy._typed.schemas.dialects import to_wire
from alloy._typed.types.compile import compile_type
from alloy.errors import EmptyAnswerError, ParseError


class Color(enum.Enum):
    RED = "r"
    DARK_BLUE = "dark blue"


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


@dataclass
class Item:
    name: str
    price: float = 0.0


@dataclass
class Order:
    items: list[Item]
    note: str | None = None


@dataclass
class Node:
    kids: list[Node] = field(default_factory=list)


@dataclass
class Valued:
    value: int


def value_of(annotation: Any, text: str) -> Any:
    return read(compile_type(annotation), text)


def problems_of(annotation: Any, text: str) -> tuple[str, ...]:
    with pytest.raises(ParseError) as caught:
        value_of(annotation, text)
    assert caught.value.text == text
    return caught.value.problems


@pytest.mark.parametrize("text", ["", "  x ", "```json\n{}\n```", "\ufeffx"])
def test_plain_text_is_untouched(text: str) -> None:
    """A `str` output is the whole text, and a `None` output ignores it."""
    assert value_of(str, text) == text
    assert value_of(None, text) is None


NOISE = [
    "{}",
    "\ufeff{}",
    "  \n{}\n ",
    "```json\n{}\n```",
    "```\n{}\n```",
    "```python\n{}\n```\n",
    "Here it is:\n```json\n{}\n```\nAnything else?",
    "Sure! {} That was all.",
    "Sure! {}\nOnce more: {}",
    "As I said [1], with {{braces}}: {}",
]


@pytest.mark.parametrize("noise", NOISE)
def test_noise_around_one_object_is_removed(noise: str) -> None:
    """A byte-order mark, fences of any label, and prose; the same value twice is one value."""
    document = '{"items": [{"name": "a } ``` { b", "price": 2}], "note": "x"}'

    assert value_of(Order, noise.replace("{}", document).replace("{{", "{").replace("}}", "}")) == Order(
        [Item("a } ``` { b", 2.0)], "x"
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"value": [1, 2]}',
        "[1, 2]",
        "```json\n[1, 2]\n```",
        "The list: [1, 2].",
        'So: {"value": [1, 2]}.',
        "\ufeff[1,2]",
    ],
)
def test_the_wrapper_may_be_left_out(text: str) -> None:
    """A type whose root is not an object is read with and without `{"value": …}`."""
    assert value_of(list[int], text) == [1, 2]


def test_a_key_with_the_name_of_the_wrapper_is_not_the_wrapper() -> None:
    """The wrapper that was asked for goes first; without it the type's own key is meant."""
    assert value_of(Valued | None, '{"value": {"value": 3}}') == Valued(3)
    assert value_of(Valued | None, '{"value": 3}') == Valued(3)
    assert value_of(Valued | None, '{"value": null}') is None
    assert value_of(Valued, '{"value": 3}') == Valued(3)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "42", 42),
        (int, " 42\n", 42),
        (int, "3.0", 3),
        (int, "1e2", 100),
        (int, '"7"', 7),
        (int, "```\n42\n```", 42),
        (int, '{"value": 42}', 42),
        (int, str(10**300), 10**300),
        (float, "3", 3.0),
        (float, "-1.5e-3", -0.0015),
        (bool, "true", True),
        (bool, "True", True),
        (bool, "FALSE", False),
        (bool, '"true"', True),
        (Color, "r", Color.RED),
        (Color, "RED", Color.RED),
        (Color, "dark blue", Color.DARK_BLUE),
        (Color, '"DARK_BLUE"', Color.DARK_BLUE),
        (Level, "2", Level.HIGH),
        (Level, "HIGH", Level.HIGH),
        (Level, "2.0", Level.HIGH),
        (Literal["a", "b c"], "b c", "b c"),
        (Literal[1, True], "true", True),
        (Literal[1, True], "1", 1),
        (int | str, "02134", "02134"),
        (int | str, '{"value": "02134"}', "02134"),
        (int | str, '{"value": "7"}', "7"),
        (int | str, '{"value": 7}', 7),
        (int | float, '{"value": 3.0}', 3.0),
        (float | int, '{"value": 3}', 3),
        (int | None, "null", None),
        (int | bool, "true", True),
        (str | None, '{"value": "NaN and Infinity, 1e999"}', "NaN and Infinity, 1e999"),
        (date, "2026-01-02", date(2026, 1, 2)),
        (Decimal, "1.10", Decimal("1.10")),
        (Decimal, '{"value": 0.12345678901234567890123}', Decimal("0.12345678901234567890123")),
        (list[Decimal], "[0.1000000000000000000001, 3]", [Decimal("0.1000000000000000000001"), Decimal(3)]),
        (Path, '"/tmp/a"', Path("/tmp/a")),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (tuple[int, ...], "[1, 2]", (1, 2)),
        (set[int], "[1, 1]", {1}),
        (deque[int], "[1]", deque([1])),
        (dict[int, str], '{"1": "a"}', {1: "a"}),
        (dict[str, Level], '{"a": "HIGH", "b": 1}', {"a": Level.HIGH, "b": Level.LOW}),
        (list[Color | int], '["RED", "r", 3]', [Color.RED, Color.RED, 3]),
        (Item | Valued, '{"name": "x"}', Item("x")),
        (Item | Valued, '{"value": 3.0}', Valued(3)),
    ],
)
def test_values(annotation: Any, text: str, value: Any) -> None:
    """The JSON type decides; what cannot be mistaken is converted; digits are kept."""
    found = value_of(annotation, text)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "text", "problem"),
    [
        (int, "3.7", "$.value: expected an integer, got 3.7"),
        (int, "true", "$.value: expected an integer, got true"),
        (int, "1,000", '$.value: expected an integer, got "1,000"'),
        (int, "forty-two", '$.value: expected an integer, got "forty-two"'),
        (int, "The answer is 42.", "$: the answer is not JSON"),
        (int, "9007199254740993.0", "$.value: expected an integer, got 9007199254740993.0"),
        (float, "NaN", '$.value: expected a number, got "NaN"'),
        (float, '{"value": NaN}', "$.value: NaN is not JSON"),
        (float, '{"value": -Infinity}', "$.value: -Infinity is not JSON"),
        (float, '{"value": 1e999}', "$.value: the number 1e999 is too large"),
        (
            float,
            '{"value": ' + "9" * 400 + "}",
            "$.value: the number 9999999999999999999999999999999999999999… is too large",
        ),
        (float, "false", "$.value: expected a number, got false"),
        (float, '"12%"', '$.value: expected a number, got "12%"'),
        (bool, "1", "$.value: expected a boolean, got 1"),
        (bool, "maybe", '$.value: expected a boolean, got "maybe"'),
        (bool, "tru", '$.value: expected a boolean, got "tru"'),
        (Color, "green", """$.value: expected 'r' or 'dark blue', got "green\""""),
        (Level, "true", "$.value: expected 1 or 2, got true"),
        (Literal[1], "true", "$.value: expected 1, got true"),
        (Literal[True], "1", "$.value: expected True, got 1"),
        (list[int], "[1, true]", "$.value[1]: expected an integer, got true"),
        (Order, "I cannot do that.", "$: the answer is not JSON"),
        (Order, "[]", "$: expected an object, got []"),
        (Order, '{"items": [{"name": "a"}, {"price": "abc"}]}', "$.items[1].name: required, but missing"),
        (dict[str, int], '{"a b": "x"}', '$["a b"]: expected an integer, got "x"'),
        (
            Item,
            '{"name": "a"} or {"name": "b"}',
            "$: the answer holds two different JSON values: give exactly one",
        ),
        (
            Item,
            '{"name": true} or {"name": 1}',
            "$: the answer holds two different JSON values: give exactly one",
        ),
        (Item, '{\'x\': {"name": "a"}}', "$.name: required, but missing"),
        (
            Item,
            'So: {{"name": "a"}}',
            "$: the JSON in the answer is a part of something that is not JSON",
        ),
        (Item, 'A list: [{"name": "a"}', "$: the JSON ends too early: it is cut off"),
        (Item, 'A list: [{"name": "a"}]', "$: expected an object, got ["),
        (Item, '{"name": "\\ud800"}', "$.name: a lone surrogate is not a character"),
        (Node, '{"kids": [' * 5_000, "$.kids[0].kids[0].kids[0].kids[0]"),
        (Any, "[" * 300 + "]" * 300, "$[0][0][0][0][0][0][0][0][0][0]"),
    ],
)
def test_problems_are_reported_with_their_path(annotation: Any, text: str, problem: str) -> None:
    """The problem says where, what was expected and what was there."""
    assert problems_of(annotation, text)[0].startswith(problem)


def test_all_problems_are_reported_one_per_line() -> None:
    """A model can mend them in one go."""
    text = '{"items": [{"name": 1}, {"price": "abc"}], "note": 2}'

    assert problems_of(Order, text) == (
        "$.items[0].name: expected a string, got 1",
        "$.items[1].name: required, but missing",
        '$.items[1].price: expected a number, got "abc"',
        "$.note: expected a string, got 2",
    )


@pytest.mark.parametrize("annotation", [int, Order, list[int], bool, Color])
@pytest.mark.parametrize("text", ["", "  \n", "\ufeff", "```\n```"])
def test_an_empty_answer_has_its_own_error(annotation: Any, text: str) -> None:
    """Nothing is not an answer of any type but `str` and `None`."""
    with pytest.raises(EmptyAnswerError) as caught:
        value_of(annotation, text)

    assert caught.value.expected in ("int", "Order", "list[int]", "bool", "Color")


@pytest.mark.parametrize("form", ["{}", "Here you are: {}", "```json\n{}\n```"])
@pytest.mark.parametrize(
    ("annotation", "document"),
    [
        (Order, '{"items": [{"name": "a", "price": 1.5}, {"name": "b"}], "note": null}'),
        (Item, '{"name": "a {\\"name\\": \\"b\\"} c", "price": 10}'),
        (Node, '{"kids": [{"kids": []}, {}]}'),
        (list[Item], '[{"name": "a"}, {"name": "b"}]'),
        (list[Item], '{"value": [{"name": "a"}, {"name": "b"}]}'),
        (dict[str, int], '{"a": 1, "b": 22}'),
        (str | None, '{"value": "some text"}'),
        (int | str, '{"value": "some text"}'),
        (Any, '{"value": [1, {"a": 22}]}'),
    ],
)
def test_truncated_text_is_an_error_at_every_byte(annotation: Any, document: str, form: str) -> None:
    """Also where the missing part has a default."""
    start = form.index("{}") + 1
    text = form.replace("{}", document)
    assert value_of(annotation, text) is not None

    for end in range(start, form.index("{}") + len(document)):
        problems_of(annotation, text[:end])


@pytest.mark.parametrize(
    "junk",
    ["{", "[", '{"a":', "[1", "{}", '{"', "{ ", "\n{", "```", "1", " ", "word ", "9" * 299 + " ", "}]"],
)
@pytest.mark.slow
@pytest.mark.parametrize("annotation", [Order, list[int], int], ids=str)
def test_junk_is_read_in_linear_time(annotation: Any, junk: str) -> None:
    """Half a megabyte of anything is an error, at once and without a crash: no part is tried twice."""
    text = "x" + junk * (500_000 // len(junk))

    with pytest.raises((ParseError, EmptyAnswerError)):
        value_of(annotation, text)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_decoding_and_encoding_lose_nothing(value: Any) -> None:
    """The text for the validator means the same as the model's text."""
    text = json.dumps(value)

    assert json.loads(encode(decode(text))) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_digits_are_kept_as_written(number: Decimal) -> None:
    """A Decimal is read from the text and not from a float."""
    assert value_of(Decimal, f"{number:f}") == number


@settings(deadline=None)
@given(st.text(), st.sampled_from([Order, list[int], int, bool, Color, int | str, Any, dict[str, int]]))
def test_any_text_is_a_value_or_an_answer_error(text: str, annotation: Any) -> None:
    """No other error ever comes out."""
    try:
        value_of(annotation, text)
    except (ParseError, EmptyAnswerError) as error:
        assert error.text == text
        assert error.problems


def test_lone_surrogates_in_the_text_are_an_error() -> None:
    """They are no text that JSON could carry."""
    assert problems_of(Item, '{"name": "\ud800"}')


def test_errors_can_be_pickled() -> None:
    """With everything that they know."""
    with pytest.raises(ParseError) as caught:
        value_of(int, "x y")

    error = pickle.loads(pickle.dumps(caught.value))

    assert (error.expected, error.problems, error.text) == ("int", caught.value.problems, "x y")


def test_noise_is_removed_before_values_are_restored() -> None:
    """The provider's shape is found in prose as well."""
    spec = compile_type(Item)
    assert spec.schema is not None

    assert read(spec, 'So: {"name": "a", "price": null}!', to_wire(spec.schema, OPENAI)) == Item("a")


# --- values for the model -------------------------------------------------------------------------


class Pair(NamedTuple):
    x: int
    y: date


class Model(BaseModel):
    when: datetime
    level: Level


class Word(enum.StrEnum):
    YES = "yes"


class Opaque:
    def __str__(self) -> str:
        return "opaque"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ("", ""),
        (Word.YES, "yes"),
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (1.5, "1.5"),
        (10**400, str(10**400)),
        (Decimal("1.10"), '"1.10"'),
        (Item("a", 2.0), '{"name":"a","price":2.0}'),
        ([Item("ä")], '[{"name":"ä","price":0.0}]'),
        (Pair(1, date(2026, 1, 2)), '[1,"2026-01-02"]'),
        (Model(when=datetime(2026, 1, 2), level=Level.LOW), '{"when":"2026-01-02T00:00:00","level":1}'),  # noqa: DTZ001
        ({1: {"a"}}, '{"1":["a"]}'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (b"abc", '"abc"'),
        (math.nan, '"NaN"'),
        ({"a": [-math.inf]}, '{"a":["-Infinity"]}'),
        ("\ud800", "\\ud800"),
        ({"a": "\ud800"}, '{"a":"\\ud800"}'),
        (Opaque(), "opaque"),
        ([Opaque(), 1], '["opaque",1]'),
    ],
)
def test_tool_results_become_text(value: Any, text: str) -> None:
    """Strings as they are, all else as compact JSON, and what has no JSON form as its `str`."""
    assert dump(value) == text


def test_a_value_that_holds_itself_does_not_crash() -> None:
    """It has no JSON form."""
    value: list[Any] = []
    value.append(value)

    assert dump(value) == "[[...]]"


@given(json_values)
def test_json_values_are_dumped_as_valid_json(value: Any) -> None:
    """What JSON can say, it says."""
    text = dump(value)

    assert isinstance(value, str) or json.loads(text) == value
    text.encode()


def test_dumped_dataclasses_read_back() -> None:
    """What a tool returns has the shape that an output of that type has."""
    order = Order([Item("a", 1.5)], "x")

    assert value_of(Order, dump(order)) == order
    assert json.loads(dump(order)) == dataclasses.asdict(order)
