"""A reply with thousands of tool calls: there is no limit but that of the answer, and the work is linear."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from kit.apis import Api, every_api, pieces_of

from alloy import ask
from alloy.events import ToolFinished
from alloy.result import Result
from alloy.testing import call, calls, replies

WAYS: dict[str, Callable[..., Result[str]]] = {
    "sync": lambda **options: ask.run("go", **options),
    "async": lambda **options: asyncio.run(ask.run_async("go", **options)),
    "stream": lambda **options: ask.stream("go", **options).run(),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def steps(work: Callable[[], object]) -> int:
    """How many functions *work* calls in this thread."""
    count = 0

    def note(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@every_way
def test_ten_thousand_calls_run_a_few_at_a_time(way: Any) -> None:
    """All of them, in no more threads than `parallel_tools_max`, with the results in order."""
    lock, running, most = threading.Lock(), 0, 0

    def double(number: int) -> int:
        """Double a number."""
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return 2 * number

    with replies(calls(*(call("double", number=number) for number in range(10_000))), "done"):
        result = way(tools=[double], parallel_tools_max=3)

    assert [each.value for each in result.tool_calls] == [2 * number for number in range(10_000)]
    assert most <= 3


@every_way
def test_the_work_for_each_call_does_not_grow_with_their_number(way: Any) -> None:
    """When each of them ends alone, which is the most work."""

    def cost(number: int) -> int:
        permits = threading.Semaphore(1)

        def tool() -> int:
            """Wait for the one before."""
            permits.acquire()
            return 1

        def note(event: Any) -> None:
            if isinstance(event, ToolFinished):
                permits.release()

        with replies(calls(*[call("tool")] * number), "done"):
            return steps(lambda: way(tools=[tool], parallel_tools_max=2, on_event=note))

    cost(10)
    few, many = cost(100), cost(800)
    assert many < 12 * few


@every_api
def test_reading_each_call_costs_the_same_whatever_their_number(api: Api) -> None:
    """In a whole answer and in a stream, by each format."""

    def cost(number: int) -> tuple[int, int]:
        whole = api.whole("Hi", calls=[("add", {"a": place}, f"id{place}") for place in range(number)])
        events, accumulator = api.events(whole, pieces_of(20)), api.backend.accumulator()

        def read() -> None:
            for event in events:
                accumulator.feed(event)
            assert len(accumulator.reply().calls) == number

        return steps(lambda: api.backend.decode(whole)), steps(read)

    cost(10)
    for few, many in zip(cost(100), cost(800), strict=True):
        assert many < 12 * few
