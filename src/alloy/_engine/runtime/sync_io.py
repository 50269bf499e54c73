"""Performing effects in the caller's thread: the only thread pool and the only sleep stand here."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alloy._engine.effects import CallModel, Effect, ParseValues, RunTools, Sleep, Tell
from alloy._engine.prepare import Job
from alloy._engine.runtime.deadline import Clock
from alloy._engine.surrogates import Said, mended
from alloy._typed.types.parsers import gathered
from alloy.backends.base import Backend, CancelToken
from alloy.backends.fallback.choose import codec_for
from alloy.errors import AlloyError, ProviderError, ProviderTimeoutError
from alloy.messages import Delta, Endpoint, Reply, Request, ToolCall, ToolResult

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

__all__ = ["SyncIO", "explained", "first_body", "is_loaded", "load_backend"]

LEAVING = 0.5  # seconds for leaving an event loop that a tool blocks


class SyncIO:
    """Performs one call's effects; its clock starts when it is made."""

    def __init__(self, job: Job[Any]) -> None:
        self.job = job
        self.clock = Clock(job.timeout, job.deadline)

    def perform(self, effect: Effect[Any]) -> Any:
        """Do what *effect* asks for and give back what came of it."""
        match effect:
            case CallModel(request):
                return self._send(request)
            case RunTools(calls):
                return self._run_tools(calls)
            case Sleep(seconds):
                self.clock.check(seconds)
                return time.sleep(seconds)
            case ParseValues(calls):
                from alloy._engine.runtime import background_loop

                return background_loop.run(gathered(calls), self.clock)
            case Tell():
                return None
        raise TypeError(f"no driver performs {effect!r}")

    def stream_model(self, request: Request) -> Generator[Delta, None, Reply]:
        """Yield the reply's deltas and return it whole."""
        backend = codec_for(self.job.backend, request)
        body, accumulator, said = backend.encode(request), backend.accumulator(), Said()
        with (
            self._guarded(said) as (endpoint, cancel),
            closing(backend.open(body, endpoint, cancel)) as events,
        ):
            for event in events:
                if (delta := accumulator.feed(event)) is not None:
                    yield said.hear(delta)
            return mended(accumulator.reply())

    def _send(self, request: Request) -> Reply:
        backend = codec_for(self.job.backend, request)
        body = backend.encode(request)
        with self._guarded(Said()) as (endpoint, cancel):
            return mended(backend.decode(backend.send(body, endpoint, cancel)))

    @contextmanager
    def _guarded(self, said: Said) -> Iterator[tuple[Endpoint, CancelToken]]:
        """Bound the request in time, and raise what goes wrong with it in Alloy's terms."""
        load_backend(self.job.backend)
        limit, cancel = self.clock.request_limit(), CancelToken()
        watchdog = None if limit is None else _watchdog(cancel, limit)
        try:
            yield limited(self.job.endpoint, limit), cancel
        except Exception as error:
            if cancel.fired:
                raise self.clock.overdue(self.job.backend.name, said.text) from error
            if (problem := explained(self.job, self.clock, error, said)) is error:
                raise
            raise problem from error
        finally:
            if watchdog is not None:
                watchdog.cancel()

    def _run_tools(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        left = self.clock.left()
        if len(calls) == 1 and (left is None or self.job.tools.is_async(calls[0])):
            return [self._run_tool(calls[0])]  # waiting for an async tool is bounded by itself
        from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

        pool = ThreadPoolExecutor(min(len(calls), self.job.parallel_tools_max), "alloy-tool")
        try:
            runs = [pool.submit(copy_context().run, self._run_tool, call) for call in calls]
            if wait(runs, left, FIRST_EXCEPTION).not_done:
                _raise_first(runs)
                waits = [run for run, call in zip(runs, calls, strict=True) if self.job.tools.is_async(call)]
                wait(waits, LEAVING)  # they see to it that nobody waits for a loop that hangs
                raise self.clock.late()
            return [run.result() for run in runs]
        finally:
            # Neither a passed deadline nor Ctrl-C waits for a tool: a thread cannot be stopped.
            pool.shutdown(wait=False, cancel_futures=True)

    def _run_tool(self, call: ToolCall) -> ToolResult:
        if not self.job.tools.is_async(call):
            return self.job.tools.run(call)
        from alloy._engine.runtime import background_loop

        return background_loop.run(self.job.tools.run_async(call), self.clock)


def first_body(job: Job[Any]) -> dict[str, Any]:
    """The body of the first request that *job* would send."""
    question = job.question
    request = replace(question.request, output=None) if question.output_apart else question.request
    return codec_for(job.backend, request).encode(request)


_loaded: set[str] = set()


def is_loaded(backend: Backend) -> bool:
    """Whether *backend* has nothing to load any more."""
    return backend.name in _loaded or not hasattr(backend, "load")


def load_backend(backend: Backend) -> None:
    """Import the backend's SDK, once, before a request's clock runs: it takes up to seconds."""
    if not is_loaded(backend):
        backend.load()  # type: ignore[attr-defined]
        _loaded.add(backend.name)


def limited(endpoint: Endpoint, limit: float | None) -> Endpoint:
    """*endpoint*, each phase of whose requests takes at most *limit* seconds."""
    return endpoint if limit is None else replace(endpoint, timeout=limit)


def explained(job: Job[Any], clock: Clock, error: Exception, said: Said) -> Exception:
    """*error* in Alloy's terms, or itself when it comes from neither the SDK nor the wire."""
    problem = error if isinstance(error, AlloyError) else job.backend.explain(error)
    if problem is None:
        return error
    from alloy.backends.http.redaction import clean  # only errors need it

    clean(problem, job.endpoint.api_key)
    clean(error, job.endpoint.api_key)  # it becomes the cause, which tracebacks show
    if isinstance(problem, ProviderTimeoutError) and clock.passed():
        return clock.late()
    if isinstance(problem, ProviderError) and said.text:
        problem.text = said.text
    return problem


def _watchdog(cancel: CancelToken, seconds: float) -> Any:
    from threading import Timer

    timer = Timer(seconds, cancel.fire)
    timer.daemon = True
    timer.start()
    return timer


def _raise_first(runs: Sequence[Future[Any]]) -> None:
    for run in runs:
        if run.done() and (error := run.exception()) is not None:
            raise error
