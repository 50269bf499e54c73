"""What happens in a call, in order: what `on_event=` listeners and `Stream.events()` get.

    CallStarted
      FallbackTaken                    the model lacks a feature that Alloy emulates
      RequestSent                      one for each try
        TextDelta, ReasoningDelta      streamed calls only
      ReplyReceived, UsageReport
      Retry                            the request failed and is made again
      ToolStarted, ToolFinished        the second as soon as that tool ends
      Reask                            the answer did not fit
    Final or CallFailed

Events hold prompts and answers by reference: what a listener writes down is its own decision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from alloy.errors import AlloyError
from alloy.messages import ReasoningDelta, Reply, Request, TextDelta, ToolCall, ToolResult, Usage
from alloy.result import Result

__all__ = [
    "CallFailed",
    "CallStarted",
    "Event",
    "FallbackTaken",
    "Final",
    "Listener",
    "Notice",
    "Reask",
    "ReasoningDelta",
    "ReplyReceived",
    "RequestSent",
    "Retry",
    "TextDelta",
    "ToolFinished",
    "ToolStarted",
    "UsageReport",
]

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call begins: *command* is what asks, such as `"read_invoice()"`, *model* is `provider:model`."""

    command: str
    model: str


@dataclass(frozen=True, slots=True)
class RequestSent:
    """*request* is about to be sent to *model*; *attempt* counts the requests of the call from 1."""

    request: Request
    model: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ReplyReceived:
    """A whole reply came: *reply* has its text, tool calls, usage, HTTP status, request id and seconds."""

    reply: Reply
    model: str
    attempt: int


@dataclass(frozen=True, slots=True)
class FallbackTaken:
    """*model* does not support *feature*, so Alloy emulates it: see `Result.downgrades`."""

    feature: str
    model: str


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool that the model called is about to run."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool has ended; *result* has its value or its error, and its duration."""

    result: ToolResult


@dataclass(frozen=True, slots=True)
class Retry:
    """A model request failed with *error* and is made again after *wait* seconds."""

    error: AlloyError
    wait: float


@dataclass(frozen=True, slots=True)
class Reask:
    """The answer did not fit, because of *problems*: the model is asked again, and its next answer counts."""

    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The tokens of the reply that was just received, and the *total* of the call so far."""

    usage: Usage
    total: Usage


@dataclass(frozen=True, slots=True)
class Final(Generic[T_co]):
    """The call is finished. Always the last event of a call that succeeds."""

    result: Result[T_co]
    command: str = field(default="", compare=False)

    @property
    def value(self) -> T_co:
        """The answer."""
        return self.result.value


@dataclass(frozen=True, slots=True)
class CallFailed:
    """The call ended with *error* after *seconds*. Always the last event of a call that fails.

    A stream that was closed early and a task that was cancelled end so too, with the exception that ended
    them (`GeneratorExit`, `asyncio.CancelledError`).
    """

    error: BaseException
    command: str
    seconds: float


# The events of the conversation itself, without the deltas of its replies.
Notice: TypeAlias = (
    CallStarted
    | RequestSent
    | ReplyReceived
    | FallbackTaken
    | ToolStarted
    | ToolFinished
    | Retry
    | Reask
    | UsageReport
    | Final[Any]
    | CallFailed
)

Event: TypeAlias = TextDelta | ReasoningDelta | Notice

Listener: TypeAlias = Callable[[Event], object]
"""A function that gets each event of a call, in the thread or task of the call."""
