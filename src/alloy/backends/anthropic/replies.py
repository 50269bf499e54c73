"""The answers of Anthropic's Messages API, whole or as events, as a `Reply`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from operator import index
from typing import Any

from alloy.backends.anthropic.errors import ERRORS
from alloy.backends.anthropic.turns import INVALID, echo
from alloy.backends.http.bodies import as_count, as_object, as_text, read_object
from alloy.errors import BadReplyError
from alloy.jsontypes import JsonObject
from alloy.messages import Delta, Finish, ReasoningDelta, Reply, TextDelta, ToolCall, ToolCallDelta, Usage

__all__ = ["MessagesAccumulator", "read_message"]

NAME = "anthropic"

_FINISH: dict[Any, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",  # whether tools are called is decided by the calls
    "pause_turn": "pause",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}

_GAP = "\n\n"  # between blocks of thinking

# Which field of a block its deltas make longer, by the type of the delta.
_GROWS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


def read_message(raw: Any) -> Reply:
    """The reply in a message object. Raises `BadReplyError`."""
    return read_object(NAME, raw, _reply)


def _reply(message: Mapping[str, Any]) -> Reply:
    reason, content = message.get("stop_reason"), message.get("content")
    if not isinstance(reason, str) or reason not in _FINISH:
        raise _bad(f"the message is not finished: its stop_reason is {reason!r}")
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise _bad(f"the message has no list of content blocks but {content!r:.80}")
    texts = [as_text(block.get("text")) for block in content if block.get("type") == "text"]
    thinking = [as_text(block.get("thinking")) for block in content if block.get("type") == "thinking"]
    calls = tuple(_call(block) for block in content if block.get("type") == "tool_use")
    finish, model = _FINISH[reason], as_text(message.get("model"))
    return Reply(
        text="".join(texts),
        calls=calls,
        finish="tool_calls" if calls and finish in ("stop", "pause") else finish,
        usage=_usage(message.get("usage")),
        model=model,
        id=as_text(message.get("id")),
        reasoning=_GAP.join(filter(None, thinking)),
        explanation=_explanation(reason, message.get("stop_details")),
        echo=echo(content, model),
    )


def _call(block: Mapping[str, Any]) -> ToolCall:
    call_id, name, given = block.get("id"), block.get("name"), block.get("input")
    if not isinstance(call_id, str) or not isinstance(name, str):
        raise _bad(f"a tool_use block has no id or no name: {block!r:.120}")
    if isinstance(given, dict) and given.keys() == {INVALID}:
        return ToolCall(call_id, name, as_text(given[INVALID]))
    return ToolCall(call_id, name, json.dumps({} if given is None else given, ensure_ascii=False))


def _explanation(reason: str, details: Any) -> str:
    if reason == "model_context_window_exceeded":
        return "the model's context window is full, so a higher max_tokens does not help"
    if reason != "refusal" or not isinstance(details, dict):
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
    )


def _index(event: Mapping[str, Any]) -> int:
    """The place of a content block. Raises `TypeError` for anything but an integer."""
    return index(event["index"])


def _bad(message: str) -> BadReplyError:
    return BadReplyError(message, provider=NAME)


# --- streaming ----------------------------------------------------------------------------------------


class MessagesAccumulator:
    """Builds the message from the events of a stream, and the `Reply` from the message."""

    def __init__(self) -> None:
        self._message: JsonObject = {}
        self._usage: JsonObject = {}
        self._blocks: dict[int, JsonObject] = {}
        self._pieces: dict[int, list[str]] = {}  # the content of the deltas, by block
        self._thinking: int | None = None  # the block of the last thinking delta
        self._stopped = False

    def feed(self, event: Any) -> Delta | None:
        """Take in one event. Raises `ProviderError` when the provider reports a failure."""
        return read_object(NAME, event, self._take)

    def reply(self) -> Reply:
        """The whole reply. Raises `BadReplyError` without the terminal event."""
        if not self._stopped:
            raise _bad("the stream ended before the message was complete")
        content = [self._block(index) for index in sorted(self._blocks)]
        return read_message({**self._message, "content": content, "usage": self._usage})

    def _take(self, event: Mapping[str, Any]) -> Delta | None:
        match event.get("type"):
            case "content_block_delta":
                return self._grow(_index(event), event["delta"])
            case "content_block_start":
                return self._start(_index(event), event["content_block"])
            case "message_start":
                self._message = dict(event["message"])
                self._count(self._message.get("usage"))
            case "message_delta":
                self._message.update(event["delta"])
                self._count(event.get("usage"))
            case "message_stop":
                self._stopped = True
            case "error":
                raise ERRORS.in_answer(event.get("error") or event, as_text(event.get("request_id")) or None)
            case _ if event.get("error"):
                raise ERRORS.in_answer(event["error"])
        return None

    def _count(self, usage: Any) -> None:
        """Counts are cumulative, and those that a later event leaves out stay valid."""
        if isinstance(usage, dict):
            self._usage |= {name: count for name, count in usage.items() if count is not None}

    def _start(self, index: int, block: JsonObject) -> Delta | None:
        self._blocks[index] = dict(block)
        self._pieces[index] = []
        match block.get("type"):
            case "tool_use":
                return ToolCallDelta(as_text(block.get("id")), as_text(block.get("name")))
            case "text" if text := as_text(block.get("text")):
                return TextDelta(text)
            case "thinking" if text := as_text(block.get("thinking")):
                return self._think(index, text)
        return None

    def _grow(self, index: int, delta: Mapping[str, Any]) -> Delta | None:
        kind = as_text(delta.get("type"))
        if (field := _GROWS.get(kind)) is not None:
            text = as_text(delta.get(field))
            if text:
                self._pieces[index].append(text)
                if kind == "text_delta":
                    return TextDelta(text)
                if kind == "thinking_delta":
                    return self._think(index, text)
        elif kind == "signature_delta":
            self._blocks[index]["signature"] = as_text(delta.get("signature"))
        elif kind == "citations_delta":
            block = self._blocks[index]
            block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]
        return None

    def _think(self, index: int, text: str) -> ReasoningDelta:
        gap = _GAP if self._thinking not in (None, index) else ""
        self._thinking = index
        return ReasoningDelta(gap + text)

    def _block(self, index: int) -> JsonObject:
        block, grown = self._blocks[index], "".join(self._pieces[index])
        match block.get("type"):
            case "text" | "thinking" as field:
                return {**block, field: as_text(block.get(field)) + grown}
            case _ if grown.strip():
                return {**block, "input": as_object(grown, INVALID)}
        return block
