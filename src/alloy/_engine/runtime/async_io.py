"""Performing effects in the running event loop: the only `await` stands here and in the drivers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from contextvars import copy_context
from typing import Any, TypeVar

from alloy._engine.effects import CallModel, Effect, ParseValues, RunTools, Sleep, Tell
from alloy._engine.prepare import Job
from alloy._engine.runtime.deadline import Clock
from alloy._engine.runtime.sync_io import explained, is_loaded, limited, load_backend
from alloy._engine.surrogates import Said, mended
from alloy._typed.types.parsers import gathered
from alloy.backends.fallback.choose import codec_for
from alloy.messages import Delta, Reply, Request, ToolCall, ToolResult

__all__ = ["AsyncIO"]

T = TypeVar("T")

_OVER = object()  # no event, but the end of them


class AsyncIO:
    """Performs one call's effects; its clock starts when it is made."""

    def __init__(self, job: Job[Any]) -> None:
        self.job = job
        self.clock = Clock(job.timeout, job.deadline)

    async def perform(self, effect: Effect[Any]) -> Any:
        """Do what *effect* asks for and give back what came of it."""
        match effect:
            case CallModel(request):
                return await self._send(request)
            case RunTools(calls):
                return await self._run_tools(calls)
            case Sleep(seconds):
                self.clock.check(seconds)
                return await asyncio.sleep(seconds)
            case ParseValues(calls):
                return await self._in_time(lambda: gathered(calls))
            case Tell():
                return None
        raise TypeError(f"no driver performs {effect!r}")

    async def stream_model(self, request: Request) -> AsyncGenerator[Delta | Reply, None]:
        """Yield the reply's deltas, and the whole reply last."""
        backend = codec_for(self.job.backend, request)
        body, accumulator, said = backend.encode(request), backend.accumulator(), Said()
        await self._load()
        limit = self.clock.request_limit()
        ends = None if limit is None else asyncio.get_running_loop().time() + limit
        async with aclosing(backend.open_async(body, limited(self.job.endpoint, limit))) as events:
            while True:
                # A time limit round the whole loop would also cancel whoever reads this generator.
                async with self._guarded(ends, said):
                    event = await anext(events, _OVER)
                    delta = None if event is _OVER else accumulator.feed(event)
                if event is _OVER:
                    break
                if delta is not None:
                    yield said.hear(delta)
            async with self._guarded(ends, said):
                reply = mended(accumulator.reply())
            yield reply

    async def _load(self) -> None:
        # In a thread: the loop's other tasks must not stand still while an SDK is imported.
        if not is_loaded(self.job.backend):
            await asyncio.to_thread(load_backend, self.job.backend)

    async def _send(self, request: Request) -> Reply:
        backend = codec_for(self.job.backend, request)
        body = backend.encode(request)
        await self._load()
        limit = self.clock.request_limit()
        ends = None if limit is None else asyncio.get_running_loop().time() + limit
        async with self._guarded(ends, Said()):
            raw = await backend.send_async(body, limited(self.job.endpoint, limit))
            return mended(backend.decode(raw))

    @asynccontextmanager
    async def _guarded(self, ends: float | None, said: Said) -> AsyncIterator[None]:
        """Stop at *ends* by the loop's clock, and raise what goes wrong in Alloy's terms."""
        scope = asyncio.timeout_at(ends)
        try:
            async with scope:
                yield
        except Exception as error:
            if scope.expired():
                raise self.clock.overdue(self.job.backend.name, said.text) from error
            if (problem := explained(self.job, self.clock, error, said)) is error:
                raise
            raise problem from error

    async def _run_tools(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        # A pool of its own: the loop's default one may be smaller than parallel_tools_max, and full.
        pool = ThreadPoolExecutor(self.job.parallel_tools_max, "alloy-tool")
        gate = asyncio.Semaphore(self.job.parallel_tools_max)
        runs = [asyncio.create_task(self._run_tool(call, gate, pool)) for call in calls]
        try:
            return await self._in_time(lambda: asyncio.gather(*runs))
        finally:
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)
            pool.shutdown(wait=False, cancel_futures=True)

    async def _in_time(self, work: Callable[[], Awaitable[T]]) -> T:
        """What *work* gives. Raises `DeadlineError` when that is not in time, or when it is late already."""
        scope = asyncio.timeout(self.clock.left())
        try:
            async with scope:
                return await work()
        except TimeoutError:
            if scope.expired():
                raise self.clock.late() from None
            raise

    async def _run_tool(
        self, call: ToolCall, gate: asyncio.Semaphore, pool: ThreadPoolExecutor
    ) -> ToolResult:
        async with gate:
            if self.job.tools.is_async(call):
                return await self.job.tools.run_async(call)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pool, copy_context().run, self.job.tools.run, call)
