"""Numbers that no clock and no float can hold: refused where they are written, by one rule for each kind."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from kit.apis import CHAT
from kit.talking import MODES
from kit.ways import Asked, every_way
from kit.wire import WireServer

import alloy
from alloy import (
    Budget,
    CircuitBreaker,
    ConfigurationError,
    ask,
    command,
    configure,
    doctor,
    tool,
    use_config,
)
from alloy._engine.effects import Sleep
from alloy._engine.pace import Limits, Pace
from alloy._engine.pacing import _wait
from alloy._engine.policy import Policy
from alloy._engine.retry_budget import RetryBudgets
from alloy._engine.runtime.stopping import Stop, Stopped
from alloy.errors import RateLimitError
from alloy.quantities import LONGEST_WAIT
from alloy.settings import SETTINGS, Setting
from alloy.testing import call, calls, replies
from alloy.watchdog import call_later

INFINITE = float("inf")
TOO_LONG = [1.1e9, 9.3e9, 1e10, 1e18, sys.float_info.max, INFINITE, float("nan"), 10**400, 10**5000]
TOO_MANY = [2**64, 10**30, 10**400, 10**5000, INFINITE, 1e10]

TIMES = ["timeout", "deadline", "tool_timeout", "backoff", "backoff_max", "retry_after_max"]
COUNTS = [
    *("retry", "retry_budget", "reask", "requests_per_minute", "tokens_per_minute", "max_tokens", "seed"),
    *("max_response_bytes", "max_tool_turns", "parallel_tools_max", "max_connections"),
    "tool_result_max_chars",
]
WRONG = [(name, value) for name in TIMES for value in TOO_LONG]
WRONG += [(name, value) for name in COUNTS for value in TOO_MANY]
WRONG += [(name, value) for name in ("temperature", "top_p") for value in (INFINITE, 10**400, 10**5000)]


def test_every_number_is_tried() -> None:
    """A setting that is new is in one of the lists."""
    numbers = {name for name, row in SETTINGS.items() if refusal(row).startswith(("a number", "an int"))}
    assert numbers == {name for name, _ in WRONG}


def refusal(row: Setting) -> str:
    """What a setting says that it accepts."""
    try:
        row.kind.check(object())
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", sorted({name for name, _ in WRONG}))
def test_settings_that_make_no_sense_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an option, for a block, for the process and for a model; a variable is ignored with a warning."""
    ways: list[Any] = [lambda **given: ask("q", **given), configure, decorated, tell, doctor]
    if SETTINGS[name].per_model:
        ways.append(lambda **given: ask("q", model=[{"model": "fake:m", **given}]))
    for value in [value for each, value in WRONG if each == name]:
        for way in ways:
            with pytest.raises(ConfigurationError, match=f"{name} must be .*, not ") as caught:
                way(**{name: value})
            assert len(str(caught.value)) < 300
    for variable in SETTINGS[name].variables:
        monkeypatch.setenv(variable, "9" * 400)
        with replies("yes"), pytest.warns(RuntimeWarning, match=f"{variable} must be"):
            assert ask("q") == "yes"
        assert any(variable in note for note in doctor(model="fake:m").notes)


def decorated(**given: Any) -> None:
    """Settings of a command."""
    command(**given)(body)


def body() -> str:
    """A prompt."""
    return "q"


def tell(**given: Any) -> None:
    """Settings of a block."""
    with use_config(**given):
        pytest.fail("the block is not entered")


def test_other_times_are_refused() -> None:
    """Of tools, breakers, budgets, batches, effects and MCP servers."""
    batch = question.with_options(model="fake:m").batch(["a"])
    for value in TOO_LONG:
        for way, name in (
            (lambda **given: tool(**given)(lambda x: x), "tool_timeout"),
            (CircuitBreaker, "window"),
            (CircuitBreaker, "pause"),
            (Budget, "seconds"),
            (alloy.budget, "seconds"),
            (batch.wait, "timeout"),
            (batch.wait, "poll"),
            (Sleep, "seconds"),
        ):
            with pytest.raises(ConfigurationError, match=f"{name} must be .* and at most 1e\\+09"):
                way(**{name: value}).__enter__()  # type: ignore[operator]


def test_other_counts_are_refused() -> None:
    """Of tools, breakers, budgets and maps."""
    for value in TOO_MANY:
        for way, name in (
            (lambda **given: tool(**given)(lambda x: x), "tool_result_max_chars"),
            (CircuitBreaker, "failures"),
            (Budget, "tokens"),
            (Budget, "requests"),
            (lambda **given: question.map([], **given), "concurrency"),
            (lambda **given: question.map([], **given), "requests_per_minute"),
            (lambda **given: question.map([], **given), "tokens_per_minute"),
        ):
            with pytest.raises(ConfigurationError, match=f"{name} must be an int of at least 1"):
                way(**{name: value})
    with pytest.raises(ConfigurationError, match="cost must be a number above 0"):
        Budget(cost=10**5000)


@pytest.mark.slow
def test_a_timeout_of_a_server_of_tools() -> None:
    pytest.importorskip("mcp")
    from alloy.mcp import connect

    for value in TOO_LONG:
        with pytest.raises(ConfigurationError, match=r"connect\(\): timeout must be .* at most 1e\+09"):
            connect("a command", timeout=value)


@command(output=str)
def question(text: str) -> str:
    return text


# --- the longest times and the largest counts work ----------------------------------------------------

MOST: dict[str, Any] = {
    **dict.fromkeys(TIMES, LONGEST_WAIT),
    **dict.fromkeys(COUNTS, 2**64 - 1),
    "budget": Budget(tokens=2**64 - 1, requests=2**64 - 1, seconds=LONGEST_WAIT),
    "circuit_breaker": CircuitBreaker(2**64 - 1, LONGEST_WAIT, LONGEST_WAIT),
}


@tool
def plain(x: int) -> int:
    """A tool."""
    return x


@tool
async def waiting(x: int) -> int:
    """An async tool."""
    await asyncio.sleep(0)
    return x


@every_way
def test_the_most_that_is_accepted_works(way: Any) -> None:
    """With sync and async tools, alone and together."""
    one, two = call("plain", x=1), call("waiting", x=2)
    with replies(one, two, calls(one, two), "done"):
        result, _ = way(Asked("q", tools=[plain, waiting], **MOST))
    assert (result.value, len(result.tool_calls)) == ("done", 4)


@pytest.mark.parametrize("mode", MODES)
def test_the_most_that_is_accepted_works_over_http(mode: str, server: WireServer) -> None:
    """The limits reach the HTTP library, and the watchdog; the first try fails, so that one is waited for."""
    server.script(CHAT.answer(mode, "yes"))
    assert CHAT.ask(mode, server, **MOST) == "yes"


def test_what_is_calculated_with_them_can_be_calculated() -> None:
    """Waits, paces and budgets of retries, each with the most that is accepted."""
    asked = RateLimitError("slow down", provider="fake", retry_after=LONGEST_WAIT)
    policy = Policy(retry=2**64 - 1, backoff=LONGEST_WAIT, backoff_max=LONGEST_WAIT)
    assert 0 <= policy.wait(asked, 2**64 - 1) <= LONGEST_WAIT
    for most in (1, 2**64 - 1):
        pace = Pace()
        tickets = [pace.reserve(Limits(most, most), 2**64, 2**64) for _ in range(3)]
        assert all(pace.wait(ticket) >= 0 for ticket in tickets)
    budgets = RetryBudgets()
    assert all(budgets.take("a", 2**64 - 1) for _ in range(9))


def test_a_wait_for_a_turn_of_ages_is_slept_in_parts() -> None:
    """A token a minute, and a request of many before this one."""
    pace, limits = Pace(), Limits(None, 1)
    assert pace.wait(pace.reserve(limits, 2**64, 2**64)) == 0
    script = _wait(pace, pace.reserve(limits, 2**64, 2**64), "fake:m", None)
    outcomes = iter([None, 0.0, None])
    effect: Any = None
    while not isinstance(effect, Sleep):
        effect = script.send(next(outcomes))
    assert effect.seconds == LONGEST_WAIT


def test_a_thread_can_wait_for_the_longest_time() -> None:
    """And longer, if something else asks for it."""
    for seconds in (LONGEST_WAIT, 1e300):
        call_later(seconds, print).cancel()
        stop = Stop()
        call_later(0, stop.set)
        with pytest.raises(Stopped):
            stop.sleep(seconds)
