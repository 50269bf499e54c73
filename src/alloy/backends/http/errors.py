"""Errors that a server reports, read in one place from the status, the headers and the body.

`ErrorReader` is what all providers share; each has a subclass with its advice and its words for a missing
feature.
"""

from __future__ import annotations

import re
import time
from collections.abc import Container, Mapping
from math import isfinite
from typing import Any, NamedTuple

from alloy.backends.http.event_stream import framed_error
from alloy.backends.http.payload import json_or_text
from alloy.backends.http.received import Received
from alloy.backends.http.transport_errors import asked_url
from alloy.errors import (
    AuthenticationError,
    BadRequestError,
    ModelNotFoundError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
    UnsupportedError,
)
from alloy.excerpts import beginning, excerpt
from alloy.jsontypes import Json, JsonObject

__all__ = [
    "TOO_COMPLEX",
    "ErrorBody",
    "ErrorReader",
    "Failure",
    "is_error_object",
    "retry_after",
    "seconds_of",
]

LONGEST = 500  # characters of a server's own error message that ours shows


class ErrorBody(NamedTuple):
    """The content of an error body, whatever its format."""

    message: str = ""
    code: str | None = None  # the name of the cause, such as "insufficient_quota"
    kind: str | None = None  # the broad category, such as "rate_limit_error"
    status: int | None = None  # some servers put the HTTP status into the body
    param: str | None = None  # the parameter of the request that caused the error
    details: tuple[JsonObject, ...] = ()

    @classmethod
    def read(cls, body: Json) -> ErrorBody:
        """Read a parsed body: an error object, a string, FastAPI's `detail`, a list of one, or a page."""
        if isinstance(body, list) and body:
            body = body[0]
        while isinstance(body, dict) and isinstance(body.get("error"), dict):
            body = body["error"]
        if isinstance(body, dict) and isinstance(text := body.get("error"), str):
            key = "code" if any(body.get(name) for name in _MESSAGES) else "message"
            if not text and key == "message":
                return cls()
            body = {key: text, **{name: value for name, value in body.items() if value is not None}}
        if isinstance(body, dict) and isinstance(body.get("errors"), list) and body["errors"]:
            body = body["errors"][0]
        if not isinstance(body, dict):
            return cls(_shortened("" if body is None else body))
        found = next((body[key] for key in _CODES if body.get(key) is not None), None)
        number, details = _number(found), body.get("details")
        is_status = number is not None and 400 <= number < 600
        return cls(
            message=_shortened(next((body[key] for key in _MESSAGES if body.get(key)), body)),
            code=None if is_status or not isinstance(found, str | int) else _shortened(found),
            kind=_kind(body),
            status=number if is_status else _status(body),
            param=_shortened(body["param"]) if isinstance(body.get("param"), str) else None,
            details=tuple(each for each in details if isinstance(each, dict))
            if isinstance(details, list)
            else (),
        )._with_code(_error_code(details))

    def _with_code(self, code: str | None) -> ErrorBody:
        return self if self.code is not None or code is None else self._replace(code=code)

    @property
    def word(self) -> str | None:
        """The most special name of the error."""
        return self.code or self.kind

    def detail(self, kind: str) -> JsonObject:
        """The detail of the type google.rpc.*kind*, or an empty one."""
        return next((each for each in self.details if str(each.get("@type", "")).endswith(f".{kind}")), {})


# The keys of an error object in the APIs, and in the gateways before them; the first one that is set counts.
_MESSAGES = ("message", "msg", "detail", "error_msg", "error_message", "errorMessage", "description")
_CODES = ("code", "error_code", "errorCode", "err_code")
_ANSWERS = frozenset(("choices", "output", "content", "candidates", "response", "delta", "item", "done"))


def is_error_object(found: JsonObject) -> bool:
    """Whether *found*, in a response with a good status, is an error object: a message without an answer."""
    if not found.keys().isdisjoint(_ANSWERS):
        return False
    errors = found.get("errors")
    return any(isinstance(found.get(key), str) for key in _MESSAGES) or (
        isinstance(errors, list) and bool(errors)
    )


def _status(body: JsonObject) -> int | None:
    found = (
        _number(body.get(key)) for key in ("status", "status_code", "statusCode", "StatusCode", "http_status")
    )
    return next((number for number in found if number is not None and 400 <= number < 600), None)


def _number(code: Json) -> int | None:
    if isinstance(code, str) and code.isdecimal():
        return int(code[:20])  # Python refuses to convert thousands of digits
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _kind(body: JsonObject) -> str | None:
    kind, status = body.get("type"), body.get("status")
    if isinstance(kind, str):
        return _shortened(kind)
    # google.rpc.Code
    return _shortened(status) if isinstance(status, str) and status.isupper() else None


def _error_code(details: Json) -> str | None:
    """Anthropic's name of a cause: https://docs.claude.com/en/api/errors."""
    code = details.get("error_code") if isinstance(details, dict) else None
    return _shortened(code) if isinstance(code, str) else None


def _shortened(value: Json) -> str:
    """The beginning of a server's message, which may be of any type."""
    return beginning(value.strip(), LONGEST) if isinstance(value, str) else excerpt(value, LONGEST)


class Failure(NamedTuple):
    """An error response, or an error object in a response with a good status: then *status* is `None`."""

    body: ErrorBody
    status: int | None = None
    headers: Mapping[str, str] = {}
    url: str = ""  # of the request, without a name and a password
    request_id: str | None = None

    @classmethod
    def of_response(cls, received: Received, content: bytes) -> Failure:
        """What a response with an error status says."""
        response = received.response
        body = json_or_text(content)
        if isinstance(body, str) and (framed := framed_error(content)) is not None:
            body = framed
        read = ErrorBody.read(body)
        if not read.message:
            read = read._replace(message=f"an empty {response.headers.get('content-type', 'body')}")
        url = asked_url(response.request)
        return cls(read, response.status_code, response.headers, url, received.request_id)


# What to do where Alloy cannot, or may not, emulate the feature.
_ADVICE = {"schema": '; use a simpler type, fewer tools, or output_mode="prompted"'}

# How servers say that a model does not see, with any status: llama.cpp 500, OpenRouter 404, vLLM 400.
_NO_IMAGES = re.compile(
    r"\b(images?|image_url|vision|visual|multi-?modal\w*)\b[^.]{0,60}"
    r"\b(not|un)[ -]?(supported|accepted|allowed|enabled|implemented|permitted)"
    r"|(n't|not|unable to|no longer) (support|accept|see|understand|process|handle|have)\w*\b[^.]{0,60}"
    r"\b(images?|image_url|image input|vision|visual|multi-?modal\w*)\b"
    r"|\bmmproj\b|not (a )?(multi-?modal|vision)|\bno (vision|image|multi-?modal) (support|capabilit)"
    r"|missing data required for image input|\bclip\b.{0,20} not (loaded|available|initialized)"
    r"|\bcontent['\"`]?:? (must|should|has to) be a (valid )?str(ing)?\b"  # and not a list with an image
    r"|\bonly (supports? |accepts? )?text (content|input|messages?|parts?)\b|non-?text (content|input|part)"
    r"|unknown variant [`'\"]?image|image_url is only supported|at most 0 image"
    r"|no endpoints found that support image|text[- ]only model",
    re.IGNORECASE,
)
_VISION = "; choose a model with vision"

# How litellm, OpenRouter, Bedrock, DeepSeek and Mistral say with status 400 that there is no such model.
_NO_MODEL = re.compile(
    r"\b(invalid|unknown|no such) model\b( name| id\w*)?( passed|:|$| [`'\"]?[\w/-]*\d)"
    r"|\bmodel( id\w*)?( [`'\"]?[\w./:@-]+[`'\"]?)? (is (invalid|unknown)|(does )?not (exist|found))"
    r"|\bnot a valid model\b",
    re.IGNORECASE,
)

# Failures that servers report with a status of 500 and that the same request would meet again: a prompt that
# is too long, a conversation that the model's template refuses, a model that cannot be loaded, a schema.
_LASTING = re.compile(
    r"exceeds? the ([a-z']+ )?context|context (length|window|size)\b.{0,40}\bexceed|maximum context length"
    r"|prompt is too long|jinja|chat template|roles must alternate|^template: "
    r"|requires more system memory|(unable|failed) to load model|error loading model"
    r"|unknown model architecture|(failed to parse|error parsing|invalid) grammar"
    r"|(unsupported|invalid|unrecognized) (json )?schema",
    re.IGNORECASE,
)


# Names of errors that the same request would meet again, whatever their status: no wait fills an account.
_LASTING_NAMES = re.compile(
    "content(filter|policy)|moderation|toolarge|contextlength|insufficient.*(quota|balance|credit|fund)|billing"
)

TOO_COMPLEX = re.compile(
    r"grammar\b.*\b(too (large|complex)|timed out|inefficient)"
    r"|schemas?\b.*\btoo (complex|large|many|deep|long)"
    r"|schemas?\b.*\bexceeds\b.*\b(limit|maximum|nesting|depth|size)",
    re.IGNORECASE,
)
"""How servers say that their compiler cannot take a schema: of those of one request, not of the model."""


class ErrorReader:
    """How a provider's errors are read; a subclass has what differs from the others.

    The status decides the class of the error; for an error object in a good response it comes from the
    body, or from the error's code. A message that matches a pattern in *features* means that the model
    does not support that feature, so that Alloy can emulate it. Otherwise the server's message is followed
    by what to do about it, and headers say how long to wait.
    """

    address_variable = ""  # the environment's name for `base_url`
    advice: Mapping[int, str] = {}
    features: tuple[tuple[str, re.Pattern[str]], ...] = ()  # the first match counts
    feature_statuses: Container[int] = range(400, 600)
    statuses: Mapping[str, int] = {}  # by code or kind, for errors in a good response

    def __init__(self, provider: str) -> None:
        self.provider = provider

    def explain(self, failure: Failure) -> ProviderError:
        """The error for *failure*."""
        status, body = self.status_of(failure), failure.body
        marks: dict[str, Any] = {
            "provider": self.provider,
            "status": failure.status or body.status,
            "code": body.word,
            "request_id": failure.request_id,
        }
        if status in self.feature_statuses:
            for feature, pattern in self.features:
                if pattern.search(body.message):
                    return UnsupportedError(body.message + _ADVICE.get(feature, ""), feature=feature, **marks)
        blind = status not in (401, 403) and _NO_IMAGES.search(body.message) is not None
        if blind and status != 404:
            status = 400  # whatever the server's own: another try would be refused, too
        nameless = status in (400, 422) and _NO_MODEL.search(body.message) is not None
        if nameless:
            status = 404
        kind, transient = _class_of(status)
        names = [_letters(word) for word in (body.code, body.kind) if word]
        if any(map(_LASTING_NAMES.search, names)) or (status >= 500 and _LASTING.search(body.message)):
            transient = False
        hint = "; check `model`" if nameless else _VISION if blind else self.hint(status, failure)
        wait = retry_after(failure.headers)
        found = kind(body.message + hint, transient=transient, retry_after=wait, **marks)
        self.adjust(found, failure)
        return found

    def in_answer(self, error: Json, request_id: str | None = None) -> ProviderError:
        """The error for an *error* object in a response, or in a stream, whose status was good."""
        return self.explain(Failure(ErrorBody.read(error), request_id=request_id))

    def status_of(self, failure: Failure) -> int:
        """The status that decides the class of the error."""
        return failure.status or failure.body.status or self.status_by_name(failure.body)

    def status_by_name(self, body: ErrorBody) -> int:
        """The status that the names in *body* stand for: the cause counts more than the broad category."""
        for word in filter(None, (body.code, body.kind)):
            if (status := self.statuses.get(word) or _status_of_name(word)) is not None:
                return status
        return 500

    def hint(self, status: int, failure: Failure) -> str:
        """What follows the server's message: what to do, or more about the cause."""
        return f"; {self.advice[status]}" if status in self.advice else ""

    def adjust(self, error: ProviderError, failure: Failure) -> None:
        """Change what the status alone does not say."""


# Names of errors in all APIs and in the libraries of gateways, such as `rate_limit_error`, `RateLimitError`,
# `RESOURCE_EXHAUSTED` and `litellm.RateLimitError`: their letters, and the status that says the same.
_NAMES: tuple[tuple[int, re.Pattern[str]], ...] = (
    (413, re.compile("toolarge")),
    (429, re.compile("ratelimit|toomanyrequests|quota|resourceexhausted|throttl|^(requests|tokens)$")),
    (401, re.compile("authentication|unauthenticated|unauthorized|invalidapikey|invalidkey")),
    (403, re.compile("permission|forbidden|accessdenied|billing")),
    (404, re.compile("notfound|nosuchmodel|unknownmodel")),
    (408, re.compile("timeout|deadlineexceeded")),
    (503, re.compile("overload|unavailable|internal|servererror|apierror|capacity")),
    (
        400,
        re.compile(
            "invalid|badrequest|unprocessable|context|content(policy|filter)|moderation|failedprecondition"
            "|unsupported"
        ),
    ),
)


def _status_of_name(word: str) -> int | None:
    letters = _letters(word)
    return next((status for status, pattern in _NAMES if pattern.search(letters)), None)


def _letters(word: str) -> str:
    return re.sub("[^a-z]", "", word[:LONGEST].lower())


def _class_of(status: int) -> tuple[type[ProviderError], bool | None]:
    """The class for a status, and whether another try may help, if the class does not decide that."""
    if status in (401, 403):
        return AuthenticationError, None
    if status == 404:
        return ModelNotFoundError, None
    if status == 408:
        return ProviderTimeoutError, None
    if status == 429:
        return RateLimitError, None
    if status >= 500:
        return ServerError, status not in (501, 505)
    return BadRequestError, status == 409


def seconds_of(text: str) -> float | None:
    """The number in *text*, in ASCII digits, as servers write it; a negative one is 0."""
    if re.fullmatch(r"\s*[+-]?[0-9]+(\.[0-9]*)?\s*", text, re.ASCII) is None:
        return None
    number = float(text)
    return max(0.0, number) if isfinite(number) else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, by `retry-after-ms` or `Retry-After` (RFC 9110, 10.2.3: seconds or a date)."""
    value = headers.get("retry-after", "")
    for text, unit in ((headers.get("retry-after-ms", ""), 1000), (value, 1)):
        if (number := seconds_of(text)) is not None:
            return number / unit
    if not value.isascii() or "_" in value:  # what Python reads as a number, a date does not have either
        return None
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(value)
        # RFC 9110, 5.6.7: the obsolete form of a date has no zone and means UTC.
        until = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (IndexError, OverflowError, TypeError, ValueError):  # the parser of the email package raises each
        return None
    return max(0.0, until - time.time())
