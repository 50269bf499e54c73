"""Usage tracking: what the calls of a scope cost together."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from kit.ways import every_way

import alloy
from alloy import RateLimitError, Usage, ask, command, tool
from alloy.messages import Reply
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
