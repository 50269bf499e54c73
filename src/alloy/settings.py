"""Every setting, in one row each: what it accepts, its default, its variables, and what it means.

A row is a field of `Config`. All other lists of settings are derived from the rows: the checks, the
environment variables, what a request carries, the table in `docs/configuration.md`. To add a setting,
add its row here and its type to `alloy.options`; one that is sent also needs a field in
`alloy.messages.Request` and a place in the codecs. What a row accepts is a kind of `alloy.setting_kinds`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from alloy.budgets import Budget
from alloy.caches.cache import Cache
from alloy.circuit_breakers import CircuitBreaker
from alloy.endpoints import ByBackend, Headers, HttpClients, KeyFunction, Transport, without_credentials
from alloy.errors import AlloyError
from alloy.events import Listener
from alloy.excerpts import shown_value
from alloy.jsontypes import JsonObject
from alloy.setting_kinds import (
    BREAKER,
    BUDGET,
    BY_BACKEND,
    CACHE,
    CACHING,
    FALLBACK_ERRORS,
    FLAG,
    HEADERS,
    HTTP_CLIENT,
    KEY,
    LISTENERS,
    RETRIED_ERRORS,
    TEXT,
    TEXTS,
    TRANSPORT,
    Kind,
    count,
    number,
    one_of,
    seconds,
)
from alloy.suggestions import did_you_mean, nearest

__all__ = ["ABOUT_TOOLS", "ALIASES", "SENT", "SETTINGS", "VARIABLES", "Config", "ModelEntry", "Setting"]

# --- one model, or several ------------------------------------------------------------------------


class ModelEntry(dict[str, Any]):
    """One of several models: its name as `"model"`, and the settings that are for it alone."""

    def __repr__(self) -> str:
        return repr({name: _shown(name, value) for name, value in self.items()})


def _shown(name: str, value: Any) -> Any:
    if SETTINGS[name].is_address and value is not None:
        return without_credentials(value)
    return "(hidden)" if SETTINGS[name].secret else value


class EntryError(ValueError):
    """What is wrong with one of several models: a whole sentence, without secrets."""


def _check_models(value: Any) -> str | tuple[ModelEntry, ...]:
    if isinstance(value, str) and value.strip():
        return value
    models = (value,) if isinstance(value, Mapping) else value
    if not isinstance(models, tuple | list) or not models:
        raise ValueError(
            'a non-empty str, or a list of them and of dicts such as {"model": "gpt-5.6", "temperature": 0}'
        )
    for place, each in enumerate(models, 1):
        if not isinstance(each, Mapping) and not (isinstance(each, str) and each.strip()):
            raise EntryError(f"entry {place} must be a non-empty str, or a dict, not {_plain(each)}")
    return tuple(_check_model(each, f"entry {place}") for place, each in enumerate(models, 1))


def _check_model(value: Any, entry: str) -> ModelEntry:
    given: Any = {MODEL: value} if isinstance(value, str) else value
    if MODEL not in given:
        names = ", ".join(map(repr, given)) or "nothing"
        raise EntryError(f"{entry}, a dict, has no {MODEL!r}; it has {names}")
    model = given[MODEL]
    if not isinstance(model, str) or not model.strip():
        raise EntryError(f"{entry}: {MODEL!r} must be a non-empty str, not {_plain(model)}")
    checked = ModelEntry()
    for alias, each in given.items():
        name = ALIASES.get(alias, alias)
        if name not in PER_MODEL:
            raise EntryError(f"{entry} ({model}) {_not_of_one_model(alias)}")
        if name in checked:
            raise EntryError(f"{entry} ({model}) has {name!r} twice, also as {alias!r}; give one of them")
        try:
            checked[name] = each if name == MODEL else SETTINGS[name].check(each)
        except ValueError as error:
            shown = SETTINGS[name].shown(each)
            raise EntryError(f"{entry} ({model}): {alias} must be {error}, not {shown}") from None
    return checked


def _plain(value: Any) -> str:
    """*value*, or only its type when it may hold others, among them secrets."""
    is_plain = isinstance(value, str | int | float | None)
    return shown_value(value) if is_plain else f"of type {type(value).__name__}"


def _not_of_one_model(name: Any) -> str:
    if name in SETTINGS:
        problem = f"has {name!r}, a setting of the whole call: give it next to model, not in the dict"
    else:
        problem = f"has {name!r}, which is not a setting{did_you_mean(nearest(str(name), PER_MODEL))}"
    return f"{problem}; a dict takes {', '.join(each for each in SETTINGS if each in PER_MODEL)}"


MODEL = "model"
MODELS = Kind(_check_models, lambda text: [each.strip() for each in text.split(",")] if "," in text else text)


# --- the rows -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known about one setting.

    *optional*: it accepts `None`, as every setting does whose default is `None`. *variables*: its
    environment variables, the strongest last. *alias*: another name for it. *sent*: a request carries
    it in a field of the same name, and a model may drop or refuse it. *about_tools*: it is sent only
    with tools. *secret*: its value may hold a key or a password, so it is never shown; what is valid and
    *is_address*, without the password. *per_model*: each of several models may have its own.
    """

    kind: Kind
    meaning: str
    optional: bool
    variables: tuple[str, ...] = ()
    alias: str | None = None
    sent: bool = False
    about_tools: bool = False
    secret: bool = False
    is_address: bool = False
    per_model: bool = False

    def check(self, value: Any) -> Any:
        """*value*, perhaps converted. Raises `ValueError` with a description of what is accepted."""
        return None if value is None and self.optional else self.kind.check(value)

    def shown(self, value: Any) -> str:
        """*value* for an error, without secrets; a model may have its own key."""
        several = value if isinstance(value, tuple | list) else (value,)
        own = self.secret or self.kind in (
            HTTP_CLIENT,
            TRANSPORT,
        )  # a dict in their place may have a password
        hidden = own or (self.kind is MODELS and any(isinstance(each, Mapping) for each in several))
        return "(hidden)" if hidden else shown_value(value)


def _setting(
    kind: Kind, meaning: str, *, default: Any = None, factory: Callable[[], Any] | None = None, **facts: Any
) -> Any:
    """A field of `Config` with its row. *facts* are fields of `Setting`."""
    facts.setdefault("optional", default is None and factory is None)
    row = Setting(kind, meaning, **facts)
    given: JsonObject = {"default": default} if factory is None else {"default_factory": factory}
    return field(**given, repr=not row.secret, metadata={"row": row})


@dataclass(frozen=True, slots=True)
class Config:
    """The settings in force for one call.

    The first part of a row is the type of the value in a `Config`; `alloy.options` has the types that
    users may write. A row's sentence is what the documentation shows.
    """

    model: str | tuple[ModelEntry, ...] | None = _setting(
        MODELS,
        'The model to ask: `"provider:model"`, or a well-known model name alone; or a list of them, of which '
        "the next one is asked when one fails: dicts have settings for one model.",
        variables=("ALLOY_MODEL",),
        per_model=True,
    )
    backend: str | None = _setting(
        TEXT,
        'The backend for every model, whatever the model name says; `"fake"` runs offline.',
        variables=("ALLOY_BACKEND",),
        per_model=True,
    )
    temperature: float | None = _setting(
        number(0),
        "The sampling temperature: a higher value gives more varied answers.",
        variables=("ALLOY_TEMPERATURE",),
        sent=True,
        per_model=True,
    )
    max_tokens: int | None = _setting(
        count(1),
        "The most tokens that the model may write in one reply.",
        variables=("ALLOY_MAX_TOKENS",),
        sent=True,
        per_model=True,
    )
    top_p: float | None = _setting(
        number(0, 1),
        "Nucleus sampling: only the most likely tokens that together have this probability are considered.",
        sent=True,
        per_model=True,
    )
    seed: int | None = _setting(
        count(0),
        "The seed of the provider's random numbers, for answers that can be repeated as far as it allows.",
        sent=True,
        per_model=True,
    )
    stop: tuple[str, ...] | None = _setting(
        TEXTS, "One or several texts at which the model stops writing.", sent=True, per_model=True
    )
    system: str | None = _setting(
        TEXT,
        "The system prompt.",
        variables=("ALLOY_DEFAULT_SYSTEM", "ALLOY_SYSTEM"),
        alias="default_system",
        per_model=True,
    )
    retry: int = _setting(
        count(0),
        "How many times a failed model request is tried again.",
        default=2,
        variables=("ALLOY_RETRY",),
    )
    retry_on: tuple[type[AlloyError], ...] | None = _setting(
        RETRIED_ERRORS,
        "The errors after which a request is tried again; `None` means those that are `transient`.",
    )
    backoff: float = _setting(
        seconds(),
        "Seconds that the first retry waits at most; the limit doubles with each further one.",
        default=0.5,
        variables=("ALLOY_BACKOFF",),
    )
    backoff_max: float = _setting(
        seconds(),
        "Seconds that a retry waits at most, unless the provider asks for a longer wait.",
        default=30.0,
        variables=("ALLOY_BACKOFF_MAX",),
    )
    retry_after_max: float = _setting(
        seconds(),
        "Seconds that the provider may ask to wait before a retry; for a longer wait the error is raised.",
        default=60.0,
        variables=("ALLOY_RETRY_AFTER_MAX",),
    )
    retry_budget: int | None = _setting(
        count(1),
        "How many retries in a minute all calls of the process may make together at one address; "
        "`None` means no limit.",
        variables=("ALLOY_RETRY_BUDGET",),
    )
    fallback_on: tuple[type[AlloyError], ...] | None = _setting(
        FALLBACK_ERRORS,
        "The errors after which the next model of a list is asked; `None` means every `ProviderError`.",
    )
    circuit_breaker: CircuitBreaker | None = _setting(
        BREAKER,
        "A `CircuitBreaker`, which stops asking a model that keeps failing; `None` means none.",
    )
    budget: Budget | None = _setting(
        BUDGET,
        "A `Budget`, which limits what all calls that share it use together; `None` means no limit.",
    )
    cache: Cache | None = _setting(
        CACHE,
        "A `Cache`, or the path of its file: replies are stored there, and the same request is answered from "
        "it. `None` or `False` means none.",
        variables=("ALLOY_CACHE",),
    )
    requests_per_minute: int | None = _setting(
        count(1),
        "How many requests in a minute all calls of the process may send together to a model at one address; "
        "more wait. `None` means no limit.",
        variables=("ALLOY_REQUESTS_PER_MINUTE",),
        per_model=True,
    )
    tokens_per_minute: int | None = _setting(
        count(1),
        "The same for tokens, input and output together.",
        variables=("ALLOY_TOKENS_PER_MINUTE",),
        per_model=True,
    )
    reask: int = _setting(
        count(0),
        "How many times an invalid answer is sent back to the model with a description of the problem.",
        default=1,
        variables=("ALLOY_REASK",),
    )
    timeout: float | None = _setting(
        seconds(above=True),
        "Seconds that one model request may take; `None` means that only the SDK's own limits apply.",
        variables=("ALLOY_TIMEOUT",),
    )
    deadline: float | None = _setting(
        seconds(above=True),
        "Seconds that the whole call may take, with its tools, retries and waits; `None` means no limit.",
        variables=("ALLOY_DEADLINE",),
    )
    max_response_bytes: int | None = _setting(
        count(1),
        "How large the body of one answer may be, in bytes after decompression; `None` means no limit.",
        default=100_000_000,
        optional=True,
        variables=("ALLOY_MAX_RESPONSE_BYTES",),
    )
    max_tool_turns: int = _setting(
        count(0),
        "How many rounds of tool calls one call may have.",
        default=10,
        variables=("ALLOY_MAX_TOOL_TURNS",),
    )
    parallel_tools_max: int = _setting(
        count(1),
        "How many tools of one round run at the same time.",
        default=8,
        variables=("ALLOY_PARALLEL_TOOLS_MAX",),
    )
    max_connections: int = _setting(
        count(1),
        "How many requests go to one address at once, from all threads, or from one event loop; "
        "more wait, before their `timeout` begins.",
        default=64,
        variables=("ALLOY_MAX_CONNECTIONS",),
    )
    tool_errors: str = _setting(
        one_of("return", "raise"),
        '`"return"` sends a tool\'s exception to the model as the result of its call; '
        '`"raise"` ends the call with a `ToolError`.',
        default="return",
        variables=("ALLOY_TOOL_ERRORS",),
    )
    tool_timeout: float | None = _setting(
        seconds(above=True),
        "Seconds that one tool may take, after which the model is told so; `None` means no limit.",
        variables=("ALLOY_TOOL_TIMEOUT",),
    )
    tool_result_max_chars: int | None = _setting(
        count(1),
        "How many characters of a tool's result the model reads; a marker says how many were cut; "
        "`None` means no limit.",
        default=100_000,
        optional=True,
        variables=("ALLOY_TOOL_RESULT_MAX_CHARS",),
    )
    auto_finalize_missing_output: bool = _setting(
        FLAG,
        "Whether to ask once more, without tools, when the model gives an empty answer.",
        default=True,
        variables=("ALLOY_AUTO_FINALIZE_MISSING_OUTPUT",),
    )
    tool_choice: str | None = _setting(
        TEXT,
        '`"auto"`, `"none"`, `"required"` or the name of a tool; '
        "the last two apply until a tool has been called.",
        sent=True,
        about_tools=True,
        per_model=True,
    )
    allowed_tools: tuple[str, ...] | None = _setting(
        TEXTS,
        "The names of the tools that the model may call; `None` means all of them.",
        sent=True,
        about_tools=True,
    )
    parallel_tools: bool | None = _setting(
        FLAG,
        "Whether the model may call several tools in one turn.",
        sent=True,
        about_tools=True,
        per_model=True,
    )
    reasoning_effort: str | None = _setting(
        TEXT,
        'How much the model reasons before it answers, such as `"low"` or `"high"`; '
        "the model decides which values are valid.",
        variables=("ALLOY_REASONING_EFFORT",),
        sent=True,
        per_model=True,
    )
    prompt_caching: bool | Literal["long"] | None = _setting(
        CACHING,
        "Whether to ask for prompt caching where the provider does not cache without being asked; "
        '`"long"` keeps a prompt for hours, where the provider can.',
        sent=True,
        per_model=True,
    )
    tool_mode: str = _setting(
        one_of("auto", "native", "react"),
        '`"native"`, `"react"` (the prompt describes the tools), or `"auto"`: native where the model '
        "supports tool calls.",
        default="auto",
        variables=("ALLOY_TOOL_MODE",),
    )
    output_mode: str = _setting(
        one_of("auto", "native", "prompted"),
        '`"native"`, `"prompted"` (the prompt describes the type), or `"auto"`: native where the model '
        "supports structured output.",
        default="auto",
        variables=("ALLOY_OUTPUT_MODE",),
    )
    strict_capabilities: bool = _setting(
        FLAG,
        "Whether a feature that the model does not support is an error instead of being emulated.",
        default=False,
        variables=("ALLOY_STRICT_CAPABILITIES",),
    )
    on_event: tuple[Listener, ...] | None = _setting(
        LISTENERS,
        "A function that is called with each event of a call (see `alloy.events`), or a list of them.",
    )
    base_url: str | None = _setting(
        TEXT,
        "The address of the provider's API; `None` leaves it to the SDK and its environment variables.",
        variables=("ALLOY_BASE_URL",),
        secret=True,
        is_address=True,
        per_model=True,
    )
    api_key: str | KeyFunction | None = _setting(
        KEY,
        "The API key, or a function that returns one, called before each request because keys may expire; "
        "`None` leaves it to the SDK and its environment variables.",
        secret=True,
        per_model=True,
    )
    headers: ByBackend[Headers] | None = _setting(
        HEADERS,
        "Headers that are added to each request, for all backends or by backend name.",
        secret=True,
        per_model=True,
    )
    http_client: ByBackend[HttpClients] | None = _setting(
        HTTP_CLIENT,
        "An HTTP client of your own that sends the requests; you close it. A tuple of two serves sync and "
        "async calls.",
        per_model=True,
    )
    transport: ByBackend[Transport] | None = _setting(
        TRANSPORT,
        "How connections are opened: the proxy, the trusted certificates, a client certificate.",
        per_model=True,
    )
    pickle_secrets: bool = _setting(
        FLAG,
        "Whether a pickled command has the keys and passwords in its options; otherwise a worker takes them "
        "from its own environment.",
        default=False,
        variables=("ALLOY_PICKLE_SECRETS",),
    )
    extra: Mapping[str, Mapping[str, Any]] = _setting(
        BY_BACKEND,
        "By backend name, fields that are merged unchanged into the body of a request.",
        factory=dict,
        variables=("ALLOY_EXTRA_JSON",),
        secret=True,
        per_model=True,
    )


# --- derived --------------------------------------------------------------------------------------

SETTINGS: dict[str, Setting] = {each.name: each.metadata["row"] for each in fields(Config)}
ALIASES = {row.alias: name for name, row in SETTINGS.items() if row.alias is not None}
# By environment variable: the name of its setting.
VARIABLES = {variable: name for name, row in SETTINGS.items() for variable in row.variables}
SENT = tuple(name for name, row in SETTINGS.items() if row.sent)
ABOUT_TOOLS = frozenset(name for name, row in SETTINGS.items() if row.about_tools)
# What a dict in a list of models may set, for that model alone.
PER_MODEL = frozenset(name for name, row in SETTINGS.items() if row.per_model)
