"""The door through the SDKs that Stainless generates: one way in for all of them.

It is the SDK's public `client.post`, always opened as a stream: then a wait can be cut short from
another thread, the answer's bytes can be shown when they are no answer, and they are parsed once. Keys,
addresses and headers stay the SDK's business.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Generator, Hashable, Mapping
from contextlib import aclosing, closing
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from alloy.backends.base import BaseBackend, CancelToken, import_sdk
from alloy.backends.http.clients import CLIENTS, Maker
from alloy.backends.http.redaction import scrub
from alloy.backends.http.transport import (
    EventStream,
    bad_reply,
    cuttable,
    drain,
    drain_async,
    is_json,
    parse_json,
    request_id,
    sendable,
)
from alloy.errors import ConfigurationError, ProviderError
from alloy.messages import Endpoint

__all__ = ["Door", "checked_key", "checked_url"]


class Door(BaseBackend, ABC):
    """The four calls of a backend. What a backend adds is what stands first."""

    name: str
    """The provider's name."""

    module: str
    """The SDK's module, and the extra that installs it."""

    path: str
    """Where requests go, under the base URL."""

    maker: Maker
    """How the SDK's clients are made."""

    streamed: Mapping[str, Any] = {}
    """What a request for a stream says beside `"stream": true`; the request's own words go first."""

    last_event = ""
    """The type of the event that ends a stream, when `[DONE]` does not."""

    @abstractmethod
    def settings(self, endpoint: Endpoint) -> Hashable:
        """All that tells one client from another. Raises `ConfigurationError`."""

    @abstractmethod
    def failure(self, error: Any, request_id: str | None = None) -> ProviderError:
        """The error for an error object in an answer whose status was fine."""

    def headers(self, body: Mapping[str, Any]) -> dict[str, str]:
        """Headers that *body* needs."""
        return {}

    def load(self) -> None:
        """Import the SDK. Raises `ConfigurationError` with the install line when it is not there."""
        self._sdk()

    # --- the four calls -----------------------------------------------------------------------------

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
            if is_json(response):
                self._whole(response, response.read(), streamed=True)
            chunks = response.iter_bytes()
            for chunk in chunks:
                event = None
                for event in events.feed(chunk):
                    yield event
                if events.done or self._is_last(event):
                    return drain(response, chunks)
            return events.finish()

    async def open_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> AsyncGenerator[Any, None]:
        """As `open`."""
        async with await self._post_async(self._streamed(body), endpoint) as stream:
            response = stream.response
            events = EventStream(self.name, response)
            if is_json(response):
                self._whole(response, await response.aread(), streamed=True)
            async with aclosing(response.aiter_bytes()) as chunks:
                async for chunk in chunks:
                    event = None
                    for event in events.feed(chunk):
                        yield event
                    if events.done or self._is_last(event):
                        await drain_async(chunks)
                        return
            events.finish()

    # --- on the way -----------------------------------------------------------------------------------

    def _sdk(self) -> ModuleType:
        return import_sdk(self.module, extra=self.module)

    def _streamed(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.streamed, **body, "stream": True}

    def _is_last(self, event: Any) -> bool:
        return bool(self.last_event) and isinstance(event, dict) and event.get("type") == self.last_event

    def _post(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Any:
        client = CLIENTS.get(self.maker, self.settings(endpoint))
        with cuttable(cancel), sendable(self.name, body):
            return client.post(self.path, **self._arguments(body, endpoint, self._sdk().Stream[object]))

    async def _post_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> Any:
        client = await CLIENTS.get_async(self.maker, self.settings(endpoint))
        with sendable(self.name, body):
            arguments = self._arguments(body, endpoint, self._sdk().AsyncStream[object])
            return await client.post(self.path, **arguments)

    def _arguments(self, body: Mapping[str, Any], endpoint: Endpoint, stream_cls: Any) -> dict[str, Any]:
        # As bytes: SDKs walk through a body in Python, which makes a turn of a long history twice as dear.
        written = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        options: dict[str, Any] = {"headers": {"content-type": "application/json", **self.headers(body)}}
        if endpoint.timeout is not None:
            options["timeout"] = endpoint.timeout
        return {
            "cast_to": object,
            "content": written.encode(),
            "options": options,
            "stream": True,
            "stream_cls": stream_cls,
        }

    def _whole(self, response: Any, content: bytes, *, streamed: bool = False) -> Any:
        try:
            raw = parse_json(content)
        except ValueError as error:
            raise bad_reply(self.name, "the answer is no JSON", response, content) from error
        if not isinstance(raw, dict):
            raise bad_reply(self.name, "the answer is no JSON object", response, content)
        if raw.get("error"):
            raise self.failure(scrub(raw["error"], response.request), request_id(response))
        if streamed:
            raise bad_reply(self.name, "the answer is whole, not a stream as asked", response, content)
        return raw


# --- settings -----------------------------------------------------------------------------


def checked_key(provider: str, key: str) -> str:
    """*key* if a header can carry it. Raises `ConfigurationError`, which does not show it."""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError(
            f"the {provider} key holds a character that no key has: "
            "a space, a line end or a letter beyond ASCII"
        )
    return key


def checked_url(url: str, example: str) -> str:
    """*url* if it is an address. Raises `ConfigurationError`, which does not show it, for passwords."""
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"`base_url` must start with http:// or https://, as in {example}")
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:  # brackets that do not pair, or a port that is none
        sound = False
    if not sound:
        raise ConfigurationError(
            f"`base_url` is no address: its host, its port or one of its characters is not allowed; write it "
            f"as in {example}"
        )
    return url
