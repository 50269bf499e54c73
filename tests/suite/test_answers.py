"""Text, system prompts, typed answers and their usage."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import pytest
from kit.ways import every_way
from typing_extensions import TypedDict

from alloy import EmptyAnswerError, ParseError, PostconditionError, Usage, ensure
from suite.script import ModelTurn
from suite.scripted_provider import ScriptedProvider, Way
from suite.table import LOOSE, proves


@proves("Text")
@every_way
def test_text(scripted: ScriptedProvider, way: Way) -> None:
    """The whole prompt is sent, and the whole answer is returned."""
    scripted.script(ModelTurn("Grüße 🦊,\nWelt"))
    result = scripted.ask(way, "Say: Grüße 🦊")

    assert result.value == result.text == "Grüße 🦊,\nWelt"
    assert (result.turns, result.attempts, result.downgrades) == (1, 1, ())
    (request,) = scripted.received
    assert [(turn.role, turn.text) for turn in request.turns] == [("user", "Say: Grüße 🦊")]
    assert (request.system, request.tools, request.schema) == ("", (), None)
    assert result.model.startswith(scripted.provider.model.partition(":")[0] + ":")


@proves("Text")
def test_values(scripted: ScriptedProvider) -> None:
    """Calling or awaiting a command returns the value, and so does a stream's `result`."""
    scripted.script(*[ModelTurn("Hello")] * 4)
    asked = scripted.command()

    async def awaited() -> list[str]:
        return [await asked.async_(), await asked.stream_async().result()]

    values = scripted.play(lambda: [asked(), asked.stream().result(), *asyncio.run(awaited())])
    assert values == ["Hello"] * 4


@proves("System prompt")
@every_way
def test_system(scripted: ScriptedProvider, way: Way) -> None:
    """A system prompt is sent once, as a system prompt and not in the user's message."""
    scripted.script(ModelTurn("Hello"))
    scripted.ask(way, "Hi", system="Be brief.\nBe kind.")

    (request,) = scripted.received
    assert request.system == "Be brief.\nBe kind."
    assert [turn.text for turn in request.turns] == ["Hi"]


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

KINDS: dict[str, tuple[Any, Any, Any]] = {  # the type, the model's answer as JSON, the value
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
def test_typed_answers(scripted: ScriptedProvider, way: Way, kind: str) -> None:
    """The schema is sent in the provider's field for it, and the JSON of the answer becomes the type."""
    output, answer, value = KINDS[kind]
    scripted.script(ModelTurn(value=answer))
    result = scripted.ask(way, "Which?", output=output)

    assert result.value == value
    assert type(result.value) is type(value)
    assert scripted.received[0].schema is not None
    assert result.downgrades == ()


@proves("Structured output")
@every_way
def test_answers_of_type_str_have_no_schema(scripted: ScriptedProvider, way: Way) -> None:
    """`output=str` sends no schema, and text that looks like JSON stays text."""
    scripted.script(ModelTurn('{"value": 1}'))

    assert scripted.ask(way, output=str).value == '{"value": 1}'
    assert scripted.received[0].schema is None


@proves("Structured output")
@every_way
def test_commands_without_a_value(scripted: ScriptedProvider, way: Way) -> None:
    """`output=None` accepts any answer, also an empty one, and returns `None`."""
    scripted.script(ModelTurn(""))

    assert scripted.ask(way, output=None).value is None
    assert scripted.received[0].schema is None


@proves(LOOSE)
@every_way
def test_types_without_a_strict_form(scripted: ScriptedProvider, way: Way) -> None:
    """A type without a strict form is sent as a plain schema, or described in the prompt."""
    value = {"a": 1, "b": [True, None], "c": {"d": "e"}}
    scripted.script(ModelTurn(value=value))
    result = scripted.ask(way, output=dict[str, Any])

    assert result.value == value
    native = scripted.provider.can.loose_output
    assert (scripted.received[0].schema is not None) == native
    assert result.downgrades == (() if native else ("output",))


@proves("Prompted JSON, when asked for")
@every_kind
@every_way
def test_prompted_answers(scripted: ScriptedProvider, way: Way, kind: str) -> None:
    """With `output_mode="prompted"` the type is only in the prompt, and the value is the same."""
    output, answer, value = KINDS[kind]
    scripted.script(ModelTurn(value=answer))
    result = scripted.ask(way, "Which?", output=output, output_mode="prompted", system="Be brief.")

    assert result.value == value
    (request,) = scripted.received
    assert request.schema is None
    assert request.system == "Be brief."
    assert request.turns[-1].text.startswith("Which?\n\nAnswer ")


# --- answers that do not fit --------------------------------------------------------------------------


@proves("Wrong answers are re-asked")
@every_way
def test_wrong_answers_are_re_asked(scripted: ScriptedProvider, way: Way) -> None:
    """The model gets the problems of an answer that does not fit; its second answer counts."""
    scripted.script(ModelTurn('{"x": "many"}'), ModelTurn(value={"x": 2, "label": None}))
    result = scripted.ask(way, "Where?", output=Point, reask=1)

    assert result.value == Point(2)
    assert result.turns == 2
    roles = [turn.role for turn in scripted.received[1].turns]
    assert roles == ["user", "assistant", "user"]
    assert "many" in scripted.received[1].turns[1].text
    assert "x" in scripted.received[1].turns[2].text


@proves("Wrong answers are re-asked")
@every_way
def test_wrong_answers_are_errors(scripted: ScriptedProvider, way: Way) -> None:
    """Without a re-ask the error has the problems and the model's answer."""
    scripted.script(ModelTurn('{"x": "many"}'))
    with pytest.raises(ParseError) as caught:
        scripted.ask(way, output=Point)

    assert caught.value.text == '{"x": "many"}'
    assert caught.value.usage is not None


@proves("Wrong answers are re-asked")
@every_way
def test_contracts_correct_the_answer(scripted: ScriptedProvider, way: Way) -> None:
    """If `@ensure` rejects an answer, the model gets the contract's message."""
    scripted.script(ModelTurn(value=-1), ModelTurn(value=1))
    asked = ensure(lambda result: result > 0, "must be positive")(scripted.command(output=int, reask=1))
    result = scripted.play(lambda: way(asked))[0]

    assert result.value == 1
    assert "must be positive" in scripted.received[1].turns[-1].text


@proves("Wrong answers are re-asked")
@every_way
def test_failed_contracts_are_errors(scripted: ScriptedProvider, way: Way) -> None:
    """A value that the contract rejects every time is a `PostconditionError`."""
    scripted.script(ModelTurn(value=-1))
    asked = ensure(lambda result: result > 0, "must be positive")(scripted.command(output=int))
    with pytest.raises(PostconditionError, match="must be positive"):
        scripted.play(lambda: way(asked))


@proves("Missing answers are re-asked")
@every_way
def test_missing_answers_are_re_asked(scripted: ScriptedProvider, way: Way) -> None:
    """After an empty answer the model is asked once more."""
    scripted.script(ModelTurn(""), ModelTurn(value=3))
    result = scripted.ask(way, output=int)

    assert (result.value, result.turns) == (3, 2)
    assert "final answer" in scripted.received[1].turns[-1].text


@proves("Missing answers are re-asked")
@every_way
def test_empty_answers_are_errors(scripted: ScriptedProvider, way: Way) -> None:
    """A second empty answer is an error, and so is the first if it is not re-asked."""
    scripted.script(ModelTurn(""), ModelTurn(" \n"))
    with pytest.raises(EmptyAnswerError):
        scripted.ask(way)
    scripted.script(ModelTurn(""))
    with pytest.raises(EmptyAnswerError):
        scripted.ask(way, auto_finalize_missing_output=False)


@proves("Usage")
@every_way
def test_usage_adds_up(scripted: ScriptedProvider, way: Way) -> None:
    """The tokens of all turns are added; cached ones are part of the input, reasoning ones of the output."""
    scripted.script(ModelTurn("no", usage=(100, 20, 30, 4)), ModelTurn(value=1, usage=(200, 40, 60, 8)))
    result = scripted.ask(way, output=int, reask=1)

    counts = scripted.provider.counts
    total = [tokens if counted else 0 for tokens, counted in zip((300, 60, 90, 12), counts, strict=True)]
    assert result.usage == Usage(*total)
    assert result.usage.total_tokens == 360


# --- streams ------------------------------------------------------------------------------------------


@proves("Streamed text")
@every_way
def test_streams_return_the_whole_text(scripted: ScriptedProvider, way: Way) -> None:
    """The pieces of a stream, joined, are the text of the result."""
    text = "Grüße 🦊, this is some text\nof two lines that comes in pieces. "
    scripted.script(ModelTurn(text))
    result, pieces = scripted.ask_with_text(way)

    assert result.text == text
    assert pieces in (None, text)
    assert scripted.received[0].streamed == (pieces is not None and scripted.provider.name != "fake")
