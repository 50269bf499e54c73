"""The form of a ReAct turn, for servers that keep a model to a grammar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from alloy.jsontypes import JsonObject
from alloy.messages import ToolSchema

__all__ = ["DECISION", "EnforcesTurns", "TurnForm"]

DECISION = "Answer known: "
"""The label of the line that such a turn begins with, followed by "yes" or "no".

Without it, a small model calls the same tool for ever: SmolLM2 135M repeated its call in 27 of 27 prompts.
"""


class TurnForm(NamedTuple):
    """What the next turn may be: calls of these *tools*, or an answer.

    *answer* is the schema of the answer; an empty one allows any text. With *must_call* an answer is not
    allowed, and without tools only an answer is. *parallel* allows several calls.
    """

    tools: tuple[ToolSchema, ...]
    answer: Mapping[str, Any]
    must_call: bool
    parallel: bool


@runtime_checkable
class EnforcesTurns(Protocol):
    """A backend whose server can keep a model to the form of a turn."""

    def enforce(self, form: TurnForm) -> JsonObject:
        """The fields of the body that do it."""
