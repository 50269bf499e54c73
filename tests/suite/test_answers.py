"""Text, system prompts, typed answers and what they cost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import pytest
from kit.ways import every_way
from typing_extensions import TypedDict

from alloy import EmptyAnswerError, ParseError, PostconditionError, Usage, ensure
from suite.saying import Say
from suite.stage import Stage, Way
from suite.table import LOOSE, proves


@proves("Text")
@every_way
def test_text(stage: Stage, way: Way) -> None:
    """A prompt goes out whole, and the answer comes back whole."""
    stage.say(Say("Grüße 🦊,\nWelt"))
    result = stage.ask(way, "Say: Grüße 🦊")

    assert result.value == result.text == "Grüße 🦊,\nWelt"
    assert (result.turns, result.attempts, result.downgrades) == (1, 1, ())
    (heard,) = stage.heard
    assert [(told.role, told.text) for told in heard.turns] == [("user", "Say: Grüße 🦊")]
    assert (heard.system, heard.tools, heard.schema) == ("", (), None)
    assert result.model.startswith(stage.provider.model.partition(":")[0] + ":")


@proves("Text")
def test_values(stage: Stage) -> None:
    """Calling and awaiting a command gives the value itself, and so does a stream's `result`."""
    stage.say(*[Say("Hello")] * 4)
    asked = stage.command()

    async def awaited() -> list[str]:
        return [await asked.async_(), await asked.stream_async().result()]

    values = stage.play(lambda: [asked(), asked.stream().result(), *asyncio.run(awaited())])
    assert values == ["Hello"] * 4


@proves("System prompt")
@every_way
def test_system(stage: Stage, way: Way) -> None:
    """A system prompt arrives as one, once, and not among what the user says."""
    stage.say(Say("Hello"))
    stage.ask(way, "Hi", system="Be brief.\nBe kind.")

    (heard,) = stage.heard
    assert heard.system == "Be brief.\nBe kind."
    assert [told.text for told in heard.turns] == ["Hi"]


# --- typed answers ------------------------------------------------------------------------------------


class Color(Enum):
    RED = "red"
    GREEN = "green"


@dataclass
class Point:
    x: int
    label: str | None = None


class Part(TypedDict):
    key: str
    count: int


@dataclass
class Order:
    vendor: str
    color: Color
    points: list[Point]
    parts: dict[str, Part]
    span: tuple[int, str]
    choice: Point | str
    note: str = field(default="none")


ORDER = {
    "vendor": "Acme",
    "color": "green",
    "points": [{"x": 1, "label": "a"}, {"x": 2, "label": None}],
    "parts": {"bolt": {"key": "M4", "count": 2}},
    "span": [1, "two"],
    "choice": {"x": 3, "label": None},
    "note": "soon",
}
NESTED = Order(
    "Acme",
    Color.GREEN,
    [Point(1, "a"), Point(2)],
    {"bolt": {"key": "M4", "count": 2}},
    (1, "two"),
    Point(3),
    "soon",
)

KINDS: dict[str, tuple[Any, Any, Any]] = {  # the type, what the model says as JSON, the value
    "int": (int, 42, 42),
    "float": (float, 2.5, 2.5),
    "bool": (bool, True, True),
    "dataclass": (Point, {"x": 1, "label": "a"}, Point(1, "a")),
    "TypedDict": (Part, {"key": "M4", "count": 2}, {"key": "M4", "count": 2}),
    "list": (list[int], [1, 2, 3], [1, 2, 3]),
    "list of dataclasses": (list[Point], [{"x": 1, "label": None}], [Point(1)]),
    "dict": (dict[str, int], {"a": 1, "b": 2}, {"a": 1, "b": 2}),
    "tuple": (tuple[int, str], [1, "two"], (1, "two")),
    "Optional": (int | None, None, None),
    "Optional value": (int | None, 7, 7),
    "Union": (Point | int, {"x": 1, "label": None}, Point(1)),
    "Literal": (Literal["yes", "no", 3], "no", "no"),
    "Enum": (Color, "red", Color.RED),
    "nested": (Order, ORDER, NESTED),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@proves("Structured output")
@every_kind
@every_way
def test_typed_answers(stage: Stage, way: Way, kind: str) -> None:
    """The type's schema goes out in the provider's own field, and its JSON comes back as the type."""
    output, said, value = KINDS[kind]
    stage.say(Say(value=said))
    result = stage.ask(way, "Which?", output=output)

    assert result.value == value
    assert type(result.value) is type(value)
    assert stage.heard[0].schema is not None
    assert result.downgrades == ()


@proves("Structured output")
@every_way
def test_answers_of_type_str_have_no_shape(stage: Stage, way: Way) -> None:
    """`output=str` sends no schema, and what looks like JSON stays text."""
    stage.say(Say('{"value": 1}'))

    assert stage.ask(way, output=str).value == '{"value": 1}'
    assert stage.heard[0].schema is None


@proves("Structured output")
@every_way
def test_commands_without_a_value(stage: Stage, way: Way) -> None:
    """`output=None` takes any answer, none included, and gives `None`."""
    stage.say(Say(""))

    assert stage.ask(way, output=None).value is None
    assert stage.heard[0].schema is None


@proves(LOOSE)
@every_way
def test_shapes_that_strict_mode_cannot_hold(stage: Stage, way: Way) -> None:
    """A shape without a strict form is sent as it is, or put in words where the provider takes no other."""
    value = {"a": 1, "b": [True, None], "c": {"d": "e"}}
    stage.say(Say(value=value))
    result = stage.ask(way, output=dict[str, Any])

    assert result.value == value
    native = stage.provider.can.loose_output
    assert (stage.heard[0].schema is not None) == native
    assert result.downgrades == (() if native else ("output",))


@proves("Prompted JSON, when asked for")
@every_kind
@every_way
def test_prompted_answers(stage: Stage, way: Way, kind: str) -> None:
    """With `output_mode="prompted"` the shape stands in the prompt alone, and the value is the same."""
    output, said, value = KINDS[kind]
    stage.say(Say(value=said))
    result = stage.ask(way, "Which?", output=output, output_mode="prompted", system="Be brief.")

    assert result.value == value
    (heard,) = stage.heard
    assert heard.schema is None
    assert heard.system.startswith("Be brief.")
    assert "JSON" in heard.system


# --- answers that do not fit --------------------------------------------------------------------------


@proves("Wrong answers are re-asked")
@every_way
def test_wrong_answers_go_back(stage: Stage, way: Way) -> None:
    """An answer that is no such type goes back with what was wrong; the second one counts."""
    stage.say(Say('{"x": "many"}'), Say(value={"x": 2, "label": None}))
    result = stage.ask(way, "Where?", output=Point, reask=1)

    assert result.value == Point(2)
    assert result.turns == 2
    roles = [told.role for told in stage.heard[1].turns]
    assert roles == ["user", "assistant", "user"]
    assert "many" in stage.heard[1].turns[1].text
    assert "x" in stage.heard[1].turns[2].text


@proves("Wrong answers are re-asked")
@every_way
def test_wrong_answers_are_no_values(stage: Stage, way: Way) -> None:
    """Without a re-ask left the error says what was wrong, and holds what the model said."""
    stage.say(Say("no JSON at all"))
    with pytest.raises(ParseError) as caught:
        stage.ask(way, output=Point)

    assert caught.value.text == "no JSON at all"
    assert caught.value.usage is not None


@proves("Wrong answers are re-asked")
@every_way
def test_contracts_correct_the_answer(stage: Stage, way: Way) -> None:
    """What `@ensure` turns down goes back to the model with the contract's words."""
    stage.say(Say(value=-1), Say(value=1))
    asked = ensure(lambda result: result > 0, "must be positive")(stage.command(output=int, reask=1))
    result = stage.play(lambda: way(asked))[0]

    assert result.value == 1
    assert "must be positive" in stage.heard[1].turns[-1].text


@proves("Wrong answers are re-asked")
@every_way
def test_contracts_hold(stage: Stage, way: Way) -> None:
    """A value that the contract turns down to the last is an error of its own."""
    stage.say(Say(value=-1))
    asked = ensure(lambda result: result > 0, "must be positive")(stage.command(output=int))
    with pytest.raises(PostconditionError, match="must be positive"):
        stage.play(lambda: way(asked))


@proves("Missing answers are re-asked")
@every_way
def test_missing_answers_are_asked_for(stage: Stage, way: Way) -> None:
    """A model that says nothing is asked once more for its answer."""
    stage.say(Say(""), Say(value=3))
    result = stage.ask(way, output=int)

    assert (result.value, result.turns) == (3, 2)
    assert "final answer" in stage.heard[1].turns[-1].text


@proves("Missing answers are re-asked")
@every_way
def test_nothing_is_no_answer(stage: Stage, way: Way) -> None:
    """A model that says nothing twice is an error, and so is one that may not be asked again."""
    stage.say(Say(""), Say(" \n"))
    with pytest.raises(EmptyAnswerError):
        stage.ask(way)
    stage.say(Say(""))
    with pytest.raises(EmptyAnswerError):
        stage.ask(way, auto_finalize_missing_output=False)


@proves("Usage")
@every_way
def test_usage_adds_up(stage: Stage, way: Way) -> None:
    """Tokens of all turns are counted alike: the cached among those read, the thought among those written."""
    stage.say(Say("no", usage=(100, 20, 30, 4)), Say(value=1, usage=(200, 40, 60, 8)))
    result = stage.ask(way, output=int, reask=1)

    tells = stage.provider.counts
    total = [count if told else 0 for count, told in zip((300, 60, 90, 12), tells, strict=True)]
    assert result.usage == Usage(*total)
    assert result.usage.total_tokens == 360


# --- streams ------------------------------------------------------------------------------------------


@proves("Streamed text")
@every_way
def test_streams_say_the_whole_text(stage: Stage, way: Way) -> None:
    """The pieces of a stream, joined, are the text of the result."""
    text = "Grüße 🦊, this is some text\nof two lines that comes in pieces. "
    stage.say(Say(text))
    result, pieces = stage.listen(way)

    assert result.text == text
    assert pieces in (None, text)
    assert stage.heard[0].streamed == (pieces is not None and stage.provider.name != "fake")
