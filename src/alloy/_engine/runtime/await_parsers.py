"""Awaiting async parsers: the I/O that `alloy._typed.types.async_parsers` leaves to its callers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from alloy._engine.effects import ParseValues, RunningScript, Script, parse_values
from alloy._typed.types.async_parsers import Call, Outcome, Unresolved, resolving
from alloy.tasks import in_task
from alloy.threads import in_threads

__all__ = ["Gather", "finished", "gathered", "resolved", "run_rounds", "run_rounds_async"]

T = TypeVar("T")

Gather: TypeAlias = Callable[[Sequence[Call]], Sequence[Outcome]]


async def gathered(calls: Sequence[Call]) -> list[Outcome]:
    """The outcomes of *calls*, which run concurrently."""
    import asyncio

    return list(await asyncio.gather(*map(_outcome, calls)))


async def _outcome(call: Call) -> Outcome:
    import asyncio

    try:
        return Outcome(await in_task(call(), "an async parser"))
    except Exception as error:  # noqa: BLE001 (any error of a parser is its outcome)
        return Outcome(error=error)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return Outcome(error=RuntimeError(f"the parser was cancelled: {error}".removesuffix(": ")))


def finished(calls: Sequence[Call]) -> list[Outcome]:
    """As `gathered`, for code that cannot await: runs the calls in an event loop in another thread."""
    import asyncio

    # The calling thread may already run a loop.
    (running,) = in_threads([lambda: asyncio.run(gathered(calls))], 1, "alloy-parser")
    return running.result()


def resolved(read: Callable[[], T]) -> T:
    """The value that *read* returns, for code that cannot await: async parsers run as in `finished`."""
    try:
        return read()  # few types have an async parser, and rounds cost time
    except Unresolved:
        return run_rounds(resolving(read, parse_values), finished)


def run_rounds(script: Script[T], gather: Gather) -> T:
    """The result of *script*, which asks for nothing but the outcomes of async parsers."""
    reading = RunningScript(script)
    while isinstance(wanted := reading.pending, ParseValues):
        reading.resume(gather(wanted.calls))
    return reading.result


async def run_rounds_async(script: Script[T]) -> T:
    """As `run_rounds`, in the running event loop."""
    reading = RunningScript(script)
    while isinstance(wanted := reading.pending, ParseValues):
        reading.resume(await gathered(wanted.calls))
    return reading.result
