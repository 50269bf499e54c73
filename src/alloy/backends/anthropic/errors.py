"""What Anthropic's API, and the servers that copied it, say when something is wrong.

Facts are from https://docs.claude.com/en/api/errors, and from the error types that the SDK 2.12 ships.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from alloy.backends.http.errors import TOO_COMPLEX, ErrorBody, ErrorReader, Failure
from alloy.errors import ProviderError

__all__ = ["ERRORS", "NAME"]

NAME = "anthropic"

# How this API and compatible servers say that a model does not support a feature at all. What they say
# of one schema ("output_config.format.schema: …") is another matter.
_TOOLS = re.compile(
    r"does(n't| not) support (tools?\b|tool[ _]use|tool calling|function calling)"
    r"|^tools: Extra inputs are not permitted",
    re.IGNORECASE,
)
_OUTPUT = re.compile(
    r"does(n't| not) support (structured outputs?|output[ _]format|json_schema)"
    r"|does(n't| not) support output_config\.format\b(?!\.)"
    r"|^output_config(\.format)?: Extra inputs are not permitted",
    re.IGNORECASE,
)
# The limits of its compiler of schemas.
_SCHEMA = re.compile(
    TOO_COMPLEX.pattern + r"|too many (strict tools|optional parameters|parameters with union)", re.IGNORECASE
)
_STRICT_TOOLS = re.compile(
    r"does(n't| not) support strict tools?|^tools\.\d+\.(custom\.)?strict: Extra inputs are not permitted",
    re.IGNORECASE,
)


class AnthropicErrors(ErrorReader):
    """The errors of Anthropic and of compatible servers."""

    address_variable = "ANTHROPIC_BASE_URL"
    features = (
        ("schema", _SCHEMA),
        ("strict_tools", _STRICT_TOOLS),
        ("tools", _TOOLS),
        ("output", _OUTPUT),
    )
    feature_statuses = (400, 404, 422)
    advice: Mapping[int, str] = {
        401: "check ANTHROPIC_API_KEY or configure(api_key=…)",
        402: "the account needs credit or a payment method",
        403: "the key may not do this",
        413: "send less, or smaller files",
    }
    statuses: Mapping[str, int] = {
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

    def status_by_name(self, body: ErrorBody) -> int:
        """By the kind of the error, or by how it begins."""
        kind = body.kind or ""
        if kind not in self.statuses and kind.startswith("invalid_"):
            return 400
        return self.statuses.get(kind) or super().status_by_name(body)

    def hint(self, status: int, failure: Failure) -> str:
        """What to do."""
        message = failure.body.message
        if failure.status == 404:
            if "model" in message.lower():
                return "; check `model`"
            example = "which ends without /v1, as in https://api.anthropic.com"
            return f"; check `base_url`, {example}; the request went to {failure.url}"
        return super().hint(status, failure)

    def adjust(self, error: ProviderError, failure: Failure) -> None:
        """Obey the header that the SDK obeys: a spent budget has the status of too many requests."""
        if (wanted := failure.headers.get("x-should-retry")) in ("true", "false"):
            error.transient = wanted == "true"


ERRORS = AnthropicErrors(NAME)
