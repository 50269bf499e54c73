"""Defaults that pydantic validates, because a class asks for that with `validate_default`.

They are Python values, so they are converted by pydantic's usual rules, and not by the strict ones for the
JSON of an answer.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property
from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaValidator, core_schema

from alloy._typed.types.core_nodes import Node, children, nodes
from alloy._typed.types.defaults import as_answered

__all__ = ["with_converted_defaults"]

_VALIDATES = "validate_default"


def with_converted_defaults(schema: Any) -> Any:
    """*schema* with functions that give the converted defaults; *schema* itself if none is validated."""
    if not any(node.get(_VALIDATES) or (node.get("config") or {}).get(_VALIDATES) for node in nodes(schema)):
        return schema
    return _changed(schema, {}, schema.get("definitions", []))


def _changed(part: Any, config: Any, definitions: list[Any]) -> Any:
    """*part* as a class with *config* has it."""
    if isinstance(part, list | tuple):
        return type(part)(_changed(item, config, definitions) for item in part)
    if not isinstance(part, dict):
        return part
    is_node = isinstance(part.get("type"), str)
    config = part.get("config", config) if is_node else config
    made = {**part, **{key: _changed(child, config, definitions) for key, child in children(part).items()}}
    if not is_node or part["type"] != "default" or not part.get(_VALIDATES, (config or {}).get(_VALIDATES)):
        return made
    kept = {key: value for key, value in made.items() if key not in ("default", "copy_default")}
    return {**kept, "default_factory": _Default(part, config, definitions).value, _VALIDATES: False}


class _Default:
    """The default of a field."""

    def __init__(self, node: Node, config: Any, definitions: list[Any]) -> None:
        self._node, self._config, self._definitions = node, config, definitions

    def value(self, *data: Any) -> Any:
        """A new default, converted; *data* are the fields before it, if the class's factory takes them."""
        node = self._node
        if "default" not in node:
            found = node["default_factory"](*data)
        else:
            found = deepcopy(node["default"]) if node.get("copy_default") else node["default"]
        try:
            return self._validator.validate_python(as_answered(found))
        except ValidationError:  # under `strict`, which does not take a list for a tuple
            return self._validator.validate_python(found)

    @cached_property
    def _validator(self) -> SchemaValidator:
        schema = core_schema.definitions_schema(self._node["schema"], self._definitions)
        return SchemaValidator(schema, self._config)
