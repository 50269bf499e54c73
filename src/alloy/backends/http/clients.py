"""Connections and addresses: made once, shared safely by threads, event loops and forked processes.

Building an HTTP client costs up to 80 ms, nearly all of it for the TLS context, so contexts and connection
pools are shared. Threads share one pool. An event loop has its own, because connections are bound to the
loop that opened them. A forked child starts without any: on a socket that it shared with its parent it
could read the parent's answer. The SDK is asked only for the address of a request, and once for each set
of settings, unless its credentials expire.
"""

from __future__ import annotations

import atexit
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from alloy.backends.http.body import ENCODINGS
from alloy.backends.http.gateway import own_client, pool_options, proxies_of, tls_context
from alloy.backends.http.library_logs import nothing_logged
from alloy.backends.http.settings import with_query
from alloy.endpoints import Endpoint, Transport
from alloy.threads import in_forked_child, value_of

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from ssl import SSLContext
    from types import ModuleType

__all__ = ["CLIENTS", "Address", "AddressBook", "ClientCache", "Connection", "Sdk"]

BOOKS_MAX = 64  # for threads, and for each loop: bounds what rotating keys leave behind
ADDRESSES_MAX = 256  # bounds what generated names of models leave behind

ANYWHERE = Endpoint()


class Address(NamedTuple):
    """Where a request goes, and everything that it carries except its body, as the SDK says."""

    url: Any  # url and headers are objects of the HTTP library
    headers: Any
    timeouts: Mapping[str, float | None]  # seconds for each phase


class Sdk(ABC):
    """How one SDK addresses requests. Hashable, and one object for each SDK."""

    answer = b"{}"
    """A body that the SDK accepts as the answer to `ask`."""

    @abstractmethod
    def library(self) -> ModuleType:
        """The HTTP library that the SDK is built on: httpx or httpx2."""

    @abstractmethod
    def pool(self, *, is_async: bool, **options: Any) -> Any:
        """An HTTP client with the SDK's own defaults; *options* are those of httpx."""

    @abstractmethod
    def client(self, settings: Any, transport: Any, *, is_async: bool) -> Any:
        """An SDK client for *settings* that sends through *transport*, which records requests.

        Raises `ConfigurationError` for settings that the SDK refuses.
        """

    @abstractmethod
    def ask(self, client: Any, target: Any) -> object:
        """Send some request to *target* by means of a synchronous SDK client."""

    @abstractmethod
    async def ask_async(self, client: Any, target: Any) -> object:
        """As `ask`, by means of an asynchronous client."""

    def url(self, recorded: Any, target: Any) -> Any:
        """The URL for *target*, from that of the request which `ask` sent for it."""
        return recorded

    def base_url(self, settings: Any) -> str:
        """The base URL in *settings*, whose query is added to each address."""
        return getattr(settings, "base_url", None) or ""

    def signs_in(self, settings: Any) -> bool:
        """Whether the SDK may send requests of its own, for a token, before it gives an address."""
        return False

    def lasts(self, address: Address) -> bool:
        """Whether *address* can be used again: its credentials do not expire."""
        return True


# --- addresses ----------------------------------------------------------------------------------------

_recorded: ContextVar[list[Any]] = ContextVar("alloy_recorded")


def _recorder(library: Any, content: bytes) -> Any:
    """A transport, sync and async, that sends nothing and answers with *content*."""

    def record(request: Any) -> Any:
        _recorded.get().append(request)
        return library.Response(200, content=content, headers={"content-type": "application/json"})

    return library.MockTransport(record)


@contextmanager
def _recording() -> Iterator[list[Any]]:
    """Collect the requests that are sent through a recorder in this context."""
    requests: list[Any] = []
    with value_of(_recorded, requests), nothing_logged():
        yield requests


class AddressBook:
    """The addresses that an SDK gives for some settings.

    Those that last are in *known*, which the whole process shares; for the others the SDK is asked each time.
    """

    def __init__(self, sdk: Sdk, settings: Any, known: dict[Hashable, Address], *, is_async: bool) -> None:
        self.settings, self.library = settings, sdk.library()
        self._sdk, self._known, self._is_async = sdk, known, is_async
        self._client: Any = None

    def signs_in(self, target: Hashable) -> bool:
        """Whether the SDK may have to sign in for the address of *target*, which can take time."""
        return (
            self._sdk.signs_in(self.settings) and (self._sdk, self.settings, False, target) not in self._known
        )

    def address(self, target: Hashable) -> Address:
        """The address of a request to *target*. Raises `ConfigurationError` when the SDK refuses it."""
        key = (self._sdk, self.settings, False, target)
        found = self._known.get(key)
        if found is None:
            with _recording() as requests:
                self._sdk.ask(self._sdk_client(), target)
            found = self._keep(key, target, requests[-1])
        return found

    async def address_async(self, target: Hashable) -> Address:
        """As `address`."""
        key = (self._sdk, self.settings, True, target)
        found = self._known.get(key)
        if found is None:
            with _recording() as requests:
                await self._sdk.ask_async(self._sdk_client(), target)
            found = self._keep(key, target, requests[-1])
        return found

    def _sdk_client(self) -> Any:
        if self._client is None:
            transport = _recorder(self.library, self._sdk.answer)
            self._client = self._sdk.client(self.settings, transport, is_async=self._is_async)
        return self._client

    def _keep(self, key: Hashable, target: Hashable, request: Any) -> Address:
        request.headers.pop("content-length", None)  # of the body that was sent to be recorded
        request.headers["accept-encoding"] = ENCODINGS
        url = with_query(self._sdk.url(request.url, target), self._sdk.base_url(self.settings))
        address = Address(url, request.headers, request.extensions["timeout"])
        if self._sdk.lasts(address):
            if len(self._known) >= ADDRESSES_MAX:
                self._known.clear()
            self._known[key] = address
        return address


class Connection(NamedTuple):
    """Addresses, and the HTTP client that sends requests to them.

    *is_own* says that it is the caller's client, which has settings of its own.
    """

    book: AddressBook
    pool: Any
    is_own: bool = False


# --- pools --------------------------------------------------------------------------------------------


class _World:
    """The pools and the address books of all threads, or of one event loop."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async
        self.pools: dict[tuple[Sdk, Transport | None], Any] = {}
        self.books: dict[tuple[Sdk, Hashable], AddressBook] = {}
        self.keeper: AsyncGenerator[None, None] | None = None


class ClientCache:
    """Connections by SDK and settings. Safe to use from any thread and any event loop; not picklable.

    `get` and `get_async` look for a pool and for an address book without a lock. One that is missing is made
    under the lock. The world of an event loop is created by the first call in that loop; an async
    generator, which the loop closes at its end, closes its pools.
    """

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._threads = _World(is_async=False)
        self._loops: dict[AbstractEventLoop, _World] = {}
        self._contexts: dict[tuple[ModuleType, Transport | None], SSLContext] = {}
        self._addresses: dict[Hashable, Address] = {}

    def get(self, sdk: Sdk, settings: Hashable, endpoint: Endpoint = ANYWHERE) -> Connection:
        """The connection that all threads of this process share.

        *settings* decide the address, *endpoint* the HTTP client or how it opens connections. Raises
        `ConfigurationError` for an HTTP client that cannot be used, and for a file that cannot be read.
        """
        return self._connection(self._threads, sdk, settings, endpoint)

    async def get_async(self, sdk: Sdk, settings: Hashable, endpoint: Endpoint = ANYWHERE) -> Connection:
        """As `get`, the connection of the running event loop."""
        from asyncio import get_running_loop

        loop = get_running_loop()
        world = self._loops.get(loop)
        if world is None:
            world = await self._enter(loop)
        return self._connection(world, sdk, settings, endpoint)

    def close(self) -> None:
        """Close the connections that threads share; the next call opens new ones."""
        with self._lock:
            closed, self._threads = self._threads, _World(is_async=False)
        for pool in closed.pools.values():
            pool.close()

    def forget(self) -> None:
        """Drop everything without closing it, in a forked child.

        Closing would say goodbye on the parent's sockets, and would take the parent's file
        descriptors out of the epoll set that both processes share.
        """
        self._start()

    def _connection(self, world: _World, sdk: Sdk, settings: Hashable, endpoint: Endpoint) -> Connection:
        book = world.books.get((sdk, settings))
        if book is None:
            with self._lock:
                book = self._book(world, sdk, settings)
        if endpoint.http_client:
            return Connection(book, own_client(endpoint, is_async=world.is_async), is_own=True)
        pool = world.pools.get((sdk, endpoint.transport))
        if pool is None:
            with self._lock:
                pool = self._pool(world, sdk, endpoint.transport)
        return Connection(book, pool)

    def _book(self, world: _World, sdk: Sdk, settings: Hashable) -> AddressBook:
        found = world.books.get((sdk, settings))  # another thread may have been faster
        if found is not None:
            return found
        while len(world.books) >= BOOKS_MAX:
            del world.books[next(iter(world.books))]
        made = AddressBook(sdk, settings, self._addresses, is_async=world.is_async)
        world.books[sdk, settings] = made
        return made

    def _pool(self, world: _World, sdk: Sdk, transport: Transport | None) -> Any:
        if (sdk, transport) not in world.pools:
            library: Any = sdk.library()
            context = self._tls(library, transport)
            with proxies_of(library, transport):
                options = pool_options(library, transport, context, is_async=world.is_async)
                world.pools[sdk, transport] = sdk.pool(is_async=world.is_async, **options)
        return world.pools[sdk, transport]

    def _tls(self, library: Any, transport: Transport | None) -> SSLContext:
        """One context for all pools of an HTTP library and a transport."""
        if (library, transport) not in self._contexts:
            self._contexts[library, transport] = tls_context(library, transport)
        return self._contexts[library, transport]

    async def _enter(self, loop: AbstractEventLoop) -> _World:
        world = _World(is_async=True)
        # An async generator that has been started in a loop is closed at the end of that loop:
        # `asyncio.run` awaits `shutdown_asyncgens`. There is no other public hook.
        world.keeper = self._keep(loop, world)
        await anext(world.keeper)
        with self._lock:
            # Nothing can be awaited any more in a loop that was closed without that.
            for closed in [known for known in self._loops if known.is_closed()]:
                del self._loops[closed]
            self._loops[loop] = world
        return world

    async def _keep(self, loop: AbstractEventLoop, world: _World) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with self._lock:
                self._loops.pop(loop, None)
            for pool in world.pools.values():
                await pool.aclose()


CLIENTS = ClientCache()

atexit.register(CLIENTS.close)
in_forked_child(CLIENTS.forget)
