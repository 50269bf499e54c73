"""An answer that ends with an unknown word is used when its content shows that it is whole."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import pytest
from kit.ways import Asked, every_way, weather

from alloy import BadReplyError
from alloy.messages import Reply, ToolCall
from alloy.testing import replies


@dataclass
class City:
    name: str


def ended(text: str = "", calls: tuple[ToolCall, ...] = ()) -> Reply:
    return Reply(text, calls, finish="other", explanation="ALL_SAID")


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "ALL_SAID" in record.getMessage()]


@every_way
def test_whole_calls_are_run(way: Any, caplog: pytest.LogCaptureFixture):
    """With one log line."""
    caplog.set_level(logging.WARNING, "alloy")
    with replies(ended(calls=(ToolCall("a", "weather", '{"city": "Oslo"}'),)), "Done."):
        result, _ = way(Asked(tools=[weather]))
    assert [call.value for call in result.tool_calls] == ["sunny in Oslo"]
    assert len(logged(caplog)) == 1


@every_way
def test_a_typed_answer_that_parses_is_taken(way: Any, caplog: pytest.LogCaptureFixture):
    """With one log line."""
    caplog.set_level(logging.WARNING, "alloy")
    with replies(ended('{"name": "Oslo"}')):
        result, _ = way(Asked(output=City))
    assert result.value == City("Oslo")
    assert len(logged(caplog)) == 1


@every_way
def test_a_free_text_is_an_error_that_is_raised_once(way: Any):
    """Nobody knows whether the text is whole, and the next one would end in the same way."""
    with (
        replies(ended("Oslo.")) as script,
        pytest.raises(BadReplyError, match=r"'ALL_SAID'.*Oslo") as caught,
    ):
        way(Asked(retry=2))
    assert len(script.requests) == 1
    assert not caught.value.transient
    assert caught.value.code == "ALL_SAID"
    assert "Oslo." in str(caught.value.transcript), "what was received is in the transcript"


@pytest.mark.parametrize(
    ("output", "text"),
    [(int, "12"), (float, "**1.5"), (Decimal, "1e2"), (Literal["red", "redder"], "red"), (int, "-3.")],
)
def test_a_bare_value_that_may_go_on_is_an_error(output: Any, text: str):
    with replies(ended(text)), pytest.raises(BadReplyError, match="'ALL_SAID'"):
        Asked(output=output).run()


@pytest.mark.parametrize(
    ("output", "text", "value"),
    [
        (int, '{"value": 12}', 12),
        (Literal["red", "redder"], "redder", "redder"),
        (Literal["red", "blue"], "red", "red"),
        (bool, "true", True),
    ],
)
def test_a_bare_value_that_cannot_go_on_is_taken(output: Any, text: str, value: Any):
    with replies(ended(text)):
        assert Asked(output=output).run().value == value
