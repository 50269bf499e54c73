"""Text that servers cut inside a character: JSON writes an emoji as two escapes, and they may be split."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from alloy.messages import Delta, ReasoningDelta, Reply, TextDelta, ToolCall

__all__ = ["StreamedText", "with_whole_characters"]

DEEPEST = 150  # levels of a turn's own form; with those of the request around it, more cannot be sent


def _joined(text: str) -> str:
    """*text* with its surrogate pairs as the characters that they encode; half of one is U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _encodes(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def with_whole_characters(reply: Reply) -> Reply:
    """*reply* with texts, calls and an echo that every encoder takes.

    The echo's numbers that JSON has no form for become text, and what is nested too deeply "…": the model
    is told what is wrong with its call by the result.
    """
    if _is_plain(reply):
        return reply
    changes: dict[str, Any] = {}
    for name in ("text", "calls", "reasoning", "explanation"):
        if (found := _repaired(old := getattr(reply, name))) is not old:
            changes[name] = found
    if reply.echo is not None and (found := _repaired(reply.echo.data)) is not reply.echo.data:
        changes["echo"] = reply.echo._replace(data=found)
    return replace(reply, **changes) if changes else reply


def _is_plain(reply: Reply) -> bool:
    """Whether *reply* is known to need no repair: faster than to look at every text in it."""
    from pydantic_core import to_json

    try:
        content = to_json((reply.text, reply.calls, reply.reasoning, reply.explanation, reply.echo))
    except ValueError:  # half of a surrogate pair, too many levels, or what is not JSON
        return False
    few_levels = content.count(b"[") + content.count(b"{") <= DEEPEST  # each level has a bracket
    return few_levels and b"NaN" not in content and b"Infinity" not in content


def _repaired(value: Any, depth: int = 0) -> Any:
    """*value* with whole characters in its texts and keys; itself when there is nothing to repair."""
    if isinstance(value, str):
        return value if _encodes(value) else _joined(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth > DEEPEST:
        return "…" if isinstance(value, dict | list | tuple) else value
    match value:
        case dict():
            keys = [_repaired(key) for key in value]
            items = [_repaired(item, depth + 1) for item in value.values()]
            same = _same(keys, value) and _same(items, value.values())
            return value if same else dict(zip(keys, items, strict=True))
        case list() | tuple():
            items = [_repaired(item, depth + 1) for item in value]
            return value if _same(items, value) else type(value)(items)
        case ToolCall(call_id, name, arguments):
            parts = [_repaired(part) for part in (call_id, name, arguments)]
            return value if _same(parts, (call_id, name, arguments)) else ToolCall(*parts)
    return value


def _same(new: Any, old: Any) -> bool:
    return all(one is other for one, other in zip(new, old, strict=True))


class _Repairer:
    """Joins the pieces of one text: the first half of a surrogate pair is kept until the second is there."""

    def __init__(self) -> None:
        self._half = ""

    def add(self, piece: str) -> str:
        """*piece* in whole characters."""
        if not self._half and _encodes(piece):
            return piece
        text, self._half = self._half + piece, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return _joined(text)

    def rest(self) -> str:
        """What is left at the end."""
        half, self._half = self._half, ""
        return _joined(half)


class StreamedText:
    """The text and the reasoning that a stream's reader has received: whole characters only."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._text, self._reasoning = _Repairer(), _Repairer()

    @property
    def value(self) -> str:
        """All text so far."""
        return "".join(self._pieces)

    def add(self, delta: Delta) -> Delta:
        """*delta* as the reader gets it."""
        match delta:
            case TextDelta(text):
                whole = self._text.add(text)
                self._pieces.append(whole)
                return delta if whole is text else TextDelta(whole)
            case ReasoningDelta(text):
                whole = self._reasoning.add(text)
                return delta if whole is text else ReasoningDelta(whole)
        return delta

    def rest(self) -> Iterator[Delta]:
        """What is left of characters that the stream has not completed."""
        if text := self._text.rest():
            self._pieces.append(text)
            yield TextDelta(text)
        if reasoning := self._reasoning.rest():
            yield ReasoningDelta(reasoning)
