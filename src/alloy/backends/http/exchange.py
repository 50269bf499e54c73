"""One request to a provider: built from the address that the SDK gave, and sent by our own HTTP client."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

from alloy.backends.base import CancelToken
from alloy.backends.http.cancel import AsyncWatch, NewConnection, Watch, cancelled_in_order, cut, ended_by
from alloy.backends.http.clients import Address, Connection
from alloy.backends.http.gateway import own_secrets, own_timeouts
from alloy.backends.http.library_logs import addresses_hidden
from alloy.endpoints import Endpoint
from alloy.threads import in_threads

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["HttpExchange"]

PHASES = ("connect", "read", "write", "pool")

TRIES = 3  # attempts to open a connection that the event loop saw too late
LATE = 1.0  # seconds after its end in which a time limit is noticed by an event loop that has time
NOTICED = 2.0  # seconds after which a connection was not closed because it had been idle


class HttpExchange:
    """Sends requests for one call of a backend, with the connection and the time limits of that call.

    A response is always opened as a stream: so a wait for its body can be ended from another thread, and
    the bytes of an unexpected answer can be shown. With *once* a request is not sent a second time when the
    server has closed the connection, because it is not certain that it was not read.
    """

    def __init__(self, connection: Connection, endpoint: Endpoint, *, once: bool = False) -> None:
        self.connection, self.endpoint, self._once = connection, endpoint, once

    def request(
        self, address: Address, content: bytes, headers: Mapping[str, str], method: str = "POST"
    ) -> Any:
        """A request to *address*; *headers* are added to those of the address, or replace them."""
        sent = address.headers
        if headers or self.endpoint.headers:
            sent = sent.copy()
            sent.update(headers)
            sent.update(self.endpoint.headers)
        client, is_own, limit = self.connection.pool, self.connection.is_own, self.endpoint.timeout
        usual = own_timeouts(client, address.timeouts) if is_own else address.timeouts
        extensions = {"timeout": usual if limit is None else dict.fromkeys(PHASES, limit)}
        if is_own:  # adds its own headers, cookies and parameters, and may be of the other library
            url, pairs = str(address.url), sent.multi_items()
            return client.build_request(method, url, headers=pairs, content=content, extensions=extensions)
        # Not by the pool's `build_request`, which merges settings that the SDK has merged already.
        library = self.connection.book.library
        request = library.Request(method, address.url, headers=sent, content=content, extensions=extensions)
        if cookies := client.cookies:
            cookies.set_cookie_header(request)
        return request

    def send(self, request: Any, cancel: CancelToken) -> Any:
        """The response, not read yet. *cancel* ends the wait for it, and for its body."""
        self._carry(request)
        watch = Watch(cancel, self.endpoint.report_wait)
        request.extensions["trace"] = watch
        try:
            response = self._sent(request, watch, cancel)
        except Exception as error:
            if cancel.fired or not self._was_kept(watch, error):
                raise
            request.extensions["trace"] = watch = Watch(cancel, self.endpoint.report_wait)
            response = self._sent(request, watch, cancel)
        del request.extensions["trace"]  # a cycle: it knows the token, which knows the response
        cancel.attach(partial(cut, response))
        self._carry(response.request, request)
        return response

    async def send_async(self, request: Any) -> Any:
        """As `send`. Cancelling it ends the wait."""
        self._carry(request)
        send = partial(self.connection.pool.send, request, stream=True, follow_redirects=False)
        may_be_kept = True
        for left in range(TRIES, -1, -1):
            request.extensions["trace"] = watch = AsyncWatch(self.endpoint.report_wait)
            try:
                response = await cancelled_in_order(send)
                break
            except Exception as error:
                if may_be_kept and self._was_kept(watch, error):
                    may_be_kept = False
                elif not left or not self._was_late(watch, error, request):
                    raise
        del request.extensions["trace"]
        self._carry(response.request, request)
        return response

    def _was_kept(self, watch: Watch | AsyncWatch, error: Exception) -> bool:
        """Whether a kept connection was closed by the server when the request came, so that it was not read.

        Servers close connections that have been idle for some time (RFC 9112, section 9.5). A client of the
        caller has a policy of its own.
        """
        if self._once or watch.is_new or self.connection.is_own or watch.seconds() > NOTICED:
            return False
        library: Any = self.connection.book.library
        broken: tuple[type[Exception], ...] = (library.ReadError, library.WriteError)
        gone: bool = isinstance(error, library.RemoteProtocolError) and "disconnected" in str(error)
        return gone or isinstance(error, broken)

    def _was_late(self, watch: AsyncWatch, error: Exception, request: Any) -> bool:
        """Whether the event loop was too busy to see a connection in time, which may have been there."""
        library: Any = self.connection.book.library
        limit: float | None = request.extensions["timeout"].get("connect")
        if limit is None or self.connection.is_own or not isinstance(error, library.ConnectTimeout):
            return False
        return watch.seconds() > limit + LATE

    def _sent(self, request: Any, watch: Watch, cancel: CancelToken) -> Any:
        # Without a limit nobody fires the token, and a client of the caller may do more than to connect.
        watch.connects = self.endpoint.timeout is None or self.connection.is_own
        try:
            return self._pool_sent(request, cancel)
        except NewConnection:
            watch.connects = True
            return self._in_thread(request, cancel)

    def _pool_sent(self, request: Any, cancel: CancelToken) -> Any:
        with ended_by(cancel), addresses_hidden():
            # A redirect would take the key and the prompt to another server.
            return self.connection.pool.send(request, stream=True, follow_redirects=False)

    def _in_thread(self, request: Any, cancel: CancelToken) -> Any:
        """The response. Raises the library's `ConnectTimeout` when *cancel* ends the wait for it.

        Nothing can end the look-up of a name or the wait for a connection, of which there may be one for each
        address of the name. So that happens in a thread, which is left behind.
        """
        wake = Event()
        cancel.attach(wake.set)
        (sent,) = in_threads([partial(self._pool_sent, request, cancel)], 1, "alloy-connect")
        sent.add_done_callback(lambda _: wake.set())
        try:
            wake.wait()
            if not sent.done():
                raise self.connection.book.library.ConnectTimeout("no connection in time", request=request)
        finally:
            if not sent.done():
                cancel.fire()  # after Ctrl-C, too
                sent.add_done_callback(_close)
        return sent.result()

    def _carry(self, request: Any, before: Any = None) -> None:
        """Note what *request* carries; the sign-in of a client may have replaced the one *before*."""
        carried = self.endpoint.carried
        if carried is not None and request is not before:
            carried.headers.append(request.headers)
            carried.urls.append(request.url)  # a client may have added parameters
            if self.connection.is_own:
                carried.secrets += own_secrets(self.connection.pool)


def _close(sent: Future[Any]) -> None:
    if sent.exception() is None:
        sent.result().close()
