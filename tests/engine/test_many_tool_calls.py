"""A reply with thousands of tool calls: there is no limit but that of the answer, and the work is linear."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from kit.apis import RESPONSES, Api, every_api, pieces_of
from kit.steps import lines_run, without_garbage_collection

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

    with without_garbage_collection():
        sys.setprofile(note)
        try:
            work()
        finally:
            sys.setprofile(None)
    return count


@every_way
def test_thousands_of_calls_run_a_few_at_a_time(way: Any) -> None:
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

    with replies(calls(*(call("double", number=number) for number in range(3_000))), "done"):
        result = way(tools=[double], parallel_tools_max=3)

    assert [each.value for each in result.tool_calls] == [2 * number for number in range(3_000)]
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


def item_of(number: int, *, ids: str) -> dict[str, Any]:
    """A call as the Responses API has it; *ids* says which ids a compatible server gives."""
    own = {"none": {}, "one": {"id": "fc"}, "each": {"id": f"fc_{number}"}, "zero": {"id": f"fc_{number}"}}[
        ids
    ]
    return {
        **own,
        "type": "function_call",
        "call_id": f"call_{number}",
        "name": "add",
        "arguments": f'{{"a": {number}}}',
    }


@pytest.mark.parametrize("ids", ["each", "one", "none", "zero"])
@pytest.mark.parametrize("order", ["one by one", "all begun first"])
@pytest.mark.parametrize("final", ["the same", "other call ids", "reversed", "twice as many"])
def test_the_items_of_a_response_are_compared_with_few_others(ids: str, order: str, final: str) -> None:
    """Whatever ids and indices a server gives them; counted in lines of Python, comprehensions included."""

    def cost(number: int) -> int:
        items = [item_of(nth, ids=ids) for nth in range(number)]
        index = [0 if ids == "zero" else nth for nth in range(number)]

        def event(kind: str, nth: int) -> dict[str, Any]:
            return {"type": f"response.output_item.{kind}", "output_index": index[nth], "item": items[nth]}

        pairs = [(event("added", nth), event("done", nth)) for nth in range(number)]
        if order == "one by one":
            events = [each for pair in pairs for each in pair]
        else:
            events = [*(begun for begun, _ in pairs), *(done for _, done in pairs)]
        output = {
            "the same": items,
            "other call ids": [{**item, "call_id": f"other_{item['call_id']}"} for item in items],
            "reversed": items[::-1],
            "twice as many": [*items, *(item_of(nth + number, ids=ids) for nth in range(number))],
        }[final]
        events.append({"type": "response.completed", "response": {"status": "completed", "output": output}})
        accumulator = RESPONSES.backend.accumulator()

        def read() -> None:
            for each in events:
                accumulator.feed(each)
            assert len(accumulator.reply().calls) == len(output)

        return lines_run(read)

    cost(10)
    few, many = cost(50), cost(400)
    assert many < 12 * few
