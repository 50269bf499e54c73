"""One event loop in a thread of its own, for the async tools of sync commands.

It outlives single calls, because what async tools hold (a pool of connections, say) belongs to the
loop that it was made in.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from alloy.engine.clock import Clock

__all__ = ["close", "run"]

T = TypeVar("T")

_lock = threading.Lock()
_portal: _Portal | None = None


def run(coroutine: Coroutine[Any, Any, T], clock: Clock) -> T:
    """Run *coroutine* in the portal's loop and the caller's context, and wait for it.

    Raises `DeadlineError` and cancels it when *clock* runs out.
    """
    waiting = asyncio.run_coroutine_threadsafe(coroutine, _open().loop)
    try:
        return waiting.result(clock.left())
    except TimeoutError:
        if waiting.done():
            raise  # the coroutine's own
        raise clock.late() from None
    finally:
        waiting.cancel()


def close() -> None:
    """End the loop and what runs in it; the next `run` opens a new one."""
    global _portal
    with _lock:
        if _portal is not None:
            _portal.close()
            _portal = None


class _Portal:
    """A thread in `asyncio.run`, which tidies up as it does anywhere: tasks, generators, threads."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._stay(),), name="alloy-portal", daemon=True
        )
        self._thread.start()
        self._ready.wait()

    def _run(self) -> None:
        asyncio.run(self._stay())

    async def _stay(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._ready.set()
        await self._stop.wait()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


def _open() -> _Portal:
    global _portal
    with _lock:
        _portal = _portal or _Portal()
        return _portal


def _after_fork() -> None:
    # The child has no such thread, and the parent still uses the loop's sockets: leave both alone.
    global _lock, _portal
    _lock, _portal = threading.Lock(), None


atexit.register(close)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
