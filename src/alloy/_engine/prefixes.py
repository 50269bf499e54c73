"""A warning for a prompt cache that never helps: what is marked for it differs in every call.

Writing to a prompt cache can cost more than not caching, so it pays only if later calls begin in the same
way. A time in the system prompt, or tools in another order, prevents that, and no answer shows it.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import zip_longest
from typing import NamedTuple

from alloy.logger import log
from alloy.media import Media
from alloy.messages import Request, User

__all__ = ["CALLS", "notice_prefixes"]

CALLS = 5  # in a row that each have another prefix, before the warning
_REMEMBERED = 20  # prefixes of one mark, and
_MARKS = 512  # marks of all commands
_SHOWN = 2_000  # characters in which the first difference is looked for


class _Piece(NamedTuple):
    """A piece of a prefix: what it is called, a digest of it, and how its text begins."""

    name: str
    digest: bytes
    start: str


@dataclass(slots=True)
class _Mark:
    """What is known of one mark of one command."""

    last: tuple[_Piece, ...] = ()
    digests: OrderedDict[tuple[bytes, ...], None] = field(default_factory=OrderedDict)
    new_in_a_row: int = 0
    is_told: bool = False


_marks: OrderedDict[tuple[str, str], _Mark] = OrderedDict()
_lock = threading.Lock()


def notice_prefixes(command: str, request: Request) -> None:
    """Warn, once for each mark, when each of the last calls of *command* had another prefix before it."""
    if request.prompt_caching is False:
        return
    for mark, prefix in _prefixes(request):
        if prefix and (difference := _difference_of_all(command, mark, prefix)):
            log.warning(
                "%s: what is before %s was different in each of the last %d calls, so it is written to the "
                "prompt cache and never read: the difference is in %s. Move it behind what all calls have in "
                "common, or leave out the mark",
                command,
                mark,
                CALLS,
                difference,
            )


def _prefixes(request: Request) -> Iterator[tuple[str, tuple[_Piece, ...]]]:
    pieces: list[_Piece] = []
    if request.tools:
        shown = [(tool.name, tool.description, tool.parameters) for tool in request.tools]
        pieces.append(_piece("the tools", json.dumps(shown, default=repr)))
    if request.system is not None:
        pieces.append(_piece("the system prompt", request.system))
    if request.prompt_caching:
        yield "the prompt", tuple(pieces)
    points = parts = 0
    for message in request.messages:
        if not isinstance(message, User):
            pieces.append(_piece("an earlier answer", repr(message)))
            continue
        for count, part in enumerate(message.parts, 1):
            parts += 1
            pieces.append(_piece(f"part {parts} of the prompt", part))
            if count in message.cache_points:
                points += 1
                yield f"CachePoint {points}", tuple(pieces)


def _piece(name: str, content: str | Media) -> _Piece:
    if isinstance(content, str):
        data, start = content.encode("utf-8", "surrogatepass"), content[:_SHOWN]
    else:
        data, start = content.data or str(content.url).encode("utf-8", "surrogatepass"), ""
    return _Piece(name, blake2b(data, digest_size=16).digest(), start)


def _difference_of_all(command: str, name: str, prefix: tuple[_Piece, ...]) -> str | None:
    """Where *prefix* differs from the one before, when the last prefixes were all different."""
    digests = tuple(piece.digest for piece in prefix)
    with _lock:
        mark = _marks.setdefault((command, name), _Mark())
        _marks.move_to_end((command, name))
        if len(_marks) > _MARKS:
            _marks.popitem(last=False)
        mark.new_in_a_row = 0 if digests in mark.digests else mark.new_in_a_row + 1
        mark.digests[digests] = None
        if len(mark.digests) > _REMEMBERED:
            mark.digests.popitem(last=False)
        before, mark.last = mark.last, prefix
        if mark.is_told or mark.new_in_a_row < CALLS:
            return None
        mark.is_told = True
    return _difference(before, prefix)


def _difference(before: tuple[_Piece, ...], now: tuple[_Piece, ...]) -> str:
    for one, other in zip_longest(before, now):
        if one is None or other is None or one.name != other.name:
            return "how many parts there are"
        if one.digest != other.digest:
            pairs = enumerate(zip(one.start, other.start, strict=False), 1)
            place = next((at for at, (left, right) in pairs if left != right), None)
            return other.name if place is None else f"{other.name}, from character {place} on"
    raise AssertionError("the prefixes are equal")
