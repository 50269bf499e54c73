"""Where Ollama is called and as whom: read as its SDK reads it, at every call, and told to nobody."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx
import ollama
import pytest
from kit.patience import PATIENCE
from kit.talking import KEY, MODES, talk
from kit.wire import Answer, WireServer
from kit.wire import ollama as says

from alloy import ask
from alloy.backends.http.clients import CLIENTS
from alloy.backends.ollama.address import OLLAMA, read_settings
from alloy.backends.ollama.chat import OllamaBackend
from alloy.endpoints import Endpoint
from alloy.errors import AuthenticationError, ConfigurationError
from alloy.messages import Request, User

MODEL = "ollama:llama3.2"
BACKEND = OllamaBackend()
BODY = BACKEND.encode(Request("llama3.2", (User("Hello"),)))

every_mode = pytest.mark.parametrize("mode", MODES)


def at(server: WireServer, **more: Any) -> Endpoint:
    return Endpoint(**{"base_url": server.url, "timeout": 20.0, **more})


def good(mode: str, **fields: Any) -> Answer:
    whole = says.answer(**{"text": "Grüße 🦊", **fields})
    return says.reply(whole) if mode.startswith("send") else says.stream(whole)


# --- addresses ----------------------------------------------------------------------------------------

HOSTS = [
    "",
    "127.0.0.1:56789",
    "0.0.0.0",
    ":56789",
    "example.com",
    "example.com:1234/",
    "http://example.com",
    "https://example.com",
    "https://example.com:8443/ollama/",
    "example.com/path",
    "[::1]:5678",
    "http://[::1]",
]


@pytest.mark.parametrize("host", HOSTS)
def test_addresses_are_read_as_the_sdk_reads_them(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the SDK's own client would send to is where the request goes, with its headers."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=says.answer(text="x"))

    monkeypatch.setenv("OLLAMA_HOST", host)
    monkeypatch.setenv("OLLAMA_API_KEY", KEY)
    sdk = ollama.Client(headers={"Authorization": f"Bearer {KEY}"}, transport=httpx.MockTransport(answer))
    sdk.chat("llama3.2", [{"role": "user", "content": "Hello"}])
    address = CLIENTS.get(OLLAMA, read_settings(Endpoint())).book.address("/api/chat")

    assert address.url == seen[0].url
    assert dict(address.headers).items() <= dict(seen[0].headers).items()
    assert address.headers["authorization"] == f"Bearer {KEY}"


@every_mode
def test_a_server_is_called_without_a_key(
    server: WireServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none is set; its address needs no scheme, and may have a path."""
    server.script(good(mode))
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{server.port}/behind")
    talk(OllamaBackend(), mode, Endpoint(timeout=20), BODY)

    (request,) = server.requests
    assert request.path == "/behind/api/chat"
    assert "authorization" not in request.headers


@pytest.mark.parametrize("host", ["http://host:port", "http://host:99999", "http://[::1"])
def test_an_invalid_address_is_named_with_its_setting(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting that it was read from, and what an address looks like."""
    with pytest.raises(ConfigurationError, match=r"base_url is not an address.*host:port"):
        ask("Hello", model=MODEL, base_url=host, retry=0)
    monkeypatch.setenv("OLLAMA_HOST", host)
    with pytest.raises(ConfigurationError, match=r"OLLAMA_HOST is not an address.*host:port"):
        ask("Hello", model=MODEL, retry=0)


def test_a_bad_variable_is_named_also_when_the_sdk_is_first_imported() -> None:
    """The SDK makes a client from it while it is imported."""
    program = "from alloy import ask\nask('Hello', model='ollama:llama3.2', retry=0)"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"OLLAMA_HOST": "http://host:port"},
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE,
    )

    assert "ConfigurationError" in run.stderr.splitlines()[-1]
    assert "OLLAMA_HOST is not an address" in run.stderr.splitlines()[-1]


# --- secrets ------------------------------------------------------------------------------------------


def test_a_refused_key_names_the_setting(server: WireServer) -> None:
    """As for the cloud, or for a proxy before a server of one's own."""
    server.script(says.failure(401, "unauthorized"))
    with pytest.raises(AuthenticationError, match=r"OLLAMA_API_KEY or configure\(api_key=…\)"):
        talk(BACKEND, "send", at(server), BODY)


@pytest.mark.parametrize("missing", ["ollama", "httpx"])
def test_a_missing_sdk_comes_with_the_install_line(missing: str) -> None:
    """It is imported on first use."""
    program = (
        f"import sys\nsys.modules[{missing!r}] = None\n"
        "from alloy import ask\nask('Hello', model='ollama:llama3.2', retry=0)"
    )
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, timeout=5 * PATIENCE)

    last = run.stderr.splitlines()[-1]
    assert "ConfigurationError" in last
    assert f"{missing!r}" in last
    assert "pip install 'alloy-ai[ollama]'" in last
