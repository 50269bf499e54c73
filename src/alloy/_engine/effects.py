"""Effects: how a script says what it needs, and how it receives the outcome.

A script is a generator that yields effects and is sent their outcome, or has their error thrown into
it. It performs nothing itself: a driver (`_engine.runtime`) does. A handler sits between the two: every
effect of the script passes through it (`handled`).

No effect may be yielded in a script's `finally`: a generator cannot yield while it is being closed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from alloy._engine.routes import Route
from alloy._typed.types.async_parsers import Call, Outcome
from alloy.events import Notice
from alloy.messages import Reply, Request, ToolCall, ToolResult

__all__ = [
    "CallModel",
    "Effect",
    "Elapsed",
    "Emit",
    "Handler",
    "ParseValues",
    "RunTools",
    "RunningScript",
    "Script",
    "Sleep",
    "handled",
    "parse_values",
]

T = TypeVar("T")


class Effect(Generic[T]):
    """Something that a driver does for a script: `outcome = yield from effect`."""

    __slots__ = ()

    def __iter__(self) -> Generator[Effect[Any], Any, T]:
        outcome: T = yield self
        return outcome


@dataclass(frozen=True, slots=True)
class CallModel(Effect[Reply]):
    """Send *request* along *route* and wait for the whole reply. Fails with a `ProviderError`."""

    route: Route
    request: Request


@dataclass(frozen=True, slots=True)
class RunTools(Effect[list[ToolResult]]):
    """Run the tools that one reply called; the results are in the order of the calls.

    The arguments of the calls are in the dialect of *route*, along which the reply came. Each result is
    published as `ToolFinished` when its tool ends, while the others still run.
    """

    route: Route
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class ParseValues(Effect[Sequence[Outcome]]):
    """Await the async parsers of an answer's parts; the outcomes are in the order of the calls."""

    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Sleep(Effect[None]):
    """Wait. Fails with a `DeadlineError` at once when the call's time would be up by then."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Emit(Effect[None]):
    """Publish *event* to the call's listeners and to the reader of its stream. Nothing is waited for."""

    event: Notice


@dataclass(frozen=True, slots=True)
class Elapsed(Effect[float]):
    """The seconds since the call began."""


Script: TypeAlias = Generator[Effect[Any], Any, T]

Handler: TypeAlias = Callable[[Effect[Any]], Generator[Effect[Any], Any, Any]]
"""A generator function that gets an effect and returns its outcome.

`outcome = yield from effect` has it performed; a handler may also answer by itself, raise, change the
effect, perform it again, or perform others.
"""


def handled(script: Script[T], handler: Handler) -> Script[T]:
    """*script*, every effect of which passes through *handler*.

    What the handler raises is raised in the script where it yielded the effect.
    """
    step: Callable[[Any], Effect[Any]] = script.send
    value: Any = None
    try:
        while True:
            try:
                effect = step(value)
            except StopIteration as done:
                result: T = done.value
                return result
            try:
                value, step = (yield from handler(effect)), script.send
            except Exception as error:  # noqa: BLE001 - the script's to handle or to raise
                value, step = error, script.throw
    finally:
        script.close()


def parse_values(calls: Sequence[Call]) -> Script[Sequence[Outcome]]:
    """`ParseValues` as a script, for `alloy._typed.types.async_parsers.resolving`."""
    return (yield from ParseValues(tuple(calls)))


class RunningScript(Generic[T]):
    """A script that has been started: the effect that it waits for, or its result."""

    result: T

    def __init__(self, script: Script[T]) -> None:
        self._script = script
        self.pending: Effect[Any] | None = None
        self.resume(None)

    def resume(self, outcome: object) -> None:
        """Send the outcome of the pending effect to the script."""
        try:
            self.pending = self._script.send(outcome)
        except StopIteration as done:
            self.pending, self.result = None, done.value

    def fail(self, error: Exception) -> None:
        """Raise the pending effect's *error* in the script; an error of the script is the caller's."""
        try:
            self.pending = self._script.throw(error)
        except StopIteration as done:
            self.pending, self.result = None, done.value

    def close(self) -> None:
        """Abandon the script."""
        self._script.close()
