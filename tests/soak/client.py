"""Makes the calls of the soak: in threads, and at the same time in one event loop."""

from __future__ import annotations

import asyncio
import random
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kit.apis import APIS
from kit.patience import PATIENCE
from kit.talking import KEY

from alloy import AlloyError, ask, tool
from soak.plans import Plan, draw

NAMED = {api.name: api for api in APIS}
THREADS, TASKS = 8, 24
LEFT = "left"  # the caller cancelled the call, or did not read its stream to the end
SHORT = 0.2  # seconds, for calls whose first answer never comes


class Soak:
    """The calls of one run, what became of them, and how often each has run a tool.

    Each thread and each task takes the next number. Sync calls have the even ones, async calls the odd ones,
    so that a call is the same in every run with its seed. What is kept about a call is one byte.
    """

    def __init__(self, url: str, seed: int, calls: int) -> None:
        self.seed, self._url = seed, url
        self.runs = array("B", bytes(calls))
        self.outcomes: Counter[str] = Counter()
        self._ended = array("B", bytes(calls))  # by call, the place of its outcome among the names
        self._names = [""]
        self.failures: list[str] = []
        self.made = 0
        self._lock = threading.Lock()
        self._tools = self._make_tools()

    def _make_tools(self) -> list[Any]:
        @tool
        def note(call: int) -> str:
            """Note a call."""
            self._count(call)
            return "noted"

        @tool
        async def note_async(call: int) -> str:
            """Note a call, after a turn of the loop."""
            await asyncio.sleep(0)
            self._count(call)
            return "noted"

        return [note, note_async]

    def _count(self, call: int) -> None:
        with self._lock:
            self.runs[call] += 1

    def outcome(self, number: int) -> str:
        """What a call ended with; empty before it was made."""
        return self._names[self._ended[number]]

    async def make(self, numbers: range, goes_on: Callable[[], bool]) -> None:
        """Make the calls *numbers*, which begin with an even one, as long as *goes_on*."""
        assert numbers.start % 2 == 0
        even, odd = (iter(range(numbers.start + part, numbers.stop, 2)) for part in (0, 1))
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(THREADS, thread_name_prefix="soak") as pool:
            threads = [loop.run_in_executor(pool, self._sync_calls, even, goes_on) for _ in range(THREADS)]
            tasks = [asyncio.create_task(self._async_calls(odd, goes_on)) for _ in range(TASKS)]
            await asyncio.gather(*threads, *tasks)

    def _next(self, numbers: Iterator[int]) -> int | None:
        with self._lock:
            self.made += 1
            return next(numbers, None)

    def _sync_calls(self, numbers: Iterator[int], goes_on: Callable[[], bool]) -> None:
        while goes_on() and (number := self._next(numbers)) is not None:
            plan = draw(self.seed, number, "stream" if number % 4 else "run")
            try:
                self._judge(plan, self._sync_call(plan))
            except Exception as error:
                self._judge(plan, error)

    def _sync_call(self, plan: Plan) -> str | None:
        if plan.way == "run":
            return ask(plan.prompt, **self._options(plan))
        heard = ""
        with ask.stream(plan.prompt, **self._options(plan)) as pieces:
            for piece in pieces:
                heard += piece
                if plan.leaves:
                    return None
        return heard

    async def _async_calls(self, numbers: Iterator[int], goes_on: Callable[[], bool]) -> None:
        while goes_on() and (number := self._next(numbers)) is not None:
            plan = draw(self.seed, number, "stream_async" if number % 4 == 1 else "run_async")
            try:
                self._judge(plan, await self._async_call(plan))
            except (Exception, asyncio.CancelledError) as error:
                self._judge(plan, error)

    async def _async_call(self, plan: Plan) -> str | None:
        if plan.way == "run_async":
            call = asyncio.create_task(ask.async_(plan.prompt, **self._options(plan)))
            if plan.leaves:
                await asyncio.sleep(random.Random(plan.number).random() / 10)
                call.cancel()
            return await call
        heard = ""
        async with ask.stream_async(plan.prompt, **self._options(plan)) as pieces:
            async for piece in pieces:
                heard += piece
                if plan.leaves:
                    return None
        return heard

    def _options(self, plan: Plan) -> dict[str, Any]:
        api = NAMED[plan.api]
        return {
            "model": f"{api.name}:{api.model}",
            "base_url": self._url + api.base,
            "api_key": KEY,
            "tools": self._tools,
            "retry": 1,
            "backoff": 0,
            "timeout": SHORT if plan.is_silent else PATIENCE,
        }

    def _judge(self, plan: Plan, ended_with: Any) -> None:
        """Count what a call ended with; anything but its own value or an `AlloyError` is a failure."""
        name = "value" if isinstance(ended_with, str) else type(ended_with).__name__
        is_left = plan.leaves and (ended_with is None or isinstance(ended_with, asyncio.CancelledError))
        name = LEFT if is_left else name
        with self._lock:
            self.outcomes[name] += 1
            if name not in self._names:
                self._names.append(name)
            self._ended[plan.number] = self._names.index(name)
            if not is_left and not isinstance(ended_with, AlloyError) and ended_with != f"done {plan.number}":
                self.failures.append(f"{plan.prompt}: {ended_with!r}")
