"""A backend that wraps another one: everything is the inner backend's, except what a subclass changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any

from alloy.backends.base import Accumulator, Backend, CancelToken, Capabilities, address_of
from alloy.endpoints import Endpoint
from alloy.errors import AlloyError
from alloy.jsontypes import JsonObject
from alloy.messages import Reply, Request

__all__ = ["Wrapper"]


class Wrapper:
    """A `Backend` that passes every call on to *inner*."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.name, self.dialect = inner.name, inner.dialect

    def capabilities(self, model: str) -> Capabilities:
        """What *model* supports."""
        return self.inner.capabilities(model)

    def address(self, endpoint: Endpoint) -> str | None:
        """Where requests would go now."""
        return address_of(self.inner, endpoint)

    def encode(self, request: Request) -> JsonObject:
        """The body of a request."""
        return self.inner.encode(request)

    def decode(self, raw: Any) -> Reply:
        """The reply in the provider's parsed answer. Raises `BadReplyError` for an unexpected format."""
        return self.inner.decode(raw)

    def accumulator(self) -> Accumulator:
        """A new accumulator for one stream."""
        return self.inner.accumulator()

    def explain(self, error: Exception) -> AlloyError | None:
        """*error* as an Alloy error."""
        return self.inner.explain(error)

    def send(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Any:
        """Send *body* and wait for the answer."""
        return self.inner.send(body, endpoint, cancel)

    async def send_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> Any:
        """As `send`."""
        return await self.inner.send_async(body, endpoint)

    def open(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken
    ) -> Generator[Any, None, None]:
        """Send *body* as a streamed request and give its events."""
        return self.inner.open(body, endpoint, cancel)

    def open_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> AsyncGenerator[Any, None]:
        """As `open`."""
        return self.inner.open_async(body, endpoint)
