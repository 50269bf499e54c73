"""`Result`: the value of a call, and everything that the call did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from alloy.messages import RequestUsage, ToolResult, Turn, Usage

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["Result"]

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Result(Generic[T_co]):
    """The value of a call, and everything that the call did.

    - *value*: the answer, of the declared type; *text*: what it was read from.
    - *usage*: tokens of all model requests together, those of commands that ran as tools included.
    - *turns*: how often the model replied; *attempts*: how often it was asked, retries included.
    - *tool_calls*: each call with its arguments, its value or error, and its duration in seconds.
    - *model*: `provider:model`, as the provider names the model.
    - *transcript*: every message of the conversation.
    - *downgrades*: the features that Alloy emulated because the model does not support them: `"tools"`
      (ReAct), `"output"` (the type described in the prompt), `"output_with_tools"` (the typed answer in a
      separate turn), `"strict_tools"` (tools whose schemas are not enforced).
    - *seconds*: how long the whole call took; *waited*: how long of it the rate limits held requests back.
    - *requests*: what each model request used, those of commands that ran as tools included.
    - *cached*: how many of the turns come from the response cache, so that nothing was sent for them.
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
    seconds: float = field(default=0.0, compare=False)
    requests: tuple[RequestUsage, ...] = field(default=(), compare=False, repr=False)
    waited: float = field(default=0.0, compare=False, repr=False)
    cached: int = field(default=0, compare=False, repr=False)

    @property
    def cost(self) -> Decimal | None:
        """What *requests* cost together in US dollars; `None` if the price of a model is not known.

        The prices are those of the package genai-prices. Raises `ConfigurationError` if it is not installed.
        """
        from alloy.prices import cost_of

        return cost_of(self.requests)
