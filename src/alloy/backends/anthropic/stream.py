"""A message of Anthropic's API, built from the events of a stream."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from alloy.backends.anthropic.errors import ERRORS, NAME
from alloy.backends.anthropic.replies import GAP, read_message, with_id
from alloy.backends.anthropic.turns import INVALID
from alloy.backends.http.bodies import as_object, as_text, larger_counts, read_object
from alloy.backends.http.fragments import joined, object_in
from alloy.errors import BadReplyError
from alloy.jsontypes import JsonObject
from alloy.messages import Delta, ReasoningDelta, Reply, TextDelta, ToolCallDelta

__all__ = ["MessagesAccumulator", "as_events"]

# The type of the block that a delta belongs to, and the field of the delta that makes the block longer.
_GROWS = {
    "text_delta": ("text", "text"),
    "citations_delta": ("text", "citation"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("tool_use", "partial_json"),
}


def as_events(event: Any) -> Iterator[Any]:
    """*event*, or the events of the message that it is: some gateways answer a streamed request with one."""
    blocks = event.get("content") if isinstance(event, dict) else None
    if not isinstance(blocks, list) or event.get("type", "message") != "message":
        yield event
        return
    yield {"type": "message_start", "message": event}
    for place, block in enumerate(blocks):
        yield {"type": "content_block_start", "index": place, "content_block": block}
        yield {"type": "content_block_stop", "index": place}
    yield {"type": "message_stop"}


def _place(event: Mapping[str, Any]) -> int | str | None:
    """The index of a content block; some gateways leave it out."""
    found = event.get("index")
    return found if isinstance(found, int | str) else None


class _Block:
    """A content block, and the pieces of its text or its input so far."""

    def __init__(self, block: JsonObject, place: int | str | None = None) -> None:
        self.block = dict(block)
        self.place = place
        self.pieces: list[str] = []
        self.is_stopped = False

    @property
    def kind(self) -> str:
        return as_text(self.block.get("type"))

    def takes(self, kind: str) -> bool:
        """Whether deltas for a block of *kind* belong here; tools of the provider have input too."""
        return self.kind == kind or (kind == "tool_use" and self.kind.endswith("tool_use"))

    def is_restarted(self, place: int | str | None, started: JsonObject) -> bool:
        """Whether the call *started* at *place* is this one, which some gateways start again.

        Other gateways give the same id to several calls.
        """
        if not started.get("id") or any(started.get(key) != self.block.get(key) for key in ("id", "name")):
            return False
        is_same_place = place is not None and place == self.place
        return not self._is_whole and (is_same_place or not self.is_stopped)

    def repeats(self, other: _Block) -> bool:
        """Whether this is *other* once more: a stopped call at the same index, with its id and its input."""
        same_place = self.place is not None and self.place == other.place
        return same_place and self.kind == "tool_use" and self.whole() == other.whole()

    @property
    def _is_whole(self) -> bool:
        return bool(object_in("".join(self.pieces)) or self.block.get("input"))

    def whole(self) -> JsonObject:
        """The block as a message that is not streamed has it."""
        grown = "".join(self.pieces)
        match self.kind:
            case "text" | "thinking" as field:
                return {**self.block, field: as_text(self.block.get(field)) + grown}
            case _ if grown.strip():
                return {**self.block, "input": as_object(joined(self.pieces), INVALID)}
        return self.block


class MessagesAccumulator:
    """Builds the message from the events of a stream, and the `Reply` from the message.

    Blocks are kept in the order in which they start. An index only says which of the open blocks a delta
    belongs to, because gateways use one twice, or leave some out. A delta whose block has not started, or
    has another type, belongs to the last block if that has its type; otherwise it starts a block.
    """

    def __init__(self) -> None:
        self._message: JsonObject = {}
        self._usage: JsonObject = {}
        self._blocks: list[_Block] = []
        self._by_id: defaultdict[str, list[_Block]] = defaultdict(list)
        self._open: dict[int | str | None, _Block] = {}
        self._thinking: _Block | None = None  # the block of the last thinking delta
        self._stopped = False

    def feed(self, event: Any) -> Delta | None:
        """Take in one event. Raises `ProviderError` when the provider reports a failure."""
        return read_object(NAME, event, self._take)

    def reply(self) -> Reply:
        """The whole reply. Raises `BadReplyError` without the terminal event."""
        if not self._stopped:
            raise BadReplyError("the stream ended before the message was complete", provider=NAME)
        content: Any = [block.whole() for block in self._different_blocks()] or self._message.get("content")
        return read_message({**self._message, "content": content, "usage": self._usage})

    def _different_blocks(self) -> Iterator[_Block]:
        earlier: defaultdict[int | str | None, list[_Block]] = defaultdict(list)
        for block in self._blocks:
            if not any(map(block.repeats, earlier[block.place])):
                yield block
            earlier[block.place].append(block)

    def _take(self, event: Mapping[str, Any]) -> Delta | None:
        match event.get("type"):
            case "content_block_delta":
                return self._grow(_place(event), event["delta"])
            case "content_block_start":
                return self._start(_place(event), event["content_block"])
            case "content_block_stop":
                self._stop(_place(event))
            case "message_start":
                self._message = dict(event["message"])
                self._count(self._message.get("usage"))
            case "message_delta":
                self._end(event.get("delta") or {})
                self._count(event.get("usage"))
            case "message_stop":
                self._stopped = True
            case "[DONE]":  # `END_MARK`: some gateways send it instead
                self._stopped = self._stopped or bool(self._message or self._blocks)
            case "error":
                raise ERRORS.in_answer(event, as_text(event.get("request_id")) or None)
            case _ if event.get("error"):
                raise ERRORS.in_answer(event)
        return None

    def _stop(self, place: int | str | None) -> None:
        if (stopped := self._open.pop(place, None)) is not None:
            stopped.is_stopped = True

    def _end(self, delta: Mapping[str, Any]) -> None:
        """Some gateways send this more than once, and leave fields out or empty."""
        self._message.update({key: value for key, value in delta.items() if value is not None})

    def _count(self, usage: Any) -> None:
        """Counts are cumulative; those that a later event leaves out, or sets to 0, stay valid."""
        if isinstance(usage, dict):
            self._usage = larger_counts(self._usage, usage)

    def _start(self, place: int | str | None, started: JsonObject) -> Delta | None:
        same = self._by_id[str(started.get("id"))]
        known = next((block for block in same if block.is_restarted(place, started)), None)
        if known is not None and known.kind == "tool_use":  # its input starts again too
            known.pieces.clear()
            self._open[place] = known
            return None
        block = self._add(with_id(started, len(self._blocks)), place)
        self._open[place] = block
        match block.kind:
            case "tool_use":
                return ToolCallDelta(as_text(block.block.get("id")), as_text(started.get("name")))
            case "text" if text := as_text(started.get("text")):
                return TextDelta(text)
            case "thinking" if text := as_text(started.get("thinking")):
                return self._think(block, text)
        return None

    def _add(self, started: JsonObject, place: int | str | None = None) -> _Block:
        block = _Block(started, place)
        self._blocks.append(block)
        self._by_id[str(started.get("id"))].append(block)
        return block

    def _grow(self, place: int | str | None, delta: Mapping[str, Any]) -> Delta | None:
        kind = as_text(delta.get("type"))
        if kind not in _GROWS:
            return None
        owner, field = _GROWS[kind]
        if not (value := delta.get(field)):  # the first pieces are often empty
            return None
        block = self._owner(place, owner)
        if kind == "citations_delta":
            block.block["citations"] = [*(block.block.get("citations") or ()), value]
        elif kind == "signature_delta":
            block.block["signature"] = as_text(value)
        elif text := as_text(value):
            block.pieces.append(text)
            if kind == "text_delta":
                return TextDelta(text)
            if kind == "thinking_delta":
                return self._think(block, text)
        return None

    def _owner(self, place: int | str | None, kind: str) -> _Block:
        """The block of *kind* that a delta at *place* belongs to. Raises `BadReplyError` for input alone."""
        for block in (self._open.get(place), self._blocks[-1] if self._blocks else None):
            if block is not None and block.takes(kind):
                return block
        if kind == "tool_use":
            raise BadReplyError("the stream has the input of a tool call that has not started", provider=NAME)
        return self._add({"type": kind})

    def _think(self, block: _Block, text: str) -> ReasoningDelta:
        gap = GAP if self._thinking not in (None, block) else ""
        self._thinking = block
        return ReasoningDelta(gap + text)
