"""Handlers and listeners: what a scope adds to every call that is prepared inside it.

Both are kept in context variables, so they reach the threads and tasks that Alloy starts, and nested calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

from alloy._engine.effects import Handler
from alloy.errors import ConfigurationError
from alloy.events import Listener
from alloy.functions import generator_kind
from alloy.setting_kinds import check_listeners

__all__ = ["Counting", "current_handlers", "current_listeners", "handlers", "listen"]

_handlers: ContextVar[tuple[Handler, ...]] = ContextVar("alloy_handlers", default=())
_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("alloy_listeners", default=())


class Counting(partial):  # type: ignore[type-arg]
    """A handler that only counts what is sent: its place is after those that may answer by themselves."""


@contextmanager
def handlers(*several: Handler) -> Iterator[None]:
    """Pass every effect of the calls in a `with` block through *several* handlers.

    A handler is a generator function that gets an effect (see `alloy.effects`) and returns its outcome:
    `outcome = yield from effect` has it performed. It works in plain, async and streamed calls alike. The
    first handler is the outermost, and so is that of an outer block: it sees an effect first, and the
    outcome last. What a handler raises ends the call, like any error of the effect. A stream keeps the
    handlers of the block in which its call was prepared: where `stream()` was called, or where reading
    begins for an `async def` command.

    Raises `ConfigurationError` for what is not a generator function.
    """
    for handler in several:
        if generator_kind(handler) != "a generator":
            raise ConfigurationError(
                f"a handler is a generator function, which returns `(yield from effect)`; {handler!r} is not"
            )
    token = _handlers.set((*_handlers.get(), *several))
    try:
        yield
    finally:
        _handlers.reset(token)


@contextmanager
def listen(*listeners: Listener) -> Iterator[None]:
    """Call *listeners* with every event (see `alloy.events`) of the calls in a `with` block.

    They are called in the thread or task of the call, in the order of the events, and should return
    quickly. An exception of a listener is logged and does not end the call. Blocks nest; the listener of
    the setting `on_event` is called too.

    Raises `ConfigurationError` for what cannot be called, and for an `async def` function.
    """
    for listener in listeners:
        try:
            check_listeners((listener,))
        except ValueError as error:
            raise ConfigurationError(f"a listener must be {error}; {listener!r} is not") from None
    token = _listeners.set((*_listeners.get(), *listeners))
    try:
        yield
    finally:
        _listeners.reset(token)


def current_handlers() -> tuple[Handler, ...]:
    """The handlers of the scopes around the caller, the outermost first."""
    return _handlers.get()


def current_listeners(own: tuple[Listener, ...] | None) -> tuple[Listener, ...]:
    """The listeners of the scopes around the caller, the outermost first, and then a call's *own*."""
    return (*_listeners.get(), *(own or ()))
