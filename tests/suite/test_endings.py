"""Turns that do not end normally: refused, truncated, filtered."""

from __future__ import annotations

from typing import Any

import pytest
from kit.ways import every_way

from alloy import AnswerError, FilteredError, RefusalError, TruncatedError
from suite.script import ModelTurn
from suite.scripted_provider import ScriptedProvider, Way
from suite.table import proves
from suite.test_answers import Point
from suite.test_tools import add

either_output = pytest.mark.parametrize("output", [str, Point], ids=["text", "typed"])


def raised(scripted: ScriptedProvider, way: Way, kind: type[AnswerError], **options: Any) -> AnswerError:
    """The error of a call; it has a transcript, and the call is not retried."""
    with pytest.raises(kind) as caught:
        scripted.ask(way, retry=2, reask=1, **options)
    assert caught.value.transcript is not None
    assert caught.value.usage is not None
    return caught.value


@proves("Refusal")
@either_output
@every_way
def test_a_refusal(scripted: ScriptedProvider, way: Way, output: Any) -> None:
    """A refusal is a `RefusalError` with its reason; the model is not asked again."""
    scripted.script(ModelTurn(ending="refusal", why="I cannot help with that."))

    assert "I cannot help with that." in str(raised(scripted, way, RefusalError, output=output))


@proves("Refusal")
@every_way
def test_a_refusal_after_tools(scripted: ScriptedProvider, way: Way) -> None:
    """The same after tool calls, which are in the transcript."""
    scripted.script(ModelTurn(calls=(("add", {"a": 1}),)), ModelTurn(ending="refusal", why="No more."))
    error = raised(scripted, way, RefusalError, tools=[add])

    assert [type(turn).__name__ for turn in error.transcript or ()] == [
        "User",
        "Reply",
        "ToolResults",
        "Reply",
    ]


@proves("Truncation")
@either_output
@every_way
def test_a_truncated_answer(scripted: ScriptedProvider, way: Way, output: Any) -> None:
    """A truncated answer is never a value, even if it can be parsed; the error has the text."""
    text = "The answer is" if output is str else '{"x": 1, "label": "a"}'
    scripted.script(ModelTurn(text, ending="length"))
    error = raised(scripted, way, TruncatedError, output=output)

    assert error.text == text
    assert "max_tokens" in str(error)


@proves("Truncation")
@every_way
def test_a_truncated_call_is_not_made(scripted: ScriptedProvider, way: Way) -> None:
    """Calls of a truncated turn do not run, because their arguments may be incomplete."""
    scripted.script(ModelTurn(calls=(("add", {"a": 1}),), ending="length"))
    error = raised(scripted, way, TruncatedError, tools=[add])

    assert [type(turn).__name__ for turn in error.transcript or ()] == ["User", "Reply"]


@proves("Content filter")
@either_output
@every_way
def test_a_filtered_answer(scripted: ScriptedProvider, way: Way, output: Any) -> None:
    """An answer that a filter stops is a `FilteredError` with the text so far."""
    scripted.script(ModelTurn("It begins", ending="filter"))

    assert raised(scripted, way, FilteredError, output=output).text == "It begins"
