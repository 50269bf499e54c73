"""Async parsers: awaited where the call is, in every way to make one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from kit.patience import limits

from alloy import Config, DeadlineError, ParseError, ask, register_parser, tool
from alloy._engine.effects import ParseValues
from alloy._engine.prepare import prepare
from alloy._engine.runtime import background_loop
from alloy._engine.runtime.async_io import AsyncIO
from alloy.messages import User
from alloy.testing import call, replies


class Rate:
    """A rate that is looked up elsewhere."""

    def __init__(self, code: str, loop: Any) -> None:
        self.code, self.loop = code, loop

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rate) and self.code == other.code

    __hash__ = None  # type: ignore[assignment]


slow_ones: list[str] = []


async def look_up(code: str) -> Rate:
    """Look a rate up, as over a network."""
    await asyncio.sleep(0)
    if code == "slow":
        slow_ones.append(code)
        await asyncio.Event().wait()
    if len(code) != 3:
        raise ValueError("a currency has three letters")
    return Rate(code, asyncio.get_running_loop())


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """The parser counts in a test alone."""
    with register_parser(Rate, wire=str, parse=look_up):
        yield
    background_loop.close()


WAYS: dict[str, Callable[..., Any]] = {
    "run": lambda **options: ask.run("go", **options),
    "run_async": lambda **options: asyncio.run(ask.run_async("go", **options)),
    "stream": lambda **options: ask.stream("go", **options).run(),
    "stream_async": lambda **options: asyncio.run(ask.stream_async("go", **options).run()),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


@every_way
def test_values_are_awaited_at_any_depth(way: Any):
    """A list of them, side by side."""
    with replies(["EUR", "USD"]):
        assert way(output=list[Rate]).value == [Rate("EUR", None), Rate("USD", None)]


@every_way
def test_what_they_object_to_is_asked_again(way: Any):
    """With the path, as with any other parser."""
    with replies(["EUR", "dollars"], ["EUR", "USD"]) as seen:
        assert way(output=list[Rate]).turns == 2
    assert "three letters" in seen.requests[1]["messages"][-1]["content"]
    with replies(["x"], ["y"]), pytest.raises(ParseError, match="three letters") as caught:
        way(output=list[Rate])
    assert caught.value.attempts == 2


@every_way
def test_the_deadline_bounds_them(way: Any):
    """They are part of the call."""
    slow_ones.clear()
    for limit in limits(lambda: slow_ones):
        with pytest.raises(DeadlineError), replies("slow"):
            way(output=Rate, deadline=limit)


def test_items_of_a_stream_are_awaited():
    """Each element as it arrives, in a stream of either kind."""

    async def all_of(items: Any) -> list[Any]:
        return [item async for item in items]

    with replies(["EUR", "USD"], ["EUR", "USD"]):
        plain = list(ask.stream("go", output=list[Rate]).items())
        other = asyncio.run(all_of(ask.stream_async("go", output=list[Rate]).items()))

    assert plain == other == [Rate("EUR", None), Rate("USD", None)]


def test_in_a_loop_they_run_in_that_loop():
    """What they hold open belongs to it."""

    async def inside() -> None:
        with replies("EUR"):
            rate = await ask.async_("go", output=Rate)
        assert rate.loop is asyncio.get_running_loop()

    asyncio.run(inside())


@every_way
def test_arguments_of_tools_are_awaited_too(way: Any):
    """For sync tools and for async ones."""

    @tool
    def sync_tool(rate: Rate) -> str:
        """Say it."""
        return rate.code

    @tool
    async def async_tool(rate: Rate) -> str:
        """Say it."""
        return rate.code

    with replies(
        call("sync_tool", rate="EUR"), call("async_tool", rate="USD"), call("async_tool", rate="?"), "ok"
    ):
        first, second, third = way(tools=[sync_tool, async_tool]).tool_calls
    assert (first.value, second.value) == ("EUR", "USD")
    assert "three letters" in third.content


def test_a_parser_that_comes_too_late_is_not_begun():
    """No coroutine is created that is not awaited: warnings are errors here."""
    settings = Config(backend="fake", deadline=1e-9)
    job = prepare((User("go"),), output=Rate, settings=settings)

    async def late() -> None:
        await AsyncIO(job).perform(ParseValues((partial(look_up, "EUR"),)))

    with pytest.raises(DeadlineError):
        asyncio.run(late())


@every_way
def test_a_parser_that_is_cancelled_by_itself_is_a_problem_of_the_answer(way: Callable[..., Any]) -> None:
    """Nobody has cancelled the call: the model is asked again."""

    async def cancelled(code: str) -> Rate:
        if code == "odd":
            raise asyncio.CancelledError("inner")
        return Rate(code, None)

    with register_parser(Rate, wire=str, parse=cancelled), replies("odd", "USD"):
        result = way(output=Rate, reask=1)
    assert (result.value.code, result.turns) == ("USD", 2)


@pytest.mark.parametrize("way", [WAYS["run_async"], WAYS["stream_async"]], ids=["run", "stream"])
def test_a_parser_that_ignores_its_cancellation_is_left_behind(way: Callable[..., Any]) -> None:
    """Neither the deadline nor the end of the loop waits for it."""
    over: list[str] = []
    began: list[str] = []

    async def stubborn(code: str) -> Rate:
        began.append(code)
        while not over:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        return Rate(code, None)

    with register_parser(Rate, wire=str, parse=stubborn):
        for limit in limits(lambda: began):
            with pytest.raises(DeadlineError, match="it waited for an async parser"), replies("EUR"):
                way(output=Rate, deadline=limit)
    over.append("over")
