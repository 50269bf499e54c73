"""Circuit breakers: a model that keeps failing is not asked for a while."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from kit.apis import ANTHROPIC, every_api
from kit.patience import PATIENCE
from kit.ways import Asked, asked_at, every_way
from kit.wire import WireServer

import alloy
from alloy import (
    BadRequestError,
    Budget,
    CircuitBreaker,
    CircuitOpenError,
    ConfigurationError,
    ParseError,
    ProviderError,
    RateLimitError,
    ask,
    circuit_breakers,
    command,
    use_config,
)
from alloy.testing import replies

BUSY = RateLimitError("slow down", provider="fake")
BAD = BadRequestError("no", provider="fake")


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def breaker(clock: Clock, **changes: Any) -> CircuitBreaker:
    """A breaker that opens after two failures in ten seconds, for five."""
    return CircuitBreaker(**{"failures": 2, "window": 10, "pause": 5, "clock": clock, **changes})


@contextmanager
def half_open(clock: Clock) -> Iterator[CircuitBreaker]:
    """A breaker whose pause is over; the model answers again."""
    circuits = breaker(clock)
    with replies(BUSY, BUSY, "one two", "7"), use_config(retry=0, circuit_breaker=circuits):
        for _ in range(2):
            with pytest.raises(RateLimitError):
                ask("x")
        clock.now += 5
        yield circuits


def states(breaker: CircuitBreaker) -> list[str]:
    """The states of its circuits."""
    return [each.state for each in breaker.states()]


@every_api
@every_way
def test_a_failing_server_gets_no_more_requests(server: WireServer, api: Any, way: Any, clock: Clock):
    """After so many failures, until one trial shows that it works again."""
    server.script(
        *[api.failure(503, "overloaded", None)] * 3,
        *[api.answer("open" if "stream" in way.__name__ else "send", "Hello")] * 2,
    )
    circuits = breaker(clock)
    asked = asked_at(api, server, circuit_breaker=circuits)
    for _ in range(2):
        with pytest.raises(ProviderError):
            way(asked)
    for _ in range(3):
        with pytest.raises(
            CircuitOpenError, match=r"open after 2 failures within 10 s; the next trial is in 5 s"
        ):
            way(asked)
    assert (len(server.requests), states(circuits)) == (2, ["open"])

    clock.now += 5
    assert states(circuits) == ["half-open"]
    with pytest.raises(ProviderError) as caught:
        way(asked)
    assert not isinstance(caught.value, CircuitOpenError)
    with pytest.raises(CircuitOpenError):
        way(asked)
    assert len(server.requests) == 3

    clock.now += 5
    for _ in range(2):
        assert way(asked)[0].value == "Hello"
    assert (len(server.requests), states(circuits)) == (5, [])


def test_each_try_of_a_call_counts_and_an_open_circuit_ends_the_retries(clock: Clock):
    """Without a wait for the error that would come again."""
    with replies(BUSY, BUSY) as seen, pytest.raises(CircuitOpenError) as caught:
        ask("x", retry=9, backoff=0, circuit_breaker=breaker(clock))
    assert (len(seen.requests), caught.value.retry_after, caught.value.transient) == (2, 5, False)
    assert "fake: the circuit breaker of fake is open" in str(caught.value)


def test_failures_before_the_window_are_forgotten(clock: Clock):
    """Two failures in ten seconds open it, and not two in eleven."""
    circuits = breaker(clock)
    with replies(BUSY, BUSY, BUSY), use_config(retry=0, circuit_breaker=circuits):
        for _ in range(2):
            with pytest.raises(RateLimitError):
                ask("x")
            clock.now += 10.5
        assert [(each.state, each.failures) for each in circuits.states()] == [("closed", 0)]
        with pytest.raises(RateLimitError):
            ask("x")
    assert [(each.state, each.failures) for each in circuits.states()] == [("closed", 1)]


@pytest.mark.parametrize("outcome", [BAD, "x"], ids=["refused request", "bad answer"])
def test_what_is_not_transient_is_no_failure(clock: Clock, outcome: Any):
    """A server that refuses a request, or gives a bad answer, is not down."""
    circuits = breaker(clock)
    with replies(*[outcome] * 4), use_config(reask=0, circuit_breaker=circuits):
        for _ in range(4):
            with pytest.raises(BadRequestError if outcome is BAD else ParseError):
                ask("x", output=int)
    assert circuits.states() == ()


def test_a_trial_that_the_server_refuses_closes_the_circuit(clock: Clock):
    """It has answered."""
    circuits = breaker(clock)
    with replies(BUSY, BUSY, BAD, "7"), use_config(retry=0, circuit_breaker=circuits):
        for kind in (RateLimitError, RateLimitError, CircuitOpenError):
            with pytest.raises(kind):
                ask("x")
        clock.now += 5
        with pytest.raises(BadRequestError):
            ask("x")
        assert ask("x") == "7"


def test_models_and_addresses_have_circuits_of_their_own(clock: Clock, server: WireServer):
    """One model that fails stops no other one, and no other server; no password is shown."""
    circuits = breaker(clock, failures=1)
    with use_config(backend="fake", retry=0, circuit_breaker=circuits), replies(BUSY, "7", "8"):
        with pytest.raises(RateLimitError):
            ask("x", model="a")
        assert (ask("x", model="b"), ask("x", model="a", base_url="http://other")) == ("7", "8")
        with pytest.raises(CircuitOpenError):
            ask("x", model="a")
    server.script(ANTHROPIC.failure(529, "overloaded", "overloaded_error"))
    secret = server.url.replace("//", "//me:hunter2@") + "?key=hunter2"
    with pytest.raises(ProviderError):
        ask("x", **{**ANTHROPIC.options(server), "base_url": secret, "circuit_breaker": circuits})
    shown = circuits.states()
    assert [each.model for each in shown] == ["a", ANTHROPIC.model]
    assert "hunter2" not in repr(shown) and server.url in repr(shown)


def test_a_trial_that_is_left_lets_the_next_one_begin(clock: Clock):
    """A stream that is closed early says nothing of the model."""
    with half_open(clock) as circuits:
        with ask.stream("x") as pieces:
            next(pieces)
            assert states(circuits) == ["half-open"]
            with pytest.raises(CircuitOpenError, match="a trial request is running"):
                ask("x")
        assert ask("x") == "7"


def test_a_trial_that_never_ends_does_not_close_the_model_for_good(clock: Clock):
    """After another pause there is another trial."""
    with half_open(clock), ask.stream("x") as pieces:
        next(pieces)
        clock.now += 5
        assert ask("x") == "7"


def test_threads_and_loops_share_a_breaker(clock: Clock):
    """Many at once: no request is sent after it has opened, and one trial is sent after the pause."""
    circuits = breaker(clock, failures=3)
    asked = Asked("x", retry=0, circuit_breaker=circuits, backend="fake")

    def many() -> list[BaseException]:
        async def calls() -> list[Any]:
            return await asyncio.gather(*(asked.run_async() for _ in range(50)), return_exceptions=True)

        def call(_: int) -> Any:
            try:
                return asked.run()
            except alloy.AlloyError as error:
                return error

        from contextvars import copy_context

        with ThreadPoolExecutor(8) as pool:
            contexts = [copy_context() for _ in range(50)]
            return [*asyncio.run(calls()), *pool.map(lambda each: each.run(call, 0), contexts)]

    with replies(*[BUSY] * 3):
        kinds = [type(each) for each in many()]
    assert (kinds.count(RateLimitError), kinds.count(CircuitOpenError)) == (3, 97)
    clock.now += 5
    with replies(BUSY):
        kinds = [type(each) for each in many()]
    assert (kinds.count(RateLimitError), kinds.count(CircuitOpenError)) == (1, 99)


def test_an_answer_from_a_handler_is_not_counted(clock: Clock):
    """The breaker sees what would be sent: a cache answers also while it is open."""
    from alloy.effects import CallModel, Effect, Script
    from alloy.messages import Reply

    def cache(effect: Effect) -> Script:
        return Reply("cached") if isinstance(effect, CallModel) else (yield from effect)

    circuits = breaker(clock, failures=1)
    with use_config(retry=0, circuit_breaker=circuits):
        with replies(BUSY), suppress(RateLimitError):
            ask("x")
        with alloy.handlers(cache), use_config(backend="fake"):
            assert ask("x") == "cached"
    assert states(circuits) == ["open"]


@command(backend="fake", circuit_breaker=CircuitBreaker(failures=3, window=9))
def greet() -> str:
    """Greet."""
    return "hello"


def test_a_command_with_a_breaker_can_be_copied_and_pickled():
    """A copy shares it; another process counts for itself, by the same numbers."""
    mine = CircuitBreaker(failures=3, window=9)
    assert copy.deepcopy(mine) is mine is copy.deepcopy({"a": mine})["a"]
    other = pickle.loads(pickle.dumps(mine))
    assert repr(other) == repr(mine) == "CircuitBreaker(failures=3, window=9, pause=30)"
    assert pickle.loads(pickle.dumps(greet))() == greet()


def test_a_process_has_one_object_for_each_breaker_that_it_gets():
    """A worker gets it again with each call of a map, and has to count over all of them."""
    mine, another = CircuitBreaker(failures=3), CircuitBreaker(failures=3)
    first, again, other = (pickle.loads(pickle.dumps(each)) for each in (mine, mine, another))
    assert first is again
    assert pickle.loads(pickle.dumps(first)) is first
    assert len({id(each) for each in (mine, another, first, other)}) == 4


def test_a_worker_keeps_a_limited_number_of_breakers():
    kept = pickle.dumps(CircuitBreaker())
    first = pickle.loads(kept)
    for _ in range(circuit_breakers.ARRIVALS_MAX):
        pickle.loads(pickle.dumps(CircuitBreaker()))
    assert len(circuit_breakers._arrivals) == circuit_breakers.ARRIVALS_MAX
    assert pickle.loads(kept) is not first


@pytest.mark.parametrize(
    "wrong", [{"failures": 0}, {"failures": True}, {"failures": "3"}, {"window": 0}, {"pause": float("nan")}]
)
def test_wrong_numbers_are_refused(wrong: Any):
    """Where they are written."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        CircuitBreaker(**wrong)


def test_what_it_keeps_is_bounded(clock: Clock):
    """Ever new addresses leave no more than a number of circuits behind."""
    circuits = breaker(clock)
    for number in range(3000):
        with suppress(RateLimitError), circuits.request("fake", f"http://{number}", "m"):
            raise BUSY
    assert len(circuits.states()) <= 1024


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_can_use_a_breaker_and_a_budget() -> None:
    """A thread of the parent may hold their locks at that moment."""
    circuits, budget = CircuitBreaker(), Budget(requests=9)
    with circuits._lock, budget._lock:
        child = os.fork()
        if not child:
            signal.alarm(round(PATIENCE))
            with circuits.request("fake", None, "m"):
                budget.begin_request("fake:m", None)
            os._exit(budget.spent.requests)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


@every_way
def test_no_retry_waits_for_an_open_circuit(way: Any) -> None:
    """The call that opened it ends at once, or goes on with the next model; the cause says why."""
    slow = RateLimitError("slow down", provider="fake", retry_after=3600)
    options: dict[str, Any] = {"retry": 2, "retry_after_max": 9999, "backend": "fake"}
    with replies(slow), pytest.raises(CircuitOpenError) as caught:
        way(Asked("x", **options, circuit_breaker=CircuitBreaker(failures=1, pause=7200)))
    assert caught.value.__cause__ is not None
    assert str(caught.value.__cause__) == str(slow)
    models = ["fake:one", "fake:two"]
    with replies(slow, "7"):
        breaker = CircuitBreaker(failures=1, pause=7200)
        result, _ = way(Asked("x", **{**options, "backend": None}, model=models, circuit_breaker=breaker))
    assert result.value == "7"
