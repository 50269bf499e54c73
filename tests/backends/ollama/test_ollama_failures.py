"""Ollama through httpx, against a server that fails, lies, hangs up or is not there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kit.patience import limits
from kit.talking import MODES, STREAMED, WHOLE, talk
from kit.wire import Answer, Cut, Gate, WireServer, dripping, json_answer
from kit.wire import ollama as says

from alloy import ask
from alloy.backends.ollama.chat import OllamaBackend
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
from alloy.messages import Endpoint, OutputSchema, Request, User

BACKEND = OllamaBackend()
BODY = BACKEND.encode(Request("llama3.2", (User("Hello"),)))

every_mode = pytest.mark.parametrize("mode", MODES)
whole = pytest.mark.parametrize("mode", WHOLE)
streamed = pytest.mark.parametrize("mode", STREAMED)


def at(server: WireServer, **more: Any) -> Endpoint:
    return Endpoint(**{"base_url": server.url, "timeout": 20.0, **more})


def good(mode: str, **fields: Any) -> Answer:
    made = says.answer(**{"text": "Hello", **fields})
    return says.reply(made) if mode in WHOLE else says.stream(made)


# --- statuses -----------------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize(
    ("status", "kind", "transient"),
    [
        (400, BadRequestError, False),
        (401, AuthenticationError, False),
        (403, AuthenticationError, False),
        (408, ProviderTimeoutError, True),
        (413, BadRequestError, False),
        (429, RateLimitError, True),
        (499, BadRequestError, False),
        (500, ServerError, True),
        (502, ServerError, True),
        (503, ServerError, True),
    ],
)
def test_a_status_is_its_error(
    server: WireServer, mode: str, status: int, kind: type[ProviderError], transient: bool
) -> None:
    """The error carries the server's words and how long it wants to be left alone."""
    server.script(says.failure(status, "That went wrong.", retry_after="7"))
    with pytest.raises(kind, match=r"ollama: That went wrong\.") as caught:
        talk(BACKEND, mode, at(server), BODY)

    error = caught.value
    assert type(error) is kind
    assert (error.provider, error.status, error.retry_after) == ("ollama", status, 7.0)
    assert error.transient is transient
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": "Said it."}', "Said it."),
        (b'{"error": {"message": "Said it.", "type": "api_error"}}', "Said it."),
        (b'{"message": "Said it."}', "Said it."),
        (b'["Said it."]', "Said it."),
        (b'"Said it."', "Said it."),
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>"),
        (b"", "empty"),
        (b"null", "empty"),
        (b'{"error": ""}', "empty"),
        (b"\xff\xfe", "�"),
    ],
)
def test_an_error_body_of_any_shape_is_quoted(server: WireServer, body: bytes, words: str) -> None:
    """Lists and strings too, on which the SDK fails itself."""
    server.script(Answer([body], 502, {"content-type": "text/html"}))
    with pytest.raises(ServerError, match=words):
        talk(BACKEND, "send", at(server), BODY)


def test_a_long_error_page_is_cut_short(server: WireServer) -> None:
    """A message stays readable whatever a proxy sends."""
    server.script(Answer([b"<html>" + b"x" * 100_000], 502))
    with pytest.raises(ServerError) as caught:
        talk(BACKEND, "send", at(server), BODY)

    assert len(str(caught.value)) < 700


@every_mode
@pytest.mark.parametrize(
    "words",
    [
        "model 'llama3.2:3b' not found",
        'model "llama3.2:3b" not found, try pulling it first',
        "Model 'llama3.2:3b' not found",
    ],
)
def test_a_missing_model_comes_with_the_command_that_gets_it(
    server: WireServer, mode: str, words: str
) -> None:
    """In the words of newer and of older servers."""
    server.script(says.failure(404, words))
    with pytest.raises(ModelNotFoundError, match=r"`ollama pull llama3\.2:3b`") as caught:
        talk(BACKEND, mode, at(server), BODY)

    assert caught.value.status == 404


def test_a_missing_model_is_named_to_the_user(server: WireServer) -> None:
    """Through the whole machine, and without a second try."""
    server.script(says.failure(404, "model 'nope' not found"))
    with pytest.raises(ModelNotFoundError, match="`ollama pull nope`"):
        ask("Hello", model="ollama:nope", base_url=server.url)


@every_mode
@pytest.mark.parametrize(
    "answer",
    [
        Answer([b"404 page not found"], 404, {"content-type": "text/plain"}),
        json_answer({"detail": "Not Found"}, status=404),
        Answer([b"<html>nginx</html>"], 404, {"content-type": "text/html"}),
    ],
)
def test_a_wrong_address_names_the_settings(server: WireServer, mode: str, answer: Answer) -> None:
    """And the other route, for a server that only speaks OpenAI's API."""
    server.script(answer)
    with pytest.raises(ModelNotFoundError, match=r"OLLAMA_HOST or base_url.*openai-chat:NAME") as caught:
        talk(BACKEND, mode, at(server, base_url=f"{server.url}/v1"), BODY)

    assert f"{server.url}/v1" in str(caught.value)
    assert "pull" not in str(caught.value)


@every_mode
@pytest.mark.parametrize(
    ("status", "words", "feature"),
    [
        (400, "registry.ollama.ai/library/gemma3:4b does not support tools", "tools"),
        (400, '"gemma3" does not support tools.', "tools"),
        (500, "invalid JSON schema in format", "output"),
        (500, "failed to load model vocabulary required for format", "output"),
        (400, "model does not support structured outputs", "output"),
    ],
)
def test_what_a_model_lacks_is_told_by_the_tail(
    server: WireServer, mode: str, status: int, words: str, feature: str
) -> None:
    """The name before it may hold anything."""
    server.script(says.failure(status, words))
    with pytest.raises(UnsupportedError, match=words.split()[-1]) as caught:
        talk(BACKEND, mode, at(server), BODY)

    assert (caught.value.feature, caught.value.status, caught.value.transient) == (feature, status, False)


def test_a_model_named_after_a_refusal_is_none(server: WireServer) -> None:
    """Only the end of the message counts."""
    server.script(says.failure(400, "model does not support tools-v2 is an invalid name"))
    with pytest.raises(BadRequestError) as caught:
        talk(BACKEND, "send", at(server), BODY)

    assert type(caught.value) is BadRequestError


def test_a_model_that_does_not_think_names_the_setting(server: WireServer) -> None:
    """Where the server had no list of what it can."""
    server.script(Answer([b"404"], 404), says.failure(400, '"llama3.2" does not support thinking'))
    with pytest.raises(BadRequestError, match="leave reasoning_effort out"):
        talk(OllamaBackend(), "send", at(server), {**BODY, "think": True})


def test_a_schema_that_the_server_cannot_use_is_put_in_words(server: WireServer) -> None:
    """The call goes on without `format`, and the model is told the shape."""
    server.script(says.failure(500, "invalid JSON schema in format"), good("send", text='{"value": 3}'))
    assert ask("Hello", model="ollama:m", base_url=f"{server.url}/words", output=int, retry=0) == 3

    first, second = (request.json for request in server.requests)
    assert "format" in first
    assert "format" not in second


def test_a_busy_server_is_tried_again(server: WireServer) -> None:
    """Its 503 is transient."""
    busy = says.failure(503, "server busy, please try again.  maximum pending requests exceeded")
    server.script(busy, good("send"))

    assert ask("Hello", model="ollama:llama3.2", base_url=server.url, retry=1) == "Hello"


# --- a good status and no answer ----------------------------------------------------------------------


@whole
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<html><body>It works!</body></html>", "text/html"),
        (b"Ollama is running", "text/plain"),
        (b"", "text/plain"),
        (b"null", "application/json"),
        (b"[]", "application/json"),
        (b'"text"', "application/json"),
        (b'{"model": "half', "application/json"),
        (b"\xff\xfe\x00", "application/octet-stream"),
        (b'{"done": false}\n{"done": true}\n', "application/x-ndjson"),
    ],
)
def test_a_foreign_body_is_a_bad_reply(server: WireServer, mode: str, content: bytes, kind: str) -> None:
    """The error says what kind of body came and how it begins."""
    server.script(Answer([content], headers={"content-type": kind}))
    with pytest.raises(BadReplyError, match=kind) as caught:
        talk(BACKEND, mode, at(server), BODY)

    assert caught.value.status == 200
    assert (repr(content[:20].decode()[:6])[1:-1] if content.isascii() else "�") in str(caught.value)


@every_mode
@pytest.mark.parametrize("value", [{}, {"id": "chatcmpl-1", "choices": []}, {"done": True}])
def test_json_of_another_shape_is_a_bad_reply(server: WireServer, mode: str, value: Any) -> None:
    """It does not pass for an empty answer."""
    server.script(json_answer(value))
    with pytest.raises(BadReplyError):
        talk(BACKEND, mode, at(server), BODY)


@every_mode
def test_an_error_under_a_good_status_is_that_error(server: WireServer, mode: str) -> None:
    """Whole, or as the first line of a stream."""
    server.script(json_answer({"error": "model runner has unexpectedly stopped"}))
    with pytest.raises(ServerError, match="unexpectedly stopped") as caught:
        talk(BACKEND, mode, at(server), BODY)

    assert caught.value.transient


@streamed
@pytest.mark.parametrize(
    "answer",
    [
        Answer([b"<html>It works!</html>"], headers={"content-type": "text/html"}),
        Answer([b""], headers={"content-type": "application/x-ndjson"}),
        Answer([b"\n\n"], headers={"content-type": "application/x-ndjson"}),
        Answer([b"{broken\n"], headers={"content-type": "application/x-ndjson"}),
        Answer([b"3\n"], headers={"content-type": "application/x-ndjson"}),
        Answer([b'data: {"done": true}\n\n'], headers={"content-type": "text/event-stream"}),
    ],
    ids=["html", "empty", "blank lines", "broken json", "a number", "server-sent events"],
)
def test_a_foreign_stream_is_a_bad_reply(server: WireServer, mode: str, answer: Answer) -> None:
    """No silence and no half reply where the stream is none."""
    server.script(answer)
    with pytest.raises(BadReplyError):
        talk(BACKEND, mode, at(server), BODY)


@streamed
@pytest.mark.parametrize("cut", [1, 10])
def test_a_stream_that_stops_cleanly_but_early_is_a_bad_reply(
    server: WireServer, mode: str, cut: int
) -> None:
    """Between two lines or inside of one: only `done` proves that all has come."""
    answer = good(mode)
    kept = b"".join(step for step in answer.body if isinstance(step, bytes))
    lines = kept.splitlines(keepends=True)
    answer.body = lines[:-1] if cut == 1 else [kept[:-cut]]
    server.script(answer)
    with pytest.raises(BadReplyError, match=r"done|whole"):
        talk(BACKEND, mode, at(server), BODY)


def test_a_stream_that_fails_after_some_text_carries_the_text(server: WireServer) -> None:
    """And is not begun again, for the caller has heard it."""
    answer = good("open")
    answer.body = [answer.body[0], b'{"error": "an error was encountered while running the model"}\n']
    server.script(answer)
    heard: list[str] = []
    with pytest.raises(ServerError, match="while running the model") as caught:
        heard.extend(ask.stream("Hello", model="ollama:llama3.2", base_url=server.url, retry=3))

    assert caught.value.text == "Hel"
    assert len(server.requests) == 1


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
        talk(BACKEND, mode, at(server), BODY)

    assert caught.value.transient
    assert "ollama serve" not in str(caught.value)


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
            talk(BACKEND, mode, at(server, timeout=limit), BODY)


@every_mode
def test_a_body_that_drips_is_a_timeout(server: WireServer, mode: str) -> None:
    """Each byte is in time and the whole is not: the user's `timeout` bounds that too."""
    server.always = lambda _: dripping(good(mode))
    options: dict[str, Any] = {"model": "ollama:m", "base_url": server.url, "retry": 0}
    for limit in limits(lambda: server.requests):
        with pytest.raises(ProviderTimeoutError):
            asked(mode, **options, timeout=limit)


def asked(mode: str, **options: Any) -> str:
    async def heard() -> str:
        async with ask.stream_async("Hello", **options) as stream:
            return "".join([piece async for piece in stream])

    match mode:
        case "send":
            return ask("Hello", **options)
        case "send_async":
            return asyncio.run(ask.async_("Hello", **options))
        case "open":
            return "".join(ask.stream("Hello", **options))
    return asyncio.run(heard())


@every_mode
@pytest.mark.parametrize("named", ["base_url", "OLLAMA_HOST"])
def test_a_server_that_is_not_running_comes_with_the_command(
    mode: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the address that was tried and where it was read from."""
    gone = WireServer()
    gone.stop()
    monkeypatch.setenv("OLLAMA_HOST", gone.url)
    endpoint = Endpoint(base_url=gone.url if named == "base_url" else None, timeout=20)
    with pytest.raises(ProviderConnectionError, match=r"`ollama serve`.*OLLAMA_HOST") as caught:
        talk(BACKEND, mode, endpoint, BODY)

    assert f"{gone.url} ({named})" in str(caught.value)
    assert caught.value.transient


@whole
def test_a_body_that_cannot_be_decoded_is_a_bad_reply(server: WireServer, mode: str) -> None:
    """A broken compression is the server's fault."""
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    server.script(Answer([b"no gzip"], headers=headers))
    with pytest.raises(BadReplyError, match="decoded"):
        talk(BACKEND, mode, at(server), BODY)


def test_something_that_speaks_no_http_is_a_connection_error(server: WireServer) -> None:
    """A wrong port answers in another language."""
    server.script(Answer(raw=[b"220 mail.example ESMTP\r\n"]))
    with pytest.raises(ProviderConnectionError):
        talk(BACKEND, "send", at(server), BODY)


def test_an_error_of_python_is_not_explained() -> None:
    """A bug stays a bug."""
    errors: list[Any] = [ValueError("x"), KeyError("x"), RuntimeError("x"), FileNotFoundError("x")]

    assert [BACKEND.explain(error) for error in errors] == [None] * 4


def test_a_bare_connection_error_is_explained() -> None:
    """As asyncio raises it where httpx did not translate."""
    assert isinstance(BACKEND.explain(ConnectionResetError("x")), ProviderConnectionError)


def test_a_schema_stays_out_of_what_is_not_asked_for() -> None:
    """A plain request has no `format`."""
    asked = Request("m", (User("Hi"),), output=OutputSchema("A", {"type": "object"}))

    assert "format" not in BODY
    assert BACKEND.encode(asked)["format"] == {"type": "object"}
