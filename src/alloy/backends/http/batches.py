"""The requests of a batch API over HTTP: the same clients, addresses, limits and errors as model requests."""

from __future__ import annotations

from abc import ABC
from collections.abc import Hashable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

from alloy.backends.base import CancelToken
from alloy.backends.batches import ApiCall, BatchApi, Rows
from alloy.backends.http.backend import HttpBackend
from alloy.backends.http.body import Body
from alloy.backends.http.cancel import closing_async
from alloy.backends.http.clients import CLIENTS, Address
from alloy.backends.http.exchange import HttpExchange
from alloy.backends.http.keys import address_of, address_of_async, with_key, with_key_async
from alloy.backends.http.payload import parse_body, unparsed
from alloy.backends.http.received import Received, bad_reply
from alloy.endpoints import Endpoint

__all__ = ["HttpBatchBackend"]


class HttpBatchBackend(HttpBackend, ABC):
    """A backend that is reached over HTTP and has a batch API."""

    batches: BatchApi | None
    """The provider's batch API; `None` for servers of others that do not have it."""

    def api_target(self, call: ApiCall) -> Hashable:
        """What the SDK is asked to address *call* to: a path, unless the provider's `Sdk` says more."""
        return call.path

    def entry_body(self, body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, Any]:
        """The body that `encode` made, as it is sent in a batch."""
        return self.content(body, streamed=False)

    def perform(self, call: ApiCall, endpoint: Endpoint, cancel: CancelToken) -> Any:
        """Send *call*; return the object that is the answer, or the `Rows` of the file."""
        endpoint = _with_room(with_key(endpoint, cancel), call)
        connection = CLIENTS.get(self.sdk, self.settings(endpoint), endpoint)
        exchange = HttpExchange(connection, endpoint, once=call.once)
        try:
            address = address_of(connection.book, self.api_target(call), endpoint, cancel)
            response = exchange.send(self._api_request(exchange, address, call), cancel)
        except Exception as error:
            if (problem := self._not_sent(error, exchange)) is None:
                raise
            raise problem from error
        received = self._received(response, endpoint)
        if not response.is_success:
            raise self._refused(received)
        with closing(response):
            return _answer(call, received, Body(received).read())

    async def perform_async(self, call: ApiCall, endpoint: Endpoint) -> Any:
        """As `perform`. Cancelling it closes the connection."""
        endpoint = _with_room(await with_key_async(endpoint), call)
        connection = await CLIENTS.get_async(self.sdk, self.settings(endpoint), endpoint)
        exchange = HttpExchange(connection, endpoint, once=call.once)
        try:
            address = await address_of_async(connection.book, self.api_target(call), endpoint)
            response = await exchange.send_async(self._api_request(exchange, address, call))
        except Exception as error:
            if (problem := self._not_sent(error, exchange)) is None:
                raise
            raise problem from error
        received = self._received(response, endpoint)
        if not response.is_success:
            raise await self._refused_async(received)
        async with closing_async(response):
            return _answer(call, received, await Body(received).read_async())

    def _api_request(self, exchange: HttpExchange, address: Address, call: ApiCall) -> Any:
        headers = dict(self.headers(call.like, exchange.endpoint))
        if call.content is not None:
            headers["content-type"] = call.content_type
        else:
            address = address._replace(headers=address.headers.copy())
            address.headers.pop("content-type", None)
        if call.rows:
            headers["accept"] = "application/binary"  # as the SDKs of OpenAI and Anthropic ask for files
        return exchange.request(address, call.content or b"", headers, call.method)


def _with_room(endpoint: Endpoint, call: ApiCall) -> Endpoint:
    """*endpoint* with the limit for so many answers as *call* may bring."""
    limit = endpoint.max_response_bytes
    return endpoint if limit is None else replace(endpoint, max_response_bytes=limit * max(1, call.answers))


def _answer(call: ApiCall, received: Received, content: bytes) -> Any:
    if call.rows:
        return _rows(received, content)
    try:
        found = parse_body(content) if content.strip() else {}
    except ValueError as error:
        lasts, what = unparsed(error, None)
        raise bad_reply(received, f"the answer is {what}", content, transient=lasts) from error
    if not isinstance(found, dict):
        raise bad_reply(received, "the answer is not a JSON object", content, transient=False)
    return found


def _rows(received: Received, content: bytes) -> Rows:
    """The lines of a file. Raises a transient `BadReplyError` for one that is cut in a line."""
    found, unreadable = [], 0
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = parse_body(line)
        except ValueError as error:
            if number == len(lines):  # without its line end
                raise bad_reply(received, "the file with the results is cut off", line) from error
            row = None
        if isinstance(row, dict):
            found.append(row)
        else:
            unreadable += 1
    return Rows(found, unreadable)
