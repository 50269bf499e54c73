"""Keys, addresses and the environment: what both OpenAI backends send, refuse, and never show."""

from __future__ import annotations

import traceback
from importlib.metadata import version

import pytest
from kit.talking import KEY, MODES, WHOLE, at, talk
from kit.wire import Answer, WireServer, json_answer
from kit.wire import openai as says

from alloy.backends.base import Backend
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.errors import (
    AuthenticationError,
    ConfigurationError,
    ProviderError,
)
from alloy.messages import Endpoint

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


# --- settings and secrets -----------------------------------------------------------------------------


@both
@every_mode
@pytest.mark.parametrize("shape", ["json", "html", "200", "error in 200"])
def test_the_key_is_in_no_error(server: WireServer, backend: Backend, mode: str, shape: str) -> None:
    """Not whole and not masked, in no message, no attribute and no traceback, whatever a server repeats."""
    said = f"Incorrect API key provided: {KEY}, or sk-tes**********7890."
    answers = {
        "json": says.failure(401, said, code="invalid_api_key"),
        "html": Answer([f"<p>{said}</p>".encode()], 401, {"content-type": "text/html"}),
        "200": Answer([f"<p>{said}</p>".encode()], 200, {"content-type": "text/html"}),
        "error in 200": json_answer({"error": {"message": said, "code": 401}}),
    }
    server.script(answers[shape])
    with pytest.raises(ProviderError) as caught:
        talk(backend, mode, at(server))

    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(vars(caught.value))
    assert KEY not in shown
    assert "7890" not in shown
    assert "Incorrect API key provided: [key]" in shown


@both
def test_a_key_of_any_form_is_taken_out(server: WireServer, backend: Backend) -> None:
    """Compatible servers have keys that do not begin with `sk-`."""
    key = str(9**12)  # not written out: a traceback shows the lines of this test as well
    server.script(says.failure(401, f"No such key: {key}"))
    with pytest.raises(AuthenticationError, match=r"No such key: \[key\].*OPENAI_API_KEY") as caught:
        talk(backend, "send", at(server, api_key=key))

    assert key not in "".join(traceback.format_exception(caught.value))


@both
@every_mode
def test_no_key_is_a_configuration_error(backend: Backend, mode: str) -> None:
    """It names the variable, the setting and the way to run without one."""
    with pytest.raises(
        ConfigurationError, match=r"OPENAI_API_KEY.*configure\(api_key=…\).*ALLOY_BACKEND=fake"
    ):
        talk(backend, mode, Endpoint())


def test_a_local_server_needs_no_key(server: WireServer) -> None:
    """Chat at an address of one's own goes without; the SDK wants something, and gets a word."""
    server.script(good(CHAT, "send"), good(CHAT, "send_async"))
    talk(CHAT, "send", at(server, api_key=None))
    talk(CHAT, "send_async", at(server, api_key=None))

    assert {request.headers["authorization"] for request in server.requests} == {"Bearer none"}


@both
@pytest.mark.parametrize("key", ["sk-1\n", "sk 1", "sk-\u00e9", "sk-\x00"])
def test_a_key_that_no_header_can_carry_is_refused(server: WireServer, backend: Backend, key: str) -> None:
    """A line end from a file is named as what it may be; the key itself is not shown."""
    with pytest.raises(ConfigurationError, match="a space, a line end") as caught:
        talk(backend, "send", at(server, api_key=key))

    assert key.strip() not in str(caught.value)


@both
@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://host/v1", "/v1"])
def test_an_address_without_its_scheme_is_refused(backend: Backend, url: str) -> None:
    """The error shows what an address looks like."""
    with pytest.raises(ConfigurationError, match="http://"):
        talk(backend, "send", Endpoint(base_url=url, api_key=KEY))


@both
@every_mode
def test_the_environment_is_read_at_every_call(
    server: WireServer, backend: Backend, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's own variables serve where nothing was configured, and a change of theirs is seen."""
    server.script(good(backend, mode), good(backend, mode))
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/one")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-one")
    talk(backend, mode, Endpoint(timeout=20))
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/two")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-two")
    monkeypatch.delenv("OPENAI_ORG_ID")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-two")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-team: two")
    talk(backend, mode, Endpoint(timeout=20))

    one, two = (request.headers for request in server.requests)
    assert [request.path.split("/")[1] for request in server.requests] == ["one", "two"]
    assert (one["authorization"], two["authorization"]) == ("Bearer sk-one", "Bearer sk-two")
    assert (one["openai-organization"], one.get("openai-project")) == ("org-one", None)
    assert (two.get("openai-organization"), two["openai-project"]) == (None, "proj-two")
    assert two.get("x-team") == ("two" if READS_CUSTOM_HEADERS else None)
