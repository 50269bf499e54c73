"""`tool_timeout`: a tool that takes too long, and tools that cannot be stopped."""

from __future__ import annotations

import asyncio
import logging
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from kit.patience import PATIENCE, limits

from alloy import ConfigurationError, DeadlineError, ToolError, ask, command, tool, use_config
from alloy.result import Result
from alloy.testing import call, calls, replies

WAYS: dict[str, Callable[..., Result[str]]] = {
    "sync": lambda **options: ask.run("go", **options),
    "async": lambda **options: asyncio.run(ask.run_async("go", **options)),
    "stream": lambda **options: ask.stream("go", **options).run(),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
TOLD = "Error: TimeoutError: the tool took longer than tool_timeout=0.05 seconds"


class Stuck:
    """Tools that wait until the test is over: in a thread, in the loop, and against their cancellation."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.began: list[str] = []

    def thread(self) -> None:
        """Wait in a thread."""
        self.began.append("thread")
        self.over.wait(2 * PATIENCE)

    async def task(self) -> None:
        """Wait in the loop."""
        self.began.append("task")
        await asyncio.Event().wait()

    async def stubborn(self) -> None:
        """Wait in the loop, and ignore cancellations."""
        self.began.append("stubborn")
        while not self.over.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    """Tools that end with the test."""
    tools = Stuck()
    yield tools
    tools.over.set()


every_kind = pytest.mark.parametrize("kind", ["thread", "task", "stubborn"])


@every_way
@every_kind
def test_the_model_is_told_that_a_tool_took_too_long(way: Any, kind: str, stuck: Stuck):
    """The other tool of the turn has its result, and the call continues."""

    @tool
    def quick() -> str:
        """Answer."""
        return "here"

    with replies(calls(call(kind), call("quick")), "done"):
        result = way(tools=[tool(tool_timeout=0.05)(getattr(stuck, kind)), quick])
    late, other = result.tool_calls
    assert late.content.startswith(TOLD)
    assert ("may still be running" in late.content) == (kind == "thread")
    assert (other.content, result.value) == ("here", "done")


@every_way
@every_kind
def test_a_tool_alone_in_its_turn_has_the_limit_too(way: Any, kind: str, stuck: Stuck):
    """Without a deadline, one tool would run in the caller's thread."""
    with replies(call(kind), "done"):
        result = way(tools=[getattr(stuck, kind)], tool_timeout=0.05)
    assert result.tool_calls[0].content.startswith(TOLD)


def test_an_async_tool_that_blocks_the_loop_has_the_limit_in_a_sync_call(stuck: Stuck):
    """The loop is left behind, and the next tool has another."""

    async def blocks() -> None:
        """Block, as no async function should."""
        stuck.thread()

    async def quick() -> str:
        """Answer."""
        return "here"

    with replies(call("blocks"), call("quick"), "done"):
        tools = [blocks, tool(tool_timeout=PATIENCE)(quick)]
        late, other = ask.run("go", tools=tools, tool_timeout=0.05).tool_calls[:2]
    assert late.content.startswith(TOLD)
    assert other.content == "here"


def test_where_the_limit_can_be_set(monkeypatch: pytest.MonkeyPatch, stuck: Stuck):
    """A tool's own limit replaces that of the command, which replaces the one of the process."""

    def told(*tools: Any, **options: Any) -> str:
        @command(tools=tools, **options)
        def go() -> str:
            return "go"

        with replies(call("task"), "done"):
            return go.run().tool_calls[0].content

    monkeypatch.setenv("ALLOY_TOOL_TIMEOUT", "0.04")
    assert "tool_timeout=0.04 " in told(stuck.task)
    with use_config(tool_timeout=0.03):
        assert "tool_timeout=0.03 " in told(stuck.task)
        assert "tool_timeout=0.02 " in told(stuck.task, tool_timeout=0.02)
        own = tool(tool_timeout=0.01)(stuck.task)
        assert "tool_timeout=0.01 " in told(own, tool_timeout=0.02)
        assert "tool_timeout=0.01 " in told(tool(description="Wait.")(own))
    with pytest.raises(ConfigurationError, match=r"@tool: tool_timeout must be a number above 0"):
        tool(tool_timeout=0)


def test_tool_errors_decides_about_tools_that_take_too_long(stuck: Stuck):
    """As for other failures of tools, the call can end instead."""
    with pytest.raises(ToolError, match=r"'task' failed.*tool_timeout"), replies(call("task")):
        ask("go", tools=[stuck.task], tool_timeout=0.01, tool_errors="raise")


@every_way
@pytest.mark.parametrize(("kind", "reason"), [("thread", "thread"), ("stubborn", "cancellation")])
def test_a_tool_that_cannot_be_stopped_is_named_in_the_log(
    way: Any, kind: str, reason: str, stuck: Stuck, caplog: pytest.LogCaptureFixture
):
    """The deadline does not wait for it."""
    caplog.set_level(logging.INFO, "alloy")
    for limit in limits(lambda: stuck.began):
        with pytest.raises(DeadlineError), replies(call(kind)):
            way(tools=[getattr(stuck, kind)], deadline=limit)
    for _ in range(round(PATIENCE / 0.05)):  # in a sync call the background loop notes it
        if any(f"{kind}' still runs" in message and reason in message for message in caplog.messages):
            return
        threading.Event().wait(0.05)
    raise AssertionError(caplog.messages)


NEVER_ENDS = """
import asyncio
from alloy import DeadlineError, ask, tool
from alloy.testing import call, replies

began = []

@tool
async def stubborn() -> None:
    began.append("began")
    while True:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass

for limit in (0.1, 1, 10, 100):
    try:
        with replies(call("stubborn")):
            WAY
    except DeadlineError:
        if began:
            break
print(began[0], "late")
"""


@pytest.mark.parametrize("way", ["ask('x', **said)", "asyncio.run(ask.async_('x', **said))"])
def test_a_tool_that_ignores_its_cancellation_does_not_keep_the_process_alive(way: str):
    """Not even at the end of its event loop."""
    program = NEVER_ENDS.replace("WAY", way.replace("**said", "tools=[stubborn], deadline=limit"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr[-2000:]) == ("began late\n", "")


@every_way
@pytest.mark.parametrize("is_async", [False, True], ids=["thread", "task"])
@pytest.mark.parametrize("again", [False, True], ids=["at once", "a tool again"])
def test_none_lifts_the_setting_for_this_tool(way: Any, is_async: bool, again: bool):
    """The other tool of the turn has the limit, and the one without it outlives that."""
    other_is_told = threading.Event()

    def plain() -> str:
        """Wait for the other tool."""
        return "whole" if other_is_told.wait(PATIENCE) else "late"

    async def waiting() -> str:
        """Wait for the other tool."""
        return await asyncio.to_thread(plain)

    async def limited() -> None:
        """Wait for ever."""
        try:
            await asyncio.Event().wait()
        finally:
            other_is_told.set()

    free: Any = waiting if is_async else plain
    free = tool(tool_timeout=None)(tool(tool_timeout=0.01)(free) if again else free)
    with replies(calls(call(free.name), call("limited")), "done"):
        result = way(tools=[free, limited], tool_timeout=0.05)
    assert result.tool_calls[0].content == "whole"
    assert result.tool_calls[1].content.startswith(TOLD)


def test_what_a_tool_has_of_its_own_survives_pickle_and_further_options():
    """`None` is not "not given": neither for the tool nor for a tool that is made of it."""
    for own in ({}, {"tool_timeout": None, "tool_result_max_chars": None}, {"tool_timeout": 2.0}):
        made = tool(**own)(module_tool)
        for each in (made, pickle.loads(pickle.dumps(made)), tool(description="Other.")(made)):
            assert (each.tool_timeout, each.tool_result_max_chars) == (
                own.get("tool_timeout", ...),
                own.get("tool_result_max_chars", ...),
            )


def module_tool() -> None:
    """Do nothing."""


@every_way
@pytest.mark.parametrize(
    ("event", "words"),
    [
        ("CallStarted", "what ran before the next request"),
        ("ToolStarted", "the tool '(task|module_tool)'"),
    ],
)
@pytest.mark.parametrize("kind", ["task", "module_tool"])
def test_a_deadline_that_passes_in_a_listener_says_what_came_next(
    way: Any, event: str, words: str, kind: str, stuck: Stuck
):
    """Nothing has been waited for then."""
    tools: dict[str, Any] = {"task": stuck.task, "module_tool": module_tool}
    came: list[str] = []
    for limit in limits(lambda: came):

        def listener(seen: Any, longer: float = limit * 1.2) -> None:
            if type(seen).__name__ == event:
                came.append(event)
                time.sleep(longer)

        with pytest.raises(DeadlineError) as caught, replies(call(kind)):
            way(tools=[tools[kind]], deadline=limit, on_event=listener)
    assert re.search(f"; it waited for {words}$", str(caught.value))
