"""The output items of a streamed response, built from its events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alloy.backends.http.bodies import as_text
from alloy.backends.http.fragments import joined
from alloy.backends.openai.response_merge import fuller, is_repeated, text_of
from alloy.jsontypes import JsonObject

__all__ = ["StreamedItems", "is_answer"]

# The type of the item to which a part belongs, and the list in it that holds such parts.
_PLACES = {
    "output_text": ("message", "content"),
    "refusal": ("message", "content"),
    "arguments": ("function_call", "arguments"),
    "summary_text": ("reasoning", "summary"),
    "reasoning_text": ("reasoning", "content"),
}


def is_answer(message: Mapping[str, Any]) -> bool:
    """Whether *message* is the answer; the other phase, `commentary`, comes between tool calls."""
    return message.get("phase") in (None, "", "final_answer")


class _Item:
    """One output item, and the pieces that came for it."""

    def __init__(self, item: JsonObject, event: Mapping[str, Any]) -> None:
        self.item, self.kind = item, as_text(item.get("type"))
        self.index = event.get("output_index")
        self.id = as_text(item.get("id")) or as_text(event.get("item_id"))
        self.is_done = False
        self.is_shown = False  # commentary
        self._parts: dict[tuple[str, Any], list[str]] = {}  # by kind and place

    def add(self, kind: str, place: Any, text: str) -> None:
        self._parts.setdefault((kind, place), []).append(text)

    def replace(self, kind: str, place: Any, text: str) -> None:
        """The whole *text* of a part, unless its pieces have another one."""
        if text.startswith("".join(self._parts.get((kind, place), ()))):
            self._parts[kind, place] = [text]

    def built(self) -> JsonObject:
        """The item; where its pieces have more than it, with those."""
        pieces: JsonObject = {}
        for (kind, _), texts in self._parts.items():
            field, name = _PLACES[kind][1], "refusal" if kind == "refusal" else "text"
            if kind == "arguments":
                pieces[field] = joined(texts)
            else:
                pieces.setdefault(field, []).append({"type": kind, name: "".join(texts)})
        return fuller(pieces, self.item) if pieces else self.item

    def text(self) -> str:
        """The text of a message."""
        return text_of(self.built().get("content"), "output_text", "text")


class StreamedItems:
    """The items of one response in the order in which they began, whatever their indices say.

    An event belongs to the item with its id, or with its index, that is not finished; some servers leave
    both out, count wrongly, or give every item one id. Text for no item begins a message.
    """

    def __init__(self) -> None:
        self._items: list[_Item] = []

    def __bool__(self) -> bool:
        return bool(self._items)

    def begin(self, event: Mapping[str, Any]) -> None:
        """Take in an item that was added."""
        item = event.get("item")
        if isinstance(item, dict):
            self._items.append(_Item(item, event))

    def finish(self, event: Mapping[str, Any]) -> None:
        """Take in an item that is done."""
        item = event["item"]
        made = _Item(item, event)
        again = (old for old in self._items if old.index == made.index and old.is_done)
        found = next((old for old in again if old.item == item or is_repeated(old.item, item)), None)
        found = found or self._open(made.kind, made.id, made.index)
        if found is None:
            found = made
            self._items.append(made)
        found.item, found.is_done = fuller(found.item, item), True

    def grow(self, event: Mapping[str, Any], kind: str) -> bool:
        """Add the delta of *event* to a part; whether it is text of the answer."""
        found = self._for(event, kind)
        found.add(kind, _place(event), as_text(event.get("delta")))
        return is_answer(found.item)

    def complete(self, event: Mapping[str, Any], kind: str) -> None:
        """Take in the whole text of a part."""
        key = {"arguments": "arguments", "refusal": "refusal"}.get(kind, "text")
        if text := as_text(event.get(key)):
            self._for(event, kind).replace(kind, _place(event), text)

    def take_commentary(self) -> str:
        """The text of the commentary that has not been shown."""
        found = [item for item in self._items if item.kind == "message" and not is_answer(item.item)]
        text = "".join(item.text() for item in found if not item.is_shown)
        for item in found:
            item.is_shown = True
        return text

    def built(self) -> list[JsonObject]:
        """All items."""
        return [item.built() for item in self._items]

    def _for(self, event: Mapping[str, Any], kind: str) -> _Item:
        wanted = _PLACES[kind][0]
        found = self._open(wanted, as_text(event.get("item_id")), event.get("output_index"))
        if found is None:
            made: JsonObject = {"type": wanted}
            if wanted == "message":
                made |= {"role": "assistant", "content": []}
            found = _Item(made, event)
            self._items.append(found)
        return found

    def _open(self, kind: str, item_id: str, index: Any) -> _Item | None:
        """The unfinished item of *kind* that is meant."""
        unfinished = [item for item in self._items if not item.is_done and item.kind == kind]
        named = [item for item in unfinished if item.id == item_id] if item_id else []
        for item in named or unfinished:
            if item.index == index and (named or index is not None):
                return item
        if named:
            return named[0]
        return unfinished[-1] if unfinished and (index is None or not item_id) else None


def _place(event: Mapping[str, Any]) -> Any:
    place = event.get("content_index", event.get("summary_index"))
    return place if isinstance(place, int) else 0
