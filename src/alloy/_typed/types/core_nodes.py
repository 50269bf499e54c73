"""Core schemas, the trees that pydantic builds of a type, and their nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Node", "children", "input_names", "nodes", "rebuilt"]

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


def rebuilt(part: Any, change: Callable[[Node, Node], Any]) -> Any:
    """A copy of *part* in which *change* made each node, from it and its copy, which has changed children."""
    if isinstance(part, list | tuple):
        return type(part)(rebuilt(item, change) for item in part)
    if not isinstance(part, dict):
        return part
    made = {**part, **{key: rebuilt(child, change) for key, child in children(part).items()}}
    return change(part, made) if isinstance(part.get("type"), str) else made


def input_names(alias: Any) -> Iterator[str]:
    """The keys that a field with the validation alias *alias* may have, without its own name."""
    if isinstance(alias, str):
        yield alias
    elif isinstance(alias, list):  # a path, or several
        for path in alias if alias and isinstance(alias[0], list) else [alias]:
            yield path[0]
