"""Running one tool, in the caller's thread or in the running event loop."""

from __future__ import annotations

import logging
import sys
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from alloy._engine.ledger import note_in, noting
from alloy._engine.runtime.await_parsers import Gather, run_rounds, run_rounds_async
from alloy._engine.toolbox import ToolEnd, ToolRun
from alloy.tasks import contained, leave

if TYPE_CHECKING:
    import asyncio

__all__ = ["in_time", "log_if_running", "run_async_tool", "run_tool", "tools_of"]

log = logging.getLogger("alloy")


def run_tool(run: ToolRun, gather: Gather) -> ToolEnd:
    """Run a tool that is not async; *gather* waits for the async parsers of its arguments."""
    with run.watched() as ended:
        try:
            with noting(run.ledger):
                run_rounds(run.arguments_read(), gather)
                value = run.begin()
            end = run.succeeded(value)
        except BaseException as error:  # noqa: BLE001 - whatever a tool raises is its result
            end = run.failed(failure(error))  # nothing cancels or closes a thread
        finally:
            run.is_running = False
        ended(end.result)
        return end


async def run_async_tool(run: ToolRun) -> ToolEnd:
    """As `run_tool`, for an async tool, in a task of its own, and within its `tool_timeout`."""
    import asyncio  # sync calls do without it

    return await in_time(_run_in_task(run, asyncio.current_task()), run)


async def _run_in_task(run: ToolRun, waiter: asyncio.Task[Any] | None) -> ToolEnd:
    """Run an async tool, for which the task *waiter* waits."""
    import asyncio

    def is_ours(error: BaseException) -> bool:
        """Whether *error* ends the call, and is not the tool's own."""
        if isinstance(error, asyncio.CancelledError):  # a loop that shuts down cancels the waiter, too
            return run.is_over or (waiter is not None and waiter.cancelling() > 0)
        return isinstance(error, GeneratorExit) and not _is_current(task)  # this coroutine is being closed

    task = asyncio.current_task()
    note_in(run.ledger)
    with run.watched() as ended:
        try:
            await run_rounds_async(run.arguments_read())
            end = run.succeeded(await run.begin())
        except BaseException as error:
            if is_ours(error):
                raise
            end = run.failed(failure(error))
        finally:
            run.is_running = False
        ended(end.result)
        return end


def failure(error: BaseException) -> Exception:
    """*error* as a failure of the tool that raised it. Raises it again if it is an exit."""
    if isinstance(error, Exception):
        return error
    if isinstance(error, GeneratorExit):
        return _caused_by(error, f"the tool raised GeneratorExit: {error}")
    if "asyncio" in sys.modules:
        from asyncio import CancelledError

        if isinstance(error, CancelledError):
            return _caused_by(error, f"the tool was cancelled: {error}")
    raise error


def _caused_by(error: BaseException, text: str) -> Exception:
    made = RuntimeError(text.removesuffix(": "))
    made.__cause__ = error
    return made


def _is_current(task: asyncio.Task[Any] | None) -> bool:
    import asyncio

    try:
        return asyncio.current_task() is task
    except RuntimeError:  # there is no loop any more
        return False


async def in_time(work: Coroutine[Any, Any, ToolEnd], run: ToolRun) -> ToolEnd:
    """The end of *run*, for which *work* waits; when its `tool_timeout` is over, that is its end.

    A tool that does not end soon after it was cancelled is left behind.
    """
    import asyncio

    task: Any = asyncio.create_task(contained(work))
    try:
        await asyncio.wait({task}, timeout=run.timeout)
        if not task.done():
            return run.timed_out()
    finally:
        if not task.done():
            await leave(task)
            log_if_running(run)
    end: ToolEnd
    if task.cancelled():  # by the tool itself
        return run.failed(RuntimeError("the tool was cancelled"))
    end, exit_ = task.result()
    if exit_ is not None:
        raise exit_
    return end


def tools_of(runs: Iterable[ToolRun]) -> str:
    """The names of the tools that still run, for an error."""
    every = list(runs)
    running = [run for run in every if not run.is_over]
    return " and ".join(f"the tool {run.name!r}" for run in running or every)


def log_if_running(run: ToolRun) -> None:
    """Name a tool in the log, once, that still runs although nobody waits for it any more."""
    if run.is_running:
        run.is_running = False
        reason = "it ignores its cancellation" if run.is_async else "a thread cannot be stopped"
        log.info("the tool %r still runs, and nobody waits for it: %s", run.name, reason)
