"""Checks of arguments that are not settings: flags, and keyword arguments that do not exist."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Any, ParamSpec, TypeVar

from alloy.errors import ConfigurationError
from alloy.suggestions import did_you_mean, nearest

__all__ = ["check_flag", "names_checked", "with_names_checked"]

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=type)


def check_flag(value: object, where: str) -> None:
    """Raise `ConfigurationError` unless *value* is a bool: to Python, `"no"` is true."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{where} must be a bool, not {value!r:.80}")


def names_checked(function: Callable[P, T], where: str = "") -> Callable[P, T]:
    """*function*, which raises `ConfigurationError` for a keyword argument that it does not have.

    Python's `TypeError` does not say which arguments there are. The signature stays as it is.
    """
    parameters = list(signature(function).parameters.values())
    names = [each.name for each in parameters if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if where:
        names.remove("self")
    assert all(each.kind is not Parameter.VAR_KEYWORD for each in parameters), "it takes every name"
    shown = where or f"{function.__name__}()"

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        for name in kwargs:
            if name not in names:
                known = ", ".join(names) or "none"
                guess = did_you_mean(nearest(name, names))
                raise ConfigurationError(f"{shown} has no {name!r}{guess}; it has {known}")
        return function(*args, **kwargs)

    return checked


def with_names_checked(kind: C) -> C:
    """*kind*, whose constructor checks its names as `names_checked` says."""
    made: Any = kind
    made.__init__ = names_checked(made.__init__, kind.__name__)
    return kind
