"""The providers' dialects by the names of their backends, and what a model writes under each of them."""

from __future__ import annotations

import json
from typing import Any

from alloy._typed.schemas.dialects import DIALECTS, to_wire
from kit.strict_model import as_strict_model

__all__ = ["DIALECTS", "written"]


def written(value: Any, schema: dict[str, Any], dialect: str) -> str:
    """The text that a model writes for *value*, which has the plain shape of *schema*, under *dialect*."""
    wire, rules = to_wire(schema, dialect), DIALECTS[dialect].strict
    if wire.strict and rules is not None:
        value = as_strict_model(value, schema, gaps=rules.optional > 0)
    return json.dumps(value)
