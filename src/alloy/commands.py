"""`@command`: a typed Python function whose body writes the prompt and whose answer a model gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from alloy.config import check_settings, current
from alloy.contracts import Contracts, split
from alloy.conversations import Conversation
from alloy.errors import CommandError, ConfigurationError
from alloy.functions import ClassMember, adopt, bind, copy_of, evaluated, method_of, reduced, signature_of
from alloy.prompts import check_returns_prompt, read_prompt
from alloy.result import Result
from alloy.streams import AsyncStream, Stream
from alloy.tools import Tool, as_tool, as_tools

if TYPE_CHECKING:
    from typing_extensions import TypeForm, Unpack

    from alloy._engine.prepare import PreparedCall
    from alloy.options import CommandOptions
    from alloy.parts import Prompt

__all__ = ["AsyncCommand", "Command", "command"]

P = ParamSpec("P")
Q = ParamSpec("Q")
S = TypeVar("S")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

OWN_OPTIONS = ("output", "tools", "conversation", "parser")


class _Base(Generic[P, T_co]):
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
        contracts: Contracts | None = None,
        conversation: Conversation | None = None,
        parser: Callable[[Any], Any] | None = None,
    ) -> None:
        adopt(self, function)
        self._function = function
        self._origin: tuple[Callable[..., Any], Any] | None = None
        self._output, self._tools, self._settings = output, tools, settings
        self._conversation, self._parser, self._resolved = conversation, parser, False
        self.__alloy_contracts__ = contracts or Contracts(function)

    def _with_options(self, options: dict[str, Any]) -> Any:
        own, settings = split_options(options, f"{self.__name__}.with_options()")
        changed = copy_of(self)
        if "output" in own:
            changed._output, changed._resolved = own["output"], False
        changed._tools = own.get("tools", self._tools)
        changed._conversation = own.get("conversation", self._conversation)
        changed._parser = own.get("parser", self._parser)
        changed._settings = {**self._settings, **settings}
        changed._origin = _with_options, (self, options)
        return changed

    def _bound_to(self, instance: object) -> Any:
        if (method := method_of(self._function, instance)) is None:
            return self
        bound = copy_of(self)
        bound._function = bound.__wrapped__ = method
        bound.__alloy_contracts__ = self.__alloy_contracts__.of(method)
        bound._origin = bind, (self, instance)
        return bound

    def __alloy_with__(self, change: Callable[[Contracts], Contracts]) -> Any:
        changed = copy_of(self)
        changed.__alloy_contracts__ = change(self.__alloy_contracts__)
        changed._origin = None
        return changed

    def __alloy_tool__(self) -> Tool[..., Any]:
        """The command as another one's tool: its `@require` speaks to the model that calls it."""
        contracts = self.__alloy_contracts__
        free = self.__alloy_with__(Contracts.without_requires)
        made = Tool(free, like=self._function, contracts=contracts.without_ensures())
        made._origin = as_tool, (self,)
        return made

    def __repr__(self) -> str:
        return f"<command {self.__name__}{signature_of(self._function)}>"

    def __reduce__(self) -> Any:
        arguments = {
            "function": self._function,
            "output": self._output,
            "tools": self._tools,
            "settings": self._settings,
            "conversation": self._conversation,
            "parser": self._parser,
            "contracts": self.__alloy_contracts__ or None,  # without a clause there is nothing to carry
        }
        return reduced(self, self._origin, arguments)

    def _bind(self, args: Any, kwargs: Any) -> inspect.BoundArguments | None:
        """The arguments for the contracts, when there are any. Raises `CommandError` by `@require`."""
        _check_has_class(self._function, args, kwargs)
        if not self.__alloy_contracts__:
            return None
        bound = self.__alloy_contracts__.bind(args, kwargs)
        if (problem := self.__alloy_contracts__.before(bound)) is not None:
            raise CommandError(f"{self.__name__}(): {problem}")
        return bound

    def _prepare(
        self, prompt: object, bound: inspect.BoundArguments | None, *, streamed: bool
    ) -> PreparedCall[T_co]:
        from alloy._engine.prepare import prepare

        turns = read_prompt(prompt, f"{self.__name__}()")
        try:
            return prepare(
                turns,
                output=self._answer_type(),
                settings=current(self._settings),
                name=f"{self.__name__}()",
                tools=self._tools,
                parser=self._parser,
                conversation=self._conversation,
                check=None if bound is None else partial(self.__alloy_contracts__.after, bound),
                streamed=streamed,
            )
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.__name__}(): {error}") from error

    def _answer_type(self) -> Any:
        if not self._resolved:
            self._output, self._resolved = _evaluated(self._output, self._function), True
        return self._output


class Command(_Base[P, T_co]):
    """A function that asks a model: call it for the value.

    Every way to call it takes the function's own arguments and raises `ConfigurationError`,
    `CommandError`, `ProviderError`, `AnswerError`, `TurnLimitError` or `DeadlineError`.
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """Ask, and give the answer as the declared type."""
        return self.run(*args, **kwargs).value

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Result[T_co]:
        """Ask, and give the value with all that the call did."""
        from alloy._engine.runtime.drivers import run

        return run(self._job(args, kwargs))

    async def async_(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """As calling it, in the running event loop."""
        return (await self.run_async(*args, **kwargs)).value

    async def run_async(self, *args: P.args, **kwargs: P.kwargs) -> Result[T_co]:
        """As `run`, in the running event loop."""
        from alloy._engine.runtime.drivers import run_async

        return await run_async(self._job(args, kwargs))

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> Stream[T_co]:
        """Ask when iterated, and give the answer's text as it comes; `.result()` has the value."""
        return Stream(self._job(args, kwargs, streamed=True))

    def stream_async(self, *args: P.args, **kwargs: P.kwargs) -> AsyncStream[T_co]:
        """As `stream`, for `async for` in the running event loop."""
        return AsyncStream(self._job(args, kwargs, streamed=True))

    def request(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """The body of the first request, exactly as the provider would get it; nothing is sent."""
        from alloy._engine.runtime.sync_io import first_body

        return first_body(self._job(args, kwargs))

    @overload
    def with_options(self, *, output: TypeForm[T], **options: Unpack[CommandOptions]) -> Command[P, T]: ...
    @overload
    def with_options(self, **options: Unpack[CommandOptions]) -> Self: ...
    def with_options(self, **options: Any) -> Any:
        """A copy with other settings, by the names that `@command` takes; others stay.

        Raises `ConfigurationError` for an unknown name or a value of the wrong type.
        """
        return self._with_options(options)

    # For checkers: a class method's command, a method's, and a static method's or the class's own.
    @overload
    def __get__(  # type: ignore[misc]  # mypy does not see that a command is callable with a class first
        self: Callable[Concatenate[type[S], Q], Any], instance: S | None, owner: type[S], /
    ) -> Command[Q, T_co]: ...
    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: Callable[Concatenate[S, Q], Any], instance: S, owner: type | None = None, /
    ) -> Command[Q, T_co]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> Self: ...
    def __get__(self, instance: object, owner: type | None = None, /) -> Any:
        """The command of *instance*, as a method is, with all that a command can do."""
        return self._bound_to(instance)

    def _job(self, args: Any, kwargs: Any, *, streamed: bool = False) -> PreparedCall[T_co]:
        bound = self._bind(args, kwargs)
        return self._prepare(self._function(*args, **kwargs), bound, streamed=streamed)


class AsyncCommand(_Base[P, T_co]):
    """`Command` of an `async def` function: the same, awaited."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """Ask, and give the answer as the declared type."""
        return (await self.run(*args, **kwargs)).value

    async def run(self, *args: P.args, **kwargs: P.kwargs) -> Result[T_co]:
        """Ask, and give the value with all that the call did."""
        from alloy._engine.runtime.drivers import run_async

        return await run_async(await self._job(args, kwargs))

    def async_(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T_co]:
        """As calling it: code that holds either kind of command can always await `async_`."""
        return self(*args, **kwargs)

    def run_async(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Result[T_co]]:
        """As `run`: see `async_`."""
        return self.run(*args, **kwargs)

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> AsyncStream[T_co]:
        """Ask when iterated with `async for`, and give the answer's text as it comes."""
        return AsyncStream(partial(self._job, args, kwargs, streamed=True))

    def stream_async(self, *args: P.args, **kwargs: P.kwargs) -> AsyncStream[T_co]:
        """As `stream`: see `async_`."""
        return self.stream(*args, **kwargs)

    async def request(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """The body of the first request, exactly as the provider would get it; nothing is sent."""
        from alloy._engine.runtime.sync_io import first_body

        return first_body(await self._job(args, kwargs))

    @overload
    def with_options(
        self, *, output: TypeForm[T], **options: Unpack[CommandOptions]
    ) -> AsyncCommand[P, T]: ...
    @overload
    def with_options(self, **options: Unpack[CommandOptions]) -> Self: ...
    def with_options(self, **options: Any) -> Any:
        """A copy with other settings, by the names that `@command` takes; others stay.

        Raises `ConfigurationError` for an unknown name or a value of the wrong type.
        """
        return self._with_options(options)

    @overload
    def __get__(  # type: ignore[misc]  # mypy does not see that a command is callable with a class first
        self: Callable[Concatenate[type[S], Q], Any], instance: S | None, owner: type[S], /
    ) -> AsyncCommand[Q, T_co]: ...
    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: Callable[Concatenate[S, Q], Any], instance: S, owner: type | None = None, /
    ) -> AsyncCommand[Q, T_co]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> Self: ...
    def __get__(self, instance: object, owner: type | None = None, /) -> Any:
        """The command of *instance*, as a method is, with all that a command can do."""
        return self._bound_to(instance)

    async def _job(self, args: Any, kwargs: Any, *, streamed: bool = False) -> PreparedCall[T_co]:
        bound = self._bind(args, kwargs)
        return self._prepare(await self._function(*args, **kwargs), bound, streamed=streamed)


class CommandDecorator(Protocol[T_co]):
    """What `@command(…)` with options is."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, Prompt]], /) -> AsyncCommand[P, T_co]: ...
    @overload
    def __call__(self, function: Callable[P, Prompt], /) -> Command[P, T_co]: ...


@overload
def command(function: Callable[P, Coroutine[Any, Any, Prompt]], /) -> AsyncCommand[P, str]: ...
@overload
def command(function: Callable[P, Prompt], /) -> Command[P, str]: ...
@overload
def command(
    function: None = None, /, *, output: TypeForm[T], **options: Unpack[CommandOptions]
) -> CommandDecorator[T]: ...
@overload
def command(function: None = None, /, **options: Unpack[CommandOptions]) -> CommandDecorator[str]: ...
def command(function: Any = None, /, **options: Any) -> Any:
    """Make a function that returns a prompt one that returns the model's answer: `@command` or `@command(…)`.

    - *output*: the answer's type; `str` when not given; `None` for a command without a value.
    - *tools*: what the model may call: tools, commands, plain functions.
    - *conversation*: a `Conversation` to go on from, more often given by `with_options`.
    - *parser*: makes the answer's value of what the model gives, whose type is its parameter's; a
      `ValueError` that it raises goes back to the model.
    - every setting of `Config`: *model*, *temperature*, *system*, *retry*, *timeout*, *deadline*, …

    An `async def` function becomes an `AsyncCommand`. Raises `ConfigurationError`, naming the function,
    when its return annotation is not `str`, an option is unknown or of the wrong type, or a tool is
    not usable.
    """

    def decorate(function: Any) -> Any:
        if isinstance(function, staticmethod):
            return staticmethod(decorate(function.__func__))
        if isinstance(function, classmethod):
            return ClassMember(decorate(function.__func__))
        if not callable(function):
            raise ConfigurationError(f"@command needs a function, not {function!r}")
        plain, contracts = split(function)
        name = f"@command {getattr(plain, '__qualname__', plain)!s}()"
        check_returns_prompt(plain, name)
        own, settings = split_options(options, name)
        kind = AsyncCommand if inspect.iscoroutinefunction(plain) else Command
        return kind(
            plain,
            output=own.get("output", str),
            tools=own.get("tools", ()),
            settings=settings,
            contracts=contracts,
            conversation=own.get("conversation"),
            parser=own.get("parser"),
        )

    return decorate if function is None else decorate(function)


def split_options(
    options: dict[str, Any], where: str, own_names: tuple[str, ...] = OWN_OPTIONS
) -> tuple[dict[str, Any], dict[str, Any]]:
    """*options* as those that are no settings, by *own_names*, and checked settings.

    Raises `ConfigurationError`, blaming *where*.
    """
    own = {name: options[name] for name in own_names if name in options}
    if "tools" in own:
        own["tools"] = as_tools(own["tools"], where)
    if not isinstance(chat := own.get("conversation"), Conversation | None):
        raise ConfigurationError(f"{where}: conversation must be a Conversation, not {chat!r:.80}")
    if not (own.get("parser") is None or callable(own["parser"])):
        raise ConfigurationError(f"{where}: parser must be a function, not {own['parser']!r:.80}")
    settings = {name: value for name, value in options.items() if name not in own_names}
    return own, check_settings(settings, where, own_names) if settings else {}


def _evaluated(output: Any, function: Callable[..., Any]) -> Any:
    """*output* with what it names as text (`list["Node"]`) in place, by the names that *function* sees."""
    if output is None or isinstance(output, type):
        return output
    try:
        return evaluated(output, function)
    except (NameError, TypeError, SyntaxError) as error:
        raise ConfigurationError(f"output={output!r} does not resolve: {error}") from error


def _check_has_class(function: Any, args: Any, kwargs: Any) -> None:
    code = getattr(function, "__code__", None)
    if code is None or code.co_varnames[:1] != ("cls",) or isinstance(function, MethodType):
        return
    if "." not in function.__qualname__.rpartition("<locals>.")[2]:
        return  # no method, but a function with a parameter of that name
    if "cls" not in kwargs and not (args and isinstance(args[0], type)):
        raise ConfigurationError(
            f"{function.__qualname__}() does not know its class: from Python 3.13 on, @classmethod binds a "
            "command for plain calls only; write @command above @classmethod"
        )


def _with_options(base: _Base[..., Any], options: dict[str, Any]) -> Any:
    return base._with_options(options)
