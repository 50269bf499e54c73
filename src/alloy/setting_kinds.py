"""What settings accept: a `Kind` for each sort of value. `alloy.settings` has the settings themselves."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from alloy import quantities
from alloy.budgets import Budget
from alloy.caches.cache import Cache
from alloy.circuit_breakers import CircuitBreaker
from alloy.endpoints import check_headers, check_http_client, check_key, check_transport
from alloy.errors import UNFINISHED, AlloyError, AnswerError, ProviderError
from alloy.events import Listener
from alloy.functions import is_async

__all__ = [
    "BREAKER",
    "BUDGET",
    "BY_BACKEND",
    "CACHE",
    "CACHING",
    "FALLBACK_ERRORS",
    "FLAG",
    "HEADERS",
    "HTTP_CLIENT",
    "KEY",
    "LISTENERS",
    "RETRIED_ERRORS",
    "TEXT",
    "TEXTS",
    "TRANSPORT",
    "Kind",
    "check_listeners",
    "count",
    "number",
    "one_of",
    "seconds",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """What values a setting accepts.

    *check* returns a valid value, perhaps converted, and *read* turns the text of an environment
    variable into a value for *check*. Both raise `ValueError` with a description of what is accepted.
    """

    check: Callable[[Any], Any]
    read: Callable[[str], Any] = str


def _check_text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a non-empty str")
    return value


TEXT = Kind(_check_text)


def _check_texts(value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, tuple | list) or not texts or not all(isinstance(t, str) and t for t in texts):
        raise ValueError("a non-empty str, or a list of them")
    return tuple(texts)


TEXTS = Kind(_check_texts)


def _check_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("a bool")
    return value


_OFF = ("0", "false", "no", "off")


def _read_flag(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in _OFF:
        return False
    raise ValueError("true or false")


FLAG = Kind(_check_flag, _read_flag)


def _check_caching(value: Any) -> bool | str:
    if not isinstance(value, bool) and value != "long":
        raise ValueError('a bool or "long"')
    return value  # type: ignore[no-any-return]


CACHING = Kind(_check_caching)


def _reading(convert: Callable[[str], Any], wanted: str) -> Callable[[str], Any]:
    """*convert*, whose `ValueError` says that the text must be *wanted*."""

    def read(text: str) -> Any:
        try:
            return convert(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(wanted.format(error)) from None

    return read


def number(low: float, high: float = math.inf) -> Kind:
    """A finite number from *low* to *high*."""
    return Kind(quantities.number(low, high), _reading(float, "a number"))


def seconds(*, above: bool = False) -> Kind:
    """A time that can be waited for: at least 0, or *above* 0."""
    return Kind(quantities.seconds(above=above), _reading(float, "a number"))


def count(low: int) -> Kind:
    """An int of at least *low*."""
    return Kind(quantities.count(low), _reading(int, "an int"))


def one_of(*choices: str) -> Kind:
    """One of *choices*."""

    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(" or ".join(map(repr, choices)))
        return str(value)

    return Kind(check)


def _error_classes(description: str, *wanted: type[AlloyError]) -> Kind:
    """*wanted* classes and subclasses of them, one or several."""

    def check(value: Any) -> tuple[type[AlloyError], ...]:
        kinds = value if isinstance(value, tuple | list | set | frozenset) else (value,)
        for kind in kinds:
            several = isinstance(kind, type) and any(issubclass(each, kind) for each in wanted)
            if not several and not (isinstance(kind, type) and issubclass(kind, wanted)):
                raise ValueError(description)
            if issubclass(AlloyError, kind):
                raise ValueError(
                    f"{description}; {kind.__name__} includes errors that would come again, such as "
                    "ConfigurationError"
                )
        return tuple(kinds)

    return Kind(check)


RETRIED_ERRORS = _error_classes(
    "ProviderError classes, RefusalError, TruncatedError or FilteredError, in a tuple "
    "(an answer of the wrong type is asked for again: see reask)",
    ProviderError,
    *(error for error, _ in UNFINISHED.values()),
)
FALLBACK_ERRORS = _error_classes(
    "ProviderError and AnswerError classes, in a tuple", ProviderError, AnswerError
)


def _check_by_backend(value: Any) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and isinstance(body, Mapping) for name, body in value.items()
    ):
        raise ValueError('a dict by backend name, such as {"openai": {"service_tier": "flex"}}')
    return value


BY_BACKEND = Kind(_check_by_backend, _reading(json.loads, "JSON ({})"))

KEY, HEADERS = Kind(check_key), Kind(check_headers)
HTTP_CLIENT, TRANSPORT = Kind(check_http_client), Kind(check_transport)


def check_listeners(value: Any) -> tuple[Listener, ...]:
    """One listener or several, as a tuple. Raises `ValueError` with a description of what is accepted."""
    listeners = tuple(value) if isinstance(value, tuple | list) else (value,)
    for each in listeners:
        if is_async(each):
            raise ValueError("a plain function that takes an event, not an async one")
        if not callable(each):
            raise ValueError("a function that takes an event, or a list of them")
    return listeners


def _object_of(kind: type) -> Kind:
    def check(value: Any) -> Any:
        if not isinstance(value, kind):
            raise ValueError(f"a {kind.__name__}")
        return value

    return Kind(check)


BREAKER, BUDGET = _object_of(CircuitBreaker), _object_of(Budget)


def _check_cache(value: Any) -> Cache | None:
    if value is False:
        return None
    if isinstance(value, Cache):
        return value
    if isinstance(value, str | os.PathLike) and (path := os.fspath(value)):
        return Cache(os.fsdecode(path))
    raise ValueError("a Cache, the path of its file, or False")


def _read_cache(text: str) -> Any:
    return False if text.lower() in _OFF else text


CACHE = Kind(_check_cache, _read_cache)

LISTENERS = Kind(check_listeners)
