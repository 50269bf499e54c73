"""A backend that is reached over HTTP: the four calls of the protocol, for all providers."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator, Hashable, Iterable, Iterator, Mapping
from contextlib import aclosing, closing, suppress
from typing import Any

from alloy.backends.base import Accumulator, BaseBackend, CancelToken
from alloy.backends.http.bodies import read_events
from alloy.backends.http.body import Body
from alloy.backends.http.cancel import closing_async, drain, drain_async
from alloy.backends.http.clients import CLIENTS, Address, Sdk
from alloy.backends.http.errors import ErrorReader, Failure, is_error_object
from alloy.backends.http.event_stream import END_MARK, EventStream, StreamReader
from alloy.backends.http.exchange import HttpExchange
from alloy.backends.http.formats import Format, format_of
from alloy.backends.http.keys import address_of, address_of_async, with_key, with_key_async
from alloy.backends.http.payload import parse_body, unparsed, written
from alloy.backends.http.received import Received, bad_reply, redirect_error
from alloy.backends.http.redaction import repeats_secret
from alloy.backends.http.transport_errors import (
    content_read,
    proxy_error,
    refused_response,
    transport_error,
    unreached_origin,
)
from alloy.endpoints import Endpoint
from alloy.errors import AlloyError, BadReplyError, ProviderError
from alloy.jsontypes import Json
from alloy.messages import Reply

__all__ = ["HttpBackend"]


class HttpBackend(BaseBackend, ABC):
    """The I/O of a backend that is reached over HTTP; a provider's class adds its codec and its facts.

    Every call does the same. It reads the settings, gets the connection for them, and the address of the
    request from the SDK: URL, headers and credentials. It writes the body, sends it with our own HTTP
    client of the SDK's kind, and turns a response with an error status into an Alloy error. Then `send`
    parses the whole body, and `open` yields the events of the stream until its last one. A server may answer
    in the other form than it was asked for, and both read either. The `_async` twins differ in their awaits
    only.
    """

    has_connections = True

    name: str
    """The provider's name."""

    sdk: Sdk
    """The SDK that addresses the requests."""

    path: str
    """Where requests go, relative to the base URL."""

    errors: ErrorReader
    """How the provider's errors are read."""

    format: Format
    """The format of answers and events."""

    stream_reader: Callable[[Received], StreamReader] = EventStream
    """The format of a streamed body."""

    split: Callable[[Json], Iterable[Json]] | None = None
    """What the accumulator gets instead of one event of the stream, if that is not the event itself."""

    request_id_headers: tuple[str, ...] = ("x-request-id",)
    """The headers by which the provider's support finds a request, the best one first."""

    # --- what a provider adds -----------------------------------------------------------------------

    @abstractmethod
    def accumulator(self) -> Accumulator:
        """A new accumulator for one stream; it also takes a whole answer as an event."""

    @abstractmethod
    def decode(self, raw: Any) -> Reply:
        """The reply in an answer. Raises `ProviderError` when there is none."""

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

    def is_list_of_chunks(self, found: Json) -> bool:
        """Whether *found*, a whole JSON body, is a list of the events of one stream."""
        return False

    def prepare(
        self, exchange: HttpExchange, body: Mapping[str, Any], cancel: CancelToken
    ) -> Mapping[str, Any]:
        """*body* in the form that its model supports; may ask the server first."""
        return body

    async def prepare_async(self, exchange: HttpExchange, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """As `prepare`."""
        return body

    def adapted(
        self, body: Mapping[str, Any], error: ProviderError, endpoint: Endpoint
    ) -> Mapping[str, Any] | None:
        """*body* as the server wants it that refused it with *error*; `None` when that is not known."""
        return None

    def unreached(self, error: Exception, server: str, settings: Any) -> AlloyError | None:
        """The error for a *server* to which no connection could be opened."""
        return self.explain(error)

    # --- the protocol -------------------------------------------------------------------------------

    def check(self, model: str, endpoint: Endpoint) -> None:
        """Raise `ConfigurationError` for a missing key, and for a key or an address that cannot be sent."""
        self.settings(endpoint)

    def load(self) -> None:
        """Import the SDK. Raises `ConfigurationError` with the install line when it is not installed."""
        self.sdk.library()

    def send(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Json:
        """Send *body*; return the parsed answer, or a list of events when the server answers with a stream.

        Raises `BadReplyError` when it is neither a JSON object nor a stream.
        """
        received = self._post(body, endpoint, cancel, streamed=False)
        with closing(received.response) as response:
            if _is_stream(response):
                reader = self.stream_reader(received)
                return self._answer(reader, received, list(self._streamed(reader, received)))
            return self._read(received, Body(received).read())

    async def send_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> Json:
        """As `send`. Cancelling it closes the connection."""
        received = await self._post_async(body, endpoint, streamed=False)
        async with closing_async(received.response) as response:
            if _is_stream(response):
                reader = self.stream_reader(received)
                async with aclosing(self._streamed_async(reader, received)) as events:
                    return self._answer(reader, received, [event async for event in events])
            return self._read(received, await Body(received).read_async())

    def open(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken
    ) -> Generator[Json, None, None]:
        """Send *body* as a streamed request and yield its events. Closing it closes the connection.

        A server that answers with one JSON object gives one event, that object.
        """
        received = self._post(body, endpoint, cancel, streamed=True)
        with closing(received.response):
            if self._is_whole(received):
                yield from self._as_events(self._read(received, Body(received).read()))
            else:
                yield from self._streamed(self.stream_reader(received), received)

    async def open_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> AsyncGenerator[Json, None]:
        """As `open`."""
        received = await self._post_async(body, endpoint, streamed=True)
        async with closing_async(received.response):
            if self._is_whole(received):
                for event in self._as_events(self._read(received, await Body(received).read_async())):
                    yield event
                return
            reader = self.stream_reader(received)
            async with aclosing(self._streamed_async(reader, received)) as events:
                async for event in events:
                    yield event

    # --- reading ------------------------------------------------------------------------------------

    def _streamed(self, reader: StreamReader, received: Received) -> Generator[Json, None, None]:
        """The events of a body while it arrives."""
        body = Body(received)
        chunks = body.chunks()
        for chunk in chunks:
            for piece in body.pieces(chunk):
                yield from self._events(reader, received, reader.feed(piece))
                if reader.done:
                    return drain(received.response, chunks)
        yield from self._end(reader, received)
        return None

    async def _streamed_async(self, reader: StreamReader, received: Received) -> AsyncGenerator[Json, None]:
        """As `_streamed`."""
        body = Body(received)
        async with aclosing(body.chunks_async()) as chunks:
            async for chunk in chunks:
                for piece in body.pieces(chunk):
                    for event in self._events(reader, received, reader.feed(piece)):
                        yield event
                    if reader.done:
                        await drain_async(chunks)
                        return
        for event in self._end(reader, received):
            yield event

    def _read(self, received: Received, content: bytes) -> Json:
        """A body that has arrived: its JSON object, or its events in a list.

        Raises `ProviderError` for an error object, and `BadReplyError` for anything else.
        """
        try:
            raw = parse_body(content)
        except ValueError as error:
            reader = self.stream_reader(received)
            if not reader.recognises(content):
                lasts, what = unparsed(error, None)
                raise bad_reply(received, f"the answer is {what}", content, transient=lasts) from error
            events = [*self._events(reader, received, reader.feed(content))]
            return self._answer(
                reader, received, [*events, *(() if reader.done else self._end(reader, received))]
            )
        if isinstance(raw, list) and len(raw) == 1:
            (raw,) = raw  # Google wraps an answer, or an error, to a streamed request
        if self.is_list_of_chunks(raw):
            return list(self._events(self.stream_reader(received), received, raw))
        if not isinstance(raw, dict):
            raise bad_reply(received, "the answer is not a JSON object", content, transient=False)
        if raw.get("error"):
            raise self.errors.in_answer(raw, received.request_id)
        self._check(raw, received, content)
        return raw

    def _answer(self, reader: StreamReader, received: Received, events: list[Json]) -> Json:
        """*events*, which answer a plain request. Raises `BadReplyError` unless there is a reply in them."""
        try:
            read_events(self.accumulator(), events)
        except BadReplyError as error:
            what = "the answer is a stream without a whole reply"
            raise bad_reply(received, what, reader.head, transient=error.transient) from error
        return events

    def _is_whole(self, received: Received) -> bool:
        """Whether the answer to a streamed request says that it is one JSON value."""
        kind = received.response.headers.get("content-type", "")
        return kind.startswith("application/json") and not self.stream_reader(received).whole_json

    def _as_events(self, answer: Json) -> Iterator[Json]:
        """What the accumulator gets of an *answer* that has arrived. Raises what `decode` does."""
        if isinstance(answer, dict):
            self.decode(answer)  # nothing more will come, so it is no answer now if it is none when plain
        for event in answer if isinstance(answer, list) else (answer,):
            yield from (event,) if self.split is None else self.split(event)

    def _events(self, reader: StreamReader, received: Received, events: Iterable[Json]) -> Iterator[Json]:
        """What the accumulator gets of *events*; after the last event of a stream *reader* is done."""
        for event in events:
            self._check(event, received, reader.head)
            self._note_format(reader, received, event)
            yield from (event,) if self.split is None else self.split(event)
            if self.is_last(event):
                reader.done = True
                return

    def _end(self, reader: StreamReader, received: Received) -> Iterator[Json]:
        """The last events. Bare JSON is a whole answer, or a failure, even after events (Google's)."""
        with suppress(ValueError):
            rest = parse_body(reader.rest())
            rest = rest[0] if isinstance(rest, list) and len(rest) == 1 else rest
            if isinstance(rest, dict) and rest.get("error"):
                raise self.errors.in_answer(rest["error"])
            if not reader.started and (isinstance(rest, dict) or self.is_list_of_chunks(rest)):
                reader.started = True
                if isinstance(rest, dict):
                    self._check(rest, received, reader.head)
                    self.decode(rest)  # as in `_as_events`
                yield from self._events(reader, received, rest if isinstance(rest, list) else (rest,))
        yield from self._events(reader, received, reader.finish())
        self._note_format(reader, received, END_MARK)

    def _note_format(self, reader: StreamReader, received: Received, event: Json) -> None:
        """Note whether *event* has the format of this API. Raises `BadReplyError` at an end without any."""
        if reader.known or reader.whole_json or not isinstance(event, dict):
            return
        if event == END_MARK and reader.known is False:
            what = f"the events of the stream are not those of {self.format.title}"
            raise bad_reply(received, what, reader.head, transient=False)
        if event.keys() - {"type"} and event.get("type") not in ("ping", "heartbeat"):
            has_key = "error" in event or not event.keys().isdisjoint(self.format.keys)
            reader.known = has_key or self.format.recognises(event)

    def _check(self, event: Json, received: Received, content: bytes) -> None:
        """Raise the error for an *event*, or an answer, that is an error or in the format of another API."""
        if not isinstance(event, dict) or not event.keys().isdisjoint(self.format.keys):
            return
        if is_error_object(event):
            raise self.errors.in_answer(event, received.request_id)
        found = format_of(event)
        if found not in (None, self.format):
            what = f'this is the format of {found.title}, which model="{found.prefix}:NAME" reads'
            raise bad_reply(received, what, content or json.dumps(event).encode(), transient=False)

    def explain(self, error: Exception) -> AlloyError | None:
        """*error* as an Alloy error, or `None` when the transport did not raise it."""
        return transport_error(self.name, error, self.errors.address_variable)

    # --- sending ------------------------------------------------------------------------------------

    def _post(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken, *, streamed: bool
    ) -> Received:
        """The response to *body*, not read yet. Raises `ProviderError` for an error status."""
        received = self._posted(body, endpoint, cancel, streamed=streamed)
        if received.response.is_success:
            return received
        error = self._refused(received)
        if (changed := self.adapted(body, error, endpoint)) is None:
            raise error
        received = self._posted(changed, endpoint, cancel, streamed=streamed)
        if received.response.is_success:
            return received
        raise self._refused(received)

    def _refused(self, received: Received) -> ProviderError:
        with closing(received.response):
            body = Body(received, cuts=True)
            return body.noted(_refusal(received, body.read(), self.errors))

    def _posted(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken, *, streamed: bool
    ) -> Received:
        endpoint = self.located(body, with_key(endpoint, cancel), cancel)
        exchange = HttpExchange(CLIENTS.get(self.sdk, self.settings(endpoint), endpoint), endpoint)
        try:
            body = self.prepare(exchange, body, cancel)
            target, book = self.target(body, streamed=streamed), exchange.connection.book
            address = address_of(book, target, endpoint, cancel)
            response = exchange.send(self._request(exchange, address, body, streamed=streamed), cancel)
        except Exception as error:
            if (problem := self._not_sent(error, exchange)) is None:
                raise
            raise problem from error
        return self._received(response, endpoint)

    async def _post_async(self, body: Mapping[str, Any], endpoint: Endpoint, *, streamed: bool) -> Received:
        """As `_post`."""
        received = await self._posted_async(body, endpoint, streamed=streamed)
        if received.response.is_success:
            return received
        error = await self._refused_async(received)
        if (changed := self.adapted(body, error, endpoint)) is None:
            raise error
        received = await self._posted_async(changed, endpoint, streamed=streamed)
        if received.response.is_success:
            return received
        raise await self._refused_async(received)

    async def _refused_async(self, received: Received) -> ProviderError:
        async with closing_async(received.response):
            body = Body(received, cuts=True)
            return body.noted(_refusal(received, await body.read_async(), self.errors))

    async def _posted_async(self, body: Mapping[str, Any], endpoint: Endpoint, *, streamed: bool) -> Received:
        endpoint = await self.located_async(body, await with_key_async(endpoint))
        exchange = HttpExchange(
            await CLIENTS.get_async(self.sdk, self.settings(endpoint), endpoint), endpoint
        )
        try:
            body = await self.prepare_async(exchange, body)
            target, book = self.target(body, streamed=streamed), exchange.connection.book
            address = await address_of_async(book, target, endpoint)
            response = await exchange.send_async(self._request(exchange, address, body, streamed=streamed))
        except Exception as error:
            if (problem := self._not_sent(error, exchange)) is None:
                raise
            raise problem from error
        return self._received(response, endpoint)

    def _request(
        self, exchange: HttpExchange, address: Address, body: Mapping[str, Any], *, streamed: bool
    ) -> Any:
        content = written(self.name, self.content(body, streamed=streamed))
        return exchange.request(address, content, self.headers(body, exchange.endpoint))

    def _received(self, response: Any, endpoint: Endpoint) -> Received:
        found = (response.headers.get(name) for name in self.request_id_headers)
        request_id = next(filter(None, found), None)
        if request_id is not None and repeats_secret(endpoint.carried, request_id):
            request_id = None
        received = Received(self.name, response, request_id, endpoint.max_response_bytes)
        if endpoint.report is not None:
            endpoint.report(response.status_code, received.request_id)
        return received

    def _not_sent(self, error: Exception, exchange: HttpExchange) -> AlloyError | None:
        """The error for a server that was not reached, or whose response a hook of the caller refused."""
        if (response := refused_response(error)) is not None:
            return _refusal(self._received(response, exchange.endpoint), content_read(response), self.errors)
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


def _is_stream(response: Any) -> bool:
    """Whether *response* says that its body is a stream, even though none was requested."""
    kind = response.headers.get("content-type", "")
    return bool(kind.startswith(("text/event-stream", "application/x-ndjson")))
