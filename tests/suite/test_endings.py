"""How a turn can end other than well: refused, cut off, filtered."""

from __future__ import annotations

from typing import Any

import pytest
from kit.ways import every_way

from alloy import AnswerError, FilteredError, RefusalError, TruncatedError
from suite.saying import Say
from suite.stage import Stage, Way
from suite.table import proves
from suite.test_answers import Point
from suite.test_tools import add

either_output = pytest.mark.parametrize("output", [str, Point], ids=["text", "typed"])


def raised(stage: Stage, way: Way, kind: type[AnswerError], **options: Any) -> AnswerError:
    """The error of a call, which has a transcript and is not tried again."""
    with pytest.raises(kind) as caught:
        stage.ask(way, retry=2, reask=1, **options)
    assert caught.value.transcript is not None
    assert caught.value.usage is not None
    return caught.value


@proves("Refusal")
@either_output
@every_way
def test_a_refusal(stage: Stage, way: Way, output: Any) -> None:
    """A model that declines is an error of its own, with its reason; it is not asked again."""
    stage.say(Say(ending="refusal", why="I cannot help with that."))

    assert "I cannot help with that." in str(raised(stage, way, RefusalError, output=output))


@proves("Refusal")
@every_way
def test_a_refusal_after_tools(stage: Stage, way: Way) -> None:
    """The same after tools, and what they did is in the transcript."""
    stage.say(Say(calls=(("add", {"a": 1}),)), Say(ending="refusal", why="No more."))
    error = raised(stage, way, RefusalError, tools=[add])

    assert [type(turn).__name__ for turn in error.transcript or ()] == [
        "User",
        "Reply",
        "ToolResults",
        "Reply",
    ]


@proves("Truncation")
@either_output
@every_way
def test_a_truncated_answer(stage: Stage, way: Way, output: Any) -> None:
    """An answer that is cut off is never a value, though it may read as one; the error has the text."""
    said = "The answer is" if output is str else '{"x": 1, "label": "a"}'
    stage.say(Say(said, ending="length"))
    error = raised(stage, way, TruncatedError, output=output)

    assert error.text == said
    assert "max_tokens" in str(error)


@proves("Truncation")
@every_way
def test_a_truncated_call_is_not_made(stage: Stage, way: Way) -> None:
    """Calls of a turn that is cut off do not run: their arguments may not be whole."""
    stage.say(Say(calls=(("add", {"a": 1}),), ending="length"))
    error = raised(stage, way, TruncatedError, tools=[add])

    assert [type(turn).__name__ for turn in error.transcript or ()] == ["User", "Reply"]


@proves("Content filter")
@either_output
@every_way
def test_a_filtered_answer(stage: Stage, way: Way, output: Any) -> None:
    """An answer that a filter stops is an error of its own, with the text so far."""
    stage.say(Say("It begins", ending="filter"))

    assert raised(stage, way, FilteredError, output=output).text == "It begins"
