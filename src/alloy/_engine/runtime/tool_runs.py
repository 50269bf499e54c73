"""Running one tool, in the caller's thread or in the running event loop."""

from __future__ import annotations

from alloy._engine.runtime.await_parsers import Gather, run_rounds, run_rounds_async
from alloy._engine.toolbox import ToolEnd, ToolRun

__all__ = ["run_async_tool", "run_tool"]


def run_tool(run: ToolRun, gather: Gather) -> ToolEnd:
    """Run a tool that is not async; *gather* waits for the async parsers of its arguments."""
    try:
        run_rounds(run.arguments_read(), gather)
        return run.succeeded(run.begin())
    except Exception as error:  # noqa: BLE001 - whatever a tool raises is its result
        return run.failed(error)


async def run_async_tool(run: ToolRun) -> ToolEnd:
    """As `run_tool`, for an async tool."""
    import asyncio  # sync calls do without it

    try:
        await run_rounds_async(run.arguments_read())
        return run.succeeded(await run.begin())
    except Exception as error:  # noqa: BLE001 - as above
        return run.failed(error)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # the whole call is being cancelled
        return run.failed(RuntimeError(f"the tool was cancelled: {error}"))
