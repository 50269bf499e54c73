"""The few conversions between JSON types that cannot be mistaken, guided by a schema.

3.0 is the integer 3, "3" is the number 3 where only a number fits, "true" in any case is true where
only a boolean fits, an enum member may be given by its name and a choice in another case, and a
Decimal is made of the digits as they were written. Everything else is left as it is, for the
validator to judge. A value that fits as it stands is never converted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from alloy._typed.json.text import Digits
from alloy._typed.json.values import json_type, same
from alloy._typed.schemas.refs import resolved

__all__ = ["DECIMAL", "NAMES", "settle"]

# Marks in a schema that only this module reads; they are never sent.
NAMES = "x-alloy-names"  # of an enum: its members' names -> their JSON values
DECIMAL = "x-alloy-decimal"

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,308})\Z")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?\Z")


def settle(value: Any, schema: Mapping[str, Any]) -> Any:
    """*value* with what *schema* shows to be meant. Neither is changed."""
    return _settle(value, schema, _Definitions(schema.get("$defs", {})))


class _Definitions(dict[str, Any]):
    """A schema's definitions, and what was settled by them: members that hold each other meet again."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        super().__init__(definitions)
        self.settled: dict[tuple[int, int], Any] = {}


def _settle(value: Any, node: Any, defs: _Definitions) -> Any:
    node = resolved(node, defs)
    if DECIMAL in node:
        return _decimal(value)
    branches = node.get("anyOf") or node.get("oneOf")
    if branches:
        key = (id(value), id(branches))
        if key not in defs.settled:
            defs.settled[key] = _settle_union(value, branches, defs)
        return defs.settled[key]
    if "enum" in node or "const" in node:
        return _settle_choice(value, node)
    if isinstance(value, dict):
        return {key: _settle(item, _property(node, key), defs) for key, item in value.items()}
    if isinstance(value, list):
        first, rest = node.get("prefixItems", ()), node.get("items", {})
        return [_settle(v, first[i] if i < len(first) else rest, defs) for i, v in enumerate(value)]
    return _settle_scalar(value, node.get("type"))


def _property(node: Mapping[str, Any], key: str) -> Any:
    if key in node.get("properties", {}):
        return node["properties"][key]
    patterns = node.get("patternProperties")
    return next(iter(patterns.values())) if patterns else node.get("additionalProperties", {})


def _settle_scalar(value: Any, kind: Any) -> Any:
    if isinstance(value, str):
        if kind == "integer" and _INTEGER.match(value):
            return int(value)
        if kind == "number" and _NUMBER.match(value):
            return Digits(value)
        if kind == "boolean" and value.lower() in ("true", "false"):
            return value.lower() == "true"
    elif kind == "integer" and isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _decimal(value: Any) -> Any:
    if isinstance(value, Digits):
        return value.text
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _settle_choice(value: Any, node: Mapping[str, Any]) -> Any:
    if any(same(value, choice) for choice in _choices(node)):
        return int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(value, str):
        return node.get(NAMES, {}).get(value, _in_another_case(value, node))
    # For Python `true` equals 1, so it would pass for that member; an object passes for none.
    return {} if isinstance(value, bool | int | float) else value


def _in_another_case(value: str, node: Mapping[str, Any]) -> str:
    """The only choice that is *value* but for its case, which Anthropic's strict mode does not enforce."""
    alike = [c for c in _choices(node) if isinstance(c, str) and c.casefold() == value.casefold()]
    return alike[0] if len(alike) == 1 else value


def _choices(node: Mapping[str, Any]) -> list[Any]:
    return list(node["enum"]) if "enum" in node else [node["const"]]


def _settle_union(value: Any, branches: list[Any], defs: _Definitions) -> Any:
    fitting = [branch for branch in branches if _fits(value, branch, defs)]
    results: list[Any] = []
    for branch in fitting or branches:
        settled = _settle(value, branch, defs)
        if (fitting or _fits(settled, branch, defs)) and not any(same(settled, result) for result in results):
            results.append(settled)
    return results[0] if len(results) == 1 else value


def _fits(value: Any, node: Any, defs: Mapping[str, Any]) -> bool:
    node = resolved(node, defs)
    if "anyOf" in node or "oneOf" in node:
        return any(_fits(value, branch, defs) for branch in node.get("anyOf") or node["oneOf"])
    if "enum" in node or "const" in node:
        return any(same(value, choice) for choice in _choices(node))
    wanted, kind = node.get("type"), json_type(value)
    if wanted == kind == "object":
        keys = node.get("properties", {})
        tags = {key: part for key, part in keys.items() if isinstance(part, Mapping) and "const" in part}
        return set(node.get("required", ())) <= value.keys() and all(
            same(value[key], part["const"]) for key, part in tags.items() if key in value
        )
    return wanted is None or wanted == kind or (wanted == "number" and kind == "integer")
