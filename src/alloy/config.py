"""Settings: where each comes from, and which one wins.

Precedence, for every setting by itself: the call or the command, then the innermost `use_config`,
then `configure`, then the environment (`ALLOY_*`), then the built-in default. A layer that does not
name a setting leaves it to the next; a layer that says `None` means it: no limit, not sent.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from alloy.errors import (
    AlloyError,
    ConfigurationError,
    FilteredError,
    ProviderError,
    RefusalError,
    TruncatedError,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from alloy.options import Settings

__all__ = ["Config", "configure", "use_config"]


@dataclass(frozen=True, slots=True)
class Config:
    """The settings in force for one call.

    - *model*: `"provider:model"`, or a well-known name alone.
    - *backend*: the backend for every model, whatever its name says; `"fake"` runs offline.
    - *temperature*, *max_tokens*, *top_p*, *seed*, *stop*, *reasoning_effort*: sent to the provider in its
      own terms; `None` sends nothing.
    - *system*: the system prompt (*default_system* is another name for it).
    - *retry*: how often a failed model request is tried again.
    - *retry_on*: which errors are; `None` means those that are `transient`.
    - *reask*: how often an answer that does not fit goes back to the model with what was wrong.
    - *timeout*: seconds for one model request; *deadline*: seconds for the whole call. `None`: no limit
      but the SDK's own.
    - *max_tool_turns*: how many rounds of tool calls a call may take.
    - *parallel_tools_max*: how many tools of one round run at the same time.
    - *tool_errors*: `"return"` gives a tool's exception to the model, `"raise"` ends the call with it.
    - *auto_finalize_missing_output*: ask once more, without tools, when a run ends with no answer.
    - *tool_choice*: `"auto"`, `"none"`, `"required"` or a tool's name (the last two hold until a tool was
      called); *allowed_tools*: names of the tools that may be called; *parallel_tools*: whether several
      may be called in one turn.
    - *prompt_caching*: ask for it where the provider does not cache by itself.
    - *tool_mode*: `"native"`, `"react"` (the tools written into the prompt), or `"auto"`: native where the
      model can; *output_mode*: `"native"`, `"prompted"` or `"auto"`, the same for typed answers.
    - *strict_capabilities*: raise an error instead of standing in for what the model cannot do.
    - *base_url*, *api_key*: where and as whom; `None` leaves it to the SDK and its own variables.
    - *extra*: by backend name, what is merged verbatim into that provider's request body.
    """

    model: str | None = None
    backend: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    reasoning_effort: str | None = None
    system: str | None = None
    retry: int = 2
    retry_on: tuple[type[AlloyError], ...] | None = None
    reask: int = 1
    timeout: float | None = None
    deadline: float | None = None
    max_tool_turns: int = 10
    parallel_tools_max: int = 8
    tool_errors: str = "return"
    auto_finalize_missing_output: bool = True
    tool_choice: str | None = None
    allowed_tools: tuple[str, ...] | None = None
    parallel_tools: bool | None = None
    prompt_caching: bool | None = None
    tool_mode: str = "auto"
    output_mode: str = "auto"
    strict_capabilities: bool = False
    base_url: str | None = field(default=None, repr=False)  # may hold a password
    api_key: str | None = field(default=None, repr=False)
    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


# --- what each setting accepts --------------------------------------------------------------------

# Gives the value back, perhaps converted; raises ValueError that says what is wanted.
Check = Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a non-empty str")
    return value


LARGEST = 1e300  # more than any setting means, and less than a float holds


def _number(low: float, high: float = math.inf, *, above: bool = False) -> Check:
    wanted = f"a number {'above' if above else 'of at least'} {low:g}" + (
        f" and at most {high:g}" if high < math.inf else ""
    )

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise ValueError(wanted)
        if (
            value in (math.inf, -math.inf)
            or value > min(high, LARGEST)
            or value < low
            or (above and value == low)
        ):
            raise ValueError(wanted)
        return value

    return check


def _count(low: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"an int of at least {low}")
        return value

    return check


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("a bool")
    return value


def _one_of(*choices: str) -> Check:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(" or ".join(map(repr, choices)))
        return str(value)

    return check


def _texts(value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, tuple | list) or not texts or not all(isinstance(t, str) and t for t in texts):
        raise ValueError("a str or a list of them, none of them empty")
    return tuple(texts)


def _errors(value: Any) -> tuple[type[AlloyError], ...]:
    kinds = value if isinstance(value, tuple | list | set | frozenset) else (value,)
    if not all(isinstance(kind, type) and _can_be_retried(kind) for kind in kinds):
        raise ValueError(
            "ProviderError classes, RefusalError, TruncatedError or FilteredError, in a tuple "
            "(an answer that does not fit is asked for again: see reask)"
        )
    return tuple(kinds)


def _can_be_retried(kind: type) -> bool:
    retried = (ProviderError, RefusalError, TruncatedError, FilteredError)
    return issubclass(kind, retried) or any(issubclass(one, kind) for one in retried)


def _extra(value: Any) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and isinstance(body, Mapping) for name, body in value.items()
    ):
        raise ValueError('a dict by backend name, such as {"openai": {"service_tier": "flex"}}')
    return value


def _or_none(check: Check) -> Check:
    def checked(value: Any) -> Any:
        return None if value is None else check(value)

    return checked


CHECKS: dict[str, Check] = {
    "model": _or_none(_text),
    "backend": _or_none(_text),
    "temperature": _or_none(_number(0)),
    "max_tokens": _or_none(_count(1)),
    "top_p": _or_none(_number(0, 1)),
    "seed": _or_none(_count(0)),
    "stop": _or_none(_texts),
    "reasoning_effort": _or_none(_text),
    "system": _or_none(_text),
    "retry": _count(0),
    "retry_on": _or_none(_errors),
    "reask": _count(0),
    "timeout": _or_none(_number(0, above=True)),
    "deadline": _or_none(_number(0, above=True)),
    "max_tool_turns": _count(0),
    "parallel_tools_max": _count(1),
    "tool_errors": _one_of("return", "raise"),
    "auto_finalize_missing_output": _flag,
    "tool_choice": _or_none(_text),
    "allowed_tools": _or_none(_texts),
    "parallel_tools": _or_none(_flag),
    "prompt_caching": _or_none(_flag),
    "tool_mode": _one_of("auto", "native", "react"),
    "output_mode": _one_of("auto", "native", "prompted"),
    "strict_capabilities": _flag,
    "base_url": _or_none(_text),
    "api_key": _or_none(_text),
    "extra": _extra,
}
ALIASES = {"default_system": "system"}
NAMES = tuple(f.name for f in fields(Config))


def check_settings(settings: Mapping[str, Any], where: str, also: tuple[str, ...] = ()) -> dict[str, Any]:
    """*settings* under their own names, each of them valid.

    *where* is what the error blames, *also* names further options that are valid there. Raises
    `ConfigurationError`.
    """
    checked: dict[str, Any] = {}
    for given, value in settings.items():
        name = ALIASES.get(given, given)
        if name not in CHECKS:
            valid = (*also, *NAMES)
            near = get_close_matches(given, valid, 1)
            guess = f" (did you mean {near[0]!r}?)" if near else ""
            raise ConfigurationError(f"{where}: no option {given!r}{guess}; there are {', '.join(valid)}")
        if name in checked:
            raise ConfigurationError(f"{where}: {given!r} and {name!r} are the same option; give one of them")
        try:
            checked[name] = CHECKS[name](value)
        except ValueError as error:
            shown = "(hidden)" if name == "api_key" else repr(value)
            raise ConfigurationError(f"{where}: {given} must be {error}, not {shown}") from None
    return checked


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


# --- the environment ------------------------------------------------------------------------------


def _boolean(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("true or false")


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("an int") from None


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("a number") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"JSON ({error})") from None


# By variable: the setting, and how its text is read. Secrets keep to the SDKs' own variables.
VARIABLES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "ALLOY_MODEL": ("model", str),
    "ALLOY_BACKEND": ("backend", str),
    "ALLOY_TEMPERATURE": ("temperature", _float),
    "ALLOY_MAX_TOKENS": ("max_tokens", _integer),
    "ALLOY_DEFAULT_SYSTEM": ("system", str),
    "ALLOY_SYSTEM": ("system", str),
    "ALLOY_RETRY": ("retry", _integer),
    "ALLOY_REASK": ("reask", _integer),
    "ALLOY_TIMEOUT": ("timeout", _float),
    "ALLOY_DEADLINE": ("deadline", _float),
    "ALLOY_MAX_TOOL_TURNS": ("max_tool_turns", _integer),
    "ALLOY_PARALLEL_TOOLS_MAX": ("parallel_tools_max", _integer),
    "ALLOY_TOOL_ERRORS": ("tool_errors", str),
    "ALLOY_AUTO_FINALIZE_MISSING_OUTPUT": ("auto_finalize_missing_output", _boolean),
    "ALLOY_REASONING_EFFORT": ("reasoning_effort", str),
    "ALLOY_TOOL_MODE": ("tool_mode", str),
    "ALLOY_OUTPUT_MODE": ("output_mode", str),
    "ALLOY_STRICT_CAPABILITIES": ("strict_capabilities", _boolean),
    "ALLOY_BASE_URL": ("base_url", str),
    "ALLOY_EXTRA_JSON": ("extra", _json),
}

MAY_HOLD_SECRETS = ("ALLOY_EXTRA_JSON", "ALLOY_BASE_URL")

_seen: tuple[dict[str, str], dict[str, Any]] = ({}, {})
_warned: set[tuple[str, str]] = set()


def _from_environment() -> dict[str, Any]:
    """What `ALLOY_*` says now; read anew only when it has changed."""
    global _seen
    # An empty variable is how a shell or a compose file says "not set".
    raw = {name: text for name in VARIABLES if (text := os.environ.get(name, "").strip())}
    if raw != _seen[0]:
        settings: dict[str, Any] = {}
        for variable, text in raw.items():
            name, read = VARIABLES[variable]
            try:
                settings[name] = CHECKS[name](read(text))
            except ValueError as error:
                _warn(variable, text, error)
        _seen = raw, settings
    return _seen[1]


def _warn(variable: str, text: str, error: ValueError) -> None:
    if (variable, text) in _warned:
        return
    _warned.add((variable, text))
    shown = "what it is" if variable in MAY_HOLD_SECRETS else repr(text)
    warnings.warn(f"{variable} must be {error}, not {shown}; it is ignored", RuntimeWarning, stacklevel=2)
