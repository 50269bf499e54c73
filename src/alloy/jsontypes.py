"""Names for JSON in annotations, so that an `Any` that means JSON differs from one that means any object."""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Json", "JsonObject"]

Json: TypeAlias = Any
"""A JSON value: `None`, `bool`, `int`, `float`, `str`, or a list or a dict of them."""

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object."""
