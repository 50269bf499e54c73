"""The words of a server in a reply: names and ids, which errors, events and logs show.

A server may repeat the key in any of them. What the model writes, its text, reasoning and arguments, is the
data of the caller, and is not searched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from alloy.messages import Reply, ToolCall

__all__ = ["without_secrets"]


def without_secrets(
    reply: Reply,
    known: Collection[str],
    repeats_secret: Callable[[str], bool],
    redacted: Callable[[str], str],
) -> Reply:
    """*reply* without secrets in the words of the server; those that are *known* from the request stay."""
    changes: dict[str, Any] = {}
    if reply.explanation:
        changes["explanation"] = redacted(reply.explanation)
    words = [reply.model, reply.id, *(word for call in reply.calls for word in (call.id, call.name))]
    unknown = [word for word in words if word and word not in known]
    if unknown and repeats_secret("\n".join(unknown)):
        secret = {word for word in unknown if repeats_secret(word)}
        changes |= {name: "" for name in ("model", "id") if getattr(reply, name) in secret}
        changes["calls"] = tuple(_call_without(secret, redacted, call) for call in reply.calls)
    return replace(reply, **changes) if changes else reply


def _call_without(secret: Collection[str], redacted: Callable[[str], str], call: ToolCall) -> ToolCall:
    id = "" if call.id in secret else call.id  # the conversation gives it another
    return replace(call, id=id, name=redacted(call.name) if call.name in secret else call.name)
