"""Typed answers for models without native structured output: the shape is written into the prompt.

The way back is the same as for native answers: `alloy._typed.answers.parse.read` forgives fences and prose.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alloy._typed.schemas.notation import notation
from alloy.backends.fallback.wrapper import Wrapper
from alloy.backends.schemas import in_dialect
from alloy.messages import OutputSchema, Request

__all__ = ["PromptedBackend", "shape", "with_instructions"]


class PromptedBackend(Wrapper):
    """*inner*, asked for JSON in words."""

    def encode(self, request: Request) -> dict[str, Any]:
        """The body of *request*, with the answer's shape in its system prompt."""
        told, output = request.system, in_dialect(request, self.dialect).output
        if output is not None:
            told = with_instructions(told, f"Give your answer as {shape(output)}")
        return self.inner.encode(replace(request, system=told, output=None, output_mode="native"))


def shape(output: OutputSchema) -> str:
    """*output* in words and type notation, to follow on "as" or "is"."""
    return (
        "JSON only: no code fence, and no text before or after it. It has this type, in TypeScript notation, "
        f"and no keys that the type does not name:\n\n{notation(output.schema)}"
    )


def with_instructions(system: str | None, instructions: str) -> str:
    """The system prompt *system*, if there is one, with *instructions* behind it."""
    return f"{system}\n\n{instructions}" if system else instructions
