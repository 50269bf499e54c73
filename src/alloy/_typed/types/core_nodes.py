"""Core schemas, the trees that pydantic builds of a type: their nodes, and validators built from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_core import SchemaValidator

__all__ = ["Node", "children", "new_validator", "nodes"]

Node = dict[str, Any]

_OPAQUE = frozenset(("metadata", "serialization", "default", "expected", "config", "members"))


def nodes(schema: Any) -> Iterator[Node]:
    """Every node of *schema*, each before those inside it."""
    todo = [schema]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            if isinstance(part.get("type"), str):
                yield part
            todo += children(part).values()
        elif isinstance(part, list | tuple):
            todo += part


def children(part: Node) -> Node:
    """What of *part* may hold nodes. Keys of a mapping of fields are names and have no other meaning."""
    if not isinstance(part.get("type"), str):
        return part
    return {key: child for key, child in part.items() if key not in _OPAQUE}


def new_validator(schema: Any) -> SchemaValidator:
    """A validator for *schema*, all of it.

    By default pydantic-core takes the validator that a nested model or dataclass already has, and that
    one was not built from *schema*.
    """
    if _ALWAYS_PREBUILT:
        return SchemaValidator(_without_prebuilt(schema))
    return SchemaValidator(schema, None, False)  # the third argument: use what is already built


def _always_prebuilt() -> bool:
    try:
        SchemaValidator({"type": "any"}, None, False)
    except TypeError:  # before pydantic 2.13
        return True
    return False


_ALWAYS_PREBUILT = _always_prebuilt()


def _without_prebuilt(node: Any) -> Any:
    """*node* with a class of ours in place of each class that has a validator.

    pydantic-core makes an instance by the class's `__new__`, so an instance of the user's class comes out.
    """
    if isinstance(node, list | tuple):
        return type(node)(map(_without_prebuilt, node))
    if not isinstance(node, dict):
        return node
    made = {**node, **{key: _without_prebuilt(child) for key, child in children(node).items()}}
    if node.get("type") in ("model", "dataclass") and "__pydantic_validator__" in vars(node["cls"]):
        made["cls"] = _factory_of(node["cls"])
    return made


def _factory_of(kind: Any) -> type:
    def make(_: type, *args: Any, **values: Any) -> Any:
        return kind(**values) if values else kind.__new__(kind)

    return type(kind.__name__, (), {"__new__": make})
