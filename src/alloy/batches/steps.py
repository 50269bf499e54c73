"""The operations of a batch, taken to their outcome in sync and async."""

from __future__ import annotations

from typing import TypeVar, cast

from alloy._engine.batching import BatchCall
from alloy._engine.runtime.drivers import run, run_async

__all__ = ["perform", "perform_async"]

T = TypeVar("T")


def perform(call: BatchCall[T]) -> T:
    """Take *call* to the outcome of its steps."""
    return cast("T", run(call))


async def perform_async(call: BatchCall[T]) -> T:
    """As `perform`, in the running event loop."""
    return cast("T", await run_async(call))
