"""The options as type checkers and editors see them; `alloy.settings` checks the same names at run time.

They are for code that passes options on: `def read(text: str, **options: Unpack[CommandOptions])`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, Required

from typing_extensions import TypedDict

from alloy.budgets import Budget
from alloy.caches.cache import Cache
from alloy.circuit_breakers import CircuitBreaker
from alloy.conversations import Conversation
from alloy.endpoints import Transport
from alloy.errors import AlloyError
from alloy.events import Listener

__all__ = ["AskOptions", "CommandOptions", "ModelOptions", "Settings"]


class _OneModel(TypedDict, total=False):
    """What each of several models may have for itself."""

    backend: str | None
    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    seed: int | None
    stop: str | Sequence[str] | None
    reasoning_effort: str | None
    system: str | None
    tool_choice: str | None
    parallel_tools: bool | None
    prompt_caching: bool | Literal["long"] | None
    base_url: str | None
    api_key: str | Callable[[], str] | Callable[[], Awaitable[str]] | None
    headers: Mapping[str, str] | Mapping[str, Mapping[str, str]] | None
    http_client: object | None  # of httpx or httpx2, which need not be installed
    transport: Transport | Mapping[str, Transport] | None
    extra: Mapping[str, Mapping[str, Any]]
    requests_per_minute: int | None
    tokens_per_minute: int | None


class ModelOptions(_OneModel, total=False, closed=True):
    """One of several models, with the settings that are for it alone."""

    model: Required[str]


class _Settings(_OneModel, total=False):
    model: str | ModelOptions | Sequence[str | ModelOptions] | None
    default_system: str | None
    retry: int
    retry_on: type[AlloyError] | Collection[type[AlloyError]] | None
    backoff: float
    backoff_max: float
    retry_after_max: float
    retry_budget: int | None
    fallback_on: type[AlloyError] | Collection[type[AlloyError]] | None
    circuit_breaker: CircuitBreaker | None
    budget: Budget | None
    cache: Cache | str | PathLike[str] | Literal[False] | None
    reask: int
    timeout: float | None
    deadline: float | None
    max_response_bytes: int | None
    max_tool_turns: int
    parallel_tools_max: int
    max_connections: int
    tool_errors: Literal["return", "raise"]
    tool_timeout: float | None
    tool_result_max_chars: int | None
    auto_finalize_missing_output: bool
    allowed_tools: str | Sequence[str] | None
    tool_mode: Literal["auto", "native", "react"]
    output_mode: Literal["auto", "native", "prompted"]
    strict_capabilities: bool
    pickle_secrets: bool
    on_event: Listener | Sequence[Listener] | None


# Closed, because ty accepts a misspelt option for an open TypedDict; a closed one cannot be extended.


class Settings(_Settings, closed=True):
    """The options of `configure` and `use_config`: the fields of `Config`."""


class CommandOptions(_Settings, total=False, closed=True):
    """The options of `@command(…)` and `with_options`, except *output*."""

    tools: Iterable[Callable[..., Any]]
    conversation: Conversation | None
    parser: Callable[[Any], Any] | None


class AskOptions(_Settings, total=False, closed=True):
    """The options of `ask`, except *output*."""

    tools: Iterable[Callable[..., Any]]
    conversation: Conversation | None
    parser: Callable[[Any], Any] | None
    context: object
