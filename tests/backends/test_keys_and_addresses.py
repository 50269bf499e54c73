"""What all HTTP backends do with keys and addresses: where they are read, and that no error shows a key."""

from __future__ import annotations

import socket
import traceback

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
from kit.talking import KEY
from kit.wire import Answer, WireServer, json_answer, lines, sse
from kit.wire import anthropic as anthropic_format
from kit.wire import openai as openai_format
from kit.wire.proxy import Proxy

from alloy.backends.base import CancelToken
from alloy.backends.http.clients import CLIENTS
from alloy.endpoints import Endpoint, without_credentials
from alloy.errors import (
    AlloyError,
    BadReplyError,
    ConfigurationError,
    ModelNotFoundError,
    ProviderConnectionError,
    ProviderError,
)

# Not written out, because a traceback shows lines of the tests as well.
DIGITS = str(9**24)  # a key of no known form
MASKED = "sk-tes**********7890"


def shown(error: BaseException) -> str:
    """All that a log, a traceback or a debugger shows of *error* and of its causes."""
    parts = traceback.format_exception(error)
    cause: BaseException | None = error
    while cause is not None:
        parts += [repr(cause), repr(vars(cause))]
        cause = cause.__cause__ or (cause.__context__ if cause.__suppress_context__ else None)
    return "".join(parts)


# --- keys in errors -----------------------------------------------------------------------------------


@every_api
@every_mode
@pytest.mark.parametrize("key", [KEY, DIGITS, f"AIza{DIGITS[:9]}"], ids=["sk", "digits", "google"])
@pytest.mark.parametrize("shape", ["json", "html", "200", "error in 200"])
def test_no_error_shows_the_key(server: WireServer, api: Api, mode: str, shape: str, key: str) -> None:
    """In full or masked, in a message, an attribute or a traceback, whatever the server repeats."""
    message = f"No such key: {key}, or {KEY}, or {MASKED}."
    answers = {
        "json": api.failure(401, message, None),
        "html": Answer([f"<p>{message}</p>".encode()], 401, {"content-type": "text/html"}),
        "200": Answer([f"<p>{message}</p>".encode()], 200, {"content-type": "text/html"}),
        "error in 200": api.failure(200, message, None),
    }
    server.script(answers[shape])
    with pytest.raises(ProviderError, match=r"No such key: \[key\]") as caught:
        api.ask(mode, server, api_key=key)

    assert key not in shown(caught.value)
    assert KEY not in shown(caught.value)
    assert "7890" not in shown(caught.value)


REFUSED = f"no such key: {DIGITS}"
FAILED = openai_format.response(status="failed", error={"code": "server_error", "message": REFUSED})
ERROR = {"error": {"message": REFUSED, "code": DIGITS, "status": DIGITS}}
STREAMS: dict[str, tuple[Api, Answer]] = {
    "openai error": (RESPONSES, sse([{"type": "error", "code": DIGITS, "message": REFUSED}])),
    "openai failed": (RESPONSES, sse([{"type": "response.failed", "response": FAILED}])),
    "openai-chat": (CHAT, sse([ERROR])),
    "anthropic": (ANTHROPIC, sse([anthropic_format.error("overloaded_error", REFUSED)])),
    "gemini": (GEMINI, sse([ERROR], named=False)),
    "ollama": (OLLAMA, lines([{"error": REFUSED}])),
    "ollama-chat": (OLLAMA_CHAT, sse([ERROR])),
}


@streamed_modes
@pytest.mark.parametrize("stream", STREAMS)
def test_no_error_of_a_stream_shows_the_key(server: WireServer, stream: str, mode: str) -> None:
    """An event may repeat a key, of whatever form it is."""
    api, answer = STREAMS[stream]
    server.script(answer)
    with pytest.raises(ProviderError, match=r"no such key: \[key\]") as caught:
        api.ask(mode, server, api_key=DIGITS)

    assert DIGITS not in shown(caught.value)


@every_api
@whole_modes
@pytest.mark.parametrize("source", ["option", "environment"])
def test_no_foreign_answer_shows_the_key(
    server: WireServer, monkeypatch: pytest.MonkeyPatch, api: Api, source: str, mode: str
) -> None:
    """A body that is not an answer is quoted without the key, wherever that was read from."""
    if source == "environment":
        monkeypatch.setenv(api.variables[1], DIGITS)
    fields = ("choices", "output", "content", "candidates", "message")
    server.script(json_answer({DIGITS: DIGITS, **dict.fromkeys(fields, DIGITS)}))
    with pytest.raises(ProviderError) as caught:
        api.ask(mode, server, api_key=DIGITS if source == "option" else None)

    assert DIGITS not in shown(caught.value)


@every_api
def test_a_request_id_that_is_the_key_is_removed(server: WireServer, api: Api) -> None:
    """A proxy may put anything into a header."""
    server.script(
        json_answer({"error": {"message": "no"}}, status=500, x_request_id=DIGITS, request_id=DIGITS)
    )
    with pytest.raises(ProviderError) as caught:
        api.ask("send", server, api_key=DIGITS)

    assert DIGITS not in shown(caught.value)


@pytest.mark.parametrize("key", [None, "ollama"])
def test_a_placeholder_for_a_key_is_not_a_secret(server: WireServer, key: str | None) -> None:
    """The advice to run `ollama pull` stays, with the word that Ollama's own pages use for a key too."""
    server.script(openai_format.failure(404, "model 'llama3.2' not found, try ollama pull it"))
    with pytest.raises(
        ProviderError, match=r"^ollama-chat: .*try ollama pull it; get it with `ollama pull llama3\.2`"
    ):
        OLLAMA_CHAT.ask("send", server, api_key=key)


# --- keys ---------------------------------------------------------------------------------------------

WITHOUT_KEY: dict[Api, str] = {
    RESPONSES: r"OPENAI_API_KEY.*configure\(api_key=…\).*ALLOY_BACKEND=fake",
    CHAT: r"OPENAI_API_KEY.*configure\(api_key=…\).*ALLOY_BACKEND=fake",
    ANTHROPIC: r"ANTHROPIC_API_KEY.*configure\(api_key=…\).*ALLOY_BACKEND=fake",
    GEMINI: r"GOOGLE_API_KEY or GEMINI_API_KEY.*configure\(api_key=…\).*ENTERPRISE=true.*ALLOY_BACKEND=fake",
}


@apis(OLLAMA, OLLAMA_CHAT)  # whose servers need no key
@every_mode
def test_a_missing_key_is_a_configuration_error(server: WireServer, api: Api, mode: str) -> None:
    """It names the variable, the setting and how to run without a key."""
    with pytest.raises(ConfigurationError, match=WITHOUT_KEY[api]):
        api.talk(mode, server, base_url=None, api_key=None)


@every_api
@every_mode
@pytest.mark.parametrize("key", ["sk 1", "sk-\u00e9", "sk-\x00", "sk-1\n2", "sk-1\n"])
def test_a_key_that_no_header_can_hold_is_refused(server: WireServer, api: Api, mode: str, key: str) -> None:
    """The error says what may be wrong, such as a line end from a file, and does not show the key."""
    if api is GEMINI and key.endswith("\n"):
        key = "sk-\n1"  # at the end, its SDK removes it
    with pytest.raises(ConfigurationError, match="a space, a line end") as caught:
        api.talk(mode, server, api_key=key)

    assert ("Ollama key" in str(caught.value)) == (api in (OLLAMA, OLLAMA_CHAT))
    assert key.strip() not in str(caught.value)
    assert server.requests == []


@every_api
@every_mode
def test_the_environment_is_read_at_every_call(
    server: WireServer, api: Api, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's own variables apply where nothing is configured, and a change of them counts."""
    url, key = api.variables
    server.script(api.answer(mode), api.answer(mode), api.answer(mode))
    for number in ("one", "two"):
        monkeypatch.setenv(url, f"{server.url}/{number}")
        monkeypatch.setenv(key, f"sk-{number}")
        api.talk(mode, server, base_url=None, api_key=None)
    api.talk(mode, server, base_url=f"{server.url}/three{api.base}", api_key="sk-three")

    assert [request.path.split("/")[1] for request in server.requests] == ["one", "two", "three"]
    assert [api.key_of(request) for request in server.requests] == ["sk-one", "sk-two", "sk-three"]
    assert "sk-two" not in str(server.requests[2].headers)


# --- redirects ----------------------------------------------------------------------------------------


@every_api
@whole_modes
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(server: WireServer, api: Api, status: int, mode: str) -> None:
    """Another host would get the key and the prompt: the error names it, and what to set."""
    target = server.url.replace("127.0.0.1", "localhost")
    secret = target.replace("//", "//user:password@")
    server.script(Answer([], status, {"location": f"{secret}/there?token={DIGITS}"}))
    message = rf"^{api.name}: the server redirects to {target}/there.*`base_url` or {api.variables[0]}"
    with pytest.raises(ProviderError, match=message) as caught:
        api.ask(mode, server, api_key=DIGITS)

    assert caught.value.status == status
    assert not caught.value.transient
    assert len(server.requests) == 1
    assert "password" not in str(caught.value)
    assert DIGITS not in shown(caught.value)


# --- addresses ----------------------------------------------------------------------------------------


@every_api
@whole_modes
def test_an_address_without_a_server_is_named(server: WireServer, api: Api, mode: str) -> None:
    """With the settings to check, and without what comes before its `@`."""
    base_url = f"http://user:password@127.0.0.1:9{api.base}"
    with pytest.raises(ProviderConnectionError) as caught:
        api.ask(mode, server, base_url=base_url, api_key=DIGITS)

    message = str(caught.value)
    assert "http://127.0.0.1:9" in message
    assert "base_url" in message
    assert api.variables[0] in message
    assert "password" not in message


@every_api
@pytest.mark.parametrize("url", ["http://[bad", "http://a b:99999/v1", "https://u:pass word"])
def test_an_invalid_address_is_a_configuration_error(server: WireServer, api: Api, url: str) -> None:
    """Before anything is sent, and without repeating what may contain a password."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        api.ask("send", server, base_url=url, api_key=DIGITS)

    assert isinstance(caught.value, AlloyError)
    assert "pass" not in str(caught.value)
    assert without_credentials(url) in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("localhost:8000/v1", "localhost:8000/v1"),
        ("https://host:8000", "https://host:8000"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("[::1]:8000", "[::1]:8000"),
        ("http://[::1/v1", "http://[::1/v1"),
        ("http://user:[::1", "http://user:…"),
        ("https://host/v1?api-key=secret#secret", "https://host/v1"),
        ("https://user:secret@host:99999/v1", "https://host:99999/v1"),
        ("https://user:sec@ret@host/v1", "https://host/v1"),
        ("https://user:sec/r?et@host/v1", "https://host/v1"),
        ("user:secret@host", "host"),
        ("https://user:secret", "https://user:…"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_credentials(url: str, shown: str) -> None:
    """Also one that is not valid, whose parts nobody can tell."""
    assert without_credentials(url) == shown


@every_api
@whole_modes
def test_a_page_instead_of_an_answer_names_the_address(server: WireServer, api: Api, mode: str) -> None:
    """So that a wrong `base_url` is seen at once."""
    server.script(Answer([b"<html>Hello</html>"], headers={"content-type": "text/html"}))
    with pytest.raises(BadReplyError, match="is `base_url` the address of its API") as caught:
        api.ask(mode, server, retry=0)
    assert f"The request went to {server.url}{api.base}" in str(caught.value)


@apis(OLLAMA)  # which names its own way to check
@whole_modes
def test_a_path_that_does_not_exist_names_the_address(server: WireServer, api: Api, mode: str) -> None:
    """A missing or doubled version is the usual mistake."""
    server.script(json_answer({"detail": "Not Found"}, status=404))
    with pytest.raises(ModelNotFoundError, match="`base_url`") as caught:
        api.ask(mode, server, retry=0)
    assert f"the request went to {server.url}{api.base}" in str(caught.value)


# --- proxies of the environment -----------------------------------------------------------------------


@every_api
@whole_modes
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_that_is_gone_is_named(
    server: WireServer, api: Api, mode: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its variable: the value may hold a password."""
    CLIENTS.close()
    CLIENTS.forget()  # the proxies of the environment are read once per process
    try:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can
            port = silent.getsockname()[1]
            monkeypatch.setenv(variable, f"http://user:secret-password@127.0.0.1:{port}")
            with pytest.raises(ProviderConnectionError, match=f"the proxy that {variable} sets") as caught:
                api.ask(mode, server, retry=0)
    finally:
        CLIENTS.close()
        CLIENTS.forget()
    assert "NO_PROXY" in str(caught.value)
    assert "secret-password" not in shown(caught.value)


@whole_modes
def test_a_proxy_that_refuses_is_named(
    server: WireServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not open a tunnel without a login."""
    guarded = Proxy("user:secret-password")
    monkeypatch.setenv("HTTPS_PROXY", guarded.url)
    CLIENTS.close()
    CLIENTS.forget()
    try:
        with pytest.raises(
            ProviderConnectionError, match=r"the proxy did not .*`transport`, and .* HTTPS_PROXY"
        ):
            RESPONSES.talk(mode, server, base_url="https://127.0.0.1:9/v1", api_key=KEY)
    finally:
        CLIENTS.close()
        CLIENTS.forget()
        guarded.stop()


@apis(OLLAMA, OLLAMA_CHAT)  # which take an address without its scheme
@pytest.mark.parametrize("url", ["localhost:8000", "localhost:8000/v1", "ftp://host/v1", "/v1"])
def test_an_address_without_a_scheme_is_refused(api: Api, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error shows what an address looks like, wherever this one was read from."""
    with pytest.raises(ConfigurationError, match="http://"):
        api.backend.send(api.body(), Endpoint(url, KEY), CancelToken())
    monkeypatch.setenv(api.variables[0], url)
    with pytest.raises(ConfigurationError, match="http://"):
        api.backend.send(api.body(), Endpoint(api_key=KEY), CancelToken())
