"""Usage tracking: what the calls of a scope used and what they cost, added up by a handler."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from alloy._engine.budgeting import missing_budgets
from alloy._engine.effects import CallModel, Effect, Emit, Handler, Script
from alloy._engine.handlers import Counting, handlers
from alloy.arguments import names_checked
from alloy.budgets import Budget
from alloy.errors import NOT_SENT, ConfigurationError
from alloy.events import CallStarted
from alloy.messages import Reply, RequestUsage, Usage

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["UsageTotal", "budget", "track_usage"]

HAS_PRICES = find_spec("genai_prices") is not None
PENDING_MAX = 256  # requests that are kept until they are priced


@dataclass(slots=True)
class UsageTotal:
    """What calls used together: *calls*, *requests* (failed ones included) and *usage* in tokens.

    *by_model* has the usage of each model, by `provider:model`. *seconds* is how long the model requests
    took, added up, also of those that ran at the same time; *waited* is how long the rate limits held them
    back before, added up in the same way. Safe to read while calls run.
    """

    calls: int = 0
    requests: int = 0
    usage: Usage = field(default_factory=Usage)
    by_model: dict[str, Usage] = field(default_factory=dict)
    seconds: float = 0.0
    waited: float = 0.0
    _pending: list[RequestUsage] = field(default_factory=list, repr=False)
    _cost: Decimal | None = field(default=None, repr=False)
    _unpriced: set[str] = field(default_factory=set, repr=False)
    _lock: Any = field(default_factory=threading.RLock, repr=False, compare=False)

    @property
    def cost(self) -> Decimal | None:
        """What the requests cost together in US dollars, without those of the models in `unpriced`.

        `None` if there is no price for any of them. The prices are those of the package genai-prices. Raises
        `ConfigurationError` if it is not installed.
        """
        from alloy.prices import cost_of

        cost_of(())  # raises if there are no prices
        with self._lock:
            self._price()
            if self._cost is None and not self._unpriced:
                from decimal import Decimal

                return Decimal(0)
            return self._cost

    @property
    def unpriced(self) -> tuple[str, ...]:
        """The models, as `provider:model`, for which there is no price. Raises as `cost`."""
        _ = self.cost
        return tuple(sorted(self._unpriced))

    def _begin_call(self) -> None:
        """Count a call."""
        with self._lock:
            self.calls += 1

    def _begin_request(self) -> None:
        """Count a request."""
        with self._lock:
            self.requests += 1

    def _take_back_request(self) -> None:
        """Do not count a request that was not sent."""
        with self._lock:
            self.requests -= 1

    def _add(self, request: RequestUsage, seconds: float, waited: float = 0.0) -> None:
        """Add what a *request* used, the *seconds* that it took, and how long it had *waited* before."""
        with self._lock:
            self.usage += request.usage
            self.by_model[request.model] = self.by_model.get(request.model, Usage()) + request.usage
            self.seconds += seconds
            self.waited += waited
            if HAS_PRICES:
                self._pending.append(request)
                if len(self._pending) >= PENDING_MAX:
                    self._price()

    def _add_from_worker(self, calls: int, requests: int, used: Iterable[tuple[RequestUsage, float]]) -> None:
        """Add what calls in another process made and used."""
        with self._lock:
            self.calls += calls
            self.requests += requests
            for request, seconds in used:
                self._add(request, seconds)

    def _price(self) -> None:
        from alloy.prices import price

        for request in self._pending:
            cost = price(request)
            if cost is None:
                self._unpriced.add(request.model)
            else:
                self._cost = cost if self._cost is None else self._cost + cost
        self._pending.clear()


@contextmanager
def track_usage() -> Iterator[UsageTotal]:
    """Add up what the calls in a `with` block used, as in `with alloy.track_usage() as total:`.

    It counts plain, async and streamed calls, commands that run as tools, and calls in the threads and
    tasks that Alloy starts. Blocks nest: an outer one counts what an inner one counts.
    """
    total = UsageTotal()
    with counting(total):
        yield total


class Counter(Protocol):
    """What counts calls and their requests."""

    def _begin_call(self) -> None: ...
    def _begin_request(self) -> None: ...
    def _take_back_request(self) -> None: ...
    def _add(self, request: RequestUsage, seconds: float, waited: float) -> None: ...


def counting(counter: Counter) -> AbstractContextManager[None]:
    """Have *counter* count what the calls in a `with` block use."""
    return handlers(Counting(_count, counter))


def _count(counter: Counter, effect: Effect[Any]) -> Script[Any]:
    match effect:
        case Emit(CallStarted()):
            counter._begin_call()
        case CallModel(route, _):
            counter._begin_request()
            try:
                reply: Reply = yield from effect
            except NOT_SENT:
                counter._take_back_request()
                raise
            counter._add(route.used(reply.usage), reply.seconds, reply.waited)
            return reply
    return (yield from effect)


def totals_of(several: Iterable[Handler]) -> tuple[UsageTotal, ...]:
    """The totals that those of the handlers add to that `track_usage` has installed."""
    counters = [each.args[0] for each in several if isinstance(each, Counting) and each.func is _count]
    return tuple(each for each in counters if isinstance(each, UsageTotal))


@names_checked
@contextmanager
def budget(
    shared: Budget | None = None,
    *,
    tokens: int | None = None,
    requests: int | None = None,
    seconds: float | None = None,
    cost: Decimal | float | str | None = None,
) -> Iterator[Budget]:
    """Limit what the calls in a `with` block use together, as in `with alloy.budget(tokens=50_000):`.

    The limits are those of `Budget`, or *shared* is one. It counts what `track_usage` counts, and blocks nest
    in the same way. Yields the budget, whose `spent` says what was used.

    Raises `ConfigurationError` as `Budget` does. A call for which nothing is left raises `BudgetError`.
    """
    limits = {"tokens": tokens, "requests": requests, "seconds": seconds, "cost": cost}
    if shared is not None and any(limit is not None for limit in limits.values()):
        raise ConfigurationError("budget() takes a shared Budget or limits, not both")
    made = Budget(**limits) if shared is None else shared  # type: ignore[arg-type]
    if not isinstance(made, Budget):
        raise ConfigurationError(
            f"budget() takes a Budget, not {made!r:.80}: name the limit, as in budget(requests=100)"
        )
    with handlers(*missing_budgets([made])):
        yield made
