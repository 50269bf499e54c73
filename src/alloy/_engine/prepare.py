"""A call made ready: from settings, a prompt, an output type and tools to a question and where to put it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Generic, TypeVar

from alloy._engine.conversation import Question
from alloy._engine.fallbacks import Place, lacking, learn
from alloy._engine.policy import FEATURES, Policy
from alloy._engine.toolbox import Runnable, Toolbox
from alloy._typed.answers.parse import read
from alloy._typed.answers.partial import Shape
from alloy._typed.schemas.dialects import Wire, to_wire
from alloy._typed.types.compile import TypeSpec, compile_type
from alloy.backends.base import Backend, Capabilities, address_of, backend_names, resolve
from alloy.config import Config
from alloy.conversations import Conversation
from alloy.errors import ConfigurationError
from alloy.messages import Endpoint, OutputSchema, Request, ToolResults, Turn, User

__all__ = ["Job", "prepare"]

log = logging.getLogger("alloy")

T = TypeVar("T")

# Settings that travel in a request under their own names; a model may drop or refuse any of them.
CARRIED = (
    "temperature",
    "max_tokens",
    "top_p",
    "seed",
    "stop",
    "tool_choice",
    "allowed_tools",
    "parallel_tools",
    "reasoning_effort",
    "prompt_caching",
)
ABOUT_TOOLS = ("tool_choice", "allowed_tools", "parallel_tools")


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """A question, and what it takes to put it."""

    question: Question[T]
    shape: Shape
    backend: Backend
    tools: Toolbox
    endpoint: Endpoint
    timeout: float | None
    deadline: float | None
    parallel_tools_max: int


def prepare(
    turns: tuple[Turn, ...],
    *,
    output: Any,
    settings: Config,
    tools: Sequence[Runnable] = (),
    parser: Callable[[Any], Any] | None = None,
    check: Callable[[Any], str | None] | None = None,
    conversation: Conversation | None = None,
    spoken: bool = False,
) -> Job[Any]:
    """Make everything ready that can be known before the first request; nothing is sent.

    *turns* is what is said, the user's word last; it goes on from *conversation*, which remembers the
    outcome. *output* is the answer's type, which *parser* may make of another, *check* says what is wrong
    with a value, and *spoken* says that replies are streamed to the caller. Raises
    `ConfigurationError`.
    """
    if conversation is not None:
        turns = (*conversation.turns, *turns)
    backend, model = resolve(settings.model, settings.backend)
    can = backend.capabilities(model)
    name = f"{backend.name}:{model}"
    _check_parts(turns, can, name)
    toolbox = Toolbox(tools, backend.dialect, settings.tool_errors, settings.allowed_tools)
    spec = compile_type(output, parser=parser)
    wire, schema = _output(spec, backend.dialect)
    request = Request(
        model=model,
        messages=turns,
        system=settings.system,
        tools=toolbox.schemas,
        output=schema,
        extra=_extra(settings, backend.name),
        **_carried(settings, toolbox.names, can, name),
    )
    place = Place(backend.name, address_of(backend, Endpoint(settings.base_url)), model)
    policy = _policy(settings, spoken=spoken)
    lacks = _lacks(can, schema) | lacking(place)
    request, apart, downgrades = _stand_in(request, settings, policy, lacks, name)
    question = Question(
        request=request,
        model=name,
        expected=spec.expected,
        read=partial(read, spec, wire=wire),
        check=check or _anything,
        optional=spec.annotation is None,
        output_apart=apart,
        policy=policy,
        downgrades=downgrades,
        learn=partial(learn, place),
        keep=_forgets if conversation is None else partial(setattr, conversation, "turns"),
    )
    return Job(
        question=question,
        shape=Shape(spec, wire, backend.dialect),
        backend=backend,
        tools=toolbox,
        **_limits(settings),
    )


def _limits(settings: Config) -> dict[str, Any]:
    return {
        "endpoint": Endpoint(settings.base_url, settings.api_key),
        "timeout": settings.timeout,
        "deadline": settings.deadline,
        "parallel_tools_max": settings.parallel_tools_max,
    }


def _anything(_: Any) -> None:
    """Every value will do."""


def _forgets(_: tuple[Turn, ...]) -> None:
    """A call without a conversation."""


@lru_cache(maxsize=1024)
def _output(spec: TypeSpec[Any], dialect: str) -> tuple[Wire | None, OutputSchema | None]:
    if spec.schema is None:
        return None, None
    wire = to_wire(spec.schema, dialect)
    return wire, OutputSchema(spec.name, wire.schema, wire.strict)


def _policy(settings: Config, *, spoken: bool) -> Policy:
    stands_in = frozenset[str]() if settings.strict_capabilities else FEATURES
    if settings.tool_mode == "native":
        stands_in -= {"tools"}
    if settings.output_mode == "native":
        stands_in -= {"output"}
    return Policy(
        retry=settings.retry,
        retry_on=settings.retry_on,
        reask=settings.reask,
        max_tool_turns=settings.max_tool_turns,
        auto_finalize=settings.auto_finalize_missing_output,
        spoken=spoken,
        stands_in=stands_in,
    )


# --- what the model can do --------------------------------------------------------------------------


def _lacks(can: Capabilities, schema: OutputSchema | None) -> frozenset[str]:
    holds = schema is None or schema.strict or can.loose_output
    has = {
        "tools": can.tools,
        "output": can.structured_output and holds,
        "output_with_tools": can.output_with_tools,
    }
    return frozenset(feature for feature, there in has.items() if not there)


def _stand_in(
    request: Request, settings: Config, policy: Policy, lacks: frozenset[str], model: str
) -> tuple[Request, bool, tuple[str, ...]]:
    """*request* in the modes that the settings and the model's gaps call for.

    Also whether the typed answer comes apart, and what Alloy stands in for.
    """
    if request.tools and settings.tool_mode == "react":
        request = replace(request, tool_mode="react")
    if request.output and settings.output_mode == "prompted":
        request = replace(request, output_mode="prompted")
    gaps = []
    # Results of tools that were called earlier need words too.
    about_tools = bool(request.tools) or any(isinstance(turn, ToolResults) for turn in request.messages)
    if "tools" in lacks and about_tools and request.tool_mode == "native":
        gaps.append("tools")
        request = replace(request, tool_mode="react")
    if "output" in lacks and request.output and request.output_mode == "native":
        gaps.append("output")
        request = replace(request, output_mode="prompted")
    native = request.tool_mode == request.output_mode == "native"
    apart = "output_with_tools" in lacks and native and bool(request.tools) and request.output is not None
    if apart:
        gaps.append("output_with_tools")
    if forbidden := [gap for gap in gaps if gap not in policy.stands_in]:
        raise ConfigurationError(
            f"{model} has no native {' and no native '.join(forbidden)}, and strict_capabilities, tool_mode "
            "or output_mode forbids to stand in: choose another model or allow it"
        )
    return request, apart, tuple(gaps)


def _carried(settings: Config, tools: tuple[str, ...], can: Capabilities, model: str) -> dict[str, Any]:
    """The settings that go into the request, without those that the model drops."""
    carried = {name: value for name in CARRIED if (value := getattr(settings, name)) is not None}
    named = {*carried.get("allowed_tools", ()), carried.get("tool_choice", "auto")} - {
        "auto",
        "none",
        "required",
    }
    if unknown := sorted(named - set(tools)):
        raise ConfigurationError(
            f"tool_choice or allowed_tools names {', '.join(unknown)}, but the tools are "
            f"{', '.join(tools) or 'none'}"
        )
    if not tools:
        carried = {name: value for name, value in carried.items() if name not in ABOUT_TOOLS}
    for name in list(carried):
        if name in can.refuses:
            raise ConfigurationError(f"{model} takes no {name}: leave it out for this model")
        if name in can.drops:
            log.debug("%s takes no %s; it is left out", model, name)
            del carried[name]
    return carried


def _extra(settings: Config, backend: str) -> Mapping[str, Any]:
    others = settings.extra.keys() - {backend}
    if others and (unknown := sorted(others - set(backend_names()))):
        raise ConfigurationError(
            f"extra is by backend name, and there is no {', '.join(unknown)}; "
            f"there are {', '.join(backend_names())}"
        )
    return settings.extra.get(backend, {})


def _check_parts(turns: tuple[Turn, ...], can: Capabilities, model: str) -> None:
    """Raise `ConfigurationError` for what the model cannot look at."""
    for turn in turns:
        if not isinstance(turn, User) or isinstance(turn.content, str):
            continue
        for part in turn.parts:
            if isinstance(part, str):
                continue
            if not (can.images if part.kind == "image" else can.documents):
                raise ConfigurationError(f"{model} takes no {part.kind}s: choose another model")
            by_address = can.urls and (part.kind == "image" or can.document_urls)
            if part.url is not None and not by_address:
                way_out = f"read it and use {type(part).__name__}.from_bytes"
                raise ConfigurationError(f"{model} takes no {part.kind} by address: {way_out}")
