"""Typed answers for models without native structured output: the prompt describes the type.

Decoding is the same as for native answers: `alloy._typed.answers.parse.read` ignores fences and prose.
"""

from __future__ import annotations

from dataclasses import replace

from alloy._typed.schemas.notation import notation
from alloy.backends.fallback.wrapper import Wrapper
from alloy.backends.schemas import in_dialect
from alloy.jsontypes import JsonObject
from alloy.messages import OutputSchema, Request

__all__ = ["PromptedBackend", "description", "with_instructions"]


class PromptedBackend(Wrapper):
    """*inner*, asked for JSON in the prompt."""

    def encode(self, request: Request) -> JsonObject:
        """The body of *request*, with the type of the answer in its system prompt."""
        system, output = request.system, in_dialect(request, self.dialect).output
        if output is not None:
            system = with_instructions(system, f"Give your answer as {description(output)}")
        return self.inner.encode(replace(request, system=system, output=None, output_mode="native"))


def description(output: OutputSchema) -> str:
    """*output* in words and type notation, to be continued from "as" or "is"."""
    return (
        "JSON only: no code fence, and no text before or after it. It has this type, in TypeScript notation, "
        f"and no keys that the type does not name:\n\n{notation(output.schema)}"
    )


def with_instructions(system: str | None, instructions: str) -> str:
    """The system prompt *system*, if there is one, followed by *instructions*."""
    return f"{system}\n\n{instructions}" if system else instructions
