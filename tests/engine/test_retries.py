"""Retries: how long they wait, and how many all calls may make together."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import pytest
from kit.apis import every_api
from kit.scripted import Driven, question
from kit.ways import Asked, asked_at, every_way
from kit.wire import WireServer

from alloy import AlloyError, RateLimitError, ask, register_backend, use_config
from alloy._engine.effects import Sleep
from alloy._engine.policy import Policy
from alloy._engine.retry_budget import RetryBudgets
from alloy.backends.fake.backend import FakeBackend
from alloy.backends.http.errors import retry_after
from alloy.config import current
from alloy.events import CallFailed, Retry
from alloy.messages import Request, User
from alloy.testing import replies

BUSY = RateLimitError("slow down", provider="fake")


def waits_of(count: int, **settings: Any) -> list[float]:
    """The waits of one call before its *count* retries."""
    seen: list[Any] = []
    with replies(*[BUSY] * count, "7"):
        ask("x", retry=count, on_event=seen.append, **settings)
    return [event.wait for event in seen if isinstance(event, Retry)]


def test_the_first_wait_and_the_longest_one_are_settings():
    """Each wait is below its limit, which doubles until it is `backoff_max`."""
    waits = waits_of(8, backoff=1e-6, backoff_max=4e-6)
    assert all(0 <= wait <= 1e-6 * limit for wait, limit in zip(waits, [1, 2, *[4] * 6], strict=True))
    assert max(waits[2:]) > 1e-6  # with jitter: fails once in 4 ** 6 tries for a limit that does not grow
    assert waits_of(3, backoff=0) == [0, 0, 0]


@every_way
def test_a_retry_after_above_the_maximum_is_the_callers(way: Any):
    """At once, without a wait."""
    error = RateLimitError("slow down", provider="fake", retry_after=0.002)
    with replies(error) as seen, pytest.raises(RateLimitError) as caught:
        way(Asked(retry_after_max=0.001))
    reason = "not retried, because the server asked to wait 0.002 s, and retry_after_max is 0.001 s"
    assert str(caught.value) == f"fake: slow down; {reason}"
    assert len(seen.requests) == 1
    with replies(error, "7"):
        assert way(Asked(retry_after_max=0.01))[0].value == "7"


def test_the_settings_come_from_every_layer(monkeypatch: pytest.MonkeyPatch):
    """The environment, and a block over it."""
    for name, text in {
        "BACKOFF": "0.1",
        "BACKOFF_MAX": "9",
        "RETRY_AFTER_MAX": "0",
        "RETRY_BUDGET": "3",
    }.items():
        monkeypatch.setenv(f"ALLOY_{name}", text)
    found = current()
    assert (found.backoff, found.backoff_max, found.retry_after_max, found.retry_budget) == (0.1, 9.0, 0.0, 3)
    with use_config(retry_budget=None, backoff=2):
        assert (current().backoff, current().retry_budget) == (2, None)


def test_a_bucket_fills_again_with_time():
    """Within a minute, to its size and not beyond; each address has its own."""
    now = 0.0
    budgets = RetryBudgets(lambda: now)
    assert [budgets.take("a", 3) for _ in range(4)] == [True, True, True, False]
    assert budgets.take("b", 3)
    now = 19.0
    assert not budgets.take("a", 3)
    now = 21.0
    assert [budgets.take("a", 3) for _ in range(2)] == [True, False]
    now = 3600.0
    assert [budgets.take("a", 3) for _ in range(4)] == [True, True, True, False]


def test_threads_take_no_token_twice():
    """Many at once get as many as there are."""
    budgets = RetryBudgets(lambda: 0.0)
    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(lambda _: budgets.take("a", 100), range(1000)))
    assert sum(taken) == 100


@every_api
@every_way
def test_an_empty_budget_raises_the_error_and_says_so(server: WireServer, api: Any, way: Any):
    """The calls of an address share it, in threads and loops; it is an error of the provider as before."""
    server.script(*[api.failure(429, "slow down", None)] * 6)
    asked = asked_at(api, server, retry=3, backoff=0, retry_budget=1)
    for _ in range(2):
        with pytest.raises(
            RateLimitError,
            match=r"slow down.*; not retried, because retry_budget is used up for .*: 1 retry a minute",
        ):
            way(asked)
    assert len(server.requests) == 3
    with pytest.raises(RateLimitError) as caught:
        way(asked_at(api, server, retry=2, backoff=0))
    assert "budget" not in str(caught.value)
    assert len(server.requests) == 6


@pytest.fixture
def storm() -> None:
    """A backend whose budget no other test uses."""
    register_backend("storm", FakeBackend("storm"))


@pytest.mark.usefixtures("storm")
def test_a_storm_of_calls_makes_few_retries():
    """200 calls in threads and in a loop, with one budget."""
    seen: list[Any] = []

    options: Any = {"retry": 5, "backoff": 0, "retry_budget": 1, "on_event": seen.append}

    def call() -> None:
        with suppress(AlloyError):
            ask("x", **options)

    async def calls() -> None:
        await asyncio.gather(*(ask.async_("x", **options) for _ in range(100)), return_exceptions=True)

    with replies(*[BUSY] * 201, backend="storm"):
        asyncio.run(calls())
        with ThreadPoolExecutor(8) as pool:
            for each in [pool.submit(copy_context().run, call) for _ in range(100)]:
                each.result()
    assert sum(isinstance(event, Retry) for event in seen) == 1
    assert sum(isinstance(event, CallFailed) for event in seen) == 200


def test_a_call_that_retries_a_thousand_times_waits_a_time():
    """A float cannot hold 2 ** 1024."""
    talk = Driven(question(Request("m", (User("x"),)), policy=Policy(retry=3000, backoff_max=1e9)))
    for _ in range(2000):
        talk.fail(BUSY)
        assert isinstance(talk.pending, Sleep) and 0 <= talk.pending.seconds <= 1e9
        talk.resume(None)


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "inf", "-inf", "nan", "1e400", "9" * 5000, "\u00b2", "\x00", ","),
        "Fri, 31 Dec 99999999999999 23:59:59 GMT",
        "Wed, 21 Oct 2015 07:28:00 +99999999999999999",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Wed, 00 Oct 2015 99:28:00 GMT",
    ],
)
@pytest.mark.parametrize("header", ["retry-after", "retry-after-ms"])
def test_any_text_of_a_retry_after_can_be_read(header: str, text: str):
    """As a number of seconds, or as nothing."""
    seconds = retry_after({header: text})
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize("header", ["retry-after", "retry-after-ms"])
@pytest.mark.parametrize(
    "text", ["1_0", "1_0.5", "\u0661\u0660", "\uff11\uff10", "1e3", "0x10", ".5", "1 0", "infinity"]
)
def test_what_only_python_reads_as_a_number_is_no_wait(header: str, text: str):
    """RFC 9110 has ASCII digits; some servers add a fraction."""
    assert retry_after({header: text}) is None


@pytest.mark.parametrize(
    "text", ["Wed, 2_1 Oct 2099 07:28:00 GMT", "Wed, \u0662\u0661 Oct 2099 07:28:00 GMT"]
)
def test_a_date_has_ascii_digits_too(text: str):
    """And a date that is written as it should be is a wait."""
    assert retry_after({"retry-after": text}) is None
    assert (retry_after({"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}) or 0) > 1e6


@pytest.mark.parametrize(("text", "seconds"), [("10", 10), (" 2.5 ", 2.5), ("0", 0), ("-5", 0), ("007", 7)])
def test_a_number_of_seconds_is_a_wait(text: str, seconds: float):
    """Milliseconds in the header that OpenAI sends."""
    assert retry_after({"retry-after": text}) == seconds
    assert retry_after({"retry-after": "99", "retry-after-ms": text}) == seconds / 1000


@every_api
@every_way
def test_a_wait_that_is_too_long_is_said_in_numbers(server: WireServer, api: Any, way: Any):
    """What the server asked for, and the limit; not for an error that nothing retries."""
    too_long = api.failure(429, "slow down", None)
    too_long.headers["retry-after"] = "3600"
    server.script(too_long, too_long)
    with pytest.raises(RateLimitError, match=r"asked to wait 3,600 s, and retry_after_max is 60 s") as caught:
        way(asked_at(api, server, retry=2))
    assert (caught.value.retry_after, len(server.requests)) == (3600, 1)
    with pytest.raises(RateLimitError) as caught:
        way(asked_at(api, server, retry=0))
    assert "retry_after_max" not in str(caught.value)
