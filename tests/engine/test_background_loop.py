"""Async tools of sync calls: nested, blocking, and cancelled."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from kit.patience import PATIENCE, limits

from alloy import DeadlineError, ask, command, tool
from alloy._engine.runtime import background_loop
from alloy.testing import call, replies


@pytest.fixture(autouse=True)
def fresh_loops() -> Iterator[None]:
    """Start and leave without a background loop."""
    background_loop.close()
    yield
    background_loop.close()


def test_an_async_tool_may_call_a_sync_command_that_has_async_tools():
    """A loop cannot wait for itself, so the inner call has another."""

    @tool
    async def inner_tool(x: int) -> int:
        """Double."""
        await asyncio.sleep(0)
        return 2 * x

    @command(tools=[inner_tool])
    def inner(x: int) -> str:
        return f"double {x}"

    @tool
    async def outer_tool(x: int) -> str:
        """Ask further."""
        return inner(x)

    with replies(call("outer_tool", x=4), call("inner_tool", x=4), "eight", "done"):
        result = ask.run("go", tools=[outer_tool], deadline=PATIENCE)
    assert result.tool_calls[0].value == "eight"


NESTED = """
import sys
from concurrent.futures import ThreadPoolExecutor
from alloy import ask, command, tool

deadline = float(sys.argv[1]) if sys.argv[1] != "None" else None
fake = dict(backend="fake", deadline=deadline)

@tool
async def leaf(x: int) -> int:
    "Add one."
    return x + 1

@command(output=int, tools=[leaf], **fake)
def inner(x: int) -> str:
    "Ask for a leaf."
    return f'fake: call leaf {{"x": {x}}}\\nfake: say {x + 1}'

@tool
async def through_sync(x: int) -> int:
    "Call a command that is not async."
    return inner(x)

@tool
async def through_threads(x: int) -> int:
    "Call it in threads without the context, and wait for them."
    with ThreadPoolExecutor() as pool:
        return sum(pool.map(inner, [x, x]))

@command(output=int, tools=[inner, through_sync, through_threads], **fake)
def middle(name: str, x: int) -> str:
    "Call two tools at once, each with a command inside."
    return f'fake: call {name} {{"x": {x}}}\\nfake: and {name} {{"x": {x}}}\\nfake: say {x}'

@tool
async def top(name: str) -> int:
    "Call a command of commands."
    return middle(name, 5)

def outer(name):
    text = f'fake: call top {{"name": "{name}"}}\\nfake: and top {{"name": "{name}"}}\\nfake: say done'
    return [done.value for done in ask.run(text, tools=[top], **fake).tool_calls]

with ThreadPoolExecutor() as pool:
    print(list(pool.map(outer, ["inner", "through_sync", "through_threads"])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("deadline", [None, PATIENCE])
def test_nested_calls_never_wait_for_each_other(deadline: float | None):
    """Async tools call commands in sync, three deep and in parallel, whatever threads are in between."""
    done = subprocess.run(
        [sys.executable, "-c", NESTED, str(deadline)], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.stdout == "[[5, 5], [5, 5], [5, 5]]\n", done.stderr[-2000:]


def test_a_tool_that_blocks_its_loop_holds_up_nobody_else():
    """Past the deadline the loop is left behind, and the next call has a new one."""
    began, release = threading.Event(), threading.Event()

    @tool
    async def stuck() -> None:
        """Block, as no async function should."""
        began.set()
        release.wait(2 * PATIENCE)

    @tool
    async def quick() -> str:
        """Answer."""
        return "here"

    try:
        for limit in limits(began.is_set):
            with pytest.raises(DeadlineError), replies(call("stuck")):
                ask("go", tools=[stuck], deadline=limit)
        with replies(call("quick"), "done"):
            assert ask.run("go", tools=[quick], deadline=PATIENCE).tool_calls[0].value == "here"
    finally:
        release.set()


ASK = {"sync": "ask(**said)", "async": "asyncio.run(ask.async_(**said))"}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "way"), [("def", "sync"), ("async def", "sync"), ("def", "async")])
def test_a_tool_that_blocks_does_not_keep_the_interpreter_alive(kind: str, way: str):
    """The process ends although a tool still hangs."""
    program = """
import asyncio
import time
from alloy import DeadlineError, ask, tool
from alloy.testing import call, replies

began = []

@tool
KIND stuck() -> None:
    began.append("began")
    time.sleep(3600)

for limit in (0.1, 1, 10, 100):
    try:
        with replies(call("stuck")):
            said = dict(prompt="go", tools=[stuck], deadline=limit)
            WAY
    except DeadlineError:
        if began:
            break
print(began[0], "late")
"""
    program = program.replace("KIND", kind).replace("WAY", ASK[way])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=5 * PATIENCE, check=True
    )
    assert done.stdout == "began late\n"


@pytest.mark.parametrize("in_loop", [False, True])
def test_a_tool_that_cancels_itself_is_a_tool_that_failed(in_loop: bool):
    """Nobody asked for the call to be cancelled, so it goes on."""

    @tool
    async def gives_up() -> None:
        """Give up."""
        raise asyncio.CancelledError("no more")

    with replies(call("gives_up"), "done"):
        run = (
            asyncio.run(ask.run_async("go", tools=[gives_up])) if in_loop else ask.run("go", tools=[gives_up])
        )
    assert "the tool was cancelled: no more" in run.tool_calls[0].content


@pytest.mark.parametrize("exit_", [SystemExit(3), KeyboardInterrupt()], ids=["exit", "interrupt"])
def test_a_tool_that_exits_leaves_the_loop_to_the_others(exit_: BaseException):
    """The exit is the caller's, and later calls have a loop that works."""
    asked: list[int] = []

    @tool
    async def leave() -> int:
        """Exit, but only the first time."""
        asked.append(1)
        if len(asked) == 1:
            raise exit_
        return len(asked)

    with replies(call("leave"), *[call("leave"), "done"] * 3):
        with pytest.raises(type(exit_)):
            ask("go", tools=[leave])
        for _ in range(3):
            assert ask("go", tools=[leave]) == "done"
    assert len(asked) == 4


def test_a_tool_whose_loop_ends_under_it_is_a_failure():
    """Another task of it has asked to exit; the call continues."""
    tasks: list[asyncio.Task[None]] = []

    @tool
    async def waits() -> None:
        """Start a task that exits, and wait."""

        async def exits() -> None:
            raise SystemExit(3)

        tasks.append(asyncio.create_task(exits()))
        await asyncio.Event().wait()

    with replies(call("waits"), "done"):
        (result,) = ask.run("go", tools=[waits]).tool_calls
    assert result.content == "Error: RuntimeError: the event loop of the tool has ended"
    for loop in list(background_loop._loops.values()):
        loop._thread.join(PATIENCE)
    assert isinstance(tasks[0].exception(), SystemExit)


def test_a_task_that_exits_costs_one_loop():
    """A tool's own task ends the loop that it runs in; the next call opens another."""
    tasks: list[asyncio.Task[None]] = []

    @tool
    async def leave() -> str:
        """Start a task that exits."""

        async def exits() -> None:
            raise SystemExit(3)

        tasks.append(asyncio.create_task(exits()))
        return "left"

    with replies(call("leave"), "done"):
        assert ask("go", tools=[leave]) == "done"

    @tool
    async def fine() -> str:
        """Work."""
        return "fine"

    for loop in list(background_loop._loops.values()):
        loop._thread.join(PATIENCE)
    assert isinstance(tasks[0].exception(), SystemExit)
    with replies(call("fine"), "done"):
        assert ask.run("go", tools=[fine]).tool_calls[0].value == "fine"
