"""What a call gives back when all is told: `Result`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from alloy.messages import ToolResult, Turn, Usage

__all__ = ["Result"]

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Result(Generic[T_co]):
    """All that a call did.

    - *value*: the answer, of the declared type; *text*: what it was read from.
    - *usage*: tokens of all model requests together.
    - *turns*: how often the model replied; *attempts*: how often it was asked, retries included.
    - *tool_calls*: each call with its arguments, its value or error, and its duration in seconds.
    - *model*: `provider:model`, as the provider names the model.
    - *transcript*: every message of the conversation.
    - *downgrades*: what Alloy stood in for because the model cannot do it natively: `"tools"` (ReAct),
      `"output"` (the shape described in the prompt), `"output_with_tools"` (the typed answer in a turn of
      its own).
    """

    value: T_co
    text: str
    usage: Usage
    turns: int
    attempts: int
    tool_calls: tuple[ToolResult, ...]
    model: str
    transcript: tuple[Turn, ...]
    downgrades: tuple[str, ...] = ()
