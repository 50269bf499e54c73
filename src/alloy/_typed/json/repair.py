r"""Reads JSON in a slightly different notation. One linear pass, no recursion.

Repaired are comments (`//`, `#`, `/* */`), trailing commas, keys without quotes, strings in single or
typographic quotes, raw line breaks inside strings, and Python's `True`, `False`, `None` and tuples.
Everything else is an error: a missing comma or quote, text that ends too early, `[1,,2]`, `1,000`, `007`,
`NaN`, `…`. The text between the quotes of a string is not changed; an escape that JSON does not have is an
error, except for `\'`.

The libraries for this repair too much or too little. Tried: json-repair 0.64 completes text that is cut
off, reads `007` as 7 and `1,000` as a string, and uses the last value of a repeated key; json5 0.17 and
hjson 3.1 accept NaN or the last duplicate, and support neither typographic quotes nor `True`; all three
convert numbers to floats, and json5 needs 3 seconds for 140 KB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from json import JSONDecodeError
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import NoReturn

from alloy._typed.json.text import (
    CUT_OFF,
    MAX_DEPTH,
    TOO_DEEP,
    Unreadable,
    encode,
    path_step,
    read_number,
    repeated_key,
)
from alloy.jsontypes import Json, JsonObject

__all__ = ["CLOSING_QUOTES", "Broken", "CutOff", "Reader", "Repairs", "read_at"]

Repairs = dict[str, None]  # the kinds of repairs, in order, each once


class Broken(Unreadable):
    """The text of a value has an error. *at* is the position."""

    def __init__(self, problem: str, at: int) -> None:
        super().__init__(problem)
        self.at = at

    def placed(self, text: str) -> Unreadable:
        """The same problem with its line and column, which take time to count."""
        column = self.at - text.rfind("\n", 0, self.at)
        return Unreadable(f"{self.problems[0]} at line {text.count(chr(10), 0, self.at) + 1} column {column}")


class CutOff(Broken):
    """The text ends before the value does."""

    def __init__(self, at: int) -> None:
        super().__init__(CUT_OFF, at)

    def placed(self, text: str) -> Unreadable:
        """The same: the end needs no line and column."""
        return self


# The quotes that may close a string, by the quote that opens it. A German “ closes a string and an English
# one opens it. Accepting both misreads nothing: after a wrong end there is no comma, colon or bracket, so
# it is an error.
CLOSING_QUOTES = {
    '"': '"',
    "'": "'",
    "“": "“”",
    "”": "”",
    "„": "“”",
    "‟": "”",
    "\u2018": "\u2019",
    "\u2019": "\u2019",
    "\u201a": "\u2018\u2019",
}
_BODY = {
    quote: re.compile(rf"[^\\{ends}]*+(?:\\.[^\\{ends}]*+)*+", re.DOTALL)
    for quote, ends in CLOSING_QUOTES.items()
}
_CLOSERS = {"{": "}", "[": "]", "(": ")"}
_SPACE = re.compile(r"[\s\ufeff]*")
_COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*[^*]*+\*++(?:[^/*][^*]*+\*++)*+/")
_KEY = re.compile(r"[^\W\d][\w$-]*|\$[\w$]*")
_WORD = re.compile(r"-?[^\W\d]\w*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.+])", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f]")
_REQUOTED = re.compile(r'\\.|"', re.DOTALL)
_ESCAPES = {"\\'": "'", '"': '\\"'}
_LITERALS = {"true": True, "false": False, "null": None}
_PYTHON = {"True": True, "False": False, "None": None}


@dataclass(slots=True)
class _Open:
    """A container that is not closed yet."""

    closer: str
    value: JsonObject | list[Json]
    key: str | None = None
    commas: int = 0

    def path(self) -> str:
        """The step of a path to the value that is read now."""
        if isinstance(self.value, list):
            return f"[{len(self.value)}]"
        return "" if self.key is None else path_step(self.key)


def read_at(text: str, start: int, repairs: Repairs) -> tuple[Json, int]:
    """The value that begins at *start* of *text*, and where it ends. The repairs are added to *repairs*.

    Numbers are as from `alloy._typed.json.text.decode`. Raises `CutOff` when the text ends too early, and
    `Broken`, with the path of the problem, for every other error.
    """
    return Reader(text, repairs).read(start)


class Reader:
    """Reads one value of *text*, from left to right.

    `at` is the position, and `stack` has the containers that are open, the innermost last. `read` repeats:
    skip spaces and comments, then either open a container (`_enter`) or read a scalar. A finished value is
    put into the innermost container (`_put`); `_next` goes to that container's next value, and if there is
    none, the container itself is finished and is put into the one around it. The value is complete when
    the stack is empty. So nesting needs no recursion, and each character is looked at once.
    """

    def __init__(self, text: str, repairs: Repairs) -> None:
        self.text, self.repairs = text, repairs
        self.at = 0
        self.stack: list[_Open] = []

    def read(self, start: int) -> tuple[Json, int]:
        self.at = start
        while True:
            self._skip()
            if self._peek() in _CLOSERS:
                self._enter()
                if not self._next(first=True):
                    continue
                value: Json = self._leave()
            else:
                value = self._scalar()
            while self.stack:
                self._put(value)
                if not self._next():
                    break
                value = self._leave()
            else:
                return value, self.at

    # --- containers -------------------------------------------------------------------------------

    def _enter(self) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise Broken(f"{self._path()[:80]}…: {TOO_DEEP}", self.at)
        opener = self._peek()
        self.stack.append(_Open(_CLOSERS[opener], {} if opener == "{" else []))
        self.at += 1

    def _next(self, *, first: bool = False) -> bool:
        """Go to the next value of the innermost container. True when the container ends instead."""
        top = self.stack[-1]
        self._skip()
        if not first and self._peek() != top.closer:
            if self._peek() != ",":
                self._fail(f"expected , or {top.closer}")
            top.commas += 1
            top.key = None
            self.at += 1
            self._skip()
            if self._peek() == top.closer and top.closer != ")":
                self._repaired("a trailing comma")
        if self._peek() == top.closer:
            self.at += 1
            return True
        if isinstance(top.value, dict):
            top.key = self._key()
            self._skip()
            if self._peek() != ":":
                self._fail("expected : after the key")
            self.at += 1
        return False

    def _leave(self) -> Json:
        top = self.stack.pop()
        if top.closer == ")":
            if len(top.value) == 1 and not top.commas:
                self._fail("a value in parentheses is not a tuple")
            self._repaired("Python notation")
        return top.value

    def _put(self, value: Json) -> None:
        top = self.stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
            return
        assert top.key is not None
        if top.key in top.value:
            if encode(top.value[top.key]) != encode(value):
                raise Broken(f"{self._path()}: {repeated_key(top.key)}", self.at)
            self._repaired("a key given twice")
        top.value[top.key] = value

    # --- keys and scalars -------------------------------------------------------------------------

    def _key(self) -> str:
        if self._peek() in CLOSING_QUOTES:
            return self._string()
        word = _KEY.match(self.text, self.at)
        if word is None:
            self._fail("expected a key")
        self.at = word.end()
        self._repaired("a key without quotes")
        return word.group()

    def _scalar(self) -> Json:
        if self._peek() in CLOSING_QUOTES:
            return self._string()
        found = _NUMBER.match(self.text, self.at)
        return self._literal() if found is None else self._number(found)

    def _number(self, found: re.Match[str]) -> Json:
        self.at = found.end()
        try:
            return read_number(found.group())
        except Unreadable as error:
            raise Broken(f"{self._path()}{error.problems[0][1:]}", self.at) from None

    def _literal(self) -> Json:
        word = _WORD.match(self.text, self.at)
        if word is None:
            self._fail("expected a value")
        name = word.group()
        if word.end() == len(self.text):  # a word at the end of the text may be cut off
            self.at = word.end()
        if not (name in _LITERALS or name in _PYTHON or name.lower() in ("true", "false")):
            self._fail(f"{name[:40]} is not JSON")
        self.at = word.end()
        if name in _LITERALS:
            return _LITERALS[name]
        self._repaired("Python notation")
        return _PYTHON[name.capitalize()]

    def _string(self) -> str:
        quote, start = self._peek(), self.at + 1
        body = _BODY[quote].match(self.text, start)
        end = body.end() if body is not None else start
        if self.text[end : end + 1] not in CLOSING_QUOTES[quote] or end >= len(self.text):
            self.at = len(self.text)
            self._fail("the string does not end")
        written = self.text[start:end]
        if quote != '"':
            self._repaired("single quotes" if quote == "'" else "typographic quotes")
        if _CONTROL.search(written):
            self._repaired("a raw line break in a string")
        self.at = end + 1
        return self._unescaped(written, start) if "\\" in written else written

    def _unescaped(self, written: str, start: int) -> str:
        # `\'` can only mean a single quote, between any quotes. All other escapes are those of JSON.
        body = _REQUOTED.sub(lambda found: _ESCAPES.get(found[0], found[0]), written)
        if self.text[start - 1] == '"' and "\\'" in written:
            self._repaired("an escaped single quote")
        try:
            return scanstring(body + '"', 0, False)[0]  # type: ignore[no-any-return]
        except JSONDecodeError as error:
            self.at = start
            raise Broken(f"{self._path()}: {error.msg.lower()} in the string", start) from None

    # --- position and errors ----------------------------------------------------------------------

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _skip(self) -> None:
        while True:
            self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self._peek() not in ("/", "#"):
                return
            comment = _COMMENT.match(self.text, self.at)
            if comment is None:
                if self.text.startswith("/*", self.at):
                    self.at = len(self.text)
                return
            self.at = comment.end()
            self._repaired("a comment")

    def _repaired(self, kind: str) -> None:
        self.repairs[kind] = None

    def _path(self) -> str:
        return "$" + "".join(frame.path() for frame in self.stack)

    def _fail(self, problem: str) -> NoReturn:
        if self.at >= len(self.text):
            raise CutOff(len(self.text))
        found = self.text[self.at : self.at + 20]
        raise Broken(f"{self._path()}: {problem}, got {found!r}", self.at)
