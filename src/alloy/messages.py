"""What travels between the engine and a backend: plain data that knows no provider.

A conversation is a tuple of messages: the user's (`User`), the model's (`Reply`) and the results of
the tools that a reply called (`ToolResults`). A `Request` is such a conversation with its settings.
A streamed reply arrives as deltas first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from alloy.media import Media

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = [
    "Delta",
    "Echo",
    "Finish",
    "OutputMode",
    "OutputSchema",
    "ReasoningDelta",
    "Reply",
    "Request",
    "RequestUsage",
    "Spent",
    "TextDelta",
    "ToolCall",
    "ToolCallDelta",
    "ToolMode",
    "ToolResult",
    "ToolResults",
    "ToolSchema",
    "Turn",
    "Usage",
    "User",
]

# "pause": the provider interrupts a long turn of its own and wants it sent back as it is.
# "other": the provider's word for the end is unknown; it is in `Reply.explanation`.
Finish = Literal["stop", "tool_calls", "pause", "length", "refusal", "filter", "other"]
ToolMode = Literal["native", "react"]
OutputMode = Literal["native", "prompted"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the provider counted them; a provider that does not count something says 0.

    *input_tokens* includes *cached_tokens*, which were read from the provider's prompt cache, and
    *cache_write_tokens*, which were written to it; *output_tokens* includes *reasoning_tokens*. It is so for
    every provider. Usages add up with `+`.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
        )


@dataclass(frozen=True, slots=True)
class RequestUsage:
    """What one model request used: *model* is `provider:model`, *address* the server's, if that is known.

    *in_batch* says that it was part of a provider's batch, which has prices of its own.
    """

    model: str
    usage: Usage
    address: str | None = None
    in_batch: bool = False


@dataclass(frozen=True, slots=True)
class Spent:
    """What calls that share a budget have used: *tokens*, *requests* and *seconds* since the first request.

    *cost* is in US dollars, and `None` unless the budget limits it.
    """

    tokens: int = 0
    requests: int = 0
    seconds: float = 0.0
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model's wish to call a tool.

    *arguments* is JSON text as the model wrote it, not yet validated, so that no digit of a number
    is lost; a call without arguments may be `""`. *id* pairs the call with its result.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of one call.

    *content* is the text that the model gets, cut at `tool_result_max_chars`, and *parts* is all of it, in
    order, when there are images or documents in it. *value* is what the tool
    returned in Python, and *arguments* what it was called with, after conversion. *error* says why there is
    no value. *duration* is in seconds. *requests* are the model requests of commands that the tool called.
    """

    call: ToolCall
    content: str
    value: Any = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    duration: float = field(default=0.0, compare=False, repr=False)
    requests: tuple[RequestUsage, ...] = field(default=(), compare=False, repr=False)
    parts: tuple[str | Media, ...] = ()

    @property
    def name(self) -> str:
        """The tool's name."""
        return self.call.name

    @property
    def usage(self) -> Usage:
        """Tokens of the commands that the tool called, together."""
        return sum((request.usage for request in self.requests), Usage())


@dataclass(frozen=True, slots=True)
class User:
    """What the user, or Alloy in the user's name, says to the model: text, or parts in their order.

    *cache_points* says after how many of the parts a prefix ends that many calls have in common.
    """

    content: str | tuple[str | Media, ...]
    cache_points: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The text of it, parts joined by line ends, without images and documents."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part for part in self.content if isinstance(part, str))

    @property
    def parts(self) -> tuple[str | Media, ...]:
        """All of it as parts."""
        return (self.content,) if isinstance(self.content, str) else self.content

    def followed_by(self, other: User) -> User:
        """Both as one turn."""
        points = (*self.cache_points, *(len(self.parts) + point for point in other.cache_points))
        if isinstance(self.content, str) and isinstance(other.content, str) and not points:
            return User(f"{self.content}\n\n{other.content}")
        return User((*self.parts, *other.parts), points)


class Echo(NamedTuple):
    """A turn as its provider made it, to be sent back untouched: *by* names the backend, *data* is JSON."""

    by: str
    data: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete turn of the model.

    *text* is the answer, or what comes before calls: no reasoning, no refusal. *explanation* is what the
    model or the provider said about a refusal or a filtered answer, or the provider's unknown word for the
    end. *echo* is the turn in the provider's own form, for `encode` to send back untouched in the next
    request. *is_end_stated* is false when the server does not say why the answer ended, so that only its
    tokens show whether it was cut off. *status* and *request_id* are those of the HTTP response, where there
    was one, *seconds* is how long the request took, and *waited* how long it was held back before by the rate
    limits; they are set by the driver and are not part of the reply's value. *cached* says that it comes from
    the response cache, so nothing was sent.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: Finish = "stop"
    usage: Usage = Usage()
    model: str = ""
    id: str = ""
    reasoning: str = ""
    explanation: str = ""
    echo: Echo | None = None
    is_end_stated: bool = field(default=True, compare=False, repr=False)
    status: int | None = field(default=None, compare=False, repr=False)
    request_id: str | None = field(default=None, compare=False, repr=False)
    seconds: float = field(default=0.0, compare=False, repr=False)
    waited: float = field(default=0.0, compare=False, repr=False)
    cached: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ToolResults:
    """The results of all calls of the reply before, in the order of the calls."""

    results: tuple[ToolResult, ...]

    @property
    def has_media(self) -> bool:
        """Whether tools returned images or documents."""
        return any(result.parts for result in self.results)


Turn = User | Reply | ToolResults


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A tool as the model is shown it: *parameters* is plain JSON Schema.

    The backend converts it to its dialect when it encodes the request, and then sets *strict* when the
    converted schema obeys the rules of the provider's strict mode (`alloy.backends.schemas.in_dialect`).
    """

    name: str
    description: str
    parameters: dict[str, Any]
    strict: bool = False


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """The answer's type as plain JSON Schema; *strict* as in `ToolSchema`. *name* is a safe identifier.

    *wrapped* says that the type is the property `value` of the schema, because providers accept only objects.
    """

    name: str
    schema: dict[str, Any]
    strict: bool = False
    wrapped: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """All that a backend needs to encode one request. `None` means: do not send it.

    *tool_choice* is `"auto"`, `"none"` (shows the tools without letting the model call them),
    `"required"` or one tool's name. *tool_mode* `"react"` and *output_mode* `"prompted"` have the tools
    and the answer's type written into the prompt instead of the provider's own fields: see
    `alloy.backends.fallback.react`; a backend never sees them. *json_object* asks the provider for any JSON
    object, next to a type that the prompt describes. *strict_tools* may be turned off where the provider
    refuses to enforce the schemas of the tools. *extra* is merged verbatim into the request
    body, last. The settings between are those of `Config`.
    """

    model: str
    messages: tuple[Turn, ...]
    system: str | None = None
    tools: tuple[ToolSchema, ...] = ()
    output: OutputSchema | None = None
    strict_tools: bool = True
    tool_mode: ToolMode = "native"
    output_mode: OutputMode = "native"
    json_object: bool = False
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    tool_choice: str | None = None
    allowed_tools: tuple[str, ...] | None = None
    parallel_tools: bool | None = None
    reasoning_effort: str | None = None
    prompt_caching: bool | Literal["long"] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the model's reasoning, or of its summary."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """The model has begun to call a tool."""

    id: str
    name: str


Delta = TextDelta | ReasoningDelta | ToolCallDelta
