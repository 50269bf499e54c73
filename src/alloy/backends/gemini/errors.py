"""What Gemini and Google's libraries say when something is wrong, in Alloy's terms.

Errors have the shape of google.rpc.Status (https://cloud.google.com/apis/design/errors): a number, a
word, a message, and details of which three are read here: why (ErrorInfo), how long to wait
(RetryInfo) and which quota is spent (QuotaFailure).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from alloy.backends.http.errors import status_error
from alloy.backends.http.redaction import redacted, scrub
from alloy.backends.http.transport import (
    bad_reply,
    parse_json,
    redirect_error,
    request_id,
    transport_error,
)
from alloy.errors import (
    AlloyError,
    AuthenticationError,
    BadReplyError,
    BadRequestError,
    ConfigurationError,
    ProviderConnectionError,
    ProviderError,
    ServerError,
    UnsupportedError,
)

__all__ = ["KEYS", "NAME", "explain", "finish_error", "generation_error", "response_error"]

NAME = "gemini"
ADDRESS = "GOOGLE_GEMINI_BASE_URL"
KEYS = "GOOGLE_API_KEY or GEMINI_API_KEY"
SNIPPET = 500  # characters of an error's message that are shown

# --- errors with a status -----------------------------------------------------------------------------

# What refused models say, in lower case and most special first: "Function calling is not enabled for
# models/gemma-3-27b-it", "Function calling with a response mime type: 'application/json' is unsupported".
_UNSUPPORTED = (
    ("output_with_tools", r"(function calling|tool use) with a response mime type"),
    ("tools", r"(function calling|tool use)\b.*\b(not enabled|not supported|unsupported)"),
    (
        "output",
        r"(json mode|response[ _]?mime[ _]?type|response[ _]?(json[ _]?)?schema|structured output)"
        r".*\b(not enabled|not supported|unsupported)",
    ),
)

_ADVICE = {
    401: f"check {KEYS}, or configure(api_key=…)",
    403: "the key may not do this, or its project may not",
}


class _Said(NamedTuple):
    """What an error body said, whatever its shape."""

    message: str
    word: str | None = None
    number: int | None = None
    details: tuple[Mapping[str, Any], ...] = ()

    def detail(self, kind: str) -> Mapping[str, Any]:
        """The detail of the type google.rpc.*kind*, or nothing."""
        return next((each for each in self.details if str(each.get("@type", "")).endswith(f".{kind}")), {})


def response_error(response: Any, content: bytes) -> ProviderError:
    """The error for an HTTP answer whose status is not 200."""
    if (elsewhere := redirect_error(NAME, response, ADDRESS)) is not None:
        return elsewhere
    try:
        body = parse_json(content)
    except ValueError:
        body = content.decode("utf-8", "replace")
    said = _said(scrub(body, response.request))
    status = response.status_code
    if status < 400:
        return bad_reply(NAME, f"an answer with status {status}", response, content)
    if not said.message:
        said = said._replace(message=f"an empty {response.headers.get('content-type', 'body')}")
    asked_for = said.detail("RequestInfo").get("requestId") or request_id(response)
    return _status_error(said, status, str(asked_for) if asked_for else None, response.headers)


def generation_error(error: Any) -> ProviderError:
    """The error for an *error* object inside an answer or a stream whose status was fine."""
    said = _said(error)
    found = _status_error(said, said.number or 500, None, {})
    found.status = said.number
    return found


def _status_error(said: _Said, status: int, request: str | None, headers: Mapping[str, str]) -> ProviderError:
    message, reason = said.message, said.detail("ErrorInfo").get("reason")
    marks: dict[str, Any] = {"provider": NAME, "status": status, "code": said.word, "request_id": request}
    if status == 400:
        if str(reason).startswith("API_KEY_") or "api key not valid" in message.lower():
            return AuthenticationError(f"{message}; {_ADVICE[401]}", **marks)
        for feature, words in _UNSUPPORTED:
            if re.search(words, message.lower()):
                return UnsupportedError(message, feature=feature, **marks)
    if status == 404:
        message += _what_is_missing(message)
    elif status in _ADVICE:
        message += f"; {_ADVICE[status]}"
    found = status_error(NAME, status, message, code=said.word, request_id=request, headers=headers)
    if found.retry_after is None:
        found.retry_after = _seconds(said.detail("RetryInfo").get("retryDelay"))
    if _spent_for_today(said):
        found.transient = False
    return found


def _what_is_missing(message: str) -> str:
    if "model" not in message.lower():
        return "; check `base_url`: the address without the API's version"
    if "-latest" in message:
        return "; names that end in -latest need GOOGLE_GENAI_API_VERSION=beta"
    return "; check `model`"


def _spent_for_today(said: _Said) -> bool:
    violations = said.detail("QuotaFailure").get("violations")
    each = violations if isinstance(violations, list) else ()
    return any("PerDay" in str(one.get("quotaId")) for one in each if isinstance(one, dict))


def _seconds(duration: Any) -> float | None:
    """A google.protobuf.Duration in JSON, such as "34.5s"."""
    with suppress(ValueError):
        return max(0.0, float(duration.removesuffix("s"))) if isinstance(duration, str) else None
    return None


def _said(body: Any) -> _Said:
    """Read an error body: Google's object, a list of one as streams have it, or a page of a proxy's."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict) and isinstance(body.get("error"), dict | str):
        body = body["error"]
    if not isinstance(body, dict):
        return _Said(_snippet("" if body is None else str(body)))
    number, word, details = body.get("code"), body.get("status"), body.get("details")
    known = isinstance(number, int) and not isinstance(number, bool) and 400 <= number < 600
    return _Said(
        _snippet(str(body.get("message") or body)),
        word if isinstance(word, str) else None,
        number if known else None,
        tuple(each for each in details if isinstance(each, dict)) if isinstance(details, list) else (),
    )


def _snippet(text: str) -> str:
    text = redacted(text.strip())
    return text if len(text) <= SNIPPET else text[:SNIPPET] + "…"


# --- generations that failed --------------------------------------------------------------------------

# https://ai.google.dev/api/generate-content#FinishReason, those that leave nothing to work with:
# what it means, and whether the next sample may fare better.
_FAILED: dict[str, tuple[type[ProviderError], str, bool]] = {
    "MALFORMED_FUNCTION_CALL": (ServerError, "the model wrote a function call that cannot be read", True),
    "MALFORMED_RESPONSE": (ServerError, "the model's answer was malformed", True),
    "UNEXPECTED_TOOL_CALL": (ServerError, "the model called a function that it does not have", True),
    "OTHER": (ServerError, "the generation stopped for a reason that Gemini does not name", True),
    "TOO_MANY_TOOL_CALLS": (ServerError, "the model called Google's own tools too often", False),
    "MISSING_THOUGHT_SIGNATURE": (
        BadRequestError,
        "a function call of the history lacks its thought signature; send replies back as they came",
        False,
    ),
    "PUP_LIMITED_DISABLED": (
        AuthenticationError,
        "the account is limited or disabled for violating Google's Prohibited Use Policy",
        False,
    ),
    "NO_IMAGE": (ServerError, "the model was to make an image and made none", True),
    "IMAGE_OTHER": (ServerError, "the image stopped for a reason that Gemini does not name", True),
}


def finish_error(reason: Any, message: str) -> ProviderError:
    """The error for an answer that ended with *reason*, which leaves nothing to work with."""
    said = f": {message}" if message else ""
    if not isinstance(reason, str) or reason not in _FAILED:
        return BadReplyError(f"the answer ended with the finishReason {reason!r}{said}", provider=NAME)
    kind, meaning, transient = _FAILED[reason]
    return kind(f"{meaning} ({reason}){said}", provider=NAME, code=reason, transient=transient)


# --- exceptions ---------------------------------------------------------------------------------------

# google.auth.exceptions, from special to general
_AUTH: dict[str, tuple[type[ProviderError] | type[ConfigurationError], str]] = {
    "DefaultCredentialsError": (
        ConfigurationError,
        "no Google Cloud credentials: run `gcloud auth application-default login`, or set "
        "GOOGLE_APPLICATION_CREDENTIALS",
    ),
    "TransportError": (ProviderConnectionError, "no connection to Google's token server"),
    "GoogleAuthError": (AuthenticationError, "Google Cloud did not give a token"),
}


def explain(error: Exception) -> AlloyError | None:
    """An exception of the SDK's libraries or their transport in Alloy's terms."""
    names = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.startswith("google.auth.")}
    found = next((said for name, said in _AUTH.items() if name in names), None)
    if found is None:
        return transport_error(NAME, error, ADDRESS)
    kind, meaning = found
    message = f"{meaning} ({_snippet(str(error))})"
    if issubclass(kind, ProviderError):
        return kind(message, provider=NAME)
    return kind(f"{NAME}: {message}")
