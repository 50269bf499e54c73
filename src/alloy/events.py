"""What happens in a streamed call, in order: what `Stream.events()` gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from alloy.errors import AlloyError
from alloy.messages import ReasoningDelta, TextDelta, ToolCall, ToolResult, Usage
from alloy.result import Result

__all__ = [
    "Event",
    "Final",
    "Notice",
    "Reask",
    "ReasoningDelta",
    "Retry",
    "TextDelta",
    "ToolFinished",
    "ToolStarted",
    "UsageReport",
]

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool that the model called is about to run."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool has run, or could not: *result* says which."""

    result: ToolResult


@dataclass(frozen=True, slots=True)
class Retry:
    """A model request failed with *error* and is made again after *wait* seconds."""

    error: AlloyError
    wait: float


@dataclass(frozen=True, slots=True)
class Reask:
    """The answer did not fit, for these *problems*: the model is asked again, and what it says now counts."""

    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UsageReport:
    """A reply is complete: what it cost, and the *total* so far."""

    usage: Usage
    total: Usage


@dataclass(frozen=True, slots=True)
class Final(Generic[T_co]):
    """The call is done. Always the last event."""

    result: Result[T_co]

    @property
    def value(self) -> T_co:
        """The answer."""
        return self.result.value


# What the conversation itself has to tell, beside the deltas of its replies.
Notice = ToolStarted | ToolFinished | Retry | Reask | UsageReport

Event = TextDelta | ReasoningDelta | Notice | Final[Any]
