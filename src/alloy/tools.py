"""`@tool`: a Python function that a model may call."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import EllipsisType, MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from alloy.contracts import Contracts, split
from alloy.errors import ConfigurationError
from alloy.functions import (
    ClassMember,
    ComparedAsMethods,
    adopt,
    bind,
    generator_kind,
    is_async,
    method_of,
    name_of,
    reduced,
    signature_of,
)
from alloy.quantities import checked
from alloy.settings import SETTINGS
from alloy.suggestions import did_you_mean, nearest

if TYPE_CHECKING:
    from alloy._typed.types.signature import Signature

__all__ = ["Tool", "tool"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")

# The names that every provider accepts: the strictest of their published rules.
LEGAL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")

_SETTINGS = ("tool_timeout", "tool_result_max_chars")  # that each tool may have for itself


class Tool(ComparedAsMethods, Generic[P, R_co]):
    """A function that a model may call. From Python it is called as before, with its contracts checked.

    The parameters are checked when the tool is made, without resolving an annotation. Their schema and
    the description are compiled at the first use, because that imports pydantic, and again after a
    parser was registered. *_call* is the function with its contracts around it. A tool that is bound to
    an instance, or made from a command, remembers in *_origin* how it was made, for pickle. *tool_timeout*
    and *tool_result_max_chars* are `...` where the settings of these names apply.
    """

    __name__: str
    __qualname__: str
    __wrapped__: Callable[P, R_co]
    _how_to_rename = "@tool(name=…)"

    def __init__(
        self,
        function: Callable[P, R_co],
        *,
        name: str | None = None,
        description: str | None = None,
        tool_timeout: float | EllipsisType | None = ...,
        tool_result_max_chars: int | EllipsisType | None = ...,
        contracts: Contracts | None = None,
        like: Callable[..., Any] | None = None,
    ) -> None:
        """Wrap *function*. The tool has the signature and the docstring of *like*, if that is given."""
        adopt(self, like or function)
        self._function, self._like = function, like or function
        self.name = name_of(self._like) if name is None else name
        self.is_async = is_async(function)
        self.tool_timeout, self.tool_result_max_chars = tool_timeout, tool_result_max_chars
        self._description = description
        self._compiled: tuple[int, Signature] | None = None
        self._origin = None
        self.__alloy_contracts__ = contracts or Contracts(self._like)
        self._check(named=name is not None)
        self._call = function
        if self.__alloy_contracts__:
            self._call = self.__alloy_contracts__.guard(self.name, function)

    def _check(self, *, named: bool) -> None:
        _check(self.name, self._like, named=named)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function. Raises `ToolError` when one of its contracts does not hold."""
        result: R_co = self._call(*args, **kwargs)
        return result

    # For checkers: a class method's tool, a method's, and a static method's or the class's own.
    @overload
    def __get__(  # type: ignore[misc]  # mypy does not see that a tool is callable with a class first
        self: Callable[Concatenate[type[S], Q], Any], instance: S | None, owner: type[S], /
    ) -> Tool[Q, R_co]: ...
    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: Callable[Concatenate[S, Q], Any], instance: S, owner: type | None = None, /
    ) -> Tool[Q, R_co]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> Self: ...
    def __get__(self, instance: object, owner: type | None = None, /) -> Any:
        """The tool of *instance*, as a method is."""
        if (method := method_of(self._function, instance)) is None:
            return self
        like = MethodType(self._like, instance)
        contracts = self.__alloy_contracts__.of(like)
        parts = {**self._parts(), "function": method, "contracts": contracts, "like": like}
        made: Tool[..., Any] = Tool(**parts)
        made._origin = bind, (self, instance)
        return made

    @property
    def signature(self) -> Signature:
        """The compiled parameters. Raises `ConfigurationError` for a type that has no schema."""
        from alloy._typed.types.parsers import generation
        from alloy._typed.types.signature import compile_signature

        parsers = generation()  # another one means that a parser was registered since
        if self._compiled is None or self._compiled[0] != parsers:
            compiled = compile_signature(self._like, name=self.name)
            if self._description is not None:
                compiled = replace(compiled, description=self._description)
            self._compiled = parsers, compiled
        return self._compiled[1]

    @property
    def description(self) -> str:
        """The description that the model reads: the docstring, unless another one was given."""
        return self.signature.description

    def __alloy_with__(self, change: Callable[[Contracts], Contracts]) -> Tool[P, R_co]:
        return self._changed(contracts=change(self.__alloy_contracts__))

    def _changed(self, **changes: Any) -> Tool[P, R_co]:
        return Tool(**{**self._parts(), **changes})

    def _parts(self) -> dict[str, Any]:
        return {
            "function": self._function,
            "name": self.name,
            "description": self._description,
            **{name: getattr(self, name) for name in _SETTINGS},
            "contracts": self.__alloy_contracts__ or None,  # without a clause there is nothing to carry
            "like": None if self._like is self._function else self._like,
        }

    def __repr__(self) -> str:
        return f"<tool {self.name}{signature_of(self._like)}>"

    def __reduce__(self) -> Any:
        return reduced(self, self._origin, self._parts())


class ToolDecorator(Protocol):
    """The type of `@tool(…)` with options."""

    def __call__(self, function: Callable[P, R], /) -> Tool[P, R]:
        """Make *function* a tool."""


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    function: None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    tool_timeout: float | EllipsisType | None = ...,
    tool_result_max_chars: int | EllipsisType | None = ...,
) -> ToolDecorator: ...
def tool(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    tool_timeout: float | EllipsisType | None = ...,
    tool_result_max_chars: int | EllipsisType | None = ...,
    **unknown: Any,
) -> Any:
    """Make a function a tool: `@tool`, or `@tool(name=…, description=…)`.

    Every parameter needs a type; a default makes it optional. The docstring is the description of the
    tool. Descriptions of parameters come from `Annotated` and from docstring sections in Google, NumPy or
    Sphinx style. *tool_timeout* and *tool_result_max_chars* replace the settings of these names for this
    tool; `None` means no limit, and without the option the setting applies. Raises `ConfigurationError` for a
    parameter without a type, for `*args` and `**kwargs`, and for a name that a provider would refuse.
    """

    def decorate(function: Any) -> Any:
        if isinstance(function, classmethod):
            return ClassMember(decorate(function.__func__))
        if isinstance(function, staticmethod):
            return staticmethod(decorate(function.__func__))
        if (convert := getattr(function, "__alloy_tool__", None)) is not None:
            function = convert()
        if isinstance(function, Tool):
            changed = {key for key, value in given.items() if value is not unset[key]}
            return function._changed(**{key: given[key] for key in changed})
        if not callable(function):
            raise ConfigurationError(f"@tool needs a function, not {function!r}")
        plain, contracts = split(function)
        return Tool(plain, contracts=contracts, **given)

    given: dict[str, Any] = {
        "name": name,
        "description": description,
        "tool_timeout": tool_timeout,
        "tool_result_max_chars": tool_result_max_chars,
    }
    unset = {key: ... if key in _SETTINGS else None for key in given}
    _check_options(function, given, unknown)
    return decorate if function is None else decorate(function)


def _check_options(function: Any, given: dict[str, Any], unknown: Iterable[str]) -> None:
    for option in unknown:
        guess = did_you_mean(nearest(option, given))
        raise ConfigurationError(f"@tool has no option {option!r}{guess}; it has {', '.join(given)}")
    if (description := given["description"]) is not None and not isinstance(description, str):
        raise ConfigurationError(f"@tool: description must be a str, not {description!r}")
    for setting in _SETTINGS:
        if given[setting] is not ...:
            checked("@tool", setting, given[setting], SETTINGS[setting].check)
    if isinstance(function, str):
        raise ConfigurationError(f"@tool needs a function, not {function!r}: write @tool(name={function!r})")


def as_tool(candidate: Any) -> Tool[..., Any]:
    """A `Tool` from an element of `tools=`: a tool, a command, or a plain function."""
    if isinstance(candidate, MethodType) and not inspect.isfunction(candidate.__func__):
        # @classmethod above @tool or @command, from Python 3.13 on: see ClassMember.
        candidate = candidate.__func__.__get__(candidate.__self__)
    if (convert := getattr(candidate, "__alloy_tool__", None)) is not None:
        candidate = convert()
    if not callable(candidate):
        fix = ": write tools=[*server.tools]" if hasattr(type(candidate), "tools") else ""
        raise ConfigurationError(f"tools has {candidate!r:.80}, which is neither a function nor a tool{fix}")
    made: Tool[..., Any] = candidate if isinstance(candidate, Tool) else tool()(candidate)
    return made


def as_tools(candidates: Any, where: str) -> tuple[Tool[..., Any], ...]:
    """`tools=` as tools. Raises `ConfigurationError` for anything else, and for two tools of one name."""
    if not isinstance(candidates, Iterable) or isinstance(candidates, str):
        fix = f": write tools=[{name_of(candidates)}]" if callable(candidates) else ""
        if hasattr(type(candidates), "tools"):  # an MCP server
            fix = ": write tools=server.tools"
        raise ConfigurationError(f"{where}: tools must be a list of tools, not {candidates!r}{fix}")
    try:
        tools = tuple(as_tool(candidate) for candidate in candidates)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    for tool in tools:
        _check_bound(tool, where)
    names = [tool.name for tool in tools]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        fix = next(tool._how_to_rename for tool in reversed(tools) if tool.name in twice)
        raise ConfigurationError(
            f"{where}: more than one tool is named {', '.join(twice)}; rename one with {fix}"
        )
    return tools


def _check_bound(tool: Tool[..., Any], where: str) -> None:
    first = next(iter(signature_of(tool._like).parameters.values()), None)
    if first is not None and first.name in ("self", "cls") and first.annotation is first.empty:
        raise ConfigurationError(
            f"{where}: the tool {tool.name!r} is a method without an instance: "
            f"take it from an instance, as in tools=[thing.{tool.name}]"
        )


def _check(name: Any, function: Callable[..., Any], *, named: bool) -> None:
    from alloy._typed.types.signature import check_signature

    if not isinstance(name, str) or not LEGAL_NAME.match(name):
        fix = "choose another name" if named else "name it with @tool(name=…)"
        raise ConfigurationError(
            f"{name!r} cannot be the name of a tool: a name has at most 64 letters, digits, _ and -, "
            f"and begins with a letter or _; {fix}"
        )
    if (kind := generator_kind(function)) is not None:
        raise ConfigurationError(f"the tool {name!r} is {kind}, and a model gets one result: return a list")
    check_signature(function, name)
