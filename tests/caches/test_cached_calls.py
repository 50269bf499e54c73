"""`cache=`: what is answered from the file, what is stored, and what is counted."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from kit.stored import script
from kit.ways import WAYS, every_way, run, run_async

import alloy
from alloy import (
    Budget,
    BudgetError,
    Cache,
    CircuitBreaker,
    ConfigurationError,
    Conversation,
    Image,
    ParseError,
    ProviderError,
    RefusalError,
    ServerError,
    TruncatedError,
    Usage,
    ask,
    command,
    ensure,
    tool,
    use_config,
)
from alloy import config as config_module
from alloy.effects import CallModel, Effect, Script
from alloy.events import CacheHit, FallbackTaken, ReplyReceived, RequestSent
from alloy.messages import Reply
from alloy.testing import call, calls, replies

MODEL = "stored:m"
TEN = Reply("1", usage=Usage(8, 2))


@command(output=int, model=MODEL)
def number(clue: str = "odd") -> str:
    """Ask for a number."""
    return f"Which number is {clue}?"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache in a file that is not there yet."""
    return Cache(tmp_path / "answers.sqlite")


@every_way
def test_the_same_request_is_answered_from_the_file(way: Any, cache: Cache):
    """Without usage, requests and cost, and marked as such; a stream plays the stored text."""
    asked = number.with_options(cache=cache)
    with script(TEN) as seen:
        first, _ = way(asked)
        again, heard = way(asked)

    assert len(seen.requests) == 1
    assert (first.value, first.cached, first.attempts, first.usage) == (1, 0, 1, Usage(8, 2))
    assert (again.value, again.cached, again.attempts, again.usage) == (1, 1, 0, Usage())
    assert (again.turns, again.requests, again.model, again.text) == (1, (), first.model, first.text)
    assert [turn.text for turn in again.transcript] == [turn.text for turn in first.transcript]
    assert heard in (None, "1")


def test_every_way_reads_what_any_other_stored(cache: Cache):
    """A stream and a plain call are the same request."""
    for at, way in enumerate(WAYS):
        asked = number.with_options(cache=cache)
        with script(at):
            way(lambda_of(asked, f"for {way.__name__}"))
        for other in WAYS:
            with script():
                result, _ = other(lambda_of(asked, f"for {way.__name__}"))
            assert (result.value, result.cached) == (at, 1)


def lambda_of(asked: Any, clue: str) -> Any:
    """*asked* with its argument, for a way."""

    class Bound:
        def __getattr__(self, name: str) -> Any:
            return lambda: getattr(asked, name)(clue)

    return Bound()


@pytest.mark.parametrize("where", ["option", "scope", "configure", "environment", "path"])
def test_where_a_cache_is_set(cache: Cache, where: str, monkeypatch: pytest.MonkeyPatch):
    """As any other setting; `None` and `False` turn it off for one command."""
    options: dict[str, Any] = {}
    scope: dict[str, Any] = {}
    monkeypatch.setattr(config_module, "_process", {})  # `configure` has no end
    match where:
        case "option":
            options = {"cache": cache}
        case "path":
            options = {"cache": cache.path}
        case "scope":
            scope = {"cache": cache}
        case "environment":
            monkeypatch.setenv("ALLOY_CACHE", cache.path)
        case "configure":
            alloy.configure(cache=cache)
    with use_config(**scope), script(1, 2, 3):
        assert [number.with_options(**options)() for _ in range(2)] == [1, 1]
        assert number.with_options(cache=None)() == 2
        assert number.with_options(cache=False)() == 3
    with use_config(**scope), script():
        assert number.with_options(**options)() == 1


def test_the_environment_can_turn_it_off(monkeypatch: pytest.MonkeyPatch):
    """As a shell writes it."""
    monkeypatch.setenv("ALLOY_CACHE", "off")
    with script(1, 2):
        assert [number(), number()] == [1, 2]


@pytest.mark.parametrize("wrong", [True, 1, b"x", "", [], object])
def test_what_is_not_a_cache_is_refused(wrong: Any):
    """With what would be one."""
    with pytest.raises(ConfigurationError, match="cache must be a Cache, the path of its file, or False"):
        number.with_options(cache=wrong)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"path": ""}, "path must be the path of a file"),
        ({"path": b"x"}, "path must be"),
        ({"path": "a\0b"}, "path must be"),
        ({"ttl": 0}, r"ttl must be a number above 0.*, not 0"),
        ({"ttl": timedelta(-1)}, "ttl must be"),
        ({"ttl": True}, "ttl must be"),
        ({"ttl": "a day"}, "ttl must be"),
        ({"ttl": float("nan")}, "ttl must be"),
        ({"max_bytes": 10}, "max_bytes must be an int of at least 100000, not 10"),
        ({"max_bytes": "1 GB"}, "max_bytes must be"),
        ({"timeout": -1}, "timeout must be a number of at least 0 and at most 1e.06, not -1"),
        ({"timeout": None}, "timeout must be"),
        ({"tll": 5}, "Cache has no 'tll' .did you mean 'ttl'"),
    ],
)
def test_wrong_values_of_a_cache(options: Any, problem: str):
    """Each is an error of Alloy that names the value."""
    with pytest.raises(ConfigurationError, match=problem):
        Cache(**{"path": "x", **options})


# --- the key ------------------------------------------------------------------------------------------


def changed(**options: Any) -> Callable[[], Any]:
    return lambda: number.with_options(**options)()


CLIENTS_OF = [
    httpx.Client(headers={"x-tenant": "a"}),
    httpx.Client(headers={"x-tenant": "b"}),
    httpx.Client(params={"tenant": "a"}),
]
IMAGES = [Image.from_bytes(b"\x89PNG\r\n\x1a\n" + bytes([last])) for last in (1, 2)]

OTHER_ANSWERS: dict[str, Callable[[], Any]] = {
    "prompt": lambda: number("even"),
    "system": changed(system="Be brief."),
    "output": changed(output=float),
    "model": changed(model="stored:n"),
    "backend": changed(model="other:m"),
    "address": changed(base_url="http://other.example/v1"),
    "temperature": changed(temperature=0.5),
    "max_tokens": changed(max_tokens=5),
    "top_p": changed(top_p=0.5),
    "seed": changed(seed=1),
    "stop": changed(stop="x"),
    "reasoning_effort": changed(reasoning_effort="low"),
    "extra": changed(extra={"stored": {"logit_bias": 1}}),
    "output_mode": changed(output_mode="prompted"),
    "header": changed(headers={"x-deployment": "blue"}),
    "gateway's provider": changed(headers={"x-portkey-provider": "openai"}),
    "gateway's other provider": changed(headers={"x-portkey-provider": "anthropic"}),
    "author": changed(headers={"x-author": "ann"}),
    "parameter": changed(base_url="http://host.example/v1?author=ann"),
    "another parameter": changed(base_url="http://host.example/v1?author=bob"),
    "client": changed(http_client=CLIENTS_OF[0]),
    "another client": changed(http_client=CLIENTS_OF[1]),
    "client with parameters": changed(http_client=CLIENTS_OF[2]),
    "tools": changed(tools=[number]),
    "image": lambda: ask([IMAGES[0], "?"], output=int, model=MODEL),
    "another image": lambda: ask([IMAGES[1], "?"], output=int, model=MODEL),
}
SAME_ANSWERS: dict[str, Callable[[], Any]] = {
    "key": changed(api_key="sk-another"),
    "key in a header": changed(headers={"Authorization": "Bearer sk-another", "X-Api-Key": "k"}),
    "key of a client": changed(http_client=httpx.Client(headers={"authorization": "Bearer sk-other"})),
    "trace": changed(headers={"traceparent": "00-1-2-03"}),
    "limits": changed(timeout=5, deadline=50, retry=0, max_connections=1, max_response_bytes=10_000),
    "ways to fail": changed(reask=0, fallback_on=ProviderError, circuit_breaker=CircuitBreaker()),
    "marks for the provider's cache": changed(prompt_caching=True),
    "the long mark": changed(prompt_caching="long"),
}


def test_what_decides_the_answer_is_in_the_key(cache: Cache):
    """Each of these gets an answer of its own, and gets it again."""
    with use_config(cache=cache), script(*range(1, len(OTHER_ANSWERS) + 2)) as seen:
        assert number() == 1
        first = {name: make() for name, make in OTHER_ANSWERS.items()}
        assert {name: make() for name, make in OTHER_ANSWERS.items()} == first
    assert list(first.values()) == list(range(2, len(OTHER_ANSWERS) + 2))
    assert len(seen.requests) == len(OTHER_ANSWERS) + 1


@pytest.mark.parametrize("name", SAME_ANSWERS)
def test_what_does_not_decide_it_is_not(cache: Cache, name: str):
    """Keys, limits, and what only changes the price."""
    with use_config(cache=cache), script(7):
        assert number() == 7
        assert SAME_ANSWERS[name]() == 7


def test_cache_points_do_not_decide_it(cache: Cache):
    """A prompt of the same parts with a mark in it, or without."""
    parts = ["A long text.", "Which?"]
    with use_config(cache=cache, model=MODEL), script("x"):
        assert ask(parts) == ask([parts[0], alloy.CachePoint(), parts[1]], prompt_caching="long") == "x"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://name:secret@host.example/v1", "http://host.example/v1"),
        ("http://host.example/v1?api-version=1&key=secret", "http://host.example/v1?api-version=1"),
    ],
)
def test_the_secrets_of_an_address_do_not_decide_it(cache: Cache, one: str, other: str):
    """Its other parts do."""
    with use_config(cache=cache), script(7, 8):
        assert changed(base_url=one)() == changed(base_url=other)() == 7
        assert changed(base_url=other.replace("host", "another"))() == 8


def test_headers_of_the_environment_are_in_the_key(cache: Cache, monkeypatch: pytest.MonkeyPatch):
    """Except their keys: the SDKs send them, too."""
    from alloy._engine.caching import request_key
    from alloy._engine.routes import Route
    from alloy.backends.anthropic.messages import AnthropicBackend
    from alloy.messages import Request, User

    def key(text: str) -> bytes:
        monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", text)
        return request_key(Route(AnthropicBackend(), "claude"), Request("claude", (User("Hi"),)))

    assert key("x-model: a") != key("x-model: b")
    assert key("x-model: a\nx-api-key: one") == key("X-Model: a\nx-api-key: two") == key("x-model: a")


# --- what is counted ----------------------------------------------------------------------------------


@every_way
def test_what_was_not_sent_is_not_counted(way: Any, cache: Cache):
    """By usage tracking, budgets, limits and breakers; a budget that is used up is no limit."""
    limits: dict[str, Any] = {
        "budget": (budget := Budget(requests=1)),
        "requests_per_minute": 1,
        "circuit_breaker": CircuitBreaker(),
    }
    asked = number.with_options(cache=cache, model=f"stored:{way.__name__}", **limits)
    with script(TEN), alloy.track_usage() as total, alloy.budget(requests=1) as scoped:
        results = [way(asked)[0] for _ in range(3)]

    assert [result.cached for result in results] == [0, 1, 1]
    assert (total.calls, total.requests, total.usage) == (3, 1, Usage(8, 2))
    assert (budget.spent.requests, scoped.spent.requests, scoped.spent.tokens) == (1, 1, 10)
    assert [result.waited for result in results] == [0, 0, 0]


def test_a_spent_budget_refuses_what_would_be_sent(cache: Cache):
    """As without a cache."""
    asked = number.with_options(cache=cache)
    with script(1), alloy.budget(requests=1):
        asked()
        with pytest.raises(BudgetError):
            asked("even")
        assert asked() == 1


def test_the_cost_of_a_cached_answer_is_zero(cache: Cache):
    """And no model is without a price because of it."""
    pytest.importorskip("genai_prices")
    with script(1), use_config(cache=cache):
        assert number.run().cost is None
        with alloy.track_usage() as total:
            assert number.run().cost == 0
        assert (total.cost, total.unpriced) == (0, ())


def test_the_requests_of_a_tool_are_cached_by_themselves(cache: Cache):
    """A command that runs as a tool asks nothing either."""
    outer = number.with_options(tools=[number])
    with script(call("number", clue="prime"), TEN, Reply("2", usage=Usage(1, 1))), use_config(cache=cache):
        first, again = outer.run(), outer.run()

    assert (first.value, first.usage, first.cached) == (2, first.usage, 0)
    assert (again.value, again.usage, again.cached) == (2, Usage(), 2)
    assert again.tool_calls[0].usage == Usage()
    assert again.tool_calls[0].content == first.tool_calls[0].content


@every_way
def test_events_and_log(way: Any, cache: Cache, caplog: pytest.LogCaptureFixture):
    """`CacheHit` is in the place of `RequestSent`, and the reply is marked."""
    events: list[Any] = []
    asked = number.with_options(cache=cache, on_event=events.append)
    caplog.set_level(logging.DEBUG, "alloy")
    with script(TEN):
        way(asked)
        events.clear()
        caplog.clear()
        way(asked)

    names = [type(event).__name__ for event in events]
    text = ["TextDelta"] if "stream" in way.__name__ else []
    assert names == ["CallStarted", "CacheHit", *text, "ReplyReceived", "UsageReport", "Final"]
    hit, received = events[1], events[-3]
    assert (hit.model, hit.age >= 0, hit.call_id) == (MODEL, True, events[0].call_id)
    assert (received.reply.cached, received.attempt, received.reply.usage) == (True, 0, Usage())
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("a reply of stored:m comes from the response cache, ")
    assert ", 0 requests, 0 + 0 tokens" in lines[1]
    assert len(lines) == 2


def test_reasoning_is_played_too(cache: Cache):
    """Before the text."""
    with script(Reply("So: 1", reasoning="Odd.")), use_config(cache=cache):
        ask("?", model=MODEL)
        names = [type(event).__name__ for event in ask.stream("?", model=MODEL).events()]
    assert names[1:4] == ["CacheHit", "ReasoningDelta", "TextDelta"]


def test_a_stream_of_items_is_played(cache: Cache):
    """Element by element, as those that arrive."""
    listing = number.with_options(output=list[int], cache=cache)
    with script([1, 2, 3]):
        assert list(listing.stream().items()) == list(listing.stream().items()) == [1, 2, 3]


# --- what is stored -----------------------------------------------------------------------------------


def stored(cache: Cache) -> int:
    return cache.info().answers


@every_way
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (Reply("I would rather not", finish="refusal"), RefusalError),
        (Reply("12", finish="length"), TruncatedError),
        (Reply("no number"), ParseError),
        (ServerError("down", provider="stored", transient=False), ServerError),
        (Reply("", calls=(), finish="filter"), alloy.FilteredError),
    ],
    ids=["refusal", "cut", "wrong type", "error", "filter"],
)
def test_an_answer_that_the_call_cannot_use_is_not_stored(way: Any, cache: Cache, bad: Any, error: Any):
    """The next call asks again, and gets the answer of then."""
    asked = number.with_options(cache=cache, reask=0, retry=0)
    with script(bad, 5):
        with pytest.raises(error):
            way(asked)
        assert stored(cache) == 0
        assert way(asked)[0].value == 5


@every_way
def test_a_corrected_answer_is_stored_with_its_correction(way: Any, cache: Cache):
    """Both requests of the second call are answered from the file."""
    asked = number.with_options(cache=cache)
    with script("no number", 5) as seen:
        results = [way(asked)[0] for _ in range(2)]
    assert ([result.value for result in results], len(seen.requests)) == ([5, 5], 2)
    assert [(result.cached, result.attempts, result.turns) for result in results] == [(0, 2, 2), (2, 0, 2)]


@pytest.mark.parametrize("way", [run, run_async], ids=lambda way: way.__name__)
def test_what_is_tried_again_is_not_stored(way: Any, cache: Cache):
    """Only the reply of the try that could be used; a stream tries no refusal again."""
    asked = number.with_options(cache=cache, retry=2, backoff=0, retry_on=(RefusalError, ServerError))
    bad = Reply("", finish="refusal")
    with script(bad, ServerError("down", provider="stored"), 5):
        assert way(asked)[0].value == way(asked)[0].value == 5
    assert stored(cache) == 1


@every_way
def test_a_stored_answer_that_cannot_be_used_is_removed(way: Any, cache: Cache):
    """It was good for another command: of two tries, the second asks the model."""
    once = number.with_options(cache=cache, reask=0)
    with script("no number", 5):  # stored with its correction
        number.with_options(cache=cache).run()
    assert stored(cache) == 2
    with script(6):
        with pytest.raises(ParseError):
            way(once)
        assert way(once)[0].value == 6


def test_a_stored_answer_that_a_new_contract_refuses_is_removed(cache: Cache):
    """Its correction is asked for once, and the next call asks the question again."""
    with script(5):
        number.with_options(cache=cache).run()

    @ensure(lambda result: result > 6, "too small")
    @command(output=int, model=MODEL, cache=cache)
    def larger() -> str:
        return "Which number is odd?"

    with script("no number", "no number", 8) as seen:
        with pytest.raises(ParseError):
            larger.with_options(reask=1).run()
        assert len(seen.requests) == 1
        with pytest.raises(ParseError):
            larger.with_options(reask=0).run()  # the question itself, whose old answer is gone
        assert larger.run().value == 8
    assert len(seen.requests) == 3


def test_a_loop_of_tools_gets_another_chance(cache: Cache):
    """The stored turns that ended in the limit are removed."""

    def look() -> str:
        """Look."""
        return "nothing"

    asked = number.with_options(cache=cache, tools=[look], max_tool_turns=1)
    with script(*[call("look") for _ in range(5)]) as seen:
        for _ in range(3):
            with pytest.raises(alloy.TurnLimitError):
                asked.run()
    assert len(seen.requests) == 5  # the second call was the last with a stored turn


def test_the_tool_mode_is_in_the_key():
    """A stored reply of ReAct is decoded already."""
    from alloy._engine.caching import request_key
    from alloy._engine.routes import Route
    from alloy.backends.openai.chat import OpenAIChatBackend
    from alloy.messages import Request, User

    route = Route(OpenAIChatBackend(), "m")
    plain = Request("m", (User("Hi"),))
    assert len({request_key(route, replace(plain, **mode)) for mode in ({}, {"tool_mode": "react"})}) == 2


def test_an_answer_is_returned_when_the_file_is_replaced_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """It was paid for."""
    path = tmp_path / "a" / "answers.sqlite"
    path.parent.mkdir()

    def answer(_: Any) -> int:
        shutil.rmtree(path.parent)
        return 5

    with script(answer):
        assert number.with_options(cache=Cache(path)).run().value == 5
    assert "an answer is not stored" in caplog.text


def test_a_path_that_no_file_can_have_is_refused():
    with pytest.raises(ConfigurationError, match="path must be the path of a file"):
        Cache("a\ud800")


@every_way
def test_of_several_models_the_one_that_answered_is_stored(way: Any, cache: Cache):
    """The first is asked again next time, and the second answers from the file when that fails."""
    asked = number.with_options(model=["stored:m", "stored:n"], cache=cache, retry=0)
    down = ServerError("down", provider="stored")
    with script(down, 5, down, 6) as seen:
        assert way(asked)[0].value == 5
        result, _ = way(asked)
        assert (result.value, result.cached, result.attempts, result.model) == (5, 1, 1, "stored:n")
        assert way(asked)[0].value == 6
        assert way(asked)[0].cached == 1
    assert [body["model"] for body in seen.requests] == ["m", "n", "m", "m"]


def test_an_answer_that_made_the_call_give_its_model_up_is_not_stored(cache: Cache):
    """It is not the answer of the call."""
    asked = number.with_options(model=["stored:m", "stored:n"], cache=cache, reask=0, fallback_on=ParseError)
    with script("no number", 5):
        assert asked() == 5
    assert stored(cache) == 1


@tool
def add(left: int, right: int) -> int:
    """Add two numbers."""
    ran.append((left, right))
    return left + right


ran: list[tuple[int, int]] = []


@every_way
def test_tools_run_again(way: Any, cache: Cache):
    """Each turn of the model is answered from the file."""
    asked = number.with_options(tools=[add], cache=cache)
    ran.clear()
    with script(calls(call("add", left=1, right=2), call("add", left=3, right=4)), 10):
        results = [way(asked)[0] for _ in range(2)]
    assert [(result.value, result.cached) for result in results] == [(10, 0), (10, 2)]
    assert sorted(ran) == [(1, 2), (1, 2), (3, 4), (3, 4)]


def test_a_tool_that_returns_something_else_makes_another_request(cache: Cache):
    """Its result is a part of the next one."""
    values = iter([1, 2])

    @tool
    def now() -> int:
        """The time."""
        return next(values)

    asked = number.with_options(tools=[now], cache=cache)
    with script(call("now"), 10, 20):
        results = [asked.run(), asked.run()]
    assert [(result.value, result.cached) for result in results] == [(10, 0), (20, 1)]


@every_way
def test_turns_before_an_error_are_stored(way: Any, cache: Cache):
    """A long conversation that fails at its end continues there."""
    asked = number.with_options(tools=[add], cache=cache, retry=0)
    with script(call("add", left=1, right=2), ServerError("down", provider="stored"), 3) as seen:
        with pytest.raises(ServerError):
            way(asked)
        result, _ = way(asked)
    assert (result.value, result.cached, result.attempts, len(seen.requests)) == (3, 1, 1, 3)


def test_emulated_tools_are_cached(cache: Cache):
    """ReAct is a conversation as any other."""
    asked = number.with_options(tools=[add], model="weak:m", cache=cache)
    say = 'Action: add\nAction Input: {"left": 1, "right": 2}'
    with script(say, 'Final Answer: {"value": 3}') as seen:
        results = [asked.with_options(backend="weak").run() for _ in range(2)]
    assert [(result.value, result.cached) for result in results] == [(3, 0), (3, 2)]
    assert len(seen.requests) == 2
    assert results[1].downgrades == results[0].downgrades == ("tools",)


@pytest.mark.parametrize("after", [1, 3])
def test_a_stream_that_is_left_stores_nothing(cache: Cache, after: int):
    """Sync and async: what has been read of it is not an answer."""
    long = "a long answer of some words " * 3
    asked = ask_of(cache)
    with script(long, long, "whole"):
        with ask.stream("?", **asked) as pieces:
            for _ in range(after):
                next(pieces)

        async def leave() -> None:
            async with ask.stream_async("?", **asked) as pieces:
                for _ in range(after):
                    await anext(pieces)

        asyncio.run(leave())
        assert stored(cache) == 0
        assert ask("?", **asked) == "whole"


def ask_of(cache: Cache) -> dict[str, Any]:
    return {"model": MODEL, "cache": cache}


def test_a_stream_that_is_left_while_it_is_played(cache: Cache):
    """What is stored stays."""
    with script("whole"):
        ask("?", **ask_of(cache))
        with ask.stream("?", **ask_of(cache)) as pieces:
            next(pieces)
        assert ask("?", **ask_of(cache)) == "whole"


def test_a_conversation_continues_a_cached_answer(cache: Cache):
    """Its turns are those that the call would have added."""
    chats = [Conversation(), Conversation()]
    with script("a", "b"), use_config(cache=cache, model=MODEL):
        for chat in chats:
            assert [ask("One?", conversation=chat), ask("Two?", conversation=chat)] == ["a", "b"]
    assert chats[0] == chats[1]


def test_refreshing_asks_again_and_stores(cache: Cache):
    """For one command, or in a scope."""
    asked = number.with_options(cache=cache)
    with script(1, 2, 3):
        assert [asked(), asked.with_options(cache=cache.refreshing())(), asked()] == [1, 2, 2]
        with use_config(cache=cache.refreshing()):
            assert number() == 3
        assert asked() == 3


# --- around it ----------------------------------------------------------------------------------------


def test_handlers_of_a_scope_see_cached_replies_and_decide_the_key(cache: Cache):
    """A handler that changes requests comes before the cache, so its requests are other ones."""
    seen: list[bool] = []

    def brief(effect: Effect[Any]) -> Script[Any]:
        if not isinstance(effect, CallModel):
            return (yield from effect)
        reply = yield from replace(effect, request=replace(effect.request, system="Be brief."))
        seen.append(reply.cached)
        return reply

    asked = number.with_options(cache=cache)
    with script(1, 2), alloy.track_usage() as total:
        with alloy.handlers(brief):
            assert [asked(), asked()] == [1, 1]
        assert [asked(), asked()] == [2, 2]
    assert seen == [False, True]
    assert total.requests == 2


def test_scripts_of_tests_are_not_cached(cache: Cache):
    """`replies` answers in the order of its script, whatever a command's options say."""
    asked = number.with_options(cache=cache, model="fake:m")
    with replies(1, 2):
        assert [asked(), asked()] == [1, 2]
    assert not Path(cache.path).exists()
    with use_config(backend="fake"):
        assert asked.run().cached == 0
        assert asked.run().cached == 1


def test_a_map_reads_and_stores(cache: Cache):
    """And its summary has the usage of what was sent."""
    asked = number.with_options(cache=cache)
    with script(1, 2):
        found = asked.map(["odd", "even", "odd"], concurrency=1)
        assert (list(found), found.summary.requests) == ([1, 2, 1], 2)
        again = asked.map(["even", "odd"])
        assert (list(again), again.summary.requests) == ([2, 1], 0)

        async def read() -> list[int]:
            return [value async for value in asked.map_async(["even", "odd"])]

        assert asyncio.run(read()) == [2, 1]


def test_a_pickled_command_uses_the_same_file(cache: Cache):
    """A copy does, too; the open file is not in the pickle."""
    with script(1):
        number.with_options(cache=cache)()
        loaded = pickle.loads(pickle.dumps(cache))
        assert loaded == cache != cache.refreshing()
        assert hash(loaded) == hash(cache)
        assert number.with_options(cache=loaded)() == 1
        assert pickle.loads(pickle.dumps(number.with_options(cache=cache)))() == 1
        assert copy.deepcopy(cache) is cache
        assert copy.copy(number.with_options(cache=cache))() == 1
    assert repr(Cache("x", ttl=timedelta(hours=1))).endswith("x', ttl=3600)")


def test_events_of_a_call_in_which_some_turns_are_cached(cache: Cache):
    """The number of a request counts those that were sent."""
    events: list[Any] = []
    asked = number.with_options(tools=[add], cache=cache, retry=0, on_event=events.append)
    with script(call("add", left=1, right=2), ServerError("down", provider="stored"), 3):
        with pytest.raises(ServerError):
            asked()
        events.clear()
        asked()
    kinds = (CacheHit, RequestSent, ReplyReceived, FallbackTaken)
    found = [
        (type(each).__name__, getattr(each, "attempt", None)) for each in events if isinstance(each, kinds)
    ]
    assert found == [("CacheHit", None), ("ReplyReceived", 0), ("RequestSent", 1), ("ReplyReceived", 1)]
