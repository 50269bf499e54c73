"""What both OpenAI APIs share: the door through the SDK, and the settings of its clients.

The door is the SDK's public `client.post`, always opened as a stream: then a wait can be cut short
from another thread, the answer's bytes can be shown when they are no answer, and they are parsed
once. Keys, addresses and headers stay the SDK's business.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import aclosing, closing, contextmanager
from types import ModuleType
from typing import Any, NamedTuple

from alloy.backends.base import CancelToken, import_sdk
from alloy.backends.clients import CLIENTS
from alloy.backends.openai_errors import NO_KEY, explain, generation_error, request_id, scrubbed
from alloy.backends.transport import (
    EventStream,
    bad_reply,
    cut,
    cuttable,
    json_problem,
    parse_json,
    transport_error,
)
from alloy.errors import AlloyError, ConfigurationError
from alloy.messages import Endpoint, Request
from alloy.parts import Document

__all__ = ["NO_SAMPLING", "SAMPLING", "OpenAIDoor", "file_name", "given", "merge", "tool_choice"]

DEFAULT_URL = "https://api.openai.com/v1"
# Reasoning models that never take a temperature; later ones do when their effort is "none".
NO_SAMPLING = ("o1", "o3", "o4")
SAMPLING = frozenset({"temperature", "top_p"})

DRAIN = 0.1  # seconds that the rest of a body may take after its end mark


def openai_sdk() -> ModuleType:
    """The SDK, imported on first use, for that takes a second."""
    return import_sdk("openai", extra="openai")


# --- settings and clients -----------------------------------------------------------------------------


class Settings(NamedTuple):
    """All that tells one SDK client from another, what the SDK reads from the environment included."""

    api_key: str
    base_url: str
    organization: str | None
    project: str | None
    custom_headers: str | None

    def __repr__(self) -> str:
        return "Settings(…)"  # an address and headers may hold secrets too


class _Maker:
    def pool_class(self, *, is_async: bool) -> Any:
        sdk = openai_sdk()
        return sdk.DefaultAsyncHttpxClient if is_async else sdk.DefaultHttpxClient

    def client(self, settings: Settings, pool: Any, *, is_async: bool) -> Any:
        sdk = openai_sdk()
        kind = sdk.AsyncOpenAI if is_async else sdk.OpenAI
        # organization, project and custom headers: the SDK reads the same variables itself
        return kind(api_key=settings.api_key, base_url=settings.base_url, max_retries=0, http_client=pool)


OPENAI = _Maker()


def read_settings(endpoint: Endpoint, *, keyless: bool) -> Settings:
    """What *endpoint* says, else what the environment says now.

    *keyless* allows a custom address to go without a key. Raises `ConfigurationError` for a missing
    key, and for a key or an address that no request can carry.
    """
    env = os.environ.get
    base_url = endpoint.base_url or env("OPENAI_BASE_URL") or DEFAULT_URL
    if not base_url.startswith(("http://", "https://")):
        raise ConfigurationError("`base_url` must start with http:// or https://, as in https://host/v1")
    key = endpoint.api_key or env("OPENAI_API_KEY")
    if not key and keyless and base_url != DEFAULT_URL:
        key = NO_KEY
    if not key:
        raise ConfigurationError(
            "no key for OpenAI: set OPENAI_API_KEY or configure(api_key=…), "
            "or run offline with ALLOY_BACKEND=fake"
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError(
            "the OpenAI key holds a character that no key has: a space, a line end or a letter beyond ASCII"
        )
    headers = env("OPENAI_CUSTOM_HEADERS")
    return Settings(key, base_url, env("OPENAI_ORG_ID"), env("OPENAI_PROJECT_ID"), headers)


def tool_choice(request: Request, named: Callable[[str], Any]) -> Any:
    """The value of `tool_choice`; *named* writes one tool's name as the API does."""
    choice = request.tool_choice
    return choice if choice in (None, "auto", "none", "required") else named(choice)


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """*fields* without those that are `None`: what was not set is not sent."""
    return {name: value for name, value in fields.items() if value is not None}


def file_name(document: Document) -> str:
    """A name for *document*: the APIs want one, and tell the kind of file by its suffix."""
    return document.name or f"document.{_SUFFIXES.get(document.media_type, 'txt')}"


_SUFFIXES = {"application/pdf": "pdf", "text/markdown": "md", "text/csv": "csv"}


def merge(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """*body* with *extra* over it: dicts are merged, everything else replaces what was there."""
    for key, value in extra.items():
        old = body.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping):
            value = merge(dict(old), value)
        body[key] = value
    return body


# --- the door -----------------------------------------------------------------------------------------


class OpenAIDoor:
    """The I/O of a backend on OpenAI's SDK. What an API adds is its path and how to ask it for a stream.

    Azure is reached by `base_url`, through its v1 address `https://RESOURCE.openai.azure.com/openai/v1/`.
    """

    name: str
    path: str
    streamed: Mapping[str, Any] = {}  # what a streamed request says beyond `stream`
    keyless = False  # whether a server of one's own may go without a key
    other_route = ""  # what to do when a server has nothing at the path

    def send(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Any:
        """Send *body*; give back the parsed answer. Raises `BadReplyError` for one that is no JSON object."""
        with closing(self._post(body, endpoint, cancel)) as stream:
            return self._whole(stream.response, stream.response.read())

    async def send_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> Any:
        """As `send`. Cancelling it closes the connection."""
        async with await self._post_async(body, endpoint) as stream:
            return self._whole(stream.response, await stream.response.aread())

    def open(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken
    ) -> Generator[Any, None, None]:
        """Send *body* as a streamed request and yield its events. Closing it closes the connection."""
        with closing(self._post(self._streamed(body), endpoint, cancel)) as stream:
            response = stream.response
            events = EventStream(self.name, response)
            if _is_json(response):
                self._whole(response, response.read(), streamed=True)
            chunks = response.iter_bytes()
            for chunk in chunks:
                yield from events.feed(chunk)
                if events.done:
                    return _drain(response, chunks)
            return events.finish()

    async def open_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> AsyncGenerator[Any, None]:
        """As `open`."""
        async with await self._post_async(self._streamed(body), endpoint) as stream:
            response = stream.response
            events = EventStream(self.name, response)
            if _is_json(response):
                self._whole(response, await response.aread(), streamed=True)
            async with aclosing(response.aiter_bytes()) as chunks:
                async for chunk in chunks:
                    for event in events.feed(chunk):
                        yield event
                    if events.done:
                        await _drain_async(chunks)
                        return
            events.finish()

    def explain(self, error: Exception) -> AlloyError | None:
        """*error* in Alloy's terms, or `None` when it comes from neither the SDK nor its transport."""
        return explain(self.name, error, other_route=self.other_route)

    def _streamed(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.streamed, **body, "stream": True}

    def _post(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Any:
        client = CLIENTS.get(OPENAI, read_settings(endpoint, keyless=self.keyless))
        with cuttable(cancel), _sendable(self.name, body):
            return client.post(self.path, **_arguments(body, endpoint, openai_sdk().Stream[object]))

    async def _post_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> Any:
        client = await CLIENTS.get_async(OPENAI, read_settings(endpoint, keyless=self.keyless))
        with _sendable(self.name, body):
            return await client.post(
                self.path, **_arguments(body, endpoint, openai_sdk().AsyncStream[object])
            )

    def _whole(self, response: Any, content: bytes, *, streamed: bool = False) -> Any:
        try:
            raw = parse_json(content)
        except ValueError as error:
            raise bad_reply(self.name, "the answer is no JSON", response, content) from error
        if not isinstance(raw, dict):
            raise bad_reply(self.name, "the answer is no JSON object", response, content)
        if raw.get("error"):
            said = scrubbed(raw["error"], response.request)
            raise generation_error(self.name, said, request_id=request_id(response))
        if streamed:
            raise bad_reply(self.name, "the answer is whole, not a stream as asked", response, content)
        return raw


def _arguments(body: Mapping[str, Any], endpoint: Endpoint, stream_cls: Any) -> dict[str, Any]:
    options = {} if endpoint.timeout is None else {"timeout": endpoint.timeout}
    return {"cast_to": object, "body": body, "options": options, "stream": True, "stream_cls": stream_cls}


@contextmanager
def _sendable(provider: str, body: Mapping[str, Any]) -> Iterator[None]:
    """Say where *body* cannot be written as JSON, when that is why building the request failed."""
    try:
        yield
    except (RecursionError, TypeError, ValueError) as error:
        problem = json_problem(dict(body))
        if problem is None:
            raise
        raise ConfigurationError(f"{provider}: the request cannot be sent: {problem}") from error


def _is_json(response: Any) -> bool:
    return bool(response.headers.get("content-type", "").startswith("application/json"))


def _drain(response: Any, chunks: Iterable[bytes]) -> None:
    """Read what follows the end mark: only a body that was read whole frees its connection for reuse.

    A timer, because some servers leave a finished body open: the answer must not wait for them.
    """
    timer = threading.Timer(DRAIN, cut, [response])
    timer.daemon = True
    timer.start()
    try:
        for _ in chunks:
            pass
    except Exception as error:
        if transport_error("", error) is None:
            raise
    finally:
        timer.cancel()
        timer.join()


async def _drain_async(chunks: Any) -> None:
    try:
        async with asyncio.timeout(DRAIN):
            async for _ in chunks:
                pass
    except TimeoutError:
        return
    except Exception as error:
        if transport_error("", error) is None:
            raise
