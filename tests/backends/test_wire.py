"""All HTTP backends through their real SDKs, against a server that behaves well."""

from __future__ import annotations

import asyncio
import gc
import itertools
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.apis import (
    GEMINI,
    OLLAMA,
    TEXT,
    Api,
    apis,
    async_modes,
    every_api,
    every_mode,
    pieces_of,
    streamed_modes,
    sync_modes,
    three_characters,
)
from kit.talking import KEY, Running
from kit.wire import Cut, Gate, WireServer, each_byte

from alloy import ask, use_config
from alloy.backends.base import CancelToken
from alloy.errors import ConfigurationError, ProviderConnectionError
from alloy.messages import TextDelta

ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@every_api
@every_mode
def test_a_request_gets_its_reply(server: WireServer, api: Api, mode: str) -> None:
    """Path, key, body and answer go over the wire as the API expects them, and nothing is added."""
    fields: dict[str, Any] = {"calls": [("add", {"a": "ä"})], "thought": "Hm."}
    server.script(api.answer(mode, **fields))
    sent = api.body(system="Be brief.", max_tokens=5)
    reply = api.talk(mode, server, sent)

    (request,) = server.requests
    assert request.method == "POST"
    assert re.fullmatch(api.paths[mode.startswith("open")], request.path)
    assert api.key_of(request) == KEY
    assert request.headers["content-type"] == "application/json"
    assert api.sent(sent).items() <= request.json.items()
    assert request.json.keys() - sent.keys() <= {"stream", "stream_options"}
    assert bool(request.json.get("stream")) == (mode.startswith("open") and api is not GEMINI)
    assert reply == api.backend.decode(api.whole(TEXT, **fields))


# --- connections --------------------------------------------------------------------------------------


@every_api
def test_calls_reuse_one_connection(server: WireServer, api: Api) -> None:
    """Plain or streamed, a complete answer frees its connection."""
    modes = ["send", "open", "open", "send"]
    server.script(*[api.answer(mode) for mode in modes])
    for mode in modes:
        api.talk(mode, server)

    assert len(server.connections) == 1


@every_api
def test_each_event_loop_has_its_own_connection(server: WireServer, api: Api) -> None:
    """The calls of a loop reuse it, and the end of the loop closes it."""
    modes = ["send_async", "open_async", "open_async", "send_async"]
    server.script(*[api.answer(mode) for mode in modes * 2])

    async def run() -> list[str]:
        return [(await api.talk_async(mode, server)).text for mode in modes]

    for number in range(2):
        assert asyncio.run(run()) == [TEXT] * 4
        assert len(server.connections) == number + 1
        server.connections[number].wait_closed()


@apis(GEMINI)  # whose stream has no last event: more may follow a finish reason
@streamed_modes
def test_an_answer_does_not_wait_for_the_end_of_the_body(server: WireServer, api: Api, mode: str) -> None:
    """After the last event the reply is complete, although the server never ends the body."""
    answer = api.answer(mode)
    answer.body = [*answer.body, Gate()]
    server.script(answer)

    assert api.talk(mode, server).text == TEXT
    server.connections[0].wait_closed()


@apis(GEMINI)
@streamed_modes
def test_a_connection_may_break_after_the_last_event(server: WireServer, api: Api, mode: str) -> None:
    """The reply was complete before."""
    answer = api.answer(mode)
    answer.body = [*answer.body, Cut(reset=True)]
    server.script(answer)

    assert api.talk(mode, server).text == TEXT


@every_api
@streamed_modes
def test_events_arrive_as_they_are_sent(server: WireServer, api: Api, mode: str) -> None:
    """A delta is handed on before the server sends the next one."""
    gate = Gate()
    answer = api.answer(mode, "onetwo")
    cut = 1 + next(place for place, step in enumerate(answer.body) if b'"one"' in step)  # type: ignore[operator]
    answer.body = [*answer.body[:cut], gate, *answer.body[cut:]]
    server.script(answer)
    accumulator = api.backend.accumulator()
    deltas: list[Any] = []

    def take(event: Any) -> None:
        if (delta := accumulator.feed(event)) is not None:
            deltas.append((gate.is_open, delta))
            gate.open()

    each_event(api, mode, server, take)

    assert deltas == [(False, TextDelta("one")), (True, TextDelta("two"))]
    assert accumulator.reply().text == "onetwo"


def each_event(api: Api, mode: str, server: WireServer, take: Callable[[Any], Any]) -> None:
    """Give *take* each event of one stream."""

    async def run() -> None:
        async with aclosing(api.backend.open_async(api.body(), api.at(server))) as events:
            async for event in events:
                take(event)

    if mode == "open_async":
        asyncio.run(run())
    else:
        for event in api.backend.open(api.body(), api.at(server), CancelToken()):
            take(event)


@every_api
def test_leaving_a_stream_early_closes_its_connection(server: WireServer, api: Api) -> None:
    """So the provider stops generating."""
    answer = api.answer("open")
    answer.body = [answer.body[0], Gate()]
    server.script(answer)
    events = api.backend.open(api.body(), api.at(server), CancelToken())
    next(events)
    events.close()

    server.connections[0].wait_closed()


@every_api
def test_leaving_an_async_stream_early_closes_its_connection(server: WireServer, api: Api) -> None:
    """At once, while the loop runs on, and without the garbage collector."""
    answer = api.answer("open_async")
    answer.body = [answer.body[0], Gate()]
    server.script(answer)

    async def run() -> None:
        gc.disable()
        try:
            events = api.backend.open_async(api.body(), api.at(server))
            await anext(events)
            await events.aclose()
            await asyncio.to_thread(server.connections[0].wait_closed)
        finally:
            gc.enable()

    asyncio.run(run())


# --- cancelling ---------------------------------------------------------------------------------------


@every_api
@async_modes
@pytest.mark.parametrize("place", ["headers", "body"])
def test_cancelling_a_task_ends_its_request(server: WireServer, api: Api, mode: str, place: str) -> None:
    """The connection is closed, and the loop's client serves the next call."""
    gate = Gate()
    answer = api.answer(mode)
    if place == "headers":
        answer.before = gate
    else:
        answer.body = [answer.body[0][:10], gate, *answer.body]  # type: ignore[index]
    server.script(answer, api.answer(mode))

    async def run() -> str:
        task = asyncio.create_task(api.talk_async(mode, server))
        await asyncio.to_thread(gate.wait_reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.connections[0].wait_closed)
        return (await api.talk_async(mode, server)).text

    assert asyncio.run(run()) == TEXT


@every_api
@sync_modes
@pytest.mark.parametrize("status", [200, 500])
def test_a_token_ends_the_wait_for_a_body(server: WireServer, api: Api, mode: str, status: int) -> None:
    """Another thread fires it, also while the body of an error is read."""
    gate = Gate()
    answer = api.answer(mode)
    answer.status, answer.framing = status, "chunked"
    answer.body = [answer.body[0], gate]
    server.script(answer)
    expect_cut(server, api, mode, gate)


@every_api
@sync_modes
def test_a_token_ends_the_wait_for_the_headers(server: WireServer, api: Api, mode: str) -> None:
    """On a connection that the request has opened; on another one the timeouts bound it."""
    gate = Gate()
    answer = api.answer(mode)
    answer.before = gate
    server.script(answer)
    expect_cut(server, api, mode, gate)


def expect_cut(server: WireServer, api: Api, mode: str, gate: Gate) -> None:
    """Fire the token of a call that waits at *gate*, and see it end and its connection close."""
    token = CancelToken()
    running = Running(lambda: api.talk(mode, server, cancel=token))
    gate.wait_reached()
    token.fire()

    with pytest.raises(ProviderConnectionError):
        running.result()
    server.connections[0].wait_closed()


@every_api
@sync_modes
def test_a_fired_token_cuts_a_response(server: WireServer, api: Api, mode: str) -> None:
    """A response on an open connection that comes too late is cut."""
    answer = api.answer(mode)
    answer.framing, answer.body = "chunked", [answer.body[0], Gate()]
    server.script(api.answer("send"), answer)
    api.talk("send", server)  # opens the connection
    token = CancelToken()

    def fire() -> None:
        server.wait_requests(2)
        token.fire()

    with ThreadPoolExecutor() as pool:
        firing = pool.submit(fire)
        with pytest.raises(ProviderConnectionError):
            api.talk(mode, server, cancel=token)
        firing.result()
    assert len(server.requests) == 2


@every_api
@sync_modes
def test_a_fired_token_sends_nothing_on_an_open_connection(server: WireServer, api: Api, mode: str) -> None:
    """A request that comes too late is not sent."""
    server.script(api.answer("send"))
    api.talk("send", server)
    token = CancelToken()
    token.fire()

    with pytest.raises(ProviderConnectionError):
        api.talk(mode, server, cancel=token)
    assert len(server.requests) == 1


@every_api
@sync_modes
def test_a_fired_token_sends_nothing_on_a_new_connection(server: WireServer, api: Api, mode: str) -> None:
    """A connection that is opened too late is cut before the request is sent."""
    token = CancelToken()
    token.fire()

    with pytest.raises(ProviderConnectionError):
        api.talk(mode, server, cancel=token)
    assert server.requests == []


@every_api
def test_a_token_fired_after_the_reply_changes_nothing(server: WireServer, api: Api) -> None:
    """The connection may be another call's by then."""
    server.script(api.answer("send"), api.answer("send"))
    token = CancelToken()
    api.talk("send", server, cancel=token)
    token.fire()

    assert api.talk("send", server).text == TEXT
    assert len(server.connections) == 1


# --- bytes --------------------------------------------------------------------------------------------


@every_api
@every_mode
@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"note": {"deep": ["ok", "\ud83d"]}}, r"\$\.note\.deep\[1\] holds '\\ud83d' at character 0"),
        ({"note": float("nan")}, r"\$\.note is nan"),
        ({"note": [float("-inf")]}, r"\$\.note\[0\] is -inf"),
        ({"note": {1: "x"}, "more": float("inf")}, r"\$\.note has the key 1"),
        ({"note": object()}, r"\$\.note is a object"),
        ({"note": ENDLESS}, r"\$\.note\[0\]\[0\].* is nested without an end"),
    ],
    ids=["surrogate", "nan", "infinity", "key", "object", "cycle"],
)
def test_a_body_that_json_cannot_hold_is_not_sent(
    server: WireServer, api: Api, mode: str, extra: dict[str, Any], message: str
) -> None:
    """The error names the place in the body."""
    with pytest.raises(ConfigurationError, match=message):
        api.talk(mode, server, api.body(extra=extra))

    assert server.requests == []


@every_api
def test_a_lone_surrogate_in_a_prompt_is_named(server: WireServer, api: Api) -> None:
    """A prompt that was read with `surrogateescape` cannot be sent; the error says where it is wrong."""
    with pytest.raises(ConfigurationError, match=r"(content|text) holds '\\udce9' at character 3"):
        api.talk("send", server, api.body("caf\udce9"))


@every_api
@streamed_modes
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_stream_may_be_cut_at_every_byte(server: WireServer, api: Api, mode: str, line_end: str) -> None:
    """Inside UTF-8 sequences, between CR and LF, with comments or empty lines, with all line ends."""
    made = api.whole(TEXT, calls=[("add", {"a": "ä"})])
    if api is OLLAMA and line_end == "\r":
        line_end = "\n\n"  # JSON lines end with LF
    answer = api.stream(api.events(made, three_characters), line_end)
    if not api.json_lines:
        answer.body = list(itertools.chain.from_iterable((b": ping\n\n", step) for step in answer.body))
    server.script(each_byte(answer))

    assert api.talk(mode, server) == api.backend.decode(made)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@every_api
@streamed_modes
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, argument=TEXTS, thought=TEXTS, size=st.integers(1, 9), cuts=st.integers(1, 200))
def test_a_reply_does_not_depend_on_how_it_is_cut(
    server: WireServer, api: Api, mode: str, text: str, argument: str, thought: str, size: int, cuts: int
) -> None:
    """What the real client reads off a socket equals the whole answer, decoded."""
    made = api.whole(text, calls=[("add", {"a": argument})], thought=thought)
    answer = api.stream(api.events(made, pieces_of(size)))
    whole = b"".join(step for step in answer.body if isinstance(step, bytes))
    answer.body = [whole[start : start + cuts] for start in range(0, len(whole), cuts)]
    server.script(answer)

    assert api.talk(mode, server) == api.backend.decode(made)


# --- many calls at once -------------------------------------------------------------------------------


@pytest.mark.slow
@every_api
def test_tasks_on_one_loop_get_their_own_answers(server: WireServer, api: Api) -> None:
    """More calls at once than connections in a pool of httpx's default, each with its own answer."""
    server.always = lambda request: api.reply(api.whole(api.prompt(request.json)))
    prompts = [f"prompt {number}" for number in range(120)]  # the default is 100

    async def run() -> list[str]:
        with use_config(**api.options(server)):
            return list(await asyncio.gather(*map(ask.async_, prompts)))

    assert asyncio.run(run()) == prompts


@every_api
def test_threads_get_their_own_answers(server: WireServer, api: Api) -> None:
    """Threads share the client and its connection pool, but never an answer."""
    server.always = lambda request: api.reply(api.whole(api.prompt(request.json)))
    prompts = [f"prompt {number}" for number in range(80)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda prompt: api.talk("send", server, api.body(prompt)), prompts))

    assert [reply.text for reply in replies] == prompts
    assert len(server.connections) <= 8


@apis(OLLAMA)
@streamed_modes
@pytest.mark.parametrize("ping", ["[PING]", '"ping"', "{}", "[heartbeat]"])
def test_events_that_keep_the_connection_open_are_ignored(
    server: WireServer, api: Api, mode: str, ping: str
) -> None:
    """As gateways send them between the events."""
    answer = api.answer(mode)
    answer.body = [step for each in answer.body for step in (f"data: {ping}\n\n".encode(), each)]
    server.script(answer)
    assert api.talk(mode, server).text == TEXT
