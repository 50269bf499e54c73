"""The providers' dialects by the names of their backends, and what a model writes under each of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alloy._typed.schemas.dialects import Dialect, to_wire
from alloy.backends.anthropic.dialect import DIALECT as ANTHROPIC
from alloy.backends.gemini.dialect import DIALECT as GEMINI
from alloy.backends.ollama.dialect import DIALECT as OLLAMA
from alloy.backends.openai.dialect import DIALECT as OPENAI
from kit.strict_model import as_strict_model

__all__ = ["ANTHROPIC", "DIALECTS", "GEMINI", "OLLAMA", "OPENAI", "PLAIN", "every_dialect", "written"]

PLAIN = Dialect()
DIALECTS: dict[str, Dialect] = {
    "plain": PLAIN,
    "openai": OPENAI,
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
    "ollama": OLLAMA,
}

every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())


def written(value: Any, schema: dict[str, Any], dialect: Dialect) -> str:
    """The text that a model writes for *value*, which has the plain shape of *schema*, under *dialect*."""
    if to_wire(schema, dialect).strict and dialect.strict is not None:
        value = as_strict_model(value, schema, gaps=dialect.strict.allows_optional)
    return json.dumps(value)
