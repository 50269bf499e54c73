"""Performing effects in the caller's thread."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from alloy._engine.prepare import PreparedCall
from alloy._engine.routes import Route
from alloy._engine.runtime.await_parsers import gathered
from alloy._engine.runtime.call_io import CallIO, Exchange
from alloy._engine.runtime.tool_runs import run_async_tool, run_tool
from alloy._engine.state import State
from alloy._engine.toolbox import ToolEnd, ToolRun, results_of
from alloy._typed.types.async_parsers import Call, Outcome
from alloy.backends.base import CancelToken, load_backend
from alloy.backends.fallback.choose import codec_for
from alloy.events import Event
from alloy.messages import Reply, Request, ToolCall, ToolCallDelta, ToolResult
from alloy.threads import in_threads, start_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

__all__ = ["SyncIO", "first_body"]

LEAVING = 0.5  # seconds for leaving an event loop that a tool blocks


class SyncIO(CallIO):
    """Performs one call's effects in the caller's thread."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def gather(self, calls: Sequence[Call]) -> Sequence[Outcome]:
        """Run async parsers in the background loop and wait for their outcomes."""
        from alloy._engine.runtime import background_loop

        return background_loop.run(gathered(calls), self.clock)

    # --- model requests -----------------------------------------------------------------------------

    def send(self, route: Route, request: Request) -> Reply:
        """Send *request* and wait for the reply. Raises `AlloyError`."""
        backend = codec_for(route.backend, request)
        body = backend.encode(request)
        with self._exchange(route) as (exchange, cancel):
            return exchange.finished(backend.decode(backend.send(body, exchange.endpoint, cancel)))

    def stream(self, route: Route, request: Request) -> Generator[Event | ToolCallDelta, None, Reply]:
        """Yield the reply's deltas and return it whole."""
        backend = codec_for(route.backend, request)
        body, accumulator = backend.encode(request), backend.accumulator()
        with (
            self._exchange(route) as (exchange, cancel),
            closing(backend.open(body, exchange.endpoint, cancel)) as events,
        ):
            for event in events:
                if (delta := accumulator.feed(event)) is not None:
                    yield self.shown(exchange.text.add(delta))
            for delta in exchange.text.rest():
                yield self.shown(delta)
            return exchange.finished(accumulator.reply())

    @contextmanager
    def _exchange(self, route: Route) -> Iterator[tuple[Exchange, CancelToken]]:
        """Bound a request in time, and raise its errors as Alloy errors."""
        load_backend(route.backend)
        exchange, cancel = Exchange(route, self.clock.request_limit(), self.carried), CancelToken()
        watchdog = None if exchange.limit is None else _watchdog(cancel, exchange.limit)
        try:
            yield exchange, cancel
        except Exception as error:
            if cancel.fired:
                raise self.clock.timeout_error(route.backend.name, exchange.text.value) from error
            if (problem := self.explained(exchange, error)) is error:
                raise
            raise problem from error
        finally:
            if watchdog is not None:
                watchdog.cancel()

    # --- tools --------------------------------------------------------------------------------------

    def run_tools(self, route: Route, calls: Sequence[ToolCall]) -> Generator[Event, None, list[ToolResult]]:
        """Yield the end of each tool as it comes, and return the results in the order of the calls."""
        if not calls:  # a handler has refused all of them
            return []
        yield from self.begun(calls)
        if len(calls) == 1 and (self.clock.left() is None or self.call.tools.is_async(calls[0])):
            end = self._run_tool(route, calls[0])  # waiting for an async tool has a limit already
            yield self.ended(end)
            return results_of([end])
        from concurrent.futures import FIRST_COMPLETED, wait

        work = [partial(self._run_tool, route, call) for call in calls]
        runs = in_threads(work, self.call.settings.parallel_tools_max, "alloy-tool")
        try:
            waiting = set(runs)
            while waiting:
                done, waiting = wait(waiting, self.clock.remaining(), FIRST_COMPLETED)
                if not done:
                    self._leave_async(calls, runs)
                    raise self.clock.deadline_error()
                ends = [run.result() for run in sorted(done, key=runs.index)]
                for end in ends:
                    yield self.ended(end)
                results_of(ends)  # one of them may end the call, while others still run
            return results_of(run.result() for run in runs)
        finally:
            # Neither a passed deadline nor Ctrl-C waits for a tool: a thread cannot be stopped.
            for run in runs:
                run.cancel()

    def _leave_async(self, calls: Sequence[ToolCall], runs: Sequence[Future[Any]]) -> None:
        """Wait a moment for the async tools, which see the deadline too, and leave a loop that hangs."""
        from concurrent.futures import wait

        wait([run for run, call in zip(runs, calls, strict=True) if self.call.tools.is_async(call)], LEAVING)

    def _run_tool(self, route: Route, call: ToolCall) -> ToolEnd:
        run = ToolRun(self.call.tools, call, route.backend.dialect)
        if not self.call.tools.is_async(call):
            return run_tool(run, self.gather)
        from alloy._engine.runtime import background_loop

        return background_loop.run(run_async_tool(run), self.clock)


def first_body(call: PreparedCall[Any]) -> dict[str, Any]:
    """The body of the first request that *call* would send."""
    state = State(call.question)
    request = state.request()
    return codec_for(state.route.backend, request).encode(request)


def _watchdog(cancel: CancelToken, seconds: float) -> Any:
    from threading import Timer

    timer = Timer(seconds, cancel.fire)
    timer.daemon = True
    start_thread(timer)
    return timer
