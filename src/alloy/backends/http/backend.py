"""A backend that is reached over HTTP: the four calls of the protocol, for all providers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator, Hashable, Iterable, Iterator, Mapping
from contextlib import aclosing, closing, suppress
from typing import Any

from alloy.backends.base import BaseBackend, CancelToken
from alloy.backends.http.cancel import drain, drain_async
from alloy.backends.http.clients import CLIENTS, Address, Sdk
from alloy.backends.http.errors import ErrorReader, Failure
from alloy.backends.http.event_stream import EventStream, StreamReader
from alloy.backends.http.exchange import HttpExchange
from alloy.backends.http.payload import parse_json, written
from alloy.backends.http.received import Received, bad_reply, redirect_error
from alloy.backends.http.redaction import scrub
from alloy.backends.http.transport_errors import proxy_error, transport_error, unreached_origin
from alloy.endpoints import Endpoint
from alloy.errors import AlloyError, ProviderError
from alloy.jsontypes import Json, JsonObject

__all__ = ["HttpBackend"]


class HttpBackend(BaseBackend, ABC):
    """The I/O of a backend that is reached over HTTP; a provider's class adds its codec and its facts.

    Every call does the same. It reads the settings, gets the connection for them, and the address of the
    request from the SDK: URL, headers and credentials. It writes the body, sends it with our own HTTP
    client of the SDK's kind, and turns a response with an error status into an Alloy error. Then `send`
    parses the whole body, and `open` yields the events of the stream until its last one. The `_async` twins
    differ in their awaits only.
    """

    name: str
    """The provider's name."""

    sdk: Sdk
    """The SDK that addresses the requests."""

    path: str
    """Where requests go, relative to the base URL."""

    errors: ErrorReader
    """How the provider's errors are read."""

    stream_reader: Callable[[Received], StreamReader] = EventStream
    """The format of a streamed body."""

    split: Callable[[Json], Iterable[Json]] | None = None
    """What the accumulator gets instead of one event of the stream, if that is not the event itself."""

    request_id_headers: tuple[str, ...] = ("x-request-id",)
    """The headers by which the provider's support finds a request, the best one first."""

    # --- what a provider adds -----------------------------------------------------------------------

    @abstractmethod
    def settings(self, endpoint: Endpoint) -> Hashable:
        """Everything that decides the address. Raises `ConfigurationError` for what no request can carry."""

    def located(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Endpoint:
        """*endpoint*, or the one that *body* must go to; may start a server first."""
        return endpoint

    async def located_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> Endpoint:
        """As `located`."""
        return endpoint

    def target(self, body: Mapping[str, Any], *, streamed: bool) -> Hashable:
        """What the SDK is asked to address the request to: a path, unless the provider's `Sdk` says more."""
        return self.path

    def content(self, body: Mapping[str, Any], *, streamed: bool) -> Mapping[str, Any]:
        """The body as it is sent, from the one that `encode` made."""
        return {**body, "stream": True} if streamed else body

    def headers(self, body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, str]:
        """Headers that depend on the request."""
        return {}

    def is_last(self, event: Json) -> bool:
        """Whether *event* ends the stream, in an API without an end mark."""
        return False

    def prepare(
        self, exchange: HttpExchange, body: Mapping[str, Any], cancel: CancelToken
    ) -> Mapping[str, Any]:
        """*body* in the form that its model supports; may ask the server first."""
        return body

    async def prepare_async(self, exchange: HttpExchange, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """As `prepare`."""
        return body

    def unreached(self, error: Exception, server: str, settings: Any) -> AlloyError | None:
        """The error for a *server* to which no connection could be opened."""
        return self.explain(error)

    # --- the protocol -------------------------------------------------------------------------------

    def load(self) -> None:
        """Import the SDK. Raises `ConfigurationError` with the install line when it is not installed."""
        self.sdk.library()

    def send(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Json:
        """Send *body*; return the parsed answer. Raises `BadReplyError` when it is not a JSON object."""
        received = self._post(body, endpoint, cancel, streamed=False)
        with closing(received.response) as response:
            return _whole(received, response.read(), self.errors)

    async def send_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> Json:
        """As `send`. Cancelling it closes the connection."""
        received = await self._post_async(body, endpoint, streamed=False)
        async with aclosing(received.response) as response:
            return _whole(received, await response.aread(), self.errors)

    def open(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken
    ) -> Generator[Json, None, None]:
        """Send *body* as a streamed request and yield its events. Closing it closes the connection."""
        received = self._post(body, endpoint, cancel, streamed=True)
        with closing(received.response) as response:
            reader = self.stream_reader(received)
            if not reader.whole_json and _is_json(response):
                raise _not_a_stream(received, response.read(), self.errors)
            chunks = response.iter_bytes()
            for chunk in chunks:
                yield from self._events(reader, chunk)
                if reader.done:
                    return drain(response, chunks)
            yield from _end(reader, self.errors)
        return None

    async def open_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> AsyncGenerator[Json, None]:
        """As `open`."""
        received = await self._post_async(body, endpoint, streamed=True)
        async with aclosing(received.response) as response:
            reader = self.stream_reader(received)
            if not reader.whole_json and _is_json(response):
                raise _not_a_stream(received, await response.aread(), self.errors)
            async with aclosing(response.aiter_bytes()) as chunks:
                async for chunk in chunks:
                    for event in self._events(reader, chunk):
                        yield event
                    if reader.done:
                        await drain_async(chunks)
                        return
            for event in _end(reader, self.errors):
                yield event

    def _events(self, reader: StreamReader, chunk: bytes) -> Iterator[Json]:
        """What the accumulator gets of *chunk*; after the last event of a stream *reader* is done."""
        for event in reader.feed(chunk):
            yield from (event,) if self.split is None else self.split(event)
            if self.is_last(event):
                reader.done = True
                return

    def explain(self, error: Exception) -> AlloyError | None:
        """*error* as an Alloy error, or `None` when the transport did not raise it."""
        return transport_error(self.name, error, self.errors.address_variable)

    # --- sending ------------------------------------------------------------------------------------

    def _post(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken, *, streamed: bool
    ) -> Received:
        """The response to *body*, not read yet. Raises `ProviderError` for an error status."""
        endpoint = self.located(body, endpoint.with_key(), cancel)
        exchange = HttpExchange(CLIENTS.get(self.sdk, self.settings(endpoint), endpoint), endpoint)
        try:
            body = self.prepare(exchange, body, cancel)
            address = exchange.connection.book.address(self.target(body, streamed=streamed))
            response = exchange.send(self._request(exchange, address, body, streamed=streamed), cancel)
        except Exception as error:
            if (problem := self._unreached(error, exchange)) is None:
                raise
            raise problem from error
        received = self._received(response, endpoint)
        if response.is_success:
            return received
        with closing(response):
            raise _refusal(received, response.read(), self.errors)

    async def _post_async(self, body: Mapping[str, Any], endpoint: Endpoint, *, streamed: bool) -> Received:
        """As `_post`."""
        endpoint = await self.located_async(body, await endpoint.with_key_async())
        exchange = HttpExchange(
            await CLIENTS.get_async(self.sdk, self.settings(endpoint), endpoint), endpoint
        )
        try:
            body = await self.prepare_async(exchange, body)
            address = await exchange.connection.book.address_async(self.target(body, streamed=streamed))
            response = await exchange.send_async(self._request(exchange, address, body, streamed=streamed))
        except Exception as error:
            if (problem := self._unreached(error, exchange)) is None:
                raise
            raise problem from error
        received = self._received(response, endpoint)
        if response.is_success:
            return received
        async with aclosing(response):
            raise _refusal(received, await response.aread(), self.errors)

    def _request(
        self, exchange: HttpExchange, address: Address, body: Mapping[str, Any], *, streamed: bool
    ) -> Any:
        content = written(self.name, self.content(body, streamed=streamed))
        return exchange.request(address, content, self.headers(body, exchange.endpoint))

    def _received(self, response: Any, endpoint: Endpoint) -> Received:
        found = (response.headers.get(name) for name in self.request_id_headers)
        received = Received(self.name, response, next(filter(None, found), None))
        if endpoint.report is not None:
            endpoint.report(response.status_code, received.request_id)
        return received

    def _unreached(self, error: Exception, exchange: HttpExchange) -> AlloyError | None:
        if (server := unreached_origin(error)) is None:
            return None
        if exchange.endpoint.transport is not None and exchange.endpoint.transport.proxy:
            return proxy_error(self.name, error, server, exchange.endpoint.transport.proxy)
        return self.unreached(error, server, exchange.connection.book.settings)


def _refusal(received: Received, content: bytes, errors: ErrorReader) -> ProviderError:
    """The error for a response whose status is not a success."""
    status = received.response.status_code
    if (redirect := redirect_error(received, errors.address_variable)) is not None:
        return redirect
    if status < 400:
        return bad_reply(received, f"the answer has the status {status}", content)
    return errors.explain(Failure.of_response(received, content))


def _is_json(response: Any) -> bool:
    """Whether *response* says that its body is one JSON value, so it is not an event stream."""
    return bool(response.headers.get("content-type", "").startswith("application/json"))


def _whole(received: Received, content: bytes, errors: ErrorReader) -> JsonObject:
    """The parsed answer. Raises `ProviderError` for an error object, `BadReplyError` for anything else."""
    try:
        raw = parse_json(content)
    except ValueError as error:
        raise bad_reply(received, "the answer is not JSON", content) from error
    if isinstance(raw, list) and len(raw) == 1:
        (raw,) = raw  # Google wraps an answer, or an error, to a streamed request
    if not isinstance(raw, dict):
        raise bad_reply(received, "the answer is not a JSON object", content)
    if raw.get("error"):
        raise errors.in_answer(scrub(raw["error"], received.response.request), received.request_id)
    return raw


def _not_a_stream(received: Received, content: bytes, errors: ErrorReader) -> ProviderError:
    """The error for one JSON value as the answer to a streamed request. Raises what it reports itself."""
    _whole(received, content, errors)
    return bad_reply(received, "the answer is whole, not a stream as requested", content)


def _end(reader: StreamReader, errors: ErrorReader) -> Iterator[Json]:
    """The last events. Raises an error outside of events: Google reports some failures as bare JSON."""
    with suppress(ValueError):
        rest = parse_json(reader.rest())
        rest = rest[0] if isinstance(rest, list) and rest else rest
        if isinstance(rest, dict) and rest.get("error"):
            raise errors.in_answer(rest["error"])
    yield from reader.finish()
