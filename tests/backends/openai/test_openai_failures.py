"""Both OpenAI backends through the real SDK, against a server that fails, lies or hangs up."""

from __future__ import annotations

import pytest
from kit.patience import limits
from kit.talking import MODES, STREAMED, WHOLE, at, talk
from kit.wire import Answer, Cut, Gate, WireServer, json_answer, sse
from kit.wire import openai as says

from alloy.backends.base import Backend
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
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
)

RESPONSES, CHAT = OpenAIBackend(), OpenAIChatBackend()
HTML = b"<html><body>It works!</body></html>"

both = pytest.mark.parametrize("backend", [RESPONSES, CHAT], ids=["responses", "chat"])
every_mode = pytest.mark.parametrize("mode", MODES)
whole = pytest.mark.parametrize("mode", WHOLE)
streamed = pytest.mark.parametrize("mode", STREAMED)


def good(backend: Backend, mode: str, text: str = "Hello") -> Answer:
    """A whole answer, or a stream, that nothing is wrong with."""
    if backend is RESPONSES:
        return (says.reply if mode in WHOLE else says.stream)(says.response(text=text))
    return (says.reply if mode in WHOLE else says.chat_stream)(says.completion(text=text))


# --- statuses -----------------------------------------------------------------------------------------


@both
@every_mode
@pytest.mark.parametrize(
    ("status", "code", "kind", "transient"),
    [
        (400, None, BadRequestError, False),
        (400, "context_length_exceeded", BadRequestError, False),
        (401, "invalid_api_key", AuthenticationError, False),
        (403, None, AuthenticationError, False),
        (404, "model_not_found", ModelNotFoundError, False),
        (408, None, ProviderTimeoutError, True),
        (409, None, BadRequestError, True),
        (413, None, BadRequestError, False),
        (422, None, BadRequestError, False),
        (429, "rate_limit_exceeded", RateLimitError, True),
        (429, "insufficient_quota", RateLimitError, False),
        (500, None, ServerError, True),
        (503, None, ServerError, True),
        (529, None, ServerError, True),
    ],
)
def test_a_status_is_its_error(
    server: WireServer,
    backend: Backend,
    mode: str,
    status: int,
    code: str | None,
    kind: type[ProviderError],
    transient: bool,
) -> None:
    """The error carries the provider's words and marks, and the SDK does not try again by itself."""
    server.script(says.failure(status, "That went wrong.", code=code, param="input"))
    with pytest.raises(kind) as caught:
        talk(backend, mode, at(server))

    error = caught.value
    assert type(error) is kind
    assert (error.provider, error.status, error.request_id) == (backend.name, status, "req_1")
    assert error.code == (code or "invalid_request_error")
    assert error.transient is transient
    assert "That went wrong." in str(error)
    assert "'input'" in str(error)
    assert len(server.requests) == 1


@both
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "Said it."}}', "Said it."),
        (b'{"error": "Said it."}', "Said it."),
        (b'{"object": "error", "message": "Said it.", "code": 400}', "Said it."),
        (b'{"detail": "Said it."}', "Said it."),
        (b'[{"error": {"message": "Said it."}}]', "Said it."),
        (b'{"error": {"message": null}}', "message"),
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>"),
        (b"", "empty"),
        (b"null", "empty"),
        (b"\xff\xfe", "�"),
    ],
)
def test_an_error_body_of_any_shape_is_quoted(
    server: WireServer, backend: Backend, body: bytes, words: str
) -> None:
    """Servers and the proxies before them say their errors in many ways."""
    server.script(Answer([body], 502, {"content-type": "text/html"}))
    with pytest.raises(ServerError, match=words):
        talk(backend, "send", at(server))


@both
def test_a_long_error_page_is_cut_short(server: WireServer, backend: Backend) -> None:
    """A message stays readable whatever a proxy sends."""
    server.script(Answer([b"<html>" + b"x" * 100_000], 502))
    with pytest.raises(ServerError) as caught:
        talk(backend, "send", at(server))

    assert len(str(caught.value)) < 700


@both
@every_mode
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_read(
    server: WireServer, backend: Backend, mode: str, headers: dict[str, str], seconds: float | None
) -> None:
    """In seconds, in milliseconds, or as a date."""
    server.script(json_answer({"error": {"message": "Slow down."}}, status=429, **headers))
    with pytest.raises(RateLimitError) as caught:
        talk(backend, mode, at(server))

    assert caught.value.retry_after == seconds


def test_a_server_without_responses_is_told_from_an_unknown_model(server: WireServer) -> None:
    """The first error names the other route, the second the setting."""
    for answer in (
        json_answer({"detail": "Not Found"}, status=404),
        Answer([b"<html>nginx</html>"], 405),
        json_answer({"error": {"message": "unsupported endpoint", "code": 501}}, status=501),
    ):
        server.script(answer)
        with pytest.raises(ProviderError, match=r"no Responses API.*openai-chat:NAME"):
            talk(RESPONSES, "send", at(server))

    server.script(says.failure(404, "The model `m` does not exist.", code="model_not_found"))
    with pytest.raises(ModelNotFoundError, match="check `model`") as caught:
        talk(RESPONSES, "send", at(server))
    assert "openai-chat" not in str(caught.value)


def test_a_wrong_address_of_chat_names_the_setting(server: WireServer) -> None:
    """A 404 that is not about the model is most often a missing `/v1`."""
    server.script(json_answer({"detail": "Not Found"}, status=404))
    with pytest.raises(ModelNotFoundError, match=r"check `base_url`, which usually ends in /v1"):
        talk(CHAT, "send", at(server, base_url=server.url))


# --- a good status and no answer ----------------------------------------------------------------------


@both
@whole
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (HTML, "text/html"),
        (b"", "text/plain"),
        (b"null", "application/json"),
        (b"[]", "application/json"),
        (b'"text"', "application/json"),
        (b'{"id": "half', "application/json"),
        (b"\xff\xfe\x00", "application/octet-stream"),
        (b'data: {"type": "response.created"}\n\n', "text/event-stream"),
    ],
)
def test_a_foreign_body_is_a_bad_reply(
    server: WireServer, backend: Backend, mode: str, content: bytes, kind: str
) -> None:
    """The error says what kind of body came, how it begins, and what to ask support about."""
    server.script(Answer([content], headers={"content-type": kind, "x-request-id": "req_9"}))
    with pytest.raises(BadReplyError) as caught:
        talk(backend, mode, at(server))

    assert kind in str(caught.value)
    assert (caught.value.status, caught.value.request_id) == (200, "req_9")
    assert (repr(content[:20].decode()[:6])[1:-1] if content.isascii() else "�") in str(caught.value)


@both
@whole
def test_an_empty_object_is_a_bad_reply(server: WireServer, backend: Backend, mode: str) -> None:
    """JSON of another shape does not pass for an empty answer."""
    server.script(json_answer({}))
    with pytest.raises(BadReplyError):
        talk(backend, mode, at(server))


@both
@every_mode
def test_an_error_object_under_a_good_status_is_that_error(
    server: WireServer, backend: Backend, mode: str
) -> None:
    """Gateways answer 200 and put the failure inside, to a request for a stream too."""
    server.script(json_answer({"error": {"message": "Quota is spent.", "code": "insufficient_quota"}}))
    with pytest.raises(RateLimitError, match=r"Quota is spent\.") as caught:
        talk(backend, mode, at(server))

    assert not caught.value.transient


@both
@streamed
@pytest.mark.parametrize(
    "answer",
    [
        Answer([HTML], headers={"content-type": "text/html"}),
        Answer([b""], headers={"content-type": "text/event-stream"}),
        Answer([b": ping\n\n"], headers={"content-type": "text/event-stream"}),
        Answer([b"data: {broken\n\n"], headers={"content-type": "text/event-stream"}),
        Answer([b"data: 3\n\n"], headers={"content-type": "text/event-stream"}),
        json_answer({"id": "whole"}),
        Answer([HTML], headers={"content-type": "application/json"}),
    ],
    ids=["html", "empty", "pings", "broken json", "a number", "whole", "html as json"],
)
def test_a_foreign_stream_is_a_bad_reply(
    server: WireServer, backend: Backend, mode: str, answer: Answer
) -> None:
    """No silence and no half reply where the stream is none."""
    server.script(answer)
    with pytest.raises(BadReplyError):
        talk(backend, mode, at(server))


@both
@streamed
def test_a_stream_that_stops_cleanly_but_early_is_a_bad_reply(
    server: WireServer, backend: Backend, mode: str
) -> None:
    """Only the terminal event proves that all has come."""
    answer = good(backend, mode)
    keep = len(answer.body) - (1 if backend is RESPONSES else 3)
    answer.body = answer.body[:keep]
    server.script(answer)
    with pytest.raises(BadReplyError, match="ended"):
        talk(backend, mode, at(server))


@both
@streamed
def test_an_error_in_the_middle_of_a_stream_is_that_error(
    server: WireServer, backend: Backend, mode: str
) -> None:
    """It is raised at its place, with what the server said."""
    answer = good(backend, mode)
    error = sse([{"type": "error", "error": {"message": "Overloaded.", "code": 503}}])
    answer.body = [*answer.body[:4], *error.body]
    server.script(answer)
    with pytest.raises(ServerError, match=r"Overloaded\.") as caught:
        talk(backend, mode, at(server))

    assert (caught.value.status, caught.value.transient) == (503, True)


# --- connections --------------------------------------------------------------------------------------


@both
@every_mode
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("place", ["before", "length", "chunked"])
def test_a_connection_that_breaks_is_a_connection_error(
    server: WireServer, backend: Backend, mode: str, reset: bool, place: str
) -> None:
    """Before the answer and inside of it, by reset or by a close that comes too soon."""
    answer = good(backend, mode)
    if place == "before":
        answer.before = Cut(reset)
    else:
        answer.framing, answer.length = ("length", 100_000) if place == "length" else ("chunked", None)
        answer.body = [answer.body[0], Cut(reset)]
    server.script(answer)
    with pytest.raises(ProviderConnectionError) as caught:
        talk(backend, mode, at(server))

    assert caught.value.transient
    assert not isinstance(caught.value, ProviderTimeoutError)


@both
@every_mode
@pytest.mark.parametrize("place", ["before", "body"])
def test_a_server_that_stalls_is_a_timeout(
    server: WireServer, backend: Backend, mode: str, place: str
) -> None:
    """`timeout` bounds the wait for the headers and for each part of the body."""
    answer, gate = good(backend, mode), Gate()
    answer.before = gate if place == "before" else None
    answer.body = answer.body if place == "before" else [answer.body[0][:9], gate]
    answer.framing = "chunked"
    server.always = lambda _: answer
    for limit in limits(lambda: server.requests):
        with pytest.raises(ProviderTimeoutError, match="timeout"):
            talk(backend, mode, at(server, timeout=limit))


@both
@every_mode
def test_nobody_at_the_address_is_a_connection_error(backend: Backend, mode: str) -> None:
    """A refused connection says so, and is worth another try."""
    gone = WireServer()
    gone.stop()
    with pytest.raises(ProviderConnectionError, match="no connection") as caught:
        talk(backend, mode, at(gone))

    assert caught.value.transient


@both
@whole
def test_a_body_that_cannot_be_decoded_is_a_bad_reply(
    server: WireServer, backend: Backend, mode: str
) -> None:
    """A broken compression is the server's fault."""
    answer = Answer([b"no gzip"], headers={"content-type": "application/json", "content-encoding": "gzip"})
    server.script(answer)
    with pytest.raises(BadReplyError, match="decoded"):
        talk(backend, mode, at(server))


@both
def test_something_that_speaks_no_http_is_a_connection_error(server: WireServer, backend: Backend) -> None:
    """A wrong port answers in another language."""
    server.script(Answer(raw=[b"220 mail.example ESMTP\r\n"]))
    with pytest.raises(ProviderConnectionError):
        talk(backend, "send", at(server))
