"""Whether a value is valid for a JSON Schema (2020-12), by the keywords that pydantic uses.

Other keywords are ignored. Formats are checked, too: an example or a default that does not have its format
would be a bad answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from math import isfinite
from typing import Any

from alloy._typed.json.values import json_type, same
from alloy._typed.schemas.refs import Schema, pointed_at
from alloy._typed.schemas.samples.formats import has_format
from alloy._typed.schemas.samples.patterns import finder
from alloy.errors import ConfigurationError

__all__ = ["CHECKS_OF", "exact", "fits", "resolve_ref"]


def fits(value: Any, schema: Schema | bool, root: Schema) -> bool:
    """Whether *value* is valid for *schema*; *root* is the document that its references lead into."""
    if isinstance(schema, bool):
        return schema
    checks = {**CHECKS, **CHECKS_OF.get(_kind(value), {})}
    return all(
        checks[keyword](value, rule, schema, root) for keyword, rule in schema.items() if keyword in checks
    )


def resolve_ref(ref: str, root: Schema) -> Any:
    """What *ref* leads to in *root*. Raises `ConfigurationError` when it leads to nothing."""
    try:
        return pointed_at(ref, root)
    except KeyError:
        raise ConfigurationError(f"the schema refers to {ref!r}, which does not exist") from None


def exact(number: float) -> Fraction:
    """The value of *number* as JSON has it, so that 0.3 is a multiple of 0.1."""
    return Fraction(repr(number))


def _kind(value: Any) -> str:
    infinite = isinstance(value, float) and not isfinite(value)
    return "" if infinite else json_type(value)


def _is_type(value: Any, rule: Any, _schema: Any, _root: Any) -> bool:
    kind, kinds = _kind(value), [rule] if isinstance(rule, str) else rule
    return (
        kind in kinds
        or (kind == "integer" and "number" in kinds)
        or (kind == "number" and "integer" in kinds and value.is_integer())
    )


def _matches(value: str, pattern: str, *_: Any) -> bool:
    try:
        return finder(pattern).search(value) is not None
    except re.error:
        return False  # a pattern that cannot be compiled cannot be checked


def _additional(value: dict[str, Any], rule: Any, schema: Schema, root: Schema) -> bool:
    patterns = schema.get("patternProperties", ())
    others = [
        item
        for name, item in value.items()
        if name not in schema.get("properties", ())
        and not any(_matches(name, pattern) for pattern in patterns)
    ]
    return all(fits(item, rule, root) for item in others)


# --- one row for each keyword: (value, the keyword's value, its schema, the root) -> is it valid? ------

CHECKS: dict[str, Callable[[Any, Any, Any, Any], bool]] = {
    "$ref": lambda value, ref, _, root: fits(value, resolve_ref(ref, root), root),
    "type": _is_type,
    "const": lambda value, const, *_: same(value, const),
    "enum": lambda value, choices, *_: any(same(value, choice) for choice in choices),
    "anyOf": lambda value, rules, _, root: any(fits(value, rule, root) for rule in rules),
    "oneOf": lambda value, rules, _, root: sum(fits(value, rule, root) for rule in rules) == 1,
    "allOf": lambda value, rules, _, root: all(fits(value, rule, root) for rule in rules),
    "not": lambda value, rule, _, root: not fits(value, rule, root),
}
_NUMBER: dict[str, Callable[[Any, Any, Any, Any], bool]] = {
    "minimum": lambda value, limit, *_: exact(value) >= exact(limit),
    "maximum": lambda value, limit, *_: exact(value) <= exact(limit),
    "exclusiveMinimum": lambda value, limit, *_: exact(value) > exact(limit),
    "exclusiveMaximum": lambda value, limit, *_: exact(value) < exact(limit),
    "multipleOf": lambda value, step, *_: exact(value) % exact(step) == 0,
}
# The keywords that are only for values of one type; a schema without a type is for the first that fits.
CHECKS_OF: dict[str, dict[str, Callable[[Any, Any, Any, Any], bool]]] = {
    "object": {
        "minProperties": lambda value, limit, *_: len(value) >= limit,
        "maxProperties": lambda value, limit, *_: len(value) <= limit,
        "required": lambda value, names, *_: value.keys() >= set(names),
        "properties": lambda value, rules, _, root: all(
            fits(value[name], rule, root) for name, rule in rules.items() if name in value
        ),
        "patternProperties": lambda value, rules, _, root: all(
            fits(item, rule, root)
            for pattern, rule in rules.items()
            for name, item in value.items()
            if _matches(name, pattern)
        ),
        "additionalProperties": _additional,
        "propertyNames": lambda value, rule, _, root: all(fits(name, rule, root) for name in value),
    },
    "array": {
        "minItems": lambda value, limit, *_: len(value) >= limit,
        "maxItems": lambda value, limit, *_: len(value) <= limit,
        "uniqueItems": lambda value, rule, *_: (
            not (rule and any(same(item, other) for at, item in enumerate(value) for other in value[:at]))
        ),
        "prefixItems": lambda value, rules, _, root: all(
            fits(item, rule, root) for item, rule in zip(value, rules, strict=False)
        ),
        "items": lambda value, rule, schema, root: all(
            fits(item, rule, root) for item in value[len(schema.get("prefixItems", ())) :]
        ),
    },
    "number": _NUMBER,
    "integer": _NUMBER,
    "string": {
        "minLength": lambda value, limit, *_: len(value) >= limit,
        "maxLength": lambda value, limit, *_: len(value) <= limit,
        "pattern": _matches,
        "format": lambda value, name, *_: has_format(value, name),
    },
}
