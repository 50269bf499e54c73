"""What an Ollama server says when something is wrong. Both routes to it share this."""

from __future__ import annotations

import re
from collections.abc import Mapping

from alloy.backends.http.errors import ErrorReader, Failure
from alloy.backends.http.transport_errors import proxy_hint
from alloy.backends.openai.errors import OpenAIErrors
from alloy.errors import ProviderConnectionError, ProviderError

__all__ = ["ERRORS", "OllamaChatErrors", "not_running"]

NAME = "ollama"
ADDRESS = "OLLAMA_HOST"

# The server's own texts, which have no codes. The model's name before them may contain host and tag, so
# only the end counts (server/routes.go, and llm/server.go for what no grammar can be made of).
_FEATURES = (
    ("tools", re.compile(r"does not support tools\W*$")),
    ("output", re.compile(r"does not support (structured outputs?|format)\W*$")),
    ("output", re.compile(r"invalid JSON schema in format\W*$|required for format\W*$")),
)
_NO_THINKING = re.compile(r"does not support thinking\W*$")
# Of a model that gets an image and has no vision.
_NO_VISION = re.compile(r"missing data required for image input")
_NO_MODEL = re.compile(r"model ['\"]?([^'\"\s]+)['\"]? not found", re.IGNORECASE)


class OllamaErrors(ErrorReader):
    """The errors of the native API."""

    address_variable = ADDRESS
    features = _FEATURES
    advice: Mapping[int, str] = {
        401: "check OLLAMA_API_KEY or configure(api_key=…)",
        403: "the key may not do this, or the server does not accept it from here",
    }

    def status_of(self, failure: Failure) -> int:
        """Some errors are recognised by their message, whatever their status is."""
        if _NO_MODEL.search(failure.body.message):
            return 404
        if _NO_THINKING.search(failure.body.message) or _NO_VISION.search(failure.body.message):
            return 400
        return super().status_of(failure)

    def hint(self, status: int, failure: Failure) -> str:
        """What to do."""
        if missing := _NO_MODEL.search(failure.body.message):
            return f"; get it with `ollama pull {missing[1]}`"
        if _NO_THINKING.search(failure.body.message):
            return "; leave reasoning_effort out for this model"
        if _NO_VISION.search(failure.body.message):
            return "; choose a model whose `ollama show` lists vision"
        if failure.status == 404:
            return (
                f"; there is no Ollama server at {_root(failure)}: check OLLAMA_HOST or base_url, which has "
                "no /v1 here (a server that speaks OpenAI's API is reached by model='openai-chat:NAME')"
            )
        return super().hint(status, failure)


class OllamaChatErrors(OpenAIErrors):
    """The errors of the copy of OpenAI's API: Ollama's own messages, and the others as OpenAI has them."""

    address_variable = ADDRESS

    def explain(self, failure: Failure) -> ProviderError:
        """The error for *failure*."""
        known = (_NO_MODEL, _NO_THINKING, _NO_VISION, *(pattern for _, pattern in _FEATURES))
        if any(pattern.search(failure.body.message) for pattern in known):
            return OllamaErrors(self.provider).explain(failure)
        return super().explain(failure)


ERRORS = OllamaErrors(NAME)


def _root(failure: Failure) -> str:
    return failure.url.removesuffix("/api/chat")


def not_running(
    provider: str, url: str, error: BaseException, source: str = ""
) -> ProviderConnectionError | None:
    """The error for an address at which no server listens; *source* says where the address comes from.

    `None` when one listens, but with a certificate that is not trusted.
    """
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return None
    read_from = f" ({source})" if source else ""
    return ProviderConnectionError(
        f"no Ollama server answers at {url}{read_from}: start it with `ollama serve`, or set OLLAMA_HOST or "
        f"base_url to where it runs{proxy_hint()} ({type(error).__name__}: {error})",
        provider=provider,
    )
