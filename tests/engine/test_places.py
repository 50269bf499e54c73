"""Where requests would go: what was learned of a model at one address does not hold at another."""

from __future__ import annotations

from typing import Any

import pytest
from kit.wire import Answer, WireServer, openai
from kit.wire.server import Received

from alloy import ask, tool
from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.backends.base import address_of
from alloy.backends.fake.backend import FakeBackend
from alloy.backends.fallback.wrapper import Wrapper
from alloy.backends.gemini.content import GeminiBackend
from alloy.backends.memory import forget
from alloy.backends.ollama.chat import OllamaBackend, OllamaChatBackend
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.endpoints import Endpoint

VARIABLES = [
    (OpenAIBackend, "OPENAI_BASE_URL"),
    (OpenAIChatBackend, "OPENAI_BASE_URL"),
    (OllamaBackend, "OLLAMA_HOST"),
    (OllamaChatBackend, "OLLAMA_HOST"),
    (AnthropicBackend, "ANTHROPIC_BASE_URL"),
    (GeminiBackend, "GOOGLE_GEMINI_BASE_URL"),
]


@pytest.fixture(autouse=True)
def forgetful() -> Any:
    """What is learned here is forgotten behind each test."""
    yield
    forget()


@tool
def add(a: int) -> int:
    """Add one."""
    return a + 1


def no_tools(request: Received) -> Answer:
    """A server whose model has no tools, for requests under /old; under /new it has."""
    if request.path.startswith("/old") and "tools" in request.json:
        return openai.failure(400, "this model does not support tools", param="tools")
    return openai.reply(openai.completion(text="Final Answer: a"))


def test_another_server_in_the_environment_is_another_place(
    server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A downgrade stays with the server that called for it, and is there when one comes back."""
    server.always = no_tools
    said = []
    for path in ("old", "new", "old"):
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/{path}")
        said.append(ask.run("x", model="openai-chat:m", tools=[add]))

    assert [result.downgrades for result in said] == [("tools",), (), ("tools",)]
    assert said[2].attempts == 1


@pytest.mark.parametrize(("kind", "variable"), VARIABLES)
def test_a_backend_tells_where_requests_would_go(
    kind: Any, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint's word goes first, then the environment's as it is now; no key is needed for that."""
    backend = kind()
    default = address_of(backend, Endpoint())
    monkeypatch.setenv(variable, "http://there:1")
    there = address_of(backend, Endpoint())
    here = address_of(Wrapper(backend), Endpoint(base_url="http://here:1", api_key="not a key\n"))

    assert default and there and there.startswith("http://there:1")
    assert here == "http://here:1"
    assert len({default, there, here}) == 3


def test_google_cloud_is_another_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own variable, and by where it is."""
    backend, seen = GeminiBackend(), [address_of(GeminiBackend(), Endpoint())]
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
    for name, value in (
        ("GOOGLE_CLOUD_LOCATION", "europe-west1"),
        ("GOOGLE_VERTEX_BASE_URL", "http://there"),
    ):
        seen.append(address_of(backend, Endpoint()))
        monkeypatch.setenv(name, value)
    assert len({*seen, address_of(backend, Endpoint())}) == 4


def test_a_backend_that_goes_nowhere_has_the_settings_address() -> None:
    """Also one that somebody else made before there was such a method."""
    assert address_of(FakeBackend(), Endpoint()) is None
    older: Any = object()
    assert address_of(older, Endpoint(base_url="http://here")) == "http://here"
