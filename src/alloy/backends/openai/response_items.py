"""The output items of a streamed response, built from its events."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Hashable, Iterator, Mapping
from itertools import chain
from typing import Any

from alloy.backends.http.bodies import as_text
from alloy.backends.http.fragments import joined
from alloy.backends.openai.response_merge import arguments_of, fuller, is_repeated, text_of
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
        self.nth = 0  # among all items
        self._parts: dict[tuple[str, Any], list[str]] = {}  # by kind and place

    def keys_while_open(self) -> Iterator[Hashable]:
        """Where an item that is not finished is looked for: by id and index, by one of them, and by kind."""
        at = _hashable(self.index)
        if self.id:
            yield from (("both", self.kind, self.id, at), ("id", self.kind, self.id))
        yield from (("index", self.kind, at), ("kind", self.kind))

    def keys_when_done(self) -> Iterator[Hashable]:
        """Where an item is kept that is done, for those that repeat it (`is_repeated`) or are equal."""
        item, at = self.item, _hashable(self.index)
        own, call = _hashable(item.get("id")), _hashable(item.get("call_id"))
        if own:
            yield from ((at, own, call or ""), (at, own))
        else:
            yield at, "", call, _hashable(item.get("name")), arguments_of(item)

    def keys_of_first(self) -> Iterator[Hashable]:
        """Where the done item is, if there is one, that this one repeats."""
        exact, *every = self.keys_when_done()
        call = self.item.get("call_id")
        if not every or call:
            yield exact
        if every:
            at, own = self.index, self.item["id"]
            yield (_hashable(at), _hashable(own), "") if call else every[0]

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

    There may be thousands of items, so each is found by a key: `_unfinished` has those that may still grow,
    by kind, by id and index, and `_done` the others, by what a repeated item has in common with the first.
    """

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._hidden: list[_Item] = []  # messages whose text is not shown as commentary
        self._unfinished: defaultdict[Hashable, OrderedDict[int, _Item]] = defaultdict(OrderedDict)
        self._done: defaultdict[Hashable, list[_Item]] = defaultdict(list)

    def __bool__(self) -> bool:
        return bool(self._items)

    def begin(self, event: Mapping[str, Any]) -> None:
        """Take in an item that was added."""
        item = event.get("item")
        if isinstance(item, dict):
            self._add(_Item(item, event))

    def finish(self, event: Mapping[str, Any]) -> None:
        """Take in an item that is done."""
        item = event["item"]
        made = _Item(item, event)
        again = chain.from_iterable(self._done.get(key, ()) for key in made.keys_of_first())
        found = next((old for old in again if old.item == item or is_repeated(old.item, item)), None)
        found = found or self._open(made.kind, made.id, made.index) or self._add(made)
        known = set(found.keys_when_done()) if found.is_done else set()
        for key in () if found.is_done else found.keys_while_open():
            del self._unfinished[key][found.nth]
        found.item, found.is_done = fuller(found.item, item), True
        for key in set(found.keys_when_done()) - known:
            self._done[key].append(found)

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
        found = [item for item in self._hidden if not is_answer(item.item)]
        if found:
            self._hidden = [item for item in self._hidden if is_answer(item.item)]
        return "".join(item.text() for item in found)

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
            found = self._add(_Item(made, event))
        return found

    def _add(self, item: _Item) -> _Item:
        item.nth = len(self._items)
        self._items.append(item)
        if item.kind == "message":
            self._hidden.append(item)
        for key in item.keys_while_open():
            self._unfinished[key][item.nth] = item
        return item

    def _open(self, kind: str, item_id: str, index: Any) -> _Item | None:
        """The unfinished item of *kind* that is meant."""
        at = _hashable(index)
        named = self._unfinished.get(("id", kind, item_id)) if item_id else None
        if named:
            return next(iter((self._unfinished.get(("both", kind, item_id, at)) or named).values()))
        if index is not None and (placed := self._unfinished.get(("index", kind, at))):
            return next(iter(placed.values()))
        unfinished = self._unfinished.get(("kind", kind))
        if not unfinished or (index is not None and item_id):
            return None
        return next(reversed(unfinished.values()))


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int | float | str | None) else repr(value)


def _place(event: Mapping[str, Any]) -> Any:
    place = event.get("content_index", event.get("summary_index"))
    return place if isinstance(place, int) else 0
