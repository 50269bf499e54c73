"""`ollama-chat`: the same server through its copy of OpenAI's API, with OpenAI's SDK."""

from __future__ import annotations

from typing import Any

import pytest
from kit.dialects import OLLAMA
from kit.talking import KEY, MODES, talk
from kit.wire import Answer, WireServer
from kit.wire import ollama as says
from kit.wire import openai as copies

from alloy.backends.base import Backend
from alloy.backends.ollama.chat import OllamaChatBackend
from alloy.endpoints import Endpoint
from alloy.errors import (
    BadRequestError,
    ModelNotFoundError,
    ProviderConnectionError,
    ProviderError,
    ServerError,
    UnsupportedError,
)
from alloy.messages import Request, ToolCall, ToolSchema, User

BACKEND = OllamaChatBackend()
TOOL = ToolSchema("add", "Add.", {"type": "object", "properties": {"a": {"anyOf": [{"type": "integer"}]}}})
BODY = BACKEND.encode(Request("llama3.2", (User("Hello"),), tools=(TOOL,)))

every_mode = pytest.mark.parametrize("mode", MODES)


def good(mode: str, **fields: Any) -> Answer:
    made = copies.completion(**{"text": "Hello", **fields})
    return copies.reply(made) if mode.startswith("send") else copies.chat_stream(made)


def failed(status: int, message: str) -> Answer:
    return copies.failure(status, message)


def test_it_is_a_backend_of_its_own_name() -> None:
    """Errors and results say which route was taken."""
    assert isinstance(BACKEND, Backend)
    assert (BACKEND.name, BACKEND.dialect) == ("ollama-chat", OLLAMA)


@every_mode
def test_the_server_is_found_by_ollamas_variables(
    server: WireServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `/v1` behind the address and no key; OpenAI's own key and address never get there."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{server.port}")
    server.script(good(mode, calls=[("add", {"a": 1}, "call_1")]))
    reply = talk(BACKEND, mode, Endpoint(timeout=20), BODY)

    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer none"
    assert request.json["tools"][0]["function"]["parameters"] == {
        "type": "object",
        "properties": {"a": {"anyOf": [{"type": "integer"}]}},
        "required": [],
        "additionalProperties": False,
    }
    assert reply.calls == (ToolCall("call_1", "add", '{"a": 1}'),)


@every_mode
def test_an_address_of_ones_own_is_taken_whole(
    server: WireServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And OLLAMA_API_KEY serves where no key was configured."""
    monkeypatch.setenv("OLLAMA_API_KEY", KEY)
    server.script(good(mode), good(mode))
    talk(BACKEND, mode, Endpoint(f"{server.url}/behind/v1", timeout=20), BODY)
    talk(BACKEND, mode, Endpoint(f"{server.url}/v1", "my-own-key", 20), BODY)

    one, two = server.requests
    assert (one.path, two.path) == ("/behind/v1/chat/completions", "/v1/chat/completions")
    assert one.headers["authorization"] == f"Bearer {KEY}"
    assert two.headers["authorization"] == "Bearer my-own-key"


@every_mode
@pytest.mark.parametrize(
    ("status", "words", "kind", "advice"),
    [
        (404, 'model "nope" not found, try pulling it first', ModelNotFoundError, "`ollama pull nope`"),
        (400, "registry.ollama.ai/library/nope:1b does not support tools", UnsupportedError, "tools"),
        (400, '"nope" does not support thinking', BadRequestError, "reasoning_effort"),
        (500, "something else", ServerError, "something else"),
    ],
)
def test_the_servers_errors_mean_what_they_mean_natively(
    server: WireServer, mode: str, status: int, words: str, kind: type[ProviderError], advice: str
) -> None:
    """A missing model comes with its command, and a model without tools is stood in for."""
    server.script(failed(status, words))
    with pytest.raises(kind, match=advice) as caught:
        talk(BACKEND, mode, Endpoint(f"{server.url}/v1", timeout=20), BODY)

    assert type(caught.value) is kind
    assert (caught.value.provider, caught.value.status) == ("ollama-chat", status)


@every_mode
def test_a_server_that_is_not_running_comes_with_the_command(
    nobody: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As natively."""
    monkeypatch.setenv("OLLAMA_HOST", nobody)
    with pytest.raises(ProviderConnectionError, match=f"{nobody}: start it with `ollama serve`") as caught:
        talk(BACKEND, mode, Endpoint(timeout=20), BODY)

    assert caught.value.transient


def test_the_native_error_shape_is_read_too(server: WireServer) -> None:
    """A proxy may pass that on."""
    server.script(says.failure(404, "model 'nope' not found"))
    with pytest.raises(ModelNotFoundError, match="`ollama pull nope`"):
        talk(BACKEND, "send", Endpoint(f"{server.url}/v1", timeout=20), BODY)
