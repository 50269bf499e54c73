"""JSON Schema -> what each provider accepts.

A dialect is data: which keywords a provider's strict mode holds, and its limits. What has no strict
form is sent as the plain schema and validated here; a user never sees a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from alloy.errors import ConfigurationError
from alloy.typed.strict import NoStrictForm, StrictRules, strict_form

__all__ = ["DIALECTS", "Dialect", "Wire", "to_wire"]


@dataclass(frozen=True, slots=True)
class Wire:
    """A schema in a provider's dialect.

    *restore* turns a decoded JSON value of this shape into one of the plain schema's shape; it raises
    `alloy.typed.jsontext.Unreadable`. `None` says that the shapes are the same.
    """

    schema: dict[str, Any]
    strict: bool
    restore: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a provider accepts. Without *strict* rules it gets the plain schema."""

    strict: StrictRules | None = None


# fmt: off
_KEYWORDS = frozenset((
    "type", "description", "enum", "const", "anyOf", "$ref", "$defs",
    "items", "minItems", "maxItems", "properties", "required", "additionalProperties",
    "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
))
_FORMATS = frozenset((
    "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid",
))
# fmt: on

# https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas"
_OPENAI = Dialect(
    StrictRules(
        keywords=_KEYWORDS,
        formats=_FORMATS,
        properties=5_000,
        depth=10,
        characters=120_000,
        choices=1_000,
    )
)

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {"plain": Dialect(), "openai": _OPENAI, "openai-chat": _OPENAI}
)


def to_wire(schema: dict[str, Any], dialect: str) -> Wire:
    """*schema* as *dialect* wants it; *schema* itself is never changed, and must not be afterwards.

    Raises `ConfigurationError` for a dialect that does not exist.
    """
    rules = DIALECTS.get(dialect)
    if rules is None:
        raise ConfigurationError(f"no schema dialect {dialect!r}; there are {', '.join(sorted(DIALECTS))}")
    key = (id(schema), dialect)
    kept = _wires.get(key)
    if kept is not None:
        return kept[1]
    if len(_wires) >= _MOST_WIRES:
        _wires.clear()
    wire = _wire(schema, rules)
    _wires[key] = (schema, wire)
    return wire


# A schema is known by its identity, which is why it is held: while it is here no other can have it.
_wires: dict[tuple[int, str], tuple[dict[str, Any], Wire]] = {}
_MOST_WIRES = 10_000


def _wire(schema: dict[str, Any], rules: Dialect) -> Wire:
    if rules.strict is None:
        return Wire(schema, strict=False)
    try:
        strict, restore = strict_form(schema, rules.strict)
    except NoStrictForm:
        return Wire(schema, strict=False)
    return Wire(strict, strict=True, restore=restore)
