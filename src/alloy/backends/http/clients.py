"""SDK clients: made once, shared safely by threads, event loops and forked processes.

Building one costs up to 80 ms, nearly all of it the TLS context, so contexts and connection pools
are shared and the SDK's client, thin with a ready pool, is kept for each set of settings. Threads
share one pool. An event loop has its own, for connections are bound to the loop that made them. A
forked child starts afresh: on a socket that it shared with its parent it could read the parent's
answer.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import AsyncGenerator, Hashable
from typing import TYPE_CHECKING, Any, Protocol

from alloy.backends.http.transport import attach_cut

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from ssl import SSLContext

__all__ = ["CLIENTS", "ClientCache", "Maker"]

CLIENTS_MAX = 64  # per pool: bounds what rotating keys leave behind


class Maker(Protocol):
    """How one SDK's clients are made. Hashable, and the same object for the same SDK.

    *settings* is what an SDK client is made with and told apart by. The pools are the SDK's own
    HTTP clients, with its defaults and its reading of proxy variables.
    """

    def pool_class(self, *, is_async: bool) -> Any:
        """The class of the SDK's HTTP clients; takes the options of httpx's."""

    def client(self, settings: Any, pool: Any, *, is_async: bool) -> Any:
        """An SDK client that sends through *pool* and retries nothing."""


class _Clients:
    """The pools and clients of one world: of all threads, or of one event loop."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async
        self.pools: dict[Maker, Any] = {}
        self.clients: dict[tuple[Maker, Hashable], Any] = {}
        self.keeper: AsyncGenerator[None, None] | None = None

    def make(self, maker: Maker, settings: Hashable, tls: SSLContext) -> Any:
        if maker not in self.pools:
            hooks = {} if self.is_async else {"response": [attach_cut]}
            pool_class = maker.pool_class(is_async=self.is_async)
            # A redirect would take the key and the prompt to whoever it names.
            self.pools[maker] = pool_class(verify=tls, event_hooks=hooks, follow_redirects=False)
        while len(self.clients) >= CLIENTS_MAX:
            del self.clients[next(iter(self.clients))]  # closes nothing: the pool is not its own
        client = maker.client(settings, self.pools[maker], is_async=self.is_async)
        self.clients[maker, settings] = client
        return client


class ClientCache:
    """Clients by SDK and settings. Safe to use from any thread and any event loop; not picklable."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._threads = _Clients(is_async=False)
        self._loops: dict[AbstractEventLoop, _Clients] = {}
        self._contexts: dict[str, SSLContext] = {}

    def get(self, maker: Maker, settings: Hashable) -> Any:
        """The client that all threads of this process share."""
        found = self._threads.clients.get((maker, settings))
        if found is not None:
            return found
        with self._lock:
            found = self._threads.clients.get((maker, settings))  # another thread may have been first
            if found is None:
                found = self._threads.make(maker, settings, self._tls(maker))
            return found

    async def get_async(self, maker: Maker, settings: Hashable) -> Any:
        """The client of the running event loop."""
        from asyncio import get_running_loop

        loop = get_running_loop()
        clients = self._loops.get(loop)
        if clients is None:
            clients = await self._enter(loop)
        found = clients.clients.get((maker, settings))
        if found is not None:
            return found
        with self._lock:
            return clients.make(maker, settings, self._tls(maker))

    def close(self) -> None:
        """Close the connections that threads share; the next call opens new ones."""
        with self._lock:
            closed, self._threads = self._threads, _Clients(is_async=False)
        for pool in closed.pools.values():
            pool.close()

    def forget(self) -> None:
        """Drop everything unclosed, in a forked child.

        Closing would say goodbye on the parent's sockets, and would take the parent's file
        descriptors out of the epoll set that both processes share.
        """
        self._start()

    async def _enter(self, loop: AbstractEventLoop) -> _Clients:
        clients = _Clients(is_async=True)
        # An async generator that has been started in a loop is closed by that loop's end:
        # `asyncio.run` awaits `shutdown_asyncgens`. There is no other public hook.
        clients.keeper = self._keep(loop, clients)
        await anext(clients.keeper)
        with self._lock:
            # Of a loop that was closed without that, nothing can be awaited any more.
            for closed in [known for known in self._loops if known.is_closed()]:
                del self._loops[closed]
            self._loops[loop] = clients
        return clients

    async def _keep(self, loop: AbstractEventLoop, clients: _Clients) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with self._lock:
                self._loops.pop(loop, None)
            for pool in clients.pools.values():
                await pool.aclose()

    def _tls(self, maker: Maker) -> SSLContext:
        """One context for all pools of an HTTP library, made its way: it knows where the roots are.

        SSL_CERT_FILE and SSL_CERT_DIR are the library's to read, once per process.
        """
        library = next(
            base.__module__.partition(".")[0]
            for base in maker.pool_class(is_async=False).__mro__
            if base.__name__ == "Client"
        )
        if library not in self._contexts:
            self._contexts[library] = sys.modules[library].create_ssl_context()
        return self._contexts[library]


CLIENTS = ClientCache()

atexit.register(CLIENTS.close)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=CLIENTS.forget)
