"""A request that Alloy itself refuses is not a request: it is in no number and no event."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from kit.ways import Asked, every_way

import alloy
from alloy import AlloyError, Budget, BudgetError, CircuitBreaker, CircuitOpenError, RateLimitError, ask
from alloy.effects import CallModel, Effect, Script
from alloy.events import Event, ReplyReceived, RequestSent
from alloy.messages import Reply
from alloy.testing import replies

BUSY = RateLimitError("slow down", provider="fake")


def open_circuit() -> dict[str, Any]:
    """Options with a circuit that is open for the first model."""
    breaker = CircuitBreaker(failures=1, pause=3600)
    with replies(BUSY), suppress(RateLimitError):
        ask("x", model="fake:one", retry=0, circuit_breaker=breaker)
    return {"circuit_breaker": breaker}


def used_up() -> dict[str, Any]:
    """Options with a budget in which nothing is left."""
    budget = Budget(requests=1)
    with replies("1"):
        ask("x", budget=budget)
    return {"budget": budget}


def sent(seen: list[Event]) -> list[tuple[str, int]]:
    """The models that got a request, each with its number."""
    return [(event.model, event.attempt) for event in seen if isinstance(event, RequestSent)]


@every_way
@pytest.mark.parametrize("refusing", [open_circuit, used_up])
def test_a_refused_request_is_counted_nowhere(way: Any, refusing: Any) -> None:
    """Not in the error, not in the events, not in the usage, and not in another budget."""
    options, seen, other = refusing(), [], Budget(requests=9)
    with (
        alloy.listen(seen.append),
        alloy.track_usage() as total,
        alloy.budget(other),
        replies(),
        pytest.raises((BudgetError, CircuitOpenError)) as caught,
    ):
        way(Asked("x", model="fake:one", **options))
    assert (caught.value.attempts, sent(seen), total.calls, total.requests) == (0, [], 1, 0)
    assert other.spent.requests == 0


@every_way
def test_the_next_model_gets_the_first_request(way: Any) -> None:
    """When the circuit of the first one is open."""
    options, seen = open_circuit(), []
    with alloy.listen(seen.append), alloy.track_usage() as total, replies("7"):
        result, _ = way(Asked("x", model=["fake:one", "fake:two"], **options))
    assert (result.value, result.attempts, total.requests) == ("7", 1, 1)
    assert sent(seen) == [("fake:two", 1)]


@every_way
def test_a_request_that_fails_counts_before_the_circuit_opens(way: Any) -> None:
    """The one that was sent, and not the one after it."""
    seen: list[Event] = []
    breaker = CircuitBreaker(failures=1, pause=3600)
    asked = Asked("x", model="fake:one", retry=3, backoff=0, circuit_breaker=breaker)
    with (
        alloy.listen(seen.append),
        alloy.track_usage() as total,
        replies(BUSY),
        pytest.raises(AlloyError) as caught,
    ):
        way(asked)
    assert (caught.value.attempts, total.requests, sent(seen)) == (1, 1, [("fake:one", 1)])


@every_way
def test_what_a_handler_refuses_is_not_published_as_sent(way: Any) -> None:
    """Handlers of users limit requests, too."""

    def limit(effect: Effect[Any]) -> Script[Any]:
        if isinstance(effect, CallModel):
            raise BudgetError("too many")
        return (yield from effect)

    seen: list[Event] = []
    with alloy.listen(seen.append), alloy.handlers(limit), replies(), pytest.raises(BudgetError) as caught:
        way(Asked("x"))
    assert (sent(seen), caught.value.attempts) == ([], 0)


@every_way
def test_a_reply_of_a_handler_has_both_of_its_events(way: Any) -> None:
    """A cache answers in place of the model: the request and the reply are a pair."""

    def cache(effect: Effect[Any]) -> Script[Any]:
        return Reply("cached") if isinstance(effect, CallModel) else (yield from effect)

    seen: list[Event] = []
    with alloy.listen(seen.append), alloy.handlers(cache), replies():
        way(Asked("x"))
    pair = [type(event) for event in seen if isinstance(event, RequestSent | ReplyReceived)]
    assert pair == [RequestSent, ReplyReceived]
