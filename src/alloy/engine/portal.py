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
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None


def run(coroutine: Coroutine[Any, Any, T], clock: Clock) -> T:
    """Run *coroutine* in the portal's loop and the caller's context, and wait for it.

    Raises `DeadlineError` and cancels it when *clock* runs out.
    """
    waiting = asyncio.run_coroutine_threadsafe(coroutine, _running_loop())
    try:
        return waiting.result(clock.left())
    except TimeoutError:
        if waiting.done():
            raise  # the coroutine's own
        raise clock.late() from None
    finally:
        waiting.cancel()


def _running_loop() -> asyncio.AbstractEventLoop:
    global _loop, _thread
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_loop.run_forever, name="alloy-portal", daemon=True)
            _thread.start()
        return _loop


def close() -> None:
    """Stop the loop; the next `run` starts a new one."""
    global _loop, _thread
    with _lock:
        if _loop is not None and _thread is not None:
            _loop.call_soon_threadsafe(_loop.stop)
            _thread.join()
            _finish(_loop)
            _loop = _thread = None


def _finish(loop: asyncio.AbstractEventLoop) -> None:
    for task in (tasks := asyncio.all_tasks(loop)):
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _after_fork() -> None:
    # The child has no such thread, and the parent still uses the loop's sockets: leave both alone.
    global _lock, _loop, _thread
    _lock, _loop, _thread = threading.Lock(), None, None


atexit.register(close)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
