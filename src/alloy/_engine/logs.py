"""The logger `alloy`, as a listener: what is logged of a call, and at which level.

WARNING for retries and fallbacks, INFO one line for each call, DEBUG one line for each request. No line
holds a prompt, an answer, or the text of an error.
"""

from __future__ import annotations

import logging

from alloy._engine.fallbacks import TEXTS
from alloy.errors import ProviderError
from alloy.events import (
    CacheHit,
    CallFailed,
    Event,
    FallbackTaken,
    Final,
    RateLimited,
    ReplyReceived,
    RequestSent,
    Retry,
)
from alloy.logger import log
from alloy.messages import Usage

__all__ = ["describe", "log", "log_event", "wants_events"]


def wants_events() -> bool:
    """Whether events that happen in every call would be logged."""
    return log.isEnabledFor(logging.INFO)


def log_event(event: Event) -> None:
    """Log *event*, if it is one that is logged."""
    match event:
        case FallbackTaken(_, model, _, error, failed, command) if error is not None:
            reason = describe(error)
            log.warning("%s: %s failed (%s); the call continues with %s", command, failed, reason, model)
        case FallbackTaken(feature, model):
            _log_fallback(feature, model)
        case Retry(error, wait, model, command):
            log.warning("%s: %s failed (%s); next try in %.1f s", command, model, describe(error), wait)
        case RateLimited(wait, model):
            log.debug("a request to %s waits for %.1f s for the rate limits", model, wait)
        case Final(result, command):
            requests = f"{result.attempts} request{'s' * (result.attempts != 1)}"
            tokens, seconds = _tokens(result.usage), result.seconds
            log.info("%s: %s answered in %.2f s, %s, %s", command, result.model, seconds, requests, tokens)
        case CallFailed(error, command, _, seconds):
            log.info("%s failed after %.2f s: %s", command, seconds, describe(error))
        case RequestSent(_, model, attempt):
            log.debug("request %d to %s", attempt, model)
        case CacheHit(model, age):
            log.debug("a reply of %s comes from the response cache, %.0f s old", model, age)
        case ReplyReceived(reply, model, attempt) if not reply.cached:
            log.debug(
                "reply %d from %s: status %s, %.2f s, %s, request id %s",
                attempt,
                model,
                reply.status,
                reply.seconds,
                _tokens(reply.usage),
                reply.request_id,
            )


_logged: set[tuple[str, str]] = set()


def _log_fallback(feature: str, model: str) -> None:
    # Once for each model, because most fallbacks are taken in every call.
    if (feature, model) not in _logged:
        _logged.add((feature, model))
        log.warning("%s does not support %s; Alloy falls back to %s", model, *TEXTS[feature])


def describe(error: BaseException) -> str:
    """The kind of *error* without its text, which may repeat what was sent or received."""
    name = type(error).__name__
    if not isinstance(error, ProviderError):
        return name
    marks = {"status": error.status, "code": error.code, "request id": error.request_id}
    shown = ", ".join(f"{mark} {value}" for mark, value in marks.items() if value is not None)
    return f"{name}, {shown}" if shown else name


def _tokens(usage: Usage) -> str:
    return f"{usage.input_tokens} + {usage.output_tokens} tokens"
