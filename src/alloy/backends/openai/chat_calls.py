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
        self.has_arguments = False  # perhaps empty ones
        self.is_named_again = False  # after its whole arguments
        self.after: _Call | None = None  # a call of the same tool at the same place, without another id
        self._pieces: list[str] = []

    @property
    def has_pieces(self) -> bool:
        """Whether there is text for the arguments."""
        return bool(self._pieces)

    @property
    def is_unfinished(self) -> bool:
        """Whether the arguments have begun, and are not whole."""
        return self.has_pieces and self.whole is None

    @property
    def arguments(self) -> str:
        """The arguments, without what a server sent before a restart, or once more at the end."""
        return joined(self._pieces)

    @property
    def whole(self) -> JsonObject | None:
        """The arguments, `None` while they are not complete."""
        return object_in(self.arguments) if self._pieces and self._pieces[-1].rstrip().endswith("}") else None

    @property
    def is_repetition(self) -> bool:
        """Whether it is the call before it once more."""
        return self.after is not None and bool(self.whole) and self.whole == self.after.whole

    def may_be(self, other: _Call) -> bool:
        """Whether the whole call *other* may be this one, which may lack something."""
        if self.name and self.name != other.name:
            return False
        if self.id and other.id and self.id != other.id:
            return self.whole == other.whole and self.has_pieces == other.has_pieces
        return not self.whole or not other.whole or self.whole == other.whole

    def take(self, other: _Call) -> None:
        """Take over what *other*, the same call, has more."""
        self.name, self.id = other.name, self.id or other.id
        self.more |= other.more
        if other.whole or not self._pieces:
            self._pieces = other._pieces

    def add(self, piece: Mapping[str, Any]) -> None:
        """Add a *piece*."""
        function = piece.get("function") or {}
        self.id = self.id or as_text(piece.get("id"))
        name = as_text(function.get("name"))
        if name.startswith(self.name):  # some servers repeat the name, or make it longer, in every piece
            self.name = name
        elif name:  # others send it in parts
            self.name += name
        self.has_arguments = self.has_arguments or "arguments" in function
        if text := _written(function.get("arguments")):
            self._pieces.append(text)
        self.more |= {key: value for key, value in piece.items() if key not in _CALL_KEYS}


class Calls:
    """The tool calls of one message, in the order in which they began."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._calls: list[_Call] = []
        self._not_shown: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add_rest(self, pieces: Sequence[Mapping[str, Any]]) -> None:
        """Add the whole calls of a message, except those that have come in pieces before it."""
        left = list(self._calls)
        for piece in pieces:
            call = _Call()
            call.add(piece)
            same = [old for old in left if old.may_be(call)]
            if not same:
                self._calls.append(call)
                self._not_shown.append(call)
                continue
            old = min(same, key=lambda each: (each.id != call.id, each.whole != call.whole))
            left.remove(old)
            old.take(call)

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
            if call is None or (has_name and index in named):
                call = self._new()
            elif _is_other(call, piece):
                call = self._next(call, piece, has_name=has_name)
            elif has_name:
                call.is_named_again = call.whole is not None
            if has_name:
                named.add(index)
            if index is not None:
                self._by_index[index] = call
            call.add(piece)

    def _new(self) -> _Call:
        self._calls.append(call := _Call())
        self._not_shown.append(call)
        return call

    def _next(self, old: _Call, piece: Mapping[str, Any], *, has_name: bool) -> _Call:
        """The call that *piece* begins at the place of *old*."""
        call = self._new()
        if piece.get("id") in (None, "", old.id):
            call.after = old
        call.name = "" if has_name else old.name
        return call

    def _unindexed(self, piece: Mapping[str, Any]) -> _Call | None:
        same = [call for call in self._calls if call.id and call.id == piece.get("id")]
        return next(reversed(same), self._calls[-1] if self._calls else None)

    def next_delta(self) -> Delta | None:
        """The next call that has not been shown."""
        for place, call in enumerate(self._not_shown):
            if call.name and not call.is_repetition:
                del self._not_shown[place]
                return ToolCallDelta(call.id, call.name)
        return None

    def finished(self) -> list[ToolCall]:
        """The calls with unique ids: nothing else pairs a result with its call."""
        seen: set[str] = set()
        self._calls = [call for call in self._calls if not call.is_repetition]
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

    It has a name then, or follows one. An id alone means nothing: some versions of vLLM generate a new one
    for every piece, and some gateways repeat the name with it. Gemini's compatible API gives every parallel
    call the index 0, so a name with another id is another call, unless it goes on with unfinished arguments.
    Without a new id, only a name after the arguments have begun can be another call's: another name, or the
    same one with other whole arguments. The same whole arguments are a repetition.
    """
    function = piece.get("function") or {}
    name, call_id = as_text(function.get("name")), as_text(piece.get("id"))
    written = _written(function.get("arguments"))
    if not name:
        return call.is_named_again and bool(call.whole) and written.lstrip().startswith("{")
    if call_id and call.id and call_id != call.id:
        return not (name == call.name and call.is_unfinished and not written.lstrip().startswith("{"))
    if not call.name:
        return False
    if name != call.name:
        is_part = call.id or name.startswith(call.name) or "arguments" not in function
        return call.has_pieces or not (is_part or not call.has_arguments)
    return _is_again(call, written, is_same_id=bool(call_id))


def _is_again(call: _Call, written: str, *, is_same_id: bool) -> bool:
    """Whether a piece with the name of *call*, and the arguments *written*, begins another call."""
    old, new = call.whole, object_in(written)  # `None` for a first piece of arguments
    if old is None or not written.lstrip().startswith("{"):
        return False
    if not old:
        return new == {} and not is_same_id
    return new is None or (bool(new) and new != old and not (is_same_id and _grows(old, new)))


def _grows(old: JsonObject, new: JsonObject) -> bool:
    """Whether *new* has all of *old*, as in a stream that repairs the unfinished arguments each time."""
    return all(
        key in new and (new[key] == value or (isinstance(value, str) and as_text(new[key]).startswith(value)))
        for key, value in old.items()
    )


def _index(piece: Mapping[str, Any]) -> int | None:
    index = piece.get("index")
    if isinstance(index, str) and index.isdecimal():
        return int(index)
    return index if isinstance(index, int) else None


def _written(arguments: Any) -> str:
    if isinstance(arguments, dict):
        return json.dumps(arguments, ensure_ascii=False)
    return as_text(arguments)
