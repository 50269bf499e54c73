"""The few conversions between JSON types that cannot be misunderstood, guided by a schema.

3.0 is the integer 3; "3" is the number 3 where only a number is valid; "true", in any case, is true where
only a boolean is valid; "null" and "" are null where no text is valid; an enum member may be given by its
name, and a choice in another case; a Decimal is read from the digits as they were written; and text with an
object or an array is that value where only one is valid. Everything else stays as it is, and the validator
decides. A value that is valid is never converted, and nothing that the type wants strict.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from alloy._typed.json.extraction import AROUND, NOTHING, value_in
from alloy._typed.json.repair import Repairs
from alloy._typed.json.text import Digits
from alloy._typed.json.values import json_type, same, whole
from alloy._typed.schemas.refs import Schema, resolved
from alloy.jsontypes import Json

__all__ = ["DECIMAL", "FIELDS", "NAMES", "NUMBER_END", "STRICT", "coerce", "fits"]

# Marks in a schema that only Alloy reads; they are never sent.
NAMES = "x-alloy-names"  # of an enum: the names of its members -> their JSON values
DECIMAL = "x-alloy-decimal"
STRICT = "x-alloy-strict"
FIELDS = "x-alloy-fields"  # of a named tuple, which an answer may give as an object: the names of its items

# After the digits of a number for a Decimal in a union, so that they are not taken for a `str`. A Decimal
# ignores it, because it is white space.
NUMBER_END = "\x1f"

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,308})\Z")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?\Z")


def coerce(value: Json, schema: Schema) -> Json:
    """*value*, converted where *schema* leaves no doubt of what is meant. Neither is changed."""
    return _coerce(value, schema, _Definitions(schema.get("$defs", {})))


class _Definitions(dict[str, Json]):
    """The definitions of a schema, and what was coerced before.

    The members of a union may refer to each other, so the same part of a value meets the same union
    again and again: without *coerced*, the time would be exponential in the depth.
    """

    def __init__(self, definitions: Mapping[str, Json]) -> None:
        super().__init__(definitions)
        self.coerced: dict[tuple[int, int], Json] = {}
        self._decoded: dict[str, Json] = {}

    def decoded(self, text: str) -> Json:
        """The JSON in *text*, or *text* itself."""
        if text not in self._decoded:
            self._decoded[text] = _decoded(text)
        return self._decoded[text]  # kept, because its identity is a key of *coerced*


def _coerce(value: Json, node: Json, defs: _Definitions) -> Json:
    """*value* for the schema *node*: by its union, its choices, its parts or its type."""
    strict = isinstance(node, dict) and STRICT in node
    node = resolved(node, defs)
    if (
        strict
        and ("enum" in node or "const" in node or STRICT in node)
        and not isinstance(value, dict | list)
    ):
        return value
    if DECIMAL in node:
        return _decimal(value)
    branches = node.get("anyOf") or node.get("oneOf")
    if branches:
        key = (id(value), id(branches))
        if key not in defs.coerced:
            defs.coerced[key] = _coerce_union(value, branches, defs)
        return defs.coerced[key]
    if "enum" in node or "const" in node:
        return _coerce_choice(value, node)
    if isinstance(value, dict):
        return {key: _coerce(item, _property(node, key), defs) for key, item in value.items()}
    if isinstance(value, list):
        first, rest = node.get("prefixItems", ()), node.get("items", {})
        return [_coerce(v, first[i] if i < len(first) else rest, defs) for i, v in enumerate(value)]
    kind = node.get("type")
    if isinstance(value, str) and kind in ("object", "array"):
        inner = defs.decoded(value)
        return (
            _coerce(inner, node, defs) if json_type(inner) in (kind, "string") and inner != value else value
        )
    return _coerce_scalar(value, kind)


def _decoded(text: str) -> Json:
    """The JSON in *text*, which may have a fence around it or small errors, or *text* itself."""
    repairs: Repairs = {}
    found = value_in(text, repairs, arrays=True)
    return text if found is NOTHING or AROUND in repairs else found


def _property(node: Schema, key: str) -> Json:
    if key in node.get("properties", {}):
        return node["properties"][key]
    if key in (fields := node.get(FIELDS, ())):
        return node["prefixItems"][fields.index(key)]
    patterns = node.get("patternProperties")
    return next(iter(patterns.values())) if patterns else node.get("additionalProperties", {})


def _coerce_scalar(value: Json, kind: Json) -> Json:
    if isinstance(value, str):
        if kind == "integer" and _INTEGER.match(value):
            return int(value)
        if kind == "number" and _NUMBER.match(value):
            return Digits(value)
        if kind == "boolean" and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if kind == "null" and value in ("null", ""):
            return None
    elif kind == "integer" and isinstance(value, float) and abs(value) < 2**53:
        exact = whole(value)
        return value if exact is None else exact
    return value


def _decimal(value: Json) -> Json:
    if isinstance(value, Digits):
        return value.text
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _coerce_choice(value: Json, node: Schema) -> Json:
    choices = _choices(node)
    if any(same(value, choice) for choice in choices):
        return int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(value, str):
        return value
    if (named := node.get(NAMES, {}).get(value, _in_another_case(value, node))) != value:
        return named
    written = [_coerce_scalar(value, kind) for kind in ("integer", "number", "boolean")]
    found = [choice for choice in choices if any(same(choice, one) for one in written)]
    return found[0] if len(found) == 1 else value


def _in_another_case(value: str, node: Schema) -> str:
    """The only choice that is *value* in another case: Anthropic's strict mode does not enforce the case."""
    alike = [c for c in _choices(node) if isinstance(c, str) and c.casefold() == value.casefold()]
    return alike[0] if len(alike) == 1 else value


def _choices(node: Schema) -> list[Json]:
    return list(node["enum"]) if "enum" in node else [node["const"]]


def _coerce_union(value: Json, branches: list[Json], defs: _Definitions) -> Json:
    """*value* for the members of a union that it fits; unchanged if they differ in what it is."""
    fitting = [branch for branch in branches if fits(value, branch, defs)]
    results: list[Json] = []
    for branch in fitting or branches:
        coerced = _coerce(value, branch, defs)
        if (fitting or fits(coerced, branch, defs)) and not _has(results, coerced):
            results.append(coerced)
    if len(results) != 1:
        return value
    is_decimal = isinstance(results[0], str) and isinstance(value, int | float)
    return results[0] + NUMBER_END if is_decimal else results[0]


def _has(values: list[Json], value: Json) -> bool:
    return bool(values) and any(same(value, one) for one in values)


def fits(value: Json, node: Json, defs: Mapping[str, Json]) -> bool:
    """Whether *value* may be valid for *node*, as far as its type, required keys and tags show."""
    node = resolved(node, defs)
    if "anyOf" in node or "oneOf" in node:
        return any(fits(value, branch, defs) for branch in node.get("anyOf") or node["oneOf"])
    if "enum" in node or "const" in node:
        return any(same(value, choice) for choice in _choices(node))
    wanted, kind = node.get("type"), json_type(value)
    if wanted == kind == "object":
        keys = node.get("properties", {})
        tags = {key: part for key, part in keys.items() if isinstance(part, Mapping) and "const" in part}
        return set(node.get("required", ())) <= value.keys() and all(
            same(value[key], part["const"]) for key, part in tags.items() if key in value
        )
    if isinstance(value, dict) and FIELDS in node:
        names = node[FIELDS]
        return set(names[: node.get("minItems", 0)]) <= value.keys() <= set(names)
    return wanted is None or wanted == kind or (wanted == "number" and kind == "integer")
