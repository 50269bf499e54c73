"""Anthropic's Messages API: `POST /v1/messages`, its general availability only.

Facts are from https://docs.claude.com/en/api/messages, as the SDK 2.12 ships it. The differences between
models are in one table, `CAPABILITIES`. The messages of a request are encoded by `turns`, answers are
decoded by `replies`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, NamedTuple

from alloy._typed.schemas.refs import nodes
from alloy.backends.anthropic.batches import AnthropicBatches
from alloy.backends.anthropic.dialect import DIALECT, MAX_OPTIONAL, MAX_STRICT_TOOLS, MAX_UNIONS
from alloy.backends.anthropic.errors import ERRORS, NAME
from alloy.backends.anthropic.replies import read_message
from alloy.backends.anthropic.stream import MessagesAccumulator, as_events
from alloy.backends.anthropic.turns import cache_mark, called_tools, turns
from alloy.backends.base import Capabilities
from alloy.backends.http import formats
from alloy.backends.http.batches import HttpBatchBackend
from alloy.backends.http.bodies import allowed_tools, given, merge, read_events
from alloy.backends.http.settings import checked_key, checked_url, without_query
from alloy.backends.http.stainless import StainlessSdk, timeout_headers
from alloy.backends.schemas import in_dialect
from alloy.endpoints import Endpoint
from alloy.errors import ConfigurationError, UnsupportedError
from alloy.jsontypes import Json, JsonObject
from alloy.messages import Reply, Request, ToolSchema

__all__ = ["CAPABILITIES", "AnthropicBackend", "ClaudeCapabilities"]

DEFAULT_URL = "https://api.anthropic.com"

# The version 2026-10-21, which the SDK 2 sends, has no sampling; this one still has it.
SAMPLING_VERSION = "2023-06-01"
SAMPLING = ("temperature", "top_p", "top_k")

# What the SDK lets a model write in one answer under its default timeout of ten minutes.
USUAL_MAX_TOKENS = 21_333


# --- what models can do -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClaudeCapabilities(Capabilities):
    """What else differs between Claude models.

    *max_tokens* is the most that the model writes. *forced_tools* says whether a call can be required,
    *can_disable_thinking* whether thinking can be switched off.
    """

    loose_output: bool = False
    result_media: bool = True
    max_tokens: int = 64_000
    forced_tools: bool = True
    can_disable_thinking: bool = True


_SEED = frozenset({"seed"})
_EFFORT = frozenset({"reasoning_effort"})
_SAMPLING = frozenset({"temperature", "top_p"})

_OLD = ClaudeCapabilities(structured_output=False, drops=_EFFORT, refuses=_SEED, max_tokens=8_192)
_NEW = ClaudeCapabilities(drops=_SAMPLING, refuses=_SEED)

# By name, in lower case and with "-" for ".": the first pattern that fits counts.
CAPABILITIES: tuple[tuple[str, ClaudeCapabilities], ...] = (
    ("*claude-3-[57]-*", _OLD),
    ("*claude-3-*", replace(_OLD, documents=False, max_tokens=4_096)),
    ("*claude-4-*", _OLD),  # claude-4-opus-20250514, an early name
    ("*claude-*-4-[01]*", _OLD),
    ("*claude-*-4-20*", _OLD),  # Opus 4 and Sonnet 4 by date
    ("*claude-*-4@20*", _OLD),  # the same on Vertex
    ("*claude-haiku-4-5*", ClaudeCapabilities(drops=_EFFORT, refuses=_SEED)),
    ("*claude-sonnet-4-5*", ClaudeCapabilities(drops=_EFFORT, refuses=_SEED)),
    ("*claude-*-4-[56]*", ClaudeCapabilities(refuses=_SEED)),
    ("*claude-opus-5-5*", replace(_NEW, forced_tools=False, can_disable_thinking=False)),
    ("*claude-fable-5-[1-9]*", replace(_NEW, forced_tools=False, can_disable_thinking=False)),
    ("*claude-*", _NEW),
    ("*", _OLD),  # models of others, at an address with this API
)


@lru_cache(maxsize=256)
def _capabilities(model: str) -> ClaudeCapabilities:
    name = model.lower().replace(".", "-")
    return next(can for pattern, can in CAPABILITIES if fnmatchcase(name, pattern))


# --- settings -----------------------------------------------------------------------------------------

ANTHROPIC = StainlessSdk("anthropic", "AnthropicError", "Anthropic", "AsyncAnthropic")


class Settings(NamedTuple):
    """Everything that decides the address, including what the SDK reads from the environment."""

    api_key: str | None
    auth_token: str | None
    base_url: str
    custom_headers: str | None

    def arguments(self) -> dict[str, Any]:
        """What the SDK's client is told; it reads the custom headers from the same variable."""
        base_url = without_query(self.base_url)
        return {"api_key": self.api_key, "auth_token": self.auth_token, "base_url": base_url}

    def __repr__(self) -> str:
        return f"Settings(base_url={self.base_url!r})"  # headers may hold a key, too


# --- the backend --------------------------------------------------------------------------------------


class AnthropicBackend(HttpBatchBackend):
    """The Messages API, for Anthropic itself and for compatible servers."""

    name = NAME
    dialect = DIALECT
    sdk = ANTHROPIC
    packages = ("anthropic",)
    path = "/v1/messages"
    errors = ERRORS
    format = formats.MESSAGES
    batches = AnthropicBatches()
    split = staticmethod(as_events)
    request_id_headers = ("request-id", "x-request-id")
    key_variables = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS")
    own_hosts = ("api.anthropic.com",)

    def capabilities(self, model: str) -> ClaudeCapabilities:
        """The first row of `CAPABILITIES` that matches."""
        return _capabilities(model)

    def encode(self, request: Request) -> JsonObject:
        """The body of `POST /v1/messages`.

        Raises `ConfigurationError` for a forced tool or for no thinking where the model does not support
        that, and `UnsupportedError` for a type of answer that the provider's strict mode does not support.
        """
        request = in_dialect(request, self.dialect)
        can = _capabilities(request.model)
        body: JsonObject = {
            "model": request.model,
            "max_tokens": _max_tokens(request, can),
            "messages": turns(request),
        }
        if request.system is not None:
            body["system"] = request.system
        body |= _tools(request, can)
        if output := _output(request):
            body["output_config"] = output
        if request.reasoning_effort == "none":
            if not can.can_disable_thinking:
                raise ConfigurationError(f'{request.model} always thinks: use reasoning_effort="low"')
            body["thinking"] = {"type": "disabled"}
        body |= given({"temperature": request.temperature, "top_p": request.top_p})
        if request.stop:
            body["stop_sequences"] = list(request.stop)
        if request.prompt_caching:
            _mark_prefixes(body, cache_mark(request))
        return merge(body, request.extra)

    def decode(self, raw: Any) -> Reply:
        """The reply in a message. Raises `BadReplyError` for an unexpected format."""
        return read_events(self.accumulator(), raw) if isinstance(raw, list) else read_message(raw)

    def accumulator(self) -> MessagesAccumulator:
        """A new accumulator for one stream."""
        return MessagesAccumulator()

    def address(self, endpoint: Endpoint) -> str:
        """Where requests would go now."""
        return endpoint.base_url or os.environ.get("ANTHROPIC_BASE_URL") or DEFAULT_URL

    def settings(self, endpoint: Endpoint) -> Settings:
        """What *endpoint* says, or else what the environment says now. Raises `ConfigurationError`."""
        env = os.environ.get
        source = "base_url" if endpoint.base_url else "ANTHROPIC_BASE_URL"
        base_url = checked_url(self.address(endpoint), DEFAULT_URL, source)
        key = endpoint.key or env("ANTHROPIC_API_KEY") or None
        token = None if key else env("ANTHROPIC_AUTH_TOKEN") or None
        if key is None and token is None:
            raise ConfigurationError(
                "no key for Anthropic: set ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN) or "
                "configure(api_key=…), or run offline with ALLOY_BACKEND=fake"
            )
        checked_key("Anthropic", key or token or "")
        return Settings(key, token, base_url, env("ANTHROPIC_CUSTOM_HEADERS"))

    def headers(self, body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, str]:
        """The time limit, and for a body that samples the API's older version: the newer one refuses it."""
        version = {"anthropic-version": SAMPLING_VERSION} if any(key in body for key in SAMPLING) else {}
        return timeout_headers(endpoint, "x-stainless-timeout", "x-stainless-read-timeout") | version

    def is_last(self, event: Json) -> bool:
        """Whether *event* ends the stream, although some servers leave the body open after it."""
        return isinstance(event, dict) and event.get("type") == "message_stop"


# --- encoding -----------------------------------------------------------------------------------------


def _max_tokens(request: Request, can: ClaudeCapabilities) -> int:
    """The API requires a limit: the user's, or what the model can write in one answer."""
    if request.max_tokens is not None:
        return request.max_tokens
    usual = min(can.max_tokens, USUAL_MAX_TOKENS)
    thinking = request.extra.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    # The budget must be below the limit, which it is a part of.
    return min(can.max_tokens, usual + budget) if isinstance(budget, int) else usual


def _mark_prefixes(body: JsonObject, mark: JsonObject) -> None:
    """Mark what a command sends in every call, and the whole request, which the next one may continue."""
    body["cache_control"] = mark
    if "system" in body:  # the tools are before it
        body["system"] = [{"type": "text", "text": body["system"], "cache_control": mark}]
    elif tools := body.get("tools"):
        body["tools"] = [*tools[:-1], {**tools[-1], "cache_control": mark}]


def _output(request: Request) -> JsonObject:
    config: JsonObject = {}
    if (output := request.output) is not None:
        if not output.strict:
            raise UnsupportedError(
                f"structured output does not support the type of {output.name}",
                feature="output",
                provider=NAME,
            )
        config["format"] = {"type": "json_schema", "schema": output.schema}
    if (effort := request.reasoning_effort) not in (None, "none"):
        config["effort"] = "low" if effort == "minimal" else effort
    return config


def _tools(request: Request, can: ClaudeCapabilities) -> JsonObject:
    tools = allowed_tools(request)
    if not tools:
        # The API refuses calls in the history of a request without tools.
        past = [{"name": name, "input_schema": {"type": "object"}} for name in called_tools(request.messages)]
        return {"tools": past, "tool_choice": {"type": "none"}} if past else {}
    strict = _Strictness(request) if can.structured_output and request.strict_tools else None
    shown = [_tool(tool, strict=tool.strict and strict is not None and strict.takes(tool)) for tool in tools]
    choice = _tool_choice(request, can)
    return {"tools": shown, "tool_choice": choice} if choice != {"type": "auto"} else {"tools": shown}


def _tool(tool: ToolSchema, *, strict: bool) -> JsonObject:
    shown: JsonObject = {"name": tool.name, "input_schema": tool.parameters}
    if tool.description:
        shown["description"] = tool.description
    if strict:
        shown["strict"] = True
    return shown


def _tool_choice(request: Request, can: ClaudeCapabilities) -> JsonObject:
    wanted = request.tool_choice or "auto"
    if wanted == "none":
        return {"type": "none"}
    if wanted != "auto" and not can.forced_tools:
        raise ConfigurationError(
            f"{request.model} does not support forced tool calls: leave out tool_choice={wanted!r}, and "
            "write in the prompt when to call the tool"
        )
    choice: JsonObject
    match wanted:
        case "auto":
            choice = {"type": "auto"}
        case "required":
            choice = {"type": "any"}
        case name:
            choice = {"type": "tool", "name": name}
    return choice | ({"disable_parallel_tool_use": True} if request.parallel_tools is False else {})


class _Strictness:
    """The rest of the provider's limits while tools are added to a request, in their order."""

    def __init__(self, request: Request) -> None:
        self.tools = 0
        self.optional, self.unions = _weight(request.output.schema) if request.output else (0, 0)

    def takes(self, tool: ToolSchema) -> bool:
        """Whether *tool* can still be strict; beyond the limits it is sent as an ordinary one."""
        optional, unions = _weight(tool.parameters)
        fits = (
            self.tools < MAX_STRICT_TOOLS
            and self.optional + optional <= MAX_OPTIONAL
            and self.unions + unions <= MAX_UNIONS
        )
        if fits:
            self.tools += 1
            self.optional += optional
            self.unions += unions
        return fits


def _weight(schema: Mapping[str, Any]) -> tuple[int, int]:
    """How many optional properties and how many unions *schema* has."""
    optional = unions = 0
    for node in nodes(schema, definitions=True):
        optional += len(node.get("properties", {})) - len(node.get("required", ()))
        unions += "anyOf" in node
    return optional, unions
