"""Performing effects in the running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from alloy._engine.prepare import PreparedCall
from alloy._engine.routes import Route
from alloy._engine.runtime.await_parsers import gathered
from alloy._engine.runtime.call_io import CallIO, Exchange
from alloy._engine.runtime.deadline import BETWEEN, loading
from alloy._engine.runtime.gates import NoGate, loop_gate, waiting_for
from alloy._engine.runtime.tool_runs import in_time, run_async_tool, run_tool, tools_of
from alloy._engine.toolbox import ToolEnd, ToolRun, results_of
from alloy._typed.types.async_parsers import Call, Outcome
from alloy.backends.base import Backend, is_loaded, load_backend
from alloy.backends.batches import ApiCall
from alloy.backends.fallback.choose import codec_for
from alloy.backends.limits import note_limit
from alloy.events import Event
from alloy.messages import Delta, Reply, Request, ToolCall, ToolCallDelta, ToolResult
from alloy.threads import in_thread

__all__ = ["AsyncIO"]

T = TypeVar("T")

_OVER = object()  # not an event, but the end of them


class AsyncIO(CallIO):
    """Performs one call's effects in the running event loop, and *show*s its events to its reader, if any."""

    def __init__(
        self, call: PreparedCall[Any], show: Callable[[Event | ToolCallDelta], Awaitable[None]] | None = None
    ) -> None:
        super().__init__(call, streamed=show is not None)
        self._show = show

    async def show(self, event: Event | ToolCallDelta) -> None:
        """Give *event* to the reader of the call."""
        if self._show is not None:
            await self._show(event)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def gather(self, calls: Sequence[Call]) -> Sequence[Outcome]:
        """Run async parsers side by side and wait for their outcomes."""
        return await self._in_time(lambda: gathered(calls), "an async parser")

    async def in_thread(self, function: Callable[[], T]) -> T:
        """What *function* returns."""
        return await in_thread(function)

    # --- model requests -----------------------------------------------------------------------------

    async def send(self, route: Route, request: Request) -> Reply:
        """Send *request* and wait for the reply. Raises `AlloyError`."""
        backend = codec_for(route.backend, request)
        body = backend.encode(request)
        await self._load(route.backend)
        async with self._entered(route):
            exchange = Exchange(route, self.clock.request_limit(), self)
            async with self._in_exchange(exchange, _end_of(exchange)):
                return exchange.finished(backend.decode(await backend.send_async(body, exchange.endpoint)))

    async def call_api(self, route: Route, call: ApiCall) -> Any:
        """Send *call* to the batch API of a provider and wait for the parsed answer. Raises `AlloyError`."""
        backend: Any = route.backend
        await self._load(backend)
        async with self._entered(route):
            exchange = Exchange(route, self.clock.request_limit(), self)
            async with self._in_exchange(exchange, _end_of(exchange)):
                return await backend.perform_async(call, exchange.endpoint)

    async def stream(self, route: Route, request: Request) -> Reply:
        """Show the reply's deltas and return it whole."""
        backend = codec_for(route.backend, request)
        body, accumulator = backend.encode(request), backend.accumulator()
        await self._load(route.backend)
        async with self._entered(route) as gate:
            exchange = Exchange(route, self.clock.request_limit(), self)
            ends = _end_of(exchange)
            is_first = True
            async with aclosing(backend.open_async(body, exchange.endpoint)) as events:
                while True:
                    # A time limit round the whole loop would also cancel whoever reads this stream.
                    async with self._in_exchange(exchange, ends):
                        delta = await _next_delta(events, accumulator.feed)
                    if is_first:
                        is_first = False
                        self.first_chunk()
                    if delta is _OVER:
                        break
                    if delta is not None:
                        await self._show_outside(gate, exchange.text.add(delta))
                for delta in exchange.text.rest():
                    await self._show_outside(gate, delta)
                async with self._in_exchange(exchange, ends):
                    return exchange.finished(accumulator.reply())

    async def _show_outside(self, gate: NoGate, delta: Delta) -> None:
        gate.leave()
        try:
            await self.show(self.shown(delta))
        finally:
            gate.resume()
        self.clock.check_reader()

    @asynccontextmanager
    async def _entered(self, route: Route) -> AsyncIterator[NoGate]:
        """Wait until there is a place for a request, as long as the deadline allows."""
        most = self.call.settings.max_connections
        gate = loop_gate(route, most)
        try:
            async with asyncio.timeout(self.clock.left(BETWEEN)):
                await gate.enter_async()
        except TimeoutError:
            raise self.clock.deadline_error(waiting_for(most)) from None
        try:
            yield gate
        finally:
            gate.leave()

    async def _load(self, backend: Backend) -> None:
        # In a thread: the loop's other tasks must not wait while an SDK is imported.
        if not is_loaded(backend):
            await self._in_time(lambda: in_thread(partial(load_backend, backend)), loading(backend.name))

    @asynccontextmanager
    async def _in_exchange(self, exchange: Exchange, ends: float | None) -> AsyncIterator[None]:
        """Stop at *ends* by the loop's clock, and raise errors as Alloy errors."""
        scope = asyncio.timeout_at(ends)
        note_limit(scope)
        try:
            async with scope:
                yield
        except Exception as error:
            if scope.expired():
                self.clean(exchange, error)
                name = exchange.route.backend.name
                raise self.clock.timeout_error(name, exchange.waits_for, exchange.text.value) from error
            if (problem := self.explained(exchange, error)) is error:
                raise
            raise problem from error

    # --- tools --------------------------------------------------------------------------------------

    async def run_tools(self, route: Route, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """Show the end of each tool as it comes, and return the results in the order of the calls."""
        for event in self.begun(calls):
            await self.show(event)
        gate = asyncio.Semaphore(self.call.settings.parallel_tools_max)
        started = self.runs_of(route, calls)
        runs = [asyncio.create_task(self._run_tool(run, gate)) for run in started]
        # A wait for the first of them would cost their number each time.
        ended: asyncio.Queue[asyncio.Task[ToolEnd]] = asyncio.Queue()
        for run in runs:
            run.add_done_callback(ended.put_nowait)
        try:
            for _ in runs:
                try:
                    async with asyncio.timeout(self.clock.remaining()):
                        done = await ended.get()
                except TimeoutError:
                    raise self.clock.deadline_error(tools_of(started)) from None
                end = done.result()
                await self.show(self.ended(end))
                results_of([end])  # it may end the call, while others still run
            return results_of(run.result() for run in runs)
        finally:
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)

    async def _run_tool(self, run: ToolRun, gate: asyncio.Semaphore) -> ToolEnd:
        async with gate:
            if run.is_async:
                return await run_async_tool(run)
            loop = asyncio.get_running_loop()

            def gather(calls: Sequence[Call]) -> Sequence[Outcome]:
                # What async parsers hold open belongs to this loop.
                return asyncio.run_coroutine_threadsafe(gathered(calls), loop).result()

            return await in_time(in_thread(partial(run_tool, run, gather), "alloy-tool"), run)

    async def _in_time(self, work: Callable[[], Awaitable[T]], what: str) -> T:
        """What *work* returns; the call waits for *what*. Raises `DeadlineError` at the deadline."""
        scope = asyncio.timeout(self.clock.left(what))
        try:
            async with scope:
                return await work()
        except TimeoutError:
            if scope.expired():
                raise self.clock.deadline_error(what) from None
            raise


async def _next_delta(events: AsyncIterator[Any], feed: Callable[[Any], Any]) -> Any:
    """In a frame of its own, which redaction clears: the event may be a whole body."""
    event = await anext(events, _OVER)
    return event if event is _OVER else feed(event)


def _end_of(exchange: Exchange) -> float | None:
    return None if exchange.limit is None else asyncio.get_running_loop().time() + exchange.limit
