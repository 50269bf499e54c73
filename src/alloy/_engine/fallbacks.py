"""Which features a model lacks, and how the next request is put without them.

A missing feature is known from the backend's table, from the provider's refusal, and from an answer that a
server which looks at the request could not have given. The last two are remembered for the process.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from alloy._engine.routes import ModelAddress
from alloy.backends.memory import Memory
from alloy.messages import OutputSchema, Request, ToolResults

__all__ = [
    "TEXTS",
    "Plan",
    "anything_was_ignored",
    "missing_features",
    "refused_schemas",
    "remember_ignored_feature",
    "remember_missing_feature",
    "remember_refused_schema",
    "remember_used_feature",
    "with_fallback",
    "with_simpler_schemas",
]

# --- what is remembered -----------------------------------------------------------------------------

_missing: Memory[ModelAddress, frozenset[str]] = Memory()
_ignored_once: Memory[tuple[ModelAddress, str], bool] = Memory()

_refused: Memory[ModelAddress, set[tuple[str, str]]] = Memory()  # by model: the feature and the schemas
REFUSED_MAX = 1024  # bounds what generated types leave behind

# What is sent without the feature when the provider refuses a request for the size of its schemas. The first
# one that the request uses is given up first, because its loss is the smallest.
_SCHEMAS_OF: dict[str, Callable[[Request], Any]] = {
    "strict_tools": lambda request: [tool.parameters for tool in request.tools],
    "output": lambda request: request.output and request.output.schema,
}


def missing_features(address: ModelAddress) -> frozenset[str]:
    """The features that the model at *address* turned out not to support."""
    return _missing.get(address, frozenset())


def remember_missing_feature(address: ModelAddress, feature: str) -> None:
    """Remember that the model at *address* does not support *feature*."""
    _missing[address] = missing_features(address) | {feature}


def refused_schemas(address: ModelAddress, request: Request) -> frozenset[str]:
    """The features that the model at *address* supports, but not with the schemas of *request*."""
    refused = _refused.get(address)
    if refused is None:
        return frozenset()
    return frozenset(name for name in _SCHEMAS_OF if (name, _schemas(name, request)) in refused)


def remember_refused_schema(address: ModelAddress, feature: str, request: Request) -> None:
    """Remember that *feature* is not possible with the schemas of *request*: other types keep it."""
    if (refused := _refused.get(address)) is None:
        refused = _refused[address] = set()
    if len(refused) >= REFUSED_MAX:
        refused.clear()
    refused.add((feature, _schemas(feature, request)))


def _schemas(feature: str, request: Request) -> str:
    return json.dumps(_SCHEMAS_OF[feature](request), sort_keys=True)


def remember_ignored_feature(address: ModelAddress, feature: str, *, is_own: bool) -> None:
    """Remember that the model at *address* ignored *feature*.

    At the provider's own address (*is_own*) only the second time in a row, because there it is more likely a
    mistake of the model.
    """
    if is_own and (address, feature) not in _ignored_once:
        _ignored_once[address, feature] = True
    else:
        remember_missing_feature(address, feature)


def anything_was_ignored() -> bool:
    """Whether there is anything for `remember_used_feature` to do."""
    return bool(_ignored_once)


def remember_used_feature(address: ModelAddress, feature: str) -> None:
    """Remember that the model at *address* has just used *feature*."""
    _ignored_once.pop((address, feature), None)


# What each feature is called in messages, and what is done without it.
TEXTS = {
    "tools": ("tool calls", "ReAct, with the tools described in the prompt"),
    "strict_tools": ("strict tools", "sending the tools without enforcing their schemas"),
    "output": ("structured output", "describing the type in the prompt"),
    "output_with_tools": (
        "tools with structured output",
        "asking for the answer in a separate turn",
    ),
}

# --- what is sent instead ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """How requests are put along one route.

    *awaited* is the type of the answer while it is left out of *request*, because the model takes tools or
    structured output, but not both in one request: it is asked for in a last turn of its own.
    *fallbacks* names the features that Alloy emulates. *json_object* says that JSON mode may be
    used instead of a schema.
    """

    request: Request
    awaited: OutputSchema | None = None
    fallbacks: tuple[str, ...] = ()
    json_object: bool = False


def with_simpler_schemas(plan: Plan) -> tuple[str, Plan | None]:
    """*plan* for a provider that its schemas are too complex for, and which feature is not used there.

    `None` when its request has no schema that could be left out.
    """
    for feature in _SCHEMAS_OF:
        if (planned := with_fallback(plan, feature)) is not None:
            return feature, planned
    return "schema", None


def with_fallback(plan: Plan, feature: str) -> Plan | None:
    """*plan* without the native use of *feature*; `None` when the request does not use it."""
    if feature in plan.fallbacks:
        return None
    request, fallbacks = plan.request, (*plan.fallbacks, feature)
    native_output = request.output is not None and request.output_mode == "native"
    native_tools = bool(request.tools) and request.tool_mode == "native"
    if feature == "tools" and request.tool_mode == "native" and _uses_tools(request):
        return replace(plan, request=replace(request, tool_mode="react"), fallbacks=fallbacks)
    if feature == "strict_tools" and native_tools and request.strict_tools:
        return replace(plan, request=replace(request, strict_tools=False), fallbacks=fallbacks)
    if feature == "output" and native_output:
        prompted = replace(request, output_mode="prompted", json_object=plan.json_object)
        return replace(plan, request=prompted, fallbacks=fallbacks)
    if feature == "output_with_tools" and native_output and native_tools:
        return replace(
            plan, request=replace(request, output=None), awaited=request.output, fallbacks=fallbacks
        )
    return None


def _uses_tools(request: Request) -> bool:
    # The results of tools that were called earlier need a place in the request too.
    return bool(request.tools) or any(isinstance(turn, ToolResults) for turn in request.messages)
