"""Replies as they are stored: JSON, and only if they are read as they were."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NamedTuple

from alloy.messages import Echo, Reply, ToolCall, Usage

__all__ = ["Found", "dumped", "loaded"]

_TEXTS = ("text", "finish", "model", "id", "reasoning", "explanation")


class Found(NamedTuple):
    """A *reply* from the cache, and its *age* in seconds."""

    reply: Reply
    age: float


def dumped(reply: Reply) -> bytes | None:
    """*reply* without its usage; `None` if JSON cannot hold what is in it."""
    data = {
        **{name: getattr(reply, name) for name in _TEXTS},
        "calls": [[call.id, call.name, call.arguments] for call in reply.calls],
        "echo": None if reply.echo is None else list(reply.echo),
        "is_end_stated": reply.is_end_stated,
    }
    try:
        content = json.dumps(data, separators=(",", ":")).encode()
        # The echo is a provider's own form, and may be anything.
        return content if loaded(content) == replace(reply, usage=Usage()) else None
    except (ValueError, TypeError, RecursionError):
        return None


def loaded(content: bytes) -> Reply:
    """The reply in what `dumped` returned, marked as one from the cache."""
    data = json.loads(content)
    calls = tuple(ToolCall(*call) for call in data.pop("calls"))
    echo = data.pop("echo")
    return Reply(**data, calls=calls, echo=None if echo is None else Echo(*echo), cached=True)
