"""No secret of a call is in anything that can be reached from its error, its events or its log records.

Every place where a secret can be set, times every place where a server can repeat it, in every form.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from kit.apis import ANTHROPIC, CHAT, GEMINI, OLLAMA, RESPONSES, Api, every_api, every_mode
from kit.walking import parts_of, texts_of
from kit.wire import Answer, WireServer, json_answer, sse
from kit.wire.proxy import Proxy

import alloy.telemetry
from alloy import AlloyError, Conversation, ProviderError, Transport, ask, use_config
from alloy.backends.http.redaction import Redactor, clean, release
from alloy.config import current
from alloy.endpoints import Endpoint
from alloy.excerpts import excerpt

# Not written out: a traceback shows the lines of this test as well.
SECRET = f"qzj-{9**24}-Qx"  # not a word: tracebacks show the paths of files


# --- where a secret is set ----------------------------------------------------------------------------

Place = Callable[[Api, WireServer, pytest.MonkeyPatch], dict[str, Any]]


def with_login(api: Api, server: WireServer, login: str) -> dict[str, Any]:
    return {"base_url": server.url.replace("//", f"//{login}@") + api.base}


def in_variable(api: Api, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    patch.setenv(api.variables[1], SECRET)
    return {"api_key": None}


def in_headers_of_the_environment(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name in ("ANTHROPIC_CUSTOM_HEADERS", "OPENAI_CUSTOM_HEADERS"):
        patch.setenv(name, f"x-team: search\nx-gate: {SECRET}")
    return {}


PLACES: dict[str, Place] = {
    "option": lambda *_: {"api_key": SECRET},
    "variable": lambda api, _, patch: in_variable(api, patch),
    "function": lambda *_: {"api_key": lambda: SECRET},
    "password": lambda api, server, _: with_login(api, server, f"alice:{SECRET}"),
    "name": lambda api, server, _: with_login(api, server, f"{SECRET}:none"),
    "query": lambda api, server, _: {"base_url": f"{server.url}{api.base}?subscription-key={SECRET}"},
    "header": lambda *_: {"headers": {"x-team": SECRET}},
    "bearer": lambda *_: {"headers": {"proxy-authorization": f"Bearer {SECRET}"}},
    "header variable": lambda _, __, patch: in_headers_of_the_environment(patch),
    "certificate": lambda *_: {"transport": Transport(client_certificate=("a.pem", "a.key", SECRET))},
}


# --- where and in which form a server repeats it ------------------------------------------------------


def escaped(text: str) -> str:
    """*text* as JSON may write it: every character as an escape."""
    return "".join(f"\\u{ord(character):04x}" for character in text)


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper case": str.upper,
    "in a URL": lambda text: "".join(f"%{ord(character):02X}" for character in text),
    "quoted": quote,
    "JSON": escaped,
    "HTML": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "Base64": lambda text: base64.b64encode(f"bob:{text}".encode()).decode(),
    "masked": lambda text: f"{text[:12]}****{text[-6:]}",
    "repeated": lambda text: f"{text} {text}",
}

FIELDS = ("choices", "output", "content", "candidates", "message", "status", "stop_reason", "done_reason")
HTML = {"content-type": "text/html"}

ECHOES: dict[str, Callable[[str], Answer]] = {
    "message": lambda text: json_answer({"error": {"message": f"no access for {text}!"}}, status=403),
    "code": lambda text: json_answer({"error": {"message": "no", "code": text, "type": text}}, status=400),
    "no message": lambda text: json_answer([{text: {text: [text]}}], status=500),
    "page": lambda text: Answer([f"<p>{text}</p>".encode()], 502, HTML),
    "header": lambda text: json_answer(
        {"error": {"message": "no"}}, status=401, x_request_id=text, request_id=text
    ),
    "wait": lambda text: json_answer({"error": {"message": "no"}}, status=429, retry_after=text),
    "redirect": lambda text: Answer([], 307, {"location": f"http://127.0.0.1:9/{text}?k={text}"}),
    "bad status line": lambda text: Answer(raw=[f"HTTP/1.1 {text} OK\r\n\r\n".encode()]),
    "foreign format": lambda text: json_answer(dict.fromkeys(FIELDS, text)),
    "not JSON": lambda text: Answer([f"Welcome, {text}".encode()], 200, HTML),
    "event": lambda text: Answer(
        [f"data: {json.dumps(dict.fromkeys(FIELDS, text))}\n\n".encode()],
        200,
        {"content-type": "text/event-stream"},
    ),
    "error event": lambda text: sse([{"type": "error", "error": {"message": text}}], named=False),
    "chunks": lambda text: Answer(
        [bytes([byte]) for byte in f'data: {{"error": {{"message": "{text}"}}}}\n\n'.encode()],
        200,
        {"content-type": "text/event-stream"},
        framing="chunked",
    ),
}


class Watched:
    """What a call can show besides its error: the records of the log, and its events."""

    def __init__(self) -> None:
        self.records: list[logging.LogRecord] = []
        self.events: list[Any] = []

    @contextmanager
    def __call__(self, level: int = logging.DEBUG) -> Iterator[Watched]:
        log = logging.getLogger("alloy")
        handler, before = logging.Handler(level), log.level
        handler.emit = self.records.append  # type: ignore[method-assign]
        log.addHandler(handler)
        log.setLevel(level)
        try:
            with use_config(on_event=self.events.append):
                yield self
        finally:
            log.removeHandler(handler)
            log.setLevel(before)

    def shown(self) -> str:
        """All texts in it."""
        lines = [record.getMessage() for record in self.records]
        return texts_of([vars(record) for record in self.records], self.events, lines)


def failed(api: Api, mode: str, server: WireServer, options: dict[str, Any]) -> AlloyError | None:
    """The error of a call."""
    try:
        api.ask(mode, server, **options)
    except AlloyError as error:
        return error
    return None


@every_mode
@every_api
@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_reachable_from_a_failed_call(
    server: WireServer, api: Api, mode: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a server repeats it."""
    if place == "header variable" and api in (GEMINI, OLLAMA):
        pytest.skip("its SDK reads no such variable")
    options = {"retry": 1, "backoff": 0, **PLACES[place](api, server, monkeypatch)}
    monkeypatch.setattr("time.sleep", lambda _: None)
    for name, echo in ECHOES.items():
        server.always = lambda _, echo=echo: echo(f"<{SECRET}>")
        watched = Watched()
        with watched():
            error = failed(api, mode, server, options)
        assert error is not None or name in ("event", "error event", "chunks", "wait"), name
        shown = texts_of(error) + watched.shown()
        assert parts_of(SECRET, shown) == [], name


@every_mode
@every_api
@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_in_a_span(
    server: WireServer, api: Api, mode: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With content, of an answer that repeats it, in every form, and of an error."""
    if place == "header variable" and api in (GEMINI, OLLAMA):
        pytest.skip("its SDK reads no such variable")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = memory.InMemorySpanExporter()
    provider = pytest.importorskip("opentelemetry.sdk.trace").TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    options = {"retry": 0, **PLACES[place](api, server, monkeypatch)}
    answer = api.answer(mode, "The key is " + " ".join(form(SECRET) for form in FORMS.values()))
    is_sent = place != "certificate"  # its files are not there
    if is_sent:
        server.script(answer, ECHOES["message"](SECRET))
    alloy.telemetry.instrument(tracer_provider=provider, content=True)
    try:
        errors = [failed(api, mode, server, options) for _ in range(2)]
    finally:
        alloy.telemetry.uninstrument()
    spans = exporter.get_finished_spans()
    shown = texts_of([[span.name, dict(span.attributes), span.status.description] for span in spans])
    assert [error is None for error in errors] == [is_sent, False]
    assert ("The key is" in shown) == is_sent
    assert len(spans) == 4
    assert parts_of(SECRET.lower(), shown.lower()) == []
    assert [form for form in FORMS.values() if form(SECRET) in shown] == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("api", [RESPONSES, CHAT, ANTHROPIC, OLLAMA], ids=repr)
def test_no_form_of_a_secret_is_shown(server: WireServer, api: Api, form: str) -> None:
    """Also where its body is not decoded: in a page, in a status line."""
    text = FORMS[form](SECRET)
    for echo in ("message", "page", "not JSON", "foreign format"):
        server.script(ECHOES[echo](text))
        error = failed(api, "send", server, {"api_key": SECRET})
        assert isinstance(error, ProviderError)
        assert "[key]" in str(error)
        shown = texts_of(error)
        assert parts_of(SECRET.lower(), shown.lower()) == [] == parts_of(text, shown, 30)


@every_api
def test_a_secret_is_not_shown_in_part_at_any_cut(server: WireServer, api: Api) -> None:
    """Texts are shown up to a length, and a secret may begin at any place before it."""
    foreign = [ECHOES["foreign format"](f"{'.' * size}{SECRET}") for size in range(30, 210, 2)]
    refused = [ECHOES["message"](f"{'.' * size}{SECRET}") for size in range(440, 510)]
    for mode, answer in [*(("open", each) for each in foreign), *(("send", each) for each in refused)]:
        server.script(answer)
        error = failed(api, mode, server, {"api_key": SECRET})
        shown = texts_of(error)
        assert error is not None
        assert parts_of(SECRET, shown) == [] == parts_of(SECRET[:4], shown, 4)


@pytest.mark.parametrize("form", ["plain", "in a URL", "JSON", "HTML", "quoted"])
def test_redaction_at_every_place_of_a_cut(form: str) -> None:
    """In a text, and in a value; half of an escape hides nothing."""
    redact, text = Redactor([SECRET]), FORMS[form](SECRET)
    for size in range(len(text) + 40):
        for shown in (redact(f"{'.' * 40}{text}"[:size] + "…"), redact(excerpt([".." * 20, text], size))):
            assert FORMS[form](SECRET[:4]) not in shown


def test_redaction_is_linear_and_leaves_other_text() -> None:
    """It does not depend on what a text looks like, and removes no more than the secret."""
    redact = Redactor([SECRET, "ollama", "pässwörd…with\\all"])
    assert redact(f"the key {SECRET} is not valid") == "the key [key] is not valid"
    assert redact(f"{SECRET}{SECRET}.") == "[key]."
    assert redact("ollama is not gate-keeping; a 100% \\path\\to \\\\server & more…") == (
        "ollama is not gate-keeping; a 100% \\path\\to \\\\server & more…"
    )
    assert redact('"p\\u00e4ssw\\u00f6rd\\u2026with\\\\all"') == '"[key]"'
    assert redact("key sk-ab***yz, AIzaSyA1234567890abcdefghij, ya29.a0AfH6SMBx") == "key [key], [key], [key]"
    for hostile in ("\\" * 20_000, "%" * 20_000, "&#1" * 7000, "…" * 20_000, SECRET[:7] * 3000, "eyJ" * 7000):
        assert redact(hostile) == hostile


@every_mode
@every_api
def test_a_request_id_that_repeats_the_key_is_not_kept(server: WireServer, api: Api, mode: str) -> None:
    """Of a call that succeeds: its result, its events and its log lines have the id."""
    answer = api.answer(mode)
    for name in ("x-request-id", "request-id"):
        answer.headers[name] = f"id-{SECRET}"
    server.script(answer)
    watched = Watched()
    with watched():
        api.ask(mode, server, api_key=SECRET)
    assert parts_of(SECRET, watched.shown()) == []
    assert watched.events


def test_no_repr_shows_a_secret() -> None:
    """Of an endpoint, of the settings, and of what opens connections."""
    url = f"https://bob:{SECRET}@gate.example/v1?api-key={SECRET}"
    given = Endpoint(url, SECRET, headers=(("x-team", SECRET),), transport=Transport(proxy=url))
    assert repr(given) == "Endpoint(base_url='https://gate.example/v1', timeout=None)"
    settings = {
        "base_url": url,
        "api_key": SECRET,
        "headers": {"x-team": SECRET},
        "transport": Transport(url),
    }
    with use_config(**settings, model=[{"model": "fake:x", **settings}], extra={"openai": {"key": SECRET}}):
        assert parts_of(SECRET, repr(current()) + repr(Conversation()) + repr(ask)) == []


def foreign_error() -> ExceptionGroup[Exception]:
    """An error as a library might raise it: a group, with bodies, a response, and causes of its own."""
    body = SECRET.encode() * 1000
    try:
        body.decode("ascii") + (b"\xff" + body).decode("utf-8")
    except UnicodeDecodeError as error:
        cause = error
    deep: list[Any] = [SECRET]
    for _ in range(500):
        deep = [deep]
    inner = ValueError({"key": [SECRET, (SECRET, 3)], SECRET: None}, deep, "x" * 10**6)
    inner.response = httpx.Response(500, headers={"x-key": SECRET}, content=body)  # type: ignore[attr-defined]
    inner.body = {"text": SECRET * 10_000}  # type: ignore[attr-defined]
    inner.__cause__ = cause
    inner.__context__ = inner
    return ExceptionGroup("all of them", [inner])


def test_errors_of_libraries_are_cleaned_whole() -> None:
    """Their groups, values, bodies and responses, however deep and long."""
    error = foreign_error()
    release(error)
    clean(error, Redactor([SECRET]))
    shown = texts_of(error)
    assert parts_of(SECRET, shown) == []
    assert len(shown) < 500_000
    assert "[key]" in repr(error.exceptions[0])


def test_a_proxy_password_is_not_shown(server: WireServer) -> None:
    """The server behind the proxy repeats it, and so does the proxy of the environment."""
    proxy = Proxy(f"bob:{SECRET}")
    try:
        url = proxy.url.replace("//", f"//bob:{SECRET}@")
        for echo in ("message", "page", "not JSON"):
            server.script(ECHOES[echo](SECRET))
            error = failed(CHAT, "send", server, {"transport": Transport(proxy=url)})
            assert proxy.targets
            assert parts_of(SECRET, texts_of(error)) == []
    finally:
        proxy.stop()


def test_an_error_of_the_caller_is_left_as_it_is(server: WireServer) -> None:
    """It was handled when the call was made, and is the context of the call's error."""
    mine = ValueError(f"mine: {SECRET}")
    mine.request = httpx.Request("GET", server.url, headers={"x-mine": SECRET})  # type: ignore[attr-defined]
    server.script(ECHOES["message"](SECRET))
    try:
        raise mine
    except ValueError:
        error = failed(CHAT, "send", server, {"api_key": SECRET})
    assert error is not None
    assert (str(mine), mine.request.headers["x-mine"]) == (f"mine: {SECRET}", SECRET)  # type: ignore[attr-defined]
