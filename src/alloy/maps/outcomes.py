"""What came of the inputs of a map: `Outcome` for each, and `MapSummary` for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from alloy.errors import AlloyError
from alloy.messages import RequestUsage, Usage
from alloy.usage import UsageTotal

if TYPE_CHECKING:
    from decimal import Decimal

    from alloy.result import Result

__all__ = ["MapSummary", "Outcome"]

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T_co]):
    """What came of one input of a map or a batch.

    *index* counts the inputs from 0, and *args* are the arguments of the call. Either *error* is `None`, and
    *result* has the *value* with everything that the call did, or *error* says why there is no value.
    """

    index: int
    args: tuple[Any, ...]
    value: T_co | None = None
    error: Exception | None = None
    result: Result[T_co] | None = field(default=None, repr=False)


@dataclass(slots=True)
class MapSummary:
    """What a map has done so far. Safe to read while calls run.

    *succeeded* and *failed* count inputs, and *errors* counts the failed ones by the name of their error.
    *resumed* says how many of those that succeeded came from the checkpoint. *requests* counts the model
    requests of this run, retries included, and *usage* has their tokens. *seconds* is the time from the first
    input to the last outcome, and *waited* how long the rate limits held requests back, added up.
    """

    succeeded: int = 0
    failed: int = 0
    resumed: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    _total: UsageTotal = field(default_factory=UsageTotal, repr=False)
    _began: float | None = field(default=None, repr=False, compare=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def finished(self) -> int:
        """How many inputs have an outcome."""
        return self.succeeded + self.failed

    @property
    def usage(self) -> Usage:
        """The tokens of all model requests together."""
        return self._total.usage

    @property
    def cost(self) -> Decimal | None:
        """What the requests cost together in US dollars, as `UsageTotal.cost`, with the same errors."""
        return self._total.cost

    @property
    def unpriced(self) -> tuple[str, ...]:
        """The models, as `provider:model`, for which there is no price. Raises as `cost`."""
        return self._total.unpriced

    def __str__(self) -> str:
        resumed = f" ({self.resumed:,} from the checkpoint)" if self.resumed else ""
        parts = [f"{self.succeeded:,} answered{resumed}"]
        if self.failed:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.errors.items()))
            parts.append(f"{self.failed:,} failed ({kinds})")
        usage = self.usage
        parts.append(f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens")
        if self.waited:
            parts.append(f"{self.waited:,.0f} s held back by rate limits")
        return f"{', '.join(parts)} in {self.seconds:.0f} s"

    def _begin(self) -> None:
        """Note that the first input is about to begin."""
        if self._began is None:
            self._began = time.monotonic()

    def _add(
        self, outcome: Outcome[Any], requests: Iterable[RequestUsage], *, is_resumed: bool = False
    ) -> None:
        """Count *outcome*, whose call made *requests*."""
        with self._lock:
            if is_resumed:
                self.succeeded += 1
                self.resumed += 1
            elif outcome.error is None:
                self.succeeded += 1
                self.requests += 0 if outcome.result is None else outcome.result.attempts
                self.waited += 0 if outcome.result is None else outcome.result.waited
            else:
                kind = type(outcome.error).__name__
                self.failed += 1
                self.errors[kind] = self.errors.get(kind, 0) + 1
                self.requests += (isinstance(outcome.error, AlloyError) and outcome.error.attempts) or 0
            self._total._add_from_worker(0, 0, [(request, 0.0) for request in requests])
            if self._began is not None:
                self.seconds = time.monotonic() - self._began
