r"""JSON as text: decoding and encoding without losing a digit.

Where RFC 8259 leaves a choice, this is what holds here:

- A key that appears twice in one object is an error, unless both values are the same.
- NaN and the infinities are not JSON. A number that is too large for a 64-bit float (from 1e309) is an
  error, whatever its type; below that, an integer keeps every digit, and so does a `Decimal`.
- A lone surrogate (`\ud800` without its other half) is not a character: an error where it reaches a value,
  and U+FFFD in the arguments of a call.
- More than 200 levels of nesting are an error: that is pydantic's limit for JSON text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import NoReturn

from alloy.jsontypes import Json, JsonObject

__all__ = [
    "CUT_OFF",
    "MAX_DEPTH",
    "TOO_DEEP",
    "Digits",
    "Unreadable",
    "check_text",
    "decode",
    "decode_at",
    "encode",
    "is_json",
    "path_step",
    "read_number",
    "repeated_key",
    "repeats_a_key",
    "with_whole_escapes",
]

MAX_DEPTH = 200  # levels of nesting
CUT_OFF = "$: the JSON ends too early: it is cut off"
TOO_DEEP = "nested too deeply: at most 200 levels can be read"


class Unreadable(ValueError):
    """A text or a value does not have the type. *problems*: one line each, with its path."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Digits(float):
    """A number that keeps the text it was read from, so that a `Decimal` gets every digit."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Digits:
        """The number in *text*. Raises `Unreadable` when it is too large for a float."""
        number = super().__new__(cls, text)
        if math.isinf(number):
            raise Unreadable(f"$: the number {text[:40]} is too large")
        number.text = text
        return number


def _integer(text: str) -> int:
    # A longer number is infinite as a float, and above 4300 digits Python refuses to convert it.
    if len(text) > 309:
        raise Unreadable(f"$: the number {text[:40]}… is too large")
    return int(text)


def _constant(name: str) -> NoReturn:
    raise Unreadable(f"$: {name} is not JSON")


def _object(pairs: list[tuple[str, Json]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        first: JsonObject = {}
        for key, value in pairs:
            if key in first and encode(first[key]) != encode(value):
                raise Unreadable(f"$: {repeated_key(key)}")
            first.setdefault(key, value)
    return found


def repeated_key(key: str) -> str:
    """The problem of a *key* with two values."""
    return f"the key {encode(key)} appears twice, with different values"


_decoder = json.JSONDecoder(
    parse_float=Digits, parse_int=_integer, parse_constant=_constant, object_pairs_hook=_object
)


def decode(text: str) -> Json:
    """The JSON value of *text*, which is nothing else. Floats are `Digits`. Raises `Unreadable`."""
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise Unreadable(_json_problem(error, text)) from None
    except RecursionError:
        raise Unreadable(f"$: {TOO_DEEP}") from None


def decode_at(text: str, start: int) -> tuple[Json, int]:
    """The JSON value that begins at *start*, and where it ends. Raises `Unreadable`."""
    try:
        return _decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise Unreadable(_json_problem(error, text)) from None
    except RecursionError:
        raise Unreadable(f"$: {TOO_DEEP}") from None


def read_number(text: str) -> int | Digits:
    """The value of *text*, a number in JSON's notation. Raises `Unreadable` when it is too large."""
    return _integer(text) if text.lstrip("-").isdigit() else Digits(text)


def _json_problem(error: json.JSONDecodeError, text: str) -> str:
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return CUT_OFF
    return f"$: not JSON: {error.msg} at line {error.lineno} column {error.colno}"


def encode(value: Json) -> str:
    """*value*, as `decode` returns it, as compact JSON text. Raises `RecursionError` when it is too deep."""
    pieces: list[str] = []
    _write(value, pieces.append)
    return "".join(pieces)


def _write(value: Json, put: Callable[[str], object]) -> None:
    """Give the text of *value* to *put*, in pieces; a number from `decode` keeps the digits of its text."""
    if isinstance(value, str):
        put(encode_basestring_ascii(value))
    elif value is None or value is True or value is False:
        put("null" if value is None else "true" if value else "false")
    elif isinstance(value, Digits):
        put(value.text)
    elif isinstance(value, dict):
        before = "{"
        for key, item in value.items():
            put(f"{before}{encode_basestring_ascii(key)}:")
            _write(item, put)
            before = ","
        put("}" if value else "{}")
    elif isinstance(value, list):
        before = "["
        for item in value:
            put(before)
            _write(item, put)
            before = ","
        put("]" if value else "[]")
    else:
        put(repr(value))


# --- what pydantic's own JSON parser accepts without a report ----------------------------------------


class _Repeated(Exception):
    """A key appears twice."""


def _object_without_repeats(pairs: list[tuple[str, Json]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _Repeated


_repeats = json.JSONDecoder(parse_float=str, parse_int=str, object_pairs_hook=_object_without_repeats)


def repeats_a_key(text: str) -> bool:
    """Whether a key appears twice in an object of *text*. Pydantic would use the last value silently."""
    if text.count(":") < 2:
        return False
    try:
        _repeats.decode(text)
    except _Repeated:
        return True
    except (ValueError, RecursionError):  # it is not JSON, or the reader will refuse it
        return False
    return False


def is_json(text: str) -> bool:
    """Whether *text* is one JSON value without repeated keys. The value itself is not checked."""
    try:
        _repeats.decode(text)
    except (_Repeated, ValueError, RecursionError):
        return False
    return True


_SURROGATE = re.compile(r"[\ud800-\udfff]")
_PAIR = r"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rf"\\(?:{_PAIR}|(u[dD][89a-fA-F][0-9a-fA-F]{{2}})|.)", re.DOTALL)


def with_whole_escapes(text: str) -> str:
    """*text*, which is JSON, with U+FFFD for each escape of a surrogate without its other half."""
    if "\\ud" not in text and "\\uD" not in text:
        return text
    return _ESCAPE.sub(lambda escape: r"\ufffd" if escape[1] else escape[0], text)


def check_text(value: Json) -> None:
    """Raise `Unreadable` when *value*, as `decode` returns it, is too deep or has a lone surrogate."""
    todo: list[tuple[str, int, Json]] = [("$", 0, value)]
    while todo:
        path, depth, part = todo.pop()
        if isinstance(part, str):
            if _SURROGATE.search(part):
                raise Unreadable(f"{path}: a lone surrogate is not a character, got {encode(part)[:80]}")
        elif isinstance(part, dict | list):
            if depth >= MAX_DEPTH:
                raise Unreadable(f"{path[:80]}…: {TOO_DEEP}")
            todo += _inside(path, depth + 1, part)


def _inside(path: str, depth: int, part: JsonObject | list[Json]) -> list[tuple[str, int, Json]]:
    if isinstance(part, list):
        return [(f"{path}[{i}]", depth, item) for i, item in enumerate(part) if not _plain(item)]
    for key in part:
        if _SURROGATE.search(key):
            raise Unreadable(f"{path}: a lone surrogate is not a character, got the key {encode(key)[:80]}")
    return [(path + path_step(key), depth, item) for key, item in part.items() if not _plain(item)]


def _plain(item: Json) -> bool:
    return item is None or isinstance(item, int | float) or (isinstance(item, str) and item.isascii())


def path_step(key: str) -> str:
    """*key* as a step of a path: `.name`, or `["other name"]`."""
    return f".{key}" if key.isidentifier() else f"[{encode(key)}]"
