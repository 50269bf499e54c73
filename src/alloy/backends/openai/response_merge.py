"""Two descriptions of the same output items, as the events of a response and its terminal event have them.

Compatible servers leave out items, texts and arguments in one of the two, or give the items other ids there.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from alloy.backends.http.bodies import as_text
from alloy.backends.http.fragments import object_in
from alloy.jsontypes import JsonObject

__all__ = ["arguments_of", "fuller", "is_repeated", "merged", "text_of"]

_Rule = tuple[str, Callable[[JsonObject, JsonObject], bool]]  # a field that is the same, and more


def merged(built: Sequence[JsonObject], final: Sequence[JsonObject]) -> list[JsonObject]:
    """The items that the events *built*, with what the *final* ones have more; each item is there once.

    The items stay in the order in which they were streamed. A final item that was not streamed comes before
    the item that follows it there, or at the end.
    """
    if not built or not final:
        return [*(built or final)]
    pairs: dict[int, int] = {}  # the place of a final item, and of the same one among those built
    covered = _pair_messages(_of("message", built), _of("message", final), pairs)
    _pair(_of("function_call", built), _of("function_call", final), _SAME_CALLS, pairs)
    for kind in {as_text(item.get("type")) for item in final} - {"message", "function_call"}:
        _pair(_of(kind, built), _of(kind, final), (("id", _same_id), ("", lambda old, new: True)), pairs)
    before: dict[int, list[JsonObject]] = {}
    waiting: list[JsonObject] = []
    for place, item in enumerate(final):
        if (at := pairs.get(place)) is not None:
            before[at], waiting = waiting, []
        elif (False, place) not in covered:
            waiting.append(item)
    found = {at: place for place, at in pairs.items()}
    items: list[JsonObject] = []
    for at, old in enumerate(built):
        items += before.get(at, ())
        if at in found:
            new = final[found[at]]
            items.append({**old, **new} if (True, at) in covered else fuller(old, new))
        elif (True, at) not in covered:
            items.append(old)
    return items + waiting


def fuller(old: JsonObject, new: JsonObject) -> JsonObject:
    """An item as *new* has it, with what only *old* has: more arguments, more text, a name, an id."""
    item = {**old, **{key: value for key, value in new.items() if value or key not in old}}
    if "arguments" in item:
        item["arguments"] = _fuller_arguments(arguments_of(old), arguments_of(new))
    for field in ("content", "summary"):
        if old.get(field) and new.get(field):
            item[field] = _fuller_parts(old[field], new[field])
    return item


def is_repeated(old: JsonObject, new: JsonObject) -> bool:
    """Whether *new*, at the place of *old*, is the same item once more, perhaps with less."""
    ids = _same_id(old, new) and not _other_id(old, new, "call_id")
    return ids and old.get("type") == new.get("type") and _agree(old, new) and _continued(old, new)


def arguments_of(item: JsonObject) -> str:
    """The arguments of a call as text, as they have to be when they go back."""
    arguments = item.get("arguments")
    if isinstance(arguments, dict):
        return json.dumps(arguments, ensure_ascii=False)
    return as_text(arguments)


def text_of(content: Any, *kinds: str) -> str:
    """The text in the *content* of an item; of *kinds*, if there are any."""
    if isinstance(content, str):
        return content
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return "".join(
        as_text(part.get("refusal" if part.get("type") == "refusal" else "text"))
        for part in parts
        if not kinds or part.get("type") in kinds
    )


def _fuller_arguments(old: str, new: str) -> str:
    for text in (new, old):
        if object_in(text):
            return text
    return new if len(new) >= len(old) else old


def _fuller_parts(old: Any, new: Any) -> Any:
    """The parts *new*, but those *old* of a kind whose text does not go on in *new*: it has been shown."""
    if not (isinstance(old, list) and isinstance(new, list)):
        return new if text_of(new).startswith(text_of(old)) else old
    kinds = {as_text(part.get("type")) for part in old if isinstance(part, dict)}
    kept = {kind for kind in kinds if not text_of(new, kind).startswith(text_of(old, kind))}
    if not kept:
        return new
    others = [part for part in new if isinstance(part, dict) and part.get("type") not in kept]
    return [*others, *(part for part in old if isinstance(part, dict) and part.get("type") in kept)]


# --- which items are the same ---------------------------------------------------------------------------

_Placed = list[tuple[int, JsonObject]]


def _of(kind: str, items: Sequence[JsonObject]) -> _Placed:
    return [(place, item) for place, item in enumerate(items) if as_text(item.get("type")) == kind]


def _pair(old: _Placed, new: _Placed, rules: Iterable[_Rule], pairs: dict[int, int]) -> None:
    """Add the *pairs* of *new* and *old* items by the first rule that holds, each item once.

    There may be thousands of items. So a rule compares only those that have the same value of its field, and
    what has its pair is taken out: of a dict that keeps its order, and whose first key is found at once.
    """
    free = OrderedDict(old)
    for field, same in rules:
        groups: dict[str, OrderedDict[int, JsonObject]] = {}
        for at, other in free.items():
            groups.setdefault(_value(other, field), OrderedDict())[at] = other
        for place, item in new:
            if place in pairs or (group := groups.get(_value(item, field))) is None:
                continue
            found = next((at for at, other in group.items() if same(other, item)), None)
            if found is not None:
                pairs[place] = found
                del group[found], free[found]


def _value(item: JsonObject, field: str) -> str:
    return repr(item.get(field)) if field else ""


def _pair_messages(old: _Placed, new: _Placed, pairs: dict[int, int]) -> set[tuple[bool, int]]:
    """Add the *pairs* of messages, and return the places that the text of the other side covers.

    `True` is for a built message, `False` for a final one. When all the text of one side begins with that of
    the other, it counts, however it is divided into messages.
    """
    before, after = ("".join(text_of(item.get("content")) for _, item in side) for side in (old, new))
    if after.startswith(before):
        pairs.update((place, at) for (place, _), (at, _) in zip(new, old, strict=False))
        return {(True, at) for at, _ in old}
    if before.startswith(after):
        return {(False, place) for place, _ in new}
    _pair(old, new, _SAME_MESSAGES, pairs)
    return set()


def _same_id(old: JsonObject, new: JsonObject) -> bool:
    return bool(old.get("id")) and old.get("id") == new.get("id")


def _other_id(old: JsonObject, new: JsonObject, key: str = "id") -> bool:
    return bool(old.get(key) and new.get(key)) and old[key] != new[key]


def _continued(old: JsonObject, new: JsonObject) -> bool:
    first, second = text_of(old.get("content")), text_of(new.get("content"))
    return first.startswith(second) or second.startswith(first)


_SAME_MESSAGES: tuple[_Rule, ...] = (
    ("id", lambda old, new: _same_id(old, new) and _continued(old, new)),
    ("id", _same_id),
    ("", lambda old, new: not _other_id(old, new)),
)


def _agree(old: JsonObject, new: JsonObject) -> bool:
    """Whether the arguments of two calls may be the same ones: one of them may be incomplete."""
    first, second = object_in(arguments_of(old)), object_in(arguments_of(new))
    return not first or not second or first == second


def _same_call_id(old: JsonObject, new: JsonObject) -> bool:
    return bool(old.get("call_id")) and old.get("call_id") == new.get("call_id")


def _alike(old: JsonObject, new: JsonObject) -> bool:
    """Whether two calls with other ids, or without, are the same: nothing may run twice."""
    first, second = arguments_of(old), arguments_of(new)
    if old.get("name") != new.get("name"):
        return False
    if _other_id(old, new, "call_id"):
        return not first or not second or object_in(first) == object_in(second) is not None
    return _agree(old, new)


_SAME_CALLS: tuple[_Rule, ...] = (
    ("call_id", lambda old, new: _same_call_id(old, new) and _agree(old, new)),
    ("call_id", lambda old, new: _same_call_id(old, new) and not _other_id(old, new)),
    ("name", _alike),
)
