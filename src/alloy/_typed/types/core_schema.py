"""From an annotation to the core schema that reads it from JSON.

pydantic builds the schema, of the annotation as `class_copies` shows it. Then the schema is rewritten:
the user's classes replace their copies, and `unions` adds its rules for the members of a union. The
user's classes are only read, so other threads can use them at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ForwardRef

from pydantic import TypeAdapter
from pydantic_core import core_schema
from typing_extensions import TypedDict

from alloy._typed.types.class_copies import Shown, as_shown
from alloy._typed.types.core_nodes import nodes
from alloy._typed.types.core_validators import new_validator
from alloy._typed.types.init_arguments import has_own_init
from alloy._typed.types.unions import with_member_selection
from alloy._typed.types.validated_defaults import with_converted_defaults

__all__ = ["Core", "core_of"]


@dataclass(frozen=True, slots=True)
class Core:
    """A core *schema* with the user's classes in it; *built* is pydantic's validator, if it holds no copy."""

    schema: Any
    built: Any = None

    def validator(self) -> Any:
        """A validator for the schema, with Alloy's rules for unions and for an `__init__`."""
        schema = with_member_selection(with_converted_defaults(self.schema))
        kept = schema is self.schema and self.built is not None and not has_own_init(schema)
        return self.built if kept else new_validator(schema)

    def wrapped(self, name: str, key: str, config: Any = None) -> Core:
        """The schema of an object called *name* that has the value under *key*, and no other key.

        *config* is that of a class whose field the value is.
        """
        inner, definitions = self.schema, None
        if inner["type"] == "definitions":
            inner, definitions = inner["schema"], inner["definitions"]
        fields = {key: core_schema.typed_dict_field(inner, required=True)}
        cls: Any = TypedDict(name, {})  # type: ignore[misc]
        root: Any = core_schema.typed_dict_schema(fields, cls=cls, extra_behavior="forbid", config=config)
        return Core(root if definitions is None else core_schema.definitions_schema(root, definitions))


def core_of(annotation: Any, namespace: Mapping[str, Any] | None) -> Core:
    """The core schema of *annotation*; *namespace* holds names that it uses and its modules do not know.

    Raises `Unsuited` or an error of pydantic if there is none, and `NameError` for an unknown name.
    """
    shown = as_shown(annotation, namespace)
    adapter = _adapter(shown)
    schema = adapter.core_schema
    _put_originals(schema, shown.originals)
    return Core(schema, None if shown.originals else adapter.validator)


def _adapter(shown: Shown) -> TypeAdapter[Any]:
    if shown.names:
        # Built once, with the names: pydantic has no public way to give them at first.
        later: Any = ForwardRef(_NAME)
        adapter = TypeAdapter[Any](later)
        names = {**shown.names, _NAME: shown.annotation}
        adapter.rebuild(force=True, _types_namespace=names)
        return adapter
    adapter = TypeAdapter[Any](shown.annotation)
    if not adapter.pydantic_complete:  # raises, with the name that is missing
        adapter.rebuild(force=True, _types_namespace={})
    return adapter


_NAME = "_alloy_annotation"


def _put_originals(schema: Any, originals: Mapping[Any, Any]) -> None:
    """Put the user's classes in place of their copies. Only nodes that were built from a copy change."""
    if not originals:
        return
    for node in nodes(schema):
        for key in ("cls", "function"):
            kind = node.get(key)
            if isinstance(kind, type) and kind in originals:
                node[key] = originals[kind]
