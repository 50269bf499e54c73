"""The tool calls of a chat message, from whole calls or from the fragments of a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from alloy.backends.http.bodies import as_text
from alloy.backends.http.fragments import joined, object_in
from alloy.errors import BadReplyError
from alloy.jsontypes import JsonObject
from alloy.messages import Delta, ToolCall, ToolCallDelta

__all__ = ["Calls", "call_pieces", "rebuilt"]

_CALL_KEYS = {"index", "id", "type", "function"}


def call_pieces(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The calls in *message*, or their pieces; `function_call` is what the API had before `tool_calls`."""
    found = message.get("tool_calls")
    pieces = [found] if isinstance(found, dict) else found if isinstance(found, list) else []
    old = message.get("function_call")
    if not pieces and isinstance(old, dict):
        pieces = [{"index": 0, "function": old}]
    return [piece for piece in pieces if isinstance(piece, dict)]


def rebuilt(call: ToolCall) -> JsonObject:
    """*call* as the API has it."""
    function = {"name": call.name, "arguments": call.arguments or "{}"}  # templates parse the arguments
    return {"id": call.id, "type": "function", "function": function}


class _Call:
    """One tool call, to which pieces are added."""

    def __init__(self) -> None:
        self.id = self.name = ""
        self.more: JsonObject = {}  # a gateway's own fields, such as Gemini's thought signatures
        self.shown = False
        self._pieces: list[str] = []

    @property
    def has_pieces(self) -> bool:
        """Whether there is text for the arguments."""
        return bool(self._pieces)

    @property
    def has_begun(self) -> bool:
        """Whether there are arguments; some servers send `{}` before them."""
        return len(self._pieces) > 4 or "".join(self._pieces).strip() not in ("", "{}", "null", '""')

    @property
    def arguments(self) -> str:
        """The arguments, without what a server sent before a restart, or once more at the end."""
        return joined(self._pieces)

    @property
    def whole(self) -> JsonObject | None:
        """The arguments, `None` while they are not complete."""
        return object_in(self.arguments) if self._pieces and self._pieces[-1].rstrip().endswith("}") else None

    def add(self, piece: Mapping[str, Any]) -> None:
        """Add a *piece*."""
        function = piece.get("function") or {}
        self.id = self.id or as_text(piece.get("id"))
        name = as_text(function.get("name"))
        if name.startswith(self.name):  # some servers repeat the name, or make it longer, in every piece
            self.name = name
        elif name:  # others send it in parts
            self.name += name
        if text := _written(function.get("arguments")):
            self._pieces.append(text)
        self.more |= {key: value for key, value in piece.items() if key not in _CALL_KEYS}


class Calls:
    """The tool calls of one message, in the order in which they began."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add_whole(self, piece: Mapping[str, Any]) -> None:
        """Add a call that is not in pieces."""
        call = _Call()
        self._calls.append(call)
        call.add(piece)

    def add(self, pieces: Sequence[Mapping[str, Any]]) -> None:
        """Add the streamed *pieces* of one chunk to their calls.

        A piece belongs to the call with its index, or with its id, or to the last one. With a name it may
        begin another call: see `_is_other`. Of two pieces with a name in one chunk it always does.
        """
        named: set[int | None] = set()
        for place, piece in enumerate(pieces):
            index = _index(piece)
            if index is None and len(pieces) > 1:
                index = place
            has_name = bool(as_text((piece.get("function") or {}).get("name")))
            call = self._unindexed(piece) if index is None else self._by_index.get(index)
            if call is None or _is_other(call, piece) or (has_name and index in named):
                call = _Call()
                self._calls.append(call)
            if has_name:
                named.add(index)
            if index is not None:
                self._by_index[index] = call
            call.add(piece)

    def _unindexed(self, piece: Mapping[str, Any]) -> _Call | None:
        same = [call for call in self._calls if call.id and call.id == piece.get("id")]
        return next(reversed(same), self._calls[-1] if self._calls else None)

    def next_delta(self) -> Delta | None:
        """The next call that has not been shown."""
        for call in self._calls:
            if call.name and not call.shown:
                call.shown = True
                return ToolCallDelta(call.id, call.name)
        return None

    def finished(self) -> list[ToolCall]:
        """The calls with unique ids: nothing else pairs a result with its call."""
        seen: set[str] = set()
        for position, call in enumerate(self._calls):
            if not call.name:
                raise BadReplyError("the answer calls a tool without a name", provider=self._provider)
            if not call.id or call.id in seen:
                call.id = f"call_{position}"
            seen.add(call.id)
        return [ToolCall(call.id, call.name, call.arguments) for call in self._calls]

    def echo(self, calls: Sequence[ToolCall]) -> list[JsonObject]:
        """*calls*, which `finished` returned, as they go back."""
        return [{**old.more, **rebuilt(call)} for old, call in zip(self._calls, calls, strict=True)]


def _is_other(call: _Call, piece: Mapping[str, Any]) -> bool:
    """Whether *piece*, at the place of *call*, begins another call.

    It has a name then. An id alone means nothing: some versions of vLLM generate a new one for every piece.
    Gemini's compatible API gives every parallel call the index 0, so a name with another id is another call.
    Without a new id, only a name after the arguments have begun can be another call's: another name, or the
    same one with other whole arguments. The same whole arguments are a repetition.
    """
    function = piece.get("function") or {}
    name, call_id = as_text(function.get("name")), as_text(piece.get("id"))
    if not name:
        return False
    if call_id and call.id and call_id != call.id:
        return True
    if name != call.name:
        return call.has_pieces
    if not call.has_begun:
        return False
    if call_id and _index(piece) is not None:
        return False  # the same id at the same index
    old, written = call.whole, _written(function.get("arguments"))
    if old is None or not written.strip():
        return False
    new = object_in(written)  # `None` for a first piece of arguments
    return new is None or (bool(new) and new != old)


def _index(piece: Mapping[str, Any]) -> int | None:
    index = piece.get("index")
    if isinstance(index, str) and index.isdecimal():
        return int(index)
    return index if isinstance(index, int) else None


def _written(arguments: Any) -> str:
    if isinstance(arguments, dict):
        return json.dumps(arguments, ensure_ascii=False)
    return as_text(arguments)
