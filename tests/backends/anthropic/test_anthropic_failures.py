"""Anthropic through the real SDK, against a server that fails, lies or hangs up."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from kit.patience import limits
from kit.talking import KEY, MODES, STREAMED, WHOLE, talk
from kit.talking import at as at_server
from kit.wire import Answer, Cut, Gate, WireServer, json_answer, sse
from kit.wire import anthropic as says

from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.errors import (
    AuthenticationError,
    BadReplyError,
    BadRequestError,
    ConfigurationError,
    ModelNotFoundError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
    UnsupportedError,
)
from alloy.messages import Endpoint, Request, User

CLAUDE = AnthropicBackend()
BODY = CLAUDE.encode(Request("claude-sonnet-4-6", (User("Hello"),)))
HTML = b"<html><body>It works!</body></html>"

every_mode = pytest.mark.parametrize("mode", MODES)
whole = pytest.mark.parametrize("mode", WHOLE)
streamed = pytest.mark.parametrize("mode", STREAMED)


def ask(server: WireServer, mode: str, **settings: Any) -> Any:
    """One request to *server*, whose address ends without a version."""
    return talk(CLAUDE, mode, at_server(server, **{"base_url": server.url, **settings}), BODY)


def good(mode: str, text: str = "Hello") -> Answer:
    """A whole answer, or a stream, that nothing is wrong with."""
    return (says.reply if mode in WHOLE else says.stream)(says.message(text=text))


# --- statuses -----------------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize(
    ("status", "kind", "error", "transient"),
    [
        (400, "invalid_request_error", BadRequestError, False),
        (401, "authentication_error", AuthenticationError, False),
        (402, "billing_error", BadRequestError, False),
        (403, "permission_error", AuthenticationError, False),
        (404, "not_found_error", ModelNotFoundError, False),
        (408, "timeout_error", ProviderTimeoutError, True),
        (409, "conflict_error", BadRequestError, True),
        (413, "request_too_large", BadRequestError, False),
        (422, "invalid_request_error", BadRequestError, False),
        (429, "rate_limit_error", RateLimitError, True),
        (500, "api_error", ServerError, True),
        (503, "api_error", ServerError, True),
        (504, "timeout_error", ServerError, True),
        (529, "overloaded_error", ServerError, True),
    ],
)
def test_a_status_is_its_error(
    server: WireServer, mode: str, status: int, kind: str, error: type[ProviderError], transient: bool
) -> None:
    """The error carries the provider's words and marks, and the SDK does not try again by itself."""
    server.script(says.failure(status, "That went wrong.", kind=kind))
    with pytest.raises(error) as caught:
        ask(server, mode)

    found = caught.value
    assert type(found) is error
    assert (found.provider, found.status, found.request_id) == ("anthropic", status, "req_1")
    assert (found.code, found.transient) == (kind, transient)
    assert "That went wrong." in str(found)
    assert len(server.requests) == 1


def test_the_name_of_a_cause_is_the_code(server: WireServer) -> None:
    """It says more than the type, and the header tells that waiting will not help."""
    server.script(
        says.failure(
            429,
            "Over the limit.",
            kind="rate_limit_error",
            code="enforced_spend_limit_reached",
            x_should_retry="false",
        )
    )
    with pytest.raises(RateLimitError) as caught:
        ask(server, "send")

    assert (caught.value.code, caught.value.transient) == ("enforced_spend_limit_reached", False)


@pytest.mark.parametrize(
    ("status", "said", "advice"),
    [
        (401, "invalid x-api-key", r"ANTHROPIC_API_KEY or configure\(api_key=…\)"),
        (402, "No credit.", "credit"),
        (404, "model: claude-9", "check `model`"),
        (404, "Not Found", r"check `base_url`, which ends without /v1"),
        (413, "Too large.", "send less"),
        (400, "Schema is too complex for compilation", 'output_mode="prompted"'),
    ],
)
def test_an_error_says_what_to_do(server: WireServer, status: int, said: str, advice: str) -> None:
    """Beside the provider's words stands the setting to look at."""
    server.script(says.failure(status, said))
    with pytest.raises(ProviderError, match=advice):
        ask(server, "send")


@pytest.mark.parametrize(
    ("said", "feature"),
    [
        ("'claude-3-haiku' does not support structured outputs.", "output"),
        ("This model does not support output_config.format", "output"),
        ("output_config: Extra inputs are not permitted", "output"),
        ("output_config.format: Extra inputs are not permitted", "output"),
        ("registry.example/tiny does not support tools", "tools"),
        ("This model doesn't support tool use.", "tools"),
        ("tools: Extra inputs are not permitted", "tools"),
    ],
)
def test_a_missing_feature_is_told_from_a_bad_request(server: WireServer, said: str, feature: str) -> None:
    """Then Alloy can stand in for it."""
    server.script(says.failure(400, said))
    with pytest.raises(UnsupportedError) as caught:
        ask(server, "send")

    assert (caught.value.feature, caught.value.status) == (feature, 400)


@pytest.mark.parametrize(
    "said",
    [
        "output_config.format.schema: For 'array' type, property 'minItems' is not supported",
        "output_config.effort: Extra inputs are not permitted",
        "claude-x does not support output_config.format.schema with recursion",
        "tools.0.input_schema: JSON schema is invalid",
        "This model does not support assistant message prefill.",
    ],
)
def test_a_complaint_about_one_request_is_no_missing_feature(server: WireServer, said: str) -> None:
    """What is wrong with one schema says nothing about the model."""
    server.script(says.failure(400, said))
    with pytest.raises(BadRequestError) as caught:
        ask(server, "send")

    assert type(caught.value) is BadRequestError


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "Said it."}}', "Said it."),
        (b'{"error": "Said it."}', "Said it."),
        (b'{"detail": "Said it."}', "Said it."),
        (b'{"error": {"message": null}}', "message"),
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>"),
        (b"", "empty"),
        (b"null", "empty"),
        (b"\xff\xfe", "�"),
    ],
)
def test_an_error_body_of_any_shape_is_quoted(server: WireServer, body: bytes, words: str) -> None:
    """Servers and the proxies before them say their errors in many ways."""
    server.script(Answer([body], 502, {"content-type": "text/html"}))
    with pytest.raises(ServerError, match=words):
        ask(server, "send")


def test_a_long_error_page_is_cut_short(server: WireServer) -> None:
    """A message stays readable whatever a proxy sends."""
    server.script(Answer([b"<html>" + b"x" * 100_000], 502))
    with pytest.raises(ServerError) as caught:
        ask(server, "send")

    assert len(str(caught.value)) < 700


@every_mode
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry_after": "300"}, 300.0), ({"retry_after_ms": "250"}, 0.25), ({"retry_after": "soon"}, None)],
)
def test_how_long_to_wait_is_read(
    server: WireServer, mode: str, headers: dict[str, str], seconds: float | None
) -> None:
    """And not waited for here: the SDK would sleep for as long as it is told."""
    server.script(says.failure(429, "Slow down.", kind="rate_limit_error", **headers))
    with pytest.raises(RateLimitError) as caught:
        ask(server, mode)

    assert caught.value.retry_after == seconds


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
        (b'{"id": "half', "application/json"),
        (b"\xff\xfe\x00", "application/octet-stream"),
        (b'event: ping\ndata: {"type": "ping"}\n\n', "text/event-stream"),
    ],
)
def test_a_foreign_body_is_a_bad_reply(server: WireServer, mode: str, content: bytes, kind: str) -> None:
    """The error says what kind of body came, how it begins, and what to ask support about."""
    server.script(Answer([content], headers={"content-type": kind, "request-id": "req_9"}))
    with pytest.raises(BadReplyError) as caught:
        ask(server, mode)

    assert kind in str(caught.value)
    assert (caught.value.status, caught.value.request_id) == (200, "req_9")
    assert (repr(content[:20].decode()[:6])[1:-1] if content.isascii() else "�") in str(caught.value)


@whole
@pytest.mark.parametrize("body", [{}, {"choices": [{"message": {"content": "Hi"}}]}])
def test_an_answer_of_another_api_is_a_bad_reply(server: WireServer, mode: str, body: Any) -> None:
    """JSON of another shape does not pass for an empty answer."""
    server.script(json_answer(body))
    with pytest.raises(BadReplyError):
        ask(server, mode)


@every_mode
def test_an_error_object_under_a_good_status_is_that_error(server: WireServer, mode: str) -> None:
    """Gateways answer 200 and put the failure inside, to a request for a stream too."""
    server.script(says.failure(200, "Too many.", kind="rate_limit_error"))
    with pytest.raises(RateLimitError, match=r"Too many\.") as caught:
        ask(server, mode)

    assert (caught.value.status, caught.value.request_id) == (None, "req_1")


@streamed
@pytest.mark.parametrize(
    "answer",
    [
        Answer([HTML], headers={"content-type": "text/html"}),
        Answer([b""], headers={"content-type": "text/event-stream"}),
        Answer([b": ping\n\n"], headers={"content-type": "text/event-stream"}),
        Answer([b"data: {broken\n\n"], headers={"content-type": "text/event-stream"}),
        Answer([b"data: 3\n\n"], headers={"content-type": "text/event-stream"}),
        json_answer(says.message(text="whole")),
        Answer([HTML], headers={"content-type": "application/json"}),
    ],
    ids=["html", "empty", "pings", "broken json", "a number", "whole", "html as json"],
)
def test_a_foreign_stream_is_a_bad_reply(server: WireServer, mode: str, answer: Answer) -> None:
    """No silence and no half reply where the stream is none."""
    server.script(answer)
    with pytest.raises(BadReplyError):
        ask(server, mode)


@streamed
@pytest.mark.parametrize("missing", [1, 2, 5])
def test_a_stream_that_stops_cleanly_but_early_is_a_bad_reply(
    server: WireServer, mode: str, missing: int
) -> None:
    """Only the terminal event proves that all has come."""
    answer = good(mode)
    answer.body = answer.body[:-missing]
    server.script(answer)
    with pytest.raises(BadReplyError, match="ended"):
        ask(server, mode)


@streamed
def test_an_error_in_the_middle_of_a_stream_is_told_by_its_type(server: WireServer, mode: str) -> None:
    """It is raised at its place, with what the server said; the status was 200 long before."""
    answer = good(mode)
    error = sse([says.error("overloaded_error", "Overloaded.")])
    answer.body = [*answer.body[:4], *error.body]
    server.script(answer)
    with pytest.raises(ServerError, match=r"Overloaded\.") as caught:
        ask(server, mode)

    assert (caught.value.transient, caught.value.code) == (True, "overloaded_error")
    assert (caught.value.status, caught.value.request_id) == (None, "req_1")


# --- connections --------------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("place", ["before", "length", "chunked"])
def test_a_connection_that_breaks_is_a_connection_error(
    server: WireServer, mode: str, reset: bool, place: str
) -> None:
    """Before the answer and inside of it, by reset or by a close that comes too soon."""
    answer = good(mode)
    if place == "before":
        answer.before = Cut(reset)
    else:
        answer.framing, answer.length = ("length", 100_000) if place == "length" else ("chunked", None)
        answer.body = [answer.body[0], Cut(reset)]
    server.script(answer)
    with pytest.raises(ProviderConnectionError) as caught:
        ask(server, mode)

    assert caught.value.transient
    assert not isinstance(caught.value, ProviderTimeoutError)


@every_mode
@pytest.mark.parametrize("place", ["before", "body"])
def test_a_server_that_stalls_is_a_timeout(server: WireServer, mode: str, place: str) -> None:
    """`timeout` bounds the wait for the headers and for each part of the body."""
    answer, gate = good(mode), Gate()
    answer.before = gate if place == "before" else None
    answer.body = answer.body if place == "before" else [answer.body[0][:9], gate]
    answer.framing = "chunked"
    server.always = lambda _: answer
    for limit in limits(lambda: server.requests):
        with pytest.raises(ProviderTimeoutError, match="timeout"):
            ask(server, mode, timeout=limit)


@every_mode
def test_nobody_at_the_address_is_a_connection_error(mode: str) -> None:
    """A refused connection says so, and is worth another try."""
    gone = WireServer()
    gone.stop()
    with pytest.raises(ProviderConnectionError, match="no connection") as caught:
        ask(gone, mode)

    assert caught.value.transient


@whole
def test_a_body_that_cannot_be_decoded_is_a_bad_reply(server: WireServer, mode: str) -> None:
    """A broken compression is the server's fault."""
    answer = Answer([b"no gzip"], headers={"content-type": "application/json", "content-encoding": "gzip"})
    server.script(answer)
    with pytest.raises(BadReplyError, match="decoded"):
        ask(server, mode)


# --- settings and secrets -----------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize("shape", ["json", "html", "200", "error in 200"])
def test_the_key_is_in_no_error(server: WireServer, mode: str, shape: str) -> None:
    """Not whole and not masked, in no message, no attribute and no traceback, whatever a server repeats."""
    said = f"invalid x-api-key {KEY}, or sk-ant-**********7890."
    answers = {
        "json": says.failure(401, said, kind="authentication_error"),
        "html": Answer([f"<p>{said}</p>".encode()], 401, {"content-type": "text/html"}),
        "200": Answer([f"<p>{said}</p>".encode()], 200, {"content-type": "text/html"}),
        "error in 200": says.failure(200, said, kind="authentication_error"),
    }
    server.script(answers[shape])
    with pytest.raises(ProviderError) as caught:
        ask(server, mode)

    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(vars(caught.value))
    assert KEY not in shown
    assert "7890" not in shown
    assert "invalid x-api-key [key]" in shown


@every_mode
def test_no_key_is_a_configuration_error(mode: str) -> None:
    """It names the variable, the setting and the way to run without one."""
    with pytest.raises(
        ConfigurationError, match=r"ANTHROPIC_API_KEY.*configure\(api_key=…\).*ALLOY_BACKEND=fake"
    ):
        talk(CLAUDE, mode, Endpoint(), BODY)


@pytest.mark.parametrize("key", ["sk-1\n", "sk 1", "sk-\u00e9", "sk-\x00"])
def test_a_key_that_no_header_can_carry_is_refused(server: WireServer, key: str) -> None:
    """A line end from a file is named as what it may be; the key itself is not shown."""
    with pytest.raises(ConfigurationError, match="a space, a line end") as caught:
        ask(server, "send", api_key=key)

    assert key.strip() not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "/v1"])
def test_an_address_without_its_scheme_is_refused(url: str) -> None:
    """The error shows what an address looks like."""
    with pytest.raises(ConfigurationError, match="http://"):
        talk(CLAUDE, "send", Endpoint(base_url=url, api_key=KEY), BODY)


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the key nor headers, which may hold one."""
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-secret: 123")

    assert repr(CLAUDE.settings(Endpoint(api_key=KEY))) == "Settings(base_url='https://api.anthropic.com')"


def test_an_error_of_python_is_not_explained() -> None:
    """A bug stays a bug."""
    errors: list[Any] = [ValueError("x"), KeyError("x"), RuntimeError("x"), FileNotFoundError("x")]

    assert [CLAUDE.explain(error) for error in errors] == [None] * 4


@every_mode
def test_what_the_sdk_refuses_is_a_configuration_error(
    server: WireServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a header of the environment that no request can carry."""
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-team: caf\udce9")
    with pytest.raises(ConfigurationError, match=r"^anthropic: .*can't encode character"):
        ask(server, mode)

    assert server.requests == []
