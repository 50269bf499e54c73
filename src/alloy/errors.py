r"""The error tree. The class says where the fault is; the attributes have the details.

    AlloyError
    ├── ConfigurationError         the set-up: an annotation, an option, the name of a model, a key
    ├── CommandError               the Python part of a command: an invalid prompt, a failed `@require`
    ├── ToolError                  a tool: a contract in a direct call, or tool_errors="raise"
    ├── ProviderError              the provider, or the connection to it
    │   ├── ProviderConnectionError    no reply: refused, reset, DNS, TLS
    │   │   └── ProviderTimeoutError   no complete reply within `timeout`
    │   ├── AuthenticationError        401, 403: the key
    │   ├── BadRequestError            other 4xx: the request
    │   │   ├── ModelNotFoundError     404: the model, or the URL
    │   │   └── UnsupportedError       a feature that the model does not support
    │   ├── RateLimitError             429
    │   ├── CircuitOpenError           not sent: the circuit breaker is open
    │   ├── ServerError                5xx, or a failure that the provider reports
    │   └── BadReplyError              a reply in an unexpected format: HTML, empty, incomplete
    │       └── ResponseTooLargeError  a reply above `max_response_bytes`
    ├── AnswerError                the model answered, but not with the declared type
    │   ├── EmptyAnswerError           an empty answer
    │   ├── RefusalError               the model refused
    │   ├── TruncatedError             cut off at the token limit
    │   ├── FilteredError              cut off by a content filter
    │   ├── ParseError                 text that cannot be read as the type
    │   └── PostconditionError         a value that fails the `@ensure` of the command
    ├── TurnLimitError             the model still called tools after `max_tool_turns`
    ├── WorkerError                an executor's worker died, or could not take the call
    ├── McpError                   an MCP server cannot be reached, or has left
    ├── CheckpointError            the file of a map's answers cannot be used
    ├── BudgetError                a limit of a `Budget` is reached
    └── DeadlineError              the whole call took longer than `deadline`

Every error can be pickled, so that process pools can send it. Not every error of an SDK can, so Alloy
keeps their details as plain data, and the SDK's error itself only as `__cause__`. No attribute has a key.

A message never drives a terminal or begins another log line: control characters, and in text of a server or
a model line breaks, too, are shown as escapes such as `\x1b`. Attributes have the text as it was received.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from alloy.excerpts import beginning, excerpt, printable

if TYPE_CHECKING:
    from alloy.messages import Spent, Turn, Usage
    from alloy.partials import Partial

__all__ = [
    "AlloyError",
    "AnswerError",
    "AuthenticationError",
    "BadReplyError",
    "BadRequestError",
    "BudgetError",
    "CheckpointError",
    "CircuitOpenError",
    "CommandError",
    "ConfigurationError",
    "DeadlineError",
    "EmptyAnswerError",
    "FilteredError",
    "McpError",
    "ModelNotFoundError",
    "ParseError",
    "PostconditionError",
    "ProviderConnectionError",
    "ProviderError",
    "ProviderTimeoutError",
    "RateLimitError",
    "RefusalError",
    "ResponseTooLargeError",
    "ServerError",
    "ToolError",
    "TruncatedError",
    "TurnLimitError",
    "UnsupportedError",
    "WorkerError",
]

SNIPPET = 200  # characters of the model's answer that a message shows
LONGEST = 4000  # characters of a message about what a provider or a model has written
LONGEST_WORD = 200  # characters of a provider's code or request id


class AlloyError(Exception):
    """The base class of every error that Alloy raises.

    When a call fails after its first request, *usage*, *transcript* and *attempts* have its tokens, its
    messages and the number of its requests. Before that they are `None`. *earlier* has the errors of the
    models that were asked before the last one of a list; the notes of the error name them and their models.
    """

    usage: Usage | None = None
    attempts: int | None = None
    transcript: tuple[Turn, ...] | None = None
    earlier: tuple[AlloyError, ...] = ()

    def __str__(self) -> str:
        return printable(super().__str__(), lines=True)

    def __reduce__(self) -> tuple[Callable[..., AlloyError], tuple[Any, ...]]:
        state = self.__dict__
        if self.transcript is not None and not _pickles(self.transcript):
            state = {**state, "transcript": None}  # it has a tool's value that cannot be pickled
        return _rebuild, (type(self), self.args, state)


class ConfigurationError(AlloyError):
    """The set-up is not valid; the message says what to change, and how."""


class CommandError(AlloyError):
    """The Python part of a command failed: its prompt is not valid, or its `@require` is false."""


class ToolError(AlloyError):
    """A tool failed: a contract in a direct call, or an exception with `tool_errors="raise"`.

    *tool* is the name of the tool.
    """

    def __init__(self, message: str, *, tool: str | None = None) -> None:
        super().__init__(message)
        self.tool = tool


class McpError(AlloyError):
    """An MCP server cannot be started or reached, has left, or refuses a request."""


class ProviderError(AlloyError):
    """The provider replied with an error, or could not be reached.

    Attributes: *provider* (its name), *status* (the HTTP status, `None` without a reply), *code* (the
    provider's own error code), *request_id* (for the provider's support), *retry_after* (the seconds
    that the provider asks to wait), *transient* (whether another try can succeed) and *text* (the text
    that had already been streamed).
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
        code = None if code is None else beginning(code, LONGEST_WORD)
        request_id = None if request_id is None else beginning(request_id, LONGEST_WORD)
        marks = [] if status is None else [f"status {status}"]
        marks += [] if request_id is None else [f"request {request_id}"]
        suffix = f" ({', '.join(marks)})" if marks else ""
        super().__init__(printable(f"{provider}: {beginning(message, LONGEST)}{suffix}"))
        self.provider, self.status, self.code = provider, status, code
        self.request_id, self.retry_after, self.text = request_id, retry_after, text
        if transient is not None:
            self.transient = transient


class ProviderConnectionError(ProviderError):
    """The provider did not reply: the connection failed, was refused or was reset."""

    transient = True


class ProviderTimeoutError(ProviderConnectionError):
    """There was no complete reply within `timeout`."""


class AuthenticationError(ProviderError):
    """The provider does not accept the key (401), or the key does not allow this request (403)."""


class BadRequestError(ProviderError):
    """The provider refused the request (4xx)."""


class ModelNotFoundError(BadRequestError):
    """The provider does not have this model, or the URL is wrong (404)."""


class UnsupportedError(BadRequestError):
    """The model does not support *feature*: `"tools"`, `"output"`, `"output_with_tools"` or `"strict_tools"`.

    With `"schema"` only the schemas of this request are too complex for the provider, with `"batches"` the
    server has no batch API.
    """

    def __init__(self, message: str, *, feature: str, provider: str, **details: Any) -> None:
        super().__init__(message, provider=provider, **details)
        self.feature = feature


class RateLimitError(ProviderError):
    """There were too many requests, or a quota is used up (429)."""

    transient = True


class ServerError(ProviderError):
    """The provider failed (5xx), or reports that this reply failed."""

    transient = True


class CircuitOpenError(ProviderError):
    """The request was not sent, because the circuit breaker is open: the model has failed too often.

    *retry_after* is the seconds until a request may be sent. Alloy does not try again by itself.
    """


class BadReplyError(ProviderError):
    """A reply with status 200 has an unexpected format: HTML, empty, incomplete, or other JSON.

    It is not `transient` when the reply is whole JSON in another format, which the server would send again.
    """

    transient = True


class ResponseTooLargeError(BadReplyError):
    """A reply is larger than `max_response_bytes`. It is not `transient`: the next one may be as large."""

    transient = False


class AnswerError(AlloyError):
    """The model answered, but not with the declared type.

    *expected* is the type as it is written in Python, *problems* has one line for each problem, and
    *text* is the whole answer of the model. If it was cut off, *partial* has what arrived of the value, typed
    (see `Partial`); otherwise, or if nothing of the value arrived, it is `None`.
    """

    partial: Partial[Any] | None = None

    def __init__(self, expected: str, problems: tuple[str, ...], text: str = "") -> None:
        answer = f" (the model answered {excerpt(text, SNIPPET)})" if text else ""
        super().__init__(printable(f"expected {expected}: {beginning('; '.join(problems), LONGEST)}{answer}"))
        self.expected, self.problems, self.text = expected, problems, text


class EmptyAnswerError(AnswerError):
    """The model gave an empty answer."""


class RefusalError(AnswerError):
    """The model refused to answer."""


class TruncatedError(AnswerError):
    """The answer was cut off at the token limit; *partial* has what arrived of the value."""


class FilteredError(AnswerError):
    """A content filter of the provider cut the answer off, or blocked the prompt."""


class ParseError(AnswerError):
    """The answer cannot be read as the declared type."""


class PostconditionError(AnswerError):
    """The answer has the declared type, but fails the `@ensure` of the command."""


class TurnLimitError(AlloyError):
    """The model still called tools after `max_tool_turns` rounds."""


class BudgetError(AlloyError):
    """A limit of a `Budget` is reached, so the next request was not sent.

    *spent* is what all calls have used that share the budget, `None` if unknown; `usage` and `transcript` are
    of this call.
    """

    def __init__(self, message: str, *, spent: Spent | None = None) -> None:
        super().__init__(message)
        self.spent = spent


class CheckpointError(AlloyError):
    """The checkpoint of a map cannot be used, and what is in it stays there.

    It is of another command or of other inputs, it is in use, it cannot be written, or it is another file.
    """


class WorkerError(AlloyError):
    """The executor of a map could not make a call: a worker died, or something could not be pickled."""


class DeadlineError(AlloyError):
    """The whole call, with its tools and waits, took longer than `deadline`."""


NOT_SENT = (BudgetError, CircuitOpenError)
"""The errors of requests that Alloy itself refused to send: they count nowhere as requests."""

# By `Reply.finish`: the error for an answer that ended in this way, and its text.
UNFINISHED: dict[str, tuple[type[AnswerError], str]] = {
    "refusal": (RefusalError, "the model refused"),
    "length": (TruncatedError, "the answer was cut off at the token limit; raise max_tokens"),
    "filter": (FilteredError, "a content filter stopped the answer"),
}


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
