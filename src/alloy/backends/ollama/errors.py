"""What an Ollama server says when something is wrong, in Alloy's terms. Both routes to it share this."""

from __future__ import annotations

import re
from typing import Any

from alloy.backends.http.errors import status_error
from alloy.backends.http.redaction import redacted
from alloy.backends.http.transport import parse_json, redirect_error
from alloy.errors import ProviderConnectionError, ProviderError, UnsupportedError

__all__ = ["ADDRESS", "error_text", "explained_chat", "not_running", "response_error", "said_error"]

ADDRESS = "OLLAMA_HOST"
SNIPPET = 500  # characters of a server's message that ours shows

# The server's own words, which have no codes. The model's name before them may carry host and tag, so
# only the tail counts (server/routes.go, and llm/server.go for what no grammar can be made of).
_LACKS = (
    (re.compile(r"does not support tools\W*$"), "tools"),
    (re.compile(r"does not support (structured outputs?|format)\W*$"), "output"),
    (re.compile(r"invalid JSON schema in format\W*$|required for format\W*$"), "output"),
)
_NO_THINKING = re.compile(r"does not support thinking\W*$")
_NO_MODEL = re.compile(r"model ['\"]?([^'\"\s]+)['\"]? not found", re.IGNORECASE)

_ADVICE = {
    401: "check OLLAMA_API_KEY or configure(api_key=…)",
    403: "the key may not do this, or the server does not take it from here",
}


def response_error(provider: str, response: Any, content: bytes, url: str) -> ProviderError:
    """The error for an HTTP answer whose status is not a good one, *content* being its whole body."""
    if (elsewhere := redirect_error(provider, response, ADDRESS)) is not None:
        return elsewhere
    message = error_text(content, response.request) or "an empty answer"
    if response.status_code == 404 and not _NO_MODEL.search(message):
        message += (
            f"; there is no Ollama server at {url}: check OLLAMA_HOST or base_url, which has no /v1 here (a "
            "server that speaks OpenAI's API is reached by model='openai-chat:NAME')"
        )
    return said_error(provider, message, status=response.status_code, headers=response.headers)


def said_error(
    provider: str, message: str, *, status: int | None = None, headers: Any = None
) -> ProviderError:
    """The error that a server's *message* stands for; *status* is `None` when it came in a good answer."""
    for pattern, feature in _LACKS:
        if pattern.search(message):
            return UnsupportedError(message, feature=feature, provider=provider, status=status)
    kind = status or 500
    if missing := _NO_MODEL.search(message):
        kind = 404
        message += f"; get it with `ollama pull {missing[1]}`"
    elif _NO_THINKING.search(message):
        kind = 400
        message += "; leave reasoning_effort out for this model"
    elif status in _ADVICE:
        message += f"; {_ADVICE[status]}"
    found = status_error(provider, kind, message, headers=headers)
    found.status = status
    return found


def explained_chat(provider: str, error: Any) -> ProviderError | None:
    """An exception of OpenAI's SDK that holds an Ollama server's words, or `None` when it does not."""
    response, cause = getattr(error, "response", None), getattr(error, "__cause__", None)
    if cause is not None and type(cause).__name__ == "ConnectError":
        url = error.request.url
        return not_running(provider, f"{url.scheme}://{url.netloc.decode()}", cause)
    if response is None or not response.is_error:
        return None
    message = error_text(response.content, response.request)
    known = (_NO_MODEL, _NO_THINKING, *(pattern for pattern, _ in _LACKS))
    if not any(pattern.search(message) for pattern in known):
        return None
    return said_error(provider, message, status=response.status_code, headers=response.headers)


def error_text(content: bytes, request: Any = None) -> str:
    """What an error body says: Ollama's object, OpenAI's, any other JSON, or a page; never a key."""
    try:
        said = parse_json(content)
    except ValueError:
        said = content.decode("utf-8", "replace")
    while isinstance(said, dict) and said.keys() & {"error", "message"}:
        said = said.get("error") or said.get("message")
    text = redacted("" if said is None else str(said).strip(), request)
    return text if len(text) <= SNIPPET else text[:SNIPPET] + "…"


def not_running(provider: str, url: str, error: BaseException, source: str = "") -> ProviderConnectionError:
    """The error for an address at which nobody listens; *source* says where it was read from."""
    whence = f" ({source})" if source else ""
    return ProviderConnectionError(
        f"no Ollama server answers at {url}{whence}: start it with `ollama serve`, or set OLLAMA_HOST or "
        f"base_url to where it runs ({type(error).__name__}: {error})",
        provider=provider,
    )
