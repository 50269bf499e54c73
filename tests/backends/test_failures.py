"""All HTTP backends through their real SDKs, against a server that fails, stalls or hangs up."""

from __future__ import annotations

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
    every_api,
    every_mode,
    whole_modes,
)
from kit.patience import limits
from kit.wire import Answer, Cut, Gate, WireServer, dripping

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

# --- statuses -----------------------------------------------------------------------------------------

STATUSES: dict[int, tuple[type[ProviderError], bool]] = {  # the error, and whether a retry can help
    400: (BadRequestError, False),
    401: (AuthenticationError, False),
    402: (BadRequestError, False),
    403: (AuthenticationError, False),
    404: (ModelNotFoundError, False),
    408: (ProviderTimeoutError, True),
    409: (BadRequestError, True),
    413: (BadRequestError, False),
    422: (BadRequestError, False),
    429: (RateLimitError, True),
    499: (BadRequestError, False),
    500: (ServerError, True),
    501: (ServerError, False),
    502: (ServerError, True),
    503: (ServerError, True),
    504: (ServerError, True),
    529: (ServerError, True),
}

OPENAI_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
CODES: dict[Api, dict[int, str]] = {  # what the provider calls the error
    RESPONSES: OPENAI_CODES,
    CHAT: OPENAI_CODES,
    ANTHROPIC: {
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        408: "timeout_error",
        409: "conflict_error",
        413: "request_too_large",
        429: "rate_limit_error",
        500: "api_error",
        503: "api_error",
        504: "timeout_error",
        529: "overloaded_error",
    },
    GEMINI: {
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        408: "DEADLINE_EXCEEDED",
        409: "ABORTED",
        429: "RESOURCE_EXHAUSTED",
        499: "CANCELLED",
        500: "INTERNAL",
        501: "UNIMPLEMENTED",
        503: "UNAVAILABLE",
        504: "DEADLINE_EXCEEDED",
        529: "OVERLOADED",
    },
    OLLAMA: {},
    OLLAMA_CHAT: OPENAI_CODES,
}
OTHER_CODE = {GEMINI: "INVALID_ARGUMENT", OLLAMA: None}


@every_api
@every_mode
@pytest.mark.parametrize("status", STATUSES)
def test_a_status_is_its_error(server: WireServer, api: Api, mode: str, status: int) -> None:
    """The error has the provider's message, code and request id, and the SDK does not retry by itself."""
    kind, transient = STATUSES[status]
    answer = api.failure(status, "That went wrong.", CODES[api].get(status))
    answer.headers["retry-after"] = "7"
    server.script(answer)
    with pytest.raises(kind, match=rf"{api.name}: That went wrong\.") as caught:
        api.talk(mode, server)

    error = caught.value
    assert type(error) is kind
    assert (error.provider, error.status, error.transient) == (api.name, status, transient)
    assert error.retry_after == 7.0
    assert error.request_id == (None if api is OLLAMA else "req_1")
    assert error.code == CODES[api].get(status, OTHER_CODE.get(api, "invalid_request_error"))
    assert ("'input'" in str(error)) == (api in (RESPONSES, CHAT, OLLAMA_CHAT))
    assert len(server.requests) == 1


@every_api
@every_mode
@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        (b'{"error": {"message": "It broke."}}', "It broke."),
        (b'{"error": {"message": "It broke.", "type": "api_error"}}', "It broke."),
        (b'{"error": "It broke."}', "It broke."),
        (b'{"object": "error", "message": "It broke.", "code": 400}', "It broke."),
        (b'{"message": "It broke."}', "It broke."),
        (b'{"detail": "It broke."}', "It broke."),
        (b'[{"error": {"message": "It broke."}}]', "It broke."),
        (b'["It broke."]', "It broke."),
        (b'"It broke."', "It broke."),
        (b'{"error": {"message": null}}', "message"),
        (b'{"error": {"message": null, "details": "x"}}', "message"),
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>"),
        (b"", "empty text/html"),
        (b"null", "empty"),
        (b'{"error": ""}', "empty"),
        (b"\xff\xfe", "�"),
    ],
)
def test_an_error_body_of_any_format_is_quoted(
    server: WireServer, api: Api, mode: str, body: bytes, quoted: str
) -> None:
    """Servers, and the proxies in front of them, write errors in many ways."""
    server.script(Answer([body], 502, {"content-type": "text/html"}))
    with pytest.raises(ServerError, match=quoted):
        api.talk(mode, server)


@every_api
def test_a_long_error_page_is_cut_short(server: WireServer, api: Api) -> None:
    """A message stays readable whatever a proxy sends."""
    server.script(Answer([b"<html>" + b"x" * 100_000], 502))
    with pytest.raises(ServerError) as caught:
        api.talk("send", server)

    assert len(str(caught.value)) < 700


@every_api
@every_mode
@pytest.mark.parametrize("status", [204, 206, 304])
def test_a_status_without_an_answer_is_a_bad_reply(
    server: WireServer, api: Api, mode: str, status: int
) -> None:
    """Only 200 is an answer."""
    server.script(Answer([], status))
    with pytest.raises(BadReplyError, match=f"status {status}"):
        api.talk(mode, server)


@every_api
@every_mode
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "300"}, 300.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_time_to_wait_is_read_from_the_headers(
    server: WireServer, api: Api, mode: str, headers: dict[str, str], seconds: float | None
) -> None:
    """In seconds, in milliseconds, or as a date; the SDK, which would sleep for that long, does not."""
    answer = api.failure(429, "Slow down.", CODES[api].get(429))
    answer.headers |= headers
    server.script(answer)
    with pytest.raises(RateLimitError) as caught:
        api.talk(mode, server)

    assert (caught.value.retry_after, caught.value.transient) == (seconds, True)


# --- connections --------------------------------------------------------------------------------------


@every_api
@every_mode
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("place", ["before", "length", "chunked"])
def test_a_connection_that_breaks_is_a_connection_error(
    server: WireServer, api: Api, mode: str, reset: bool, place: str
) -> None:
    """Before the answer and inside it, by a reset or by a close that comes too early."""
    answer = api.answer(mode)
    if place == "before":
        answer.before = Cut(reset)
    else:
        answer.framing, answer.length = ("length", 100_000) if place == "length" else ("chunked", None)
        answer.body = [answer.body[0], Cut(reset)]
    server.script(answer)
    with pytest.raises(ProviderConnectionError) as caught:
        api.talk(mode, server)

    assert caught.value.transient
    assert not isinstance(caught.value, ProviderTimeoutError)
    assert "ollama serve" not in str(caught.value)  # it runs


@every_api
@every_mode
@pytest.mark.parametrize("place", ["before", "body", "error"])
def test_a_server_that_stalls_is_a_timeout(server: WireServer, api: Api, mode: str, place: str) -> None:
    """`timeout` bounds the wait for the headers and for each part of the body, an error's too."""
    answer, gate = api.answer(mode), Gate()
    answer.before = gate if place == "before" else None
    answer.body = answer.body if place == "before" else [answer.body[0][:9], gate]  # type: ignore[index]
    answer.framing, answer.status = "chunked", 500 if place == "error" else 200
    server.always = lambda _: answer
    for limit in limits(lambda: server.requests):
        with pytest.raises(ProviderTimeoutError) as caught:
            api.talk(mode, server, timeout=limit)

    assert "timeout" in str(caught.value)  # of the last call, which came as far as the server


@every_api
@every_mode
def test_a_body_that_comes_byte_by_byte_is_a_timeout(server: WireServer, api: Api, mode: str) -> None:
    """Each byte is in time and the whole is not: the user's `timeout` bounds that too."""
    server.always = lambda _: dripping(api.answer(mode))
    for limit in limits(lambda: server.requests):
        with pytest.raises(ProviderTimeoutError):
            api.ask(mode, server, timeout=limit)


@every_api
@every_mode
def test_a_refused_connection_is_a_connection_error(
    server: WireServer, nobody: str, api: Api, mode: str
) -> None:
    """A retry may help."""
    with pytest.raises(ProviderConnectionError, match=r"no connection|`ollama serve`") as caught:
        api.talk(mode, server, base_url=nobody + api.base)

    assert ("ollama serve" in str(caught.value)) == (api in (OLLAMA, OLLAMA_CHAT))
    assert caught.value.transient


@every_api
@whole_modes
def test_a_body_that_cannot_be_decompressed_is_a_bad_reply(server: WireServer, api: Api, mode: str) -> None:
    """Broken compression is the server's error."""
    answer = Answer([b"no gzip"], headers={"content-type": "application/json", "content-encoding": "gzip"})
    server.script(answer)
    with pytest.raises(BadReplyError, match="decoded"):
        api.talk(mode, server)


@every_api
def test_a_server_of_another_protocol_is_a_connection_error(server: WireServer, api: Api) -> None:
    """A wrong port may belong to a mail server."""
    server.script(Answer(raw=[b"220 mail.example ESMTP\r\n"]))
    with pytest.raises(ProviderConnectionError):
        api.talk("send", server)


@every_api
def test_errors_of_python_are_not_explained(api: Api) -> None:
    """A bug stays a bug; an error of a socket, which asyncio can raise bare, is one of the connection."""
    errors: list[Any] = [ValueError("x"), KeyError("x"), RuntimeError("x"), FileNotFoundError("x")]

    assert [api.backend.explain(error) for error in errors] == [None] * 4
    assert isinstance(api.backend.explain(ConnectionResetError("x")), ProviderConnectionError)
