"""The output items of a streamed response, built from its events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alloy.backends.http.bodies import as_text
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
        """The whole *text* of a part, unless its pieces have more."""
        if len(text) > sum(map(len, self._parts.get((kind, place), ()))):
            self._parts[kind, place] = [text]

    def built(self) -> JsonObject:
        """The item; where its pieces have more than it, with those."""
        texts: dict[str, list[str]] = {}
        for (kind, _), pieces in self._parts.items():
            texts.setdefault(kind, []).append("".join(pieces))
        made = dict(self.item)
        for kind, parts in texts.items():
            field, name = _PLACES[kind][1], "refusal" if kind == "refusal" else "text"
            size, received = sum(map(len, parts)), made.get(field)
            if kind == "arguments":
                if not isinstance(received, dict) and size > len(as_text(received)):
                    made[field] = "".join(parts)
                continue
            old = [part for part in received if isinstance(part, dict)] if isinstance(received, list) else []
            its = sum(len(as_text(part.get(name))) for part in old if part.get("type") == kind)
            if not isinstance(received, str) and size > its:
                others = [part for part in old if part.get("type") != kind]
                made[field] = [*others, *({"type": kind, name: text} for text in parts)]
        return made

    def text(self) -> str:
        """The text of a message."""
        content = self.built().get("content")
        if isinstance(content, str):
            return content
        parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
        return "".join(as_text(part.get("text")) for part in parts)


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
        if any(old.is_done and old.item == item and old.index == made.index for old in self._items):
            return
        found = self._open(made.kind, made.id, made.index)
        if found is None:
            found = made
            self._items.append(made)
        found.item, found.is_done = item, True

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

    def text(self) -> str:
        """The text of the answer so far."""
        messages = [item for item in self._items if item.kind == "message" and is_answer(item.item)]
        return "".join(item.text() for item in messages)

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
