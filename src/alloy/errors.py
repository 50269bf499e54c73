"""The error tree. Whose fault it was is in the class, the evidence is in the attributes.

    AlloyError
    ├── ConfigurationError         the caller's set-up: an annotation, an option, a model's name, a key
    ├── CommandError               a command's own Python part: its prompt is no string, its `@require` failed
    ├── ToolError                  a tool: its contract in a direct call, or tool_errors="raise"
    ├── ProviderError              the provider, or the way to it
    │   ├── ProviderConnectionError    no answer came: refused, reset, DNS, TLS
    │   │   └── ProviderTimeoutError   no whole answer within `timeout`
    │   ├── AuthenticationError        401, 403: the key
    │   ├── BadRequestError            other 4xx: the request
    │   │   ├── ModelNotFoundError     404: the model, or the address
    │   │   └── UnsupportedError       the model has no native tools, or no native structured output
    │   ├── RateLimitError             429
    │   ├── ServerError                5xx, or a generation that the provider says has failed
    │   └── BadReplyError              an answer that is not one: HTML, empty, cut short, of another shape
    ├── AnswerError                the model answered, but not with the declared type
    │   ├── EmptyAnswerError           nothing
    │   ├── RefusalError               the model declined
    │   ├── TruncatedError             cut off at the token limit
    │   ├── FilteredError              cut off by a content filter
    │   ├── ParseError                 text that does not read as the type
    │   └── PostconditionError         a value that the command's `@ensure` turned down
    ├── TurnLimitError             the model still called tools after `max_tool_turns`
    └── DeadlineError              the whole call took longer than `deadline`

Every error survives pickling, so that process pools can carry it. SDK errors do not all survive
it, so an error keeps what they said as plain data and the error itself only as `__cause__`.
No attribute holds a key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alloy.messages import Turn, Usage

__all__ = [
    "AlloyError",
    "AnswerError",
    "AuthenticationError",
    "BadReplyError",
    "BadRequestError",
    "CommandError",
    "ConfigurationError",
    "DeadlineError",
    "EmptyAnswerError",
    "FilteredError",
    "ModelNotFoundError",
    "ParseError",
    "PostconditionError",
    "ProviderConnectionError",
    "ProviderError",
    "ProviderTimeoutError",
    "RateLimitError",
    "RefusalError",
    "ServerError",
    "ToolError",
    "TruncatedError",
    "TurnLimitError",
    "UnsupportedError",
]

SNIPPET = 200  # characters of the model's text that a message shows


class AlloyError(Exception):
    """The root of every error that Alloy raises.

    *usage*, *transcript* and *attempts* hold what a failed call had spent and said, and how often it
    had asked, when it got as far as the model; all are `None` before that.
    """

    usage: Usage | None = None
    attempts: int | None = None
    transcript: tuple[Turn, ...] | None = None

    def __reduce__(self) -> tuple[Callable[..., AlloyError], tuple[Any, ...]]:
        state = self.__dict__
        if self.transcript is not None and not _pickles(self.transcript):
            state = {**state, "transcript": None}  # it holds a tool's value that cannot travel
        return _rebuild, (type(self), self.args, state)


class ConfigurationError(AlloyError):
    """Something in the caller's set-up must change; the message says what and how."""


class CommandError(AlloyError):
    """A command's own Python part failed: its prompt is not a `str`, or its `@require` did not hold."""


class ToolError(AlloyError):
    """A tool failed: by its contract in a direct call, or by an exception under `tool_errors="raise"`.

    *tool* is the tool's name.
    """

    def __init__(self, message: str, *, tool: str | None = None) -> None:
        super().__init__(message)
        self.tool = tool


class ProviderError(AlloyError):
    """The provider answered with an error, or could not be reached.

    Attributes: *provider* (its name), *status* (HTTP, `None` without an answer), *code* (the
    provider's own), *request_id* (what its support asks for), *retry_after* (seconds that the
    provider asked to wait), *transient* (whether trying again can help) and *text* (what had
    already been streamed to the caller).
    """

    transient = False

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        transient: bool | None = None,
        text: str = "",
    ) -> None:
        marks = [] if status is None else [f"status {status}"]
        marks += [] if request_id is None else [f"request {request_id}"]
        suffix = f" ({', '.join(marks)})" if marks else ""
        super().__init__(f"{provider}: {message}{suffix}")
        self.provider, self.status, self.code = provider, status, code
        self.request_id, self.retry_after, self.text = request_id, retry_after, text
        if transient is not None:
            self.transient = transient


class ProviderConnectionError(ProviderError):
    """No answer came: the connection was refused, reset or never made."""

    transient = True


class ProviderTimeoutError(ProviderConnectionError):
    """No whole answer came within `timeout`."""


class AuthenticationError(ProviderError):
    """The provider did not accept the key (401), or the key may not do this (403)."""


class BadRequestError(ProviderError):
    """The provider refused the request as it stands (4xx)."""


class ModelNotFoundError(BadRequestError):
    """The provider knows no such model, or there is nothing at that address (404)."""


class UnsupportedError(BadRequestError):
    """The model cannot do by itself what *feature* names: `"tools"` or `"output"` (structured output)."""

    def __init__(self, message: str, *, feature: str, provider: str, **details: Any) -> None:
        super().__init__(message, provider=provider, **details)
        self.feature = feature


class RateLimitError(ProviderError):
    """Too many requests, or a spent quota (429)."""

    transient = True


class ServerError(ProviderError):
    """The provider failed (5xx), or says that this generation did."""

    transient = True


class BadReplyError(ProviderError):
    """An answer came with status 200 and is none: HTML, empty, cut short, or of a foreign shape."""

    transient = True


class AnswerError(AlloyError):
    """The model answered, but not with the declared type.

    *expected* is the type as a reader would write it, *problems* says what was wrong, one line
    each, and *text* is all that the model said.
    """

    def __init__(self, expected: str, problems: tuple[str, ...], text: str = "") -> None:
        said = f" (the model said {_snippet(text)!r})" if text else ""
        super().__init__(f"expected {expected}: {'; '.join(problems)}{said}")
        self.expected, self.problems, self.text = expected, problems, text


class EmptyAnswerError(AnswerError):
    """The model said nothing where an answer was due."""


class RefusalError(AnswerError):
    """The model declined to answer."""


class TruncatedError(AnswerError):
    """The answer was cut off at the token limit: raise `max_tokens`, or ask for less."""


class FilteredError(AnswerError):
    """The provider's content filter cut the answer off, or blocked the prompt."""


class ParseError(AnswerError):
    """The answer does not read as the declared type."""


class PostconditionError(AnswerError):
    """The answer has the declared type, but the command's `@ensure` turned it down."""


class TurnLimitError(AlloyError):
    """The model went on calling tools after `max_tool_turns` rounds of them."""


class DeadlineError(AlloyError):
    """The whole call, tools and waiting included, took longer than `deadline`."""


UNFINISHED: dict[str, tuple[type[AnswerError], str]] = {
    "refusal": (RefusalError, "the model refused"),
    "length": (TruncatedError, "the answer was cut off at the token limit; raise max_tokens"),
    "filter": (FilteredError, "a content filter stopped the answer"),
}
"""By `Reply.finish`: the error for an answer that ended so, and what it says."""


def _snippet(text: str) -> str:
    return text if len(text) <= SNIPPET else text[:SNIPPET] + "…"


def _pickles(value: object) -> bool:
    import pickle

    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - whatever a value's own __reduce__ raises
        return False
    return True


def _rebuild(kind: type[AlloyError], args: tuple[Any, ...], state: dict[str, Any]) -> AlloyError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
