"""What OpenAI's APIs and SDK say when something is wrong, in Alloy's terms. Both backends share it."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from alloy.backends.base import import_sdk
from alloy.backends.http.errors import status_error
from alloy.backends.http.redaction import redacted, scrub
from alloy.backends.http.transport import redirect_error, transport_error
from alloy.errors import (
    AlloyError,
    ConfigurationError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    UnsupportedError,
)

__all__ = [
    "NO_KEY",
    "explain",
    "generation_error",
]

NO_KEY = "none"  # the SDK insists on a key; a local server does not read it

# --- errors -------------------------------------------------------------------------------------------

# What `error.code` says when a generation fails although the HTTP status was fine, as a status.
_GENERATION_STATUS = {
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "server_error": 500,
    "vector_store_timeout": 500,
    "failed_to_download_image": 500,
    "context_length_exceeded": 400,
    "data_residency_mismatch": 400,
    "bio_policy": 400,
    "misalignment_policy_violation": 400,
    "empty_image_file": 400,
    "unsupported_image_media_type": 400,
}

_STATUS_ADVICE = {
    401: "check OPENAI_API_KEY or configure(api_key=…)",
    403: "the key may not do this",
}


# How OpenAI and the servers that copied it say that a model lacks a feature altogether: vLLM and llama.cpp
# were not started for it, OpenRouter knows no provider that has it, DeepSeek has JSON but no schemas. What
# they say of one schema ("Invalid schema for response_format …") is another matter.
_LACKS = {
    "tools": re.compile(
        r"does(n't| not) support (tools?\b|tool[ _]use|tool[ _]calling|function[ _]calling)"
        r"|['\"`]?\btools['\"`]? (is|are) not supported"
        r"|requires --enable-auto-tool-choice|tools param requires --jinja"
        r"|no endpoints found that support tool use",
        re.IGNORECASE,
    ),
    "output": re.compile(
        r"does(n't| not) support (structured outputs?|json_schema|response_format)"
        r"|^(?!invalid schema).*\b(response_format|text\.format)\b"
        r".*\b(not supported|unsupported|unavailable)",
        re.IGNORECASE,
    ),
}


class _Said(NamedTuple):
    """What an error body said, whatever its shape."""

    message: str
    code: str | None = None
    status: int | None = None  # compatible servers put the HTTP status into `code`
    param: str | None = None


def generation_error(provider: str, error: Any, *, request_id: str | None = None) -> ProviderError:
    """The error for an *error* object inside an answer or a stream whose status was fine."""
    said = _said(error)
    code = said.code or ""
    status = said.status or _GENERATION_STATUS.get(code)
    if status is None:
        status = 400 if code.startswith(("invalid_", "image_")) else 500
    found = _status_error(provider, status, said.message, code=said.code, request_id=request_id)
    if said.status is not None:
        return found
    # The class is right and the status is not: nobody said one.
    return type(found)(
        said.message, provider=provider, code=said.code, request_id=request_id, transient=found.transient
    )


def explain(provider: str, error: Exception, *, variable: str, other_route: str) -> AlloyError | None:
    """An exception of the SDK or its transport in Alloy's terms, `None` for any other.

    *variable* is the environment's name for `base_url`; *other_route* says what to do about a server of
    one's own that does not know the path.
    """
    sdk = import_sdk("openai", extra="openai")
    if not isinstance(error, sdk.OpenAIError):
        return transport_error(provider, error, variable)
    _scrub(error)
    if isinstance(error, sdk.APIStatusError):
        elsewhere = redirect_error(provider, error.response, variable)
        return elsewhere or _explain_status(provider, error, other_route)
    if isinstance(error, sdk.APIConnectionError):
        cause = error.__cause__
        found = transport_error(provider, cause, variable) if cause is not None else None
        if found is None and isinstance(error, sdk.APITimeoutError):
            return ProviderTimeoutError("no answer in time; a longer `timeout` may help", provider=provider)
        return found or ProviderConnectionError(f"no connection ({cause or error})", provider=provider)
    if isinstance(error, sdk.APIError):
        return generation_error(provider, error.body if isinstance(error.body, dict) else str(error))
    return ConfigurationError(f"{provider}: {error}")


def _explain_status(provider: str, error: Any, other_route: str) -> ProviderError:
    response = error.response
    status = response.status_code
    said = _said(error.body)
    message = said.message or f"an empty {response.headers.get('content-type', 'body')}"
    message += f" (parameter {said.param!r})" if said.param else ""
    if status in (400, 404, 422, 500, 501):  # llama.cpp says 500
        for feature, words in _LACKS.items():
            if words.search(said.message):
                marks = {"status": status, "code": said.code, "request_id": error.request_id}
                return UnsupportedError(message, feature=feature, provider=provider, **marks)
    about_model = said.code == "model_not_found" or "model" in said.message.lower()
    custom = response.request.url.host != "api.openai.com"
    if other_route and custom and status in (404, 405, 501) and not about_model:
        message += f"; {other_route}"
    elif status == 404:
        message += "; check `model`" if about_model else "; check `base_url`, which usually ends in /v1"
    elif status in _STATUS_ADVICE:
        message += f"; {_STATUS_ADVICE[status]}"
    return _status_error(
        provider, status, message, code=said.code, request_id=error.request_id, headers=response.headers
    )


def _status_error(provider: str, status: int, message: str, **details: Any) -> ProviderError:
    found = status_error(provider, status, message, **details)
    if found.code == "insufficient_quota":
        found.transient = False  # the status of too many requests, but no wait will fill the quota
    return found


def _said(body: Any) -> _Said:
    """Read an error body: OpenAI's object, a bare string, FastAPI's `detail`, a list of one, or a page."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict) and isinstance(body.get("error"), dict | str):
        body = body["error"]
    if not isinstance(body, dict):
        return _Said(_snippet("" if body is None else str(body)))
    message = body.get("message") or body.get("detail") or body
    code = body.get("code")
    number = code if isinstance(code, int) and not isinstance(code, bool) else None
    if isinstance(code, str) and code.isdigit():
        number = int(code)
    word = code if isinstance(code, str) and number is None else body.get("type")
    param = body.get("param")
    return _Said(
        _snippet(str(message)),
        word if isinstance(word, str) else None,
        number if number is not None and 400 <= number < 600 else None,
        param if isinstance(param, str) else None,
    )


def _snippet(text: str) -> str:
    text = redacted(text.strip())
    return text if len(text) <= 500 else text[:500] + "…"


def _scrub(error: Any) -> None:
    """Take the key out of what the SDK's error says: as the cause of ours it is printed in tracebacks."""
    request = getattr(error, "request", None)
    error.args = tuple(scrub(part, request) for part in error.args)
    for name in ("message", "body"):
        if hasattr(error, name):
            setattr(error, name, scrub(getattr(error, name), request))
