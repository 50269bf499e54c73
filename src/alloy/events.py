"""What happens in a call, in order: what `on_event=` listeners and `Stream.events()` get.

    CallStarted
      FallbackTaken                    the model lacks a feature that Alloy emulates
      RequestSent                      one for each try
      CacheHit                         in its place, if the reply comes from the response cache
      RateLimited                      the request waits for its turn by the rate limits
        TextDelta, ReasoningDelta      streamed calls only
      ReplyReceived, UsageReport
      Retry                            the request failed and is made again
      FallbackTaken                    the model failed, and the next one of a list is asked
      ToolStarted, ToolFinished        the second as soon as that tool ends, or the call before it
      ToolProgress                     between them, if a tool reports it
      Reask                            the answer did not fit
    Final or CallFailed

Each of them, except the deltas, has a `call_id`, which is the same in all events of a call: a listener of
several calls at once tells them apart by it. Events hold prompts and answers by reference: what a listener
writes down is its own decision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from alloy.errors import AlloyError
from alloy.messages import ReasoningDelta, Reply, Request, TextDelta, ToolCall, ToolResult, Usage
from alloy.result import Result

__all__ = [
    "CacheHit",
    "CallFailed",
    "CallStarted",
    "Event",
    "FallbackTaken",
    "Final",
    "Listener",
    "Notice",
    "RateLimited",
    "Reask",
    "ReasoningDelta",
    "ReplyReceived",
    "RequestSent",
    "Retry",
    "TextDelta",
    "ToolFinished",
    "ToolProgress",
    "ToolStarted",
    "UsageReport",
]

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class _OfCall:
    """An event of a call; *call_id* is set when the event is published."""

    call_id: str = field(default="", compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class CallStarted(_OfCall):
    """A call begins: *command* is what asks, such as `"read_invoice()"`, *model* is `provider:model`."""

    command: str
    model: str


@dataclass(frozen=True, slots=True)
class RequestSent(_OfCall):
    """*request* is about to be sent to *model*; *attempt* counts the requests of the call from 1."""

    request: Request
    model: str
    attempt: int


@dataclass(frozen=True, slots=True)
class CacheHit(_OfCall):
    """The reply of *model* comes from the response cache, where it was stored *age* seconds ago."""

    model: str
    age: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class ReplyReceived(_OfCall):
    """A whole reply came: *reply* has its text, tool calls, usage, HTTP status, request id and seconds.

    *attempt* counts the requests of the call so far.
    """

    reply: Reply
    model: str
    attempt: int


@dataclass(frozen=True, slots=True)
class FallbackTaken(_OfCall):
    """*model* does not support *feature*, so Alloy emulates it: see `Result.downgrades`.

    *discarded* is the text of the answer that showed it, if it was that: a reader of the stream has seen this
    text, and it is void.

    With the feature `"model"` the call continues with *model*, because *failed_model* failed with *error*.
    """

    feature: str
    model: str
    discarded: str = field(default="", compare=False)
    error: AlloyError | None = field(default=None, compare=False)
    failed_model: str = field(default="", compare=False)
    command: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class ToolStarted(_OfCall):
    """A tool that the model called is about to run."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolProgress(_OfCall):
    """A tool says how far it is: *progress* of *total*, which may be unknown, and a *message*.

    Only listeners get it, in the thread or task of the tool.
    """

    call: ToolCall
    progress: float
    total: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class ToolFinished(_OfCall):
    """A tool has ended, or the call before it; *result* has its value or its error, and its duration."""

    result: ToolResult


@dataclass(frozen=True, slots=True)
class Retry(_OfCall):
    """A request of *command* to *model* failed with *error* and is made again after *wait* seconds."""

    error: AlloyError
    wait: float
    model: str = field(default="", compare=False)
    command: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class RateLimited(_OfCall):
    """A request to *model* waits for its turn by the rate limits, for about *wait* seconds."""

    wait: float
    model: str


@dataclass(frozen=True, slots=True)
class Reask(_OfCall):
    """The answer did not fit, because of *problems*: the model is asked again, and its next answer counts."""

    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UsageReport(_OfCall):
    """The tokens of the reply that was just received, and the *total* of the call so far."""

    usage: Usage
    total: Usage


@dataclass(frozen=True, slots=True)
class Final(_OfCall, Generic[T_co]):
    """The call is finished. Always the last event of a call that succeeds."""

    result: Result[T_co]
    command: str = field(default="", compare=False)

    @property
    def value(self) -> T_co:
        """The answer."""
        return self.result.value


@dataclass(frozen=True, slots=True)
class CallFailed(_OfCall):
    """The call ended with *error* after *seconds*. Always the last event of a call that fails.

    *model* is the one that was asked last. *seconds* is set when the event is published.

    A stream that was closed early and a task that was cancelled end so too, with the exception that ended
    them (`GeneratorExit`, `asyncio.CancelledError`).
    """

    error: BaseException
    command: str
    model: str
    seconds: float = field(default=0.0, compare=False)


# The events of the conversation itself, without the deltas of its replies.
Notice: TypeAlias = (
    CallStarted
    | RequestSent
    | CacheHit
    | ReplyReceived
    | FallbackTaken
    | ToolStarted
    | ToolProgress
    | ToolFinished
    | Retry
    | RateLimited
    | Reask
    | UsageReport
    | Final[Any]
    | CallFailed
)

Event: TypeAlias = TextDelta | ReasoningDelta | Notice

Listener: TypeAlias = Callable[[Event], object]
"""A function that gets each event of a call, in the thread or task of the call."""
