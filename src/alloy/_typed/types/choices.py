"""Choices that pydantic does not read from JSON: enum members by value or name, flags, and keys.

The JSON form of a member is its value if JSON can hold that, and its name otherwise. The classes here
are metadata for `Annotated[…]` and implement pydantic's public protocol.
"""

from __future__ import annotations

import enum
import functools
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import typing_extensions

from alloy._typed.schemas.coercion import NAMES
from alloy.jsontypes import Json, JsonObject

__all__ = [
    "Choices",
    "Flags",
    "Keys",
    "json_key",
    "json_value",
    "needs_keys",
    "readable_enum",
    "readable_literal",
    "value_of",
]

_SCALARS = (str, int, float, bool, type(None))


def readable_enum(kind: type[enum.Enum]) -> Any:
    """The enum *kind* as pydantic can read it: *kind* itself if JSON can hold all of its values."""
    if issubclass(kind, enum.Flag):
        return typing_extensions.Annotated[kind, Flags(kind)]
    if all(isinstance(member.value, _SCALARS) for member in kind):
        return kind
    return typing_extensions.Annotated[kind, Choices(tuple(kind), kind.__name__)]


def readable_literal(literal: Any) -> Any:
    """As above, for a `Literal`: itself unless it holds enum members or bytes."""
    values = typing_extensions.get_args(literal)
    if not any(isinstance(value, enum.Enum | bytes) for value in values):
        return literal
    return typing_extensions.Annotated[literal, Choices(values)]


def needs_keys(annotation: Any) -> bool:
    """Whether *annotation* is an enum or a `Literal`, which `Keys` reads from the keys of a JSON object."""
    if isinstance(annotation, type):
        return issubclass(annotation, enum.Enum) and not issubclass(annotation, enum.Flag)
    return typing_extensions.get_origin(annotation) is typing_extensions.Literal


def json_value(value: Any) -> Json:
    """The JSON form of an enum member, or of a value of a `Literal`."""
    plain = value_of(value)
    if isinstance(plain, bytes) and plain.isascii():
        return plain.decode()
    for kind in (bool, int, str):  # without the class that may be derived from it
        if isinstance(plain, kind):
            return kind(plain) if kind is not str else str.__str__(plain)
    return None if plain is None else _name(value)


def json_key(value: Any) -> str:
    """As `json_value`, for the key of a JSON object."""
    plain = json_value(value)
    if plain is None:
        return "null"
    return str(plain).lower() if isinstance(plain, bool) else str(plain)


def _name(value: Any) -> str:
    return str(value.name) if isinstance(value, enum.Enum) else repr(value)


class _Probe(enum.Enum):
    MEMBER = 1


def _as_configured(schema: Any, handler: Any) -> Any:
    """*schema*, whose values are members; their values come out if the class has `use_enum_values`."""
    from pydantic_core import core_schema

    # A handler does not show the configuration, but what pydantic builds for an enum depends on it.
    if handler.generate_schema(_Probe)["type"] != "function-after":
        return schema
    return core_schema.no_info_after_validator_function(value_of, schema)


def value_of(member: Any) -> Any:
    """The value of an enum *member*; anything else as it is."""
    return member.value if isinstance(member, enum.Enum) else member


class Choices:
    """One of *values*, given by its value or its name."""

    def __init__(self, values: Iterable[Any], title: str | None = None) -> None:
        self._values = {(type(plain), plain): value for value in values for plain in (json_value(value),)}
        self._shown = [plain for _, plain in self._values]
        self._names = {
            value.name: json_value(value) for value in self._values.values() if isinstance(value, enum.Enum)
        }
        self._title = {"title": title} if title else {}

    def _read(self, plain: Any) -> Any:
        return self._values[type(plain), plain]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        choice = core_schema.literal_schema(self._shown)
        return _as_configured(core_schema.no_info_after_validator_function(self._read, choice), handler)

    def __get_pydantic_json_schema__(self, schema: JsonObject, handler: Any) -> JsonObject:
        return {**self._title, **handler(schema), NAMES: self._names}


class Keys:
    """The members of an enum, or the values of a `Literal`, as the keys of a JSON object."""

    def __init__(self, subject: Any) -> None:
        is_enum = isinstance(subject, enum.EnumMeta)
        values: tuple[Any, ...] = tuple(subject) if is_enum else typing_extensions.get_args(subject)
        self._values: Mapping[str, Any] = {json_key(value): value for value in values}
        names = {value.name: value for value in values if isinstance(value, enum.Enum)}
        self._all = {**names, **self._values}

    def _read(self, key: str) -> Any:
        from pydantic_core import PydanticKnownError

        if key in self._all:
            return self._all[key]
        raise PydanticKnownError("literal_error", {"expected": " or ".join(map(repr, self._values))})

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        # A class may be configured to change its texts (`str_to_upper`); the keys are not among them.
        text = core_schema.str_schema(strip_whitespace=False, to_lower=False, to_upper=False)
        return _as_configured(core_schema.no_info_after_validator_function(self._read, text), handler)

    def __get_pydantic_json_schema__(self, schema: JsonObject, handler: Any) -> JsonObject:
        return {"type": "string", "enum": list(self._values)}


class Flags:
    """An `enum.Flag`, given as the list of its members' names, as one name or as a number."""

    def __init__(self, kind: type[enum.Flag]) -> None:
        self._kind = kind

    def _read(self, value: list[str] | str | int) -> Any:
        if isinstance(value, int):
            return self._kind(value)
        names = [value] if isinstance(value, str) else value
        return functools.reduce(operator.or_, (self._kind[name] for name in names), self._kind(0))

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        name = core_schema.literal_schema(list(self._kind.__members__))
        forms = core_schema.union_schema([core_schema.list_schema(name), name, core_schema.int_schema(ge=0)])
        return _as_configured(core_schema.no_info_after_validator_function(self._read, forms), handler)

    def __get_pydantic_json_schema__(self, schema: JsonObject, handler: Any) -> JsonObject:
        name = {"type": "string", "enum": list(self._kind.__members__)}
        return {"title": self._kind.__name__, "type": "array", "items": name, "uniqueItems": True}
