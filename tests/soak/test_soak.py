"""The short form of `make soak`: some hundred calls, with everything that the long form checks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from soak.client import Soak
from soak.plans import draw, read

TESTS = Path(__file__).parents[1]


@pytest.mark.slow
def test_every_call_ends_and_nothing_is_left() -> None:
    """Each with its value or an `AlloyError`, and with as many runs of tools as the server asked for."""
    command = [sys.executable, "-m", "soak", "--calls", "600", "--warm-up", "300"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=TESTS.parent, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_number_is_one_call() -> None:
    """Sync calls have the even ones, async calls the odd ones."""

    class Noted(Soak):
        def _sync_calls(self, numbers: Iterator[int], goes_on: Callable[[], bool]) -> None:
            made.extend(iter(lambda: self._next(numbers), None))

        async def _async_calls(self, numbers: Iterator[int], goes_on: Callable[[], bool]) -> None:
            self._sync_calls(numbers, goes_on)

    made: list[int] = []
    asyncio.run(Noted("", 1, 100).make(range(10, 100), lambda: True))
    assert sorted(made) == list(range(10, 100))


@pytest.mark.parametrize("way", ["run", "stream_async"])
def test_a_plan_depends_on_its_seed_and_travels_in_the_prompt(way: str) -> None:
    """So that a failure can be repeated; what the caller does is not for the server."""
    plans = [draw(7, number, way) for number in range(200)]
    assert plans == [draw(7, number, way) for number in range(200)]
    assert plans != [draw(8, number, way) for number in range(200)]
    for plan in plans:
        found = read(plan.prompt.encode())
        assert (found.number, found.api, found.way, found.steps) == (plan.number, plan.api, way, plan.steps)
