"""Budgets: how much the calls that share one may use together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from alloy.arguments import with_names_checked
from alloy.errors import BudgetError, ConfigurationError
from alloy.excerpts import shown_value
from alloy.messages import RequestUsage, Spent, Usage
from alloy.quantities import checked, count
from alloy.quantities import seconds as a_time
from alloy.threads import SharedByCalls

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["Budget"]


@with_names_checked
class Budget(SharedByCalls):
    """Limits for all calls that share this object: in threads, tasks and event loops alike.

    *tokens* counts input and output together, *requests* each model request, retries included, *seconds* is
    the time since the first request, *cost* is in US dollars and needs the extra `prices`. The budget is
    checked before each request: when a limit is reached, the request is not sent, and the call ends with a
    `BudgetError`. What a request uses is known when it has been answered, so the requests that run at that
    moment may exceed the limits of tokens and cost. *clock* returns a number of seconds, for tests.

    Raises `ConfigurationError` for no limit at all, and for numbers that make no sense.
    """

    def __init__(
        self,
        *,
        tokens: int | None = None,
        requests: int | None = None,
        seconds: float | None = None,
        cost: Decimal | float | str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tokens = None if tokens is None else checked("Budget", "tokens", tokens, count(1))
        self.requests = None if requests is None else checked("Budget", "requests", requests, count(1))
        self.seconds = None if seconds is None else checked("Budget", "seconds", seconds, a_time(above=True))
        self.cost: Decimal | None = None if cost is None else _decimal(cost)
        if (self.tokens, self.requests, self.seconds, self.cost) == (None,) * 4:
            raise ConfigurationError("Budget: set at least one of tokens, requests, seconds and cost")
        super().__init__(clock)
        self._began: float | None = None
        self._tokens = self._requests = 0
        self._cost = None if self.cost is None else self.cost * 0

    @property
    def spent(self) -> Spent:
        """What the calls have used so far."""
        with self._lock:
            return self._spent()

    def begin_request(self, model: str, address: str | None) -> None:
        """Count a request to *model*, as `provider:model`, at *address*, which is about to be sent.

        Raises `BudgetError` when a limit is reached, and `ConfigurationError` when there is a limit for the
        cost and *model* has no price.
        """
        if self._price(RequestUsage(model, Usage(), address)) is None:
            raise ConfigurationError(
                f"the budget has a limit for the cost, and the price of {model} is not known: "
                "use another model, or limit tokens instead"
            )
        with self._lock:
            self._begin()
            self._requests += 1

    def begin_in_worker(self) -> None:
        """Check the limits before a call in another process. Raises `BudgetError` when one is reached."""
        with self._lock:
            self._begin()

    def add_from_worker(self, requests: int, used: Iterable[RequestUsage]) -> None:
        """Count the *requests* that a call in another process made, and what they *used*."""
        with self._lock:
            self._requests += requests
        for request in used:
            self.add(request)

    def _begin(self) -> None:
        spent = self._spent()
        for name, unit in _UNITS.items():
            limit, used = getattr(self, name), getattr(spent, name)
            if limit is not None and used >= limit:
                raise BudgetError(f"the budget is used up: {used:,.6g} of {limit:,.6g} {unit}", spent=spent)
        if self._began is None:
            self._began = self._clock()

    def take_back_request(self) -> None:
        """Do not count a request that was not sent, because something else refused it."""
        with self._lock:
            self._requests -= 1

    def add(self, request: RequestUsage) -> None:
        """Count what *request* used, which has been answered."""
        cost = self._price(request)
        with self._lock:
            self._tokens += request.usage.total_tokens
            if self._cost is not None:
                self._cost += cost or 0

    def _price(self, request: RequestUsage) -> Decimal | int | None:
        if self.cost is None:
            return 0
        from alloy.prices import price  # only a limit for the cost needs them

        return price(request)

    def _spent(self) -> Spent:
        seconds = 0.0 if self._began is None else self._clock() - self._began
        return Spent(self._tokens, self._requests, seconds, self._cost)

    def __repr__(self) -> str:
        limits = {name: getattr(self, name) for name in _UNITS}
        return (
            f"Budget({', '.join(f'{name}={limit}' for name, limit in limits.items() if limit is not None)})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process counts for itself.
        return _rebuild, (self.tokens, self.requests, self.seconds, self.cost, self._clock)


_UNITS = {"tokens": "tokens", "requests": "requests", "seconds": "seconds", "cost": "US dollars"}


def _decimal(cost: Any) -> Decimal:
    """*cost* as a decimal: 0.1 is a tenth, and not the float next to it."""
    from decimal import Decimal, InvalidOperation

    try:
        found = Decimal(cost if isinstance(cost, Decimal) else "no" if isinstance(cost, bool) else str(cost))
    except (InvalidOperation, ValueError):  # an int of thousands of digits
        found = Decimal("nan")
    if not found.is_finite() or found <= 0:
        raise ConfigurationError(f"Budget: cost must be a number above 0, not {shown_value(cost)}")
    return found


def _rebuild(tokens: Any, requests: Any, seconds: Any, cost: Any, clock: Any) -> Budget:
    return Budget(tokens=tokens, requests=requests, seconds=seconds, cost=cost, clock=clock)
