"""The Gemini backend through the real SDK, against a server that behaves."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import aclosing, suppress
from typing import Any

import pytest
from kit.talking import KEY, MODES, STREAMED, talk, talk_async
from kit.wire import Answer, Gate, WireServer, sse
from kit.wire import gemini as says

from alloy.backends.base import CancelToken
from alloy.backends.gemini.content import GeminiBackend
from alloy.backends.http.clients import CLIENTS
from alloy.endpoints import Endpoint
from alloy.errors import ConfigurationError, ProviderTimeoutError
from alloy.messages import Request, User

GEMINI = GeminiBackend()

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
def test_a_request_without_settings_is_understood(server: WireServer, mode: str) -> None:
    """The SDK adds an empty generationConfig; the answer may call a function without arguments."""
    calls = [("add", {"a": "ä"}, "f1"), ("ping", None)]
    server.script(answer(mode, calls=calls))
    reply = talk(GEMINI, mode, at(server), body())

    assert reply == GEMINI.decode(says.content(text="Grüße 🦊", calls=calls))
    sent = server.requests[0].json
    assert sent.pop("generationConfig", {}) == {}
    assert {"model": "gemini-3-flash-preview", **sent} == body()


@pytest.mark.parametrize(("seconds", "header"), [(20.0, "20"), (0.5, "1"), (None, None)])
def test_the_timeout_is_sent_to_the_server(
    server: WireServer, seconds: float | None, header: str | None
) -> None:
    """The SDK wants milliseconds and tells whole seconds."""
    server.always = lambda _: answer("send")
    while not server.requests:  # a loaded machine can miss the half second
        with suppress(ProviderTimeoutError):
            talk(GEMINI, "send", at(server, timeout=seconds), body())

    assert server.requests[0].headers.get("x-server-timeout") == header


def test_the_shortest_timeout_is_one(server: WireServer) -> None:
    """Rounded to no milliseconds it would mean that there is none."""
    slow = answer("send")
    slow.before = Gate()
    server.script(slow)
    server.leftovers_allowed = True
    with pytest.raises(ProviderTimeoutError):
        talk(GEMINI, "send", at(server, timeout=0.0001), body())


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


async def _each(endpoint: Endpoint, take: Any) -> None:
    async with aclosing(GEMINI.open_async(body(), endpoint)) as events:
        async for event in events:
            take(event)


@every_mode
def test_a_model_name_that_changes_the_address_is_not_sent(server: WireServer, mode: str) -> None:
    """The model is a part of the path."""
    with pytest.raises(ConfigurationError, match="model"):
        talk(GEMINI, mode, at(server), body(extra={"model": "gemini?x=1"}))

    assert server.requests == []


@every_mode
def test_texts_that_look_like_invalid_json_are_sent(server: WireServer, mode: str) -> None:
    """NaN as a word and letters beyond 16 bits are text like any other."""
    server.script(answer(mode))
    talk(GEMINI, mode, at(server), body("NaN -Infinity 🦊 \\ud83d"))

    assert server.requests[0].json["contents"][0]["parts"][0]["text"] == "NaN -Infinity 🦊 \\ud83d"


@streamed
def test_a_chunk_with_several_parts_becomes_several_events(server: WireServer, mode: str) -> None:
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


def test_making_a_client_opens_no_connection() -> None:
    """A client that is made opens no socket: nobody need be at the address."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        from alloy.backends.gemini.address import GEMINI as SDK
        from alloy.backends.gemini.address import Target, read_settings

        book = CLIENTS.get(SDK, read_settings(Endpoint(address, KEY))).book
        book.address(Target("m", streamed=False)), book.address(Target("m", streamed=True))
        nobody.settimeout(0)
        with pytest.raises(BlockingIOError):
            nobody.accept()
    CLIENTS.close()
