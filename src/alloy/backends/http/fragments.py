"""The arguments of a call from the pieces of a stream, which some servers repeat or begin again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise

from alloy.jsontypes import JsonObject

__all__ = ["joined", "object_in"]

MOST_RESTARTS = 30  # in the fragments of one call; with more, they are taken as they are


def joined(pieces: Sequence[str]) -> str:
    """The arguments, without what a server sent before a restart, or once more at the end."""
    pieces = [piece for piece in pieces if piece]
    text = "".join(pieces)
    if len(pieces) < 2 or object_in(text) is not None:
        return text
    return _last_whole(pieces) or text


def object_in(text: str) -> JsonObject | None:
    """The JSON object that *text* is, if it is one."""
    if not text.rstrip().endswith("}"):
        return None
    try:
        found = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _last_whole(pieces: Sequence[str]) -> str | None:
    """The last whole object that *pieces*, which are none together, begin and end with; `None` if none does.

    It is `{}` only when there is no other. A piece that is inside of another object cannot begin one.
    """
    if all(new.startswith(old) for old, new in pairwise(pieces)):
        return pieces[-1] if object_in(pieces[-1]) is not None else None  # each repeats those before
    empty = None
    for start, end in _ranges(pieces):
        text = "".join(pieces[start:end])
        if (found := object_in(text)) is not None:
            if found:
                return text
            empty = text
    return empty


def _ranges(pieces: Sequence[str]) -> Iterator[tuple[int, int]]:
    """From where to where an object may reach: the last ones first, and the longest of them first."""
    starts = [
        place
        for place, piece in enumerate(pieces)
        if piece.lstrip().startswith("{")
        and not (place and pieces[place - 1].rstrip().endswith((":", ",", "[")))
    ]
    if len(starts) > MOST_RESTARTS:
        return
    for end in reversed([*starts[1:], len(pieces)]):
        yield from ((start, end) for start in starts if start < end)
