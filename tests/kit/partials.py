"""Partials of unfinished texts."""

from __future__ import annotations

from typing import Any

from alloy import Partial
from alloy._engine.runtime.await_parsers import resolved
from alloy._typed.answers.partial import begun
from alloy._typed.schemas.dialects import Dialect, to_wire
from alloy._typed.types.compile import compile_type
from kit.dialects import PLAIN


def partial_of(annotation: Any, text: str, dialect: Dialect = PLAIN, **parser: Any) -> Partial[Any]:
    """What *text* has of a value."""
    spec = compile_type(annotation, **parser)
    wire = None if spec.schema is None else to_wire(spec.schema, dialect)
    found = begun(spec, text, wire, resolved)
    assert found is not None
    return found
