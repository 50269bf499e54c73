"""The HTTP backends as a table: how a test reaches each one, and what its server answers.

A test of a behaviour that all of them share takes an `Api` and never names a provider:

    @every_api
    @every_mode
    def test_a_request_gets_its_reply(server, api, mode):
        server.script(api.answer(mode, "Hello"))
        assert api.talk(mode, server).text == "Hello"
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from alloy import ask
from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.backends.base import Backend, CancelToken
from alloy.backends.gemini.content import GeminiBackend
from alloy.backends.ollama.chat import OllamaBackend, OllamaChatBackend
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.endpoints import Endpoint
from alloy.messages import Reply, Request, User
from kit.talking import KEY, MODES, STREAMED, WHOLE, talk, talk_async
from kit.wire import Answer, Received, WireServer, anthropic, gemini, ollama, openai, sse

TEXT = "Grüße 🦊"

Pieces = Callable[[str], Sequence[str]]


def three_characters(text: str) -> Sequence[str]:
    """*text* in pieces of three characters."""
    return pieces_of(3)(text)


def pieces_of(size: int) -> Pieces:
    """A function that cuts a text into pieces of *size* characters."""
    return lambda text: [text[start : start + size] for start in range(0, len(text), size)]


@dataclass(frozen=True)
class Api:
    """One backend with its server's format; *whole* and *events* build answers, *failure* builds errors."""

    backend: Backend
    model: str
    whole: Callable[..., Any]  # text, calls, thought
    events: Callable[[Any, Pieces], list[Any]]
    failure: Callable[[int, str, str | None], Answer]  # status, message, code
    prompt: Callable[[Any], str]  # the prompt in a request's JSON
    paths: tuple[str, str]  # of a plain and of a streamed request, as patterns
    variables: tuple[str, str]  # of the base URL and of the key
    key_header: str = "authorization"
    base: str = ""  # the path of the base URL
    done: bool = False  # whether a stream ends with `[DONE]`
    json_lines: bool = False  # whether a stream is newline-delimited JSON, and not server-sent events
    needed: int = 1  # a stream without so many of its last parts is not complete
    end: str = "ended"  # in the error about such a stream
    not_in_body: tuple[str, ...] = ("stream",)  # fields of an encoded request that may differ in what is sent

    @property
    def name(self) -> str:
        return self.backend.name

    def at(self, server: WireServer, **changes: Any) -> Endpoint:
        """The endpoint of *server*, with a key and a timeout unless *changes* differ."""
        return Endpoint(**{"base_url": server.url + self.base, "api_key": KEY, "timeout": 20.0, **changes})

    def body(self, prompt: str = "Hello", **settings: Any) -> dict[str, Any]:
        """An encoded request."""
        return self.backend.encode(Request(self.model, (User(prompt),), **settings))

    def answer(self, mode: str, text: str = TEXT, **fields: Any) -> Answer:
        """The answer to a request in *mode*: whole, or a stream."""
        made = self.whole(text, **fields)
        return self.reply(made) if mode in WHOLE else self.stream(self.events(made, three_characters))

    def reply(self, made: Any) -> Answer:
        """*made* as a whole HTTP answer."""
        builders: dict[str, Any] = {"anthropic": anthropic, "gemini": gemini, "ollama": ollama}
        return builders.get(self.name, openai).reply(made)  # type: ignore[no-any-return]

    def stream(self, events: Iterable[Any], line_end: str = "\n") -> Answer:
        """*events* as a stream, each in a chunk of its own."""
        if not self.json_lines:
            headers = {"request_id" if self.name == "anthropic" else "x_request_id": "req_1"}
            return sse(events, done=self.done, line_end=line_end, **headers)
        answer = ollama.ndjson(list(events))
        answer.body = [step.replace(b"\n", line_end.encode()) for step in answer.body]  # type: ignore[union-attr]
        return answer

    def talk(
        self,
        mode: str,
        server: WireServer,
        body: dict[str, Any] | None = None,
        cancel: CancelToken | None = None,
        **changes: Any,
    ) -> Reply:
        """One request to *server*, to its reply."""
        sent = self.body() if body is None else body
        return talk(self.backend, mode, self.at(server, **changes), sent, cancel)

    async def talk_async(self, mode: str, server: WireServer, body: dict[str, Any] | None = None) -> Reply:
        """The same on a loop that is running already."""
        sent = self.body() if body is None else body
        return await talk_async(self.backend, mode, self.at(server), sent)

    def ask(self, mode: str, server: WireServer, **options: Any) -> str:
        """What a user's call in *mode* gives: the answer, or the text of the stream."""
        if mode in ("send_async", "open_async"):
            return asyncio.run(self.ask_async(mode, server, **options))
        options = {**self.options(server), **options}
        return ask("Hello", **options) if mode == "send" else "".join(ask.stream("Hello", **options))

    async def ask_async(self, mode: str, server: WireServer, **options: Any) -> str:
        """The same for the asynchronous modes, on a loop that is running already."""
        options = {**self.options(server), **options}
        if mode == "send_async":
            return await ask.async_("Hello", **options)
        async with aclosing(ask.stream_async("Hello", **options)) as pieces:
            return "".join([piece async for piece in pieces])

    def options(self, server: WireServer) -> dict[str, Any]:
        """What a user's call needs to reach *server*."""
        return {
            "model": f"{self.name}:{self.model}",
            "base_url": server.url + self.base,
            "api_key": KEY,
            "timeout": 20,
            "retry": 0,
        }

    def sent(self, body: dict[str, Any]) -> dict[str, Any]:
        """The part of an encoded *body* that is sent as it is."""
        return {key: value for key, value in body.items() if key not in self.not_in_body}

    def key_of(self, request: Received) -> str | None:
        """The API key that *request* carries."""
        value = request.headers.get(self.key_header, request.headers.get("authorization"))
        return None if value is None else value.removeprefix("Bearer ")

    def __repr__(self) -> str:
        return self.name


# --- the builders of each format ----------------------------------------------------------------------


def _response(text: str = "", calls: Any = (), thought: str = "", **fields: Any) -> Any:
    return openai.response(text=text, calls=calls, thoughts=[thought] if thought else [], **fields)


def _completion(text: str = "", calls: Any = (), thought: str = "", **fields: Any) -> Any:
    return openai.completion(text=text, calls=calls, thoughts=thought, **fields)


def _message(text: str = "", calls: Any = (), thought: str | None = None, **fields: Any) -> Any:
    thoughts = [] if thought is None else [thought]
    return anthropic.message(text=text, calls=calls, thoughts=thoughts, **fields)


def _content(text: str = "", calls: Any = (), thought: str = "", **fields: Any) -> Any:
    return gemini.content(text=text, calls=calls, thoughts=thought, **fields)


def _ollama_answer(text: str = "", calls: Any = (), thought: str = "", **fields: Any) -> Any:
    return ollama.answer(text=text, calls=calls, thoughts=thought, **fields)


def _openai_failure(status: int, message: str, code: str | None = None) -> Answer:
    return openai.failure(status, message, code=code, param="input")


def _anthropic_failure(status: int, message: str, code: str | None = None) -> Answer:
    return anthropic.failure(status, message, kind=code or "invalid_request_error")


def _gemini_failure(status: int, message: str, code: str | None = None) -> Answer:
    details = {"@type": "RequestInfo", "requestId": "req_1"}
    return gemini.failure(status, message, code or "INVALID_ARGUMENT", details)


def _ollama_failure(status: int, message: str, code: str | None = None) -> Answer:
    return ollama.failure(status, message)


_CHAT: dict[str, Any] = {
    "whole": _completion,
    "events": openai.chunks,
    "failure": _openai_failure,
    "prompt": lambda body: body["messages"][0]["content"],
    "paths": ("/v1/chat/completions",) * 2,
    "base": "/v1",
    "done": True,
    "needed": 3,  # the finish reason, the usage and `[DONE]`
}
_GEMINI = "/v1(beta)?/models/gemini-3-flash-preview:"

RESPONSES = Api(
    OpenAIBackend(),
    "gpt-5.6",
    _response,
    openai.events,
    _openai_failure,
    prompt=lambda body: body["input"][0]["content"],  # type: ignore[no-any-return]
    paths=("/v1/responses",) * 2,
    variables=("OPENAI_BASE_URL", "OPENAI_API_KEY"),
    base="/v1",
)
CHAT = Api(OpenAIChatBackend(), "gpt-5.6", variables=("OPENAI_BASE_URL", "OPENAI_API_KEY"), **_CHAT)
ANTHROPIC = Api(
    AnthropicBackend(),
    "claude-sonnet-4-6",
    _message,
    anthropic.events,
    _anthropic_failure,
    prompt=lambda body: body["messages"][0]["content"],  # type: ignore[no-any-return]
    paths=("/v1/messages",) * 2,
    variables=("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
    key_header="x-api-key",
)
GEMINI = Api(
    GeminiBackend(),
    "gemini-3-flash-preview",
    _content,
    gemini.chunks,
    _gemini_failure,
    prompt=lambda body: body["contents"][0]["parts"][0]["text"],  # type: ignore[no-any-return]
    paths=(f"{_GEMINI}generateContent", rf"{_GEMINI}streamGenerateContent\?alt=sse"),
    variables=("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY"),
    key_header="x-goog-api-key",
    end="ended without a finishReason",
    not_in_body=("model",),  # which is in the path
)
OLLAMA = Api(
    OllamaBackend(),
    "llama3.2",
    _ollama_answer,
    ollama.events,
    _ollama_failure,
    prompt=lambda body: body["messages"][0]["content"],  # type: ignore[no-any-return]
    paths=("/api/chat",) * 2,
    variables=("OLLAMA_HOST", "OLLAMA_API_KEY"),
    json_lines=True,
    end="done|whole",
)
OLLAMA_CHAT = Api(OllamaChatBackend(), "llama3.2", variables=("OLLAMA_HOST", "OLLAMA_API_KEY"), **_CHAT)

APIS = (RESPONSES, CHAT, ANTHROPIC, GEMINI, OLLAMA, OLLAMA_CHAT)


def apis(*without: Api) -> pytest.MarkDecorator:
    """Run a test for each API, but not for those named in *without*."""
    return pytest.mark.parametrize("api", [api for api in APIS if api not in without], ids=repr)


every_api = apis()
every_mode = pytest.mark.parametrize("mode", MODES)
whole_modes = pytest.mark.parametrize("mode", WHOLE)
streamed_modes = pytest.mark.parametrize("mode", STREAMED)
sync_modes = pytest.mark.parametrize("mode", ["send", "open"])
async_modes = pytest.mark.parametrize("mode", ["send_async", "open_async"])
