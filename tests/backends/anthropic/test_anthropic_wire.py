"""Anthropic through the real SDK, against a server that behaves."""

from __future__ import annotations

from typing import Any

import pytest
from kit.talking import MODES, STREAMED, talk
from kit.talking import at as at_server
from kit.wire import Answer, WireServer, sse
from kit.wire import anthropic as says

from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.endpoints import Endpoint
from alloy.messages import Request, User

CLAUDE = AnthropicBackend()
MODEL = "claude-sonnet-4-6"

every_mode = pytest.mark.parametrize("mode", MODES)
streamed = pytest.mark.parametrize("mode", STREAMED)


def at(server: WireServer, **settings: Any) -> Endpoint:
    """The endpoint of *server*, whose address ends without a version."""
    return at_server(server, **{"base_url": server.url, **settings})


def body(prompt: str = "Hello", **settings: Any) -> dict[str, Any]:
    return CLAUDE.encode(Request(MODEL, (User(prompt),), **settings))


def answer(mode: str, text: str = "Grüße 🦊", **fields: Any) -> Answer:
    made = says.message(text=text, **fields)
    return says.reply(made) if mode.startswith("send") else says.stream(made)


@every_mode
@pytest.mark.parametrize("sampling", [{"temperature": 0.5}, {"top_p": 0.5}, {"extra": {"top_k": 5}}])
def test_sampling_speaks_the_version_that_knows_it(
    server: WireServer, mode: str, sampling: dict[str, Any]
) -> None:
    """The newer version of the API refuses it for every model; without it the SDK's own version stays."""
    server.script(answer(mode), answer(mode))
    talk(CLAUDE, mode, at(server), body(**sampling))
    talk(CLAUDE, mode, at(server), body())

    import anthropic

    sampled, plain = server.requests
    assert sampled.headers["anthropic-version"] == "2023-06-01"
    assert plain.headers["anthropic-version"] == (
        "2023-06-01" if anthropic.__version__.startswith("1.") else "2026-10-21"
    )


@streamed
def test_events_without_a_name_count_too(server: WireServer, mode: str) -> None:
    """Copies of this API leave out the `event:` lines, without which the SDK drops an event."""
    made = says.message(text="Hello")
    server.script(sse(says.events(made), named=False))

    assert talk(CLAUDE, mode, at(server), body()) == CLAUDE.decode(made)


@every_mode
def test_the_sdks_other_variables_apply(
    server: WireServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token where there is no key, and headers, read at every call."""
    server.script(answer(mode), answer(mode), answer(mode))
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-one")
    talk(CLAUDE, mode, Endpoint(timeout=20), body())
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-two")  # the key goes before the token
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-team: two")
    talk(CLAUDE, mode, Endpoint(timeout=20), body())
    talk(CLAUDE, mode, at(server, api_key="sk-three"), body())

    one, two, three = (request.headers for request in server.requests)
    assert one["authorization"] == "Bearer token-one"
    assert "sk-two" in (two.get("x-api-key"), two.get("authorization", "")[7:])
    assert two["x-team"] == "two"
    assert "sk-three" in (three.get("x-api-key"), three.get("authorization", "")[7:])
    assert "token-one" not in str([two, three])
