"""Parser hooks: how a project's own types are read, and what stands for them on the wire.

    register_parser(Money, wire=str, parse=Money.parse)

From then on a `Money` may stand anywhere in an output or a tool's parameters. The model is shown, and
answers with, the wire type; *parse* makes the value of it. What *parse* raises is a problem of the
answer, with its path, and goes back to the model like any other.

A *parse* that is `async def` cannot be awaited in the middle of validation. So an answer with such
types is read in rounds (`resolving`): one round finds out what has to be awaited, the next takes what
came of it. `Answers` holds that.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from alloy.errors import AlloyError, AnswerError, ConfigurationError, ParseError
from alloy.functions import hints_of, is_async, namespace_of

__all__ = [
    "Hook",
    "Outcome",
    "Registration",
    "finished",
    "gathered",
    "generation",
    "hook_for",
    "output_hook",
    "register_parser",
    "resolving",
    "restart",
]

T = TypeVar("T")

Call: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Hook:
    """How values of one type are made: *parse* takes a value of the type *wire*.

    Stands in `Annotated[MyType, hook]` for pydantic, whose public protocol it speaks.
    """

    wire: Any
    parse: Callable[[Any], Any]
    subject: Any = None

    def read(self, value: Any) -> Any:
        """What *parse* makes of *value*. Raises `PydanticCustomError` with what it has to object."""
        try:
            if is_async(self.parse):
                return _awaited(self, value)
            return self.parse(value)
        except Exception as error:
            if isinstance(error, AlloyError) and not isinstance(error, AnswerError):
                raise  # a provider that fails says nothing about the answer
            raise _problem(error) from error

    def read_text(self, text: str, expected: str) -> Any:
        """What *parse* makes of a whole answer. Raises `ParseError`."""
        from pydantic_core import PydanticCustomError, PydanticKnownError

        try:
            return self.read(text)
        except (PydanticCustomError, PydanticKnownError) as error:
            raise ParseError(expected, (f"$: {error.message()}",), text) from error

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        from alloy._typed.types.standins import stand_in

        shown = stand_in(self.wire, without=self.subject)
        return core_schema.no_info_after_validator_function(self.read, handler.generate_schema(shown))


def _problem(error: Exception) -> Exception:
    from pydantic_core import PydanticCustomError, PydanticKnownError

    if isinstance(error, PydanticCustomError | PydanticKnownError):
        return error
    said = str(error) or type(error).__name__
    if not isinstance(error, ValueError | AssertionError):
        said = f"{type(error).__name__}: {error}"
    return PydanticCustomError("parser", "{said}", {"said": said})


# --- the register ---------------------------------------------------------------------------------

_lock = threading.Lock()
_hooks: dict[Any, Hook] = {}
_generation = 0


class Registration:
    """A parser's place in the register: `remove()` takes it out again, as the end of a `with` does."""

    def __init__(self, subject: Any, hook: Hook) -> None:
        self._subject, self._hook = subject, hook
        self._before = _put(subject, hook)

    def remove(self) -> None:
        """Read the type as before the registration. Does nothing when it was registered anew since."""
        global _generation
        with _lock:
            if _hooks.get(self._subject) is not self._hook:
                return
            del _hooks[self._subject]
            if self._before is not None:
                _hooks[self._subject] = self._before
            _generation += 1

    def __enter__(self) -> Registration:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def _put(subject: Any, hook: Hook) -> Hook | None:
    global _generation
    with _lock:
        before = _hooks.get(subject)
        _hooks[subject] = hook
        _generation += 1
        return before


def register_parser(subject: Any, /, *, wire: Any = str, parse: Callable[[Any], Any]) -> Registration:
    """Read values of the type *subject* by *parse*, wherever the type stands.

    *wire* is the type that stands for it in what a model is shown and gives; *parse* takes a value of
    *wire* and returns one of *subject*, or raises: what it raises is told the model. It may be
    `async def`. A type that is registered again is read by the newer parser. The registration that
    comes back takes the parser out again, by `remove()` or as `with register_parser(…):`.
    Raises `ConfigurationError` when *subject* is no type or *parse* cannot be called.
    """
    if not callable(parse):
        raise ConfigurationError(f"register_parser: parse must be a function, not {parse!r}")
    if subject is None or isinstance(subject, str) or not _hashable(subject):
        raise ConfigurationError(
            f"register_parser needs a type, as in register_parser(Money, …), not {subject!r}"
        )
    return Registration(subject, Hook(wire, parse, subject))


def hook_for(annotation: Any) -> Hook | None:
    """The parser that is registered for *annotation*, or for the generic type that it is a case of."""
    if not _hooks:
        return None
    try:
        return _hooks.get(annotation) or _hooks.get(getattr(annotation, "__origin__", None))
    except TypeError:  # unhashable, as Annotated[int, []] is
        return None


def generation() -> int:
    """A number that changes with the register: what was compiled under another one is out of date."""
    return _generation


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def output_hook(output: Any, parse: Callable[[Any], Any]) -> Hook:
    """The hook for `@command(output=…, parser=…)`: the wire type is that of *parse*'s first parameter.

    A parameter without a type gets the answer's text. Raises `ConfigurationError`.
    """
    if not callable(parse):
        raise ConfigurationError(f"parser must be a function, not {parse!r}")
    function = parse if inspect.isroutine(parse) or isinstance(parse, type) else type(parse).__call__
    try:
        named = list(inspect.signature(parse).parameters)[:1]
        hints = {} if isinstance(function, type) else hints_of(function, namespace_of(function))
    except (NameError, TypeError, ValueError):  # written in C, or with names that are not known
        named, hints = [], {}
    return Hook(hints.get(named[0], str) if named else str, parse, output)


# --- async parsers --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of awaiting an async parser: its *value*, or the *error* that it raised."""

    value: Any = None
    error: Exception | None = None


class Answers:
    """What async parsers made of the values in one text, by parser, value and occurrence."""

    def __init__(self) -> None:
        self._known: dict[Any, Outcome] = {}
        self._met: dict[Any, int] = {}
        self._wanted: dict[Any, Call] = {}

    @contextmanager
    def round(self) -> Iterator[dict[Any, Call]]:
        """One reading of the text; fills the dict that it gives with what has to be awaited next."""
        self._wanted = {}
        token = _answers.set(self)
        try:
            yield self._wanted
        finally:
            _answers.reset(token)

    def restart(self) -> None:
        """The same values come once more, from the first on."""
        self._met = {}

    def take(self, hook: Hook, value: Any) -> Any:
        """The outcome for *value*, if it is known; else it is noted as wanted, and refused for now."""
        same = id(hook), _key(value)
        nth = self._met[same] = self._met.get(same, 0) + 1
        outcome = self._known.get((same, nth))
        if outcome is None:
            self._wanted[same, nth] = partial(hook.parse, value)
            raise ValueError("not parsed yet")
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    def learn(self, wanted: Iterable[Any], outcomes: Sequence[Outcome]) -> None:
        """Keep what came of what was *wanted*, in the same order."""
        self._known.update(zip(wanted, outcomes, strict=True))


_answers: ContextVar[Answers | None] = ContextVar("alloy_parser_answers", default=None)


def _key(value: Any) -> bytes:
    from pydantic_core import PydanticSerializationError, to_json

    try:
        return to_json(value, fallback=repr)
    except (PydanticSerializationError, ValueError, RecursionError):
        return repr(value).encode(errors="backslashreplace")


def _awaited(hook: Hook, value: Any) -> Any:
    answers = _answers.get()
    if answers is not None:
        return answers.take(hook, value)
    (outcome,) = finished([partial(hook.parse, value)])  # nobody asks in rounds
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


def restart() -> None:
    """To be called where a reading begins to validate: the values come from the first on."""
    if (answers := _answers.get()) is not None:
        answers.restart()


def resolving(
    read: Callable[[], T], ask: Callable[[Sequence[Call]], Generator[Any, Any, Sequence[Outcome]]]
) -> Generator[Any, Any, T]:
    """The value that *read* returns, with async parsers awaited by whoever runs this.

    `yield from ask(calls)` has to give the outcomes of *calls*, in their order: *ask* may be an effect.
    What *read* raises when there is nothing more to await is raised. Without async parsers nothing is
    ever yielded.
    """
    answers = Answers()
    while True:
        with answers.round() as wanted:
            try:
                value = read()
            except (AnswerError, ValueError):
                if not wanted:
                    raise
            else:
                if not wanted:
                    return value
        answers.learn(wanted, (yield from ask(tuple(wanted.values()))))


async def gathered(calls: Sequence[Call]) -> list[Outcome]:
    """The outcomes of *calls*, which run side by side."""
    import asyncio

    return list(await asyncio.gather(*map(_outcome, calls)))


async def _outcome(call: Call) -> Outcome:
    try:
        return Outcome(await call())
    except Exception as error:  # noqa: BLE001 - whatever a parser raises is its outcome
        return Outcome(error=error)


def finished(calls: Sequence[Call]) -> list[Outcome]:
    """As `gathered`, for code that cannot await: runs them to their end in a loop of their own."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    with ThreadPoolExecutor(1, "alloy-parser") as pool:  # here a loop may be running already
        return pool.submit(copy_context().run, asyncio.run, gathered(calls)).result()
