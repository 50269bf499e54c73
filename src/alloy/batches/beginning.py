"""A batch from its beginning: every call is prepared, and all of them are sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from alloy.batches.batch import Batch
from alloy.batches.collecting import Collection, arguments, noted
from alloy.batches.steps import perform, perform_async
from alloy.calls import OPTIONS
from alloy.errors import ConfigurationError
from alloy.maps.calls import DEFAULTS as MAP_OPTIONS

__all__ = ["begin", "begin_async"]


def begin(command: Any, iterables: tuple[Any, ...], options: Iterable[str] = ()) -> Batch[Any]:
    """The batch of a sync *command*, which has begun. Raises as `BatchMethods.batch`."""
    collection: Collection[Any] = Collection(f"{command.__name__}.batch()")
    _check_no_options(command, collection.where, options)
    for index, args in enumerate(arguments(command, collection.where, iterables)):
        with noted(collection.where, index):
            collection.add(args, command._prepared(args, {}))
    return Batch._begun(collection, perform(collection.submission()))


async def begin_async(command: Any, iterables: tuple[Any, ...], options: Iterable[str] = ()) -> Batch[Any]:
    """As `begin`, in the running event loop, for sync and async commands."""
    collection: Collection[Any] = Collection(f"{command.__name__}.batch()")
    _check_no_options(command, collection.where, options)
    for index, args in enumerate(arguments(command, collection.where, iterables)):
        with noted(collection.where, index):
            call = command._prepared(args, {})
            collection.add(args, await call if command._is_async else call)
    return Batch._begun(collection, await perform_async(collection.submission()))


def _check_no_options(command: Any, where: str, options: Iterable[str]) -> None:
    for name in options:
        if name in OPTIONS:
            fix = f"write {command.__name__}.with_options({name}=…).batch(…)"
        elif name in MAP_OPTIONS:
            fix = f"{name} is for map(), whose calls this process makes; the provider makes those of a batch"
        else:
            fix = f"give an iterable for each parameter; {command.__name__}.with_options(…) takes options"
        raise ConfigurationError(f"{where} takes no option, and got {name!r}: {fix}")
