"""Ending a wait from another thread, and reading the rest of a body without waiting for long."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from alloy.backends.base import CancelToken
from alloy.backends.http.transport_errors import transport_error
from alloy.threads import start_thread

__all__ = ["cut", "cut_while_connecting", "drain", "drain_async"]

DRAIN = 0.1  # seconds that the rest of a body may take after its end mark


def cut(response: Any) -> None:
    """End *response* from another thread: a blocked read of it fails at once."""
    if not response.is_closed:
        _shut_down(response.extensions.get("network_stream"))


def cut_while_connecting(cancel: CancelToken) -> Callable[[str, Any], None]:
    """A `trace` extension that lets *cancel* end a request before its response's headers have arrived.

    The extension is called for each connection that the request opens
    (https://www.encode.io/httpcore/extensions/). On a connection that is used again only the timeouts of the
    phases bound the wait for the headers.
    """

    def trace(event: str, info: Any) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            cancel.attach(partial(_shut_down, info["return_value"]))

    return trace


def _shut_down(stream: Any) -> None:
    sock = None if stream is None else stream.get_extra_info("socket")
    if sock is not None:
        # The plain socket's method: SSLSocket.shutdown also drops the TLS state that the reader is using.
        with suppress(OSError, ValueError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


def drain(response: Any, chunks: Iterable[bytes]) -> None:
    """Read what follows the end mark: only a body that was read to its end frees its connection for reuse.

    With a timer, because some servers leave a finished body open: the answer must not wait for them.
    """
    timer = threading.Timer(DRAIN, cut, [response])
    timer.daemon = True
    start_thread(timer)
    try:
        for _ in chunks:
            pass
    except Exception as error:
        if transport_error("", error) is None:
            raise
    finally:
        timer.cancel()
        timer.join()


async def drain_async(chunks: Any) -> None:
    """As `drain`."""
    try:
        async with asyncio.timeout(DRAIN):
            async for _ in chunks:
                pass
    except TimeoutError:
        return
    except Exception as error:
        if transport_error("", error) is None:
            raise
