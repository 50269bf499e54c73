"""What Gemini and Google's libraries say when something is wrong.

Errors have the format of google.rpc.Status (https://cloud.google.com/apis/design/errors): a number, a
word, a message, and details of which three are read here: why (ErrorInfo), how long to wait
(RetryInfo) and which quota is spent (QuotaFailure).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from alloy.backends.http.errors import LONGEST, ErrorBody, ErrorReader, Failure, seconds_of
from alloy.backends.http.finish import is_missing
from alloy.errors import (
    AlloyError,
    AuthenticationError,
    BadReplyError,
    BadRequestError,
    ConfigurationError,
    ProviderConnectionError,
    ProviderError,
    ServerError,
)
from alloy.excerpts import beginning, excerpt
from alloy.jsontypes import Json

__all__ = ["ERRORS", "KEYS", "NAME", "finish_error", "sign_in_error", "unknown_end"]

NAME = "gemini"
KEYS = "GOOGLE_API_KEY or GEMINI_API_KEY"

# Not the path of the request, which servers repeat: "Cannot POST /v1/models/gemini-3-pro:generateContent".
_NO_MODEL = re.compile(r"(?<![/\w])models?\b(?!/\S*:\w)", re.IGNORECASE)

# --- errors that a server reports ---------------------------------------------------------------------


class GeminiErrors(ErrorReader):
    """The errors of Gemini, on both of its platforms."""

    address_variable = "GOOGLE_GEMINI_BASE_URL"
    # "The specified schema produces a constraint that has too many states for serving", "A schema in
    # GenerationConfig in the request exceeds the maximum allowed nesting depth": of one schema only.
    # "Function calling is not enabled for models/gemma-3-27b-it", "Function calling with a response mime
    # type: 'application/json' is unsupported": the most special first.
    features = (
        (
            "schema",
            re.compile(
                r"too many states|schemas?\b.*\b(too (complex|large|big|deep|long)|exceeds?\b)", re.IGNORECASE
            ),
        ),
        ("strict_tools", re.compile(r"function_?calling_?config.*\bVALIDATED\b", re.IGNORECASE)),
        (
            "output_with_tools",
            re.compile(r"(function calling|tool use) with a response mime type", re.IGNORECASE),
        ),
        (
            "tools",
            re.compile(
                r"(function calling|tool use)\b.*\b(not enabled|not supported|unsupported)", re.IGNORECASE
            ),
        ),
        (
            "output",
            re.compile(
                r"(json mode|response[ _]?mime[ _]?type|response[ _]?(json[ _]?)?schema|structured output)"
                r".*\b(not enabled|not supported|unsupported)",
                re.IGNORECASE,
            ),
        ),
    )
    feature_statuses = (400,)
    advice: Mapping[int, str] = {
        401: f"check {KEYS}, or configure(api_key=…)",
        403: "the key may not do this, or its project may not",
    }

    def explain(self, failure: Failure) -> ProviderError:
        """The error for *failure*; a bad key has the status of a bad request."""
        body = failure.body
        request_id = body.detail("RequestInfo").get("requestId")
        if request_id:
            failure = failure._replace(request_id=str(request_id))
        return super().explain(failure)

    def status_of(self, failure: Failure) -> int:
        """A wrong key has the status of a bad request."""
        is_bad_request = 400 in (failure.status, failure.body.status)
        return 401 if is_bad_request and _is_about_the_key(failure.body) else super().status_of(failure)

    def hint(self, status: int, failure: Failure) -> str:
        """What to do."""
        message = failure.body.message
        if status not in (404, 405):
            return super().hint(status, failure)
        if not _NO_MODEL.search(message):
            return (
                "; check `base_url`, which may end in the API's version, or set GOOGLE_GENAI_API_VERSION to "
                f"one that the server has (v1, v1beta); the request went to {failure.url}"
            )
        if "-latest" in message:
            return "; names that end in -latest need GOOGLE_GENAI_API_VERSION=beta"
        if "API version" in message:
            return "; check `model`, or set GOOGLE_GENAI_API_VERSION (v1, v1beta)"
        return "; check `model`"

    def adjust(self, error: ProviderError, failure: Failure) -> None:
        """How long to wait, if not in a header; and no wait fills the quota of a day."""
        if error.retry_after is None:
            error.retry_after = _seconds(failure.body.detail("RetryInfo").get("retryDelay"))
        if _is_spent_for_today(failure.body):
            error.transient = False


ERRORS = GeminiErrors(NAME)


def _is_about_the_key(body: ErrorBody) -> bool:
    reason = str(body.detail("ErrorInfo").get("reason"))
    return reason.startswith("API_KEY_") or "api key not valid" in body.message.lower()


def _is_spent_for_today(body: ErrorBody) -> bool:
    violations = body.detail("QuotaFailure").get("violations")
    each = violations if isinstance(violations, list) else ()
    return any("PerDay" in str(one.get("quotaId")) for one in each if isinstance(one, dict))


def _seconds(duration: Json) -> float | None:
    """A google.protobuf.Duration in JSON, such as "34.5s"."""
    return seconds_of(duration.removesuffix("s")) if isinstance(duration, str) else None


# --- generations that failed --------------------------------------------------------------------------

# https://ai.google.dev/api/generate-content#FinishReason, those after which there is no answer:
# what it means, and whether another try may succeed.
_FAILED: dict[str, tuple[type[ProviderError], str, bool]] = {
    "MALFORMED_FUNCTION_CALL": (ServerError, "the model wrote a function call that cannot be read", True),
    "MALFORMED_RESPONSE": (ServerError, "the model's answer was malformed", True),
    "UNEXPECTED_TOOL_CALL": (ServerError, "the model called a function that it does not have", True),
    "OTHER": (ServerError, "the generation stopped for a reason that Gemini does not name", True),
    "TOO_MANY_TOOL_CALLS": (ServerError, "the model called Google's own tools too often", False),
    "MISSING_THOUGHT_SIGNATURE": (
        BadRequestError,
        "a function call of the history lacks its thought signature; send replies back unchanged",
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


def finish_error(reason: Any, message: str) -> ProviderError | None:
    """The error for an answer that ended with *reason*, if that says that there is no answer."""
    if not isinstance(reason, str) or (word := reason.upper()) not in _FAILED:
        return None
    kind, meaning, transient = _FAILED[word]
    return kind(f"{meaning} ({word}){_details(message)}", provider=NAME, code=word, transient=transient)


def unknown_end(reason: Any, message: str) -> BadReplyError:
    """The error for an answer without content, whose *reason* is unknown, or says nothing."""
    text = f"the answer ended with the finishReason {excerpt(reason, 80)}{_details(message)}"
    return BadReplyError(text, provider=NAME, transient=is_missing(reason))


def _details(message: str) -> str:
    return f": {message}" if message else ""


# --- Google Cloud's sign-in ---------------------------------------------------------------------------

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


def sign_in_error(error: Exception) -> AlloyError | None:
    """An exception of google.auth as an Alloy error, `None` for any other."""
    names = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.startswith("google.auth.")}
    found = next((entry for name, entry in _AUTH.items() if name in names), None)
    if found is None:
        return None
    kind, meaning = found
    text = beginning(str(error).strip(), LONGEST)
    message = f"{meaning} ({text})"
    return kind(message, provider=NAME) if issubclass(kind, ProviderError) else kind(f"{NAME}: {message}")
