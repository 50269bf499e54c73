"""The four drivers: each takes a conversation through, and has its effects performed.

They differ in colour and in whether replies are streamed; the conversation does not know which of
them it has. Catching `Exception` and not `BaseException` lets Ctrl-C and a cancelled task pass by,
and `closing` unwinds the script then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from typing import Any, TypeVar

from alloy._engine.conversation import converse
from alloy._engine.effects import CallModel, Talk, Tell
from alloy._engine.prepare import Job
from alloy._engine.runtime.sync_io import SyncIO
from alloy.events import Notice
from alloy.messages import Delta, Reply
from alloy.result import Result

__all__ = ["run", "run_async", "stream", "stream_async"]

T = TypeVar("T")


def run(job: Job[T]) -> Result[T]:
    """Put the question and wait for the result."""
    io = SyncIO(job)
    with closing(Talk(converse(job.question))) as talk:
        while (effect := talk.pending) is not None:
            try:
                outcome = io.perform(effect)
            except Exception as error:  # noqa: BLE001 - the script's to handle or to raise
                talk.fail(error)
            else:
                talk.resume(outcome)
        return talk.result


def stream(job: Job[T]) -> Generator[Delta | Notice, None, Result[T]]:
    """Put the question once iterated; yield deltas and notices as they come, and return the result."""
    io = SyncIO(job)
    with closing(Talk(converse(job.question))) as talk:
        while (effect := talk.pending) is not None:
            try:
                if isinstance(effect, CallModel):
                    outcome: Any = yield from io.stream_model(effect.request)
                elif isinstance(effect, Tell):
                    outcome = yield effect.notice
                else:
                    outcome = io.perform(effect)
            except Exception as error:  # noqa: BLE001 - as above
                talk.fail(error)
            else:
                talk.resume(outcome)
        return talk.result


async def run_async(job: Job[T]) -> Result[T]:
    """As `run`, in the running event loop."""
    from alloy._engine.runtime.async_io import AsyncIO

    io = AsyncIO(job)
    with closing(Talk(converse(job.question))) as talk:
        while (effect := talk.pending) is not None:
            try:
                outcome = await io.perform(effect)
            except Exception as error:  # noqa: BLE001 - as above
                talk.fail(error)
            else:
                talk.resume(outcome)
        return talk.result


async def stream_async(job: Job[T]) -> AsyncGenerator[Delta | Notice | Result[T], None]:
    """As `stream`; the result comes last, for an async generator cannot return one."""
    from alloy._engine.runtime.async_io import AsyncIO

    io = AsyncIO(job)
    with closing(Talk(converse(job.question))) as talk:
        while (effect := talk.pending) is not None:
            outcome: Any = None
            try:
                if isinstance(effect, CallModel):
                    async with aclosing(io.stream_model(effect.request)) as parts:
                        async for part in parts:  # deltas first, the reply last
                            if isinstance(part, Reply):
                                outcome = part
                            else:
                                yield part
                elif isinstance(effect, Tell):
                    outcome = yield effect.notice
                else:
                    outcome = await io.perform(effect)
            except Exception as error:  # noqa: BLE001 - as above
                talk.fail(error)
            else:
                talk.resume(outcome)
        yield talk.result
