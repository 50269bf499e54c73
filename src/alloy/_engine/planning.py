"""A question fitted to a route: which settings it takes, and what has to be emulated there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from alloy._engine.fallbacks import TEXTS, Plan, missing_features, refused_schemas, with_fallback
from alloy._engine.routes import Route
from alloy._typed.schemas.dialects import to_wire
from alloy.backends.base import Capabilities
from alloy.backends.registry import check_backend_names
from alloy.errors import ConfigurationError
from alloy.logger import log
from alloy.messages import OutputSchema, Request, Turn, User
from alloy.settings import ABOUT_TOOLS, SENT
from alloy.suggestions import did_you_mean, nearest

__all__ = ["Draft", "MissingCapability", "plan"]

Fallbacks = frozenset[str]


class MissingCapability(ConfigurationError):
    """The model does not support something that the request needs; another model may."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What is asked, before it is known where: a *request* that names no model, with all settings.

    *extra* is by backend name, *fallbacks* are the features that may be emulated.
    """

    request: Request
    extra: Mapping[str, Mapping[str, Any]]
    fallbacks: Fallbacks


def plan(draft: Draft, route: Route) -> Plan:
    """The requests of *draft* along *route*; nothing is sent.

    Raises `MissingCapability` for what the model there cannot take and Alloy may not emulate, and
    `ConfigurationError` for what no model can take.
    """
    can, request = route.capabilities, draft.request
    _check_parts(request.messages, can, route.name)
    left_out: dict[str, Any] = dict.fromkeys(_left_out(request, can, route.name))
    extra = _extra(draft.extra, route.backend.name)
    address = route.address
    lacks = _table_gaps(can, request.output, route) | missing_features(address)
    lacks |= refused_schemas(address, request)
    is_object = request.output is not None and not request.output.wrapped
    planned = Plan(
        replace(request, model=route.model, extra=extra, **left_out),
        json_object=can.json_object and is_object and "json_object" not in lacks,
    )
    return _emulated(planned, lacks, draft.fallbacks, route.name)


def _emulated(planned: Plan, lacks: Fallbacks, allowed: Fallbacks, model: str) -> Plan:
    for feature in TEXTS:  # in this order: a prompted answer needs no turn of its own
        if feature in lacks:
            planned = with_fallback(planned, feature) or planned
    if forbidden := [feature for feature in planned.fallbacks if feature not in allowed]:
        missing = " or ".join(TEXTS[feature][0] for feature in forbidden)
        raise MissingCapability(
            f"{model} does not support {missing}, and strict_capabilities, tool_mode or output_mode forbids "
            "the fallback: choose another model, or change that setting"
        )
    return planned


def _table_gaps(can: Capabilities, output: OutputSchema | None, route: Route) -> Fallbacks:
    has = {
        "tools": can.tools,
        "output": can.structured_output and (can.loose_output or _has_strict_form(output, route)),
        "output_with_tools": can.output_with_tools,
    }
    return frozenset(feature for feature, there in has.items() if not there)


def _has_strict_form(output: OutputSchema | None, route: Route) -> bool:
    return output is None or to_wire(output.schema, route.backend.dialect).strict


def _left_out(request: Request, can: Capabilities, model: str) -> list[str]:
    """The settings of *request* that are not sent, because there are no tools or the model drops them."""
    _check_tool_names(request)
    left_out = [] if request.tools else list(ABOUT_TOOLS)
    for name in SENT:
        if name in left_out or getattr(request, name) is None:
            continue
        if name in can.refuses:
            raise ConfigurationError(f"{model} does not support {name}: leave it out for this model")
        if name in can.drops:
            log.debug("%s does not support %s; it is not sent", model, name)
            left_out.append(name)
    return left_out


def _check_tool_names(request: Request) -> None:
    tools = [tool.name for tool in request.tools]
    named = {*(request.allowed_tools or ()), request.tool_choice or "auto"}
    if unknown := sorted(named - {"auto", "none", "required", *tools}):
        guess = did_you_mean(nearest(unknown[0], tools))
        raise ConfigurationError(
            f"tool_choice or allowed_tools names {', '.join(unknown)}{guess}, but the tools are "
            f"{', '.join(tools) or 'none'}"
        )


def _extra(extra: Mapping[str, Mapping[str, Any]], backend: str) -> Mapping[str, Any]:
    check_backend_names("extra", extra, backend)
    return extra.get(backend, {})


def _check_parts(turns: tuple[Turn, ...], can: Capabilities, model: str) -> None:
    """Raise `ConfigurationError` for an image or a document that the model does not take."""
    for turn in turns:
        if not isinstance(turn, User) or isinstance(turn.content, str):
            continue
        for part in turn.parts:
            if isinstance(part, str) or can.takes(part):
                continue
            if not (can.images if part.kind == "image" else can.documents):
                raise MissingCapability(f"{model} does not take {part.kind}s: choose another model")
            fix = f"read it and use {type(part).__name__}.from_bytes"
            raise MissingCapability(f"{model} does not take {part.kind}s by URL: {fix}")
