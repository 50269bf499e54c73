"""One call of a map, and what is recorded of it, whatever makes the call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from alloy._engine.ledger import Ledger, current_ledger, note_in
from alloy._engine.runtime.stopping import Stop, stop_with
from alloy.errors import ConfigurationError
from alloy.functions import signature_of
from alloy.maps.outcomes import MapSummary, Outcome
from alloy.maps.progress import Progress, progress_of
from alloy.messages import RequestUsage
from alloy.suggestions import did_you_mean, nearest

__all__ = ["Finished", "Plan", "ask", "ask_async", "plan"]


class Finished(NamedTuple):
    """An outcome, and the model requests of its call."""

    outcome: Outcome[Any]
    requests: tuple[RequestUsage, ...]


class Asked(Protocol):
    """What a map needs of a command."""

    __name__: str
    run: Callable[..., Any]
    run_async: Callable[..., Any]


@dataclass(slots=True)
class Plan:
    """What a map is to do, checked, and the context that its calls run in a copy of."""

    command: Asked
    inputs: tuple[Any, ...]  # the iterables
    concurrency: int
    ordered: bool
    on_error: str
    progress: Progress | None
    context: Context = field(default_factory=copy_context)
    summary: MapSummary = field(default_factory=MapSummary)

    @property
    def name(self) -> str:
        """What errors and the progress call the map."""
        return f"{self.command.__name__}.map()"

    def record(self, finished: Finished) -> Outcome[Any]:
        """Note what has *finished*; from any thread."""
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
        outcome.error.add_note(f"{self.name}: input {outcome.index}")
        raise outcome.error

    def end(self) -> None:
        """Show the last state of the progress."""
        if self.progress is not None:
            self.progress.close(self.summary)


DEFAULTS: dict[str, Any] = {"concurrency": 8, "ordered": True, "on_error": "raise", "progress": None}


def plan(command: Any, iterables: tuple[Any, ...], options: Mapping[str, Any], *, asynchronous: bool) -> Plan:
    """The map of *command* over *iterables*. Raises `ConfigurationError` for what cannot be one."""
    where = f"{command.__name__}.map()"
    for name in options:
        if name not in DEFAULTS:
            guess = did_you_mean(nearest(name, DEFAULTS))
            raise ConfigurationError(
                f"{where}: no option {name!r}{guess}; valid options are {', '.join(DEFAULTS)}"
            )
    concurrency, ordered, on_error, progress = (options.get(name, DEFAULTS[name]) for name in DEFAULTS)
    for each in iterables:
        _check_iterable(each, where, asynchronous=asynchronous)
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise ConfigurationError(
            f"{where}: concurrency must be an int of at least 1, not {concurrency!r:.80}"
        )
    if not isinstance(ordered, bool):
        raise ConfigurationError(f"{where}: ordered must be a bool, not {ordered!r:.80}")
    if on_error not in ("raise", "return"):
        raise ConfigurationError(f"{where}: on_error must be 'raise' or 'return', not {on_error!r:.80}")
    if progress not in (None, True, False):
        raise ConfigurationError(f"{where}: progress must be True or None, not {progress!r:.80}")
    _check_arguments(command, len(iterables), where)
    shown = progress_of(where, _total(iterables)) if progress else None
    return Plan(command, iterables, concurrency, ordered, on_error, shown)


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
