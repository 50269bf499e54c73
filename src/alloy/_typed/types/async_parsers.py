"""Calling parsers, the async ones in rounds.

Validation cannot await. So an answer with async parsers is read several times (`resolving`): one round
of reading collects the calls of async parsers, the caller awaits them, and the next round takes their
outcomes. Nothing is awaited in this module.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

from alloy._typed.types.parsers import Hook
from alloy.errors import AlloyError, AnswerError, ParseError
from alloy.functions import is_async

__all__ = ["Call", "Outcome", "Unresolved", "call_parser", "parse_text", "resolving", "restart"]

T = TypeVar("T")

Call: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]


class Unresolved(AlloyError):
    """An async parser was called where nobody awaits it, outside of `resolving`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of awaiting an async parser: its *value*, or the *error* that it raised."""

    value: Any = None
    error: Exception | None = None


def call_parser(hook: Hook, value: Any) -> Any:
    """The result of *hook*'s parser for *value*. Raises `PydanticCustomError` with the parser's objection."""
    try:
        if is_async(hook.parse):
            return _awaited(hook, value)
        return hook.parse(value)
    except Exception as error:
        if isinstance(error, AlloyError) and not isinstance(error, AnswerError):
            raise  # the error of a model that the parser asked is not a problem of the answer
        raise _problem(error) from error


def parse_text(hook: Hook, text: str, expected: str) -> Any:
    """The result of *hook*'s parser for a whole answer. Raises `ParseError`."""
    from pydantic_core import PydanticCustomError, PydanticKnownError

    try:
        return call_parser(hook, text)
    except (PydanticCustomError, PydanticKnownError) as error:
        raise ParseError(expected, (f"$: {error.message()}",), text) from error


def _problem(error: Exception) -> Exception:
    from pydantic_core import PydanticCustomError, PydanticKnownError

    if isinstance(error, PydanticCustomError | PydanticKnownError):
        return error
    text = str(error) or type(error).__name__
    if not isinstance(error, ValueError | AssertionError):
        text = f"{type(error).__name__}: {error}"
    return PydanticCustomError("parser", "{text}", {"text": text})


class _Rounds:
    """The outcomes of async parsers for one text, by parser, value and occurrence of the value."""

    def __init__(self) -> None:
        self.known: dict[Any, Outcome] = {}
        self._seen: dict[Any, int] = {}
        self._wanted: dict[Any, Call] = {}

    @contextmanager
    def round(self) -> Iterator[dict[Any, Call]]:
        """One reading of the text. Fills the dict that it gives with the calls to be awaited next."""
        self._wanted = {}
        token = _rounds.set(self)
        try:
            yield self._wanted
        finally:
            _rounds.reset(token)

    def restart(self) -> None:
        """The same values come again, beginning with the first."""
        self._seen = {}

    def take(self, hook: Hook, value: Any) -> Any:
        """The result for *value*, if it is known. Otherwise the call is noted and the value refused."""
        same = id(hook), _key(value)
        nth = self._seen[same] = self._seen.get(same, 0) + 1
        outcome = self.known.get((same, nth))
        if outcome is None:
            self._wanted[same, nth] = partial(hook.parse, value)
            raise ValueError("not parsed yet")
        if outcome.error is not None:
            raise outcome.error
        return outcome.value


_rounds: ContextVar[_Rounds | None] = ContextVar("alloy_parser_rounds", default=None)


def _key(value: Any) -> bytes:
    from pydantic_core import PydanticSerializationError, to_json

    try:
        return to_json(value, fallback=repr)
    except (PydanticSerializationError, ValueError, RecursionError):
        return repr(value).encode(errors="backslashreplace")


def _awaited(hook: Hook, value: Any) -> Any:
    rounds = _rounds.get()
    if rounds is None:
        raise Unresolved("an async parser can only be called by resolving()")
    return rounds.take(hook, value)


def restart() -> None:
    """To be called where a validation begins: the values come again, beginning with the first."""
    if (rounds := _rounds.get()) is not None:
        rounds.restart()


def resolving(
    read: Callable[[], T], ask: Callable[[Sequence[Call]], Generator[Any, Any, Sequence[Outcome]]]
) -> Generator[Any, Any, T]:
    """The value that *read* returns. Async parsers are awaited by the code that drives this generator.

    `yield from ask(calls)` must return the outcomes of *calls*, in their order; *ask* may yield an effect.
    An error of *read* is raised once there is nothing left to await. Without async parsers nothing is
    yielded.
    """
    rounds = _Rounds()
    while True:
        with rounds.round() as wanted:
            try:
                value = read()
            except (AnswerError, ValueError):
                if not wanted:
                    raise
            else:
                if not wanted:
                    return value
        outcomes = yield from ask(tuple(wanted.values()))
        rounds.known.update(zip(wanted, outcomes, strict=True))
