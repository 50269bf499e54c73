"""Ollama's connections and bytes: kept, cut, cancelled, left early, and split anywhere."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.talking import MODES, STREAMED, Running, talk, talk_async
from kit.wire import Answer, Gate, Received, WireServer, each_byte
from kit.wire import ollama as says

from alloy import ask, use_config
from alloy.backends.base import CancelToken
from alloy.backends.ollama.chat import OllamaBackend
from alloy.errors import ConfigurationError, ProviderConnectionError
from alloy.messages import Endpoint, Request, TextDelta, ToolSchema, User

MODEL = "ollama:llama3.2"

every_mode = pytest.mark.parametrize("mode", MODES)
streamed = pytest.mark.parametrize("mode", STREAMED)


def at(server: WireServer, **more: Any) -> Endpoint:
    return Endpoint(**{"base_url": server.url, "timeout": 20.0, **more})


def said(prompt: str = "Hello", **more: Any) -> dict[str, Any]:
    return OllamaBackend().encode(Request("llama3.2", (User(prompt),), **more))


def good(mode: str, **fields: Any) -> Answer:
    whole = says.answer(**{"text": "Grüße 🦊", **fields})
    return says.reply(whole) if mode.startswith("send") else says.stream(whole)


# --- connections --------------------------------------------------------------------------------------


def test_calls_reuse_one_connection(server: WireServer) -> None:
    """Whole or streamed, a finished answer frees its connection."""
    modes = ["send", "open", "open", "send"]
    server.script(*[good(mode) for mode in modes])
    for mode in modes:
        talk(OllamaBackend(), mode, at(server), said())

    assert len(server.connections) == 1


def test_each_loop_has_its_own_connection_and_closes_it(server: WireServer) -> None:
    """Two loops, one after the other, in one process."""
    modes = ["send_async", "open_async", "open_async", "send_async"]
    server.script(*[good(mode) for mode in modes * 2])

    async def run() -> None:
        for mode in modes:
            await talk_async(OllamaBackend(), mode, at(server), said())

    for number in range(2):
        asyncio.run(run())
        assert len(server.connections) == number + 1
        server.connections[number].wait_closed()


@streamed
def test_an_answer_does_not_wait_for_a_body_left_open(server: WireServer, mode: str) -> None:
    """After the line that says `done` the reply is there."""
    answer = good(mode)
    answer.body = [*answer.body, Gate()]
    server.script(answer)

    assert talk(OllamaBackend(), mode, at(server), said()).text == "Grüße 🦊"
    server.connections[0].wait_closed()


@streamed
def test_lines_arrive_as_they_are_said(server: WireServer, mode: str) -> None:
    """A delta is handed on before the next one is there."""
    gate = Gate()
    answer = good(mode, text="onetwo")
    answer.body = [answer.body[0], gate, *answer.body[1:]]
    server.script(answer)
    accumulator = OllamaBackend().accumulator()
    deltas: list[Any] = []

    def take(event: Any) -> None:
        deltas.append((gate.is_open, accumulator.feed(event)))
        gate.open()

    async def each() -> None:
        async with aclosing(OllamaBackend().open_async(said(), at(server))) as events:
            async for event in events:
                take(event)

    if mode == "open":
        for event in OllamaBackend().open(said(), at(server), CancelToken()):
            take(event)
    else:
        asyncio.run(each())

    assert deltas[0] == (False, TextDelta("one"))
    assert deltas[1] == (True, TextDelta("two"))
    assert accumulator.reply().text == "onetwo"


def test_leaving_a_stream_early_closes_its_connection(server: WireServer) -> None:
    """Then the server stops generating."""
    answer = good("open")
    answer.body = [answer.body[0], Gate()]
    server.script(answer)
    with ask.stream("Hello", model=MODEL, base_url=server.url) as stream:
        next(iter(stream))

    server.connections[0].wait_closed()


def test_leaving_an_async_stream_early_closes_its_connection(server: WireServer) -> None:
    """The same, while the loop goes on."""
    answer = good("open_async")
    answer.body = [answer.body[0], Gate()]
    server.script(answer)

    async def run() -> None:
        async with ask.stream_async("Hello", model=MODEL, base_url=server.url) as stream:
            await anext(aiter(stream))
        await asyncio.to_thread(server.connections[0].wait_closed)

    asyncio.run(run())


@pytest.mark.parametrize("mode", ["send_async", "open_async"])
@pytest.mark.parametrize("place", ["headers", "body"])
def test_cancelling_a_task_ends_its_request(server: WireServer, mode: str, place: str) -> None:
    """The connection is closed, and the loop's client serves the next call."""
    gate = Gate()
    answer = good(mode)
    if place == "headers":
        answer.before = gate
    else:
        answer.framing, answer.body = "chunked", [answer.body[0][:10], gate, *answer.body]
    server.script(answer, good(mode))

    async def run() -> str:
        task = asyncio.create_task(talk_async(OllamaBackend(), mode, at(server), said()))
        await asyncio.to_thread(gate.wait_reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.connections[0].wait_closed)
        return (await talk_async(OllamaBackend(), mode, at(server), said())).text

    assert asyncio.run(run()) == "Grüße 🦊"


@pytest.mark.parametrize("mode", ["send", "open"])
@pytest.mark.parametrize("status", [200, 500])
def test_a_token_cuts_a_body_that_never_ends(server: WireServer, mode: str, status: int) -> None:
    """Firing it ends the wait in another thread, also in the body of an error."""
    gate = Gate()
    answer = good(mode)
    answer.status, answer.framing, answer.body = status, "chunked", [answer.body[0][:9], gate]
    server.script(answer)
    token = CancelToken()
    running = Running(lambda: talk(OllamaBackend(), mode, at(server), said(), cancel=token))
    gate.wait_reached()
    token.fire()

    with pytest.raises(ProviderConnectionError):
        running.result()
    server.connections[0].wait_closed()


def test_a_token_cuts_the_question_what_a_model_can_do(server: WireServer) -> None:
    """That is part of the wait."""
    gate = Gate()
    server.script(Answer([b"{", gate], framing="chunked"))
    token = CancelToken()
    tools = (ToolSchema("clock", "", {"type": "object", "properties": {}}),)
    body = said(tools=tools)
    running = Running(lambda: talk(OllamaBackend(), "send", at(server), body, cancel=token))
    gate.wait_reached()
    token.fire()

    with pytest.raises(ProviderConnectionError):
        running.result()


def test_many_tasks_on_one_loop_get_their_own_answers(server: WireServer) -> None:
    """Two hundred calls at once, each with its own prompt and its own answer."""

    def echo(request: Received) -> Answer:
        return says.reply(says.answer(text=request.json["messages"][0]["content"]))

    server.always = echo
    prompts = [f"prompt {number}" for number in range(200)]

    async def run() -> list[str]:
        with use_config(model=MODEL, base_url=server.url):
            return list(await asyncio.gather(*map(ask.async_, prompts)))

    assert asyncio.run(run()) == prompts


# --- bytes --------------------------------------------------------------------------------------------


@streamed
def test_line_separators_inside_a_text_end_no_line(server: WireServer, mode: str) -> None:
    """JSON may hold them as they are, and the SDK's own reading breaks there."""
    text = "a\u2028b\u2029c\u0085d\x1ce"
    whole = says.answer(text=text, calls=[("log", {"a": text})])
    raw = says.ndjson(says.events(whole, lambda part: [part] if part else []))
    assert "\u2028".encode() in raw.body[0] and "\u0085".encode() in raw.body[0]
    server.script(raw)

    assert talk(OllamaBackend(), mode, at(server), said()) == OllamaBackend().decode(whole)


@streamed
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\n\n"])
def test_a_stream_may_be_cut_at_every_byte(server: WireServer, mode: str, line_end: bytes) -> None:
    """Inside of UTF-8 sequences, and with empty lines between."""
    whole = says.answer(text="Grüße 🦊", calls=[("log", {"a": "ä"})])
    answer = says.stream(whole)
    answer.body = [step.replace(b"\n", line_end) for step in answer.body if isinstance(step, bytes)]
    server.script(each_byte(answer))

    assert talk(OllamaBackend(), mode, at(server), said()) == OllamaBackend().decode(whole)


@streamed
def test_the_last_line_needs_no_end(server: WireServer, mode: str) -> None:
    """Nor does an answer that is whole where a stream was asked for differ from one of a single line."""
    server.script(says.reply(says.answer(text="Hello")))

    assert talk(OllamaBackend(), mode, at(server), said()).text == "Hello"


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@streamed
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=WORDS, argument=WORDS, thought=WORDS, size=st.integers(1, 9), cuts=st.integers(1, 200))
def test_any_reply_cut_anyhow_is_the_reply(
    server: WireServer, mode: str, text: str, argument: str, thought: str, size: int, cuts: int
) -> None:
    """What is read off a socket equals the answer decoded whole."""
    whole = says.answer(text=text, thoughts=thought, calls=[("log", {"a": argument})])
    answer = says.stream(whole, lambda part: [part[i : i + size] for i in range(0, len(part), size)])
    content = b"".join(step for step in answer.body if isinstance(step, bytes))
    answer.body = [content[start : start + cuts] for start in range(0, len(content), cuts)]
    server.script(answer)

    assert talk(OllamaBackend(), mode, at(server), said()) == OllamaBackend().decode(whole)


@every_mode
@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"note": {"deep": ["ok", "\ud83d"]}}, r"\$\.note\.deep\[1\] holds '\\ud83d' at character 0"),
        ({"note": float("nan")}, r"\$\.note is nan"),
        ({"note": object()}, r"\$\.note is a object"),
    ],
)
def test_what_json_cannot_say_is_never_sent(
    server: WireServer, mode: str, extra: dict[str, Any], words: str
) -> None:
    """The error names the place."""
    with pytest.raises(ConfigurationError, match=words):
        talk(OllamaBackend(), mode, at(server), said(extra=extra))
