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

from alloy._typed.json.values import same
from alloy._typed.schemas.refs import Schema, pointed_at
from alloy._typed.schemas.samples.formats import has_format
from alloy._typed.schemas.samples.patterns import finder
from alloy.errors import ConfigurationError

__all__ = ["fits", "resolve_ref"]


def fits(value: Any, schema: Schema | bool, root: Schema) -> bool:
    """Whether *value* is valid for *schema*; *root* is the document that its references lead into."""
    if isinstance(schema, bool):
        return schema
    return all(
        CHECKS[keyword](value, rule, schema, root) for keyword, rule in schema.items() if keyword in CHECKS
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


# --- one row for each keyword: (value, the keyword's value, its schema, the root) -> is it valid? ------

TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: _is_number(value) and value == int(value),
    "number": lambda value: _is_number(value),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_type(value: Any, rule: Any, _schema: Any, _root: Any) -> bool:
    return any(TYPES[name](value) for name in ([rule] if isinstance(rule, str) else rule))


def _matches(value: Any, pattern: Any, _schema: Any, _root: Any) -> bool:
    if not isinstance(value, str):
        return True
    try:
        return finder(pattern).search(value) is not None
    except re.error:
        return False  # a pattern that cannot be compiled cannot be checked


def _items(value: Any, rule: Any, schema: Any, root: Any) -> bool:
    rest = value[len(schema.get("prefixItems", ())) :] if isinstance(value, list) else ()
    return all(fits(item, rule, root) for item in rest)


def _prefix_items(value: Any, rules: Any, _schema: Any, root: Any) -> bool:
    return not isinstance(value, list) or all(
        fits(item, rule, root) for item, rule in zip(value, rules, strict=False)
    )


def _unique(value: Any, rule: Any, _schema: Any, _root: Any) -> bool:
    if not rule or not isinstance(value, list):
        return True
    return not any(same(item, other) for at, item in enumerate(value) for other in value[:at])


def _properties(value: Any, rules: Any, _schema: Any, root: Any) -> bool:
    return not isinstance(value, dict) or all(
        fits(value[name], rule, root) for name, rule in rules.items() if name in value
    )


def _pattern_properties(value: Any, rules: Any, _schema: Any, root: Any) -> bool:
    return not isinstance(value, dict) or all(
        fits(item, rule, root)
        for pattern, rule in rules.items()
        for name, item in value.items()
        if _matches(name, pattern, None, None)
    )


def _additional(value: Any, rule: Any, schema: Any, root: Any) -> bool:
    if not isinstance(value, dict):
        return True
    patterns = schema.get("patternProperties", ())
    others = [
        item
        for name, item in value.items()
        if name not in schema.get("properties", ())
        and not any(_matches(name, pattern, None, None) for pattern in patterns)
    ]
    return all(fits(item, rule, root) for item in others)


def _length(kind: type[Any], *, low: bool) -> Callable[..., bool]:
    def check(value: Any, limit: Any, _schema: Any, _root: Any) -> bool:
        if not isinstance(value, kind):
            return True
        size = len(value)
        return bool(size >= limit if low else size <= limit)

    return check


def _number(holds: Callable[[Fraction, Fraction], bool]) -> Callable[..., bool]:
    def check(value: Any, limit: Any, _schema: Any, _root: Any) -> bool:
        return not _is_number(value) or holds(exact(value), exact(limit))

    return check


CHECKS: dict[str, Callable[[Any, Any, Any, Any], bool]] = {
    "$ref": lambda value, ref, _, root: fits(value, resolve_ref(ref, root), root),
    "type": _is_type,
    "const": lambda value, const, *_: same(value, const),
    "enum": lambda value, choices, *_: any(same(value, choice) for choice in choices),
    "anyOf": lambda value, rules, _, root: any(fits(value, rule, root) for rule in rules),
    "oneOf": lambda value, rules, _, root: sum(fits(value, rule, root) for rule in rules) == 1,
    "allOf": lambda value, rules, _, root: all(fits(value, rule, root) for rule in rules),
    "not": lambda value, rule, _, root: not fits(value, rule, root),
    "minimum": _number(lambda value, limit: value >= limit),
    "maximum": _number(lambda value, limit: value <= limit),
    "exclusiveMinimum": _number(lambda value, limit: value > limit),
    "exclusiveMaximum": _number(lambda value, limit: value < limit),
    "multipleOf": _number(lambda value, step: value % step == 0),
    "minLength": _length(str, low=True),
    "maxLength": _length(str, low=False),
    "pattern": _matches,
    "format": lambda value, name, *_: not isinstance(value, str) or has_format(value, name),
    "minItems": _length(list, low=True),
    "maxItems": _length(list, low=False),
    "uniqueItems": _unique,
    "prefixItems": _prefix_items,
    "items": _items,
    "minProperties": _length(dict, low=True),
    "maxProperties": _length(dict, low=False),
    "required": lambda value, names, *_: not isinstance(value, dict) or all(name in value for name in names),
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "propertyNames": lambda value, rule, _, root: all(
        fits(name, rule, root) for name in (value if isinstance(value, dict) else ())
    ),
}
