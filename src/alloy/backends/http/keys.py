"""What one request needs before it can be sent, and what may be slow: within the limit of the request.

It is the key, from a function of the caller, and the address, for which an SDK may have to sign in.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import TypeVar

from alloy.backends.base import CancelToken
from alloy.backends.http.clients import Address, AddressBook
from alloy.endpoints import KEY_FUNCTION, Endpoint, KeyFunction
from alloy.threads import in_thread, in_threads, log_if_running

__all__ = ["address_of", "address_of_async", "with_key", "with_key_async"]

T = TypeVar("T")

SIGN_IN = "the sign-in at the provider"


def with_key(endpoint: Endpoint, cancel: CancelToken) -> Endpoint:
    """*endpoint* with the key that its function returns now; *cancel* ends the wait for it.

    Nothing can end a function in another thread. So it runs in a thread of its own, which is left behind, if
    the request has a limit. Raises `TimeoutError` when that has passed.
    """
    if not isinstance(endpoint.api_key, KeyFunction) or endpoint.timeout is None:
        return endpoint.with_key()
    return _in_limit(endpoint.with_key, endpoint, cancel, "alloy-key", KEY_FUNCTION)


def address_of(book: AddressBook, target: Hashable, endpoint: Endpoint, cancel: CancelToken) -> Address:
    """The address of a request to *target*, as `with_key` gets a key."""
    if endpoint.timeout is None or not book.signs_in(target):
        return book.address(target)
    return _in_limit(partial(book.address, target), endpoint, cancel, "alloy-sign-in", SIGN_IN)


async def address_of_async(book: AddressBook, target: Hashable, endpoint: Endpoint) -> Address:
    """As `address_of`. A thread of the event loop would hold up its end."""
    if not book.signs_in(target):
        return await book.address_async(target)
    with _waiting(endpoint, SIGN_IN):
        return await in_thread(partial(book.address, target), "alloy-sign-in", SIGN_IN)


def _in_limit(
    function: Callable[[], T], endpoint: Endpoint, cancel: CancelToken, thread: str, what: str
) -> T:
    with _waiting(endpoint, what):
        wake = Event()
        cancel.attach(wake.set)
        (called,) = in_threads([function], 1, thread)
        called.add_done_callback(lambda _: wake.set())
        try:
            wake.wait()
            if not called.done():
                raise TimeoutError(f"{what} has not returned in time")
        finally:
            log_if_running(called, what)
        return called.result()


async def with_key_async(endpoint: Endpoint) -> Endpoint:
    """As `with_key`, without blocking the event loop. Cancelling it ends the wait."""
    if not isinstance(endpoint.api_key, KeyFunction):
        return endpoint
    with _waiting(endpoint, KEY_FUNCTION):
        return await endpoint.with_key_async()


@contextmanager
def _waiting(endpoint: Endpoint, what: str) -> Iterator[None]:
    """Report that the request waits for *what*, and afterwards that it waits for the answer."""
    report = endpoint.report_wait or (lambda _: None)
    report(what)
    yield
    report("the answer")
