"""A server may answer in the other form than it was asked for, and frame events and errors in its own way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit.apis import CHAT, OLLAMA_CHAT, RESPONSES, Api, every_mode, streamed_modes, whole_modes
from kit.wire import Answer, WireServer, sse

from alloy import ask, tool
from alloy.errors import (
    AuthenticationError,
    BadRequestError,
    ModelNotFoundError,
    ProviderError,
    RateLimitError,
    ServerError,
)

BOTH = pytest.mark.parametrize("api", [RESPONSES, CHAT, OLLAMA_CHAT], ids=repr)
TEXT = "Oslo. 🦊"


def raw(text: str | bytes, kind: str = "text/event-stream", status: int = 200) -> Answer:
    return Answer([text.encode() if isinstance(text, str) else text], status, {"content-type": kind})


def framed(api: Api, *, between: str = "", before: str = "", end: str = "") -> Answer:
    """A stream with *between* after every event."""
    events = api.events(api.whole(TEXT), lambda text: [text[:2], text[2:]])
    lines = [f"data: {json.dumps(event)}\n\n" for event in events] + ["data: [DONE]\n\n"] * api.done
    return raw(before + between.join(lines).removesuffix(end))


# --- whole for streamed, and the reverse --------------------------------------------------------------


@BOTH
@streamed_modes
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "text/event-stream"])
def test_a_whole_answer_to_a_streamed_request_is_one_piece(
    server: WireServer, api: Api, mode: str, kind: str
) -> None:
    """It is paid once, whatever the server calls it, and whether it is written on one line or on many."""
    for indent in (None, 1):
        server.script(raw(json.dumps(api.whole(TEXT), indent=indent), kind))
        assert api.ask(mode, server, retry=2) == TEXT
    assert len(server.requests) == 2


@BOTH
@whole_modes
@pytest.mark.parametrize("kind", ["text/event-stream", "application/json", "text/plain"])
def test_a_stream_that_answers_a_plain_request_is_read_to_its_end(
    server: WireServer, api: Api, mode: str, kind: str
) -> None:
    """Its reply is the same as that of the whole answer."""
    made = api.whole(TEXT, calls=[("add", {"a": 1})])
    answer = api.stream(api.events(made, lambda text: [text[:3], text[3:]]))
    server.script(raw(b"".join(step for step in answer.body if isinstance(step, bytes)), kind))

    reply, whole = api.talk(mode, server), api.backend.decode(made)
    assert (reply.text, reply.calls, reply.finish, reply.usage) == (
        whole.text,
        whole.calls,
        whole.finish,
        whole.usage,
    )


@BOTH
@streamed_modes
@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "text/plain"])
def test_a_stream_may_have_another_media_type(server: WireServer, api: Api, mode: str, kind: str) -> None:
    """Its content shows what it is."""
    answer = framed(api)
    answer.headers["content-type"] = kind
    server.script(answer)
    assert api.ask(mode, server) == TEXT


@BOTH
@every_mode
def test_whole_answers_and_streams_may_mix_in_one_call(server: WireServer, api: Api, mode: str) -> None:
    """Calls come in the other form, too."""

    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    first = api.whole(calls=[("add", {"a": 1, "b": 2})])
    streamed = mode.startswith("open")
    other = api.reply(first) if streamed else api.stream(api.events(first, lambda text: [text]))
    server.script(other, api.answer(mode, "3"))
    assert api.ask(mode, server, tools=[add]) == "3"
    assert len(server.requests) == 2


def test_a_plain_chat_request_says_that_it_is_not_streamed(server: WireServer) -> None:
    """Some gateways stream unless they are told not to; `extra` still decides."""
    server.script(CHAT.answer("send"), CHAT.answer("send"))
    CHAT.talk("send", server)
    CHAT.talk("send", server, {**CHAT.body(), "stream": None})
    assert [request.json["stream"] for request in server.requests] == [False, None]


# --- the framing of events ----------------------------------------------------------------------------


@BOTH
@streamed_modes
@pytest.mark.parametrize(
    "between",
    [
        "data:\n\n",
        "data: \n\n",
        "data\n\n",
        ": comment\n\n",
        "data: : OPENROUTER PROCESSING\n\n",
        "data: null\n\n",
        "data: {}\n\n",
        'data: ""\n\n',
        "event: ping\ndata: ping\n\n",
        "event: keepalive\n\n",
        "id: 1\nretry: 10\n\n",
        "\n\n\n",
    ],
)
def test_what_only_keeps_the_connection_open_is_ignored(
    server: WireServer, api: Api, mode: str, between: str
) -> None:
    """An event without data is not dispatched: https://html.spec.whatwg.org, 9.2.6."""
    server.script(framed(api, between=between, before=between))
    assert api.ask(mode, server) == TEXT


@BOTH
@streamed_modes
def test_a_byte_order_mark_and_a_missing_last_line_end_are_accepted(
    server: WireServer, api: Api, mode: str
) -> None:
    """The last event is whole, although no empty line follows it."""
    server.script(framed(api, before="\ufeff", end="\n\n"), framed(api, end="\n"))
    assert api.ask(mode, server) == TEXT
    assert api.ask(mode, server) == TEXT


@streamed_modes
@pytest.mark.parametrize("word", [None, "", "null"])
def test_done_ends_a_stream_that_has_no_finish_reason(server: WireServer, mode: str, word: Any) -> None:
    """The text, and whole calls, have come to their end; half of a call has not."""
    chunk = {"choices": [{"index": 0, "delta": {"content": TEXT}, "finish_reason": word}]}
    server.script(sse([chunk], done=True))
    assert CHAT.ask(mode, server) == TEXT

    piece = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"a": '}}
    server.script(sse([{"choices": [{"delta": {"tool_calls": [piece]}}]}], done=True))
    with pytest.raises(ProviderError, match="finish_reason"):
        CHAT.talk(mode, server)


@streamed_modes
@pytest.mark.parametrize("mark", ["[DONE]", '"[DONE]"', "[done]", " [DONE] "])
def test_the_end_mark_may_be_written_in_other_ways(server: WireServer, mode: str, mark: str) -> None:
    """In quotes, in lower case, between spaces."""
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": TEXT}}]})
    server.script(raw(f"data: {chunk}\n\ndata:{mark}\n\n"))
    assert CHAT.ask(mode, server) == TEXT


@streamed_modes
def test_a_whole_message_at_the_end_of_a_stream_adds_what_is_missing(server: WireServer, mode: str) -> None:
    """Its text is shown once, and its calls are run."""

    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    whole = CHAT.whole("Hm.", calls=[("add", {"a": 1, "b": 2})])["choices"][0]
    chunks = [{"choices": [{"index": 0, "delta": {"content": "Hm."}}]}, {"choices": [whole]}]
    server.script(sse(chunks, done=True), CHAT.answer(mode, "3"))
    assert CHAT.ask(mode, server, tools=[add]) == "Hm.3"
    assert len(server.requests) == 2


@streamed_modes
def test_done_ends_a_stream_of_events_that_has_no_terminal_one(server: WireServer, mode: str) -> None:
    """What the events have built is the reply."""
    events = RESPONSES.events(RESPONSES.whole(TEXT), lambda text: [text])
    server.script(sse(events[:-1], done=True), sse(events[:-1]))
    assert RESPONSES.ask(mode, server) == TEXT
    with pytest.raises(ProviderError, match="ended before"):
        RESPONSES.ask(mode, server)


# --- errors -------------------------------------------------------------------------------------------

BOOM = {"message": "boom happened", "type": "server_error", "code": "gpu_lost"}


@BOTH
@every_mode
@pytest.mark.parametrize(
    "body",
    [
        f"data: {json.dumps({'error': BOOM})}\n\ndata: [DONE]\n\n",
        f"event: error\ndata: {json.dumps(BOOM)}\n\n",
        f": hm\n\ndata:\n\ndata:{json.dumps({'error': BOOM})}\n\n",
    ],
)
@pytest.mark.parametrize("status", [200, 500])
def test_an_error_that_is_framed_as_an_event_keeps_its_code_and_words(
    server: WireServer, api: Api, mode: str, body: str, status: int
) -> None:
    """With a good status, and with that of the error."""
    server.script(raw(body, status=status))
    with pytest.raises(ServerError, match="boom happened") as caught:
        api.ask(mode, server)
    assert caught.value.code == "gpu_lost"
    assert "data:" not in str(caught.value)


@BOTH
@every_mode
@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (
            {"object": "error", "message": "boom", "type": "BadRequestError", "code": 400},
            BadRequestError,
            None,
        ),
        ({"code": 429, "msg": "boom"}, RateLimitError, None),
        ({"error_code": 336100, "error_msg": "boom"}, ServerError, "336100"),
        ({"success": False, "message": "boom", "code": "invalid_api_key"}, AuthenticationError, None),
        ({"detail": "boom", "status": 404}, ModelNotFoundError, None),
        ({"errors": [{"message": "boom", "code": "rate_limit_exceeded"}]}, RateLimitError, None),
        ({"error": "model_overloaded", "message": "boom"}, ServerError, "model_overloaded"),
        ({"error": True, "message": "boom", "code": "RESOURCE_EXHAUSTED"}, RateLimitError, None),
    ],
)
def test_a_flat_error_with_a_good_status_is_that_error(
    server: WireServer, api: Api, mode: str, body: Any, kind: type[ProviderError], code: str | None
) -> None:
    """As JSON, and as an event of a stream."""
    server.script(raw(json.dumps(body), "application/json"), sse([body]))
    for _ in range(2):
        with pytest.raises(kind, match="boom") as caught:
            api.ask(mode, server)
        assert code in (None, caught.value.code)


@BOTH
@streamed_modes
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("rate_limit_error", RateLimitError),
        ("RateLimitError", RateLimitError),
        ("RESOURCE_EXHAUSTED", RateLimitError),
        ("authentication_error", AuthenticationError),
        ("UNAUTHENTICATED", AuthenticationError),
        ("permission_error", AuthenticationError),
        ("not_found_error", ModelNotFoundError),
        ("invalid_request_error", BadRequestError),
        ("ContextWindowExceededError", BadRequestError),
        ("overloaded_error", ServerError),
        ("api_error", ServerError),
    ],
)
def test_the_type_of_an_error_in_a_stream_decides_its_class(
    server: WireServer, api: Api, mode: str, name: str, kind: type[ProviderError]
) -> None:
    """As a status would, and so does a code."""
    server.script(
        sse([{"error": {"message": "no", "type": name, "code": None}}]),
        sse([{"error": {"message": "no", "type": "odd", "code": name}}]),
    )
    for _ in range(2):
        with pytest.raises(kind) as caught:
            api.ask(mode, server)
        assert caught.value.transient == (kind in (RateLimitError, ServerError))


@BOTH
@every_mode
@pytest.mark.parametrize("status", [400, 422, 500, 501, 503])
@pytest.mark.parametrize(
    "message",
    [
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
        "m is not a multimodal model",
        "This model does not support image inputs",
        "unknown variant `image_url`, expected `text`",
        "At most 0 image(s) may be provided in one request.",
    ],
)
def test_an_image_for_a_model_without_vision_is_never_transient(
    server: WireServer, api: Api, mode: str, status: int, message: str
) -> None:
    """Another try would be refused as well."""
    server.script(api.failure(status, message, None))
    with pytest.raises(BadRequestError) as caught:
        api.ask(mode, server, retry=2)
    assert not caught.value.transient


def test_a_failure_that_only_mentions_an_image_stays_transient(server: WireServer) -> None:
    """A server that is overloaded can have time for the image later."""
    server.script(*(CHAT.failure(503, text, None) for text in ("overloaded", "the image service timed out")))
    for _ in range(2):
        with pytest.raises(ServerError) as caught:
            ask("?", **CHAT.options(server))
        assert caught.value.transient
