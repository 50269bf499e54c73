"""Validators built from all of a core schema, and from nothing that was built before."""

from __future__ import annotations

from typing import Any

from pydantic_core import SchemaValidator

from alloy._typed.types.core_nodes import Node, rebuilt

__all__ = ["whole_validator"]


def whole_validator(schema: Any) -> SchemaValidator:
    """A validator for the core schema *schema*, all of it.

    By default pydantic-core takes the validator that a nested model or dataclass already has, and that
    one was not built from *schema*.
    """
    if _ALWAYS_PREBUILT:
        return SchemaValidator(rebuilt(schema, _without_prebuilt))
    return SchemaValidator(schema, None, False)  # the third argument: use what is already built


def _always_prebuilt() -> bool:
    try:
        SchemaValidator({"type": "any"}, None, False)
    except TypeError:  # before pydantic 2.13
        return True
    return False


_ALWAYS_PREBUILT = _always_prebuilt()


def _without_prebuilt(node: Node, made: Node) -> Node:
    """*made* with a class of ours in place of a class that has a validator.

    pydantic-core makes an instance by the class's `__new__`, so an instance of the user's class comes out.
    """
    if node.get("type") in ("model", "dataclass") and "__pydantic_validator__" in vars(node["cls"]):
        made["cls"] = _factory_of(node["cls"])
    return made


def _factory_of(kind: Any) -> type:
    def make(_: type, *args: Any, **values: Any) -> Any:
        return kind(**values) if values else kind.__new__(kind)

    return type(kind.__name__, (), {"__new__": make})
