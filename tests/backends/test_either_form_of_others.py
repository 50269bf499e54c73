"""Anthropic's, Gemini's and Ollama's APIs on servers that answer in the other form than requested."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit.apis import ANTHROPIC, GEMINI, OLLAMA, Api, every_mode, streamed_modes, whole_modes
from kit.talking import WHOLE
from kit.wire import Answer, WireServer, ollama

from alloy import tool
from alloy.errors import (
    AuthenticationError,
    BadReplyError,
    BadRequestError,
    ProviderError,
    RateLimitError,
    ServerError,
)

EACH = pytest.mark.parametrize("api", [ANTHROPIC, GEMINI, OLLAMA], ids=repr)
EVENTS = pytest.mark.parametrize("api", [ANTHROPIC, GEMINI], ids=repr)
TEXT = "Oslo. 🦊"


def raw(text: str | bytes, kind: str = "text/event-stream", status: int = 200) -> Answer:
    return Answer([text.encode() if isinstance(text, str) else text], status, {"content-type": kind})


def joined(answer: Answer) -> bytes:
    return b"".join(step for step in answer.body if isinstance(step, bytes))


def in_two(text: str) -> list[str]:
    return [text[:3], text[3:]]


# --- whole for streamed, and the reverse --------------------------------------------------------------


@EACH
@streamed_modes
@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "text/event-stream", "application/x-ndjson"]
)
@pytest.mark.parametrize("indent", [None, 1])
def test_a_whole_answer_to_a_streamed_request_is_one_piece(
    server: WireServer, api: Api, mode: str, kind: str, indent: int | None
) -> None:
    """It is paid once, whatever the server calls it, and whether it is written on one line or on many."""
    server.script(raw(json.dumps(api.whole(TEXT), indent=indent), kind))

    assert api.ask(mode, server, retry=2) == TEXT
    assert len(server.requests) == 1


@EACH
@streamed_modes
def test_nothing_of_a_whole_answer_is_lost(server: WireServer, api: Api, mode: str) -> None:
    """Reasoning, calls, usage and the way it ended are those of a plain answer."""
    made = api.whole(TEXT, thought="Hm.", calls=[("add", {"a": 1}, "c1"), ("add", {"a": 2}, "c2")])
    server.script(raw(json.dumps(made), "application/json"))

    assert api.talk(mode, server) == api.backend.decode(made)


@EACH
@whole_modes
@pytest.mark.parametrize(
    "kind", ["text/event-stream", "application/x-ndjson", "application/json", "text/plain"]
)
def test_a_stream_that_answers_a_plain_request_is_read_to_its_end(
    server: WireServer, api: Api, mode: str, kind: str
) -> None:
    """Its reply is the same as that of the whole answer."""
    made = api.whole(TEXT, thought="Hm.", calls=[("add", {"a": 1}, "c1")])
    server.script(raw(joined(api.stream(api.events(made, in_two))), kind))

    assert api.talk(mode, server) == api.backend.decode(made)


@EACH
@whole_modes
def test_a_stream_that_is_cut_is_no_answer_to_a_plain_request(
    server: WireServer, api: Api, mode: str
) -> None:
    """Only its end proves that it is whole."""
    events = api.events(api.whole(TEXT), in_two)
    server.script(api.stream(events[:-1]))
    with pytest.raises(BadReplyError):
        api.talk(mode, server)


@EACH
@every_mode
def test_whole_answers_and_streams_may_mix_in_one_call(server: WireServer, api: Api, mode: str) -> None:
    """Calls come in the other form, too."""

    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    first = api.whole(calls=[("add", {"a": 1, "b": 2})])
    other = api.stream(api.events(first, in_two)) if mode in WHOLE else api.reply(first)
    waiting = [other, api.answer(mode, "3")]
    server.always = lambda request: (
        ollama.shown("completion", "tools") if request.path.endswith("/api/show") else waiting.pop(0)
    )

    assert api.ask(mode, server, tools=[add]) == "3"
    assert not waiting


@streamed_modes
def test_the_chunks_of_gemini_may_be_a_list(server: WireServer, mode: str) -> None:
    """As its API streams without `alt=sse`, which some gateways drop."""
    chunks = GEMINI.events(GEMINI.whole(TEXT, calls=[("add", {"a": 1}, "c1")]), in_two)
    server.script(raw(json.dumps(chunks, indent=1), "application/json"))
    reply = GEMINI.talk(mode, server)

    assert (reply.text, [call.id for call in reply.calls]) == (TEXT, ["c1"])


# --- the framing of events ----------------------------------------------------------------------------


@EVENTS
@streamed_modes
@pytest.mark.parametrize(
    "between",
    [
        "data:\n\n",
        "data: null\n\n",
        "data: {}\n\n",
        ": comment\n\n",
        "event: ping\n\n",
        "data: : PROCESSING\n\n",
    ],
)
def test_what_only_keeps_the_connection_open_is_ignored(
    server: WireServer, api: Api, mode: str, between: str
) -> None:
    """An event without data is not dispatched: https://html.spec.whatwg.org, 9.2.6."""
    events = api.events(api.whole(TEXT), in_two)
    server.script(
        raw("\ufeff" + between + between.join(f"data: {json.dumps(event)}\n\n" for event in events))
    )

    assert api.ask(mode, server) == TEXT


# --- failures in a good response ----------------------------------------------------------------------

# In an `error`, flat, flat with OpenAI's fields, as text, and in a list.
FAILURES: list[tuple[Any, type[ProviderError], str | None]] = [
    ({"error": {"type": "rate_limit_error", "message": "It broke."}}, RateLimitError, "rate_limit_error"),
    ({"message": "It broke.", "type": "rate_limit_error"}, RateLimitError, "rate_limit_error"),
    ({"message": "It broke.", "code": "rate_limit_exceeded"}, RateLimitError, "rate_limit_exceeded"),
    (
        {"code": 429, "message": "It broke.", "status": "RESOURCE_EXHAUSTED"},
        RateLimitError,
        "RESOURCE_EXHAUSTED",
    ),
    ({"error": "It broke.", "code": 401}, AuthenticationError, None),
    ({"error": "It broke.", "status_code": 503}, ServerError, None),
    ({"detail": "It broke.", "status": 400}, BadRequestError, None),
]


@EACH
@every_mode
@pytest.mark.parametrize("place", ["alone", "in an event", "after text"])
@pytest.mark.parametrize(("failure", "kind", "code"), FAILURES, ids=[str(row[0])[:40] for row in FAILURES])
def test_a_failure_in_a_good_response_keeps_code_and_words(
    server: WireServer,
    api: Api,
    mode: str,
    place: str,
    failure: Any,
    kind: type[ProviderError],
    code: str | None,
) -> None:
    """Whatever its frame is, and whatever was asked for."""
    text = json.dumps(failure)
    if place == "alone":
        server.script(raw(text, "application/json"))
    else:
        before = api.events(api.whole(TEXT), in_two)[: 0 if place == "in an event" else 2]
        lines = joined(api.stream([*before, failure]))
        server.script(raw(lines, "application/x-ndjson" if api is OLLAMA else "text/event-stream"))
    with pytest.raises(kind, match=r"It broke\.") as caught:
        api.talk(mode, server)

    assert caught.value.code == code
    assert caught.value.transient == (kind in (RateLimitError, ServerError))
