"""`AsyncMap`: the values of many inputs, whose calls are tasks of the running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic

from typing_extensions import TypeVar

from alloy._engine.runtime.async_parts import check_asyncio
from alloy._engine.runtime.stopping import Stop
from alloy.errors import ConfigurationError, WorkerError
from alloy.maps.calls import Finished, Plan, ask_async
from alloy.maps.executors import Counted, counted_around, finished, given_to
from alloy.maps.outcomes import MapSummary, Outcome
from alloy.maps.window import Window

__all__ = ["AsyncMap"]

T_co = TypeVar("T_co", covariant=True)
I_co = TypeVar("I_co", covariant=True, default=T_co)

_END = object()


class AsyncMap(Generic[T_co, I_co]):
    """`Map` for `async for` and `async with`, in one event loop. A map that is dropped ends its calls.

    Nothing is asked before the first value is read. From then on calls begin as there is room (see `Window`),
    also while the reader works. The iterables may be async ones.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._run: _Run | None = None
        self._is_closed = False

    @property
    def summary(self) -> MapSummary:
        """As `Map.summary`."""
        return self._plan.summary

    def __aiter__(self) -> AsyncIterator[I_co]:
        return self

    async def __anext__(self) -> I_co:
        """As `Map.__next__`."""
        outcome = await self._next(stops_at_error=self._plan.on_error == "raise")
        if outcome is None:
            raise StopAsyncIteration
        try:
            value: I_co = self._plan.value_of(outcome)
        except Exception:
            await self.aclose()
            raise
        return value

    def outcomes(self) -> AsyncIterator[Outcome[T_co]]:
        """As `Map.outcomes`."""
        return _Outcomes(self)

    async def aclose(self) -> None:
        """Cancel the calls that run, and wait for them."""
        if self._run is not None and not self._is_closed:
            self._run.check_loop()
        self._is_closed = True
        if self._run is not None:
            await self._run.close()
        self._plan.end()

    async def __aenter__(self) -> AsyncMap[T_co, I_co]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if getattr(self, "_run", None) is not None:
            self._run.leave()  # type: ignore[union-attr]  # as the line before says
            self._plan.close()

    async def _next(self, *, stops_at_error: bool = False) -> Outcome[Any] | None:
        if self._is_closed:
            return None
        if self._run is None:
            check_asyncio()
            self._run = _Run(self._plan)
        self._run.check_loop()
        if (outcome := await self._run.next(stops_at_error=stops_at_error)) is not None:
            return outcome
        await self.aclose()
        if (failure := self._run.take_failure()) is not None:
            raise failure
        return None


class _Outcomes(AsyncIterator[Outcome[Any]]):
    """Not a generator, which asyncio would close on its own."""

    def __init__(self, of: AsyncMap[Any, Any]) -> None:
        self._of = of

    async def __anext__(self) -> Outcome[Any]:
        if (outcome := await self._of._next()) is None:
            raise StopAsyncIteration
        return outcome


class _Run:
    """The tasks of one map: one reads the inputs and begins the calls, and each call is one.

    No task knows the `AsyncMap`, so that one which is dropped is collected, and ends them.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._loop = plan, asyncio.get_running_loop()
        self._window = Window(plan.concurrency, plan.concurrency, ordered=plan.ordered)
        self._changed, self._room = asyncio.Event(), asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._is_closed = False
        self._stop = Stop()
        self._counted: Counted | None = None
        self._is_broken = False  # whether a call has ended without an outcome
        self._feeder = self._loop.create_task(self._feed())
        self._feeder.add_done_callback(lambda _: self._changed.set())

    def check_loop(self) -> None:
        """Raise `ConfigurationError` in another event loop than that of the tasks."""
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError(
                "this map belongs to the event loop in which its reading began: read and close it there, or "
                "make another one in this loop"
            )

    async def next(self, *, stops_at_error: bool) -> Outcome[Any] | None:
        """The next outcome; `None` at the end, or if the map is closed. *stops_at_error* is the window's."""
        if self._window.stops_at_error != stops_at_error:
            self._window.stops_at_error = stops_at_error
            self._room.set()
        while not self._is_closed:
            if (outcome := self._window.take()) is not None:
                self._room.set()
                return outcome
            if self._feeder.done() and (self._window.is_empty or self._is_broken):
                break
            self._changed.clear()
            await self._changed.wait()
        return None

    def take_failure(self) -> BaseException | None:
        """What the iterables raised, or what ended the calls, once."""
        failure, self._failure = self._failure or self._plan.broken, None
        return failure

    async def close(self) -> None:
        """Cancel the tasks and wait for them."""
        self._cancel()
        running = [task for task in (self._feeder, *self._calls) if task is not asyncio.current_task()]
        if running:
            await asyncio.wait(running)

    def leave(self) -> None:
        """Have the loop cancel the tasks: nobody reads the map any more."""
        if not self._is_closed:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._is_closed = True
        self._stop.set()
        for task in (self._feeder, *self._calls):
            task.cancel()
        self._changed.set()

    async def _feed(self) -> None:
        """Begin inputs while there is room, until there are no more."""
        inputs = _Inputs(self._plan.inputs)
        try:
            while True:
                while not self._window.has_room:
                    self._room.clear()
                    await self._room.wait()
                self._plan.begin()
                if (args := await inputs.next()) is None:
                    return
                self._begin(args)
        except Exception as error:  # noqa: BLE001 - raised when what has begun is read
            self._failure = error
        finally:
            await inputs.close()

    def _begin(self, args: tuple[Any, ...]) -> None:
        known = self._plan.known(self._window.next_index, args)
        index = self._window.begin()
        if known is not None:
            self._window.add(known)
            self._changed.set()
            return
        call = self._call(index, args)
        task = self._loop.create_task(call, context=self._plan.context.copy())
        self._calls.add(task)
        task.add_done_callback(self._ended)

    async def _call(self, index: int, args: tuple[Any, ...]) -> None:
        executor = self._plan.executor
        if executor is None:
            done = await ask_async(self._plan, index, args)
        else:
            done = await self._given_to(executor, index, args)
        self._window.add(self._plan.record(done))

    async def _given_to(self, executor: Executor, index: int, args: tuple[Any, ...]) -> Finished:
        if self._counted is None:
            self._counted = counted_around(self._plan)
        try:
            future = given_to(executor, self._plan, self._counted, self._stop, index, args)
        except WorkerError as error:
            self._plan.broken = self._plan.broken or error  # no further input begins
            return Finished(Outcome(index, args, None, error), ())
        try:
            await asyncio.wait([asyncio.wrap_future(future)])
        except BaseException:  # the map is left
            future.cancel()
            raise
        found = finished(self._plan, self._counted, index, args, future)
        if not isinstance(found, Finished):
            raise found or asyncio.CancelledError
        return found

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        if not self._is_closed and (task.cancelled() or task.exception() is not None):
            self._is_broken = True  # something else has cancelled it, or it asked to exit
            self._failure = asyncio.CancelledError() if task.cancelled() else task.exception()
            self._feeder.cancel()
        self._room.set()
        self._changed.set()


class _Inputs:
    """Reads iterables side by side, async ones too, until the first of them ends."""

    def __init__(self, iterables: tuple[Any, ...]) -> None:
        self._readers: list[tuple[bool, Any]] = [  # whether it is async
            (True, aiter(each)) if hasattr(each, "__aiter__") else (False, iter(each)) for each in iterables
        ]

    async def next(self) -> tuple[Any, ...] | None:
        """The arguments of the next call; `None` at the end."""
        args = []
        for is_async, reader in self._readers:
            found = await anext(reader, _END) if is_async else next(reader, _END)
            if found is _END:
                return None
            args.append(found)
        return tuple(args)

    async def close(self) -> None:
        """Close the async generators, which would otherwise wait for the event loop to do it."""
        for _, reader in self._readers:
            if hasattr(reader, "aclose"):
                with suppress(Exception):
                    await reader.aclose()
