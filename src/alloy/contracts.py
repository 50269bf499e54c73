"""`@require` and `@ensure`: conditions on the arguments of a function, and on its result.

A predicate names the arguments that it checks (`lambda amount: amount > 0`); `result` is the result.
A predicate of `@require` with one parameter named `arguments`, `args` or `bound`, or one that reads
`.arguments` of it, gets `inspect.BoundArguments`. One of `@ensure` with one parameter of any other name gets
the result.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from types import MethodType
from typing import Any, ParamSpec, Protocol, TypeVar, runtime_checkable

from alloy.errors import ConfigurationError, ToolError
from alloy.functions import is_async, plain_function, signature_of

__all__ = ["ensure", "require"]

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
Predicate = Callable[..., Any]
# `Callable[..., object]` alone would leave the parameters of a lambda unknown to strict type checkers.
PredicateOf = (
    Callable[[Any], object]
    | Callable[[Any, Any], object]
    | Callable[[Any, Any, Any], object]
    | Callable[P, object]
)


@dataclass(frozen=True, slots=True)
class Clause:
    """One predicate. *takes* names its parameters; it is empty for a predicate that takes the whole."""

    predicate: Predicate
    message: str
    takes: tuple[str, ...]

    def problem(self, values: Mapping[str, Any], whole: object) -> str | None:
        """The message if the predicate is false or raises; `None` if it holds."""
        try:
            if self.takes:
                holds = self.predicate(**{name: values[name] for name in self.takes})
            else:
                holds = self.predicate(whole)
            if inspect.iscoroutine(holds):
                holds.close()
                raise TypeError("it is async, and a coroutine is always true")
            is_true = bool(holds)
        except Exception as error:  # noqa: BLE001 - a predicate that raises does not hold
            return f"{self.message} (the check failed: {type(error).__name__}: {error})"
        return None if is_true else self.message


@dataclass(frozen=True)
class Contracts:
    """The clauses of one function, in the order in which they are written.

    The clauses of a method may name the instance, too: by the name of the first parameter.
    """

    function: Callable[..., Any]
    requires: tuple[Clause, ...] = ()
    ensures: tuple[Clause, ...] = ()

    @cached_property
    def _signature(self) -> inspect.Signature:
        return signature_of(getattr(self.function, "__func__", self.function))

    def __bool__(self) -> bool:
        return bool(self.requires or self.ensures)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        """The arguments of a call by name, defaults included. Raises `TypeError` as the call would."""
        if isinstance(self.function, MethodType):
            args = (self.function.__self__, *args)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound

    def before(self, bound: inspect.BoundArguments) -> str | None:
        """The message of the first `@require` that does not hold."""
        return _first(self.requires, bound.arguments, bound)

    def after(self, bound: inspect.BoundArguments, result: object) -> str | None:
        """The message of the first `@ensure` that does not hold."""
        return _first(self.ensures, {**bound.arguments, "result": result}, result)

    def of(self, function: Callable[..., Any]) -> Contracts:
        """The same clauses on another function, such as a bound method."""
        return replace(self, function=function)

    def with_clause(self, kind: str, clause: Clause) -> Contracts:
        """These clauses, and one more of the *kind* `"require"` or `"ensure"` that is written above them."""
        if kind == "require":
            return replace(self, requires=(clause, *self.requires))
        return replace(self, ensures=(clause, *self.ensures))

    def guard(self, name: str, call: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """The function with its contracts: it raises `ToolError` when one does not hold.

        *call* runs instead of the function, with the same arguments: a command instead of its function.
        """
        inner = call or self.function

        def enter(args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
            bound = self.bind(args, kwargs)
            _raise(self.before(bound), name)
            return bound

        if is_async(inner):

            @wraps(self.function)
            async def guarded_async(*args: Any, **kwargs: Any) -> Any:
                bound = enter(args, kwargs)
                result = await inner(*args, **kwargs)
                _raise(self.after(bound, result), name)
                return result

            return guarded_async

        @wraps(self.function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            bound = enter(args, kwargs)
            result = inner(*args, **kwargs)
            _raise(self.after(bound, result), name)
            return result

        return guarded


@runtime_checkable
class Contracted(Protocol):
    """Objects that take another clause by themselves: tools and commands."""

    def __alloy_with__(self, change: Callable[[Contracts], Contracts]) -> Any:
        """A copy with changed contracts."""

    @property
    def __alloy_contracts__(self) -> Contracts:
        """The contracts."""


def require(predicate: PredicateOf[P], message: str = "") -> Callable[[F], F]:
    """Require that *predicate* is true before the function runs. Works above and below `@tool`, `@command`.

    When it is false, a model that called the tool gets *message* as the result, a direct call of the tool
    raises `ToolError`, and a command raises `CommandError`. Raises `ConfigurationError` for a predicate
    that is async or names arguments that the function does not have.
    """
    return _decorator("require", predicate, message)


def ensure(predicate: PredicateOf[P], message: str = "") -> Callable[[F], F]:
    """Require that *predicate* is true of the result. Works above and below `@tool`, `@command`.

    When it is false, a model that called the tool gets *message* as the result. A model whose answer
    fails it is asked again, and then the command raises `PostconditionError`. Raises
    `ConfigurationError` as `require` does.
    """
    return _decorator("ensure", predicate, message)


def _decorator(kind: str, predicate: Predicate, message: str) -> Callable[[F], F]:
    if isinstance(predicate, Contracted):
        raise _without_predicate(kind)

    # Without a predicate, what was meant to be the function is the predicate, and its calls arrive here.
    def decorate(target: Any = None, /, *others: Any, **named: Any) -> Any:
        if isinstance(target, staticmethod | classmethod):
            return type(target)(decorate(target.__func__))
        if others or named or not callable(target):
            raise ConfigurationError(
                f"@{kind} needs a function, not {target!r}: write @{kind}(predicate, message)"
            )
        clause = _clause(kind, predicate, message, _contracts(target).function)
        return _changed(target, lambda contracts: contracts.with_clause(kind, clause))

    decorate.__dict__[_KIND] = kind
    return decorate


_KIND = "__alloy_clause__"  # the attribute by which a decorator is known that was used without a predicate


def _without_predicate(kind: str) -> ConfigurationError:
    return ConfigurationError(f"@{kind} has no predicate: write @{kind}(lambda …: …, message)")


def split(function: Callable[..., Any]) -> tuple[Callable[..., Any], Contracts]:
    """The function inside the guard that contracts put around it, and those contracts.

    Raises `ConfigurationError` for a function under a `@require` or `@ensure` without a predicate.
    """
    if (kind := getattr(function, "__dict__", {}).get(_KIND)) is not None:
        raise _without_predicate(kind)
    contracts = _contracts(function)
    return contracts.function, contracts


def _contracts(target: Any) -> Contracts:
    if isinstance(target, MethodType):
        contracts = _contracts(target.__func__)
        return contracts.of(MethodType(contracts.function, target.__self__))
    found = getattr(target, "__alloy_contracts__", None)
    if not isinstance(found, Contracts):
        return Contracts(target)
    # functools.wraps copies this attribute to every wrapper of a guard; the contracts are the guard's.
    own = isinstance(target, Contracted) or getattr(target, "__wrapped__", None) is found.function
    return found if own else Contracts(target)


def _changed(target: Any, change: Callable[[Contracts], Contracts]) -> Any:
    if isinstance(target, Contracted):
        return target.__alloy_with__(change)
    contracts = change(_contracts(target))
    guarded: Any = contracts.guard(getattr(target, "__name__", repr(target)))
    guarded.__alloy_contracts__ = contracts
    return guarded


def _clause(kind: str, predicate: Predicate, message: str, function: Callable[..., Any]) -> Clause:
    name = getattr(function, "__name__", repr(function))
    where = f"@{kind} on {name}()"
    if not callable(predicate):
        raise ConfigurationError(f"{where}: the predicate must be callable, not {predicate!r}")
    if is_async(predicate):
        raise ConfigurationError(
            f"{where}: the predicate is async, and a coroutine is always true: make it a plain function"
        )
    message = message or f"the {'pre' if kind == 'require' else 'post'}condition of {name} does not hold"
    if not isinstance(message, str):
        raise ConfigurationError(f"{where}: the message must be a str, not {message!r}")
    if not _has_parameters(function):
        raise ConfigurationError(f"{where}: its parameters cannot be read: put @{kind} on a function")
    try:
        parameters = inspect.signature(predicate).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        return Clause(predicate, message, ())
    wanted = [p.name for p in parameters.values() if p.default is p.empty and p.kind not in _VARIADIC]
    known = list(signature_of(getattr(function, "__func__", function)).parameters)
    known += ["result"] if kind == "ensure" else []
    if wanted and all(parameter in known for parameter in wanted) and not _positional_only(parameters):
        return Clause(predicate, message, tuple(wanted))
    by_name = kind == "require" and wanted and not _positional_only(parameters)
    takes_whole = not by_name or wanted[0] in _WHOLE or _reads_arguments(predicate)
    if len(wanted) <= 1 and takes_whole and _takes_one(parameters, wanted):
        return Clause(predicate, message, ())
    whole = "named `arguments` for all of them" if kind == "require" else "of any other name for the result"
    raise ConfigurationError(
        f"{where}: the predicate takes {', '.join(wanted) or 'no parameter'}; it may name "
        f"{', '.join(known) or 'nothing, as there are no parameters'}, or take one parameter {whole}"
    )


_WHOLE = ("arguments", "args", "bound", "bound_arguments", "bound_args", "ba")


def _reads_arguments(predicate: Predicate) -> bool:
    """Whether *predicate* reads `.arguments`, which only `inspect.BoundArguments` has."""
    code = getattr(plain_function(predicate), "__code__", None)
    return code is not None and "arguments" in code.co_names


def _has_parameters(function: Any) -> bool:
    try:
        signature_of(getattr(function, "__func__", function))
    except (TypeError, ValueError):
        return False
    return True


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _takes_one(parameters: Mapping[str, inspect.Parameter], wanted: list[str]) -> bool:
    """Whether the predicate, with at most one parameter *wanted*, can be called with one value."""
    taker = parameters[wanted[0]] if wanted else next(iter(parameters.values()), None)
    return taker is not None and taker.kind not in (taker.KEYWORD_ONLY, taker.VAR_KEYWORD)


def _positional_only(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(p.kind is p.POSITIONAL_ONLY for p in parameters.values())


def _first(clauses: tuple[Clause, ...], values: Mapping[str, Any], whole: object) -> str | None:
    for clause in clauses:
        if (problem := clause.problem(values, whole)) is not None:
            return problem
    return None


def _raise(problem: str | None, name: str) -> None:
    if problem is not None:
        raise ToolError(problem, tool=name)
