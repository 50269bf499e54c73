"""Awaiting async parsers: the I/O that `alloy._typed.types.async_parsers` leaves to its callers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from alloy._typed.types.async_parsers import Call, Outcome, Unresolved, resolving

__all__ = ["finished", "gathered", "resolved"]

T = TypeVar("T")


async def gathered(calls: Sequence[Call]) -> list[Outcome]:
    """The outcomes of *calls*, which run concurrently."""
    import asyncio

    return list(await asyncio.gather(*map(_outcome, calls)))


async def _outcome(call: Call) -> Outcome:
    try:
        return Outcome(await call())
    except Exception as error:  # noqa: BLE001 (any error of a parser is its outcome)
        return Outcome(error=error)


def finished(calls: Sequence[Call]) -> list[Outcome]:
    """As `gathered`, for code that cannot await: runs the calls in an event loop in another thread."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    with ThreadPoolExecutor(1, "alloy-parser") as pool:  # the calling thread may already run a loop
        return pool.submit(copy_context().run, asyncio.run, gathered(calls)).result()


def resolved(read: Callable[[], T]) -> T:
    """The value that *read* returns, for code that cannot await: async parsers run as in `finished`."""
    try:
        return read()  # few types have an async parser, and rounds cost time
    except Unresolved:
        return _resolved_in_rounds(read)


def _resolved_in_rounds(read: Callable[[], T]) -> T:
    script = resolving(read, _ask)
    try:
        calls = next(script)
        while True:
            calls = script.send(finished(calls))
    except StopIteration as done:
        value: T = done.value
        return value


def _ask(calls: Sequence[Call]) -> Generator[Sequence[Call], list[Outcome], list[Outcome]]:
    return (yield calls)
