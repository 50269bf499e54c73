"""`Map`: the values of many inputs, whose calls are made in threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic

from typing_extensions import TypeVar

from alloy._engine.runtime.stopping import Stop, Stopped
from alloy.maps.calls import Plan, Workers, ask
from alloy.maps.executors import Futures
from alloy.maps.outcomes import MapSummary, Outcome
from alloy.maps.window import Window
from alloy.threads import start_thread

__all__ = ["Map"]

T_co = TypeVar("T_co", covariant=True)
I_co = TypeVar("I_co", covariant=True, default=T_co)

LEAVING = 1.0  # seconds that the threads of a map get to end when it is left

_Input = tuple[int, tuple[Any, ...]]


class Map(Generic[T_co, I_co]):
    """The values of the inputs, as their calls finish. Nothing is asked before the first one is read.

    Iterate it for values, or read `outcomes()`; each continues where reading stopped. `summary` says what was
    done. Use it in a `with` block, or `close()` it, to leave early: that ends the calls that run, with their
    connections. Inputs are read one by one, while there is room (see `Window`), in the reader's thread.

    1. The reader takes the outcome that is next, if it is there.
    2. Otherwise it begins as many inputs as there is room for, and waits until a call finishes.
    3. The threads take inputs from one queue and put outcomes into another. None of them knows this object,
       so that a map which is dropped is collected, and ends them.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._inputs: Iterator[tuple[Any, ...]] | None = _side_by_side(plan.inputs)
        self._workers = _Threads(plan) if plan.executor is None else Futures(plan, plan.executor)
        # Twice the places: a thread that ends a call finds its next input without the reader.
        most = (2 if plan.executor is None else 1) * plan.concurrency
        self._window = Window(plan.concurrency, most, ordered=plan.ordered)
        self._reading = threading.Lock()
        self._failure: BaseException | None = None  # of the inputs; raised after the last outcome

    @property
    def summary(self) -> MapSummary:
        """What was done so far: counts, usage, cost, and errors by kind."""
        return self._plan.summary

    def __iter__(self) -> Iterator[I_co]:
        return self

    def __next__(self) -> I_co:
        """The next value; an error is raised or returned, as *on_error* says."""
        outcome = self._next(stops_at_error=self._plan.on_error == "raise")
        if outcome is None:
            raise StopIteration
        try:
            value: I_co = self._plan.value_of(outcome)
        except Exception:
            self.close()
            raise
        return value

    def outcomes(self) -> Iterator[Outcome[T_co]]:
        """What came of each input, failed ones included, whatever *on_error* says."""
        while (outcome := self._next()) is not None:
            yield outcome

    def close(self) -> None:
        """End the calls that run, and wait for their threads, but not for a tool that takes longer."""
        self._workers.stop()
        self._inputs = None
        self._workers.join(LEAVING)
        self._plan.end()

    def __enter__(self) -> Map[T_co, I_co]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_workers"):
            self._workers.stop()
            self._plan.close()

    def _next(self, *, stops_at_error: bool = False) -> Outcome[Any] | None:
        """The next outcome; `None` at the end. Raises what the iterables raised, after the last one."""
        try:
            with self._reading:
                self._window.stops_at_error = stops_at_error
                while not self._workers.is_stopped:
                    self._collect()
                    self._fill()
                    if (outcome := self._window.take()) is not None:
                        return outcome
                    if self._window.is_empty:
                        break
                    self._collect(wait=True)
        except BaseException:  # Ctrl-C
            self.close()
            raise
        self.close()
        failure, self._failure = self._failure or self._plan.broken, None
        if failure is not None:
            raise failure
        return None

    def _fill(self) -> None:
        """Begin inputs while there is room."""
        while self._inputs is not None and self._window.has_room:
            try:
                self._plan.begin()
                self._begin(next(self._inputs))
            except StopIteration:
                self._inputs = None
            except Exception as error:  # noqa: BLE001 - raised when what has begun is read
                self._inputs, self._failure = None, error

    def _begin(self, args: tuple[Any, ...]) -> None:
        index = self._window.next_index
        if (known := self._plan.known(index, args)) is None:
            self._workers.begin((index, args))
        self._window.begin()
        if known is not None:
            self._window.add(known)

    def _collect(self, *, wait: bool = False) -> None:
        """Take what has finished; with *wait* at least one outcome, unless the map is closed."""
        while (ended := self._workers.ended(wait=wait)) is not None:
            wait = False
            if isinstance(ended, BaseException):
                raise ended
            self._window.add(ended)


class _Threads(Workers):
    """The threads of one map, which begin when there is work for them."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._inputs: SimpleQueue[_Input | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def begin(self, given: _Input) -> None:
        """Have the call of an input made."""
        if len(self._threads) < self._plan.concurrency:
            arguments = (self._plan, self._stop, self._inputs, self._ended)
            number = len(self._threads)
            thread = threading.Thread(target=_work, args=arguments, name=f"alloy-map_{number}", daemon=True)
            start_thread(thread)
            self._threads.append(thread)
        self._inputs.put(given)

    def stop(self) -> None:
        """End the calls and the threads."""
        if not self._stop.is_set:
            self._stop.set()
            for _ in self._threads:
                self._inputs.put(None)
            self._ended.put(None)

    def join(self, seconds: float) -> None:
        """Wait *seconds* at most for the threads."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))


def _work(plan: Plan, stop: Stop, inputs: SimpleQueue[_Input | None], ended: SimpleQueue[Any]) -> None:
    """Make the calls of inputs until there are no more."""
    while (given := inputs.get()) is not None and not stop.is_set:
        try:
            ended.put(plan.record(ask(plan, stop, *given)))
        except Stopped:
            return
        except BaseException as error:  # noqa: BLE001 - raised where the map is read
            ended.put(error)
        given = None


def _side_by_side(iterables: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """As `zip`, which would call `iter` at once."""
    yield from zip(*iterables, strict=False)
