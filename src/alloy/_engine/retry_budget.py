"""Retry budgets: how many retries all calls of the process may make together at one address.

When a provider fails, every call retries, and the retries keep it from recovering. A token bucket for each
address limits that: a retry takes a token, and tokens come back with time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

from alloy.backends.memory import Memory
from alloy.threads import in_forked_child

__all__ = ["BUDGETS", "RetryBudgets"]

MINUTE = 60.0  # seconds in which an empty bucket fills


class RetryBudgets:
    """The buckets, by key. Threads and event loops share them: a lock is held for some instructions only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._buckets: Memory[Hashable, tuple[float, float]] = Memory()  # the tokens, and when they were that

    def take(self, key: Hashable, size: int) -> bool:
        """Take a token from the bucket of *key*, which holds *size*; `False` when it is empty."""
        with self._lock:
            now = self._clock()
            tokens, then = self._buckets.get(key, (size, now))
            tokens = min(size, tokens + (now - then) * size / MINUTE)
            self._buckets[key] = max(0.0, tokens - 1) if tokens >= 1 else tokens, now
            return tokens >= 1


BUDGETS = RetryBudgets()

in_forked_child(BUDGETS.__init__)  # type: ignore[misc]
