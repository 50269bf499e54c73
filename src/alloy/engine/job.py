"""A call made ready: from settings, a prompt, an output type and tools to a question and where to put it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from alloy.backends.base import Backend, resolve
from alloy.config import Config
from alloy.engine.conversation import Question
from alloy.engine.policy import Policy
from alloy.engine.toolbox import Runnable, Toolbox
from alloy.messages import Endpoint, OutputSchema, Request, User
from alloy.typed.dialects import to_wire
from alloy.typed.parse import read
from alloy.typed.schema import compile_type

__all__ = ["Job", "prepare"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """A question, and what it takes to put it."""

    question: Question[T]
    backend: Backend
    tools: Toolbox
    endpoint: Endpoint
    timeout: float | None
    deadline: float | None
    parallel_tools_max: int


def prepare(
    prompt: str,
    *,
    output: Any,
    settings: Config,
    tools: Sequence[Runnable] = (),
    check: Callable[[Any], str | None] | None = None,
    namespace: Mapping[str, Any] | None = None,
    spoken: bool = False,
) -> Job[Any]:
    """Make everything ready that can be known before the first request; nothing is sent.

    *output* is the answer's type, *check* says what is wrong with a value, *namespace* resolves the
    names in *output*, and *spoken* says that replies are streamed to the caller. Raises
    `ConfigurationError`.
    """
    backend, model = resolve(settings.model, settings.backend)
    toolbox = Toolbox(tools, backend.dialect, settings.tool_errors)
    spec = compile_type(output, namespace=namespace)
    wire = None if spec.schema is None else to_wire(spec.schema, backend.dialect)
    request = Request(
        model=model,
        messages=(User(prompt),),
        system=settings.system,
        tools=toolbox.schemas,
        output=None if wire is None else OutputSchema(spec.name, wire.schema, wire.strict),
        temperature=settings.temperature,
        max_tokens=settings.max_tokens,
        extra=settings.extra.get(backend.name, {}),
    )
    question = Question(
        request=request,
        model=f"{backend.name}:{model}",
        expected=spec.expected,
        read=partial(read, spec, wire=wire),
        check=check or _anything,
        optional=output is None,
        policy=_policy(settings, spoken=spoken),
    )
    return Job(
        question=question,
        backend=backend,
        tools=toolbox,
        endpoint=Endpoint(settings.base_url, settings.api_key),
        timeout=settings.timeout,
        deadline=settings.deadline,
        parallel_tools_max=settings.parallel_tools_max,
    )


def _anything(_: Any) -> None:
    """Every value will do."""


def _policy(settings: Config, *, spoken: bool) -> Policy:
    return Policy(
        retry=settings.retry,
        retry_on=settings.retry_on,
        reask=settings.reask,
        max_tool_turns=settings.max_tool_turns,
        auto_finalize=settings.auto_finalize_missing_output,
        spoken=spoken,
    )
