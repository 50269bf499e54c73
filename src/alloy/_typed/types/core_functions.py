"""The functions that a core schema calls: Alloy's, pydantic's and those of the user's classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from alloy._typed.types.core_nodes import Node, children

__all__ = [
    "calls",
    "is_function",
    "is_of_a_type",
    "is_ours",
    "is_users",
    "module_of",
    "nodes_of_class",
]

_OWN = __name__.partition(".")[0]


def nodes_of_class(node: Node) -> Iterator[Node]:
    """*node* and the nodes inside it that belong to the same class."""
    todo: list[Any] = [node]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            if part.get("type") in ("model", "dataclass"):
                continue
            if isinstance(part.get("type"), str):
                yield part
            todo += children(part).values()
        elif isinstance(part, list | tuple):
            todo += part


def module_of(node: Node) -> str:
    """The module of the function that *node* calls."""
    function = node["function"]["function"]
    return str(getattr(getattr(function, "func", function), "__module__", None) or "")


def _package(node: Node) -> str:
    return module_of(node).partition(".")[0]


def is_function(node: Node) -> bool:
    return str(node.get("type")).startswith("function-")


def calls(node: Node, function: Callable[..., Any]) -> bool:
    return is_function(node) and node["function"]["function"] is function


def is_ours(node: Node) -> bool:
    """Whether *node* calls a function of Alloy, which converts a value."""
    return is_function(node) and _package(node) == _OWN


def is_users(node: Node) -> bool:
    return is_function(node) and _package(node) not in (_OWN, "pydantic", "ipaddress")


def is_of_a_type(node: Node) -> bool:
    """Whether *node* calls a function by which pydantic reads a type, and which takes its own result."""
    if _package(node) != "pydantic":
        return False
    function = node["function"]["function"]
    if getattr(function, "__qualname__", "").startswith("Encoded"):  # it would decode a second time
        return False
    return node["type"] != "function-after" or not any(map(is_users, nodes_of_class(node)))
