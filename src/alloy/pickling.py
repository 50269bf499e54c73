"""What a pickled command has of its settings: no keys, because workers take theirs from their environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import replace
from typing import Any

from alloy.config import current
from alloy.endpoints import KeyFunction, Transport, is_public, is_secret_name, safe_url, secrets_in_url
from alloy.errors import ConfigurationError
from alloy.settings import ALIASES

__all__ = ["Given", "check_pickles", "clean_foreign", "kept_here"]

# What is around the caller and applies to calls in this process only, such as "replies()".
kept_here: ContextVar[str] = ContextVar("alloy_kept_here", default="")

FLAG = "pickle_secrets"


class Given(dict[str, Any]):
    """Settings as they were given. A pickle has no secrets of them, unless `pickle_secrets` is set."""

    def __reduce__(self) -> Any:
        with_secrets = self.get(FLAG, current().pickle_secrets)
        kept = dict(self) if with_secrets else _without_secrets(self)
        check_pickles(kept, self)
        return Given, (kept,)

    def __copy__(self) -> Given:
        return Given(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Given:
        return Given(deepcopy(dict(self), memo))


def _without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for given, value in settings.items():
        safe = _SAFE.get(ALIASES.get(given, given))
        shown = value if value is None or safe is None else safe(value)
        if shown is not None or value is None:
            kept[given] = shown
    return kept


def _safe_models(models: Any) -> Any:
    several = models if isinstance(models, list | tuple) else (models,)
    if not any(isinstance(each, Mapping) for each in several):
        return models
    return [_without_secrets(each) if isinstance(each, Mapping) else each for each in several]


def _safe_key(key: Any) -> Any:
    """A function that a worker imports by its name; others may have a key in them."""
    function = key.function if isinstance(key, KeyFunction) else key
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    is_held = getattr(module, getattr(function, "__qualname__", ""), None) is function
    return key if is_held and module is not sys.modules["__main__"] else None


def _safe_headers(headers: Any) -> Any:
    if isinstance(headers, tuple):
        return tuple(pair for pair in headers if is_public(pair[0]))
    kept: dict[Any, Any] = {}
    for name, value in headers.items():
        if isinstance(value, str):
            kept |= {name: value} if is_public(name) else {}
        elif shown := _safe_headers(value):
            kept[name] = shown
    return type(headers)(kept) if kept else None


def _safe_transport(transport: Any) -> Any:
    if isinstance(transport, Transport):
        certificate = transport.client_certificate
        return replace(
            transport,
            proxy=None if transport.proxy is None else safe_url(transport.proxy),
            client_certificate=certificate[:2] if isinstance(certificate, tuple) else certificate,
        )
    return type(transport)({name: _safe_transport(each) for name, each in transport.items()})


def _safe_fields(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _safe_fields(item)
            for name, item in value.items()
            if not (isinstance(item, str) and is_secret_name(str(name)))
        }
    return [_safe_fields(item) for item in value] if isinstance(value, list) else value


_SAFE = {
    "model": _safe_models,
    "base_url": safe_url,
    "api_key": _safe_key,
    "headers": _safe_headers,
    "transport": _safe_transport,
    "extra": _safe_fields,
}


def check_pickles(options: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` for the first of *options* that pickle refuses, without secrets.

    *settings* are all of the command. Not where cloudpickle or dill asks, which pickle more than pickle does.
    """
    import pickle

    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if not {"cloudpickle", "dill"}.isdisjoint(frame.f_globals.get("__name__", "").split(".")):
            return
    for name, value in options.items():
        if isinstance(value, str | int | float | None):
            continue
        try:
            pickle.dumps(value)
        except Exception as error:
            clean_foreign(error, settings)
            raise ConfigurationError(
                f"a command with the option {name} cannot be pickled ({type(error).__name__}: {error}): use "
                "what pickle takes, such as a function at the top level of a module, or leave the option out "
                f"and set it where the command runs, as in {_WHERE.get(name, f'configure({name}=…)')}"
            ) from error


def clean_foreign(error: BaseException, settings: Mapping[str, Any]) -> None:
    """Remove secrets from an *error* that an object of the caller raised when it was pickled.

    Those of *settings*, of the settings in force, and of the environment.
    """
    from alloy.backends.http.redaction import Redactor, clean

    here = current()
    found = [*_secrets_in(settings), *_secrets_in({name: getattr(here, name) for name in _SAFE})]
    found += [value for name, value in os.environ.items() if is_secret_name(name)]
    found += [secret for value in os.environ.values() if "://" in value for secret in secrets_in_url(value)]
    clean(error, Redactor(each.strip() for each in found))


def _secrets_in(settings: Mapping[str, Any]) -> Iterator[str]:
    """What `_without_secrets` leaves out."""
    for given, value in settings.items():
        match ALIASES.get(given, given):
            case "model":
                for each in value if isinstance(value, list | tuple) else (value,):
                    yield from _secrets_in(each) if isinstance(each, Mapping) else ()
            case "base_url":
                yield from secrets_in_url(value)
            case "api_key":
                yield from value.seen if isinstance(value, KeyFunction) else (value or "",)
            case "transport":
                for each in (value or {}).values() if not isinstance(value, Transport) else (value,):
                    yield from each.secrets
            case "headers":
                yield from _texts_in(value, lambda name: not is_public(name))
            case "extra":
                yield from _texts_in(value, is_secret_name)


def _texts_in(value: Any, counts: Callable[[str], bool]) -> Iterator[str]:
    """The texts in mappings, lists and pairs, whose name *counts*."""
    if isinstance(value, Mapping):
        value = list(value.items())
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str):
        yield from (value[1],) if counts(str(value[0])) else ()
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts_in(each, counts)


_WHERE = dict.fromkeys(("output", "parser", "tools", "conversation"), "with_options(…)")
