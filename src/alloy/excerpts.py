"""How text that others wrote is shown in errors and log lines: its beginning, without control characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["DEEPEST", "beginning", "excerpt", "printable", "shown_value"]

# Control characters, lone surrogates, line separators, and invisible characters that reorder or hide text
# (https://trojansource.codes). Not the joiners U+200C and U+200D, which Persian and emoji are written with.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_UNSAFE_IN_LINES = re.compile(f"(?![\n\t]){_UNSAFE.pattern}")

DEEPEST = 30  # levels of a value that are shown
NUMBER_MAX = 80  # characters of a number
LONGEST_INT = 10_000  # bits; Python refuses to write much longer numbers


def printable(text: str, *, lines: bool = False) -> str:
    r"""*text* with control characters as escapes such as `\x1b`; *lines* keeps line breaks and tabs."""
    pattern = _UNSAFE_IN_LINES if lines else _UNSAFE
    return pattern.sub(lambda found: repr(found[0])[1:-1], text) if pattern.search(text) else text


def beginning(text: str, limit: int) -> str:
    """*text*, or its first *limit* characters and an ellipsis."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def shown_value(value: object) -> str:
    """The repr of *value*, which its error shows; of a number the beginning."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of thousands of digits, or a list of them
        return f"a value of type {type(value).__name__}"
    return beginning(text, NUMBER_MAX) if isinstance(value, int | float) else text


def excerpt(value: object, limit: int) -> str:
    """The beginning of the repr of *value*, which is JSON. Only what is shown of it is read.

    The ellipsis follows directly on the cut: there redaction also finds the beginning of a key.
    """
    if isinstance(value, str):
        return repr(beginning(value, limit))
    pieces: list[str] = []
    left = limit
    for piece in _pieces(value, limit, 0):
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            break
    return beginning("".join(pieces), limit)


def _pieces(value: object, limit: int, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield repr(value[: limit + 1])
    elif depth > DEEPEST or (isinstance(value, int) and value.bit_length() > LONGEST_INT):
        yield "…"
    elif isinstance(value, dict):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield f"{', ' if number else ''}{beginning(repr(key[: limit + 1]), limit)}: "
            yield from _pieces(item, limit, depth + 1)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for number, item in enumerate(value):
            yield ", " if number else ""
            yield from _pieces(item, limit, depth + 1)
        yield "]"
    else:
        yield repr(value)
