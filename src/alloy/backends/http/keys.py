"""The key of one request, from a function of the caller that may be slow: within the limit of the request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from alloy.backends.base import CancelToken
from alloy.endpoints import KEY_FUNCTION, Endpoint, KeyFunction
from alloy.threads import in_threads, log_if_running

__all__ = ["with_key", "with_key_async"]


def with_key(endpoint: Endpoint, cancel: CancelToken) -> Endpoint:
    """*endpoint* with the key that its function returns now; *cancel* ends the wait for it.

    Nothing can end a function in another thread. So it runs in a thread of its own, which is left behind, if
    the request has a limit. Raises `TimeoutError` when that has passed.
    """
    if not isinstance(endpoint.api_key, KeyFunction) or endpoint.timeout is None:
        return endpoint.with_key()
    with _waiting(endpoint):
        wake = Event()
        cancel.attach(wake.set)
        (called,) = in_threads([endpoint.with_key], 1, "alloy-key")
        called.add_done_callback(lambda _: wake.set())
        try:
            wake.wait()
            if not called.done():
                raise TimeoutError(f"{KEY_FUNCTION} has not returned in time")
        finally:
            log_if_running(called, KEY_FUNCTION)
        return called.result()


async def with_key_async(endpoint: Endpoint) -> Endpoint:
    """As `with_key`, without blocking the event loop. Cancelling it ends the wait."""
    if not isinstance(endpoint.api_key, KeyFunction):
        return endpoint
    with _waiting(endpoint):
        return await endpoint.with_key_async()


@contextmanager
def _waiting(endpoint: Endpoint) -> Iterator[None]:
    """Report that the request waits for the function, and afterwards that it waits for the answer."""
    report = endpoint.report_wait or (lambda _: None)
    report(KEY_FUNCTION)
    yield
    report("the answer")
