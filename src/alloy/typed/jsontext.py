"""JSON as text: decoding and encoding without losing a digit, and finding one value among noise."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii
from typing import Any, NoReturn

__all__ = ["NO_JSON", "Digits", "Unreadable", "decode", "encode", "only_value", "without_fence"]


NO_JSON = "$: there is no JSON in the answer"


class Unreadable(ValueError):
    """Text or a value that does not read as the type. *problems*: one line each, with its path."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Digits(float):
    """A number that remembers how it was written, so that a `Decimal` gets every digit."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Digits:
        """The number that *text* is. Raises `Unreadable` when no float is that large."""
        number = super().__new__(cls, text)
        if math.isinf(number):
            raise Unreadable(f"$: the number {text[:40]} is too large")
        number.text = text
        return number


def _integer(text: str) -> int:
    # Beyond this a float is infinite, and beyond 4300 digits Python itself refuses.
    if len(text) > 309:
        raise Unreadable(f"$: the number {text[:40]}… is too large")
    return int(text)


def _constant(name: str) -> NoReturn:
    raise Unreadable(f"$: {name} is not JSON")


_decoder = json.JSONDecoder(parse_float=Digits, parse_int=_integer, parse_constant=_constant)


def decode(text: str) -> Any:
    """The JSON value that *text* is. Floats come as `Digits`. Raises `Unreadable`."""
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise Unreadable(_json_problem(error, text)) from None
    except RecursionError:
        raise Unreadable("$: nested too deeply") from None


def _json_problem(error: json.JSONDecodeError, text: str) -> str:
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return "$: the JSON ends too early: it is cut off"
    return f"$: not JSON: {error.msg} at line {error.lineno} column {error.colno}"


def encode(value: Any) -> str:
    """*value*, as `decode` made it, as compact JSON text. Raises `RecursionError` when it is too deep."""
    pieces: list[str] = []
    _write(value, pieces.append)
    return "".join(pieces)


def _write(value: Any, put: Any) -> None:
    if isinstance(value, str):
        put(encode_basestring_ascii(value))
    elif value is None or value is True or value is False:
        put("null" if value is None else "true" if value else "false")
    elif isinstance(value, Digits):
        put(value.text)
    elif isinstance(value, dict):
        mark = "{"
        for key, item in value.items():
            put(f"{mark}{encode_basestring_ascii(key)}:")
            _write(item, put)
            mark = ","
        put("}" if value else "{}")
    elif isinstance(value, list):
        mark = "["
        for item in value:
            put(mark)
            _write(item, put)
            mark = ","
        put("]" if value else "[]")
    else:
        put(repr(value))


# --- one value among noise ------------------------------------------------------------------------

# An opening that JSON could have written, or any other bracket. A bracket that opens something else
# (prose, Python, LaTeX) counts, for a value inside of it is a part and not the answer.
_OBJECTS = re.compile(r'\{\s*["}]|\[\s*[\[{]|[{}\[\]]')
_ARRAYS = re.compile(r'\{\s*["}]|\[\s*(?:[\[{"\]\d-]|true|false|null)|[{}\[\]]')
_BOM = "\ufeff"
_FENCE = "```"


def without_fence(text: str) -> str:
    """*text* without byte-order mark, outer blanks, and the one code fence that may enclose all of it."""
    text = text.removeprefix(_BOM).strip()
    label, _, body = text.partition("\n")
    if not label.startswith(_FENCE) or not body.endswith(_FENCE):
        return text
    body = body.removesuffix(_FENCE)
    return text if _FENCE in body else body.strip()


def only_value(text: str, *, arrays: bool) -> Any:
    """The one JSON object in *text*, or with *arrays* the one object or array; prose may be around it.

    Raises `Unreadable` when there is none, when one is broken or cut off, and when there are two
    that differ. Linear in the length of *text*: nothing is tried twice.
    """
    found = list(_distinct(_values(text, _ARRAYS if arrays else _OBJECTS)))
    if not found:
        raise Unreadable(NO_JSON)
    if len(found) > 1:
        raise Unreadable("$: the answer holds two different JSON values: give exactly one")
    return found[0]


def _distinct(values: Iterator[Any]) -> Iterator[Any]:
    first: str | None = None
    for value in values:
        written = encode(value)
        if first is None:
            first = written
            yield value
        elif written != first:
            yield value
            return


def _values(text: str, brackets: re.Pattern[str]) -> Iterator[Any]:
    depth = position = 0
    while (bracket := brackets.search(text, position)) is not None:
        mark = bracket.group()
        if mark in ("}", "]"):
            depth = max(0, depth - 1)
        elif len(mark) == 1:
            depth += 1
        else:
            value, position = _value_at(text, bracket.start())
            if depth:
                raise Unreadable("$: the JSON in the answer is a part of something that is not JSON")
            yield value
            continue
        position = bracket.start() + 1


def _value_at(text: str, start: int) -> tuple[Any, int]:
    try:
        return _decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise Unreadable(_json_problem(error, text)) from None
