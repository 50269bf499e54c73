"""All HTTP backends through their real SDKs: answers with status 200 that are not replies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit.apis import (
    ANTHROPIC,
    CHAT,
    GEMINI,
    OLLAMA,
    OLLAMA_CHAT,
    RESPONSES,
    Api,
    apis,
    every_api,
    every_mode,
    streamed_modes,
    whole_modes,
)
from kit.wire import Answer, WireServer, json_answer
from kit.wire import anthropic as anthropic_format

from alloy.errors import (
    BadReplyError,
    ProviderError,
    RateLimitError,
    ServerError,
)

HTML = b"<html><body>It works!</body></html>"

# --- status 200 without an answer ---------------------------------------------------------------------


@every_api
@whole_modes
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (HTML, "text/html"),
        (b"Ollama is running", "text/plain"),
        (b"", "text/plain"),
        (b"null", "application/json"),
        (b"[]", "application/json"),
        (b'"text"', "application/json"),
        (b'{"id": "half', "application/json"),
        (b'{"candidates": [', "application/json"),
        (b"\xff\xfe\x00", "application/octet-stream"),
        (b'event: ping\ndata: {"type": "ping"}\n\n', "text/event-stream"),
        (b'data: {"candidates": []}\n\n', "text/event-stream"),
        (b'{"done": false}\n{"done": true}\n', "application/x-ndjson"),
    ],
)
def test_a_body_in_another_format_is_a_bad_reply(
    server: WireServer, api: Api, mode: str, content: bytes, kind: str
) -> None:
    """The error names the content type and the request id, and quotes the beginning of the body."""
    headers = {"content-type": kind, "x-request-id": "req_9", "request-id": "req_9"}
    server.script(Answer([content], headers=headers))
    with pytest.raises(BadReplyError) as caught:
        api.talk(mode, server)

    assert kind in str(caught.value)
    assert (caught.value.status, caught.value.request_id) == (200, "req_9")
    assert (repr(content[:20].decode()[:6])[1:-1] if content.isascii() else "�") in str(caught.value)


@every_api
@every_mode
@pytest.mark.parametrize(
    "value",
    [
        {},
        {"hello": "world"},
        {"id": "chatcmpl-1", "choices": []},
        {"choices": [{"message": 1}]},
        {"candidates": []},
        {"done": True},
    ],
    ids=["empty", "foreign", "no choices", "bad choice", "no candidates", "done"],
)
def test_an_object_of_another_shape_is_a_bad_reply(
    server: WireServer, api: Api, mode: str, value: Any
) -> None:
    """It is not taken for an empty answer."""
    server.script(json_answer(value))
    with pytest.raises(BadReplyError):
        api.talk(mode, server)


@apis(CHAT, OLLAMA_CHAT)
@whole_modes
def test_an_answer_of_chat_completions_is_a_bad_reply(server: WireServer, api: Api, mode: str) -> None:
    """Which another API could read as an answer without text."""
    server.script(json_answer({"choices": [{"message": {"content": "Hi"}}]}))
    with pytest.raises(BadReplyError):
        api.talk(mode, server)


# An error object of each API, and what it means without an error status: class, status, code, transient.
QUOTA = {"error": {"message": "It broke.", "code": "insufficient_quota"}}
SPENT = {"error": {"message": "It broke.", "code": 429, "status": "RESOURCE_EXHAUSTED"}}
INSIDE: list[tuple[Api, Any, type[ProviderError], int | None, str | None, bool]] = [
    (RESPONSES, QUOTA, RateLimitError, None, "insufficient_quota", False),
    (CHAT, QUOTA, RateLimitError, None, "insufficient_quota", False),
    (OLLAMA_CHAT, QUOTA, RateLimitError, None, "insufficient_quota", False),
    (
        ANTHROPIC,
        anthropic_format.error("rate_limit_error", "It broke."),
        RateLimitError,
        None,
        "rate_limit_error",
        True,
    ),
    (GEMINI, SPENT, RateLimitError, 429, "RESOURCE_EXHAUSTED", True),
    (GEMINI, [SPENT], RateLimitError, 429, "RESOURCE_EXHAUSTED", True),
    (OLLAMA, {"error": "It broke."}, ServerError, None, None, True),
]


@pytest.mark.parametrize(
    ("api", "body", "kind", "status", "code", "transient"), INSIDE, ids=[row[0].name for row in INSIDE]
)
@every_mode
def test_an_error_object_with_status_200_is_that_error(
    server: WireServer,
    api: Api,
    mode: str,
    body: Any,
    kind: type[ProviderError],
    status: int | None,
    code: str | None,
    transient: bool,
) -> None:
    """Gateways put the failure inside, also in reply to a request for a stream."""
    server.script(json_answer(body, x_request_id="req_1", request_id="req_1"))
    with pytest.raises(kind, match=r"It broke\.") as caught:
        api.talk(mode, server)

    assert (caught.value.status, caught.value.code, caught.value.transient) == (status, code, transient)
    if not (api is OLLAMA and mode.startswith("open")):  # there it is a line, and Ollama sends no id
        assert caught.value.request_id == "req_1"


# --- streams ------------------------------------------------------------------------------------------

SSE, NDJSON = "text/event-stream", "application/x-ndjson"


@every_api
@streamed_modes
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (HTML, "text/html"),
        (HTML, "application/json"),
        (b"", SSE),
        (b"", NDJSON),
        (b": ping\n\n", SSE),
        (b"\n\n", NDJSON),
        (b"data: {broken\n\n", SSE),
        (b"{broken\n", NDJSON),
        (b"data: 3\n\n", SSE),
        (b"3\n", NDJSON),
        (b'data: {"done": true}\n\n', SSE),
    ],
)
def test_a_stream_in_another_format_is_a_bad_reply(
    server: WireServer, api: Api, mode: str, content: bytes, kind: str
) -> None:
    """It is neither an empty reply nor a part of one."""
    server.script(Answer([content], headers={"content-type": kind}))
    with pytest.raises(BadReplyError):
        api.talk(mode, server)


@apis(OLLAMA)  # a whole answer is a stream of one line
@streamed_modes
def test_two_whole_answers_are_not_a_stream(server: WireServer, api: Api, mode: str) -> None:
    """Nobody knows which of the two is meant."""
    server.script(json_answer([api.whole("one"), api.whole("two")]))
    with pytest.raises(BadReplyError):
        api.talk(mode, server)


@every_api
@streamed_modes
@pytest.mark.parametrize("missing", [0, 1, 4])
@pytest.mark.parametrize("cut", [0, 10], ids=["between events", "inside one"])
def test_a_stream_that_ends_early_is_a_bad_reply(
    server: WireServer, api: Api, mode: str, missing: int, cut: int
) -> None:
    """Only its last event proves that a stream is complete."""
    answer = api.answer(mode, "A text that is longer")
    steps = [step for step in answer.body if isinstance(step, bytes)]
    kept = b"".join(steps[: len(steps) - api.needed - missing + (cut > 0)])
    answer.body = [kept[:-cut] if cut else kept]
    server.script(answer)
    with pytest.raises(BadReplyError, match=api.end):
        api.talk(mode, server)


# An error event of each API, and what it means: status, code.
OPENAI_EVENT = {"type": "error", "error": {"message": "Overloaded.", "code": 503}}
GEMINI_EVENT = {"error": {"message": "Overloaded.", "code": 503, "status": "UNAVAILABLE"}}
EVENTS: list[tuple[Api, Any, int | None, str | None]] = [
    (RESPONSES, OPENAI_EVENT, 503, None),
    (CHAT, OPENAI_EVENT, 503, None),
    (OLLAMA_CHAT, OPENAI_EVENT, 503, None),
    (ANTHROPIC, anthropic_format.error("overloaded_error", "Overloaded."), None, "overloaded_error"),
    (GEMINI, GEMINI_EVENT, 503, "UNAVAILABLE"),
    (OLLAMA, {"error": "Overloaded."}, None, None),
]
each_error_event = pytest.mark.parametrize(
    ("api", "event", "status", "code"), EVENTS, ids=[row[0].name for row in EVENTS]
)


def fails_after_text(api: Api, event: Any) -> Answer:
    """A stream that sends "Hel" and then an error."""
    answer = api.answer("open", "Hello")
    cut = 1 + next(place for place, step in enumerate(answer.body) if b'"Hel"' in step)  # type: ignore[operator]
    answer.body = [*answer.body[:cut], *api.stream([event]).body]
    return answer


@each_error_event
@streamed_modes
def test_an_error_event_in_a_stream_is_that_error(
    server: WireServer, api: Api, mode: str, event: Any, status: int | None, code: str | None
) -> None:
    """It is raised at its place, with the server's message; the response's own status was 200."""
    server.script(fails_after_text(api, event))
    with pytest.raises(ServerError, match=r"Overloaded\.") as caught:
        api.talk(mode, server)

    error = caught.value
    assert (error.status, error.code, error.transient) == (status, code, True)
    if api is ANTHROPIC:
        assert error.request_id == "req_1"  # it is in the event


@pytest.mark.parametrize(
    ("api", "event", "status", "code"),
    [row for row in EVENTS if row[0] is not OLLAMA],  # whose streams are read line by line
    ids=[row[0].name for row in EVENTS if row[0] is not OLLAMA],
)
@streamed_modes
@pytest.mark.parametrize("place", ["middle", "start"])
@pytest.mark.parametrize("listed", [False, True], ids=["object", "list"])
def test_an_error_in_a_stream_may_be_plain_json(
    server: WireServer,
    api: Api,
    mode: str,
    event: Any,
    status: int | None,
    code: str | None,
    place: str,
    listed: bool,
) -> None:
    """Over several lines, alone or in a list, as gateways write it."""
    answer = api.answer(mode)
    bare = json.dumps([event] if listed else event, indent=1).encode() + b"\n"
    answer.body = [bare] if place == "start" else [answer.body[0], bare]
    server.script(answer)
    with pytest.raises(ServerError, match=r"Overloaded\.") as caught:
        api.talk(mode, server)

    assert (caught.value.status, caught.value.code, caught.value.transient) == (status, code, True)


@each_error_event
@streamed_modes
def test_a_stream_that_fails_after_some_text_is_not_retried(
    server: WireServer, api: Api, mode: str, event: Any, status: int | None, code: str | None
) -> None:
    """The caller has the text already; the error repeats it."""
    server.script(fails_after_text(api, event))
    with pytest.raises(ServerError, match=r"Overloaded\.") as caught:
        api.ask(mode, server, retry=3)

    assert caught.value.text == "Hel"
    assert len(server.requests) == 1


@every_api
@every_mode
@pytest.mark.parametrize("depth", [500, 5_000, 100_000])
@pytest.mark.parametrize("form", ["answer", "member", "error", "stream"])
def test_deep_nesting_is_an_error_of_alloy(
    server: WireServer, api: Api, mode: str, depth: int, form: str
) -> None:
    """No reader recurses into it, and it is not tried again: it would be as deep."""
    deep = "[" * depth + "]" * depth
    kind = "application/json"
    if form == "member":
        deep = f'{{"choices": {deep}}}'
    if form == "stream":
        deep = f"{deep}\n" if api.json_lines else f"data: {deep}\n\n"
        kind = "application/x-ndjson" if api.json_lines else "text/event-stream"
    server.script(Answer([deep.encode()], 400 if form == "error" else 200, {"content-type": kind}))
    with pytest.raises(ProviderError) as caught:
        api.talk(mode, server)
    assert not caught.value.transient


@every_api
@every_mode
@pytest.mark.parametrize(
    "code", ["9" * 30, "9" * 5000, -1, 10**30, 1e300, [], {}, True], ids=lambda code: repr(code)[:12]
)
def test_a_code_of_any_kind_leaves_an_error_what_it_is(
    server: WireServer, api: Api, mode: str, code: Any
) -> None:
    """Python refuses to convert thousands of digits."""
    server.script(json_answer({"error": {"message": "slow down", "code": code, "status": code}}, status=429))
    with pytest.raises(RateLimitError, match="slow down"):
        api.talk(mode, server)


@every_api
@every_mode
@pytest.mark.parametrize(
    "value",
    [
        "Mon, 01 Jan 2024 00:00:00 +" + "9" * 30,
        "Mon, 01 Jan 2024 00:00:00 -9999",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 99 Xxx 99999999999999999999 99:99:99 GMT",
        "9" * 400,
        "1e999",
        "-1e999",
        "nan",
        "-5",
        "0x10",
        "",
        ",",
        ";;",
        "\xff\xfe",
        "Mon",
        "1, 2",
    ],
    ids=lambda value: ascii(value)[1:13] or "empty",
)
def test_a_retry_after_of_any_content_leaves_a_429_what_it_is(
    server: WireServer, api: Api, mode: str, value: str
) -> None:
    """What cannot be read counts as not sent; a time in the past is now."""
    answer = api.failure(429, "slow down", None)
    answer.headers |= {"retry-after": value, "retry-after-ms": value}
    server.script(answer)
    with pytest.raises(RateLimitError, match="slow down") as caught:
        api.talk(mode, server)
    wait = caught.value.retry_after
    assert wait is None or 0 <= wait < float("inf")
