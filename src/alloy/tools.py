"""`@tool`: a Python function that a model may call."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable
from functools import cached_property, update_wrapper
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from alloy.contracts import Contracts, split
from alloy.errors import ConfigurationError

if TYPE_CHECKING:
    from alloy.typed.signature import Signature

__all__ = ["Tool", "as_tool", "as_tools", "by_reference", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

# What every provider accepts: the narrowest of their published rules.
LEGAL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")


class Tool(Generic[P, R]):
    """A function that a model may call, and that is called from Python as before, contracts included."""

    __name__: str
    __qualname__: str
    __wrapped__: Callable[P, R]

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        contracts: Contracts | None = None,
        like: Callable[..., Any] | None = None,
    ) -> None:
        """Wrap *function*. *like* is the function whose signature and docstring the tool has."""
        update_wrapper(self, like or function)
        self._function, self._like = function, like or function
        self.name = name or str(getattr(self._like, "__name__", type(self._like).__name__))
        self.is_async = is_async(function)
        self._description = description
        self._origin: tuple[Callable[..., Any], Any] | None = None
        self.__alloy_contracts__ = contracts or Contracts(self._like)
        _check(self.name, self._like, named=name is not None)
        self._call = self.__alloy_contracts__.guard(self.name) if self.__alloy_contracts__ else function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function. Raises `ToolError` where one of its contracts does not hold."""
        result: R = self._call(*args, **kwargs)
        return result

    def __get__(self, instance: object, owner: type | None = None) -> Tool[..., R]:
        """The tool of *instance*, as a method is."""
        if instance is None:
            return self
        method = MethodType(self._function, instance)
        contracts = self.__alloy_contracts__.of(method)
        bound = Tool(method, name=self.name, description=self._description, contracts=contracts)
        bound._origin = _bind, (self, instance)
        return bound

    @cached_property
    def signature(self) -> Signature:
        """The compiled parameters. Raises `ConfigurationError` for a type that has no schema."""
        from alloy.typed.signature import compile_signature

        return compile_signature(self._like)

    @property
    def description(self) -> str:
        """What the model reads about the tool: the docstring, unless it was given."""
        return self.signature.description if self._description is None else self._description

    def __alloy_with__(self, change: Callable[[Contracts], Contracts]) -> Tool[P, R]:
        contracts = change(self.__alloy_contracts__)
        return Tool(self._function, name=self.name, description=self._description, contracts=contracts)

    def __repr__(self) -> str:
        return f"<tool {self.name}{inspect.signature(self._like)}>"

    def __reduce__(self) -> Any:
        parts = self._function, self.name, self._description, self.__alloy_contracts__
        return by_reference(self) or self._origin or (_rebuild, parts)


def tool(function: Any = None, /, *, name: str | None = None, description: str | None = None) -> Any:
    """Make a function a tool: `@tool`, or `@tool(name=…, description=…)`.

    Every parameter needs a type; its default makes it optional. The docstring is the description,
    parameter descriptions come from `Annotated` and from Google, NumPy and Sphinx style sections.
    Raises `ConfigurationError` for a parameter without a type, for `*args` and `**kwargs`, and for a
    name that no provider would take.
    """

    def decorate(function: Any) -> Any:
        if isinstance(function, staticmethod | classmethod):
            return type(function)(decorate(function.__func__))
        if not callable(function):
            raise ConfigurationError(f"@tool needs a function, not {function!r}")
        plain, contracts = split(function)
        return Tool(plain, name=name, description=description, contracts=contracts)

    return decorate if function is None else decorate(function)


def as_tool(candidate: Any) -> Tool[..., Any]:
    """What stands in `tools=` as a `Tool`: a tool, a command, or a plain function."""
    if (convert := getattr(candidate, "__alloy_tool__", None)) is not None:
        candidate = convert()
    made: Tool[..., Any] = candidate if isinstance(candidate, Tool) else tool(candidate)
    return made


def as_tools(candidates: Any, where: str) -> tuple[Tool[..., Any], ...]:
    """`tools=` as tools. Raises `ConfigurationError` for what is no tool and for a name that stands twice."""
    if not isinstance(candidates, Iterable) or isinstance(candidates, str):
        raise ConfigurationError(f"{where}: tools must be a list of tools, not {candidates!r}")
    tools = tuple(as_tool(candidate) for candidate in candidates)
    names = [tool.name for tool in tools]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(
            f"{where}: more than one tool is named {', '.join(twice)}; rename one with @tool(name=…)"
        )
    return tools


def is_async(function: Any) -> bool:
    """Whether calling *function* gives a coroutine."""
    return inspect.iscoroutinefunction(function) or (
        callable(function) and inspect.iscoroutinefunction(type(function).__call__)
    )


def by_reference(target: Any) -> str | None:
    """The name under which pickle finds *target* again, as it does functions; `None` if it is not there."""
    found: Any = sys.modules.get(target.__module__)
    for part in target.__qualname__.split("."):
        found = getattr(found, part, None)
    return target.__qualname__ if found is target else None


def _bind(unbound: Tool[..., Any], instance: object) -> Tool[..., Any]:
    return unbound.__get__(instance)


def _rebuild(
    function: Callable[..., Any], name: str, description: str | None, contracts: Contracts
) -> Tool[..., Any]:
    return Tool(function, name=name, description=description, contracts=contracts)


def _check(name: str, function: Callable[..., Any], *, named: bool) -> None:
    from alloy.typed.signature import check_signature

    if not LEGAL_NAME.match(name):
        way_out = "choose another name" if named else "name it with @tool(name=…)"
        raise ConfigurationError(
            f"{name!r} cannot be a tool's name: letters, digits, _ and -, at most 64, "
            f"and a letter or _ first; {way_out}"
        )
    check_signature(function, name)
