"""The Gemini backend through the real SDK, against a server that fails, lies or hangs up."""

from __future__ import annotations

from typing import Any

import pytest
from kit.patience import limits
from kit.talking import KEY, MODES, STREAMED, WHOLE, talk
from kit.wire import Answer, Cut, Gate, WireServer, json_answer, sse
from kit.wire import gemini as says

from alloy.backends.gemini.content import GeminiBackend
from alloy.errors import (
    AuthenticationError,
    BadReplyError,
    BadRequestError,
    ModelNotFoundError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
    UnsupportedError,
)
from alloy.messages import Endpoint, Request, User

GEMINI = GeminiBackend()
HTML = b"<html><body>It works!</body></html>"
MODEL = "gemini-3-flash-preview"

every_mode = pytest.mark.parametrize("mode", MODES)
whole = pytest.mark.parametrize("mode", WHOLE)
streamed = pytest.mark.parametrize("mode", STREAMED)


def at(server: WireServer, **changes: Any) -> Endpoint:
    return Endpoint(**{"base_url": server.url, "api_key": KEY, "timeout": 20.0, **changes})


def ask(mode: str, endpoint: Endpoint) -> Any:
    return talk(GEMINI, mode, endpoint, GEMINI.encode(Request(MODEL, (User("Hello"),))))


def good(mode: str) -> Answer:
    """A whole answer, or a stream, that nothing is wrong with."""
    return (says.reply if mode in WHOLE else says.stream)(says.content(text="Hello"))


# --- statuses -----------------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize(
    ("status", "word", "kind", "transient"),
    [
        (400, "INVALID_ARGUMENT", BadRequestError, False),
        (400, "FAILED_PRECONDITION", BadRequestError, False),
        (401, "UNAUTHENTICATED", AuthenticationError, False),
        (403, "PERMISSION_DENIED", AuthenticationError, False),
        (404, "NOT_FOUND", ModelNotFoundError, False),
        (408, "DEADLINE_EXCEEDED", ProviderTimeoutError, True),
        (409, "ABORTED", BadRequestError, True),
        (413, "INVALID_ARGUMENT", BadRequestError, False),
        (429, "RESOURCE_EXHAUSTED", RateLimitError, True),
        (499, "CANCELLED", BadRequestError, False),
        (500, "INTERNAL", ServerError, True),
        (501, "UNIMPLEMENTED", ServerError, False),
        (503, "UNAVAILABLE", ServerError, True),
        (504, "DEADLINE_EXCEEDED", ServerError, True),
        (529, "OVERLOADED", ServerError, True),
    ],
)
def test_a_status_is_its_error(
    server: WireServer, mode: str, status: int, word: str, kind: type[ProviderError], transient: bool
) -> None:
    """The error carries the provider's words and marks, and the SDK does not try again by itself."""
    server.script(
        says.failure(status, "That went wrong.", word, {"@type": "RequestInfo", "requestId": "req_1"})
    )
    with pytest.raises(kind) as caught:
        ask(mode, at(server))

    error = caught.value
    assert type(error) is kind
    assert (error.provider, error.status, error.code) == ("gemini", status, word)
    assert (error.request_id, error.transient) == ("req_1", transient)
    assert "That went wrong." in str(error)
    assert len(server.requests) == 1


@every_mode
def test_an_error_of_a_stream_comes_in_a_list(server: WireServer, mode: str) -> None:
    """Google wraps the errors of streams; the header's request id counts where no detail has one."""
    error = {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}
    server.script(json_answer([{"error": error}], status=503, x_request_id="req_2"))
    with pytest.raises(ServerError, match=r"The model is overloaded\. \(status 503, request req_2\)"):
        ask(mode, at(server))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "Said it."}}', "Said it."),
        (b'{"error": "Said it."}', "Said it."),
        (b'{"message": "Said it."}', "Said it."),
        (b'{"error": {"message": null, "details": "x"}}', "message"),
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>"),
        (b"", "empty text/html"),
        (b"null", "empty"),
        (b"\xff\xfe", "�"),
    ],
)
@every_mode
def test_an_error_body_of_any_shape_is_quoted(server: WireServer, mode: str, body: bytes, words: str) -> None:
    """Proxies say their errors in many ways."""
    server.script(Answer([body], 502, {"content-type": "text/html"}))
    with pytest.raises(ServerError, match=words):
        ask(mode, at(server))


def test_a_long_error_page_is_cut_short(server: WireServer) -> None:
    """A message stays readable whatever a proxy sends."""
    server.script(Answer([b"<html>" + b"x" * 100_000], 502))
    with pytest.raises(ServerError) as caught:
        ask("send", at(server))

    assert len(str(caught.value)) < 700


@every_mode
@pytest.mark.parametrize("status", [204, 206, 304])
def test_a_good_status_that_is_none_is_a_bad_reply(server: WireServer, mode: str, status: int) -> None:
    """Only 200 is an answer."""
    server.script(Answer([], status))
    with pytest.raises(BadReplyError, match=f"status {status}"):
        ask(mode, at(server))


@every_mode
@pytest.mark.parametrize(
    ("details", "headers", "seconds"),
    [
        ([{"@type": "RetryInfo", "retryDelay": "34.5s"}], {}, 34.5),
        ([{"@type": "RetryInfo", "retryDelay": "34.5s"}], {"retry-after": "7"}, 7.0),
        ([{"@type": "RetryInfo", "retryDelay": "soon"}], {}, None),
        ([{"@type": "RetryInfo", "retryDelay": 3}], {}, None),
        ([], {"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ([], {}, None),
    ],
)
def test_how_long_to_wait_is_read(
    server: WireServer, mode: str, details: Any, headers: dict[str, str], seconds: float | None
) -> None:
    """From the header, or from the detail that Google has for it."""
    said = says.failure(429, "Slow down.", "RESOURCE_EXHAUSTED", *details)
    said.headers |= headers
    server.script(said)
    with pytest.raises(RateLimitError) as caught:
        ask(mode, at(server))

    assert (caught.value.retry_after, caught.value.transient) == (seconds, True)


def test_a_quota_of_the_day_is_not_tried_again(server: WireServer) -> None:
    """No wait of ours will fill it."""
    quota = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
    spent = {"@type": "QuotaFailure", "violations": [{"quotaId": quota}]}
    server.script(says.failure(429, "You exceeded your current quota.", "RESOURCE_EXHAUSTED", spent))
    with pytest.raises(RateLimitError, match="exceeded") as caught:
        ask("send", at(server))

    assert not caught.value.transient


@pytest.mark.parametrize(
    ("message", "details"),
    [
        ("API key not valid. Please pass a valid API key.", []),
        ("API key expired. Please renew the API key.", [{"@type": "ErrorInfo", "reason": "API_KEY_INVALID"}]),
    ],
)
def test_a_bad_key_is_told_from_a_bad_request(server: WireServer, message: str, details: Any) -> None:
    """Google says both with 400; the error names the variables."""
    server.script(says.failure(400, message, "INVALID_ARGUMENT", *details))
    with pytest.raises(AuthenticationError, match=r"API key .*GOOGLE_API_KEY or GEMINI_API_KEY") as caught:
        ask("send", at(server))

    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("models/gemini-x is not found for API version v1, or is not supported", "check `model`"),
        ("models/gemini-flash-latest is not found for API version v1", "GOOGLE_GENAI_API_VERSION=beta"),
        ("Requested entity was not found.", "check `base_url`: the address without the API's version"),
    ],
)
def test_what_is_missing_is_named(server: WireServer, message: str, advice: str) -> None:
    """A 404 is the model's name, a name that only the beta knows, or the address."""
    server.script(says.failure(404, message, "NOT_FOUND"))
    with pytest.raises(ModelNotFoundError, match=advice):
        ask("send", at(server))


@every_mode
@pytest.mark.parametrize(
    ("message", "feature"),
    [
        ("Function calling is not enabled for models/gemma-3-27b-it", "tools"),
        ("Tool use is not supported by this model.", "tools"),
        ("JSON mode is not enabled for models/gemma-3-27b-it", "output"),
        ("Response schema is not supported for this model", "output"),
        (
            "Function calling with a response mime type: 'application/json' is unsupported",
            "output_with_tools",
        ),
        ("Tool use with a response mime type: 'application/json' is unsupported", "output_with_tools"),
    ],
)
def test_what_a_model_cannot_do_is_read(server: WireServer, mode: str, message: str, feature: str) -> None:
    """The engine stands in for it, and remembers."""
    server.script(says.failure(400, message))
    with pytest.raises(UnsupportedError, match=message[:20]) as caught:
        ask(mode, at(server))

    assert (caught.value.feature, caught.value.status, caught.value.code) == (
        feature,
        400,
        "INVALID_ARGUMENT",
    )


# --- a good status and no answer ----------------------------------------------------------------------


@whole
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (HTML, "text/html"),
        (b"", "text/plain"),
        (b"null", "application/json"),
        (b"[]", "application/json"),
        (b'"text"', "application/json"),
        (b'{"candidates": [', "application/json"),
        (b"\xff\xfe\x00", "application/octet-stream"),
        (b'data: {"candidates": []}\n\n', "text/event-stream"),
    ],
)
def test_a_foreign_body_is_a_bad_reply(server: WireServer, mode: str, content: bytes, kind: str) -> None:
    """The error says what kind of body came and how it begins, where the SDK would say nothing at all."""
    server.script(Answer([content], headers={"content-type": kind, "x-request-id": "req_9"}))
    with pytest.raises(BadReplyError) as caught:
        ask(mode, at(server))

    assert kind in str(caught.value)
    assert (caught.value.status, caught.value.request_id) == (200, "req_9")
    assert (repr(content[:20].decode()[:6])[1:-1] if content.isascii() else "�") in str(caught.value)


@whole
@pytest.mark.parametrize("content", [{}, {"candidates": []}, {"hello": "world"}])
def test_an_object_of_another_shape_is_a_bad_reply(server: WireServer, mode: str, content: Any) -> None:
    """The SDK makes an empty answer of these."""
    server.script(json_answer(content))
    with pytest.raises(BadReplyError):
        ask(mode, at(server))


@every_mode
@pytest.mark.parametrize("listed", [True, False])
def test_an_error_object_under_a_good_status_is_that_error(
    server: WireServer, mode: str, listed: bool
) -> None:
    """Gateways answer 200 and put the failure inside, to a request for a stream too."""
    error = {"error": {"message": "Quota is spent.", "code": 429, "status": "RESOURCE_EXHAUSTED"}}
    server.script(json_answer([error] if listed else error))
    with pytest.raises(RateLimitError, match=r"Quota is spent\.") as caught:
        ask(mode, at(server))

    assert (caught.value.status, caught.value.code) == (429, "RESOURCE_EXHAUSTED")


@streamed
@pytest.mark.parametrize(
    "said",
    [
        Answer([HTML], headers={"content-type": "text/html"}),
        Answer([b""], headers={"content-type": "text/event-stream"}),
        Answer([b": ping\n\n"], headers={"content-type": "text/event-stream"}),
        Answer([b"data: {broken\n\n"], headers={"content-type": "text/event-stream"}),
        Answer([b"data: 3\n\n"], headers={"content-type": "text/event-stream"}),
        json_answer(says.content(text="whole")),
        json_answer([says.content(text="a list"), says.content(text="of chunks")]),
        Answer([HTML], headers={"content-type": "application/json"}),
    ],
    ids=["html", "empty", "pings", "broken json", "a number", "whole", "a list", "html as json"],
)
def test_a_foreign_stream_is_a_bad_reply(server: WireServer, mode: str, said: Answer) -> None:
    """No silence and no half reply where the stream is none."""
    server.script(said)
    with pytest.raises(BadReplyError):
        ask(mode, at(server))


@streamed
def test_a_stream_that_stops_cleanly_but_early_is_a_bad_reply(server: WireServer, mode: str) -> None:
    """Only the finish reason proves that all has come."""
    said = good(mode)
    said.body = said.body[:-1]
    server.script(said)
    with pytest.raises(BadReplyError, match="ended without a finishReason"):
        ask(mode, at(server))


@streamed
@pytest.mark.parametrize("how", ["event", "bare", "bare list", "first"])
def test_an_error_in_the_middle_of_a_stream_is_that_error(server: WireServer, mode: str, how: str) -> None:
    """As an event, or as bare JSON over several lines, with what the server said."""
    said = good(mode)
    error = {"error": {"message": "Overloaded.", "code": 503, "status": "UNAVAILABLE"}}
    event = sse([error]).body
    bare = b'{\n  "error": {\n "message": "Overloaded.", "code": 503,\n "status": "UNAVAILABLE"\n }\n}'
    broken = {"event": event, "bare": [bare], "bare list": [b"[" + bare + b"\n]\n"], "first": [bare]}[how]
    said.body = broken if how == "first" else [*said.body[:1], *broken]
    server.script(said)
    with pytest.raises(ServerError, match=r"Overloaded\.") as caught:
        ask(mode, at(server))

    assert (caught.value.status, caught.value.transient) == (503, True)


# --- connections --------------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("place", ["before", "length", "chunked"])
def test_a_connection_that_breaks_is_a_connection_error(
    server: WireServer, mode: str, reset: bool, place: str
) -> None:
    """Before the answer and inside of it, by reset or by a close that comes too soon."""
    said = good(mode)
    if place == "before":
        said.before = Cut(reset)
    else:
        said.framing, said.length = ("length", 100_000) if place == "length" else ("chunked", None)
        said.body = [said.body[0], Cut(reset)]
    server.script(said)
    with pytest.raises(ProviderConnectionError) as caught:
        ask(mode, at(server))

    assert caught.value.transient
    assert not isinstance(caught.value, ProviderTimeoutError)


@every_mode
@pytest.mark.parametrize("place", ["before", "body", "error"])
def test_a_server_that_stalls_is_a_timeout(server: WireServer, mode: str, place: str) -> None:
    """`timeout` bounds the wait for the headers and for each part of the body, an error's too."""
    said, gate = good(mode), Gate()
    said.before = gate if place == "before" else None
    said.body = said.body if place == "before" else [said.body[0][:9], gate]
    said.framing, said.status = "chunked", 500 if place == "error" else 200
    server.always = lambda _: said
    for limit in limits(lambda: server.requests):
        with pytest.raises(ProviderTimeoutError, match="timeout"):
            ask(mode, at(server, timeout=limit))


@every_mode
def test_nobody_at_the_address_is_a_connection_error(mode: str) -> None:
    """A refused connection says so, and is worth another try."""
    gone = WireServer()
    gone.stop()
    with pytest.raises(ProviderConnectionError, match="no connection") as caught:
        ask(mode, at(gone))

    assert caught.value.transient


@whole
def test_a_body_that_cannot_be_decoded_is_a_bad_reply(server: WireServer, mode: str) -> None:
    """A broken compression is the server's fault."""
    server.script(
        Answer([b"no gzip"], headers={"content-type": "application/json", "content-encoding": "gzip"})
    )
    with pytest.raises(BadReplyError, match="decoded"):
        ask(mode, at(server))


def test_something_that_speaks_no_http_is_a_connection_error(server: WireServer) -> None:
    """A wrong port answers in another language."""
    server.script(Answer(raw=[b"220 mail.example ESMTP\r\n"]))
    with pytest.raises(ProviderConnectionError):
        ask("send", at(server))
