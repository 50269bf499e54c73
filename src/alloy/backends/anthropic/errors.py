"""What Anthropic's API and SDK say when something is wrong, in Alloy's terms.

Facts are from https://docs.claude.com/en/api/errors, and from the error types that the SDK 2.12 ships.
"""

from __future__ import annotations

import re
import sys
from typing import Any, NamedTuple

from alloy.backends.http.errors import status_error
from alloy.backends.http.redaction import redacted, scrub
from alloy.backends.http.transport import redirect_error, request_id, transport_error
from alloy.errors import (
    AlloyError,
    ConfigurationError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    UnsupportedError,
)

__all__ = ["explain", "generation_error"]

NAME = "anthropic"
ADDRESS = "ANTHROPIC_BASE_URL"
LONGEST = 500  # characters of what the provider says that a message shows

# `error.type` as a status, for an error in a stream or a body whose HTTP status was fine.
_TYPE_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

_ADVICE = {
    401: "check ANTHROPIC_API_KEY or configure(api_key=…)",
    402: "the account needs credit or a payment method",
    403: "the key may not do this",
    413: "send less, or smaller files",
}

# How this API, and servers that copied it, say that a model lacks a feature altogether. What they say
# of one schema ("output_config.format.schema: …") is another matter.
_LACKS = {
    "tools": re.compile(
        r"does(n't| not) support (tools?\b|tool[ _]use|tool calling|function calling)"
        r"|^tools: Extra inputs are not permitted",
        re.IGNORECASE,
    ),
    "output": re.compile(
        r"does(n't| not) support (structured outputs?|output[ _]format|json_schema)"
        r"|does(n't| not) support output_config\.format\b(?!\.)"
        r"|^output_config(\.format)?: Extra inputs are not permitted",
        re.IGNORECASE,
    ),
}


class _Said(NamedTuple):
    """What an error body said, whatever its shape."""

    message: str
    kind: str | None = None  # "overloaded_error": the broad category
    code: str | None = None  # "enforced_spend_limit_reached": the cause, where there is a name for it


def generation_error(error: Any, request_id: str | None = None) -> ProviderError:
    """The error for an *error* object inside a stream or an answer whose status was fine."""
    said = _said(error)
    kind = said.kind or ""
    status = _TYPE_STATUS.get(kind, 400 if kind.startswith("invalid_") else 500)
    found = status_error(NAME, status, said.message, code=said.code or said.kind, request_id=request_id)
    found.status = None
    return found


def explain(error: Exception) -> AlloyError | None:
    """An exception of the SDK or its transport in Alloy's terms."""
    sdk = sys.modules.get("anthropic")  # imported by nobody, it raised nothing: the import takes seconds
    if sdk is None or not isinstance(error, sdk.AnthropicError):
        return transport_error(NAME, error, ADDRESS)
    _scrub(error)
    if isinstance(error, sdk.APIStatusError):
        return redirect_error(NAME, error.response, ADDRESS) or _explain_status(error)
    if isinstance(error, sdk.APIConnectionError):
        cause = error.__cause__
        found = transport_error(NAME, cause, ADDRESS) if cause is not None else None
        if found is None and isinstance(error, sdk.APITimeoutError):
            return ProviderTimeoutError("no answer in time; a longer `timeout` may help", provider=NAME)
        return found or ProviderConnectionError(f"no connection ({cause or error})", provider=NAME)
    if isinstance(error, sdk.APIError):
        return generation_error(error.body if isinstance(error.body, dict) else str(error))
    return ConfigurationError(f"{NAME}: {error}")


def _explain_status(error: Any) -> ProviderError:
    response = error.response
    status = response.status_code
    said = _said(error.body)
    details: dict[str, Any] = {
        "code": said.code or said.kind,
        "request_id": error.request_id or request_id(response),
    }
    if status in (400, 404, 422):
        for feature, words in _LACKS.items():
            if words.search(said.message):
                return UnsupportedError(
                    said.message, feature=feature, provider=NAME, status=status, **details
                )
    message = said.message or f"an empty {response.headers.get('content-type', 'body')}"
    if status == 404:
        message += f"; {_missing(said)}"
    elif status == 400 and "too complex" in message:
        message += '; use a simpler type or fewer tools, or output_mode="prompted"'
    elif status in _ADVICE:
        message += f"; {_ADVICE[status]}"
    found = status_error(NAME, status, message, headers=response.headers, **details)
    # The SDK obeys this header too: a spent budget has the same status as haste.
    if (asked := response.headers.get("x-should-retry")) in ("true", "false"):
        found.transient = asked == "true"
    return found


def _missing(said: _Said) -> str:
    if "model" in said.message.lower():
        return "check `model`"
    return "check `base_url`, which ends without /v1, as in https://api.anthropic.com"


def _said(body: Any) -> _Said:
    """Read an error body: Anthropic's object, a gateway's, a bare string, or a page."""
    if isinstance(body, dict) and isinstance(body.get("error"), dict | str):
        body = body["error"]
    if not isinstance(body, dict):
        return _Said(_snippet("" if body is None else str(body)))
    details = body.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    kind = body.get("type")
    return _Said(
        _snippet(str(body.get("message") or body.get("detail") or body)),
        kind if isinstance(kind, str) else None,
        code if isinstance(code, str) else None,
    )


def _snippet(text: str) -> str:
    text = redacted(text.strip())
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _scrub(error: Any) -> None:
    """Take the key out of what the SDK's error says: as the cause of ours it is printed in tracebacks."""
    request = getattr(error, "request", None)
    error.args = tuple(scrub(part, request) for part in error.args)
    for name in ("message", "body", "api_message"):
        if hasattr(error, name):
            setattr(error, name, scrub(getattr(error, name), request))
