"""Both OpenAI backends through the real SDK, against a server that behaves."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.talking import KEY, MODES, STREAMED, Running, at, body, talk, talk_async
from kit.wire import Answer, Cut, Gate, WireServer, each_byte, sse
from kit.wire import openai as says

from alloy.backends.base import Backend, CancelToken
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.errors import ConfigurationError, ProviderConnectionError
from alloy.messages import Endpoint, Request, TextDelta, User

ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


class Api(NamedTuple):
    """One backend with what its server says."""

    backend: Backend
    path: str
    make: Any
    events: Any
    done: bool

    def answer(self, mode: str, text: str = "Grüße 🦊", **fields: Any) -> Answer:
        made = self.make(text=text, **fields)
        return says.reply(made) if mode.startswith("send") else self.stream(self.events(made))

    def stream(self, events: list[Any]) -> Answer:
        return sse(events, done=self.done, x_request_id="req_1")


RESPONSES = Api(OpenAIBackend(), "/v1/responses", says.response, says.events, False)
CHAT = Api(OpenAIChatBackend(), "/v1/chat/completions", says.completion, says.chunks, True)

both = pytest.mark.parametrize("api", [RESPONSES, CHAT], ids=["responses", "chat"])
every_mode = pytest.mark.parametrize("mode", MODES)
streamed = pytest.mark.parametrize("mode", STREAMED)


@both
@every_mode
def test_a_request_gets_its_reply(server: WireServer, api: Api, mode: str) -> None:
    """Path, key, body and answer go over the wire as the API wants them."""
    server.script(api.answer(mode, calls=[("add", {"a": "ä"})]))
    reply = talk(api.backend, mode, at(server))

    (request,) = server.requests
    assert (request.method, request.path) == ("POST", api.path)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.json.items() >= body(api.backend).items()
    assert bool(request.json.get("stream")) == mode.startswith("open")
    assert reply == api.backend.decode(api.make(text="Grüße 🦊", calls=[("add", {"a": "ä"})]))


def test_a_chat_stream_asks_for_its_usage(server: WireServer) -> None:
    """Without being asked, Chat does not count what it streams; the user's own wish goes first."""
    server.script(CHAT.answer("open"), CHAT.answer("open"))
    talk(CHAT.backend, "open", at(server))
    talk(CHAT.backend, "open", at(server), body(CHAT.backend, extra={"stream_options": {"x": 1}}))

    assert [request.json["stream_options"] for request in server.requests] == [
        {"include_usage": True},
        {"x": 1},
    ]


@both
def test_calls_reuse_one_connection(server: WireServer, api: Api) -> None:
    """Whole or streamed, with `[DONE]` or without, a finished answer frees its connection."""
    modes = ["send", "open", "open", "send"]
    server.script(*[api.answer(mode) for mode in modes])
    for mode in modes:
        talk(api.backend, mode, at(server))

    assert len(server.connections) == 1


@both
def test_async_calls_reuse_one_connection_of_their_loop(server: WireServer, api: Api) -> None:
    """The same on an event loop, whose end closes the connection."""
    modes = ["send_async", "open_async", "open_async", "send_async"]
    server.script(*[api.answer(mode) for mode in modes])

    async def run() -> None:
        for mode in modes:
            await talk_async(api.backend, mode, at(server), body(api.backend))

    asyncio.run(run())

    (connection,) = server.connections
    connection.wait_closed()


@streamed
def test_an_answer_does_not_wait_for_a_body_left_open(server: WireServer, mode: str) -> None:
    """After `[DONE]` the reply is there, although the server never ends the body."""
    answer = CHAT.answer(mode)
    answer.body = [*answer.body, Gate()]
    server.script(answer)

    assert talk(CHAT.backend, mode, at(server)).text == "Grüße 🦊"
    server.connections[0].wait_closed()


@streamed
def test_what_breaks_after_the_end_mark_breaks_nothing(server: WireServer, mode: str) -> None:
    """The answer was whole at `[DONE]`; a connection that is reset behind it is no longer its concern."""
    answer = CHAT.answer(mode)
    answer.body = [*answer.body, Cut(reset=True)]
    server.script(answer)

    assert talk(CHAT.backend, mode, at(server)).text == "Grüße 🦊"


@both
@streamed
def test_events_arrive_as_they_are_said(server: WireServer, api: Api, mode: str) -> None:
    """A delta is handed on before the next one is there."""
    gate = Gate()
    answer = api.answer(mode, text="onetwo")
    cut = len(answer.body) // 2
    answer.body = [*answer.body[:cut], gate, *answer.body[cut:]]
    server.script(answer)
    accumulator = api.backend.accumulator()
    before: list[Any] = []
    after: list[Any] = []

    def take(event: Any) -> None:
        heard = after if gate.is_open else before
        heard.append(accumulator.feed(event))
        if len(before) == cut:
            gate.open()

    if mode == "open":
        for event in api.backend.open(body(api.backend), at(server), CancelToken()):
            take(event)
    else:
        asyncio.run(_each(api, at(server), take))

    assert TextDelta("one") in before
    assert accumulator.reply().text == "onetwo"
    assert after


async def _each(api: Api, endpoint: Endpoint, take: Any) -> None:
    async with aclosing(api.backend.open_async(body(api.backend), endpoint)) as events:
        async for event in events:
            take(event)


@both
def test_leaving_a_stream_early_closes_its_connection(server: WireServer, api: Api) -> None:
    """A closed generator hangs up, so the provider stops generating."""
    answer = api.answer("open")
    answer.body = [*answer.body[:4], Gate()]
    server.script(answer)
    events = api.backend.open(body(api.backend), at(server), CancelToken())
    next(events)
    events.close()

    server.connections[0].wait_closed()


@both
def test_leaving_an_async_stream_early_closes_its_connection(server: WireServer, api: Api) -> None:
    """The same with `aclose`, while the loop goes on."""
    answer = api.answer("open_async")
    answer.body = [*answer.body[:4], Gate()]
    server.script(answer)

    async def run() -> None:
        events = api.backend.open_async(body(api.backend), at(server))
        await anext(events)
        await events.aclose()
        await asyncio.to_thread(server.connections[0].wait_closed)

    asyncio.run(run())


@both
@pytest.mark.parametrize("mode", ["send_async", "open_async"])
@pytest.mark.parametrize("place", ["headers", "body"])
def test_cancelling_a_task_ends_its_request(server: WireServer, api: Api, mode: str, place: str) -> None:
    """The connection is closed, and the loop's client serves the next call."""
    gate = Gate()
    answer = api.answer(mode)
    if place == "headers":
        answer.before = gate
    else:
        answer.body = [answer.body[0][:10], gate, *answer.body]
    server.script(answer, api.answer(mode))

    async def run() -> str:
        task = asyncio.create_task(talk_async(api.backend, mode, at(server), body(api.backend)))
        await asyncio.to_thread(gate.wait_reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.connections[0].wait_closed)
        return (await talk_async(api.backend, mode, at(server), body(api.backend))).text

    assert asyncio.run(run()) == "Grüße 🦊"


@both
@pytest.mark.parametrize("mode", ["send", "open"])
@pytest.mark.parametrize("status", [200, 500])
def test_a_token_cuts_a_body_that_never_ends(server: WireServer, api: Api, mode: str, status: int) -> None:
    """Firing the token ends the wait in another thread, also in the body of an error."""
    gate = Gate()
    answer = api.answer(mode)
    answer.status, answer.framing = status, "chunked"
    answer.body = [answer.body[0], gate]
    server.script(answer)
    token = CancelToken()
    running = Running(lambda: talk(api.backend, mode, at(server), cancel=token))
    gate.wait_reached()
    token.fire()

    with pytest.raises(ProviderConnectionError):
        running.result()
    server.connections[0].wait_closed()


@both
@pytest.mark.parametrize("mode", ["send", "open"])
def test_a_token_that_has_fired_lets_nothing_in(server: WireServer, api: Api, mode: str) -> None:
    """A response that comes after the time is up is cut at once."""
    gate = Gate()
    answer = api.answer(mode)
    answer.framing, answer.body = "chunked", [answer.body[0], gate]
    server.script(api.answer("send"), answer)
    talk(api.backend, "send", at(server))  # opens the connection
    token = CancelToken()
    token.fire()

    with pytest.raises(ProviderConnectionError):
        talk(api.backend, mode, at(server), cancel=token)
    assert len(server.requests) == 2


@both
@pytest.mark.parametrize("mode", ["send", "open"])
def test_a_token_that_has_fired_lets_nothing_out(server: WireServer, api: Api, mode: str) -> None:
    """A connection that is opened after the time is up is cut before the request is sent."""
    token = CancelToken()
    token.fire()

    with pytest.raises(ProviderConnectionError):
        talk(api.backend, mode, at(server), cancel=token)
    assert server.requests == []


@both
@pytest.mark.parametrize("mode", ["send", "open"])
def test_a_token_cuts_the_wait_for_the_headers(server: WireServer, api: Api, mode: str) -> None:
    """On a connection that the request has opened; on another one the timeouts bound it."""
    gate = Gate()
    answer = api.answer(mode)
    answer.before = gate
    server.script(answer)
    token = CancelToken()
    running = Running(lambda: talk(api.backend, mode, at(server), cancel=token))
    gate.wait_reached()
    token.fire()

    with pytest.raises(ProviderConnectionError):
        running.result()
    server.connections[0].wait_closed()


@both
def test_a_token_fired_too_late_harms_nobody(server: WireServer, api: Api) -> None:
    """The connection may be another call's by then."""
    server.script(api.answer("send"), api.answer("send"))
    token = CancelToken()
    talk(api.backend, "send", at(server), cancel=token)
    token.fire()

    assert talk(api.backend, "send", at(server)).text == "Grüße 🦊"
    assert len(server.connections) == 1


@both
@every_mode
@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"note": {"deep": ["ok", "\ud83d"]}}, r"\$\.note\.deep\[1\] holds '\\ud83d' at character 0"),
        ({"note": float("nan")}, r"\$\.note is nan"),
        ({"note": {1: "x"}, "more": float("inf")}, r"\$\.note has the key 1"),
        ({"note": object()}, r"\$\.note is a object"),
        ({"note": ENDLESS}, r"\$\.note\[0\]\[0\].* is nested without an end"),
    ],
)
def test_what_json_cannot_say_is_never_sent(
    server: WireServer, api: Api, mode: str, extra: dict[str, Any], words: str
) -> None:
    """The error names the place; the connection stays good for the next call."""
    with pytest.raises(ConfigurationError, match=words):
        talk(api.backend, mode, at(server), body(api.backend, extra=extra))

    assert server.requests == []


@both
def test_a_lone_surrogate_in_a_prompt_is_named(server: WireServer, api: Api) -> None:
    """A prompt read with `surrogateescape` cannot be sent, and says where it is wrong."""
    sent = api.backend.encode(Request("m", (User("caf\udce9"),)))
    with pytest.raises(ConfigurationError, match=r"content holds '\\udce9' at character 3"):
        talk(api.backend, "send", at(server), sent)


@both
@streamed
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_stream_may_be_cut_at_every_byte(server: WireServer, api: Api, mode: str, line_end: str) -> None:
    """Inside of UTF-8 sequences, between CR and LF, with comments and in any line ends."""
    made = api.make(text="Grüße 🦊", calls=[("add", {"a": "ä"})])
    answer = sse(api.events(made), done=api.done, line_end=line_end)
    answer.body = list(itertools.chain.from_iterable((b": ping\n\n", step) for step in answer.body))
    server.script(each_byte(answer))

    assert talk(api.backend, mode, at(server)) == api.backend.decode(made)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@both
@streamed
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=WORDS, argument=WORDS, thought=WORDS, size=st.integers(1, 9), cuts=st.integers(1, 200))
def test_any_reply_cut_anyhow_is_the_reply(
    server: WireServer, api: Api, mode: str, text: str, argument: str, thought: str, size: int, cuts: int
) -> None:
    """What the real client reads off a socket equals the answer decoded whole."""
    thoughts: Any = ([thought] if thought else []) if api is RESPONSES else thought
    made = api.make(text=text, thoughts=thoughts, calls=[("add", {"a": argument})])
    answer = api.stream(
        api.events(made, lambda part: [part[i : i + size] for i in range(0, len(part), size)])
    )
    whole = b"".join(step for step in answer.body if isinstance(step, bytes))
    answer.body = [whole[start : start + cuts] for start in range(0, len(whole), cuts)]
    server.script(answer)

    assert talk(api.backend, mode, at(server)) == api.backend.decode(made)


@both
def test_many_tasks_on_one_loop_get_their_own_answers(server: WireServer, api: Api) -> None:
    """Two hundred calls at once, each with its own prompt and its own answer."""
    key = "input" if api is RESPONSES else "messages"
    server.always = lambda request: says.reply(api.make(text=request.json[key][0]["content"]))

    async def run() -> list[str]:
        prompts = [f"prompt {number}" for number in range(200)]
        sent = [
            talk_async(api.backend, "send_async", at(server), body(api.backend, text)) for text in prompts
        ]
        return [reply.text for reply in await asyncio.gather(*sent)]

    assert asyncio.run(run()) == [f"prompt {number}" for number in range(200)]
