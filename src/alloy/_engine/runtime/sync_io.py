"""Performing effects in the caller's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from itertools import chain
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from alloy._engine.prepare import PreparedCall
from alloy._engine.routes import Route
from alloy._engine.runtime.await_parsers import gathered
from alloy._engine.runtime.call_io import CallIO, Exchange
from alloy._engine.runtime.deadline import BETWEEN, loading
from alloy._engine.runtime.gates import NoGate, thread_gate, waiting_for
from alloy._engine.runtime.stopping import current_stop
from alloy._engine.runtime.tool_runs import (
    log_if_running,
    run_async_tool,
    run_tool,
    tools_of,
)
from alloy._engine.state import State
from alloy._engine.toolbox import ToolEnd, ToolRun, results_of
from alloy._typed.types.async_parsers import Call, Outcome
from alloy.backends.base import CancelToken, is_loaded, load_backend
from alloy.backends.batches import ApiCall
from alloy.backends.fallback.choose import codec_for
from alloy.errors import DeadlineError
from alloy.events import Event
from alloy.messages import Delta, Reply, Request, ToolCall, ToolCallDelta, ToolResult
from alloy.tasks import LEAVING
from alloy.threads import in_threads
from alloy.watchdog import call_later

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

__all__ = ["SyncIO", "first_body"]


class SyncIO(CallIO):
    """Performs one call's effects in the caller's thread."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
        (time.sleep if (stop := current_stop()) is None else stop.sleep)(seconds)

    def gather(self, calls: Sequence[Call]) -> Sequence[Outcome]:
        """Run async parsers in the background loop and wait for their outcomes."""
        from alloy._engine.runtime import background_loop

        return background_loop.run(gathered(calls), self.clock, "an async parser")

    def in_thread(self, function: Callable[[], Any]) -> Any:
        """What *function* returns: here nobody else waits."""
        return function()

    # --- model requests -----------------------------------------------------------------------------

    def send(self, route: Route, request: Request) -> Reply:
        """Send *request* and wait for the reply. Raises `AlloyError`."""
        backend = codec_for(route.backend, request)
        body = backend.encode(request)
        with self._entered(route), self._exchange(route) as (exchange, cancel):
            return exchange.finished(backend.decode(backend.send(body, exchange.endpoint, cancel)))

    def call_api(self, route: Route, call: ApiCall) -> Any:
        """Send *call* to the batch API of a provider and wait for the parsed answer. Raises `AlloyError`."""
        backend: Any = route.backend
        with self._entered(route), self._exchange(route) as (exchange, cancel):
            return backend.perform(call, exchange.endpoint, cancel)

    def stream(self, route: Route, request: Request) -> Generator[Event | ToolCallDelta, None, Reply]:
        """Yield the reply's deltas and return it whole."""
        backend = codec_for(route.backend, request)
        body, accumulator = backend.encode(request), backend.accumulator()
        with (
            self._entered(route) as gate,
            self._exchange(route) as (exchange, cancel),
            closing(backend.open(body, exchange.endpoint, cancel)) as events,
        ):
            # No frame keeps an event, which may be a whole body.
            parts: Iterator[Delta | None] = map(accumulator.feed, events)
            first = next(parts, None)
            self.first_chunk()
            fed: Iterator[Delta] = filter(None, chain((first,), parts))
            for delta in chain(map(exchange.text.add, fed), exchange.text.rest()):
                gate.leave()
                try:
                    yield self.shown(delta)
                finally:
                    gate.resume()
                self.clock.check_reader()
            return exchange.finished(accumulator.reply())

    @contextmanager
    def _entered(self, route: Route) -> Iterator[NoGate]:
        """Wait until there is a place for a request, as long as the deadline allows."""
        most = self.call.settings.max_connections
        gate = thread_gate(route, most)
        if not gate.enter(self.clock.left(BETWEEN)):
            raise self.clock.deadline_error(waiting_for(most))
        try:
            yield gate
        finally:
            gate.leave()

    @contextmanager
    def _exchange(self, route: Route) -> Iterator[tuple[Exchange, CancelToken]]:
        """Bound a request in time, and raise its errors as Alloy errors."""
        if not is_loaded(route.backend):
            load_backend(route.backend)
            if self.clock.passed():
                raise self.clock.deadline_error(loading(route.backend.name))
        exchange, cancel = Exchange(route, self.clock.request_limit(), self), CancelToken()
        alarm = None if exchange.limit is None else call_later(exchange.limit, cancel.fire)
        stop = current_stop()
        try:
            with nullcontext() if stop is None else stop.ending(cancel):
                yield exchange, cancel
        except Exception as error:
            if cancel.fired and not isinstance(error, DeadlineError):
                self.clean(exchange, error)
                raise self.clock.timeout_error(
                    route.backend.name, exchange.waits_for, exchange.text.value
                ) from error
            if (problem := self.explained(exchange, error)) is error:
                raise
            raise problem from error
        finally:
            cancel.detach()
            if alarm is not None:
                alarm.cancel()

    # --- tools --------------------------------------------------------------------------------------

    def run_tools(self, route: Route, calls: Sequence[ToolCall]) -> Generator[Event, None, list[ToolResult]]:
        """Yield the end of each tool as it comes, and return the results in the order of the calls."""
        if not calls:  # a handler has refused all of them
            return []
        yield from self.begun(calls)
        started = self.runs_of(route, calls)
        if len(calls) == 1 and (self.clock.left(tools_of(started)) is None or started[0].is_async):
            end = self._run_tool(started[0])  # waiting for an async tool has a limit already
            yield self.ended(end)
            return results_of([end])
        work = [partial(self._run_tool, run) for run in started]
        runs = in_threads(work, self.call.settings.parallel_tools_max, "alloy-tool")
        try:
            ended: SimpleQueue[Future[ToolEnd]] = SimpleQueue()  # a wait for the first costs their number
            for run in runs:
                run.add_done_callback(ended.put)
            for _ in runs:
                try:
                    end = ended.get(timeout=self.clock.remaining()).result()
                except Empty:
                    # The async tools see the deadline too, and a loop that hangs is left then.
                    from concurrent.futures import wait

                    wait([run for run, tool in zip(runs, started, strict=True) if tool.is_async], LEAVING)
                    raise self.clock.deadline_error(tools_of(started)) from None
                yield self.ended(end)
                results_of([end])  # it may end the call, while others still run
            return results_of(run.result() for run in runs)
        finally:
            # Neither a passed deadline nor Ctrl-C waits for a tool: a thread cannot be stopped.
            for run, tool in zip(runs, started, strict=True):
                run.cancel()
                if not tool.is_async:
                    log_if_running(tool)

    def _run_tool(self, run: ToolRun) -> ToolEnd:
        """The end of *run*, or that its `tool_timeout` is over."""
        try:
            if run.is_async:
                return self._run_in_loop(run)
            if run.timeout is None:
                return run_tool(run, self.gather)
            (running,) = in_threads([partial(run_tool, run, self.gather)], 1, "alloy-tool")
            return running.result(run.timeout)
        except DeadlineError:
            call_later(LEAVING, partial(log_if_running, run))
            raise
        except TimeoutError:  # the tool's own is in its end
            end = run.timed_out()
            log_if_running(run)
            return end

    def _run_in_loop(self, run: ToolRun) -> ToolEnd:
        from concurrent.futures import CancelledError

        from alloy._engine.runtime import background_loop

        # More than the tool's limit: only a blocked loop does not end the wait by itself.
        limit = None if run.timeout is None else run.timeout + 2 * LEAVING
        try:
            return background_loop.run(run_async_tool(run), self.clock, tools_of([run]), limit)
        except CancelledError:  # the loop has ended, because a task in it asked to exit
            return run.end or run.failed(RuntimeError("the event loop of the tool has ended"))


def first_body(call: PreparedCall[Any]) -> dict[str, Any]:
    """The body of the first request that *call* would send."""
    state = State(call.question)
    request = state.request()
    return codec_for(state.route.backend, request).encode(request)
