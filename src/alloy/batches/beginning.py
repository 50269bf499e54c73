"""A batch from its beginning: every call is prepared, and all of them are sent."""

from __future__ import annotations

from typing import Any

from alloy.batches.batch import Batch
from alloy.batches.collecting import Collection, arguments, noted
from alloy.batches.steps import perform, perform_async

__all__ = ["begin", "begin_async"]


def begin(command: Any, iterables: tuple[Any, ...]) -> Batch[Any]:
    """The batch of a sync *command*, which has begun. Raises as `BatchMethods.batch`."""
    collection: Collection[Any] = Collection(f"{command.__name__}.batch()")
    for index, args in enumerate(arguments(command, collection.where, iterables)):
        with noted(collection.where, index):
            collection.add(args, command._prepared(args, {}))
    return Batch._begun(collection, perform(collection.submission()))


async def begin_async(command: Any, iterables: tuple[Any, ...]) -> Batch[Any]:
    """As `begin`, in the running event loop, for sync and async commands."""
    collection: Collection[Any] = Collection(f"{command.__name__}.batch()")
    for index, args in enumerate(arguments(command, collection.where, iterables)):
        with noted(collection.where, index):
            call = command._prepared(args, {})
            collection.add(args, await call if command._is_async else call)
    return Batch._begun(collection, await perform_async(collection.submission()))
