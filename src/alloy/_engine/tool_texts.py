"""Long results of tools, cut for the model."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["cut_text"]

NEAR = 32  # characters within which a cut is moved to a better place
_JOINER = "\u200d"  # of emoji: https://unicode.org/reports/tr29/
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a surrogate pair
    r"|\\(?:u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|.)",
    re.DOTALL,
)
_LONGEST_ESCAPE = 12


def cut_text(text: str, limit: int | None) -> str:
    """*text* with at most *limit* of its characters: the first three quarters of them, and the last one.

    A marker between them says how much is missing. The end is kept because errors and logs say there what
    happened. No character that a reader sees as one is cut, and no escape of JSON.
    """
    if limit is None or len(text) <= limit:
        return text
    start = _boundary(text, limit - limit // 4, -1)
    end = _boundary(text, len(text) - limit // 4, 1)
    marker = f"[… {end - start:,} of {len(text):,} characters cut: tool_result_max_chars={limit:,}]"
    return "\n".join(filter(None, (text[:start], marker, text[end:])))


def _boundary(text: str, place: int, step: int) -> int:
    near = [place + step * steps for steps in range(NEAR)]
    inside = _inside_escapes(text, min(near), max(near))
    return next((each for each in near if each not in inside and not _is_inside(text, each)), place)


def _inside_escapes(text: str, first: int, last: int) -> set[int]:
    """The places from *first* to *last* where a cut would be inside of an escape of JSON."""
    begin = max(0, first - _LONGEST_ESCAPE)
    # From the start of a run of backslashes, or one that ends an escape would be taken for the start of one.
    while begin and text[begin - 1] == "\\":
        begin -= 1
    found = _ESCAPE.finditer(text, begin, last + _LONGEST_ESCAPE)
    return {place for each in found for place in range(max(first, each.start() + 1), each.end())}


def _is_inside(text: str, place: int) -> bool:
    """Whether a cut at *place* would be inside of a character that a reader sees as one."""
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    if _JOINER in (before, after) or before + after == "\r\n" or _extends(after):
        return True
    if not (_is_half_flag(before) and _is_half_flag(after)):
        return False
    halves = 1
    while halves < min(place, NEAR) and _is_half_flag(text[place - 1 - halves]):
        halves += 1
    return halves % 2 == 1


def _extends(character: str) -> bool:
    """Whether *character* belongs to the one before it: an accent, a colour of skin."""
    return unicodedata.category(character)[0] == "M" or "\U0001f3fb" <= character <= "\U0001f3ff"


def _is_half_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
