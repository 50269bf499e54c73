"""Rate limits: calls of the process wait for their turn, and an overloaded server slows all of them down."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kit.apis import CHAT, Api, every_api
from kit.ways import every_way
from kit.wire import WireServer

import alloy
from alloy import CircuitBreaker, CircuitOpenError, DeadlineError, ProviderError, ask, command
from alloy._engine.pace import PACES, Limits
from alloy._engine.pacing import estimated_tokens
from alloy._engine.routes import ModelAddress
from alloy.events import Event, RateLimited, Retry
from alloy.messages import OutputSchema, Reply, Request, ToolCall, ToolSchema, User
from alloy.parts import Image


@pytest.fixture(autouse=True)
def fresh() -> None:
    """No pace of another test."""
    PACES.__init__()  # type: ignore[misc]


def question() -> str:
    return "How many?"


def asking(api: Api, server: WireServer, **options: Any) -> Any:
    return command(output=str, **{**api.options(server), **options})(question)


def pace_at(api: Api, server: WireServer) -> Any:
    return PACES.of(ModelAddress(api.name, server.url + api.base, api.model))


def mode_of(way: Any) -> str:
    return "open" if "stream" in way.__name__ else "send"


class Waits:
    """The waits that listeners are told of."""

    def __init__(self) -> None:
        self.events: list[RateLimited] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, RateLimited):
            self.events.append(event)


@every_api
@every_way
def test_a_request_above_the_limit_waits(server: WireServer, api: Api, way: Any) -> None:
    """One a minute: the second one would wait for a minute, which its deadline does not allow."""
    server.script(api.answer(mode_of(way), "one"))
    waits = Waits()
    asked = asking(api, server, requests_per_minute=1, deadline=30, on_event=waits)
    way(asked)
    with pytest.raises(DeadlineError, match="for its turn by the rate limits of"):
        way(asked)
    (wait,) = waits.events
    assert 30 < wait.wait <= 60
    assert wait.model == f"{api.name}:{api.model}"
    assert len(server.requests) == 1


@every_way
def test_who_leaves_the_queue_keeps_nobody_waiting(server: WireServer, way: Any) -> None:
    """The call that ended at its deadline has no place any more."""
    server.script(CHAT.answer(mode_of(way), "one"), CHAT.answer(mode_of(way), "two"))
    way(asking(CHAT, server, requests_per_minute=60, deadline=30))
    with pytest.raises(DeadlineError):
        way(asking(CHAT, server, requests_per_minute=1, deadline=0.1))
    result, _ = way(asking(CHAT, server, requests_per_minute=60))
    assert result.text == "two"
    assert result.waited <= result.seconds


def test_waits_are_counted(server: WireServer) -> None:
    """In the result, in usage tracking, and for the events of the call."""
    server.script(*[CHAT.answer("send", "x")] * 3)
    waits = Waits()
    with alloy.track_usage() as total:
        results = [asking(CHAT, server, requests_per_minute=120, on_event=waits).run() for _ in range(3)]
    assert total.waited == pytest.approx(sum(result.waited for result in results))
    assert (total.waited > 0) == bool(waits.events)


def test_tokens_are_limited_and_corrected(server: WireServer) -> None:
    """What the server counts replaces the estimate."""
    server.script(CHAT.answer("send", "one"), CHAT.answer("send", "two"))
    limits: dict[str, Any] = {"tokens_per_minute": 60_000, "max_tokens": 50_000, "deadline": 30}
    asking(CHAT, server, **limits).run()  # reserved 50 seconds' worth, and used few tokens
    assert asking(CHAT, server, **limits).run().text == "two"
    pace_at(CHAT, server).reserve(Limits(tokens=60_000), 100_000)  # and somebody else waits with much
    with pytest.raises(DeadlineError, match="rate limits"):
        asking(CHAT, server, **limits).run()


@every_api
@every_way
def test_an_overload_slows_everybody_down(server: WireServer, api: Api, way: Any) -> None:
    """Half as fast from then on."""
    failure = api.failure(429, "slow down", None)
    failure.headers["retry-after"] = "0"  # otherwise it is a second
    server.script(failure, api.answer(mode_of(way), "one"))
    way(asking(api, server, requests_per_minute=60_000, retry=1, backoff=0))
    assert pace_at(api, server).speed == 0.5


@every_way
def test_other_failures_do_not(server: WireServer, way: Any) -> None:
    server.script(CHAT.failure(500, "oops", None), CHAT.answer(mode_of(way), "one"))
    way(asking(CHAT, server, requests_per_minute=60_000, retry=1, backoff=0))
    assert pace_at(CHAT, server).speed == 1


def test_nobody_goes_before_the_pause_ends(server: WireServer) -> None:
    """A call that did not get the 429 itself waits for its end, too."""
    failure = CHAT.failure(429, "slow down", None)
    failure.headers["retry-after"] = "50"
    server.script(failure)
    with pytest.raises(ProviderError):
        asking(CHAT, server, requests_per_minute=60_000, retry=0).run()
    waits = Waits()
    with pytest.raises(DeadlineError):
        asking(CHAT, server, requests_per_minute=60_000, deadline=5, on_event=waits).run()
    assert 5 < waits.events[0].wait < 60
    assert len(server.requests) == 1


def test_each_model_and_address_has_its_own(server: WireServer) -> None:
    server.script(*[CHAT.answer("send", "x")] * 3)
    options = {**CHAT.options(server), "requests_per_minute": 1, "deadline": 30}
    ask("1", **options)
    ask("2", **{**options, "model": "openai-chat:other"})
    ask("3", **{**options, "requests_per_minute": None})
    assert len(server.requests) == 3


def test_models_of_a_list_have_their_own(server: WireServer) -> None:
    """The limit of one model is not that of another."""
    server.script(CHAT.failure(500, "oops", None), CHAT.answer("send", "x"))
    models = [
        {"model": "openai-chat:a", "requests_per_minute": 1},
        {"model": "openai-chat:b", "requests_per_minute": 60_000},
    ]
    options = {key: value for key, value in CHAT.options(server).items() if key != "model"}
    assert ask("Hi", **options, model=models, deadline=30) == "x"


def test_a_request_that_the_breaker_refuses_takes_no_place(server: WireServer) -> None:
    breaker = CircuitBreaker(failures=1)
    server.script(CHAT.failure(503, "down", None))
    options: dict[str, Any] = {"requests_per_minute": 60, "circuit_breaker": breaker, "deadline": 20}
    with pytest.raises(ProviderError):
        asking(CHAT, server, **options).run()
    for _ in range(5):
        with pytest.raises(CircuitOpenError):
            asking(CHAT, server, **options).run()


def test_a_cancelled_call_leaves_the_queue(server: WireServer) -> None:
    server.script(CHAT.answer("send", "one"))

    async def main() -> None:
        await asking(CHAT, server, requests_per_minute=1).async_()
        begun = asyncio.Event()
        slow = asking(CHAT, server, requests_per_minute=1, on_event=lambda event: begun.set())
        task = asyncio.create_task(slow.async_())
        await begun.wait()
        while not pace_at(CHAT, server)._waiting:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not pace_at(CHAT, server)._waiting


def test_a_map_has_limits_and_says_how_long_it_waited(server: WireServer) -> None:
    server.script(*[CHAT.answer("send", "x")] * 6)

    @command(output=str, **CHAT.options(server))
    def number(n: int) -> str:
        return f"{n}?"

    with number.map(range(6), concurrency=6, requests_per_minute=240) as values:
        assert list(values) == ["x"] * 6
        assert values.summary.waited >= 0
        assert ("held back by rate limits" in str(values.summary)) == (values.summary.waited > 0)
    assert len(server.requests) == 6


def test_the_estimate_of_a_prompt() -> None:
    """A token for each four characters of all that is sent, and so many for a file."""
    tool = ToolSchema("add", "Add.", {"type": "object"})
    picture = Image.from_url("https://example.com/a.png")
    small = Request("m", (User("a" * 400),))
    assert estimated_tokens(small) == 101
    large = Request(
        "m",
        (User(("a" * 400, picture)), Reply("b" * 40, (ToolCall("1", "add", "{}"),))),
        system="c" * 40,
        tools=(tool,),
        output=OutputSchema("X", {"type": "object"}),
    )
    assert 1100 < estimated_tokens(large) < 1200


def test_limits_that_make_no_sense() -> None:
    for wrong in (0, -1, 1.5, "60", True):
        with pytest.raises(alloy.ConfigurationError, match="must be an int of at least 1"):
            ask("Hi", requests_per_minute=wrong)  # type: ignore[call-overload]
    assert Limits(60).costs(5)[0] == pytest.approx(1)


def test_retries_wait_for_their_turn_too(server: WireServer) -> None:
    """A retry is a request like any other."""
    server.script(CHAT.failure(500, "oops", None))
    seen: list[type] = []
    with pytest.raises(DeadlineError):
        asking(
            CHAT,
            server,
            requests_per_minute=1,
            retry=1,
            backoff=0,
            deadline=30,
            on_event=lambda event: seen.append(type(event)),
        ).run()
    assert seen.index(Retry) < seen.index(RateLimited)
