"""Strings that match a regular expression, built from the text of the expression.

The parts that schemas commonly use are parsed: characters, classes, groups, alternatives and repeats. The
parts that do not name characters (anchors, look-around, flags, back references) are ignored, so a string
is only used after `re` has found the pattern in it. That check makes the result correct; the parser only
has to be good enough to find a string.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

__all__ = ["finder", "matching"]

# In the order of preference: letters first.
ALPHABET = string.ascii_letters + "1234567890" + "-_.@ " + string.punctuation + "\t\n"

VARIANTS = 200  # the number of strings that are tried for a pattern

TOKEN = re.compile(
    r"""(?P<repeat>(?:[*+?]|\{\d+(?:,\d*)?\}|\{,\d+\})[?+]?)
      | (?P<aside>\(\?(?:[=!]|<[=!]))              # look-around
      | (?P<flags>\(\?[a-zA-Z-]+\))
      | (?P<open>\((?:\?(?:P?<\w+>|[a-zA-Z-]*:))?)
      | (?P<close>\))
      | (?P<either>\|)
      | (?P<edge>[$^]|\\[AZzbB1-9])
      | (?P<atom>\[\^?\]?(?:\\.|[^\]\\])*\]
               | \\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)
               | .)""",
    re.VERBOSE | re.DOTALL,
)


@lru_cache(maxsize=256)
def finder(pattern: str) -> re.Pattern[str]:
    """*pattern*, compiled. Raises `re.error` when `re` does not support it.

    Schemas have patterns in the syntax of Rust (pydantic) or ECMAScript, where two things differ.
    """
    return re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", pattern).replace(r"\z", r"\Z"))


def matching(pattern: str, least: int = 0, most: int | None = None) -> Iterator[str]:
    """Different strings of *least* to *most* characters that match *pattern*; maybe none.

    Raises `re.error` when `re` does not support *pattern*.
    """
    ceiling = float("inf") if most is None else most
    return _found(finder(pattern), _Parser(pattern).alternatives(), least, ceiling)


def _found(pattern: re.Pattern[str], node: _Node, least: int, most: float) -> Iterator[str]:
    seen: set[str] = set()
    for variant in range(VARIANTS):
        for more in range(least + 1):
            text = node.write(more, count(variant))
            if least <= len(text) <= most and text not in seen and pattern.search(text):
                seen.add(text)
                yield text
                break


# --- the parts of an expression: each writes a text for itself, with *more* repeats than necessary -----


@dataclass(frozen=True, slots=True)
class _Atom:
    choices: str

    def write(self, more: int, turn: Iterator[int]) -> str:
        return self.choices[next(turn) % len(self.choices)] if self.choices else ""


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Node, ...]

    def write(self, more: int, turn: Iterator[int]) -> str:
        return "".join(part.write(more, turn) for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Either:
    branches: tuple[_Node, ...]

    def write(self, more: int, turn: Iterator[int]) -> str:
        return self.branches[next(turn) % len(self.branches)].write(more, turn)


@dataclass(frozen=True, slots=True)
class _Repeat:
    """A part that is repeated *least* to *most* times."""

    part: _Node
    least: int
    most: float

    def write(self, more: int, turn: Iterator[int]) -> str:
        times = int(min(self.least + more, self.most))
        # When the number of repeats is at its limit, the first one is made longer instead.
        inner = more if times == self.most else 0
        return "".join(self.part.write(0 if nth else inner, turn) for nth in range(times))


_Node = _Atom | _Sequence | _Either | _Repeat

NOTHING = _Sequence(())


@lru_cache(maxsize=1024)
def _atom(source: str) -> _Atom:
    """The characters that *source* stands for, found by `re`; its own text may name further ones."""
    if len(source) == 1 and source != ".":
        return _Atom(source)
    alone = re.compile(source)
    return _Atom("".join(dict.fromkeys(char for char in ALPHABET + source if alone.fullmatch(char))))


class _Parser:
    """Parses an expression, from left to right."""

    def __init__(self, pattern: str) -> None:
        self._tokens = [(match.lastgroup, match.group()) for match in TOKEN.finditer(pattern)]
        self._tokens.reverse()

    def alternatives(self) -> _Node:
        """The alternatives up to the end of the group."""
        branches = [self._sequence()]
        while self._tokens and self._tokens.pop()[0] == "either":
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else _Either(tuple(branches))

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._tokens and self._tokens[-1][0] not in ("either", "close"):
            kind, source = self._tokens.pop()
            if kind == "repeat" and parts:
                parts[-1] = _Repeat(parts[-1], *_times(source))
            else:
                parts.append(self._part(kind, source))
        return _Sequence(tuple(parts))

    def _part(self, kind: str | None, source: str) -> _Node:
        match kind:
            case "open":
                return self.alternatives()
            case "aside":
                self.alternatives()
                return NOTHING
            case "atom":
                return _atom(source)
            case _:
                return NOTHING


def _times(source: str) -> tuple[int, float]:
    """The least and the most repeats of `*`, `+`, `?`, `{2}`, `{2,}`, `{,3}` or `{2,3}`."""
    unbounded = float("inf")
    if source[0] in "*+?":
        return {"*": (0, unbounded), "+": (1, unbounded), "?": (0, 1.0)}[source[0]]
    least, comma, most = source[1 : source.index("}")].partition(",")
    return int(least or 0), float(most) if most else unbounded if comma else float(least)
