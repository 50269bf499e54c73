"""Checks of what pydantic's strict mode takes too easily from JSON.

A guard looks at a JSON value before it is validated. It refuses

- a boolean for an equal number in a `Literal` or an enum, and the reverse: in Python `True == 1`;
- digits in a string for a date or a time: pydantic reads them as seconds since 1970;
- months and years in a duration, which have no fixed length: pydantic counts 30 and 365 days;
- an object with two keys that become one, and whose values differ: pydantic keeps the last one.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaValidator, core_schema

from alloy._typed.json.text import encode
from alloy._typed.json.values import same
from alloy._typed.types.core_nodes import Node
from alloy._typed.types.core_validators import new_validator
from alloy.jsontypes import Json

__all__ = ["MAPPINGS", "OTHER", "bare", "choices_of", "guarded", "needs_guard", "tagged"]

# The tag of the choice that pydantic makes. It is part of an error's location, where a key must not equal it.
OTHER = "·"

MAPPINGS = ("dict", "ordered-dict", "frozendict", "counter")

Choose = Callable[[Json], str | None]

_SECONDS = re.compile(r"\s*+[+-]?(?:[\d_]*+\.|_*+)\d[\d_]*+(?:[eE][+-]?\d+)?\s*\Z")
_MONTHS = re.compile(r"\s*[+-]?P[^T]*[YM]", re.IGNORECASE)
_TIMES = {
    "date": "a date in the form YYYY-MM-DD",
    "datetime": "a date and time in the form YYYY-MM-DDThh:mm:ss",
    "time": "a time in the form hh:mm:ss",
}
_NO_MONTHS = "a duration in weeks, days, hours, minutes and seconds: months and years have no fixed length"
_TWO_KEYS = "Two keys of this object are the same after conversion, but their values differ"


def tagged(choices: dict[Any, Any], choose: Choose, message: str, ref: str | None) -> Node:
    """A schema that takes the member of *choices* whose tag *choose* returns; `None` is an error."""
    # No other core schema can look at JSON before it is validated and still validate it as JSON: strict
    # mode has other rules for Python objects.
    made: Any = core_schema.tagged_union_schema(
        choices,
        choose,
        custom_error_type="union_member",
        custom_error_message=message.replace("{", "{{"),
        ref=ref,
    )
    return made  # type: ignore[no-any-return]


def bare(node: Any) -> Any:
    """*node* without its name."""
    return {key: item for key, item in node.items() if key != "ref"}


def choices_of(node: Node) -> list[Any]:
    """The JSON values of a `Literal` or an enum."""
    values = node["expected"] if node["type"] == "literal" else node["members"]
    return [value.value if isinstance(value, enum.Enum) else value for value in values]


def needs_guard(node: Node) -> bool:
    """Whether pydantic takes something for *node* that a guard has to refuse."""
    kind = node["type"]
    if kind in ("literal", "enum"):
        return any(isinstance(choice, int | float) for choice in choices_of(node))
    return kind in _TIMES or kind == "timedelta" or (kind in MAPPINGS and _converts_keys(node))


def guarded(node: Node, definitions: Callable[[], list[Any]]) -> Node:
    """*node*, which needs a guard, with it; *definitions* gives those that the schema refers to."""
    kind = node["type"]
    choose: Choose
    if kind in MAPPINGS:
        choose, message = _Keys(node, definitions).choose, _TWO_KEYS
    elif kind == "timedelta":
        choose, message = _refusing(_MONTHS), f"Input should be {_NO_MONTHS}"
    elif kind in _TIMES:
        choose, message = _refusing(_SECONDS), f"Input should be {_TIMES[kind]}"
    else:
        choices = choices_of(node)
        *most, last = map(repr, choices)
        shown = f"{', '.join(most)} or {last}" if most else last
        choose, message = _exactly(choices), f"Input should be {shown}"
    return tagged({OTHER: bare(node)}, choose, message, node.get("ref"))


def _refusing(pattern: re.Pattern[str]) -> Choose:
    return lambda value: None if isinstance(value, str) and pattern.match(value) else OTHER


def _exactly(choices: list[Any]) -> Choose:
    numbers = [choice for choice in choices if isinstance(choice, int | float)]

    def choose(value: Json) -> str | None:
        if not isinstance(value, int | float):
            return OTHER
        equal = [choice for choice in numbers if choice == value]
        # A float that is exactly an int was converted before.
        exact = [c for c in equal if same(c, value) and not (isinstance(value, float) > isinstance(c, float))]
        return None if equal and not exact else OTHER

    return choose


def _converts_keys(node: Node) -> bool:
    keys = node.get("keys_schema") or {"type": "any"}
    changes = keys.keys() & {"strip_whitespace", "to_lower", "to_upper"}
    return keys["type"] not in ("any", "str") or bool(changes)


class _Keys:
    """The guard of a mapping, whose keys are converted."""

    def __init__(self, node: Node, definitions: Callable[[], list[Any]]) -> None:
        self._node, self._definitions = node, definitions

    def choose(self, value: Json) -> str | None:
        if not isinstance(value, dict) or len(value) < 2:
            return OTHER
        if len(converted := list(self._converted(value))) != len(value):
            return OTHER  # pydantic reports the keys
        first: dict[Any, Json] = {}
        for key, item in zip(converted, value.values(), strict=True):
            if not same(first.setdefault(key, item), item):
                return None
        return OTHER

    def _converted(self, value: Mapping[str, Json]) -> Iterator[Any]:
        try:
            for key in value:
                yield from self._validator.validate_json(encode({key: None}), strict=True)
        except (ValidationError, TypeError, ValueError):
            return

    @cached_property
    def _validator(self) -> SchemaValidator:
        keys = core_schema.dict_schema(self._node["keys_schema"], core_schema.any_schema())
        return new_validator(core_schema.definitions_schema(keys, self._definitions()))
