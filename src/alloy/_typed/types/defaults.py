"""Default values as a schema shows them: in the form in which an answer would give them."""

from __future__ import annotations

import base64
import enum
from collections import deque
from collections.abc import Mapping, Set
from typing import Any

from alloy._typed.types.choices import json_key, json_value, readable_enum
from alloy.jsontypes import Json

__all__ = ["NoJsonForm", "as_answered", "json_default"]


class NoJsonForm(ValueError):
    """A default that JSON cannot hold. Schemas leave it out, and Python still uses it."""


def json_default(value: Any) -> Json:
    """*value* as JSON. Raises `NoJsonForm`."""
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return to_jsonable_python(as_answered(value), inf_nan_mode="strings")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise NoJsonForm(str(error)) from error


def as_answered(value: Any) -> Any:
    """*value* with its bytes and enum members in the form in which a model gives them."""
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, enum.Flag):
        return [member.name for member in value]
    if isinstance(value, enum.Enum):
        kind = type(value)
        return value.value if readable_enum(kind) is kind else json_value(value)
    if isinstance(value, Mapping):
        return {
            json_key(key) if isinstance(key, enum.Enum) else key: as_answered(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | Set | deque):
        return [as_answered(item) for item in value]
    return value
