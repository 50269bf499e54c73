"""JSON Schema -> what a provider accepts.

A dialect is data that the provider's backend brings: which keywords its strict mode supports, and its
limits. A schema without a strict form is sent as it is, and values are validated here: the user never
sees a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alloy._typed.schemas.rules import NoStrictForm, StrictRules
from alloy._typed.schemas.strict import strict_form
from alloy._typed.schemas.subset import SubsetRules, subset_form
from alloy.errors import ConfigurationError
from alloy.jsontypes import Json, JsonObject

__all__ = ["Dialect", "Wire", "to_wire"]


@dataclass(frozen=True, slots=True)
class Wire:
    """A schema in a provider's dialect.

    *restore* turns a decoded JSON value of this shape into one of the plain schema's shape; it raises
    `alloy._typed.json.text.Unreadable`. `None`: the shapes are the same.
    """

    schema: JsonObject
    strict: bool
    restore: Callable[[Json], Json] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Which JSON Schemas a provider accepts. Without rules: all of them.

    With *strict*, schemas are sent in the form that the provider's strict mode supports, if they have
    one. With *subset*, the keywords that the provider does not read are put into descriptions.
    """

    strict: StrictRules | None = None
    subset: SubsetRules | None = None


def to_wire(schema: JsonObject, dialect: Dialect) -> Wire:
    """*schema* in *dialect*. The result is cached: neither argument may be changed afterwards.

    Raises `ConfigurationError` when a backend's *dialect* is not a `Dialect`.
    """
    key = (id(schema), id(dialect))
    cached = _wires.get(key)
    if cached is not None:
        return cached[2]
    if not isinstance(dialect, Dialect):
        raise ConfigurationError(
            f"a backend's dialect must be an alloy.backends.Dialect, not {type(dialect).__name__}: "
            "Dialect() accepts every JSON Schema"
        )
    if len(_wires) >= _MOST_WIRES:
        _wires.clear()
    wire = _wire(schema, dialect)
    _wires[key] = (schema, dialect, wire)
    return wire


# The keys are identities, so both objects are kept: no other object can get the same identity.
_wires: dict[tuple[int, int], tuple[JsonObject, Dialect, Wire]] = {}
_MOST_WIRES = 10_000


def _wire(schema: JsonObject, dialect: Dialect) -> Wire:
    if dialect.subset is not None:
        return Wire(subset_form(schema, dialect.subset), strict=False)
    if dialect.strict is None:
        return Wire(schema, strict=False)
    try:
        strict, restore = strict_form(schema, dialect.strict)
    except NoStrictForm:
        return Wire(schema, strict=False)
    return Wire(strict, strict=True, restore=restore)
