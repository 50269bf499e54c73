"""The answers of Anthropic's Messages API as a `Reply`; `stream` builds them from events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from alloy.backends.anthropic.errors import NAME
from alloy.backends.anthropic.turns import INVALID, echo
from alloy.backends.http.bodies import as_count, as_object, as_text, read_object
from alloy.backends.http.finish import read_ending
from alloy.errors import BadReplyError
from alloy.excerpts import excerpt
from alloy.jsontypes import JsonObject
from alloy.messages import Finish, Reply, ToolCall, Usage

__all__ = ["GAP", "read_message", "with_id"]

GAP = "\n\n"  # between blocks of thinking


def read_message(raw: Any) -> Reply:
    """The reply in a message object. Raises `BadReplyError`."""
    return read_object(NAME, raw, _reply)


def _reply(message: Mapping[str, Any]) -> Reply:
    content = message.get("content")
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        shown = message if content is None else content
        raise _bad(f"the message has no list of content blocks but {excerpt(shown, 120)}", transient=False)
    content = [_sendable(block, place) for place, block in enumerate(content)]
    text = "".join(as_text(block.get("text")) for block in content if block.get("type") == "text")
    thinking = [as_text(block.get("thinking")) for block in content if block.get("type") == "thinking"]
    calls = tuple(_call(block) for block in content if block.get("type") == "tool_use")
    reason, model = message.get("stop_reason"), as_text(message.get("model"))
    complete = bool(text or calls)
    ending = read_ending(reason, field="stop_reason", provider=NAME, calls=calls, complete=complete)
    if ending.finish == "other" and not complete:
        raise _bad(f"the message is empty, and its stop_reason is {reason!r}", transient=False)
    return Reply(
        text=text,
        calls=calls,
        finish=ending.finish,
        is_end_stated=ending.is_stated,
        usage=_usage(message.get("usage")),
        model=model,
        id=as_text(message.get("id")),
        reasoning=GAP.join(filter(None, thinking)),
        explanation=_explanation(ending.finish, reason, message.get("stop_details")) or ending.explanation,
        echo=echo(content, model),
    )


def with_id(block: JsonObject, place: int) -> JsonObject:
    """*block* with an id if it is a call without one, as some gateways send it."""
    if block.get("type") != "tool_use" or block.get("id"):
        return block
    return {**block, "id": f"toolu_{place}"}


def _sendable(block: JsonObject, place: int) -> JsonObject:
    """*block* with an id, and with an object as its input: some servers send text, or none."""
    block = with_id(block, place)
    given = block.get("input")
    if not as_text(block.get("type")).endswith("tool_use") or isinstance(given, dict):
        return block
    if given is None:
        return {**block, "input": {}}
    return {**block, "input": as_object(given if isinstance(given, str) else json.dumps(given), INVALID)}


def _call(block: Mapping[str, Any]) -> ToolCall:
    call_id, name, given = block.get("id"), block.get("name"), block.get("input")
    if not isinstance(call_id, str) or not isinstance(name, str):
        raise _bad(f"a tool_use block has no name, or an id that is not text: {excerpt(block, 120)}")
    if isinstance(given, dict) and given.keys() == {INVALID}:
        return ToolCall(call_id, name, as_text(given[INVALID]))
    return ToolCall(call_id, name, json.dumps({} if given is None else given, ensure_ascii=False))


def _explanation(finish: Finish, reason: Any, details: Any) -> str:
    if finish == "length" and "context_window" in str(reason):
        return "the model's context window is full, so a higher max_tokens does not help"
    if finish not in ("refusal", "filter") or not isinstance(details, dict):
        return ""
    return ": ".join(filter(None, (as_text(details.get(key)) for key in ("category", "explanation"))))


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    read = as_count(usage.get("cache_read_input_tokens"))
    written = as_count(usage.get("cache_creation_input_tokens"))
    thinking = (usage.get("output_tokens_details") or {}).get("thinking_tokens")
    return Usage(
        input_tokens=as_count(usage.get("input_tokens")) + written + read,  # the API counts them apart
        output_tokens=as_count(usage.get("output_tokens")),
        cached_tokens=read,
        reasoning_tokens=as_count(thinking),
        cache_write_tokens=written,
    )


def _bad(message: str, *, transient: bool | None = None) -> BadReplyError:
    return BadReplyError(message, provider=NAME, transient=transient)
