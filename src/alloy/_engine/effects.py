"""Effects: how a script says what it needs, and how it is told what came of it.

A script is a generator that yields effects and is sent their outcome, or thrown their error. It
performs nothing itself. No effect may stand in a script's `finally`: a generator cannot yield while
it is being closed.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from alloy._typed.types.parsers import Call, Outcome
from alloy.events import Notice
from alloy.messages import Reply, Request, ToolCall, ToolResult

__all__ = [
    "CallModel",
    "Effect",
    "ParseValues",
    "RunTools",
    "Script",
    "Sleep",
    "Talk",
    "Tell",
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
    """Send one request and wait for the whole reply. Fails with a `ProviderError`."""

    request: Request


@dataclass(frozen=True, slots=True)
class RunTools(Effect[list[ToolResult]]):
    """Run the tools that one reply called; the results stand in the order of the calls."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class ParseValues(Effect[Sequence[Outcome]]):
    """Await what async parsers make of parts of an answer; the outcomes stand in the order of the calls."""

    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Sleep(Effect[None]):
    """Wait. Fails with a `DeadlineError` when the call's time would be up by then."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Tell(Effect[None]):
    """Let a caller who listens know. Nothing is waited for."""

    notice: Notice


Script = Generator[Effect[Any], Any, T]


def parse_values(calls: Sequence[Call]) -> Script[Sequence[Outcome]]:
    """`ParseValues` as a script, for `alloy._typed.types.parsers.resolving`."""
    return (yield from ParseValues(tuple(calls)))


class Talk(Generic[T]):
    """A script under way: the effect it waits for, or its result."""

    result: T

    def __init__(self, script: Script[T]) -> None:
        self._script = script
        self.pending: Effect[Any] | None = None
        self.resume(None)

    def resume(self, outcome: object) -> None:
        """Tell the script what came of the pending effect."""
        try:
            self.pending = self._script.send(outcome)
        except StopIteration as done:
            self.pending, self.result = None, done.value

    def fail(self, error: Exception) -> None:
        """Tell the script that the pending effect failed; its own error, if any, is the caller's."""
        try:
            self.pending = self._script.throw(error)
        except StopIteration as done:
            self.pending, self.result = None, done.value

    def close(self) -> None:
        """Abandon the script."""
        self._script.close()
