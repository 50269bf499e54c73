"""Checks that a type can have its constraints.

pydantic accepts any constraint for any type, and fails with a `TypeError` on the first value. A mistake in
the program should be reported before a model is asked.
"""

from __future__ import annotations

import collections
import collections.abc as abc
import dataclasses
import enum
import types
from collections.abc import Iterable, Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import typing_extensions

from alloy._typed.types.annotations import alias_value, is_alias

__all__ = ["Unsuited", "check_constraints", "constraints_in"]


class Unsuited(TypeError):
    """A type that cannot be read from JSON, or cannot have its constraints; the message says why."""


_BOUNDS = frozenset(("gt", "ge", "lt", "le"))
_LENGTHS = frozenset(("min_length", "max_length"))
_TEXT = frozenset(("pattern", "strip_whitespace", "to_lower", "to_upper"))
_DIGITS = frozenset(("max_digits", "decimal_places"))
_MULTIPLE = frozenset(("multiple_of",))
_ALL = _BOUNDS | _LENGTHS | _TEXT | _DIGITS | _MULTIPLE

# The constraints that each kind of type can have. The first matching row counts; other types can have any.
_ALLOWED: tuple[tuple[tuple[type, ...], frozenset[str]], ...] = (
    ((bool, types.NoneType, enum.Enum), frozenset()),
    ((Decimal,), _BOUNDS | _MULTIPLE | _DIGITS),
    ((int, float), _BOUNDS | _MULTIPLE),
    ((Fraction, date, time, timedelta), _BOUNDS | _MULTIPLE),
    ((str,), _LENGTHS | _TEXT),
    ((bytes, bytearray), _LENGTHS),
    (
        (list, set, frozenset, tuple, dict, collections.deque, abc.Collection, abc.Iterable),
        _LENGTHS,
    ),
)


def check_constraints(annotation: Any, metadata: Iterable[Any], where: str = "") -> None:
    """Raise `Unsuited` if *annotation* cannot have one of the constraints in its *metadata*.

    *where* is the beginning of the message.
    """
    metadata = list(metadata)
    if any(hasattr(item, "__get_pydantic_core_schema__") for item in metadata):
        return  # a validator may return another type
    names = sorted(constraints_in(metadata))
    for kind in _kinds(annotation):
        allowed = _allowed_for(kind)
        if wrong := [name for name in names if name not in allowed]:
            shown = getattr(kind, "__name__", str(kind))
            raise Unsuited(f"{where}{', '.join(wrong)} cannot constrain {shown}")


def constraints_in(metadata: Iterable[Any]) -> dict[str, Any]:
    """The constraints in *metadata*, by pydantic's names for them."""
    return {name: value for item in metadata for name, value in _constraints(item)}


def _constraints(item: Any) -> Iterator[tuple[str, Any]]:
    from annotated_types import BaseMetadata, GroupedMetadata
    from pydantic.fields import FieldInfo

    if isinstance(item, FieldInfo):
        for part in item.metadata:
            yield from _constraints(part)
    elif isinstance(item, GroupedMetadata):
        for part in item:
            yield from _constraints(part)
    elif isinstance(item, BaseMetadata):
        yield from ((name, value) for name in _ALL if (value := getattr(item, name, None)) is not None)


def _kinds(annotation: Any) -> Iterator[Any]:
    """The classes that a value of *annotation* can be an instance of; without `None` in a union."""
    origin = typing_extensions.get_origin(annotation)
    if is_alias(alias := origin or annotation):
        yield from _kinds(alias_value(alias))
    elif origin is typing_extensions.Annotated:
        yield from _kinds(annotation.__origin__)
    elif origin in (typing_extensions.Union, types.UnionType):
        for member in typing_extensions.get_args(annotation):
            if member is not types.NoneType:
                yield from _kinds(member)
    elif hasattr(annotation, "__supertype__"):
        yield from _kinds(annotation.__supertype__)
    elif annotation is None:
        yield types.NoneType
    elif isinstance(subject := origin or annotation, type):
        yield subject


def _allowed_for(kind: type) -> frozenset[str]:
    record = typing_extensions.is_typeddict(kind) or dataclasses.is_dataclass(kind)
    if record or (hasattr(kind, "model_fields") and not getattr(kind, "__pydantic_root_model__", False)):
        return frozenset()
    return next((names for kinds, names in _ALLOWED if issubclass(kind, kinds)), _ALL)
