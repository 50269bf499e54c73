"""Exceptions of a tool that are no `Exception`: what is a failure of the tool, and what ends the call."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from kit.patience import PATIENCE

from alloy import ToolError, ask, tool
from alloy.events import CallFailed, Event, ToolFinished
from alloy.result import Result
from alloy.testing import call, calls, replies


async def of_stream(**options: Any) -> Result[str]:
    """The result of an async stream."""
    return await ask.stream_async("go", **options).run()


WAYS: dict[str, Callable[..., Result[str]]] = {
    "sync": lambda **options: ask.run("go", **options),
    "stream": lambda **options: ask.stream("go", **options).run(),
    "async": lambda **options: asyncio.run(ask.run_async("go", **options)),
    "async stream": lambda **options: asyncio.run(of_stream(**options)),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)

FAILURES: list[BaseException] = [
    asyncio.CancelledError("inner"),
    concurrent.futures.CancelledError("inner"),
    GeneratorExit("inner"),
    StopIteration("inner"),
    StopAsyncIteration("inner"),
]


class Exits:
    """Tools that raise *error*, each in its own way."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def plain(self) -> None:
        """Raise it in the caller's thread, or in one of ours."""
        raise self.error

    async def task(self) -> None:
        """Raise it in the loop."""
        await asyncio.sleep(0)
        raise self.error

    def of_a_loop(self) -> None:
        """Have it raised by an event loop of the tool's own."""
        asyncio.run(self.task())


every_kind = pytest.mark.parametrize("kind", ["plain", "task", "of_a_loop"])


def quick() -> str:
    """Answer."""
    return "here"


# Alone in its turn, with another tool, and with a limit: each runs in another thread or task.
SETTINGS: dict[str, tuple[bool, dict[str, Any]]] = {
    "alone": (False, {}),
    "with another": (True, {}),
    "with a limit": (False, {"tool_timeout": PATIENCE}),
    "with a deadline": (True, {"deadline": PATIENCE}),
}
every_setting = pytest.mark.parametrize(("both", "options"), SETTINGS.values(), ids=SETTINGS)


@every_way
@every_setting
@every_kind
def test_the_model_is_told(way: Any, both: bool, options: dict[str, Any], kind: str) -> None:
    """Nobody has cancelled the call, so the exception is the tool's own; the other tool has its result."""
    turn = [call(kind), *([call("quick")] if both else [])]
    for error in FAILURES:
        with replies(calls(*turn), "done"):
            result = way(tools=[getattr(Exits(error), kind), quick], **options)
        assert result.value == "done"
        shown = result.tool_calls[0].content
        assert shown.startswith("Error: ")
        assert type(error).__name__ in shown or "the tool was cancelled: inner" in shown
        assert [each.content for each in result.tool_calls[1:]] == ["here"] * both


@every_way
@every_kind
def test_the_call_ends_with_a_tool_error_where_that_is_asked_for(way: Any, kind: str) -> None:
    """By `tool_errors="raise"`, as for any other exception."""
    for error in FAILURES:
        with pytest.raises(ToolError, match=f"the tool '{kind}' failed"), replies(call(kind)):
            way(tools=[getattr(Exits(error), kind)], tool_errors="raise")


@every_way
@every_kind
@pytest.mark.parametrize("both", [False, True], ids=["alone", "with another"])
@pytest.mark.parametrize("error", [KeyboardInterrupt("inner"), SystemExit(3)], ids=repr)
def test_an_exit_ends_the_call(way: Any, both: bool, kind: str, error: BaseException) -> None:
    """`sys.exit()` and Ctrl-C are for the program: it gets them as they are, and each tool has its end."""
    events: list[Event] = []
    turn = [call(kind), *([call("quick")] if both else [])]
    with pytest.raises(type(error)) as raised, replies(calls(*turn)):
        way(tools=[getattr(Exits(error), kind), quick], on_event=events.append)
    assert raised.value.args == error.args
    assert [type(each) for each in events[-1:]] == [CallFailed]
    assert len([each for each in events if isinstance(each, ToolFinished)]) == len(turn)


@every_way
@every_setting
def test_a_tool_that_cancels_its_own_task_is_a_failure(way: Any, both: bool, options: dict[str, Any]) -> None:
    """And not a cancelled call."""

    async def cancels() -> None:
        """Cancel the task in which it runs."""
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(PATIENCE)

    turn = [call("cancels"), *([call("quick")] if both else [])]
    with replies(calls(*turn), "done"):
        result = way(tools=[cancels, quick], **options)
    assert "the tool was cancelled" in result.tool_calls[0].content


class Begun:
    """An async tool and a sync one that say when they have begun, and wait."""

    def __init__(self) -> None:
        self.began, self.over, self.cancelled = threading.Event(), threading.Event(), False

    async def task(self) -> None:
        """Wait in the loop."""
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    def plain(self) -> None:
        """Wait in a thread."""
        self.began.set()
        self.over.wait(PATIENCE)


@pytest.fixture
def begun() -> Iterator[Begun]:
    """Tools that end with the test."""
    tools = Begun()
    yield tools
    tools.over.set()


@pytest.mark.parametrize("kind", ["task", "plain"])
@pytest.mark.parametrize("streamed", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize("options", [{}, {"tool_timeout": PATIENCE}], ids=["no limit", "a limit"])
def test_a_real_cancellation_still_cancels(
    kind: str, streamed: bool, options: dict[str, Any], begun: Begun
) -> None:
    """The caller's task, while the tool waits; an async tool sees it."""

    async def main() -> None:
        tools = [getattr(begun, kind)]
        made = of_stream if streamed else lambda **given: ask.run_async("go", **given)
        running = asyncio.create_task(made(tools=tools, **options))
        assert await asyncio.to_thread(begun.began.wait, PATIENCE)
        running.cancel("by the caller")
        with pytest.raises(asyncio.CancelledError):
            await running
        assert running.cancelled()

    with replies(call(kind)):
        asyncio.run(main())
    assert begun.cancelled == (kind == "task")


def test_a_cancellation_that_arrives_while_a_tool_raises_its_own_still_cancels() -> None:
    """The tool answers its cancellation with another one."""
    began = asyncio.Event()

    async def rude() -> None:
        """Wait, and raise another one."""
        began.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise asyncio.CancelledError("mine")

    async def main() -> None:
        running = asyncio.create_task(ask.run_async("go", tools=[tool(rude)]))
        await began.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    with replies(call("rude")):
        asyncio.run(main())
