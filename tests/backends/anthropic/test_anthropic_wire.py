"""Anthropic through the real SDK, against a server that behaves."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.talking import KEY, MODES, STREAMED, Running, talk, talk_async
from kit.talking import at as at_server
from kit.wire import Answer, Cut, Gate, WireServer, each_byte, sse
from kit.wire import anthropic as says

from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.backends.base import CancelToken
from alloy.errors import ConfigurationError, ProviderConnectionError
from alloy.messages import Endpoint, Request, TextDelta, User

CLAUDE = AnthropicBackend()
MODEL = "claude-sonnet-4-6"

every_mode = pytest.mark.parametrize("mode", MODES)
streamed = pytest.mark.parametrize("mode", STREAMED)


def at(server: WireServer, **settings: Any) -> Endpoint:
    """The endpoint of *server*, whose address ends without a version."""
    return at_server(server, **{"base_url": server.url, **settings})


def body(prompt: str = "Hello", **settings: Any) -> dict[str, Any]:
    return CLAUDE.encode(Request(MODEL, (User(prompt),), **settings))


def say(mode: str, text: str = "Grüße 🦊", **fields: Any) -> Answer:
    made = says.message(text=text, **fields)
    return says.reply(made) if mode.startswith("send") else says.stream(made)


@every_mode
def test_a_request_gets_its_reply(server: WireServer, mode: str) -> None:
    """Path, key, body and answer go over the wire as the API wants them."""
    server.script(say(mode, calls=[("add", {"a": "ä"})], thoughts=["Hm."]))
    reply = talk(CLAUDE, mode, at(server), body())

    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/messages")
    assert KEY in (request.headers.get("x-api-key", ""), request.headers.get("authorization", "")[7:])
    assert request.headers["anthropic-version"]
    assert request.headers["content-type"] == "application/json"
    assert request.json.items() >= body().items()
    assert bool(request.json.get("stream")) == mode.startswith("open")
    made = says.message(text="Grüße 🦊", calls=[("add", {"a": "ä"})], thoughts=["Hm."])
    assert reply == CLAUDE.decode(made)


@every_mode
@pytest.mark.parametrize("sampling", [{"temperature": 0.5}, {"top_p": 0.5}, {"extra": {"top_k": 5}}])
def test_sampling_speaks_the_version_that_knows_it(
    server: WireServer, mode: str, sampling: dict[str, Any]
) -> None:
    """The newer version of the API refuses it for every model; without it the SDK's own version stays."""
    server.script(say(mode), say(mode))
    talk(CLAUDE, mode, at(server), body(**sampling))
    talk(CLAUDE, mode, at(server), body())

    import anthropic

    sampled, plain = server.requests
    assert sampled.headers["anthropic-version"] == "2023-06-01"
    assert plain.headers["anthropic-version"] == (
        "2023-06-01" if anthropic.__version__.startswith("1.") else "2026-10-21"
    )


def test_calls_reuse_one_connection(server: WireServer) -> None:
    """Whole or streamed, a finished answer frees its connection."""
    modes = ["send", "open", "open", "send"]
    server.script(*[say(mode) for mode in modes])
    for mode in modes:
        talk(CLAUDE, mode, at(server), body())

    assert len(server.connections) == 1


def test_async_calls_reuse_one_connection_of_their_loop(server: WireServer) -> None:
    """The same on an event loop, whose end closes the connection."""
    modes = ["send_async", "open_async", "open_async", "send_async"]
    server.script(*[say(mode) for mode in modes])

    async def run() -> None:
        for mode in modes:
            await talk_async(CLAUDE, mode, at(server), body())

    asyncio.run(run())

    (connection,) = server.connections
    connection.wait_closed()


@pytest.mark.parametrize("mode", ["send_async", "open_async"])
def test_a_second_event_loop_has_its_own_connection(server: WireServer, mode: str) -> None:
    """A client bound to a loop that is gone would fail."""
    server.script(say(mode), say(mode))

    assert [talk(CLAUDE, mode, at(server), body()).text for _ in range(2)] == ["Grüße 🦊"] * 2
    assert len(server.connections) == 2


@streamed
def test_an_answer_does_not_wait_for_a_body_left_open(server: WireServer, mode: str) -> None:
    """After `message_stop` the reply is there, although the server never ends the body."""
    answer = say(mode)
    answer.body = [*answer.body, Gate()]
    server.script(answer)

    assert talk(CLAUDE, mode, at(server), body()).text == "Grüße 🦊"
    server.connections[0].wait_closed()


@streamed
def test_a_connection_that_breaks_after_the_end_harms_nobody(server: WireServer, mode: str) -> None:
    """The reply was whole before."""
    answer = say(mode)
    answer.body = [*answer.body, Cut(reset=True)]
    server.script(answer)

    assert talk(CLAUDE, mode, at(server), body()).text == "Grüße 🦊"


@streamed
def test_events_arrive_as_they_are_said(server: WireServer, mode: str) -> None:
    """A delta is handed on before the next one is there."""
    gate = Gate()
    answer = say(mode, text="onetwo")
    cut = len(answer.body) // 2
    answer.body = [*answer.body[:cut], gate, *answer.body[cut:]]
    server.script(answer)
    accumulator = CLAUDE.accumulator()
    before: list[Any] = []
    after: list[Any] = []

    def take(event: Any) -> None:
        heard = after if gate.is_open else before
        heard.append(accumulator.feed(event))
        if len(before) == cut:
            gate.open()

    if mode == "open":
        for event in CLAUDE.open(body(), at(server), CancelToken()):
            take(event)
    else:
        asyncio.run(_each(at(server), take))

    assert TextDelta("one") in before
    assert accumulator.reply().text == "onetwo"
    assert after


async def _each(endpoint: Endpoint, take: Any) -> None:
    async with aclosing(CLAUDE.open_async(body(), endpoint)) as events:
        async for event in events:
            take(event)


def test_leaving_a_stream_early_closes_its_connection(server: WireServer) -> None:
    """A closed generator hangs up, so the provider stops generating."""
    answer = say("open")
    answer.body = [*answer.body[:4], Gate()]
    server.script(answer)
    events = CLAUDE.open(body(), at(server), CancelToken())
    next(events)
    events.close()

    server.connections[0].wait_closed()


def test_leaving_an_async_stream_early_closes_its_connection(server: WireServer) -> None:
    """The same with `aclose`, while the loop goes on."""
    answer = say("open_async")
    answer.body = [*answer.body[:4], Gate()]
    server.script(answer)

    async def run() -> None:
        events = CLAUDE.open_async(body(), at(server))
        await anext(events)
        await events.aclose()
        await asyncio.to_thread(server.connections[0].wait_closed)

    asyncio.run(run())


@pytest.mark.parametrize("mode", ["send_async", "open_async"])
@pytest.mark.parametrize("place", ["headers", "body"])
def test_cancelling_a_task_ends_its_request(server: WireServer, mode: str, place: str) -> None:
    """The connection is closed, and the loop's client serves the next call."""
    gate = Gate()
    answer = say(mode)
    if place == "headers":
        answer.before = gate
    else:
        answer.body = [answer.body[0][:10], gate, *answer.body]
    server.script(answer, say(mode))

    async def run() -> str:
        task = asyncio.create_task(talk_async(CLAUDE, mode, at(server), body()))
        await asyncio.to_thread(gate.wait_reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.connections[0].wait_closed)
        return (await talk_async(CLAUDE, mode, at(server), body())).text

    assert asyncio.run(run()) == "Grüße 🦊"


@pytest.mark.parametrize("mode", ["send", "open"])
@pytest.mark.parametrize("status", [200, 500])
def test_a_token_cuts_a_body_that_never_ends(server: WireServer, mode: str, status: int) -> None:
    """Firing the token ends the wait in another thread, also in the body of an error."""
    gate = Gate()
    answer = say(mode)
    answer.status, answer.framing = status, "chunked"
    answer.body = [answer.body[0], gate]
    server.script(answer)
    token = CancelToken()
    running = Running(lambda: talk(CLAUDE, mode, at(server), body(), cancel=token))
    gate.wait_reached()
    token.fire()

    with pytest.raises(ProviderConnectionError):
        running.result()
    server.connections[0].wait_closed()


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
    """The error names the place; the connection stays good for the next call."""
    with pytest.raises(ConfigurationError, match=words):
        talk(CLAUDE, mode, at(server), body(extra=extra))

    assert server.requests == []


@streamed
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_stream_may_be_cut_at_every_byte(server: WireServer, mode: str, line_end: str) -> None:
    """Inside of UTF-8 sequences, between CR and LF, with comments and in any line ends."""
    made = says.message(text="Grüße 🦊", calls=[("add", {"a": "ä"})])
    answer = sse(says.events(made), line_end=line_end)
    answer.body = list(itertools.chain.from_iterable((b": ping\n\n", step) for step in answer.body))
    server.script(each_byte(answer))

    assert talk(CLAUDE, mode, at(server), body()) == CLAUDE.decode(made)


@streamed
def test_events_without_a_name_count_too(server: WireServer, mode: str) -> None:
    """Copies of this API leave out the `event:` lines, without which the SDK drops an event."""
    made = says.message(text="Hello")
    server.script(sse(says.events(made), named=False))

    assert talk(CLAUDE, mode, at(server), body()) == CLAUDE.decode(made)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@streamed
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=WORDS, argument=WORDS, thought=WORDS, size=st.integers(1, 9), cuts=st.integers(1, 200))
def test_any_reply_cut_anyhow_is_the_reply(
    server: WireServer, mode: str, text: str, argument: str, thought: str, size: int, cuts: int
) -> None:
    """What the real client reads off a socket equals the answer decoded whole."""
    made = says.message(text=text, thoughts=[thought], calls=[("add", {"a": argument})])
    answer = says.stream(made, lambda part: [part[i : i + size] for i in range(0, len(part), size)])
    whole = b"".join(step for step in answer.body if isinstance(step, bytes))
    answer.body = [whole[start : start + cuts] for start in range(0, len(whole), cuts)]
    server.script(answer)

    assert talk(CLAUDE, mode, at(server), body()) == CLAUDE.decode(made)


def test_many_tasks_on_one_loop_get_their_own_answers(server: WireServer) -> None:
    """Two hundred calls at once, each with its own prompt and its own answer."""
    server.always = lambda request: says.reply(says.message(text=request.json["messages"][0]["content"]))

    async def run() -> list[str]:
        prompts = [f"prompt {number}" for number in range(200)]
        sent = [talk_async(CLAUDE, "send_async", at(server), body(text)) for text in prompts]
        return [reply.text for reply in await asyncio.gather(*sent)]

    assert asyncio.run(run()) == [f"prompt {number}" for number in range(200)]


@every_mode
def test_the_environment_is_read_at_every_call(
    server: WireServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's own variables serve where nothing was configured, and a change of theirs is seen."""
    server.script(say(mode), say(mode), say(mode))
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{server.url}/one")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-one")
    talk(CLAUDE, mode, Endpoint(timeout=20), body())
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{server.url}/two")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-two")  # the key goes before the token
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-team: two")
    talk(CLAUDE, mode, Endpoint(timeout=20), body())
    talk(CLAUDE, mode, at(server, api_key="sk-three"), body())

    one, two, three = (request.headers for request in server.requests)
    assert [request.path.split("/")[1] for request in server.requests] == ["one", "two", "v1"]
    assert one["authorization"] == "Bearer token-one"
    assert "sk-two" in (two.get("x-api-key"), two.get("authorization", "")[7:])
    assert two["x-team"] == "two"
    assert "sk-three" in (three.get("x-api-key"), three.get("authorization", "")[7:])
    assert "token-one" not in str([two, three])
