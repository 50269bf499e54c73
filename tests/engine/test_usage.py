"""Usage tracking: what the calls of a scope cost together."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from decimal import Decimal
from typing import Any

import pytest
from kit.apis import CHAT
from kit.patience import PATIENCE
from kit.ways import every_way
from kit.wire import WireServer

import alloy
from alloy import RateLimitError, Usage, UsageTotal, ask, command, tool
from alloy.messages import Reply, RequestUsage
from alloy.prices import cost_of, price
from alloy.testing import call, calls, replies

ONE = Reply("1", usage=Usage(10, 5, 2, 1))


@command(output=int)
def number() -> str:
    """Ask for a number."""
    return "a number?"


@every_way
def test_usage_adds_up_in_every_way_of_calling(way: Any):
    """Tokens of all kinds, calls, requests, and the model that cost them."""
    with replies(ONE, ONE), alloy.track_usage() as total:
        way(number)
        way(number)
    assert (total.calls, total.requests) == (2, 2)
    assert total.usage == Usage(20, 10, 4, 2)
    assert total.by_model == {"fake:fake": Usage(20, 10, 4, 2)}


@every_way
def test_failed_requests_and_calls_are_counted(way: Any):
    """A request that fails is a request; a call that fails has cost what it cost."""
    busy = RateLimitError("slow down", provider="fake", retry_after=0.001)
    bad = Reply("x", usage=Usage(10, 5))
    with replies(busy, bad, bad), alloy.track_usage() as total, pytest.raises(alloy.ParseError):
        way(number)
    assert (total.calls, total.requests, total.usage) == (1, 3, Usage(20, 10))


@every_way
def test_commands_that_run_as_tools_are_counted(way: Any):
    """In whichever thread or loop they run."""
    outer = number.with_options(tools=[number])
    script = (calls(call("number"), call("number")), ONE, ONE, ONE)
    with replies(*script), alloy.track_usage() as total:
        way(outer)
    assert (total.calls, total.requests) == (3, 4)
    assert total.usage.input_tokens > 30


def test_blocks_nest():
    """The outer one counts what the inner one counts."""
    with replies(ONE, ONE), alloy.track_usage() as outer:
        with alloy.track_usage() as inner:
            number()
        number()
    assert (inner.requests, outer.requests) == (1, 2)
    assert (inner.usage, outer.usage) == (Usage(10, 5, 2, 1), Usage(20, 10, 4, 2))


def test_tasks_and_threads_with_the_context_are_counted():
    """Many at once lose nothing."""
    several = 40
    with replies(*[ONE] * (2 * several)), alloy.track_usage() as total:

        async def main() -> None:
            await asyncio.gather(*(number.async_() for _ in range(several)))

        asyncio.run(main())
        with ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(copy_context().run, number) for _ in range(several)]
        assert [each.result() for each in waiting] == [1] * several
    assert (total.calls, total.requests) == (2 * several, 2 * several)
    assert total.usage == Usage(10 * 2 * several, 5 * 2 * several, 2 * 2 * several, 2 * several)


def test_a_stream_that_is_left_counts_its_request():
    """Its tokens are not known, because the provider says them at the end."""
    with replies("a long story"), alloy.track_usage() as total, ask.stream("go") as stream:
        next(stream)
    assert (total.calls, total.requests, total.usage) == (1, 1, Usage())


def test_nothing_outside_the_block_is_counted():
    """Before and after it."""
    with replies(ONE, ONE, ONE):
        number()
        with alloy.track_usage() as total:
            number()
        number()
    assert total.requests == 1


def test_a_tool_that_fails_changes_nothing():
    """The tokens around it are counted."""

    @tool
    def broken() -> str:
        """Fail."""
        raise ZeroDivisionError

    with replies(call("broken"), ONE), alloy.track_usage() as total:
        ask("go", tools=[broken])
    assert (total.calls, total.requests) == (1, 2)


# --- what commands cost that ran as tools -------------------------------------------------------------


@tool
def ask_twice() -> int:
    """Ask for two numbers."""
    return number() + number()


@tool
async def ask_async() -> int:
    """Ask for a number."""
    return await number.async_()


@every_way
@pytest.mark.parametrize("limits", [{}, {"tool_timeout": PATIENCE}, {"deadline": PATIENCE}], ids=str)
def test_a_result_has_the_usage_of_the_commands_that_its_tools_called(way: Any, limits: Any):
    """Each tool result has its part, whether the tool runs in a thread, a task, or the caller."""
    outer = number.with_options(tools=[ask_twice, ask_async, number], **limits)
    first = calls(call("ask_twice"), call("ask_async"), call("number"))
    with replies(first, ONE, ONE, ONE, ONE, ONE), alloy.track_usage() as total:
        result, _ = way(outer)
    parts = {each.name: each.usage for each in result.tool_calls}
    one = ONE.usage
    assert parts == {"ask_twice": one + one, "ask_async": one, "number": one}
    assert len(result.requests) == 6
    assert result.usage == total.usage


def test_deeper_commands_count_for_each_call_around_them():
    """The usage of a command in a command in a command is in all three."""

    @tool
    def middle() -> int:
        """Call a command that calls a tool."""
        inner = number.with_options(tools=[number]).run()
        assert inner.usage == inner.tool_calls[0].usage + sum_of(inner.transcript)
        return inner.value

    with replies(call("middle"), call("number"), ONE, ONE, ONE):
        result = number.with_options(tools=[middle]).run()
    (deepest,) = result.tool_calls
    assert len(deepest.requests) == 3
    assert result.usage == deepest.usage + sum_of(result.transcript)


def sum_of(transcript: Any) -> Usage:
    """The usage of the replies in a transcript."""
    return sum((turn.usage for turn in transcript if isinstance(turn, Reply)), Usage())


def test_a_failed_tool_has_the_usage_of_what_it_called():
    """What was paid was paid."""

    @tool
    def unlucky() -> int:
        """Fail after a call."""
        number()
        raise ZeroDivisionError

    with replies(call("unlucky"), ONE, ONE):
        result = number.with_options(tools=[unlucky]).run()
    assert result.tool_calls[0].error is not None
    assert result.tool_calls[0].usage == ONE.usage


def test_an_error_has_the_usage_of_tools_that_ran():
    """As a result has."""
    with replies(call("number"), ONE, "no number"), pytest.raises(alloy.ParseError) as caught:
        number.with_options(tools=[number], reask=0)()
    assert caught.value.usage is not None
    assert caught.value.usage.reasoning_tokens == ONE.usage.reasoning_tokens


# --- prices -------------------------------------------------------------------------------------------

MILLION = Usage(1_000_000, 0)


@pytest.mark.parametrize(
    ("model", "address"),
    [
        ("openai:gpt-5", None),
        ("openai:gpt-5", "https://api.openai.com/v1/"),
        ("openai-chat:gpt-5", "https://gateway.example/openai/v1"),
        ("openai-chat:openai/gpt-5", "https://openrouter.ai/api/v1"),
    ],
)
def test_the_price_of_a_request_follows_from_model_and_address(model: str, address: str | None):
    """A host in the price list has its own names; any other is taken for a gateway."""
    assert price(RequestUsage(model, MILLION, address)) == Decimal("1.25")


@every_way
@pytest.mark.parametrize("model", ["gpt-5", "openai:gpt-5", "openai-chat:gpt-5"])
def test_the_cost_of_a_model_can_be_tried_offline(way: Any, model: str):
    """The fake backend answers in place of a model, whose price a scripted usage has."""
    reply = Reply("1", usage=Usage(1_000_000, 0))
    asked = number.with_options(model=model)
    with replies(reply, reply), alloy.track_usage() as total, alloy.budget(cost=2) as budget:
        way(asked)
        assert number.with_options(model=model).run().cost == Decimal("1.25")
        with pytest.raises(alloy.BudgetError, match=r"2\.50* of 2 US dollars"):
            way(asked)
    assert (total.cost, total.unpriced) == (Decimal("2.5"), ())
    assert budget.spent.cost == Decimal("2.5")


@pytest.mark.parametrize("model", ["anthropic:claude-haiku-4-5", "gemini:gemini-2.5-flash"])
def test_the_other_providers_have_prices(model: str):
    """Under the names that the price list has for them."""
    cost = price(RequestUsage(model, MILLION))
    assert cost is not None and cost > 0


@pytest.mark.parametrize(
    "model", ["fake:fake", "ollama:qwen3", "openai-chat:my-own", "acme:gpt-5", "fake:my-own"]
)
def test_a_model_without_a_price_costs_none_and_not_nothing(model: str):
    """Zero would be a wrong answer."""
    assert price(RequestUsage(model, MILLION, "http://localhost:8000/v1")) is None
    assert cost_of([RequestUsage("openai:gpt-5", MILLION), RequestUsage(model, MILLION)]) is None


def test_reading_and_writing_the_prompt_cache_have_their_own_prices():
    """Anthropic's are a tenth and five quarters of the usual price."""

    def of(usage: Usage) -> Decimal:
        cost = price(RequestUsage("anthropic:claude-haiku-4-5", usage))
        assert cost is not None
        return cost

    plain = of(MILLION)
    assert of(Usage(1_000_000, 0, cached_tokens=1_000_000)) == plain / 10
    assert of(Usage(1_000_000, 0, cache_write_tokens=1_000_000)) == plain * 5 / 4


def test_a_total_has_the_cost_of_what_has_a_price_and_names_the_rest(server: WireServer):
    """And so has a result."""
    server.always = lambda _: CHAT.answer("send", "1")
    paid = {**CHAT.options(server), "model": "openai-chat:gpt-5"}
    with alloy.track_usage() as total:
        own = number.with_options(**{**paid, "model": "openai-chat:my-own"}).run()
        known = number.with_options(**paid).run()
    assert own.cost is None
    assert known.cost is not None and known.cost > 0
    assert total.cost == known.cost
    assert total.unpriced == ("openai-chat:my-own",)


def test_many_requests_are_priced_and_forgotten():
    """A total does not grow with the number of calls."""
    total = UsageTotal()
    for _ in range(1000):
        total._add(RequestUsage("openai:gpt-5", MILLION), 0.5)
    assert len(total._pending) < 1000
    assert (total.cost, total.unpriced, total.seconds) == (Decimal(1250), (), 500)
    assert UsageTotal().cost == 0


NO_PRICES = """
import sys
sys.modules["genai_prices"] = None
import alloy
from alloy.testing import replies
with replies("hi"), alloy.track_usage() as total:
    result = alloy.ask.run("x")
for asked in (lambda: total.cost, lambda: total.unpriced, lambda: result.cost):
    try:
        asked()
    except alloy.ConfigurationError as error:
        print(error)
print(total)
"""


def test_without_the_price_list_the_error_says_what_to_install():
    """And the rest works."""
    done = subprocess.run([sys.executable, "-c", NO_PRICES], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all("pip install 'alloy-ai[prices]'" in line for line in lines[:3])
    assert "requests=1" in lines[3]
