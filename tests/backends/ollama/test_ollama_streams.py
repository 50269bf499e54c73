"""Ollama's connections and bytes: kept, cut, cancelled, left early, and split anywhere."""

from __future__ import annotations

from typing import Any

import pytest
from kit.talking import STREAMED, Running, talk
from kit.wire import Answer, Gate, WireServer
from kit.wire import ollama as says

from alloy.backends.base import CancelToken
from alloy.backends.ollama.chat import OllamaBackend
from alloy.endpoints import Endpoint
from alloy.errors import BadReplyError, ProviderConnectionError, ProviderError
from alloy.messages import Request, ToolSchema, User

streamed = pytest.mark.parametrize("mode", STREAMED)


def at(server: WireServer, **more: Any) -> Endpoint:
    return Endpoint(**{"base_url": server.url, "timeout": 20.0, **more})


def request_body(prompt: str = "Hello", **more: Any) -> dict[str, Any]:
    return OllamaBackend().encode(Request("llama3.2", (User(prompt),), **more))


# --- connections --------------------------------------------------------------------------------------


def test_a_token_ends_the_question_for_capabilities(server: WireServer) -> None:
    """That is part of the wait."""
    gate = Gate()
    server.script(Answer([b"{", gate], framing="chunked"))
    token = CancelToken()
    tools = (ToolSchema("clock", "", {"type": "object", "properties": {}}),)
    body = request_body(tools=tools)
    running = Running(lambda: talk(OllamaBackend(), "send", at(server), body, cancel=token))
    gate.wait_reached()
    token.fire()

    with pytest.raises(ProviderConnectionError):
        running.result()


# --- bytes --------------------------------------------------------------------------------------------


@streamed
def test_line_separators_in_a_text_do_not_end_a_line(server: WireServer, mode: str) -> None:
    """JSON may hold them as they are, and the SDK's own reading breaks there."""
    text = "a\u2028b\u2029c\u0085d\x1ce"
    whole = says.answer(text=text, calls=[("log", {"a": text})])
    raw = says.ndjson(says.events(whole, lambda part: [part] if part else []))
    assert "\u2028".encode() in raw.body[0] and "\u0085".encode() in raw.body[0]
    server.script(raw)

    assert talk(OllamaBackend(), mode, at(server), request_body()) == OllamaBackend().decode(whole)


@streamed
def test_the_last_line_needs_no_end(server: WireServer, mode: str) -> None:
    """Nor does an answer that is whole where a stream was asked for differ from one of a single line."""
    server.script(says.reply(says.answer(text="Hello")))

    assert talk(OllamaBackend(), mode, at(server), request_body()).text == "Hello"


@streamed
@pytest.mark.parametrize(
    "idle", [b"null", b"{}", b": ping", b"ping", b"[PING]", b"event: ping\ndata: {}", b": x\n\nnull"]
)
def test_lines_that_keep_the_connection_open_are_ignored(server: WireServer, mode: str, idle: bytes) -> None:
    """Proxies send them between the lines."""
    raw = says.ndjson(
        says.events(says.answer(text="Hello"), lambda part: [part[:2], part[2:]] if part else [])
    )
    raw.body = [step for line in raw.body for step in (idle + b"\n", line)]
    server.script(raw)

    assert talk(OllamaBackend(), mode, at(server), request_body()).text == "Hello"


@streamed
@pytest.mark.parametrize("data", [b'{"error": "out of memory"}', b'"out of memory"', b"out of memory"])
def test_an_error_as_an_event_keeps_its_words(server: WireServer, mode: str, data: bytes) -> None:
    """As proxies frame it."""
    raw = says.ndjson(says.events(says.answer(text="Hello"), lambda part: [part] if part else [])[:1])
    raw.body = [*raw.body, b"event: error\ndata: " + data + b"\n\n"]
    server.script(raw)

    with pytest.raises(ProviderError, match="out of memory"):
        talk(OllamaBackend(), mode, at(server), request_body())


@streamed
@pytest.mark.parametrize("body", [b"{}\n", b"null\n", b"{}\n{}\n"])
def test_idle_lines_alone_are_no_answer(server: WireServer, mode: str, body: bytes) -> None:
    """The next answer would be the same."""
    server.script(Answer([body], headers={"content-type": "application/x-ndjson"}))
    with pytest.raises(BadReplyError) as caught:
        talk(OllamaBackend(), mode, at(server), request_body())
    assert not caught.value.transient
