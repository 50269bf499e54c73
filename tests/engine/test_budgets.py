"""Budgets: what calls may use together."""

from __future__ import annotations

import asyncio
import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from contextvars import copy_context
from decimal import Decimal
from typing import Any

import pytest
from kit.apis import CHAT
from kit.ways import every_way
from kit.wire import WireServer

import alloy
from alloy import (
    Budget,
    BudgetError,
    ConfigurationError,
    ProviderError,
    RateLimitError,
    RefusalError,
    Spent,
    Usage,
    ask,
    command,
    tool,
    use_config,
)
from alloy.messages import Reply
from alloy.testing import call, calls, replies

TEN = Reply("1", usage=Usage(8, 2))


@command(output=int)
def number() -> str:
    """Ask for a number."""
    return "a number?"


@every_way
@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"tokens": 20}, "20 of 20 tokens"),
        ({"tokens": 11}, "20 of 11 tokens"),
        ({"requests": 2}, "2 of 2 requests"),
        ({"tokens": 1000, "requests": 2}, "2 of 2 requests"),
    ],
)
def test_the_request_after_the_limit_is_not_sent(way: Any, limits: Any, why: str):
    """By a scope, and by an option."""
    budget = Budget(**limits)
    with replies(TEN, TEN) as seen, alloy.budget(**limits) as scoped:
        way(number)
        way(number)
        with pytest.raises(BudgetError, match=why):
            way(number)
    with replies(TEN, TEN), use_config(budget=budget):
        way(number)
        way(number)
        with pytest.raises(BudgetError, match=why) as caught:
            way(number)
    assert len(seen.requests) == 2
    assert scoped.spent.tokens == budget.spent.tokens == 20
    assert caught.value.spent.requests == 2
    assert caught.value.usage == Usage()
    assert len(caught.value.transcript or ()) == 1


@every_way
@pytest.mark.parametrize("of_a_scope", [False, True])
def test_commands_that_run_as_tools_share_the_budget(way: Any, of_a_scope: bool):
    """The model is told of the tool whose request is not sent, and then the call ends."""
    budget = Budget(requests=3)
    options: dict[str, Any] = {} if of_a_scope else {"budget": budget}
    outer = number.with_options(tools=[number], parallel_tools_max=1, **options)
    script = (calls(call("number"), call("number"), call("number")), TEN, TEN)
    around = alloy.budget(budget) if of_a_scope else nullcontext()
    with replies(*script) as seen, around, pytest.raises(BudgetError) as caught:
        way(outer)
    assert len(seen.requests) == budget.spent.requests == 3
    results = caught.value.transcript[-1].results  # type: ignore[index, union-attr]
    assert [result.error is None for result in results].count(True) == 2
    assert "the budget is used up" in next(result.error for result in results if result.error)


@every_way
def test_a_budget_counts_a_request_once(way: Any):
    """Even if it is that of the scope, of the option, and of the call around it."""
    budget = Budget(requests=10)
    outer = number.with_options(tools=[number.with_options(budget=budget)], budget=budget)
    with replies(call("number"), TEN, TEN), alloy.budget(budget), alloy.budget(budget):
        way(outer)
    assert budget.spent.requests == 3


def test_blocks_nest():
    """The smaller limit ends the inner block, and the outer one counts on."""
    with replies(TEN, TEN, TEN), alloy.budget(requests=3) as outer:
        with alloy.budget(requests=1):
            number()
            with pytest.raises(BudgetError, match="1 of 1"):
                number()
        number()
        number()
        with pytest.raises(BudgetError, match="3 of 3"):
            number()
    assert outer.spent.requests == 3


@every_way
def test_retries_and_reasks_are_requests(way: Any):
    """And no retry is tried with an empty budget, whatever `retry_on` says."""
    busy = RateLimitError("slow down", provider="fake", retry_after=0.001)
    options = {"retry_on": (ProviderError, RefusalError), "retry": 5, "backoff": 0}
    script = replies(busy, Reply("x", usage=Usage(1, 1)))
    with script as seen, alloy.budget(requests=2) as budget, pytest.raises(BudgetError):
        way(number.with_options(**options))
    assert len(seen.requests) == budget.spent.requests == 2


def test_the_next_model_is_not_asked_with_an_empty_budget():
    """The budget is the caller's, and no model's."""
    models = ["fake:one", "fake:two"]
    with replies(TEN) as seen, alloy.budget(requests=1):
        number.with_options(model=models)()
        with pytest.raises(BudgetError) as caught:
            number.with_options(model=models)()
    assert caught.value.earlier == ()
    assert len(seen.requests) == 1


def test_seconds_count_from_the_first_request():
    """Not from the making of the budget."""
    now = [100.0]
    budget = Budget(seconds=5, clock=lambda: now[0])
    with replies(TEN, TEN), use_config(budget=budget):
        now[0] += 60
        number()
        now[0] += 4
        number()
        now[0] += 1
        with pytest.raises(BudgetError, match="5 of 5 seconds"):
            number()
    assert budget.spent == Spent(tokens=20, requests=2, seconds=5.0)


def test_threads_and_tasks_share_a_budget():
    """The number of requests is exact."""
    budget = Budget(requests=30)

    def one() -> bool:
        try:
            return number() == 1
        except BudgetError:
            return False

    async def one_async() -> bool:
        try:
            return await number.async_() == 1
        except BudgetError:
            return False

    async def main() -> list[bool]:
        return await asyncio.gather(*(one_async() for _ in range(25)))

    with replies(*[TEN] * 30), alloy.budget(budget):
        with ThreadPoolExecutor(8) as pool:
            done = [pool.submit(copy_context().run, one) for _ in range(25)]
        found = [each.result() for each in done] + asyncio.run(main())
    assert found.count(True) == budget.spent.requests == 30


@every_way
def test_the_cost_is_limited(way: Any, server: WireServer):
    """In dollars, by the price list, at the providers' own prices."""
    server.always = lambda _: CHAT.answer("open" if "stream" in way.__name__ else "send", "1")
    at = {**CHAT.options(server), "model": "openai-chat:gpt-5"}
    with alloy.track_usage() as total, alloy.budget(cost="0.00001") as budget:
        way(number.with_options(**at))
        with pytest.raises(BudgetError, match=r"of 0\.00001 US dollars"):
            way(number.with_options(**at))
    assert budget.spent.cost == total.cost is not None
    assert len(server.requests) == 1


@every_way
def test_a_price_that_is_not_known_is_an_error_before_sending(way: Any, server: WireServer):
    """Otherwise the limit would mean nothing."""
    at = {**CHAT.options(server), "model": "openai-chat:my-own"}
    with alloy.budget(cost=1.0), pytest.raises(ConfigurationError, match="price of openai-chat:my-own"):
        way(number.with_options(**at))
    assert not server.requests


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"tokens": 0},
        {"tokens": 1.5},
        {"tokens": True},
        {"requests": -1},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"seconds": "9"},
        {"cost": 0},
        {"cost": "much"},
        {"cost": True},
        {"cost": float("inf")},
        {"cost": []},
    ],
    ids=str,
)
def test_limits_that_make_no_sense_are_refused(limits: Any):
    """Where they are written."""
    with pytest.raises(ConfigurationError, match="Budget: "):
        Budget(**limits)
    with pytest.raises(ConfigurationError, match="Budget: "), alloy.budget(**limits):
        pass


@pytest.mark.parametrize("cost", [0.1, "0.1", Decimal("0.1")])
def test_a_tenth_of_a_dollar_is_a_tenth(cost: Any):
    """And not the float next to it."""
    assert Budget(cost=cost).cost == Decimal("0.1")


def test_copies_share_a_budget_and_pickles_do_not():
    """Another process counts for itself."""
    budget = Budget(tokens=5, cost=1)
    assert copy.deepcopy(budget) is budget
    loaded = pickle.loads(pickle.dumps(budget))
    assert repr(loaded) == repr(budget) == "Budget(tokens=5, cost=1)"
    error = pickle.loads(pickle.dumps(BudgetError("used up", spent=Spent(3, 2, 1.0, Decimal(4)))))
    assert error.spent == Spent(3, 2, 1.0, Decimal(4))


def test_a_tool_that_asks_in_its_own_thread_shares_the_budget():
    """If it copies its context."""

    @tool
    def several() -> int:
        """Ask in threads."""
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(lambda context: context.run(number), [copy_context(), copy_context()]))

    budget = Budget(requests=9)
    with replies(call("several"), TEN, TEN, TEN):
        ask("go", tools=[several], budget=budget)
    assert budget.spent.requests == 4
