"""Decoded JSON values: their types, and whether two of them are equal."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from alloy._typed.json.text import Digits, encode
from alloy.jsontypes import Json

__all__ = ["canonical", "json_type", "same", "whole"]

_TYPES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    Digits: "number",
    type(None): "null",
    list: "array",
    dict: "object",
}


def json_type(value: Json) -> str:
    """The JSON Schema type of *value*, by its Python type: 1 is an integer, and 1.0 is a number."""
    return _TYPES.get(type(value)) or _type_of_subclass(value)


def _type_of_subclass(value: Json) -> str:
    for kind, name in _TYPES.items():
        if kind is not int and isinstance(value, kind):
            return name
    return "integer" if isinstance(value, int) else "object"


def same(left: Json, right: Json) -> bool:
    """Equality as JSON Schema defines it: `1` is `1.0`, but `true` is not `1`, and keys have no order.

    https://json-schema.org/draft/2020-12/json-schema-core#section-4.2.2
    """
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, bool) != isinstance(right, bool) or left != right:
        return False
    if isinstance(left, Digits) and isinstance(right, int):
        return whole(left) == right
    return whole(right) == left if isinstance(right, Digits) and isinstance(left, int) else True


def canonical(value: Json) -> str:
    """*value* as text that does not depend on the order of keys."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"
    return "[" + ",".join(map(canonical, value)) + "]" if isinstance(value, list) else encode(value)


def whole(number: float) -> int | None:
    """The integer that *number* is, by all of its digits, or `None`: 30.0000000000000001 is not 30."""
    if not number.is_integer():
        return None
    if not isinstance(number, Digits):
        return int(number)
    try:
        exact = Decimal(number.text)
    except InvalidOperation:  # an exponent that Decimal cannot hold
        return None
    return int(exact) if exact == exact.to_integral_value() else None
