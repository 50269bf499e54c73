"""Ends sync calls from another thread, where a cancelled task ends async ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from alloy.backends.base import CancelToken
from alloy.quantities import LONGEST_WAIT

__all__ = ["Stop", "Stopped", "current_stop", "stop_with"]


class Stopped(BaseException):
    """Ends a call that nobody waits for any more: not an `Exception`, so that nothing tries again."""


class Stop:
    """Ends the calls of the contexts that have it: the requests that run, and the waits before retries.

    A tool that runs is not interrupted, because a thread cannot be; its call ends after it.
    """

    def __init__(self) -> None:
        self._lock, self._set = threading.Lock(), threading.Event()
        self._running: set[CancelToken] = set()

    @property
    def is_set(self) -> bool:
        return self._set.is_set()

    def set(self) -> None:
        """End the calls. Does nothing the second time."""
        with self._lock:
            self._set.set()
            running = list(self._running)
        for token in running:
            token.fire()

    def check(self) -> None:
        """Raise `Stopped` if the calls are to end."""
        if self._set.is_set():
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Wait. Raises `Stopped` when the calls are to end before."""
        if self._set.wait(min(seconds, LONGEST_WAIT, threading.TIMEOUT_MAX)):
            raise Stopped

    @contextmanager
    def ending(self, token: CancelToken) -> Iterator[None]:
        """Fire *token* if the calls are to end within the block, which then raises `Stopped`."""
        with self._lock:
            self.check()
            self._running.add(token)
        try:
            yield
        except Exception:
            self.check()
            raise
        finally:
            with self._lock:
                self._running.discard(token)


_current: ContextVar[Stop | None] = ContextVar("alloy_stop", default=None)


def current_stop() -> Stop | None:
    """What ends the sync calls of this context."""
    return _current.get()


def stop_with(stop: Stop) -> None:
    """Have *stop* end the sync calls of this context, from now on."""
    _current.set(stop)
