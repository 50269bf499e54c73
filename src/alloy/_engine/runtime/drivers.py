"""The two drivers: each takes a script to its end and has its effects performed, in sync or in async.

A plain call is a stream whose events nobody reads. Catching `Exception` and not `BaseException` lets Ctrl-C
and a cancelled task pass, and `closing` ends the script then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

from alloy._engine.effects import CallModel, Elapsed, Emit, RunningScript
from alloy._engine.prepare import PreparedCall
from alloy._engine.runtime.async_parts import AsyncParts, check_asyncio
from alloy._engine.runtime.sync_io import SyncIO
from alloy.events import Event
from alloy.messages import ToolCallDelta
from alloy.result import Result

__all__ = ["drive", "run", "run_async", "stream", "stream_async"]

T = TypeVar("T")


def stream(
    call: PreparedCall[T], *, streamed: bool = True
) -> Generator[Event | ToolCallDelta, None, Result[T]]:
    """Begin *call* when iterated; yield its events as they happen, and return the result.

    *streamed* says whether replies are requested as streams, whose deltas are events too.
    """
    with SyncIO(call, streamed=streamed) as io, closing(RunningScript(call.script())) as script:
        while (effect := script.pending) is not None:
            outcome: Any = None
            try:
                if isinstance(effect, Emit):
                    yield from io.emit(effect.event)
                elif isinstance(effect, Elapsed):
                    outcome = io.clock.elapsed()
                else:
                    if isinstance(effect, CallModel):
                        yield from io.sending()
                    events = io.observed(effect)
                    outcome = io.perform(effect) if events is None else (yield from events)
            except Exception as error:  # noqa: BLE001 - the script's to handle or to raise
                script.fail(error)
            else:
                script.resume(outcome)
        return script.result


def stream_async(call: PreparedCall[T]) -> AsyncParts[Result[T]]:
    """As `stream`, in the running event loop."""
    return AsyncParts(partial(drive, call))


async def drive(
    call: PreparedCall[T], show: Callable[[Event | ToolCallDelta], Awaitable[None]] | None
) -> Result[T]:
    """Take *call* to its result; *show* what happens on the way, if that is not `None`."""
    from alloy._engine.runtime.async_io import AsyncIO

    with AsyncIO(call, show) as io, closing(RunningScript(call.script())) as script:
        while (effect := script.pending) is not None:
            outcome: Any = None
            try:
                if isinstance(effect, Emit):
                    for event in io.emit(effect.event):
                        await io.show(event)
                elif isinstance(effect, Elapsed):
                    outcome = io.clock.elapsed()
                else:
                    if isinstance(effect, CallModel):
                        for event in io.sending():
                            await io.show(event)
                    outcome = await (io.observed(effect) or io.perform(effect))
            except Exception as error:  # noqa: BLE001 - as above
                script.fail(error)
            else:
                script.resume(outcome)
        return script.result


def run(call: PreparedCall[T]) -> Result[T]:
    """Take *call* to its result."""
    events = stream(call, streamed=False)
    try:
        while True:
            next(events)
    except StopIteration as done:
        result: Result[T] = done.value
        return result
    finally:
        events.close()


async def run_async(call: PreparedCall[T]) -> Result[T]:
    """As `run`, in the running event loop."""
    check_asyncio()
    return await drive(call, None)
