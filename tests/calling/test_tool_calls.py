"""Tools in use: what comes of a model's calls, many at once, and how many turns there may be."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pytest
from kit.patience import PATIENCE

from alloy import ToolError, TurnLimitError, ask, tool
from alloy.testing import call, calls, replies


@tool
def add(a: int, b: int = 2) -> int:
    """Add two numbers.

    Args:
        a: the first
    """
    return a + b


@dataclass
class Point:
    """A point in the plane."""

    x: int
    y: int = 0


def used(given: Any, *turns: Any, **options: Any) -> list[str]:
    """What the model got back from each call of one run with one tool."""
    with replies(*turns, "done"):
        return [made.content for made in ask.run("go", tools=[given], **options).tool_calls]


# --- what comes of a call -------------------------------------------------------------------------


def test_arguments_arrive_as_the_declared_types():
    """A dataclass parameter is that dataclass, and so are the items of a list."""
    got: list[Any] = []

    def draw(start: Point, path: list[Point], scale: float = 1) -> int:
        """Draw."""
        got.extend([start, path, scale])
        return len(path)

    assert used(draw, call("draw", start={"x": "1"}, path=[{"x": 2, "y": 3}])) == ["1"]
    assert got == [Point(1, 0), [Point(2, 3)], 1]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "$.a: required, but missing"),
        ({"a": "one"}, "$.a: "),
        ({"a": 1, "c": 2}, "unknown argument; the arguments are: a, b"),
    ],
)
def test_bad_arguments_go_back_to_the_model(arguments: dict[str, Any], problem: str):
    """With the path and the problem; the tool does not run."""
    (content,) = used(add, call("add", **arguments), tool_errors="raise")
    assert content.startswith("Error: bad arguments: ") and problem in content


def test_an_unknown_tool_goes_back_to_the_model():
    """With the names there are, also under `tool_errors="raise"`."""
    assert used(add, call("plus", a=1), tool_errors="raise") == [
        "Error: the tool 'plus' does not exist; the tools are: add"
    ]


def test_a_sync_wrapper_round_an_async_tool_says_what_is_wrong():
    """The model is not shown a coroutine object, and no coroutine is left unawaited."""

    async def later() -> int:
        return 1

    def wrapper() -> Any:
        """Wrap."""
        return later()

    (content,) = used(wrapper, call("wrapper"))
    assert "make its wrapper async" in content


def test_a_tool_that_is_not_allowed_does_not_run():
    """No provider need hold a model to `allowed_tools`, so Alloy does."""

    def secret() -> str:
        """Tell."""
        raise AssertionError("called")

    with replies(call("secret"), call("add", a=1), "done"):
        first, second = ask.run("go", tools=[add, secret], allowed_tools=["add"]).tool_calls
    assert (first.content, second.content) == (
        "Error: the tool 'secret' may not be called; the tools are: add",
        "3",
    )


def boom(x: int) -> int:
    """Fail."""
    raise KeyError(f"no {x}")


async def boom_async(x: int) -> int:
    """Fail later."""
    raise KeyError(f"no {x}")


@pytest.mark.parametrize("given", [boom, boom_async])
def test_an_exception_goes_back_to_the_model_and_into_the_log(given: Any, caplog: pytest.LogCaptureFixture):
    """The model reads class and message, the log has the traceback."""
    with caplog.at_level(logging.WARNING, "alloy"):
        assert used(given, call(given.__name__, x=3)) == ["Error: KeyError: 'no 3'"]
    (record,) = caplog.records
    assert record.exc_info is not None and record.exc_info[0] is KeyError
    assert given.__name__ in record.getMessage()


@pytest.mark.parametrize("given", [boom, boom_async])
def test_an_exception_can_end_the_run(given: Any):
    """`tool_errors="raise"`: a `ToolError` with the tool's name, caused by the exception."""
    for start in (
        lambda: ask("go", tools=[given], tool_errors="raise"),
        lambda: asyncio.run(ask.async_("go", tools=[given], tool_errors="raise")),
    ):
        with replies(calls(call(given.__name__, x=3), call("boom", x=4))), pytest.raises(ToolError) as raised:
            start()
        assert raised.value.tool == given.__name__
        assert isinstance(raised.value.__cause__, KeyError)


class Broken(Exception):
    """An error whose own methods raise."""

    def __str__(self) -> str:
        raise KeyError("no text")

    __repr__ = __str__


def broken(x: int) -> int:
    """Fail in an odd way."""
    raise Broken(x)


async def broken_async(x: int) -> int:
    """Fail later in an odd way."""
    raise Broken(x)


@pytest.mark.parametrize("given", [broken, broken_async])
def test_an_exception_that_has_no_text_is_an_error_of_the_tool(given: Any):
    """It goes the way of every other one."""
    (content,) = used(given, call(given.__name__, x=3))
    assert content == "Error: Broken: (no text: KeyError)"
    with replies(call(given.__name__, x=3)), pytest.raises(ToolError, match=r"failed: \(no text: KeyError\)"):
        ask("go", tools=[given], tool_errors="raise")


RESULTS = [
    ("text", "text"),
    (None, "null"),
    (True, "true"),
    (1.5, "1.5"),
    ([1, {"a": None}], '[1,{"a":null}]'),
    (Point(1, 2), '{"x":1,"y":2}'),
]


@pytest.mark.parametrize(("value", "content"), RESULTS)
def test_results_are_told_as_json(value: Any, content: str):
    """Text as it stands, everything else as compact JSON; Python keeps the value itself."""

    def give() -> Any:
        """Give."""
        return value

    with replies(call("give"), "done"):
        (made,) = ask.run("go", tools=[give]).tool_calls
    assert (made.content, made.value, made.error) == (content, value, None)


def test_a_result_says_all_about_a_call():
    """Name, converted arguments, value and a duration."""
    with replies(call("add", a="1"), "done"):
        (made,) = ask.run("go", tools=[add]).tool_calls
    assert (made.name, made.arguments, made.value, made.content) == ("add", {"a": 1}, 3, "3")
    assert made.call.name == "add" and made.duration >= 0


# --- many at once ---------------------------------------------------------------------------------


def test_parallel_calls_run_in_parallel_threads_in_order():
    """Three calls meet at a barrier, which no sequence of calls can pass; results keep the calls' order."""
    meet = threading.Barrier(3, timeout=PATIENCE)

    def wait(x: int) -> int:
        """Wait for the others."""
        meet.wait()
        return x

    turn = calls(*(call("wait", x=x) for x in (3, 1, 2)))
    assert used(wait, turn) == ["3", "1", "2"]
    with replies(turn, "done"):
        done = asyncio.run(ask.run_async("go", tools=[wait]))
    assert [made.content for made in done.tool_calls] == ["3", "1", "2"]


def test_parallel_async_calls_meet_too():
    """The same for coroutines, in async runs and in sync ones."""

    def run(start: Callable[[list[Any]], Any]) -> list[str]:
        meet = asyncio.Barrier(3)

        async def wait(x: int) -> int:
            """Wait for the others."""
            async with asyncio.timeout(PATIENCE):
                await meet.wait()
            return x

        with replies(calls(*(call("wait", x=x) for x in (3, 1, 2))), "done"):
            return [made.content for made in start([wait]).tool_calls]

    assert run(lambda tools: ask.run("go", tools=tools)) == ["3", "1", "2"]
    assert run(lambda tools: asyncio.run(ask.run_async("go", tools=tools))) == ["3", "1", "2"]


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_run_at_once_than_allowed(most: int):
    """`parallel_tools_max` bounds threads and tasks."""
    lock, now, peak = threading.Lock(), 0, 0

    def enter() -> None:
        nonlocal now, peak
        with lock:
            now += 1
            peak = max(peak, now)

    def leave() -> None:
        nonlocal now
        with lock:
            now -= 1

    def work() -> None:
        """Work."""
        enter()
        threading.Event().wait(0.01)
        leave()

    async def work_async() -> None:
        """Work."""
        enter()
        await asyncio.sleep(0.01)
        leave()

    for given in (work, work_async):
        turn = calls(*[call(given.__name__)] * 6)
        peak = 0
        used(given, turn, parallel_tools_max=most)
        assert peak <= most
        peak = 0
        with replies(turn, "done"):
            asyncio.run(ask.run_async("go", tools=[given], parallel_tools_max=most))
        assert peak <= most


who: ContextVar[str] = ContextVar("who", default="unset")


def test_context_variables_reach_tools():
    """Sync and async tools, alone and in parallel, in sync and async runs; none leaks back."""

    def see() -> str:
        """See."""
        found = who.get()
        who.set("changed")
        return found

    async def see_async() -> str:
        """See."""
        return see()

    turn = calls(*[call("see"), call("see_async")] * 2)
    token = who.set("caller")
    try:
        with replies(turn, call("see_async"), "done"):
            first = ask.run("go", tools=[see, see_async])
        with replies(turn, call("see"), call("see_async"), "done"):
            second = asyncio.run(ask.run_async("go", tools=[see, see_async]))
        assert {made.content for made in (*first.tool_calls, *second.tool_calls)} == {"caller"}
    finally:
        who.reset(token)


def test_async_tools_of_sync_runs_share_one_loop():
    """What an async tool keeps with its loop, a pool of connections say, is still good in the next call."""
    loops: set[Any] = set()

    async def look() -> str:
        """Look."""
        loops.add(asyncio.get_running_loop())
        return "ok"

    for _ in range(2):
        used(look, call("look"))
    assert len(loops) == 1


def test_a_sync_run_inside_a_running_loop_can_use_async_tools():
    """It blocks that loop, and does not run into it."""

    async def look() -> str:
        """Look."""
        await asyncio.sleep(0)
        return "ok"

    async def main() -> list[str]:
        return used(look, call("look"), calls(call("look"), call("look")))

    assert asyncio.run(main()) == ["ok"] * 3


# --- turns ----------------------------------------------------------------------------------------


def test_turns_are_limited():
    """After `max_tool_turns` rounds of calls one more is an error that names the tools."""
    with (
        replies(*[call("add", a=1)] * 3),
        pytest.raises(TurnLimitError, match=r"in 2 turns .*add.*max_tool_turns"),
    ):
        ask("go", tools=[add], max_tool_turns=2)
    assert used(add, *[call("add", a=1)] * 2, max_tool_turns=2) == ["3", "3"]


def test_no_turn_means_no_call():
    """`max_tool_turns=0` ends with the first call, before it runs."""
    with replies(call("boom", x=1)), pytest.raises(TurnLimitError):
        ask("go", tools=[boom], max_tool_turns=0, tool_errors="raise")
