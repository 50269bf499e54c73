"""What OpenAI's APIs, and the servers that copied them, say when something is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping

from alloy.backends.http.errors import TOO_COMPLEX, ErrorBody, ErrorReader, Failure

__all__ = ["OpenAIErrors"]

# How OpenAI and compatible servers say that a model does not support a feature at all: vLLM and llama.cpp
# were not started for it, OpenRouter knows no provider that has it, DeepSeek has JSON but no schemas. What
# they say of one schema ("Invalid schema for response_format …") is another matter.
_TOOLS = re.compile(
    r"does(n't| not) support (tools?\b|tool[ _]use|tool[ _]calling|function[ _]calling)"
    r"|['\"`]?\btools['\"`]? (is|are) not supported"
    r"|requires --enable-auto-tool-choice|tools param requires --jinja"
    r"|no endpoints found that support tool use",
    re.IGNORECASE,
)
_OUTPUT = re.compile(
    r"does(n't| not) support (structured outputs?|json_schema|response_format)"
    r"|^(?!invalid schema).*\b(response_format|text\.format)\b"
    r".*\b(not supported|unsupported|unavailable)"
    r"|response_format\.type\b.*\bmust be\b",  # LM Studio, of "json_object"
    re.IGNORECASE,
)


class OpenAIErrors(ErrorReader):
    """The errors of OpenAI and of compatible servers.

    *other_route* is the advice for a compatible server that has nothing at the path of the API.
    """

    address_variable = "OPENAI_BASE_URL"
    features = (("schema", TOO_COMPLEX), ("tools", _TOOLS), ("output", _OUTPUT))
    feature_statuses = (400, 404, 422, 500, 501)  # 500 is llama.cpp's
    advice: Mapping[int, str] = {
        401: "check OPENAI_API_KEY or configure(api_key=…)",
        403: "the key may not do this",
    }
    statuses: Mapping[str, int] = {
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

    def __init__(self, provider: str, other_route: str = "") -> None:
        super().__init__(provider)
        self.other_route = other_route

    def status_by_name(self, body: ErrorBody) -> int:
        """By the names of this API, or by how one begins."""
        word = body.word or ""
        if word not in self.statuses and word.startswith(("invalid_", "image_")):
            return 400
        return super().status_by_name(body)

    def hint(self, status: int, failure: Failure) -> str:
        """The parameter that is wrong, and what to do."""
        param = f" (parameter {failure.body.param!r})" if failure.body.param else ""
        if failure.status is None:
            return param
        asked = f"the request went to {failure.url}"
        about_model = failure.body.code == "model_not_found" or "model" in failure.body.message.lower()
        if self._is_other_server(failure.url) and status in (404, 405, 501) and not about_model:
            return f"{param}; {self.other_route}; {asked}"
        if status == 404:
            where = "`model`" if about_model else f"`base_url`, which usually ends in /v1; {asked}"
            return f"{param}; check {where}"
        return param + super().hint(status, failure)

    def _is_other_server(self, url: str) -> bool:
        return bool(self.other_route) and "//api.openai.com" not in url
