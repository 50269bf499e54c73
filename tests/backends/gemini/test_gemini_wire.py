"""The Gemini backend through the real SDK, against a server that behaves."""

from __future__ import annotations

import asyncio
import gc
import itertools
import socket
from contextlib import aclosing, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.talking import KEY, MODES, STREAMED, Running, talk, talk_async
from kit.wire import Answer, Gate, WireServer, each_byte, sse
from kit.wire import gemini as says

from alloy.backends.base import CancelToken
from alloy.backends.gemini.content import GeminiBackend
from alloy.backends.http.clients import CLIENTS
from alloy.errors import ConfigurationError, ProviderConnectionError, ProviderTimeoutError
from alloy.messages import Endpoint, Request, TextDelta, User

GEMINI = GeminiBackend()
PATH = {"send": ":generateContent", "open": ":streamGenerateContent?alt=sse"}

every_mode = pytest.mark.parametrize("mode", MODES)
streamed = pytest.mark.parametrize("mode", STREAMED)


def at(server: WireServer, **changes: Any) -> Endpoint:
    return Endpoint(**{"base_url": server.url, "api_key": KEY, "timeout": 20.0, **changes})


def body(prompt: str = "Hello", **changes: Any) -> dict[str, Any]:
    return GEMINI.encode(Request("gemini-3-flash-preview", (User(prompt),), **changes))


def answer(mode: str, text: str = "Grüße 🦊", **fields: Any) -> Answer:
    made = says.content(text=text, **fields)
    return says.reply(made) if mode.startswith("send") else says.stream(made)


@every_mode
def test_a_request_gets_its_reply(server: WireServer, mode: str) -> None:
    """Path, key, body and answer go over the wire as the API wants them, and nothing is added."""
    made = {"thoughts": "Hm.", "calls": [("add", {"a": "ä"}, "f1"), ("ping", None)]}
    server.script(answer(mode, **made))
    reply = talk(GEMINI, mode, at(server), body(system="Be brief.", max_tokens=5))

    (request,) = server.requests
    assert request.method == "POST"
    assert request.path.split("/", 2)[2] == "models/gemini-3-flash-preview" + PATH[mode.partition("_")[0]]
    assert request.headers["x-goog-api-key"] == KEY
    assert {"model": "gemini-3-flash-preview", **request.json} == body(system="Be brief.", max_tokens=5)
    assert reply == GEMINI.decode(says.content(text="Grüße 🦊", **made))


@every_mode
def test_a_request_without_settings_is_understood(server: WireServer, mode: str) -> None:
    """The SDK adds an empty generationConfig, which says nothing."""
    server.script(answer(mode))
    talk(GEMINI, mode, at(server), body())

    sent = server.requests[0].json
    assert sent.pop("generationConfig", {}) == {}
    assert {"model": "gemini-3-flash-preview", **sent} == body()


@pytest.mark.parametrize(("seconds", "said"), [(20.0, "20"), (0.5, "1"), (None, None)])
def test_a_timeout_is_told_the_server(server: WireServer, seconds: float | None, said: str | None) -> None:
    """The SDK wants milliseconds and tells whole seconds."""
    server.always = lambda _: answer("send")
    while not server.requests:  # a loaded machine can miss the half second
        with suppress(ProviderTimeoutError):
            talk(GEMINI, "send", at(server, timeout=seconds), body())

    assert server.requests[0].headers.get("x-server-timeout") == said


def test_the_shortest_timeout_is_one(server: WireServer) -> None:
    """Rounded to no milliseconds it would mean that there is none."""
    said = answer("send")
    said.before = Gate()
    server.script(said)
    server.leftovers_allowed = True
    with pytest.raises(ProviderTimeoutError):
        talk(GEMINI, "send", at(server, timeout=0.0001), body())


def test_calls_reuse_one_connection(server: WireServer) -> None:
    """Whole or streamed, a finished answer frees its connection."""
    modes = ["send", "open", "open", "send"]
    server.script(*[answer(mode) for mode in modes])
    for mode in modes:
        talk(GEMINI, mode, at(server), body())

    assert len(server.connections) == 1


def test_async_calls_reuse_one_connection_of_their_loop(server: WireServer) -> None:
    """The same on an event loop, whose end closes the connection; a second loop has its own."""
    modes = ["send_async", "open_async", "open_async", "send_async"]
    server.script(*[answer(mode) for mode in modes * 2])

    async def run() -> None:
        for mode in modes:
            await talk_async(GEMINI, mode, at(server), body())

    asyncio.run(run())
    asyncio.run(run())

    one, two = server.connections
    one.wait_closed()
    two.wait_closed()


def test_the_client_lives_as_long_as_it_is_needed(server: WireServer) -> None:
    """Collecting garbage closes nothing, neither between calls nor under a stream; closing does."""
    server.script(answer("send"), answer("open"), answer("send"))
    talk(GEMINI, "send", at(server), body())
    events = GEMINI.open(body(), at(server), CancelToken())
    first = next(events)
    gc.collect()
    assert [first, *events] == says.chunks(says.content(text="Grüße 🦊"))
    gc.collect()
    talk(GEMINI, "send", at(server), body())
    assert len(server.connections) == 1

    CLIENTS.close()
    server.connections[0].wait_closed()


@streamed
def test_chunks_arrive_as_they_are_said(server: WireServer, mode: str) -> None:
    """A delta is handed on before the next one is there."""
    gate = Gate()
    said = answer(mode, text="onetwo")
    said.body = [said.body[0], gate, *said.body[1:]]
    server.script(said)
    accumulator = GEMINI.accumulator()
    heard: list[Any] = []

    def take(event: Any) -> None:
        heard.append((gate.is_open, accumulator.feed(event)))
        gate.open()

    if mode == "open":
        for event in GEMINI.open(body(), at(server), CancelToken()):
            take(event)
    else:
        asyncio.run(_each(at(server), take))

    assert heard == [(False, TextDelta("one")), (True, TextDelta("two"))]
    assert accumulator.reply().text == "onetwo"


async def _each(endpoint: Endpoint, take: Any) -> None:
    async with aclosing(GEMINI.open_async(body(), endpoint)) as events:
        async for event in events:
            take(event)


def test_leaving_a_stream_early_closes_its_connection(server: WireServer) -> None:
    """A closed generator hangs up, so the provider stops generating."""
    said = answer("open")
    said.body = [said.body[0], Gate()]
    server.script(said)
    events = GEMINI.open(body(), at(server), CancelToken())
    next(events)
    events.close()

    server.connections[0].wait_closed()


def test_leaving_an_async_stream_early_closes_its_connection(server: WireServer) -> None:
    """The same with `aclose`, at once and while the loop goes on: the SDK's own stream would hold it."""
    said = answer("open_async")
    said.body = [said.body[0], Gate()]
    server.script(said)

    async def run() -> None:
        gc.disable()
        try:
            events = GEMINI.open_async(body(), at(server))
            await anext(events)
            await events.aclose()
            await asyncio.to_thread(server.connections[0].wait_closed)
        finally:
            gc.enable()

    asyncio.run(run())


@pytest.mark.parametrize("mode", ["send_async", "open_async"])
@pytest.mark.parametrize("place", ["headers", "body"])
def test_cancelling_a_task_ends_its_request(server: WireServer, mode: str, place: str) -> None:
    """The connection is closed, and the loop's client serves the next call."""
    gate = Gate()
    said = answer(mode)
    if place == "headers":
        said.before = gate
    else:
        said.body = [said.body[0][:10], gate, *said.body]
    server.script(said, answer(mode))

    async def run() -> str:
        task = asyncio.create_task(talk_async(GEMINI, mode, at(server), body()))
        await asyncio.to_thread(gate.wait_reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.connections[0].wait_closed)
        return (await talk_async(GEMINI, mode, at(server), body())).text

    assert asyncio.run(run()) == "Grüße 🦊"


@pytest.mark.parametrize("mode", ["send", "open"])
@pytest.mark.parametrize("status", [200, 500])
def test_a_token_cuts_a_body_that_never_ends(server: WireServer, mode: str, status: int) -> None:
    """Firing the token ends the wait in another thread, also in the body of an error."""
    gate = Gate()
    said = answer(mode)
    said.status, said.framing = status, "chunked"
    said.body = [said.body[0], gate]
    server.script(said)
    token = CancelToken()
    running = Running(lambda: talk(GEMINI, mode, at(server), body(), cancel=token))
    gate.wait_reached()
    token.fire()

    with pytest.raises(ProviderConnectionError):
        running.result()
    server.connections[0].wait_closed()


@pytest.mark.parametrize("mode", ["send", "open"])
def test_a_token_that_has_fired_lets_nothing_in(server: WireServer, mode: str) -> None:
    """A response that comes after the time is up is cut at once."""
    said = answer(mode)
    said.framing, said.body = "chunked", [said.body[0], Gate()]
    server.script(answer("send"), said)
    talk(GEMINI, "send", at(server), body())  # opens the connection
    token = CancelToken()
    token.fire()

    with pytest.raises(ProviderConnectionError):
        talk(GEMINI, mode, at(server), body(), cancel=token)


def test_a_token_fired_too_late_harms_nobody(server: WireServer) -> None:
    """The connection may be another call's by then."""
    server.script(answer("send"), answer("send"))
    token = CancelToken()
    talk(GEMINI, "send", at(server), body(), cancel=token)
    token.fire()

    assert talk(GEMINI, "send", at(server), body()).text == "Grüße 🦊"
    assert len(server.connections) == 1


@every_mode
@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"note": {"deep": ["ok", "\ud83d"]}}, r"\$\.note\.deep\[1\] holds '\\ud83d' at character 0"),
        ({"note": float("nan")}, r"\$\.note is nan"),
        ({"note": [float("-inf")]}, r"\$\.note\[0\] is -inf"),
        ({"note": object()}, r"\$\.note is a object"),
        ({"model": "gemini?x=1"}, "model"),
    ],
)
def test_what_cannot_be_sent_is_never_sent(
    server: WireServer, mode: str, extra: dict[str, Any], words: str
) -> None:
    """Python's json would write half a character and NaN all the same; the error names the place."""
    with pytest.raises(ConfigurationError, match=words):
        talk(GEMINI, mode, at(server), body(extra=extra))

    assert server.requests == []


@every_mode
def test_texts_that_look_like_trouble_are_sent(server: WireServer, mode: str) -> None:
    """NaN as a word and letters beyond 16 bits are text like any other."""
    server.script(answer(mode))
    talk(GEMINI, mode, at(server), body("NaN -Infinity 🦊 \\ud83d"))

    assert server.requests[0].json["contents"][0]["parts"][0]["text"] == "NaN -Infinity 🦊 \\ud83d"


@streamed
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_stream_may_be_cut_at_every_byte(server: WireServer, mode: str, line_end: str) -> None:
    """Inside of UTF-8 sequences, between CR and LF, with comments and in any line ends."""
    made = says.content(text="Grüße 🦊", calls=[("add", {"a": "ä"})])
    said = sse(says.chunks(made), line_end=line_end)
    said.body = list(itertools.chain.from_iterable((b": ping\n\n", step) for step in said.body))
    server.script(each_byte(said))

    assert talk(GEMINI, mode, at(server), body()) == GEMINI.decode(made)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@streamed
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=WORDS, argument=WORDS, thought=WORDS, size=st.integers(1, 9), cuts=st.integers(1, 200))
def test_any_reply_cut_anyhow_is_the_reply(
    server: WireServer, mode: str, text: str, argument: str, thought: str, size: int, cuts: int
) -> None:
    """What the real client reads off a socket equals the answer decoded whole."""
    made = says.content(text=text, thoughts=thought, calls=[("add", {"a": argument})])
    said = says.stream(made, lambda part: [part[i : i + size] for i in range(0, len(part), size)])
    whole = b"".join(step for step in said.body if isinstance(step, bytes))
    said.body = [whole[start : start + cuts] for start in range(0, len(whole), cuts)]
    server.script(said)

    assert talk(GEMINI, mode, at(server), body()) == GEMINI.decode(made)


@streamed
def test_no_delta_of_a_crowded_chunk_is_lost(server: WireServer, mode: str) -> None:
    """A chunk with several parts comes as several."""
    made = says.content(thoughts="Hm.", text="So:", calls=[("add", {"a": 1}, "f1"), ("add", {"a": 2}, "f2")])
    server.script(sse([made], named=False))
    heard: list[Any] = []
    if mode == "open":
        heard += GEMINI.open(body(), at(server), CancelToken())
    else:
        asyncio.run(_each(at(server), heard.append))

    accumulator = GEMINI.accumulator()
    assert None not in [accumulator.feed(event) for event in heard]
    assert len(heard) == 4
    assert accumulator.reply() == GEMINI.decode(made)


def test_many_tasks_on_one_loop_get_their_own_answers(server: WireServer) -> None:
    """Two hundred calls at once, each with its own prompt and its own answer."""

    def echoed(request: Any) -> Answer:
        return says.reply(says.content(text=request.json["contents"][0]["parts"][0]["text"]))

    server.always = echoed

    async def run() -> list[str]:
        prompts = [f"prompt {number}" for number in range(200)]
        sent = [talk_async(GEMINI, "send_async", at(server), body(text)) for text in prompts]
        return [reply.text for reply in await asyncio.gather(*sent)]

    assert asyncio.run(run()) == [f"prompt {number}" for number in range(200)]


def test_many_threads_get_their_own_answers(server: WireServer) -> None:
    """Threads share the client and its pool, never an answer."""

    def echoed(request: Any) -> Answer:
        return says.reply(says.content(text=request.json["contents"][0]["parts"][0]["text"]))

    server.always = echoed

    def work(name: int) -> list[str]:
        return [talk(GEMINI, "send", at(server), body(f"{name} {turn}")).text for turn in range(10)]

    running = [Running(lambda name=name: work(name)) for name in range(8)]
    assert [one.result() for one in running] == [
        [f"{name} {turn}" for turn in range(10)] for name in range(8)
    ]


@every_mode
def test_every_model_has_its_own_address(server: WireServer, mode: str) -> None:
    """However many there are, in whatever order they come, and under the key of the call."""
    names = [f"gemini-{number % 70}" for number in range(150)]
    server.always = lambda _: answer(mode)

    async def run() -> None:
        for name in names:
            sent = GEMINI.encode(Request(name, (User(name),)))
            await talk_async(GEMINI, mode, at(server, api_key=f"key-of-{name}"), sent)

    if mode.endswith("async"):
        asyncio.run(run())
    else:
        for name in names:
            talk(GEMINI, mode, at(server), GEMINI.encode(Request(name, (User(name),))))

    assert [request.path.partition("/models/")[2].partition(":")[0] for request in server.requests] == names
    if mode.endswith("async"):
        assert [request.headers["x-goog-api-key"] for request in server.requests] == [
            f"key-of-{name}" for name in names
        ]
    assert len(server.connections) == 1


def test_no_client_of_the_other_colour_touches_the_network() -> None:
    """A client that is made opens no socket: nobody need be at the address."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        from alloy.backends.gemini.address import GEMINI as SDK
        from alloy.backends.gemini.address import Target, read_settings

        connection = CLIENTS.get(SDK, read_settings(Endpoint(address, KEY)))
        connection.address(Target("m", streamed=False)), connection.address(Target("m", streamed=True))
        nobody.settimeout(0)
        with pytest.raises(BlockingIOError):
            nobody.accept()
    CLIENTS.close()
