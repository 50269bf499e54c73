"""Errors that only Ollama has."""

from __future__ import annotations

from typing import Any

import pytest
from kit.talking import MODES, WHOLE, talk
from kit.wire import Answer, WireServer, json_answer
from kit.wire import ollama as says

from alloy import ask
from alloy.backends.ollama.chat import OllamaBackend
from alloy.endpoints import Endpoint
from alloy.errors import (
    BadRequestError,
    ModelNotFoundError,
    ProviderConnectionError,
    UnsupportedError,
)
from alloy.messages import OutputSchema, Request, User

BACKEND = OllamaBackend()
BODY = BACKEND.encode(Request("llama3.2", (User("Hello"),)))

every_mode = pytest.mark.parametrize("mode", MODES)


def at(server: WireServer, **more: Any) -> Endpoint:
    return Endpoint(**{"base_url": server.url, "timeout": 20.0, **more})


def good(mode: str, **fields: Any) -> Answer:
    made = says.answer(**{"text": "Hello", **fields})
    return says.reply(made) if mode in WHOLE else says.stream(made)


# --- statuses -----------------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize(
    "message",
    [
        "model 'llama3.2:3b' not found",
        'model "llama3.2:3b" not found, try pulling it first',
        "Model 'llama3.2:3b' not found",
    ],
)
def test_a_missing_model_comes_with_the_command_that_gets_it(
    server: WireServer, mode: str, message: str
) -> None:
    """In the messages of newer and of older servers."""
    server.script(says.failure(404, message))
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
    ("status", "message", "feature"),
    [
        (400, "registry.ollama.ai/library/gemma3:4b does not support tools", "tools"),
        (400, '"gemma3" does not support tools.', "tools"),
        (500, "invalid JSON schema in format", "output"),
        (500, "failed to load model vocabulary required for format", "output"),
        (400, "model does not support structured outputs", "output"),
    ],
)
def test_a_missing_feature_is_recognized_by_the_end_of_the_message(
    server: WireServer, mode: str, status: int, message: str, feature: str
) -> None:
    """The name before it may hold anything."""
    server.script(says.failure(status, message))
    with pytest.raises(UnsupportedError, match=message.split()[-1]) as caught:
        talk(BACKEND, mode, at(server), BODY)

    assert (caught.value.feature, caught.value.status, caught.value.transient) == (feature, status, False)


def test_a_model_name_like_an_error_is_not_an_error(server: WireServer) -> None:
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


def test_a_schema_that_the_server_cannot_use_goes_into_the_prompt(server: WireServer) -> None:
    """The call goes on without `format`, and the model is told the shape."""
    server.script(says.failure(500, "invalid JSON schema in format"), good("send", text='{"value": 3}'))
    assert ask("Hello", model="ollama:m", base_url=f"{server.url}/text", output=int, retry=0) == 3

    first, second = (request.json for request in server.requests)
    assert "format" in first
    assert "format" not in second


def test_a_busy_server_is_tried_again(server: WireServer) -> None:
    """Its 503 is transient."""
    busy = says.failure(503, "server busy, please try again.  maximum pending requests exceeded")
    server.script(busy, good("send"))

    assert ask("Hello", model="ollama:llama3.2", base_url=server.url, retry=1) == "Hello"


# --- connections --------------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize("named", ["base_url", "OLLAMA_HOST"])
def test_a_server_that_is_not_running_comes_with_the_command(
    nobody: str, mode: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the address that was tried and where it was read from."""
    monkeypatch.setenv("OLLAMA_HOST", nobody)
    endpoint = Endpoint(base_url=nobody if named == "base_url" else None, timeout=20)
    with pytest.raises(ProviderConnectionError, match=r"`ollama serve`.*OLLAMA_HOST") as caught:
        talk(BACKEND, mode, endpoint, BODY)

    assert f"{nobody} ({named})" in str(caught.value)
    assert caught.value.transient


def test_a_schema_stays_out_of_what_is_not_asked_for() -> None:
    """A plain request has no `format`."""
    asked = Request("m", (User("Hi"),), output=OutputSchema("A", {"type": "object"}))

    assert "format" not in BODY
    assert BACKEND.encode(asked)["format"] == {"type": "object"}
