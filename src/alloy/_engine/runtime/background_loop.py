"""One event loop in a thread of its own, for the async tools of sync commands.

It outlives single calls, because what async tools hold (a pool of connections, say) belongs to the
loop that it was made in.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from alloy._engine.runtime.deadline import Clock
from alloy.logger import log
from alloy.tasks import contained
from alloy.threads import in_forked_child, start_thread

__all__ = ["BackgroundLoop", "close", "run"]

T = TypeVar("T")

CLOSING = 1.0  # seconds that a loop gets to end; one that hangs in a tool is left behind
ANSWERING = 0.2  # seconds in which a loop that is free calls back
BLOCKED = 1.0  # seconds after which a loop that does not call back is taken for blocked by a tool

_lock = threading.Lock()
# By depth: a sync command inside an async tool blocks the loop of that tool, and cannot wait for it.
_loops: dict[int, BackgroundLoop] = {}
# A context variable and not a thread's own: the tools of such a command run in threads, too.
_depth: ContextVar[int] = ContextVar("alloy_loop_depth", default=-1)


def run(coroutine: Coroutine[Any, Any, T], clock: Clock, what: str, limit: float | None = None) -> T:
    """Run *coroutine* in a background loop and the caller's context, and wait for it.

    *what* it is, is named in errors. Raises `DeadlineError` and cancels it when *clock* runs out, and
    `TimeoutError` after *limit* seconds.
    """
    depth = _depth.get() + 1
    # A thread that a tool started itself, and waits for, does not know the depth.
    while not (loop := _open(depth)).answers(BLOCKED):
        depth += 1
    waiting = asyncio.run_coroutine_threadsafe(_at(depth, coroutine), loop.loop)
    try:
        value: T
        bounds = [each for each in (clock.left(what), limit) if each is not None]
        value, exit_ = waiting.result(min(bounds, default=None))
        if exit_ is not None:
            raise exit_
        return value
    except TimeoutError:
        if waiting.done():
            raise  # the coroutine's own
        waiting.cancel()
        if not loop.answers(ANSWERING):
            _forget(loop)  # a tool blocks it, and the next call must not wait for that
        if clock.passed():
            raise clock.deadline_error(what) from None
        raise
    finally:
        waiting.cancel()


async def _at(depth: int, coroutine: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
    _depth.set(depth)
    return await contained(coroutine)


def close() -> None:
    """End the loops and what runs in them; the next `run` opens a new one."""
    with _lock:
        loops = list(_loops.values())
        _loops.clear()
    for loop in loops:
        loop.close()


class BackgroundLoop:
    """A thread in `asyncio.run`, which tidies up as it does anywhere: tasks, generators, threads."""

    def __init__(self, name: str = "alloy-loop") -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        start_thread(self._thread)
        self._ready.wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._stay())
        except (SystemExit, KeyboardInterrupt):
            log.warning("a task of an async tool asked to exit; its event loop has ended")
        finally:
            self._ready.set()
            _forget(self)

    async def _stay(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._ready.set()
        try:
            await self._stop.wait()
        finally:  # before the loop is closed, so that no call is given to it any more
            _forget(self)

    def answers(self, seconds: float) -> bool:
        """Whether the loop is free to do something within *seconds*, or has ended."""
        called = threading.Event()
        try:
            self.loop.call_soon_threadsafe(called.set)
        except RuntimeError:  # it has ended
            return True
        return called.wait(seconds)

    def close(self) -> None:
        with suppress(RuntimeError):  # the loop has ended already
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(CLOSING)


def _open(depth: int) -> BackgroundLoop:
    with _lock:
        found = _loops.get(depth)
        if found is None or found.loop.is_closed():
            found = _loops[depth] = BackgroundLoop()
        return found


def _forget(loop: BackgroundLoop) -> None:
    with _lock:
        for depth, each in tuple(_loops.items()):
            if each is loop:
                del _loops[depth]


@in_forked_child
def _after_fork() -> None:
    # The child has no such threads, and the parent still uses the loops' sockets: leave both alone.
    global _lock
    _lock = threading.Lock()
    _loops.clear()


atexit.register(close)
