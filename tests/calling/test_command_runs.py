"""A command's stubbornness, as its settings say: retries, re-asks, the last word without tools."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from alloy import (
    AuthenticationError,
    EmptyAnswerError,
    ParseError,
    ProviderConnectionError,
    RateLimitError,
    RefusalError,
    ServerError,
    command,
    tool,
)
from alloy.messages import Reply
from alloy.testing import call, replies


@tool
def look() -> str:
    """Look."""
    return "seen"


@command(output=int)
def count(text: str = "x") -> str:
    """Count."""
    return f"Count {text}"


@command(output=int)
async def count_async(text: str = "x") -> str:
    """Count."""
    return f"Count {text}"


def run_sync(**options: Any) -> Any:
    """The result of one call."""
    return count.with_options(**options).run()


def run_async(**options: Any) -> Any:
    """The same in an event loop."""
    return asyncio.run(count_async.with_options(**options).run())


BOTH = pytest.mark.parametrize("run", [run_sync, run_async], ids=["sync", "async"])
Run = Callable[..., Any]


def slow(**details: Any) -> RateLimitError:
    """An error that passes, without a wait."""
    return RateLimitError("slow", provider="fake", retry_after=0, **details)


# --- retries --------------------------------------------------------------------------------------


@BOTH
def test_what_passes_is_tried_again(run: Run):
    """Up to `retry` times for each model request; the attempts are counted."""
    with replies(slow(), ProviderConnectionError("reset", provider="fake", retry_after=0), 3):
        done = run(retry=2)
    assert (done.value, done.attempts, done.turns) == (3, 3, 1)
    with replies(slow(), slow()), pytest.raises(RateLimitError):
        run(retry=1)
    with replies(slow()), pytest.raises(RateLimitError):
        run(retry=0)


@BOTH
def test_each_request_has_its_own_retries(run: Run):
    """A retry in the first turn leaves the second its own; the tool runs once."""
    with replies(slow(), call("look"), slow(), 3):
        done = run(retry=1, tools=[look])
    assert (done.value, done.attempts, done.turns, len(done.tool_calls)) == (3, 4, 2, 1)


@BOTH
def test_what_does_not_pass_is_told_at_once(run: Run):
    """A key that is refused is refused the second time, too; and so is a quota that is spent."""
    for error in (AuthenticationError("no", provider="fake", status=401), slow(transient=False)):
        with replies(error), pytest.raises(type(error)):
            run(retry=5)


@BOTH
def test_retry_on_says_what_is_tried_again(run: Run):
    """Those errors and no others, answers that cannot be used included."""
    with replies(slow()), pytest.raises(RateLimitError):
        run(retry_on=ServerError, retry=5)
    with replies(ServerError("down", provider="fake", retry_after=0), 3):
        assert run(retry_on=[ServerError]).value == 3
    with replies(Reply("", finish="refusal"), 3):
        assert run(retry_on=RefusalError, retry=1).value == 3
    with replies(slow()), pytest.raises(RateLimitError):
        run(retry_on=(), retry=5)


@BOTH
def test_a_provider_that_asks_for_too_much_patience_gets_none(run: Run):
    """The error comes at once, with what was asked for."""
    error = RateLimitError("slow", provider="fake", retry_after=3600)
    with replies(error), pytest.raises(RateLimitError) as raised:
        run(retry=5)
    assert raised.value.retry_after == 3600


# --- re-asks --------------------------------------------------------------------------------------


@BOTH
def test_an_answer_that_does_not_read_goes_back(run: Run):
    """With the type that was due and what was wrong; a better answer counts."""
    with replies("no number", "still none", 3) as seen:
        done = run(reask=2)
    assert (done.value, done.turns) == (3, 3)
    messages = seen.requests[2]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert messages[1]["content"] == "no number" and "int" in messages[2]["content"]


@BOTH
def test_re_asks_are_counted(run: Run):
    """After `reask` of them the error is the caller's; with none, the first is."""
    with replies("a", "b"), pytest.raises(ParseError) as raised:
        run(reask=1)
    assert raised.value.text == "b"
    with replies("a"), pytest.raises(ParseError):
        run(reask=0)


@BOTH
def test_a_refusal_is_not_argued_with(run: Run):
    """Neither retries nor re-asks."""
    with replies(Reply("", finish="refusal", explanation="I will not")), pytest.raises(RefusalError):
        run(reask=5, retry=5)


# --- the last word --------------------------------------------------------------------------------


@BOTH
def test_a_missing_answer_is_asked_for_once_without_tools(run: Run):
    """Models that stop after their tool calls get one more turn, in which they may not call any."""
    with replies(call("look"), "", 3) as seen:
        done = run(tools=[look])
    assert (done.value, done.turns) == (3, 3)
    assert seen.requests[2]["tool_choice"] == "none"
    assert "tool_choice" not in seen.requests[1]
    assert seen.requests[2]["messages"][-1]["role"] == "user"


@BOTH
def test_a_second_missing_answer_is_an_error(run: Run):
    """It is not asked for a third time."""
    with replies(call("look"), "", " "), pytest.raises(EmptyAnswerError):
        run(tools=[look])


@BOTH
def test_without_auto_finalize_a_missing_answer_is_an_error_at_once(run: Run):
    """The setting turns the extra turn off."""
    with replies(call("look"), ""), pytest.raises(EmptyAnswerError) as raised:
        run(tools=[look], auto_finalize_missing_output=False)
    assert raised.value.expected == "int"


@BOTH
def test_a_command_without_a_value_needs_no_answer(run: Run):
    """`output=None` is content with silence: no extra turn."""
    with replies(call("look"), ""):
        done = run(tools=[look], output=None)
    assert (done.value, done.turns) == (None, 2)
