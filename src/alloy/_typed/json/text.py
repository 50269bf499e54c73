r"""JSON as text: decoding and encoding without losing a digit.

Where RFC 8259 leaves a choice, this is what holds here:

- A key that comes twice in one object is an error, unless it says the same both times.
- NaN and the infinities are no JSON. A number that no 64-bit float can hold (from 1e309) is an error,
  whatever its type; up to there an integer has every digit, and a `Decimal` too.
- A lone surrogate (`\ud800` without its other half) is no character: an error where it reaches a value.
- More than 200 levels of nesting is an error (pydantic's own limit for JSON text).
"""

from __future__ import annotations

import json
import math
import re
from json.encoder import encode_basestring_ascii
from typing import Any, NoReturn

__all__ = [
    "DEEPEST",
    "TOO_DEEP",
    "Digits",
    "Unreadable",
    "check_text",
    "conflict",
    "decode",
    "decode_at",
    "encode",
    "is_json",
    "number",
    "repeats_a_key",
    "step",
]

DEEPEST = 200  # levels of nesting
TOO_DEEP = "nested too deeply: at most 200 levels can be read"


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


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        first: dict[str, Any] = {}
        for key, value in pairs:
            if key in first and encode(first[key]) != encode(value):
                raise Unreadable(f"$: {conflict(key)}")
            first.setdefault(key, value)
    return made


def conflict(key: str) -> str:
    """The problem of a *key* that comes twice."""
    return f"the key {encode(key)} is there twice, with different values"


_decoder = json.JSONDecoder(
    parse_float=Digits, parse_int=_integer, parse_constant=_constant, object_pairs_hook=_object
)


def decode(text: str) -> Any:
    """The JSON value that *text* is. Floats come as `Digits`. Raises `Unreadable`."""
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise Unreadable(_json_problem(error, text)) from None
    except RecursionError:
        raise Unreadable(f"$: {TOO_DEEP}") from None


def decode_at(text: str, start: int) -> tuple[Any, int]:
    """The JSON value that begins at *start*, and where it ends. Raises `Unreadable`."""
    try:
        return _decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise Unreadable(_json_problem(error, text)) from None
    except RecursionError:
        raise Unreadable(f"$: {TOO_DEEP}") from None


def number(text: str) -> Any:
    """The number that *text*, which has JSON's form of one, is. Raises `Unreadable`."""
    return _integer(text) if text.lstrip("-").isdigit() else Digits(text)


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


# --- what pydantic's own reader of JSON does not tell -----------------------------------------------


class _Repeated(Exception):
    """A key comes twice."""


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _Repeated


_repeats = json.JSONDecoder(parse_float=str, parse_int=str, object_pairs_hook=_object_without_repeats)


def repeats_a_key(text: str) -> bool:
    """Whether a key comes twice in an object of *text*, of which pydantic would take the last in silence."""
    if text.count(":") < 2:
        return False
    try:
        _repeats.decode(text)
    except _Repeated:
        return True
    except (ValueError, RecursionError):  # no JSON, or none that will be read
        return False
    return False


def is_json(text: str) -> bool:
    """Whether *text* is one JSON value, with no key twice. Tells nothing of what it holds."""
    try:
        _repeats.decode(text)
    except (_Repeated, ValueError, RecursionError):
        return False
    return True


_SURROGATE = re.compile(r"[\ud800-\udfff]")


def check_text(value: Any) -> None:
    """Raise `Unreadable` when *value*, as `decode` made it, is too deep or holds a lone surrogate."""
    todo: list[tuple[str, int, Any]] = [("$", 0, value)]
    while todo:
        path, depth, part = todo.pop()
        if isinstance(part, str):
            if _SURROGATE.search(part):
                raise Unreadable(f"{path}: a lone surrogate is no character, got {encode(part)[:80]}")
        elif isinstance(part, dict | list):
            if depth >= DEEPEST:
                raise Unreadable(f"{path[:80]}…: {TOO_DEEP}")
            todo += _inside(path, depth + 1, part)


def _inside(path: str, depth: int, part: dict[str, Any] | list[Any]) -> list[tuple[str, int, Any]]:
    if isinstance(part, list):
        return [(f"{path}[{i}]", depth, item) for i, item in enumerate(part) if not _plain(item)]
    for key in part:
        if _SURROGATE.search(key):
            raise Unreadable(f"{path}: a lone surrogate is no character, got the key {encode(key)[:80]}")
    return [(path + step(key), depth, item) for key, item in part.items() if not _plain(item)]


def _plain(item: Any) -> bool:
    return item is None or isinstance(item, int | float) or (isinstance(item, str) and item.isascii())


def step(key: str) -> str:
    """*key* as a step of a path: `.name`, or `["other name"]`."""
    return f".{key}" if key.isidentifier() else f"[{encode(key)}]"
