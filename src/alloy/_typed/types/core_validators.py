"""Validators built from core schemas."""

from __future__ import annotations

from typing import Any

from pydantic_core import SchemaValidator

from alloy._typed.types.init_arguments import with_read_arguments
from alloy._typed.types.whole_validators import whole_validator

__all__ = ["new_validator"]


def new_validator(schema: Any) -> SchemaValidator:
    """A validator for the core schema *schema*, which reads the arguments of a model's own `__init__`."""
    return whole_validator(with_read_arguments(schema))
