"""Which features a model lacks, and how the next request is put without them.

A missing feature is known from the backend's table, or from the provider's refusal, which is remembered for
the process.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from alloy._engine.routes import ModelAddress
from alloy.messages import OutputSchema, Request, ToolResults

__all__ = [
    "TEXTS",
    "Plan",
    "forget",
    "missing_features",
    "remember_missing_feature",
    "with_fallback",
]

# --- what is remembered -----------------------------------------------------------------------------

_missing: dict[ModelAddress, frozenset[str]] = {}


def missing_features(address: ModelAddress) -> frozenset[str]:
    """The features that the model at *address* turned out not to support."""
    return _missing.get(address, frozenset())


def remember_missing_feature(address: ModelAddress, feature: str) -> None:
    """Remember that the model at *address* does not support *feature*."""
    _missing[address] = missing_features(address) | {feature}


def forget() -> None:
    """Forget everything remembered, for example because a server has been updated."""
    _missing.clear()


# What each feature is called in messages, and what is done without it.
TEXTS = {
    "tools": ("tool calls", "ReAct, with the tools described in the prompt"),
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
    *fallbacks* names the features that Alloy emulates.
    """

    request: Request
    awaited: OutputSchema | None = None
    fallbacks: tuple[str, ...] = ()


def with_fallback(plan: Plan, feature: str) -> Plan | None:
    """*plan* without the native use of *feature*; `None` when the request does not use it."""
    if feature in plan.fallbacks:
        return None
    request, fallbacks = plan.request, (*plan.fallbacks, feature)
    native_output = request.output is not None and request.output_mode == "native"
    if feature == "tools" and request.tool_mode == "native" and _uses_tools(request):
        return replace(plan, request=replace(request, tool_mode="react"), fallbacks=fallbacks)
    if feature == "output" and native_output:
        return replace(plan, request=replace(request, output_mode="prompted"), fallbacks=fallbacks)
    if feature == "output_with_tools" and native_output and request.tool_mode == "native" and request.tools:
        return Plan(replace(request, output=None), request.output, fallbacks)
    return None


def _uses_tools(request: Request) -> bool:
    # The results of tools that were called earlier need a place in the request too.
    return bool(request.tools) or any(isinstance(turn, ToolResults) for turn in request.messages)
