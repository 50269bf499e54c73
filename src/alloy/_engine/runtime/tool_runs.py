"""Running one tool, in the caller's thread or in the running event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from alloy._engine.effects import ParseValues, RunningScript
from alloy._engine.runtime.await_parsers import gathered
from alloy._engine.toolbox import ToolEnd, ToolRun
from alloy._typed.types.async_parsers import Call, Outcome

__all__ = ["Gather", "run_async_tool", "run_tool"]

Gather: TypeAlias = Callable[[Sequence[Call]], Sequence[Outcome]]


def run_tool(run: ToolRun, gather: Gather) -> ToolEnd:
    """Run a tool that is not async; *gather* waits for the async parsers of its arguments."""
    try:
        reading = RunningScript(run.arguments_read())
        while isinstance(wanted := reading.pending, ParseValues):
            reading.resume(gather(wanted.calls))
        return run.succeeded(run.begin())
    except Exception as error:  # noqa: BLE001 - whatever a tool raises is its result
        return run.failed(error)


async def run_async_tool(run: ToolRun) -> ToolEnd:
    """As `run_tool`, for an async tool."""
    import asyncio  # sync calls do without it

    try:
        reading = RunningScript(run.arguments_read())
        while isinstance(wanted := reading.pending, ParseValues):
            reading.resume(await gathered(wanted.calls))
        return run.succeeded(await run.begin())
    except Exception as error:  # noqa: BLE001 - as above
        return run.failed(error)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # the whole call is being cancelled
        return run.failed(RuntimeError(f"the tool was cancelled: {error}"))
