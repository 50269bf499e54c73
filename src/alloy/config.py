"""Settings: where each one comes from, and which one wins.

Precedence, for each setting separately: the call or the command, then the innermost `use_config`, then
`configure`, then the environment (`ALLOY_*`), then the built-in default. A layer that does not name a
setting leaves it to the next; a layer that sets `None` removes the value: no limit, not sent. The settings
themselves are in `alloy.settings`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from alloy.errors import ConfigurationError
from alloy.settings import ALIASES, SETTINGS, VARIABLES, Config, EntryError
from alloy.suggestions import did_you_mean, nearest
from alloy.threads import value_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from alloy.options import Settings

__all__ = ["Config", "configure", "use_config"]


def check_settings(settings: Mapping[str, Any], where: str, also: tuple[str, ...] = ()) -> dict[str, Any]:
    """*settings* under their own names, each of them valid.

    An error begins with *where*; *also* names further options that are valid there. Raises
    `ConfigurationError`.
    """
    checked: dict[str, Any] = {}
    for given, value in settings.items():
        name = ALIASES.get(given, given)
        if name not in SETTINGS:
            raise ConfigurationError(f"{where}: {_unknown(given, (*also, *SETTINGS))}")
        if name in checked:
            raise ConfigurationError(f"{where}: {given!r} and {name!r} are the same option; give one of them")
        try:
            checked[name] = SETTINGS[name].check(value)
        except EntryError as error:
            raise ConfigurationError(f"{where}: {given}: {error}") from None
        except ValueError as error:
            shown = SETTINGS[name].shown(value)
            raise ConfigurationError(f"{where}: {given} must be {error}, not {shown}") from None
    return checked


# What other libraries call our options, where the names do not resemble each other enough.
_ELSEWHERE = {
    "output": ("output_type", "result_type", "response_format", "response_model", "schema"),
    "conversation": ("history", "messages"),
    "system": ("instructions",),
    "retry": ("max_retries", "num_retries"),
    "reasoning_effort": ("effort", "thinking"),
    "stop": ("stop_sequences",),
    "max_tokens": ("max_completion_tokens",),
    "max_tool_turns": ("max_turns", "max_steps", "max_iterations"),
    "base_url": ("api_base", "endpoint"),
    "backend": ("provider",),
    "on_event": ("callback", "callbacks"),
    "transport": ("proxy", "proxies"),
    "extra": ("extra_body", "top_k", "logit_bias"),
}
_MEANT = {other: name for name, others in _ELSEWHERE.items() for other in others}


def _unknown(name: str, valid: tuple[str, ...]) -> str:
    meant = _MEANT.get(name.lower())
    guess = did_you_mean(meant if meant in valid else nearest(name, valid))
    return f"no option {name!r}{guess}; valid options are {', '.join(valid)}"


# --- the layers -----------------------------------------------------------------------------------

_process: dict[str, Any] = {}
_scope: ContextVar[Mapping[str, Any] | None] = ContextVar("alloy_config", default=None)


def configure(**settings: Unpack[Settings]) -> None:
    """Set defaults for this process, by the names of `Config`'s fields; others stay as they are.

    Raises `ConfigurationError` for an unknown name or a value of the wrong type, and then sets
    nothing.
    """
    global _process
    _process = {**_process, **check_settings(settings, "configure()")}


@contextmanager
def use_config(**settings: Unpack[Settings]) -> Iterator[None]:
    """Set defaults for a `with` block, also in the threads and tasks that Alloy starts in it.

    Blocks nest. Raises `ConfigurationError` as `configure` does.
    """
    checked = check_settings(settings, "use_config()")
    token = _scope.set({**(_scope.get() or {}), **checked})
    try:
        yield
    finally:
        _scope.reset(token)


def current(*layers: Mapping[str, Any]) -> Config:
    """The settings in force here and now, under *layers* of checked settings, the strongest last."""
    settings = {**_from_environment(), **_process, **(_scope.get() or {})}
    for layer in layers:
        settings.update(layer)
    return Config(**settings)


def sources() -> dict[str, str]:
    """Where each setting that is set comes from: a variable, `configure()` or `use_config()`."""
    read = _from_environment()
    found = {VARIABLES[name]: name for name in _variables() if VARIABLES[name] in read}
    return found | dict.fromkeys(_process, "configure()") | dict.fromkeys(_scope.get() or (), "use_config()")


def ignored_variables() -> list[tuple[str, str]]:
    """The `ALLOY_*` variables that are ignored now, each with the reason."""
    unknown = [name for name in os.environ if name.startswith("ALLOY_") and name not in VARIABLES]
    return [
        *(
            (name, f"no setting has this variable{did_you_mean(nearest(name, VARIABLES))}")
            for name in unknown
        ),
        *(
            (name, f"it must be {error}")
            for name, text in _variables().items()
            if (error := _read(name, text)[1])
        ),
    ]


def given_here() -> dict[str, Any]:
    """The settings of `configure` and of the `use_config` blocks around the caller."""
    return {**_process, **(_scope.get() or {})}


def with_given(settings: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Within the block, *settings*, which are checked, are those of `use_config`."""
    return value_of(_scope, settings)


# --- the environment ------------------------------------------------------------------------------

# os.environ.get() raises and catches two exceptions for each variable that is not set: 8,000
# instructions. Looking at the name of a variable that is set costs 2,000.
_FEW = 4 * len(VARIABLES)
_NAMES = frozenset(VARIABLES)

_seen: tuple[dict[str, str], dict[str, Any]] = ({}, {})
_warned: set[tuple[str, str]] = set()


def _from_environment() -> dict[str, Any]:
    """The settings that `ALLOY_*` variables hold now; parsed again only when one has changed."""
    global _seen
    texts = _variables()
    if texts != _seen[0]:
        settings: dict[str, Any] = {}
        for variable, text in texts.items():
            value, error = _read(variable, text)
            if error is None:
                settings[VARIABLES[variable]] = value
            else:
                _warn(variable, text, error)
        _seen = texts, settings
    return _seen[1]


def _read(variable: str, text: str) -> tuple[Any, ValueError | None]:
    """The value that *text* is for *variable*, or why it is none."""
    row = SETTINGS[VARIABLES[variable]]
    try:
        return row.check(row.kind.read(text)), None
    except EntryError:
        return None, ValueError("one model, or several with a comma between each two")
    except ValueError as error:
        return None, error


def _variables() -> dict[str, str]:
    """The texts of the variables that are set, in the order of `VARIABLES`: the last one wins."""
    names = _NAMES.intersection(os.environ) if len(os.environ) <= _FEW else _NAMES
    # A shell or a compose file writes an empty variable for "not set".
    return {name: text for name in VARIABLES if name in names and (text := os.environ.get(name, "").strip())}


def _warn(variable: str, text: str, error: ValueError) -> None:
    if (variable, text) in _warned:
        return
    _warned.add((variable, text))
    shown = "its value" if SETTINGS[VARIABLES[variable]].secret else repr(text)
    warnings.warn(f"{variable} must be {error}, not {shown}; it is ignored", RuntimeWarning, stacklevel=2)
