"""`@command`: a typed Python function whose body writes the prompt and whose answer a model gives."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from functools import partial, update_wrapper
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from alloy.config import check_settings, current
from alloy.contracts import Contracts, split
from alloy.errors import CommandError, ConfigurationError
from alloy.prompts import check_prompt, check_returns_prompt
from alloy.result import AsyncStream, Result, Stream
from alloy.tools import Tool, as_tools, by_reference

if TYPE_CHECKING:
    from alloy.engine.job import Job
    from alloy.messages import Delta

__all__ = ["AsyncCommand", "Command", "command"]

P = ParamSpec("P")
T = TypeVar("T")

OWN_OPTIONS = ("output", "tools")


class _Base(Generic[P, T]):
    """What sync and async commands share: everything up to the prompt."""

    __name__: str
    __qualname__: str
    __wrapped__: Callable[P, Any]

    def __init__(
        self,
        function: Callable[P, Any],
        *,
        output: Any,
        tools: tuple[Tool[..., Any], ...],
        settings: Mapping[str, Any],
        contracts: Contracts,
    ) -> None:
        update_wrapper(self, function)  # type: ignore[arg-type]  # subclasses are callable
        self._function = function
        self._origin: tuple[Callable[..., Any], Any] | None = None
        self._output, self._tools, self._settings = output, tools, settings
        self.__alloy_contracts__ = contracts

    def with_options(self, **options: Any) -> Any:
        """A copy with other settings, by the names that `@command` takes; others stay.

        Raises `ConfigurationError` for an unknown name or a value of the wrong type.
        """
        own, settings = _options(options, f"{self.__name__}.with_options()")
        changed = self._copy()
        changed._output = own.get("output", self._output)
        changed._tools = own.get("tools", self._tools)
        changed._settings = {**self._settings, **settings}
        changed._origin = _with_options, (self, options)
        return changed

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """The command of *instance*, as a method is, with all that a command can do."""
        if instance is None:
            return self
        bound = self._copy()
        bound._function = bound.__wrapped__ = MethodType(self._function, instance)
        bound.__alloy_contracts__ = self.__alloy_contracts__.of(bound._function)
        bound._origin = _bind, (self, instance)
        return bound

    def _copy(self) -> Any:
        # Not copy.copy: what pickles by its name is not copied by that.
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __alloy_with__(self, change: Callable[[Contracts], Contracts]) -> Any:
        changed = self._copy()
        changed.__alloy_contracts__ = change(self.__alloy_contracts__)
        return changed

    def __alloy_tool__(self) -> Tool[..., Any]:
        """The command as another one's tool: its own contracts hold when it is called."""
        return Tool(self, like=self._function)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"<command {self.__name__}{inspect.signature(self._function)}>"

    def __reduce__(self) -> Any:
        parts = {
            "function": self._function,
            "output": self._output,
            "tools": self._tools,
            "settings": self._settings,
            "contracts": self.__alloy_contracts__,
        }
        return by_reference(self) or self._origin or (_rebuild, (type(self), parts))

    def _bind(self, args: Any, kwargs: Any) -> inspect.BoundArguments | None:
        """The arguments for the contracts, when there are any. Raises `CommandError` by `@require`."""
        if not self.__alloy_contracts__:
            return None
        bound = self.__alloy_contracts__.bind(args, kwargs)
        if (problem := self.__alloy_contracts__.before(bound)) is not None:
            raise CommandError(f"{self.__name__}(): {problem}")
        return bound

    def _prepare(self, prompt: object, bound: inspect.BoundArguments | None, *, spoken: bool) -> Job[T]:
        from alloy.engine.job import prepare

        return prepare(
            check_prompt(prompt, f"{self.__name__}()"),
            output=self._output,
            settings=current(self._settings),
            tools=self._tools,
            check=None if bound is None else partial(self.__alloy_contracts__.after, bound),
            spoken=spoken,
        )


class Command(_Base[P, T]):
    """A function that asks a model: call it for the value.

    Every way to call it takes the function's own arguments and raises `ConfigurationError`,
    `CommandError`, `ProviderError`, `AnswerError`, `TurnLimitError` or `DeadlineError`.
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask, and give the answer as the declared type."""
        return self.run(*args, **kwargs).value

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Result[T]:
        """Ask, and give the value with all that the call did."""
        from alloy.engine.drivers import run

        return run(self._job(args, kwargs))

    async def async_(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """As calling it, in the running event loop."""
        return (await self.run_async(*args, **kwargs)).value

    async def run_async(self, *args: P.args, **kwargs: P.kwargs) -> Result[T]:
        """As `run`, in the running event loop."""
        from alloy.engine.drivers import run_async

        return await run_async(self._job(args, kwargs))

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> Stream[T]:
        """Ask when iterated, and give the answer's text as it comes; `.result()` has the value."""
        from alloy.engine.drivers import stream

        return Stream(stream(self._job(args, kwargs, spoken=True)))

    def stream_async(self, *args: P.args, **kwargs: P.kwargs) -> AsyncStream[T]:
        """As `stream`, for `async for` in the running event loop."""
        from alloy.engine.drivers import stream_async

        return AsyncStream(stream_async(self._job(args, kwargs, spoken=True)))

    def request(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """The body of the first request, exactly as the provider would get it; nothing is sent."""
        job = self._job(args, kwargs)
        return job.backend.encode(job.question.request)

    def _job(self, args: Any, kwargs: Any, *, spoken: bool = False) -> Job[T]:
        bound = self._bind(args, kwargs)
        return self._prepare(self._function(*args, **kwargs), bound, spoken=spoken)


class AsyncCommand(_Base[P, T]):
    """`Command` of an `async def` function: the same, awaited."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask, and give the answer as the declared type."""
        return (await self.run(*args, **kwargs)).value

    async def run(self, *args: P.args, **kwargs: P.kwargs) -> Result[T]:
        """Ask, and give the value with all that the call did."""
        from alloy.engine.drivers import run_async

        return await run_async(await self._job(args, kwargs))

    def async_(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        """As calling it: code that holds either kind of command can always await `async_`."""
        return self(*args, **kwargs)

    def run_async(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Result[T]]:
        """As `run`: see `async_`."""
        return self.run(*args, **kwargs)

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> AsyncStream[T]:
        """Ask when iterated with `async for`, and give the answer's text as it comes."""
        return AsyncStream(self._parts_of_stream(args, kwargs))

    def stream_async(self, *args: P.args, **kwargs: P.kwargs) -> AsyncStream[T]:
        """As `stream`: see `async_`."""
        return self.stream(*args, **kwargs)

    async def request(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """The body of the first request, exactly as the provider would get it; nothing is sent."""
        job = await self._job(args, kwargs)
        return job.backend.encode(job.question.request)

    async def _job(self, args: Any, kwargs: Any, *, spoken: bool = False) -> Job[T]:
        bound = self._bind(args, kwargs)
        return self._prepare(await self._function(*args, **kwargs), bound, spoken=spoken)

    async def _parts_of_stream(self, args: Any, kwargs: Any) -> AsyncGenerator[Delta | Result[T], None]:
        from alloy.engine.drivers import stream_async

        job = await self._job(args, kwargs, spoken=True)
        async with aclosing(stream_async(job)) as parts:
            async for part in parts:
                yield part


def command(function: Any = None, /, **options: Any) -> Any:
    """Make a function that returns a prompt one that returns the model's answer: `@command` or `@command(…)`.

    - *output*: the answer's type; `str` when not given; `None` for a command without a value.
    - *tools*: what the model may call: tools, commands, plain functions.
    - every setting of `Config`: *model*, *temperature*, *system*, *retry*, *timeout*, *deadline*, …

    An `async def` function becomes an `AsyncCommand`. Raises `ConfigurationError`, naming the function,
    when its return annotation is not `str`, an option is unknown or of the wrong type, or a tool is
    not usable.
    """

    def decorate(function: Any) -> Any:
        if isinstance(function, staticmethod):
            return staticmethod(decorate(function.__func__))
        if isinstance(function, classmethod):
            return _ClassCommand(decorate(function.__func__))
        if not callable(function):
            raise ConfigurationError(f"@command needs a function, not {function!r}")
        plain, contracts = split(function)
        name = f"@command {getattr(plain, '__qualname__', plain)!s}()"
        check_returns_prompt(plain, name)
        own, settings = _options(options, name)
        kind = AsyncCommand if inspect.iscoroutinefunction(plain) else Command
        return kind(
            plain,
            output=own.get("output", str),
            tools=own.get("tools", ()),
            settings=settings,
            contracts=contracts,
        )

    return decorate if function is None else decorate(function)


class _ClassCommand:
    """`@command` above `@classmethod`: the command of the class that it is looked up on.

    From Python 3.13 on a `classmethod` object binds whatever it holds as a plain function would be, so
    it cannot hold the command itself.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self._inner.__get__(type(instance) if owner is None else owner)


def _options(options: dict[str, Any], where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """*options* as the command's own ones and checked settings."""
    own = {name: options[name] for name in OWN_OPTIONS if name in options}
    if "tools" in own:
        own["tools"] = as_tools(own["tools"], where)
    settings = {name: value for name, value in options.items() if name not in OWN_OPTIONS}
    return own, check_settings(settings, where, OWN_OPTIONS) if settings else {}


def _bind(unbound: _Base[..., Any], instance: object) -> Any:
    return unbound.__get__(instance)


def _with_options(base: _Base[..., Any], options: dict[str, Any]) -> Any:
    return base.with_options(**options)


def _rebuild(kind: type[_Base[..., Any]], parts: dict[str, Any]) -> _Base[..., Any]:
    return kind(parts.pop("function"), **parts)
