"""What every provider's errors share: no key in them, no redirect followed, and the address named."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from kit.wire import Answer, WireServer, json_answer, lines, sse
from kit.wire import anthropic as claude
from kit.wire import openai as gpt

from alloy import ask
from alloy.errors import AlloyError, ConfigurationError, ProviderConnectionError, ProviderError

MODELS = {
    "openai": "gpt-5.6",
    "openai-chat": "openai-chat:local",
    "anthropic": "claude-haiku-4-5",
    "gemini": "gemini-3-flash",
    "ollama": "ollama:qwen3",
    "ollama-chat": "ollama-chat:qwen3",
}
VARIABLES = {
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_KEY"),
    "openai-chat": ("OPENAI_BASE_URL", "OPENAI_API_KEY"),
    "anthropic": ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
    "gemini": ("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY"),
    "ollama": ("OLLAMA_HOST", "OLLAMA_API_KEY"),
    "ollama-chat": ("OLLAMA_HOST", "OLLAMA_API_KEY"),
}
KEY = str(9**24)  # of no known form, and not written out: a traceback shows the lines of this test as well

every_provider = pytest.mark.parametrize("provider", MODELS)
every_color = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def address(provider: str, root: str) -> str:
    """The base URL of *provider*'s API at *root*."""
    return f"{root}/v1" if provider in ("openai", "openai-chat", "ollama-chat") else root


def call(provider: str, *, streamed: bool = False, is_async: bool = False, **options: Any) -> Any:
    """One question to *provider*, to its answer."""
    options = {"model": MODELS[provider], "retry": 0, **options}
    if is_async:
        return asyncio.run(_call_async(streamed=streamed, **options))
    return "".join(ask.stream("Hello", **options)) if streamed else ask("Hello", **options)


async def _call_async(*, streamed: bool, **options: Any) -> str:
    if not streamed:
        return await ask.async_("Hello", **options)
    async with aclosing(ask.stream_async("Hello", **options)) as chunks:
        return "".join([chunk async for chunk in chunks])


def shown(error: BaseException) -> str:
    """All that a log, a traceback or a debugger shows of *error* and of what caused it."""
    parts = traceback.format_exception(error)
    cause: BaseException | None = error
    while cause is not None:
        parts += [repr(cause), repr(vars(cause))]
        cause = cause.__cause__ or (cause.__context__ if cause.__suppress_context__ else None)
    return "".join(parts)


# --- secrets ------------------------------------------------------------------------------------------

SAID = f"no such key: {KEY}"
FAILED = gpt.response(status="failed", error={"code": "server_error", "message": SAID})
ERROR = {"error": {"message": SAID, "code": KEY, "status": KEY}}

STREAMS: dict[str, tuple[str, Callable[[], Answer]]] = {
    "openai error": ("openai", lambda: sse([{"type": "error", "code": KEY, "message": SAID}])),
    "openai failed": ("openai", lambda: sse([{"type": "response.failed", "response": FAILED}])),
    "openai-chat": ("openai-chat", lambda: sse([ERROR])),
    "anthropic": ("anthropic", lambda: sse([claude.error("overloaded_error", SAID)])),
    "gemini": ("gemini", lambda: sse([ERROR], named=False)),
    "ollama": ("ollama", lambda: lines([{"error": SAID}])),
    "ollama-chat": ("ollama-chat", lambda: sse([ERROR])),
}


@every_color
@pytest.mark.parametrize("stream", STREAMS)
def test_no_error_of_a_stream_holds_the_key(server: WireServer, stream: str, is_async: bool) -> None:
    """An event may repeat a key, of whatever form it is."""
    provider, answer = STREAMS[stream]
    server.script(answer())
    with pytest.raises(ProviderError, match=r"no such key: \[key\]") as caught:
        call(
            provider,
            streamed=True,
            is_async=is_async,
            base_url=address(provider, server.url),
            api_key=KEY,
        )

    assert KEY not in shown(caught.value)


@every_color
@pytest.mark.parametrize("source", ["option", "environment"])
@every_provider
def test_no_foreign_answer_shows_the_key(
    server: WireServer, monkeypatch: pytest.MonkeyPatch, provider: str, source: str, is_async: bool
) -> None:
    """A body that is no answer is quoted without the key, wherever that was read from."""
    options: dict[str, Any] = {"api_key": KEY} if source == "option" else {}
    if source == "environment":
        monkeypatch.setenv(VARIABLES[provider][1], KEY)
    foreign = {KEY: KEY, "choices": KEY, "output": KEY, "content": KEY, "candidates": KEY, "message": KEY}
    server.script(json_answer(foreign))
    with pytest.raises(ProviderError) as caught:
        call(provider, is_async=is_async, base_url=address(provider, server.url), **options)

    assert KEY not in shown(caught.value)


@every_provider
def test_a_request_id_that_is_the_key_is_taken_out(server: WireServer, provider: str) -> None:
    """A proxy may put anything into a header."""
    said = json_answer({"error": {"message": "no"}}, status=500, x_request_id=KEY, request_id=KEY)
    server.script(said)
    with pytest.raises(ProviderError) as caught:
        call(provider, base_url=address(provider, server.url), api_key=KEY)

    assert KEY not in shown(caught.value)


@pytest.mark.parametrize("key", [None, "ollama"])
def test_a_placeholder_for_a_key_is_no_secret(server: WireServer, key: str | None) -> None:
    """The advice to run `ollama pull` survives, with the word that Ollama's own pages use for a key too."""
    server.script(gpt.failure(404, "model 'qwen3' not found, try ollama pull it"))
    with pytest.raises(
        ProviderError, match=r"^ollama-chat: .*try ollama pull it; get it with `ollama pull qwen3`"
    ):
        call("ollama-chat", base_url=address("ollama-chat", server.url), api_key=key)


# --- redirects ----------------------------------------------------------------------------------------


@every_color
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@every_provider
def test_no_redirect_is_followed(server: WireServer, provider: str, status: int, is_async: bool) -> None:
    """Another host would get the key and the prompt: the error says which it is, and what to set."""
    target = server.url.replace("127.0.0.1", "localhost")
    secret = target.replace("//", "//user:password@")
    server.script(Answer([], status, {"location": f"{secret}/there?token={KEY}"}))
    words = rf"^{provider}: the server redirects to {target}/there.*`base_url` or {VARIABLES[provider][0]}"
    with pytest.raises(ProviderError, match=words) as caught:
        call(provider, is_async=is_async, base_url=address(provider, server.url), api_key=KEY)

    assert caught.value.status == status
    assert not caught.value.transient
    assert len(server.requests) == 1
    assert "password" not in str(caught.value)
    assert KEY not in shown(caught.value)


# --- addresses ----------------------------------------------------------------------------------------


@every_color
@every_provider
def test_an_address_where_nobody_listens_is_named(provider: str, is_async: bool) -> None:
    """With the settings to check, and without what stands before its `@`."""
    base_url = address(provider, "http://user:password@127.0.0.1:9")
    with pytest.raises(ProviderConnectionError) as caught:
        call(provider, is_async=is_async, base_url=base_url, api_key=KEY)

    said = str(caught.value)
    assert "http://127.0.0.1:9" in said
    assert "base_url" in said
    assert VARIABLES[provider][0] in said
    assert "password" not in said


@pytest.mark.parametrize("url", ["http://[bad", "http://a b:99999/v1", "https://u:pass word"])
@every_provider
def test_what_is_no_address_is_a_configuration_error(provider: str, url: str) -> None:
    """Before anything is sent, and without repeating what may hold a password."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        call(provider, base_url=url, api_key=KEY)

    assert isinstance(caught.value, AlloyError)
    assert "pass" not in str(caught.value)
