r"""JSON that ends before it is complete: what is there, and which parts of it are unfinished.

An unfinished object, array, string or number is an instance of a class of its own here, which is a subclass
of the plain type. All other parts are complete.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from alloy._typed.json.repair import CutOff, Reader
from alloy._typed.json.text import Digits, Unreadable, decode, read_number
from alloy.jsontypes import Json, JsonObject

__all__ = [
    "NOTHING",
    "OpenArray",
    "OpenContainers",
    "OpenNumber",
    "OpenObject",
    "OpenText",
    "is_open",
    "like",
    "plain",
    "read_open",
    "without_marks",
]

NOTHING: Any = object()


class OpenObject(dict[str, Any]):
    """The members of an object that have arrived; the last value may be unfinished itself."""


class OpenArray(list[Any]):
    """The elements of an array that have arrived; the last one may be unfinished itself."""


class OpenText(str):
    """The beginning of a string."""

    __slots__ = ()


class OpenNumber(Digits):
    """A number that may have more digits."""

    __slots__ = ()


_OPEN = frozenset((OpenObject, OpenArray, OpenText, OpenNumber))


def is_open(value: Json) -> bool:
    """Whether *value* is unfinished."""
    return type(value) in _OPEN


def plain(value: Json) -> Json:
    """*value* in the plain types of JSON; an unfinished string or number is as it is so far."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, OpenNumber):
        value = read_number(value.text)
    return float(value) if isinstance(value, Digits) else str(value) if isinstance(value, OpenText) else value


def read_open(text: str, start: int = 0) -> Json:
    """The value that begins at *start* of *text*, up to where the text ends or is broken; or `NOTHING`.

    Its notation is that of `alloy._typed.json.repair`.
    """
    reader = _OpenReader(text, {})
    try:
        return reader.read(start)[0]
    except CutOff:
        return reader.so_far(reader.last())
    except Unreadable:
        return reader.so_far(NOTHING)


_MARK = re.compile(
    r'[{}\[\]]|(?P<string>"[^"\\]*+(?:\\.[^"\\]*+)*+(?P<closing>"?))(?P<key>\s*+(?P<end>:|\Z)|)', re.DOTALL
)


class OpenContainers:
    """The containers that are open at the end of a text that grows; each part of it is read once.

    *repeats_a_key*: whether an object in the text has a key twice.
    """

    def __init__(self) -> None:
        self._keys: list[set[str]] = []  # those of each container
        self._at = 0
        self.repeats_a_key = False

    def read(self, text: str) -> None:
        """Read what is new in *text*."""
        for token in _MARK.finditer(text, self._at):
            if token["string"] is None:
                self._bracket(token[0])
            elif not token["closing"] or token.end() == len(text):  # it may go on, or may be a key
                break
            elif token["end"] and self._keys:
                self._key(token["string"])
            self._at = token.end()

    def _bracket(self, mark: str) -> None:
        if mark in "{[":
            self._keys.append(set())
        elif self._keys:
            self._keys.pop()

    def _key(self, written: str) -> None:
        key = written[1:-1]
        if "\\" in written:
            with suppress(Unreadable):
                key = decode(written)
        self.repeats_a_key |= key in self._keys[-1]
        self._keys[-1].add(key)

    def marked(self, value: Json) -> Json:
        """*value*, which is what the text has of its value, with marks of what is unfinished.

        A string at the end counts as unfinished, because it may be.
        """
        return _marked(value, len(self._keys))


def _marked(value: Json, count: int) -> Json:
    made: Any
    if isinstance(value, str):
        return OpenText(value)
    if not count or not isinstance(value, dict | list):
        return value
    if isinstance(value, dict):
        made, last = OpenObject(value), next(reversed(value), None)
    else:
        made, last = OpenArray(value), len(value) - 1
    if value:
        made[last] = _marked(made[last], count - 1)
    return made


def without_marks(value: Json) -> Json:
    """*value* without the marks of `OpenContainers`."""
    if isinstance(value, OpenObject):
        return {key: without_marks(item) for key, item in value.items()}
    if isinstance(value, OpenArray):
        return [without_marks(item) for item in value]
    return str(value) if isinstance(value, OpenText) else value


# A string up to its last complete escape.
_COMPLETE = re.compile(r"[^\\]*+(?:\\(?:u[0-9a-fA-F]{4}|[^u])[^\\]*+)*+", re.DOTALL)


_HALF = re.compile(r"[\ud800-\udfff]")


class _OpenReader(Reader):
    """A reader that can give what it has read when the text ends."""

    _string_at: int | None = None
    _digits: str | None = None

    def so_far(self, last: Json) -> Json:
        """The value, with *last*, which is unfinished, where the text ends."""
        for frame in reversed(self.stack):
            made: OpenObject | OpenArray
            if isinstance(frame.value, dict):
                made = OpenObject(frame.value)
                if last is not NOTHING and frame.key is not None:
                    made.setdefault(frame.key, last)
            else:
                made = OpenArray(frame.value)
                if last is not NOTHING:
                    made.append(last)
            last = made
        return last

    def last(self) -> Json:
        """The unfinished string or number at the end, or `NOTHING`."""
        if self._digits is not None:
            return OpenNumber(self._digits)
        if self._string_at is None:
            return NOTHING
        start = self._string_at + 1
        written = _COMPLETE.match(self.text, start)
        assert written is not None
        try:
            found = self._unescaped(written.group(), start)
        except Unreadable:
            return NOTHING
        begun = "\ud800" <= found[-1:] <= "\udbff"  # the other half may follow
        return OpenText(_whole(found[:-1] if begun else found))

    def _number(self, found: re.Match[str]) -> Json:
        if found.end() < len(self.text):
            return super()._number(found)
        read_number(found.group())
        self._digits = found.group()
        raise CutOff(found.end())

    def _string(self) -> str:
        self._string_at = self.at
        found = super()._string()
        self._string_at = None
        return _whole(found)


def _whole(text: str) -> str:
    return _HALF.sub("\ufffd", text)


def like(value: Json) -> JsonObject:
    """An empty object, unfinished if *value* is."""
    return OpenObject() if is_open(value) else {}
