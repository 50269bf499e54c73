"""Effects: how a script says what it needs, and how it receives the outcome.

A script is a generator that yields effects and is sent their outcome, or has their error thrown into
it. It performs nothing itself: a driver (`_engine.runtime`) does. A handler sits between the two: every
effect of the script passes through it (`handled`).

No effect may be yielded in a script's `finally`: a generator cannot yield while it is being closed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeAlias, get_args

from typing_extensions import TypeVar

from alloy._engine.routes import Route
from alloy._typed.types.async_parsers import Call, Outcome
from alloy.backends.batches import ApiCall
from alloy.errors import ConfigurationError
from alloy.events import Event
from alloy.excerpts import shown_value
from alloy.messages import Finish, Reply, Request, ToolCall, ToolResult, Usage
from alloy.quantities import LONGEST_WAIT

__all__ = [
    "CallApi",
    "CallModel",
    "Effect",
    "EffectError",
    "Elapsed",
    "Emit",
    "Handler",
    "HandlerError",
    "InThread",
    "ParseValues",
    "RunTools",
    "RunningScript",
    "Script",
    "Sleep",
    "handled",
    "not_an_effect",
    "parse_values",
]

T = TypeVar("T", default=Any)


class EffectError(ConfigurationError):
    """What is wrong with an effect; `handled` adds which handler it comes from."""


class HandlerError(ConfigurationError):
    """What is wrong with an effect or an outcome of a handler, with the name of the handler."""


class Effect(Generic[T]):
    """Something that a driver does for a script: `outcome = yield from effect`."""

    __slots__ = ()

    outcome: ClassVar[str] = "an outcome"
    """What the outcome is, for the error about a handler that returns something else."""

    def accepts(self, outcome: object) -> bool:
        """Whether *outcome* can be the outcome of this effect; checked when a handler returns it."""
        return True

    def __iter__(self) -> Generator[Effect[Any], Any, T]:
        outcome: T = yield self
        return outcome

    def _require(self, name: str, holds: Callable[[Any], bool], wanted: str) -> None:
        """Raise `EffectError` unless the value of the field *name* is what is *wanted*."""
        value = getattr(self, name)
        if not holds(value):
            raise EffectError(f"{type(self).__name__}: {name} must be {wanted}, not {shown_value(value):.80}")


@dataclass(frozen=True, slots=True)
class CallModel(Effect[Reply]):
    """Send *request* along *route* and wait for the whole reply. Fails with a `ProviderError`."""

    route: Route
    request: Request

    outcome = "a Reply whose text is a str and whose calls are ToolCalls"

    def __post_init__(self) -> None:
        self._require("route", _is(Route), "a Route")
        self._require("request", _is(Request), "a Request")

    def accepts(self, outcome: object) -> bool:
        """Whether *outcome* is a reply that a model can give."""
        return isinstance(outcome, Reply) and _is_complete(outcome)


@dataclass(frozen=True, slots=True)
class CallApi(Effect[Any]):
    """Send *call* to the batch API of *route*'s provider. Fails with a `ProviderError`.

    The outcome is the parsed answer. Only scripts of `_engine.batching` yield it, which have no handlers.
    """

    route: Route
    call: ApiCall


@dataclass(frozen=True, slots=True)
class RunTools(Effect[list[ToolResult]]):
    """Run the tools that one reply called; the results are in the order of the calls.

    The arguments of the calls are in the dialect of *route*, along which the reply came. Each result is
    published as `ToolFinished` when its tool ends, while the others still run.
    """

    route: Route
    calls: tuple[ToolCall, ...]

    outcome = "a list with a ToolResult for each call, in their order, whose content is a str"

    def __post_init__(self) -> None:
        self._require("route", _is(Route), "a Route")
        self._require("calls", _are_calls, "a tuple of ToolCalls")

    def accepts(self, outcome: object) -> bool:
        """Whether *outcome* has a result for each call: providers refuse a call without its result."""
        return (
            isinstance(outcome, list)
            and all(isinstance(each, ToolResult) and isinstance(each.content, str) for each in outcome)
            and [result.call.id for result in outcome] == [call.id for call in self.calls]
        )


@dataclass(frozen=True, slots=True)
class ParseValues(Effect[Sequence[Outcome]]):
    """Await the async parsers of an answer's parts; the outcomes are in the order of the calls."""

    calls: tuple[Call, ...]

    outcome = "a list with an outcome for each call, in their order"

    def __post_init__(self) -> None:
        self._require("calls", _are_functions, "a tuple of functions")

    def accepts(self, outcome: object) -> bool:
        """Whether *outcome* has an outcome for each call."""
        return (
            isinstance(outcome, tuple | list)
            and len(outcome) == len(self.calls)
            and all(isinstance(each, Outcome) for each in outcome)
        )


@dataclass(frozen=True, slots=True)
class InThread(Effect[T]):
    """Call *function*, which may block for a moment: in a thread, if an event loop would wait for it."""

    function: Callable[[], T]


@dataclass(frozen=True, slots=True)
class Sleep(Effect[None]):
    """Wait. Fails with a `DeadlineError` at once when the call's time would be up by then."""

    seconds: float

    def __post_init__(self) -> None:
        self._require("seconds", _is_wait, f"a number of at least 0 and at most {LONGEST_WAIT:g}")


@dataclass(frozen=True, slots=True)
class Emit(Effect[None]):
    """Publish *event* to the call's listeners and to the reader of its stream. Nothing is waited for."""

    event: Event

    def __post_init__(self) -> None:
        self._require("event", _is(*_EVENTS), "an event of alloy.events")


@dataclass(frozen=True, slots=True)
class Elapsed(Effect[float]):
    """The seconds since the call began."""

    outcome = "a number of seconds"

    def accepts(self, outcome: object) -> bool:
        """Whether *outcome* is a number."""
        return isinstance(outcome, int | float)


_EVENTS = tuple(getattr(each, "__origin__", each) for each in get_args(Event))


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _is_wait(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= LONGEST_WAIT  # false for NaN


def _are_functions(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(map(callable, value))


def _is_complete(reply: Any) -> bool:
    return (
        isinstance(reply.text, str)
        and isinstance(reply.usage, Usage)
        and reply.finish in get_args(Finish)
        and _are_calls(reply.calls)
    )


def _are_calls(calls: object) -> bool:
    return isinstance(calls, tuple | list) and all(
        isinstance(call, ToolCall)
        and all(isinstance(part, str) for part in (call.id, call.name, call.arguments))
        for call in calls
    )


Script: TypeAlias = Generator[Effect[Any], Any, T]

Handler: TypeAlias = Callable[[Effect[Any]], Generator[Effect[Any], Any, Any]]
"""A generator function that gets an effect and returns its outcome.

`outcome = yield from effect` has it performed; a handler may also return an outcome itself, raise, change the
effect, perform it again, or perform others.
"""


def handled(script: Script[T], handler: Handler) -> Script[T]:
    """*script*, every effect of which passes through *handler*.

    What the handler raises is raised in the script where it yielded the effect.
    """
    step: Callable[[Any], Effect[Any]] = script.send
    value: Any = None
    try:
        while True:
            try:
                effect: Any = step(value)
            except StopIteration as done:
                result: T = done.value
                return result
            if not isinstance(effect, Effect):  # a handler inside this one yielded it
                value, step = not_an_effect(effect), script.throw
                continue
            try:
                value, step = (yield from handler(effect)), script.send
                if not effect.accepts(value):
                    raise _wrong_outcome(handler, effect, value)
            except EffectError as error:
                value, step = _in_handler(handler, error), script.throw
            except Exception as error:  # noqa: BLE001 - the script's to handle or to raise
                value, step = error, script.throw
    finally:
        script.close()


def not_an_effect(value: object) -> EffectError:
    """The error for *value*, which a handler yielded."""
    return EffectError(f"it yielded {value!r:.80}, which is not an effect: write `yield from effect` there")


def _in_handler(handler: Handler, error: EffectError) -> HandlerError:
    named = HandlerError(f"the handler {_name_of(handler)}: {error}")
    named.__cause__ = error  # whose traceback shows the line
    return named


def _wrong_outcome(handler: Handler, effect: Effect[Any], value: object) -> HandlerError:
    return HandlerError(
        f"the handler {_name_of(handler)} returned {value!r:.80} for {type(effect).__name__}, which needs "
        f"{effect.outcome}: end it with `return (yield from effect)`"
    )


def _name_of(handler: Handler) -> str:
    return str(getattr(handler, "__qualname__", type(handler).__name__))


def parse_values(calls: Sequence[Call]) -> Script[Sequence[Outcome]]:
    """`ParseValues` as a script, for `alloy._typed.types.async_parsers.resolving`."""
    return (yield from ParseValues(tuple(calls)))


class RunningScript(Generic[T]):
    """A script that has been started: the effect that it waits for, or its result."""

    result: T

    def __init__(self, script: Script[T]) -> None:
        self._script = script
        self.pending: Effect[Any] | None = None
        self.resume(None)

    def resume(self, outcome: object) -> None:
        """Send the outcome of the pending effect to the script."""
        self._step(self._script.send, outcome)

    def fail(self, error: Exception) -> None:
        """Raise the pending effect's *error* in the script; an error of the script is the caller's."""
        self._step(self._script.throw, error)

    def close(self) -> None:
        """Abandon the script."""
        self._script.close()

    def _step(self, advance: Callable[[Any], Effect[Any]], value: object) -> None:
        try:
            pending: Any = advance(value)
            while not isinstance(pending, Effect):
                pending = self._script.throw(not_an_effect(pending))
            self.pending = pending
        except StopIteration as done:
            self.pending, self.result = None, done.value
