"""Keys and variables of the SDK that only OpenAI's two backends have."""

from __future__ import annotations

import traceback
from importlib.metadata import version

import pytest
from kit.talking import MODES, WHOLE, at, talk
from kit.wire import Answer, WireServer
from kit.wire import openai as says

from alloy import ask
from alloy.backends.base import Backend
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.errors import (
    AuthenticationError,
)

RESPONSES, CHAT = OpenAIBackend(), OpenAIChatBackend()

both = pytest.mark.parametrize("backend", [RESPONSES, CHAT], ids=["responses", "chat"])
every_mode = pytest.mark.parametrize("mode", MODES)
# The SDK reads OPENAI_CUSTOM_HEADERS since this version.
READS_CUSTOM_HEADERS = tuple(map(int, version("openai").split(".")[:2])) >= (2, 34)


def good(backend: Backend, mode: str, text: str = "Hello") -> Answer:
    """A whole answer, or a stream, that nothing is wrong with."""
    if backend is RESPONSES:
        return (says.reply if mode in WHOLE else says.stream)(says.response(text=text))
    return (says.reply if mode in WHOLE else says.chat_stream)(says.completion(text=text))


@both
def test_a_key_of_any_form_is_taken_out(server: WireServer, backend: Backend) -> None:
    """Compatible servers have keys that do not begin with `sk-`."""
    key = str(9**12)  # not written out: a traceback shows the lines of this test as well
    server.script(says.failure(401, f"No such key: {key}"))
    with pytest.raises(AuthenticationError, match=r"No such key: \[key\].*OPENAI_API_KEY") as caught:
        ask("Hello", model=f"{backend.name}:gpt-5.6", base_url=f"{server.url}/v1", api_key=key, retry=0)

    assert key not in "".join(traceback.format_exception(caught.value))


def test_a_local_server_needs_no_key(server: WireServer) -> None:
    """Chat at an address of one's own goes without; the SDK wants something, and gets a word."""
    server.script(good(CHAT, "send"), good(CHAT, "send_async"))
    talk(CHAT, "send", at(server, api_key=None))
    talk(CHAT, "send_async", at(server, api_key=None))

    assert {request.headers["authorization"] for request in server.requests} == {"Bearer none"}


@both
@every_mode
def test_the_sdks_other_variables_apply(
    server: WireServer, backend: Backend, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Organization, project and headers, read at every call."""
    server.script(good(backend, mode), good(backend, mode))
    monkeypatch.setenv("OPENAI_ORG_ID", "org-one")
    talk(backend, mode, at(server))
    monkeypatch.delenv("OPENAI_ORG_ID")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-two")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-team: two")
    talk(backend, mode, at(server))

    one, two = (request.headers for request in server.requests)
    assert (one["openai-organization"], one.get("openai-project")) == ("org-one", None)
    assert (two.get("openai-organization"), two["openai-project"]) == (None, "proj-two")
    assert two.get("x-team") == ("two" if READS_CUSTOM_HEADERS else None)
