"""The calls of a map in the executor of a caller: threads, processes, a Dask cluster.

A call is given to the executor as an object. Where it is called in this process, it runs in a copy of the
map's context, as in the map's own threads. If the executor pickles it, what arrives is a `_Portable`: the
command, the arguments and the settings in force, without keys. It runs in the worker's own environment, and
its `_Done` brings back what it used, which is added here to the usage and the budgets around the map.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextvars import Context
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from pickle import PicklingError
from queue import SimpleQueue
from typing import Any

from alloy._engine.budgeting import budgets_of
from alloy._engine.handlers import current_handlers
from alloy._engine.runtime.stopping import Stop, Stopped
from alloy.budgets import Budget
from alloy.config import current, given_here, with_given
from alloy.errors import AlloyError, BudgetError, ConfigurationError, WorkerError
from alloy.functions import is_async
from alloy.maps.calls import Finished, Plan, Workers, ask
from alloy.maps.outcomes import Outcome
from alloy.messages import RequestUsage
from alloy.pickling import Given, clean_foreign, kept_here
from alloy.result import Result
from alloy.usage import UsageTotal, counting, totals_of

__all__ = ["Counted", "Futures", "counted_around", "finished", "given_to"]

_Outcome = tuple[Result[Any] | None, Exception | None]

# Settings that belong to this process: they cannot be pickled, or are applied here.
_LOCAL = ("on_event", "http_client", "budget")


class Futures(Workers):
    """Has the calls of one map made by an executor, in place of the map's own threads."""

    def __init__(self, plan: Plan, executor: Executor) -> None:
        super().__init__(plan)
        self._executor, self._counted = executor, counted_around(plan)
        self._running: set[Future[Any]] = set()

    def begin(self, given: tuple[int, tuple[Any, ...]]) -> None:
        """Have the call of an input made. Raises `WorkerError` if the executor takes no more."""
        future = given_to(self._executor, self._plan, self._counted, self._stop, *given)
        self._running.add(future)
        # Neither the callback nor the future knows the map, so that one which is dropped is collected.
        state = self._plan, self._counted, self._running, self._ended
        future.add_done_callback(partial(_end, *state, *given))

    def stop(self) -> None:
        """End the calls in this process, and have those that have not begun elsewhere cancelled."""
        if not self._stop.is_set:
            self._stop.set()
            for future in list(self._running):
                future.cancel()
            self._ended.put(None)

    def join(self, seconds: float) -> None:
        """Nothing to wait for: the threads and processes are the executor's."""


def given_to(
    executor: Executor, plan: Plan, counted: Counted, stop: Stop, index: int, args: tuple[Any, ...]
) -> Future[Finished | _Done]:
    """The future of one call. Raises `WorkerError` if *executor* takes no more."""
    future: Future[Any] = Future()
    if (refused := counted.refused()) is not None:
        future.set_result(Finished(Outcome(index, args, None, refused), ()))
        return future
    try:
        return executor.submit(_Call(plan, stop, index, args))
    except RuntimeError as error:  # a pool that is broken, or shut down
        raise WorkerError(f"{plan.name}: the executor takes no call ({error})") from error
    except Exception as error:  # noqa: BLE001 - Dask pickles here, and pools of processes later
        future.set_exception(error)
        return future


def finished(
    plan: Plan, counted: Counted, index: int, args: tuple[Any, ...], future: Future[Finished | _Done]
) -> Finished | BaseException | None:
    """What came of a call. `None` if the map does not wait for it; an exception that no outcome holds."""
    try:
        done = future.result()
    except (CancelledError, Stopped):
        return None
    except Exception as error:  # noqa: BLE001 - of the executor, not of the call
        plan.context.copy().run(clean_foreign, error, plan.command._options.settings)
        return Finished(Outcome(index, args, None, _explained(plan.name, error)), ())
    except BaseException as error:  # noqa: BLE001 - SystemExit, which is the reader's
        return error
    return done if isinstance(done, Finished) else done.added_to(counted, index, args)


def _explained(name: str, error: Exception) -> AlloyError:
    """*error* of an executor as that of an input."""
    if isinstance(error, BrokenExecutor):
        return _caused(WorkerError(f"{name}: a worker died: {_named(error)}"), error)
    pickles = [each for each in _chain(error) if isinstance(each, PicklingError | AttributeError | TypeError)]
    for each in _chain(error):
        if isinstance(each, ConfigurationError):  # what refused to be pickled says why
            return _caused(ConfigurationError(f"{name}: {each}"), error)
    if pickles:  # the last in the chain was the first, and is pickle's own
        return _caused(
            WorkerError(f"{name}: the call cannot be pickled for a worker: {_named(pickles[-1])}"), error
        )
    problem = f"{name}: a worker died, or the call could not be sent to it: {_named(error)}"
    return _caused(WorkerError(problem), error)


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _caused(problem: AlloyError, error: Exception) -> AlloyError:
    problem.__cause__ = error
    return problem


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """*error* and what led to it: Dask wraps the errors of pickle, and asks cloudpickle after them."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _end(
    plan: Plan,
    counted: Counted,
    running: set[Future[Any]],
    ended: SimpleQueue[Any],
    index: int,
    args: tuple[Any, ...],
    future: Future[Any],
) -> None:
    running.discard(future)
    try:
        found = finished(plan, counted, index, args, future)
        if found is not None:
            ended.put(plan.record(found) if isinstance(found, Finished) else found)
    except BaseException as error:  # noqa: BLE001 - an executor only logs what its callbacks raise
        ended.put(error)


class _Call:
    """One call, for this process. A pickle of it is a `_Portable`."""

    def __init__(self, plan: Plan, stop: Stop, index: int, args: tuple[Any, ...]) -> None:
        self._of = plan, stop, index, args

    def __call__(self) -> Finished:
        plan, stop, index, args = self._of
        if is_async(plan.command):
            return plan.context.copy().run(_ask_async, plan, index, args)
        return ask(plan, stop, index, args)

    def __reduce__(self) -> Any:
        plan, _, _, args = self._of
        if scope := plan.context.get(kept_here):
            raise ConfigurationError(
                f"{scope} reaches only the calls of this process: use a pool of threads, or no executor"
            )
        settings = plan.context.copy().run(given_here)
        portable = {name: value for name, value in settings.items() if name not in _LOCAL}
        return _Portable, (plan.command, args, Given(portable))


class _Portable:
    """A call in another process."""

    def __init__(self, command: Any, args: tuple[Any, ...], settings: dict[str, Any]) -> None:
        self._command, self._args, self._settings = command, args, settings

    def __call__(self) -> _Done:
        # Not in the context of a forked process, which has the scopes of its parent.
        return Context().run(self._run)

    def _run(self) -> _Done:
        noted = _Noted()
        result, error = None, None
        with with_given(self._settings), counting(noted):
            try:
                result = _run(self._command, self._args)
            except Exception as problem:  # noqa: BLE001 - of the call, for the reader
                error = problem
        name = getattr(self._command, "__name__", "the command")
        return _Done(noted, *_sendable(name, result, error))


def _run(command: Any, args: tuple[Any, ...]) -> Result[Any]:
    if not is_async(command):
        result: Result[Any] = command.run(*args)
        return result
    from alloy._engine.runtime import background_loop
    from alloy._engine.runtime.deadline import Clock

    # One loop for all calls of the process, which keeps their connections.
    return background_loop.run(command.run_async(*args), Clock(), command.__name__)


def _ask_async(plan: Plan, index: int, args: tuple[Any, ...]) -> Finished:
    from alloy._engine.runtime import background_loop
    from alloy._engine.runtime.deadline import Clock
    from alloy.maps.calls import ask_async

    return background_loop.run(ask_async(plan, index, args), Clock(), plan.name)


def _sendable(name: str, result: Result[Any] | None, error: Exception | None) -> _Outcome:
    """*result* and *error*, or in place of what cannot be pickled an error that can be.

    An error that can be pickled, but not read again, would break a pool of processes.
    """
    try:
        pickle.dumps((result, error))
        copy(error)  # made in the same way as from a pickle
        return result, error
    except Exception as problem:  # noqa: BLE001 - whatever their own methods raise
        if result is not None and (result.transcript or result.tool_calls):
            return _sendable(name, replace(result, transcript=(), tool_calls=()), None)
        clean_foreign(problem, {})
        what = "its value" if error is None else f"its error, {type(error).__name__}: {error},"
        return None, WorkerError(f"{name}(): {what} cannot be pickled ({problem})")


@dataclass(slots=True)
class _Noted:
    """What a call in a worker used."""

    calls: int = 0
    requests: int = 0
    used: list[tuple[RequestUsage, float]] = field(default_factory=list)

    def _begin_call(self) -> None:
        self.calls += 1

    def _begin_request(self) -> None:
        self.requests += 1

    def _take_back_request(self) -> None:
        self.requests -= 1

    def _add(self, request: RequestUsage, seconds: float, waited: float) -> None:
        self.used.append((request, seconds))


@dataclass(frozen=True, slots=True)
class _Done:
    """What a call in a worker brings back: what it used, and its result or error."""

    noted: _Noted
    result: Result[Any] | None
    error: Exception | None

    def added_to(self, counted: Counted, index: int, args: tuple[Any, ...]) -> Finished:
        """The outcome in this process, whose usage is added to what counts around the map."""
        result, error = self.result, self.error
        counted.add(self.noted)
        value = None if result is None else result.value
        requests = tuple(request for request, _ in self.noted.used)
        return Finished(Outcome(index, args, value, error, result), requests)


class Counted:
    """What counts the calls of a map: usage tracking and budgets around it, and the budget of its command."""

    def __init__(self, plan: Plan) -> None:
        self._totals: tuple[UsageTotal, ...] = totals_of(current_handlers())
        own = current(plan.command._options.settings).budget
        found: list[Budget] = [*budgets_of(current_handlers()), *([] if own is None else [own])]
        self._budgets = tuple(dict.fromkeys(found))

    def refused(self) -> BudgetError | None:
        """The error if a budget has nothing left, so that no worker is asked."""
        for budget in self._budgets:
            try:
                budget.begin_in_worker()
            except BudgetError as error:
                return error
        return None

    def add(self, noted: _Noted) -> None:
        """Count what a worker has used."""
        for total in self._totals:
            total._add_from_worker(noted.calls, noted.requests, noted.used)
        for budget in self._budgets:
            budget.add_from_worker(noted.requests, [request for request, _ in noted.used])


def counted_around(plan: Plan) -> Counted:
    """What counts the calls of *plan*."""
    return plan.context.copy().run(Counted, plan)
