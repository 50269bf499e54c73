"""Text that servers cut inside a character: JSON writes an emoji as two escapes, and they may be split."""

from __future__ import annotations

from dataclasses import replace

from alloy.messages import Delta, Reply, TextDelta

__all__ = ["StreamedText", "with_whole_characters"]


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
    """*reply* with a text that every encoder takes."""
    return reply if _encodes(reply.text) else replace(reply, text=_joined(reply.text))


class StreamedText:
    """The text that a stream's reader has received: whole characters only.

    The first half of a surrogate pair is kept until the second is there.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._half = ""

    @property
    def value(self) -> str:
        """All text so far."""
        return "".join(self._pieces)

    def add(self, delta: Delta) -> Delta:
        """*delta* as the reader gets it."""
        if not isinstance(delta, TextDelta):
            return delta
        if self._half or not _encodes(delta.text):
            delta = TextDelta(self._repaired(delta.text))
        self._pieces.append(delta.text)
        return delta

    def _repaired(self, piece: str) -> str:
        text, self._half = self._half + piece, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return _joined(text)
