"""Tasks of asyncio for the caller's coroutines, which are left behind if they ignore a cancellation."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

from alloy.logger import log

if TYPE_CHECKING:
    import asyncio

__all__ = ["LEAVING", "contained", "in_task", "leave"]

T = TypeVar("T")

LEAVING = 0.5  # seconds that a cancelled task gets to end


async def in_task(work: Awaitable[T], what: str) -> T:
    """What *work* returns, in a task of its own.

    When the wait is cancelled, *work* is. If it does not end soon after that, it is left behind, and the log
    names *what* it is.
    """
    import asyncio

    task = asyncio.create_task(contained(work))
    try:
        await asyncio.wait({task})
    finally:
        if not task.done():
            await leave(task)
            if not task.done():
                log.info("%s still runs, and nobody waits for it: it ignores its cancellation", what)
    value, exit_ = task.result()
    if exit_ is not None:
        raise exit_
    result: T = value
    return result


async def leave(task: asyncio.Task[Any]) -> None:
    """Cancel *task*, wait a little for its end, and have the end of the loop not wait for it either."""
    import asyncio

    task.cancel()
    await asyncio.wait({task}, timeout=LEAVING)
    if not task.done():  # otherwise `asyncio.run` would wait for it at its end
        # https://docs.python.org/3/library/asyncio-extending.html#task-lifetime-support
        asyncio._unregister_task(task)
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # the log says it better


async def contained(work: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """The value of *work*, or the exit that it asks for, which would end the loop for everybody."""
    try:
        return await work, None
    except (SystemExit, KeyboardInterrupt) as exit_:
        return None, exit_
