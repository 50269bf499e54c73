"""Choices that pydantic does not read from JSON: enum members, as values, as flags and as keys.

A member is said by its value where JSON has it, else by its name. The classes here stand in
`Annotated[…]` and speak pydantic's public protocol.
"""

from __future__ import annotations

import enum
import functools
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import typing_extensions

from alloy._typed.schemas.coercion import NAMES

__all__ = ["Choices", "Flags", "Keys", "needs_keys", "stand_in_for_enum", "stand_in_for_literal"]

_SCALARS = (str, int, bool, type(None))


def stand_in_for_enum(kind: type[enum.Enum]) -> Any:
    """What pydantic is shown for the enum *kind*: itself, unless it would not read it."""
    if issubclass(kind, enum.Flag):
        return typing_extensions.Annotated[kind, Flags(kind)]
    if len(kind) and not all(isinstance(member.value, (*_SCALARS, float)) for member in kind):
        return typing_extensions.Annotated[kind, Choices(tuple(kind), kind.__name__)]
    return kind


def stand_in_for_literal(literal: Any) -> Any:
    """As above, for a `Literal`. What is no enum member and no bytes, pydantic reads."""
    values = typing_extensions.get_args(literal)
    if not any(isinstance(value, enum.Enum | bytes) for value in values):
        return literal
    return typing_extensions.Annotated[literal, Choices(values)]


def needs_keys(annotation: Any) -> bool:
    """Whether *annotation* is one of choices, which `Keys` reads from the keys of a JSON object."""
    if isinstance(annotation, type):
        return issubclass(annotation, enum.Enum) and not issubclass(annotation, enum.Flag)
    return typing_extensions.get_origin(annotation) is typing_extensions.Literal


def _said(value: Any) -> Any:
    """How *value* is said in JSON."""
    plain = value.value if isinstance(value, enum.Enum) else value
    if isinstance(plain, bytes) and plain.isascii():
        return plain.decode()
    for kind in (bool, int, str):  # as what they are, not as what they were derived from
        if isinstance(plain, kind):
            return kind(plain) if kind is not str else str.__str__(plain)
    return plain if plain is None else _name(value)


def _name(value: Any) -> str:
    return str(value.name) if isinstance(value, enum.Enum) else repr(value)


class Choices:
    """Some of *values*, each said by its value or its name."""

    def __init__(self, values: Iterable[Any], title: str | None = None) -> None:
        self._values = {(type(said), said): value for value in values for said in (_said(value),)}
        self._said = [said for _, said in self._values]
        self._names = {
            value.name: _said(value) for value in self._values.values() if isinstance(value, enum.Enum)
        }
        self._title = {"title": title} if title else {}

    def _read(self, said: Any) -> Any:
        return self._values[type(said), said]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(
            self._read, core_schema.literal_schema(self._said)
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**self._title, **handler(schema), NAMES: self._names}


class Keys:
    """The members of an enum, or the values of a Literal, as the keys of a JSON object."""

    def __init__(self, subject: Any) -> None:
        is_enum = isinstance(subject, enum.EnumMeta)
        values: tuple[Any, ...] = tuple(subject) if is_enum else typing_extensions.get_args(subject)
        self._values: Mapping[str, Any] = {_key(value): value for value in values}
        names = {value.name: value for value in values if isinstance(value, enum.Enum)}
        self._all = {**names, **self._values}

    def _read(self, key: str) -> Any:
        from pydantic_core import PydanticKnownError

        if key in self._all:
            return self._all[key]
        raise PydanticKnownError("literal_error", {"expected": " or ".join(map(repr, self._values))})

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._read, core_schema.str_schema())

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "enum": list(self._values)}


def _key(value: Any) -> str:
    said = _said(value)
    if said is None:
        return "null"
    return str(said).lower() if isinstance(said, bool) else str(said)


class Flags:
    """An `enum.Flag`, said as the list of its members' names; one name or the number will do."""

    def __init__(self, kind: type[enum.Flag]) -> None:
        self._kind = kind

    def _read(self, said: list[str] | str | int) -> Any:
        if isinstance(said, int):
            return self._kind(said)
        names = [said] if isinstance(said, str) else said
        return functools.reduce(operator.or_, (self._kind[name] for name in names), self._kind(0))

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        name = core_schema.literal_schema(list(self._kind.__members__))
        said = core_schema.union_schema([core_schema.list_schema(name), name, core_schema.int_schema(ge=0)])
        return core_schema.no_info_after_validator_function(self._read, said)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        name = {"type": "string", "enum": list(self._kind.__members__)}
        return {"title": self._kind.__name__, "type": "array", "items": name, "uniqueItems": True}
