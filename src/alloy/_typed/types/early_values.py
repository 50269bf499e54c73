"""Values for a validator of the user that runs before the value has its type."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaValidator, core_schema

from alloy._typed.json.text import encode
from alloy._typed.types.core_functions import is_function, is_ours, is_users, module_of
from alloy._typed.types.core_nodes import Node, nodes, rebuilt
from alloy._typed.types.whole_validators import whole_validator

__all__ = ["EarlyValue", "is_simple"]

Definitions = Callable[[], list[Any]]


class EarlyValue:
    """Accepts a value for a validator that runs before the value has the type *types*.

    A valid value is passed on, converted if it *converts*. Any other value is left to the validator, except
    one that only the rules for Python values take (`true` as 1): the validator may pass it on as it is.
    *definitions* gives what *types* refers to. Nothing of the user's classes is called here.
    """

    def __init__(self, types: Any, definitions: Definitions, *, converts: bool) -> None:
        self._types, self._definitions, self._converts = types, definitions, converts

    @cached_property
    def _strict(self) -> SchemaValidator:
        return self._built(_without_calls)

    @cached_property
    def _lax(self) -> SchemaValidator:
        return self._built(_lenient)

    def _built(self, change: Callable[[Node, Node], Any]) -> SchemaValidator:
        types = self._types
        if any(node["type"] == "definition-ref" for node in nodes(types)):
            types = core_schema.definitions_schema(types, self._definitions())
        return whole_validator(rebuilt(types, change))

    def __call__(self, value: Any) -> Any:
        try:
            read = self._strict.validate_json(encode(value), strict=True)
        except ValidationError:
            if self._is_taken(value):
                raise
            return value
        return read if self._converts else value

    def _is_taken(self, value: Any) -> bool:
        try:
            self._lax.validate_python(value)
        except ValidationError:
            return False
        return True


def is_simple(types: Any) -> bool:
    """Whether *types* holds no class and no function of Alloy, so that it can be read by itself."""
    classes = ("model", "dataclass", "definition-ref")
    return not any(node["type"] in classes or is_ours(node) or "ref" in node for node in nodes(types))


def _without_calls(node: Node, made: Node) -> Any:
    """*made* without functions of the user's classes, and without instances of them."""
    if node["type"] == "model":
        plain = type(node["cls"].__name__, (), {})
        return {**_without(made, "post_init", "custom_init"), "cls": plain}
    if node["type"] == "dataclass":
        return _without(made, "post_init")
    if not is_function(node) or not (is_users(node) or _builds(node)):
        return made
    inner = made.get("schema", core_schema.any_schema())
    return {**inner, "ref": node["ref"]} if "ref" in node else inner


def _lenient(node: Node, made: Node) -> Any:
    """As `_without_calls`, for validators inside that run early as well: they may take any value."""
    early = is_function(node) and isinstance(node["function"]["function"], EarlyValue)
    return core_schema.any_schema() if early else _without_calls(node, made)


def _without(node: Node, *keys: str) -> Node:
    return {key: value for key, value in node.items() if key not in keys}


def _builds(node: Node) -> bool:
    """Whether *node* calls an `__init__`."""
    return node["type"] == "function-after" and module_of(node).endswith(".init_arguments")
