"""Ending a wait from another thread, and reading the rest of a body without waiting for long."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from contextvars import ContextVar
from functools import partial
from time import monotonic
from typing import Any

from alloy.backends.base import CancelToken
from alloy.backends.http.library_logs import hide_addresses
from alloy.backends.http.transport_errors import transport_error
from alloy.backends.limits import request_is_late
from alloy.threads import value_of
from alloy.watchdog import call_later

__all__ = [
    "AsyncWatch",
    "NewConnection",
    "Watch",
    "cancelled_in_order",
    "closing_async",
    "cut",
    "drain",
    "drain_async",
    "ended_by",
]

DRAIN = 0.1  # seconds that the rest of a body may take after its end mark


def cut(response: Any) -> None:
    """End *response* from another thread: a blocked read of it fails at once."""
    if not response.is_closed:
        stream = response.extensions.get("network_stream")
        _shut_down(None if stream is None else stream.get_extra_info("socket"))


class NewConnection(Exception):
    """Raised where a request would open a connection in a thread that has to stay free to stop waiting."""


class _Watch:
    """What a request waits for and since when, and whether a connection was opened for it."""

    def __init__(self, report: Callable[[str], object] | None) -> None:
        self._report = report
        self._began = monotonic()
        self.is_new = False

    def seconds(self) -> float:
        """Seconds since the request was begun, or since it opens a connection or a TLS session."""
        return monotonic() - self._began

    def note(self, event: str, info: Any) -> None:
        """Report the phase that begins with *event*."""
        if event.endswith(("connect_tcp.started", "start_tls.started")):
            self.is_new, self._began = True, monotonic()
        if self._report is not None and (what := _phase(event, info)) is not None:
            self._report(what)


class Watch(_Watch):
    """The `trace` extension of one request (https://www.encode.io/httpcore/extensions/).

    It reports what the request waits for, and lets *cancel* end that wait. The events name a connection only
    when it is opened, so its stream gets a `write` that attaches it to the token of each request which uses
    it. During a TLS handshake the library holds no socket that can be shut down; a duplicate can.
    *connects* says whether the request may open a connection here; otherwise it is a `NewConnection`.
    """

    def __init__(self, cancel: CancelToken, report: Callable[[str], object] | None) -> None:
        super().__init__(report)
        self._cancel = cancel
        self.connects = True
        self._socket: Any = None
        self._duplicate: socket.socket | None = None

    def __call__(self, event: str, info: Any) -> None:
        """Note that *event* happens."""
        self.note(event, info)
        match event.split(".")[1:]:
            case "connect_tcp", "started" if not self.connects:
                raise NewConnection
            case "start_tls", "started" if self._socket is not None:
                same = self._socket
                self._duplicate = socket.fromfd(same.fileno(), same.family, same.type)
                self._cancel.attach(partial(_shut_down, self._duplicate))
            case "connect_tcp" | "start_tls", "complete":
                self._opened(info["return_value"])
        if self._duplicate is not None and event.endswith(("start_tls.complete", "start_tls.failed")):
            self._duplicate.close()

    def _opened(self, stream: Any) -> None:
        self._socket = stream.get_extra_info("socket")
        if self._socket is not None:
            self._cancel.attach(partial(_shut_down, self._socket))
            stream.write = partial(_write, self._socket, stream.write)


class AsyncWatch(_Watch):
    """As `Watch`, for an async request, which is ended by cancelling it."""

    def __init__(self, report: Callable[[str], object] | None) -> None:
        super().__init__(report)
        self._stream: Any = None

    async def __call__(self, event: str, info: Any) -> None:
        """Note that *event* happens."""
        self.note(event, info)
        if event.endswith("connect_tcp.complete"):
            self._stream = info["return_value"]
        elif event.endswith("start_tls.failed") and self._stream is not None:
            await self._stream.aclose()  # httpcore does not, when the handshake is cancelled


def ended_by(cancel: CancelToken) -> AbstractContextManager[None]:
    """Within the block, *cancel* ends the requests that this context sends."""
    return value_of(_sending, cancel)


_sending: ContextVar[CancelToken | None] = ContextVar("alloy_sending", default=None)


def _write(sock: Any, write: Callable[..., None], *args: Any, **named: Any) -> None:
    if (token := _sending.get()) is not None:
        token.attach(partial(_shut_down, sock))
    write(*args, **named)


def _phase(event: str, info: Any) -> str | None:
    """What a request waits for after this event of the `trace` extension, if that is something new."""
    if event.endswith("connect_tcp.started"):
        return f"the connection to {info['host']}"
    if event.endswith("start_tls.started"):
        return f"the TLS handshake with {info['server_hostname']}"
    return "the headers of the answer" if event.endswith("send_request_headers.started") else None


def _shut_down(sock: Any) -> None:
    if sock is not None:
        # The plain socket's method: SSLSocket.shutdown also drops the TLS state that the reader is using.
        with suppress(OSError, ValueError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


async def cancelled_in_order(send: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """The response that *send* returns.

    httpcore frees a connection safely only when it is cancelled by a scope of anyio: a cancelled task may
    leave one in its pool that is never used again.
    """
    import anyio

    scope = anyio.CancelScope()

    async def sent() -> Any:
        hide_addresses()
        with scope:
            return await send()

    task = _kept(sent())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        scope.cancel()
        task.add_done_callback(_close_late)
        with suppress(Exception):
            await asyncio.shield(task)
        raise


def _close_late(sent: asyncio.Task[Any]) -> None:
    if not sent.cancelled() and sent.exception() is None and sent.result() is not None:
        _kept(sent.result().aclose())


@asynccontextmanager
async def closing_async(response: Any) -> AsyncIterator[Any]:
    """Close *response* at the end, whole even when that is cancelled: see `cancelled_in_order`."""
    try:
        yield response
    finally:
        await asyncio.shield(_kept(response.aclose()))


def _kept(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    try:
        task = asyncio.get_running_loop().create_task(work)
    except RuntimeError:  # there is no loop any more, and nothing can be awaited
        work.close()
        raise
    _tasks.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _tasks.discard(task)
    if not task.cancelled():
        task.exception()  # when nobody awaits it any more, asyncio would print its error


_tasks: set[asyncio.Task[Any]] = set()  # a loop has only weak references


def drain(response: Any, chunks: Iterable[bytes]) -> None:
    """Read what follows the end mark: only a body that was read to its end frees its connection for reuse.

    With an alarm, because some servers leave a finished body open: the answer must not wait for them.
    """
    alarm = call_later(DRAIN, partial(cut, response))
    try:
        for _ in chunks:
            pass
    except Exception as error:
        if transport_error("", error) is None:
            raise
    finally:
        alarm.cancel()


async def drain_async(chunks: Any) -> None:
    """As `drain`. The time limit of the request ends it, but not the request, whose answer is whole."""
    try:
        async with asyncio.timeout(DRAIN):
            async for _ in chunks:
                pass
    except TimeoutError:
        return
    except asyncio.CancelledError:
        if not request_is_late():
            raise
    except Exception as error:
        if transport_error("", error) is None:
            raise
