"""Whose format an answer has: servers answer an address of one API with the format of another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from alloy.jsontypes import JsonObject

__all__ = ["CHAT", "GEMINI", "MESSAGES", "OLLAMA", "RESPONSES", "Format", "format_of"]


class Format(NamedTuple):
    """The answers and the events of one API."""

    title: str
    prefix: str
    """Of the models of the backend that reads it."""

    keys: frozenset[str]
    """A plain answer, and nearly every event, has one of them."""

    recognises: Callable[[JsonObject], bool]
    """Whether an object is an answer or an event that no other API has."""


def _types(*starts: str) -> Callable[[JsonObject], bool]:
    return lambda found: isinstance(kind := found.get("type"), str) and kind.startswith(starts)


RESPONSES = Format(
    "the Responses API",
    "openai",
    frozenset(("output", "response", "item", "item_id")),
    lambda found: found.get("object") == "response" or _types("response.")(found),
)
CHAT = Format(
    "Chat Completions",
    "openai-chat",
    frozenset(("choices",)),
    lambda found: isinstance(found.get("choices"), list),
)
MESSAGES = Format(
    "the Messages API",
    "anthropic",
    frozenset(("content", "content_block", "delta")),
    _types("message", "content_block"),
)
GEMINI = Format(
    "Gemini's API",
    "gemini",
    frozenset(("candidates", "promptFeedback", "usageMetadata")),
    lambda found: isinstance(found.get("candidates"), list),
)
OLLAMA = Format(
    "Ollama's API",
    "ollama",
    frozenset(("done",)),
    lambda found: isinstance(found.get("message"), dict) and isinstance(found.get("done"), bool),
)


def format_of(found: JsonObject) -> Format | None:
    """The format that *found*, an answer or an event, shows to have; `None` when it is not known."""
    return next(
        (each for each in (RESPONSES, CHAT, MESSAGES, GEMINI, OLLAMA) if each.recognises(found)), None
    )
