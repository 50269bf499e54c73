"""One call of a map, and what is recorded of it, whatever makes the call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from alloy._engine.ledger import Ledger, current_ledger, note_in
from alloy._engine.runtime.stopping import Stop, stop_with
from alloy.arguments import check_flag
from alloy.calls import OPTIONS, CallOptions
from alloy.errors import AlloyError, CheckpointError, ConfigurationError
from alloy.functions import signature_of
from alloy.maps.outcomes import MapSummary, Outcome
from alloy.maps.progress import Progress, progress_of
from alloy.messages import RequestUsage
from alloy.quantities import checked, count
from alloy.suggestions import did_you_mean, nearest

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from alloy.maps.checkpoint import Checkpoint

__all__ = ["Finished", "Plan", "Workers", "ask", "ask_async", "plan"]


class Finished(NamedTuple):
    """An outcome, and the model requests of its call."""

    outcome: Outcome[Any]
    requests: tuple[RequestUsage, ...]


class Asked(Protocol):
    """What a map needs of a command."""

    __name__: str
    _function: Callable[..., Any]
    _options: CallOptions
    run: Callable[..., Any]
    run_async: Callable[..., Any]

    def _resolve(self) -> CallOptions:
        """Its options, with an output whose names are resolved."""


@dataclass(slots=True)
class Plan:
    """What a map is to do, checked, and the context that its calls run in a copy of."""

    command: Asked
    inputs: tuple[Any, ...]  # the iterables
    concurrency: int
    ordered: bool
    on_error: str
    progress: Progress | None
    path: str | None = None  # of the checkpoint
    executor: Executor | None = None
    context: Context = field(default_factory=copy_context)
    summary: MapSummary = field(default_factory=MapSummary)
    broken: AlloyError | None = None  # why no further input begins: the disk is full, a pool is broken
    _checkpoint: Checkpoint | None = None
    _has_begun: bool = False

    @property
    def name(self) -> str:
        """What errors and the progress call the map."""
        return f"{self.command.__name__}.map()"

    def begin(self) -> None:
        """Open the checkpoint, and start the clock. Does nothing the second time."""
        if self._has_begun:
            if self.broken is not None:
                raise self.broken
            return
        self._has_begun = True
        self.summary._begin()
        if self.path is not None:
            self._checkpoint = self.context.copy().run(self._open, self.path)

    def _open(self, path: str) -> Checkpoint:
        from alloy.maps.checkpoint import Checkpoint
        from alloy.maps.identity import compiled, identity_of

        options, function = self.command._resolve(), self.command._function
        return Checkpoint(path, self.name, identity_of(function, options), compiled(options))

    def known(self, index: int, args: tuple[Any, ...]) -> Outcome[Any] | None:
        """What the checkpoint has for an input. Raises `CheckpointError` if it was another one."""
        if self._checkpoint is None or (outcome := self._checkpoint.known(index, args)) is None:
            return None
        self.summary._add(outcome, (), is_resumed=True)
        if self.progress is not None:
            self.progress.show(self.summary)
        return outcome

    def record(self, finished: Finished) -> Outcome[Any]:
        """Note what has *finished*; from any thread."""
        self._store(finished.outcome)
        self.summary._add(*finished)
        if self.progress is not None:
            self.progress.show(self.summary)
        return finished.outcome

    def value_of(self, outcome: Outcome[Any]) -> Any:
        """What the reader gets of *outcome*. Raises its error, with the index as a note, if it says so."""
        if outcome.error is None:
            return outcome.value
        if self.on_error == "return":
            return outcome.error
        if isinstance(outcome.error, StopIteration):  # it would end the reader's loop without a word
            raise RuntimeError(f"{self.name}: input {outcome.index} raised StopIteration") from outcome.error
        outcome.error.add_note(f"{self.name}: input {outcome.index}")
        raise outcome.error

    def _store(self, outcome: Outcome[Any]) -> None:
        if self._checkpoint is None:
            return
        if outcome.error is not None:
            self._checkpoint.forget(outcome.index)
            return
        try:
            self._checkpoint.store(outcome)
        except CheckpointError as error:  # the reader gets the outcomes that are there, and then the error
            self.broken = self.broken or error

    def close(self) -> None:
        """Let go of the checkpoint."""
        if self._checkpoint is not None:
            self._checkpoint.close()

    def end(self) -> None:
        """Let go of the checkpoint, and show the last state of the progress."""
        self.close()
        if self.progress is not None:
            self.progress.close(self.summary)


DEFAULTS: dict[str, Any] = {
    "concurrency": 8,
    "ordered": True,
    "on_error": "raise",
    "progress": None,
    "checkpoint": None,
    "executor": None,
    "requests_per_minute": None,
    "tokens_per_minute": None,
}
_LIMITS = ("requests_per_minute", "tokens_per_minute")  # settings of the calls


def plan(command: Any, iterables: tuple[Any, ...], options: Mapping[str, Any], *, asynchronous: bool) -> Plan:
    """The map of *command* over *iterables*. Raises `ConfigurationError` for what cannot be one."""
    where = f"{command.__name__}.map()"
    _check_names(options, command.__name__, where)
    concurrency, ordered, on_error, progress, checkpoint, executor = (
        options.get(name, DEFAULTS[name]) for name in DEFAULTS if name not in _LIMITS
    )
    if limits := {name: options[name] for name in _LIMITS if options.get(name) is not None}:
        command = command._changed(limits, where)
    for each in iterables:
        _check_iterable(each, where, asynchronous=asynchronous)
    checked(where, "concurrency", concurrency, count(1))
    check_flag(ordered, f"{where}: ordered")
    if on_error not in ("raise", "return"):
        raise ConfigurationError(f"{where}: on_error must be 'raise' or 'return', not {on_error!r:.80}")
    if progress is not None and not isinstance(progress, bool):
        raise ConfigurationError(f"{where}: progress must be True or None, not {progress!r:.80}")
    if executor is not None:
        _check_executor(executor, where)
    _check_arguments(command, len(iterables), where)
    shown = progress_of(where, _total(iterables)) if progress else None
    path = _path(checkpoint, where)
    return Plan(command, iterables, concurrency, ordered, on_error, shown, path, executor)


def _check_names(options: Mapping[str, Any], command: str, where: str) -> None:
    for name in options:
        if name in OPTIONS and name not in DEFAULTS:
            raise ConfigurationError(
                f"{where}: {name} is an option of the command: write {command}.with_options({name}=…).map(…)"
            )
        if name not in DEFAULTS:
            guess = did_you_mean(nearest(name, DEFAULTS))
            raise ConfigurationError(
                f"{where}: no option {name!r}{guess}; valid options are {', '.join(DEFAULTS)}"
            )


def _check_iterable(given: Any, where: str, *, asynchronous: bool) -> None:
    if isinstance(given, str | bytes):
        raise ConfigurationError(
            f"{where} takes iterables, and a {type(given).__name__} would be read character by character: "
            "put it into a list"
        )
    if asynchronous and hasattr(given, "__aiter__"):
        return
    if not isinstance(given, Iterable):
        fix = "; map_async() takes async iterables" if hasattr(given, "__aiter__") else ""
        raise ConfigurationError(f"{where} takes iterables, not {type(given).__name__}{fix}")


def _check_executor(given: Any, where: str) -> None:
    from concurrent.futures import Executor

    if not isinstance(given, Executor):
        fix = ": write client.get_executor()" if hasattr(given, "get_executor") else ""
        raise ConfigurationError(
            f"{where}: executor must be a concurrent.futures.Executor, not {given!r:.80}{fix}"
        )


def _path(checkpoint: Any, where: str) -> str | None:
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, str | os.PathLike) or not os.fspath(checkpoint):
        raise ConfigurationError(f"{where}: checkpoint must be the path of a file, not {checkpoint!r:.80}")
    if os.path.isdir(checkpoint):
        raise ConfigurationError(
            f"{where}: checkpoint must be the path of a file, and {os.fsdecode(checkpoint)!r} is a folder: "
            f"name a file in it, such as {os.path.join(os.fsdecode(checkpoint), 'run.sqlite')!r}"
        )
    return os.fsdecode(checkpoint)


def _check_arguments(command: Any, number: int, where: str) -> None:
    if command._options.conversation is not None:
        raise ConfigurationError(
            f"{where} makes several calls at once, and a conversation is for one at a time: "
            "give the earlier messages in the prompt"
        )
    try:
        signature_of(command._function).bind(*[None] * number)
    except TypeError as error:
        raise ConfigurationError(
            f"{where} takes one iterable for each parameter of the command, and got {number}: {error}"
        ) from None


def _total(iterables: tuple[Any, ...]) -> int | None:
    """How many inputs there are, if that is known."""
    lengths = [len(each) for each in iterables if hasattr(each, "__len__")]
    return min(lengths) if lengths and len(lengths) == len(iterables) else None


class Workers:
    """What makes the calls of one map: the state that its own threads and an executor share."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._stop = plan, Stop()
        # An exception is one that no outcome holds, such as SystemExit; `None` wakes the reader up.
        self._ended: SimpleQueue[Outcome[Any] | BaseException | None] = SimpleQueue()

    @property
    def is_stopped(self) -> bool:
        """Whether the map is closed."""
        return self._stop.is_set

    def ended(self, *, wait: bool) -> Outcome[Any] | BaseException | None:
        """What has finished; `None` for nothing, after a *wait* only when the map is closed."""
        try:
            return self._ended.get(block=wait)
        except Empty:
            return None


# --- the call -------------------------------------------------------------------------------------


def ask(plan: Plan, stop: Stop, index: int, args: tuple[Any, ...]) -> Finished:
    """Make the call of one input, in the context of the map, which *stop* may end. Raises `Stopped`."""

    def call() -> Finished:
        stop_with(stop)
        ledger = _begin_ledger()
        try:
            result = plan.command.run(*args)
        except Exception as error:  # noqa: BLE001 - the reader's to see
            return _failed(index, args, error, ledger)
        return Finished(Outcome(index, args, result.value, None, result), tuple(ledger.requests))

    return plan.context.copy().run(call)


async def ask_async(plan: Plan, index: int, args: tuple[Any, ...]) -> Finished:
    """As `ask`, in a task with a copy of the map's context."""
    ledger = _begin_ledger()
    try:
        result = await plan.command.run_async(*args)
    except Exception as error:  # noqa: BLE001 - as above
        return _failed(index, args, error, ledger)
    return Finished(Outcome(index, args, result.value, None, result), tuple(ledger.requests))


def _begin_ledger() -> Ledger:
    """A ledger for the requests of this context from now on, under the budgets that it has already."""
    outer = current_ledger()
    ledger = Ledger(() if outer is None else outer.budgets)
    note_in(ledger)
    return ledger


def _failed(index: int, args: tuple[Any, ...], error: Exception, ledger: Ledger) -> Finished:
    return Finished(Outcome(index, args, None, error), tuple(ledger.requests))
