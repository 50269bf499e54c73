"""`@command`: a typed Python function whose body writes the prompt, and whose result a model gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from alloy._typed.types.annotations import type_name
from alloy._typed.types.expressions import check_is_type, why_not_a_type
from alloy.batches.methods import AsyncBatchMethods, BatchMethods
from alloy.calls import OPTIONS, CallOptions, prepared
from alloy.contracts import Contracts, split
from alloy.errors import CommandError, ConfigurationError
from alloy.functions import (
    UNRESOLVED,
    ClassMember,
    ComparedAsMethods,
    OnInstances,
    adopt,
    annotate_return,
    bind,
    copy_of,
    evaluated,
    mark_async,
    method_of,
    reduced,
    signature_of,
    signature_returning,
)
from alloy.jsontypes import JsonObject
from alloy.maps.methods import AsyncMapped, Mapped
from alloy.pickling import Given
from alloy.prompts import check_returns_prompt
from alloy.result import Result
from alloy.settings import ALIASES
from alloy.streams import AsyncStream, Stream
from alloy.tools import Tool, as_tool

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


class _Base(ComparedAsMethods, Generic[P, T_co]):
    """What sync and async commands share.

    A call of a command has these steps:

    1. The arguments are bound and `@require` is checked, if there are contracts.
    2. The function runs with the arguments and returns the prompt; an async one is awaited.
    3. The prompt, the output type and the options become a prepared call (`alloy.calls`).
    4. A driver of the engine runs the call, or a stream does when it is read.

    A bound method and the result of `with_options` are copies that keep the function and change one
    attribute. A copy remembers in *_origin* how it was made, so that it can be pickled by its parts.
    """

    __name__: str
    __qualname__: str
    __wrapped__: Callable[P, Any]
    __signature__ = OnInstances(lambda command: command._shown_signature())

    def __init__(
        self, function: Callable[P, Any], options: CallOptions, contracts: Contracts | None = None
    ) -> None:
        adopt(self, function)
        self._function = function
        self._origin = None
        self.__alloy_contracts__ = contracts or Contracts(function)
        self._set_options(options)

    def _set_options(self, options: CallOptions) -> None:
        self._options, self._resolved = options, False
        annotate_return(self, self._function, options.output)

    def _changed(self, options: dict[str, Any], where: str = "") -> Self:
        """A copy with other options; its type differs when *options* has an output.

        An error begins with *where*.
        """
        changed = copy_of(self)
        changed._set_options(self._options.changed(options, where or f"{self.__name__}.with_options()"))
        base, before = self, Given()
        if self._origin is not None and self._origin[0] is _with_options:
            base, before = self._origin[1]
        given = {ALIASES.get(name, name): value for name, value in options.items()}
        changed._origin = _with_options, (base, Given({**before, **given}))
        return changed

    def _bound_to(self, instance: object) -> Self:
        """A copy with *instance* as the first argument; its parameters are one fewer."""
        if (method := method_of(self._function, instance)) is None:
            return self
        bound = copy_of(self)
        bound._function = bound.__wrapped__ = method
        bound.__alloy_contracts__ = self.__alloy_contracts__.of(method)
        bound._origin = bind, (self, instance)
        return bound

    def __alloy_with__(self, change: Callable[[Contracts], Contracts]) -> Self:
        changed = copy_of(self)
        changed.__alloy_contracts__ = change(self.__alloy_contracts__)
        changed._origin = None
        return changed

    def __alloy_tool__(self) -> Tool[..., Any]:
        """The command as a tool of another one: a failed `@require` goes to the model that calls it."""
        contracts = self.__alloy_contracts__
        free: Any = self.__alloy_with__(lambda contracts: replace(contracts, requires=()))
        made = Tool(free, like=self._function, contracts=replace(contracts, ensures=()))
        made._origin = as_tool, (self,)
        return made

    def __repr__(self) -> str:
        return f"<command {self.__name__}{self._shown_signature()}>"

    def __reduce__(self) -> Any:
        arguments = {
            "function": self._function,
            "options": self._options,
            "contracts": self.__alloy_contracts__ or None,  # without a clause there is nothing to carry
        }
        return reduced(self, self._origin, arguments)

    def _shown_signature(self) -> inspect.Signature:
        """The function's parameters, and the type that a call returns."""
        return signature_returning(self._function, self._options.output)

    def _bind(self, args: Any, kwargs: Any) -> inspect.BoundArguments | None:
        """The arguments for the contracts, if there are any. Raises `CommandError` by `@require`."""
        _check_has_class(self._function, args, kwargs)
        if kwargs:
            _check_no_option(self._function, self.__name__, kwargs)
        if not self.__alloy_contracts__:
            return None
        bound = self.__alloy_contracts__.bind(args, kwargs)
        if (problem := self.__alloy_contracts__.before(bound)) is not None:
            raise CommandError(f"{self.__name__}(): {problem}")
        return bound

    def _call_with(
        self, prompt: object, bound: inspect.BoundArguments | None, *, streamed: bool
    ) -> PreparedCall[T_co]:
        where, options = f"{self.__name__}()", self._resolve()
        check = None if bound is None else partial(self.__alloy_contracts__.after, bound)
        return prepared(prompt, options, where, streamed=streamed, check=check)

    def _resolve(self) -> CallOptions:
        if not self._resolved:
            output = _resolved_output(self._options.output, self._function, f"{self.__name__}()")
            self._options, self._resolved = replace(self._options, output=output), True
        return self._options


class Command(_Base[P, T_co], Mapped[T_co], BatchMethods[T_co]):
    """A function that asks a model: a call returns the answer.

    Every way to call it takes the arguments of the function: `run` returns a `Result`, `async_` and
    `run_async` are awaited, `stream` and `stream_async` give the answer as it arrives. `batch` sends many
    calls that are answered within a day. `request` shows what would be sent, and `with_options` makes a copy
    with other options. A command in a class is bound to the instance or the class as a method is. Each way
    raises `ConfigurationError`, `CommandError`, `ProviderError`, `AnswerError`, `TurnLimitError` or
    `DeadlineError`.
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """Ask, and return the answer, which has the declared type."""
        return self.run(*args, **kwargs).value

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Result[T_co]:
        """Ask, and return a `Result`: the value, with everything that the call did."""
        from alloy._engine.runtime.drivers import run

        return run(self._prepared(args, kwargs))

    async def async_(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """As a call of the command, in the running event loop."""
        return (await self.run_async(*args, **kwargs)).value

    async def run_async(self, *args: P.args, **kwargs: P.kwargs) -> Result[T_co]:
        """As `run`, in the running event loop."""
        from alloy._engine.runtime.drivers import run_async

        return await run_async(self._prepared(args, kwargs))

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> Stream[T_co]:
        """Ask when it is iterated, and give the answer's text as it arrives; `.result()` has the value."""
        return Stream(self._prepared(args, kwargs, streamed=True))

    def stream_async(self, *args: P.args, **kwargs: P.kwargs) -> AsyncStream[T_co]:
        """As `stream`, for `async for` in the running event loop."""
        return AsyncStream(self._prepared(args, kwargs, streamed=True))

    def request(self, *args: P.args, **kwargs: P.kwargs) -> JsonObject:
        """The body of the first request, exactly as the provider would receive it; nothing is sent."""
        from alloy._engine.runtime.sync_io import first_body

        return first_body(self._prepared(args, kwargs))

    @overload
    def with_options(self, *, output: TypeForm[T], **options: Unpack[CommandOptions]) -> Command[P, T]: ...
    @overload
    def with_options(self, **options: Unpack[CommandOptions]) -> Self: ...
    def with_options(self, **options: Any) -> Command[P, Any]:
        """A copy with other options, by the names that `@command` takes; the rest stays the same.

        Raises `ConfigurationError` for an unknown name or a value of the wrong type.
        """
        return self._changed(options)

    # For type checkers: a command in a class method, in a method, and in a static method or on the class.
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
    def __get__(self, instance: object, owner: type | None = None, /) -> Command[..., T_co]:
        """The command bound to *instance*, as a method is."""
        return self._bound_to(instance)

    def _prepared(self, args: Any, kwargs: Any, *, streamed: bool = False) -> PreparedCall[T_co]:
        bound = self._bind(args, kwargs)
        return self._call_with(self._function(*args, **kwargs), bound, streamed=streamed)


class AsyncCommand(_Base[P, T_co], AsyncMapped[T_co], AsyncBatchMethods[T_co]):
    """The `Command` of an `async def` function: its calls are awaited.

    The steps are those of a `Command`, except that the function is awaited for the prompt. `async_`,
    `run_async` and `stream_async` are the same as a call, `run` and `stream`, so that code which holds
    either kind of command can use those three names.
    """

    def __init__(
        self, function: Callable[P, Any], options: CallOptions, contracts: Contracts | None = None
    ) -> None:
        super().__init__(function, options, contracts)
        mark_async(self)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """Ask, and return the answer, which has the declared type."""
        return (await self.run(*args, **kwargs)).value

    async def run(self, *args: P.args, **kwargs: P.kwargs) -> Result[T_co]:
        """Ask, and return a `Result`: the value, with everything that the call did."""
        from alloy._engine.runtime.drivers import run_async

        return await run_async(await self._prepared(args, kwargs))

    def async_(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T_co]:
        """As a call of the command: code that holds either kind of command can await `async_`."""
        return self(*args, **kwargs)

    def run_async(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Result[T_co]]:
        """As `run`: see `async_`."""
        return self.run(*args, **kwargs)

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> AsyncStream[T_co]:
        """Ask when it is iterated with `async for`, and give the text of the answer as it arrives."""
        return AsyncStream(partial(self._prepared, args, kwargs, streamed=True))

    def stream_async(self, *args: P.args, **kwargs: P.kwargs) -> AsyncStream[T_co]:
        """As `stream`: see `async_`."""
        return self.stream(*args, **kwargs)

    async def request(self, *args: P.args, **kwargs: P.kwargs) -> JsonObject:
        """The body of the first request, exactly as the provider would receive it; nothing is sent."""
        from alloy._engine.runtime.sync_io import first_body

        return first_body(await self._prepared(args, kwargs))

    @overload
    def with_options(
        self, *, output: TypeForm[T], **options: Unpack[CommandOptions]
    ) -> AsyncCommand[P, T]: ...
    @overload
    def with_options(self, **options: Unpack[CommandOptions]) -> Self: ...
    def with_options(self, **options: Any) -> AsyncCommand[P, Any]:
        """A copy with other options, by the names that `@command` takes; the rest stays the same.

        Raises `ConfigurationError` for an unknown name or a value of the wrong type.
        """
        return self._changed(options)

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
    def __get__(self, instance: object, owner: type | None = None, /) -> AsyncCommand[..., T_co]:
        """The command bound to *instance*, as a method is."""
        return self._bound_to(instance)

    async def _prepared(self, args: Any, kwargs: Any, *, streamed: bool = False) -> PreparedCall[T_co]:
        bound = self._bind(args, kwargs)
        return self._call_with(await self._function(*args, **kwargs), bound, streamed=streamed)


class CommandDecorator(Protocol[T_co]):
    """The type of `@command(…)` with options."""

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
    """Make a command of a function that returns a prompt: `@command` or `@command(…)`.

    - *output*: the type of the answer, by default `str`; `None` for a command without a value.
    - *tools*: tools, commands and plain functions that the model may call.
    - *conversation*: a `Conversation` to continue; most often an option of `with_options`.
    - *parser*: a function that converts the model's answer, of the type of its parameter, to *output*; a
      `ValueError` that it raises is sent back to the model.
    - every setting of `Config`: *model*, *temperature*, *system*, *retry*, *timeout*, *deadline*, …

    An `async def` function becomes an `AsyncCommand`. Raises `ConfigurationError` with the name of the
    function when its return annotation is not `str`, when an option is unknown or has the wrong type, or
    when a tool is not valid.
    """

    def decorate(function: Any) -> Any:
        if isinstance(function, staticmethod):
            return staticmethod(decorate(function.__func__))
        if isinstance(function, classmethod):
            return ClassMember(decorate(function.__func__))
        _check_function(function)
        plain, contracts = split(function)
        name = f"@command {getattr(plain, '__qualname__', plain)!s}()"
        check_returns_prompt(plain, name)
        kind = AsyncCommand if inspect.iscoroutinefunction(plain) else Command
        return kind(plain, CallOptions().changed(options, name), contracts)

    return decorate if function is None else decorate(function)


def _check_function(function: Any) -> None:
    if isinstance(function, str):
        fix = f": write @command(model={function!r})"
    elif function is not None and why_not_a_type(function) is None:
        fix = f": write @command(output={type_name(function)})"
    elif callable(function):
        return
    else:
        fix = ""
    raise ConfigurationError(f"@command needs a function, not {function!r}{fix}")


def _check_no_option(function: Callable[..., Any], name: str, kwargs: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` for an option of `@command` among the arguments of a call."""
    options = [given for given in kwargs if given in OPTIONS]
    if not options:
        return
    parameters = signature_of(function).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    wrong = [] if takes_all else [option for option in options if option not in parameters]
    if wrong:
        given = ", ".join(f"{option}=…" for option in wrong)
        raise ConfigurationError(
            f"{name}(): {', '.join(wrong)} is an option and not a parameter of the command: "
            f"write {name}.with_options({given})(…)"
        )


def _resolved_output(output: Any, function: Callable[..., Any], where: str) -> Any:
    """*output* with the types that it names as text (`list["Node"]`) resolved as in *function*."""
    if output is None or isinstance(output, type):
        return output
    try:
        found = evaluated(output, function)
    except UNRESOLVED as error:
        raise ConfigurationError(
            f"{where}: output={output!r} does not resolve ({error}): write the type itself, or a name that "
            "is defined where the command is"
        ) from error
    check_is_type(found, f"{where}: output")
    return found


def _check_has_class(function: Any, args: Any, kwargs: Any) -> None:
    code = getattr(function, "__code__", None)
    if code is None or code.co_varnames[:1] != ("cls",) or isinstance(function, MethodType):
        return
    if "." not in function.__qualname__.rpartition("<locals>.")[2]:
        return  # not a method, but a function with a parameter of that name
    if "cls" not in kwargs and not (args and isinstance(args[0], type)):
        raise ConfigurationError(
            f"{function.__qualname__}() did not receive its class: from Python 3.13 on, @classmethod binds a "
            "command for plain calls only; write @command above @classmethod"
        )


def _with_options(base: _Base[..., Any], options: dict[str, Any]) -> _Base[..., Any]:
    return base._changed(options)
