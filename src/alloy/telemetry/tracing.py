"""The spans of one call, and what is measured of it.

A call has the span `invoke_agent {command}`. Its children are `chat {model}` for each model request and
`execute_tool {name}` for each tool; a command that a tool calls is a child of the tool's span. They begin and
end with the effects, so they are true for streams and for calls that are left, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    TracerProvider,
    get_tracer,
    set_span_in_context,
)

from alloy import __version__
from alloy._engine.effects import CallModel, Effect, Emit, Handler, Script
from alloy._engine.logs import describe
from alloy._engine.routes import Route
from alloy._engine.watching import Ended
from alloy.backends.base import secrets_of
from alloy.events import CacheHit, CallFailed, CallStarted, Final, RequestSent
from alloy.logger import log
from alloy.messages import Reply, Request, ToolCall, ToolResult, Usage
from alloy.telemetry import names
from alloy.telemetry.contents import cut, definitions, input_messages, instructions, output_messages

__all__ = ["Telemetry"]

Attributes = dict[str, Any]

_SECRETS = contexts.create_key("alloy-secrets")
_UNKNOWN = "unknown"  # a tool that the model made up: its name may be any text


@contextmanager
def _harmless() -> Iterator[None]:
    """A block whose failure is logged and has no other effect: telemetry never ends a call."""
    try:
        yield
    except Exception:
        log.exception("telemetry failed; the call continues")


def _ignore() -> None:
    """Nothing: no request is being sent."""


class Telemetry:
    """What all calls share: the tracer, the metrics, and whether *content* is recorded."""

    def __init__(
        self, tracers: TracerProvider | None, meters: MeterProvider | None, *, content: bool
    ) -> None:
        self.tracer = get_tracer("alloy", __version__, tracers)
        self.content = content
        meter = get_meter("alloy", __version__, meters)
        self.tokens = meter.create_histogram(
            names.TOKENS,
            unit="{token}",
            description="Tokens of a model request.",
            explicit_bucket_boundaries_advisory=names.TOKEN_BUCKETS,
        )
        self.duration = meter.create_histogram(
            names.DURATION,
            unit="s",
            description="How long a model request took.",
            explicit_bucket_boundaries_advisory=names.DURATION_BUCKETS,
        )
        self.first_chunk = meter.create_histogram(
            names.FIRST_CHUNK,
            unit="s",
            description="How long the first part of a streamed reply took.",
            explicit_bucket_boundaries_advisory=names.DURATION_BUCKETS,
        )

    def watch(self, streamed: bool) -> CallSpans:
        """What watches one call, which is being prepared in this context."""
        return CallSpans(self, contexts.get_current(), streamed=streamed)


class CallSpans:
    """The spans of one call. *parent* is the context in which it was prepared.

    The secrets of all its requests are collected, in one set with those of the commands that its tools are:
    each of them may repeat what it got from another.
    """

    def __init__(self, telemetry: Telemetry, parent: Context, *, streamed: bool) -> None:
        self._telemetry, self._parent, self._streamed = telemetry, parent, streamed
        self._span: Span | None = None
        self._attempt = self._cached = 0
        self._tools: set[str] = set()  # that the model was shown
        self._on_chunk: Callable[[], None] = _ignore
        shared = contexts.get_value(_SECRETS, parent)
        self._secrets: set[str] = shared if isinstance(shared, set) else set()

    @property
    def handler(self) -> Handler:
        """Begins and ends spans with the effects that begin and end what they are about."""
        return self._handle

    def _handle(self, effect: Effect[Any]) -> Script[Any]:
        try:
            match effect:
                case Emit(event):
                    self._note(event)
                case CallModel(route, request):
                    return (yield from self._request(effect, route, request))
            return (yield from effect)
        except GeneratorExit as left:  # Ctrl-C, a cancelled task, a stream that is left
            self._fail(self._span, left.__context__ or left)
            self._span = None
            raise

    # --- the call -----------------------------------------------------------------------------------

    def _note(self, event: object) -> None:
        with _harmless():
            match event:
                case CallStarted(command, model) if self._span is None:
                    self._span = self._start(command, model)
                case RequestSent(_, _, attempt):
                    self._attempt = attempt
                case CacheHit() if self._span is not None:
                    self._cached += 1
                    self._span.set_attribute(names.CACHED_TURNS, self._cached)
                case Final(result) if self._span is not None:
                    self._span.set_attributes(_usage(result.usage))
                    self._end()
                case CallFailed(error):
                    self._fail(self._span, error)
                    self._span = None

    def _start(self, command: str, model: str) -> Span:
        backend, _, name = model.partition(":")
        agent = command.removesuffix("()")
        return self._telemetry.tracer.start_span(
            f"{names.INVOKE_AGENT} {agent}",
            context=self._parent,
            attributes={
                names.OPERATION_NAME: names.INVOKE_AGENT,
                names.AGENT_NAME: agent,
                names.PROVIDER_NAME: names.PROVIDERS.get(backend, backend),
                names.REQUEST_MODEL: name,
            },
        )

    def _end(self) -> None:
        if self._span is not None:
            self._span.end()
            self._span = None

    def _fail(self, span: Span | None, error: BaseException) -> None:
        with _harmless():
            if span is not None and span.is_recording():  # it has not ended
                span.set_attribute(names.ERROR_TYPE, type(error).__name__)
                text = self._shown(cut(str(error))) if self._telemetry.content else describe(error)
                span.set_status(Status(StatusCode.ERROR, text))
                span.end()

    @property
    def _inside(self) -> Context:
        """The context of what happens in the call."""
        return self._parent if self._span is None else set_span_in_context(self._span, self._parent)

    # --- a model request ----------------------------------------------------------------------------

    def _request(self, effect: CallModel, route: Route, request: Request) -> Script[Reply]:
        span: Span | None = None
        facts: Attributes = {}
        with _harmless():
            self._collect_secrets(route)
            self._tools.update(tool.name for tool in request.tools)
            facts = _place(route)
            streamed = {names.REQUEST_STREAM: True} if self._streamed else {}
            span = self._telemetry.tracer.start_span(
                f"{names.CHAT} {route.model}",
                context=self._inside,
                kind=SpanKind.CLIENT,
                attributes={
                    **facts,
                    **streamed,
                    **_asked(request),
                    names.ATTEMPT: self._attempt,
                    **self._said(request),
                },
            )
        began = perf_counter()
        self._on_chunk = partial(self._chunk, span, began, facts)
        try:
            reply = yield from effect
        except BaseException as error:
            self._collect_secrets(route)
            cause = error.__context__ if isinstance(error, GeneratorExit) else error
            self._measure(began, {**facts, names.ERROR_TYPE: type(cause or error).__name__})
            self._fail(span, cause or error)
            raise
        self._collect_secrets(route)
        with _harmless():
            facts[names.RESPONSE_MODEL] = self._shown(cut(reply.model or route.model))
        self._measure(began, facts, reply.usage)
        with _harmless():
            if span is not None:
                span.set_attributes({**self._answered(reply), **self._answer(reply)})
                span.end()
        return reply

    def first_chunk(self) -> None:
        """The first event of a streamed reply has arrived."""
        self._on_chunk()

    def _chunk(self, span: Span | None, began: float, facts: Attributes) -> None:
        with _harmless():
            seconds = perf_counter() - began
            self._telemetry.first_chunk.record(seconds, facts)
            if span is not None:
                span.set_attribute(names.TIME_TO_FIRST_CHUNK, seconds)

    def _measure(self, began: float, facts: Attributes, usage: Usage | None = None) -> None:
        with _harmless():
            self._telemetry.duration.record(perf_counter() - began, facts)
            if usage is not None:
                for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                    self._telemetry.tokens.record(tokens, {**facts, names.TOKEN_TYPE: kind})

    # --- a tool -------------------------------------------------------------------------------------

    @contextmanager
    def around_tool(self, call: ToolCall) -> Iterator[Ended]:
        """The tool's span, which is the current one while the tool runs."""
        span: Span | None = None
        token: Any = None
        with _harmless():
            name = call.name if call.name in self._tools else _UNKNOWN
            inside = contexts.set_value(_SECRETS, self._secrets, self._inside)
            span = self._telemetry.tracer.start_span(
                f"{names.EXECUTE_TOOL} {name}", context=inside, attributes=self._called(call, name)
            )
            token = contexts.attach(set_span_in_context(span, inside))
        try:
            yield lambda result: self._tool_ended(span, result)
        except BaseException as error:
            self._fail(span, error)
            raise
        finally:
            with _harmless():
                _end(span)
                if token is not None:
                    _detach(token)

    def _called(self, call: ToolCall, name: str) -> Attributes:
        facts: Attributes = {
            names.OPERATION_NAME: names.EXECUTE_TOOL,
            names.TOOL_NAME: name,
            names.TOOL_CALL_ID: self._shown(cut(call.id)),
            names.TOOL_TYPE: "function",
        }
        return (
            {**facts, names.TOOL_ARGUMENTS: self._shown(cut(call.arguments))}
            if self._telemetry.content
            else facts
        )

    def _tool_ended(self, span: Span | None, result: ToolResult) -> None:
        with _harmless():
            if span is None:
                return
            if self._telemetry.content:
                span.set_attribute(names.TOOL_RESULT, self._shown(cut(result.content)))
            if result.error is not None:
                kind = result.error.partition(":")[0]
                span.set_attribute(names.ERROR_TYPE, kind if kind.isidentifier() else "ToolError")
                span.set_status(
                    Status(
                        StatusCode.ERROR, self._shown(cut(result.error)) if self._telemetry.content else None
                    )
                )

    def _answered(self, reply: Reply) -> Attributes:
        known = {names.RESPONSE_MODEL: reply.model, names.RESPONSE_ID: reply.id}
        return {
            **{name: self._shown(cut(text)) for name, text in known.items() if text},
            names.FINISH_REASONS: (reply.finish,),
            **_usage(reply.usage),
        }

    # --- content and secrets ---------------------------------------------------------------------------

    def _said(self, request: Request) -> Attributes:
        if not self._telemetry.content:
            return {}
        facts = {names.INPUT_MESSAGES: self._shown(input_messages(request.messages))}
        if request.system is not None:
            facts[names.SYSTEM_INSTRUCTIONS] = self._shown(instructions(request.system))
        if request.tools:
            facts[names.TOOL_DEFINITIONS] = self._shown(definitions(request.tools))
        return facts

    def _answer(self, reply: Reply) -> Attributes:
        return {names.OUTPUT_MESSAGES: self._shown(output_messages(reply))} if self._telemetry.content else {}

    def _collect_secrets(self, route: Route) -> None:
        """Before a request, and after it, when a function may have returned its key."""
        with _harmless():
            self._secrets.update(secrets_of(route.backend, route.endpoint))

    def _shown(self, text: str) -> str:
        from alloy.backends.http.redaction import Redactor

        return Redactor(tuple(self._secrets))(text)  # other threads may add some


def _end(span: Span | None) -> None:
    """End *span*, unless it has ended: a second end is logged as a warning."""
    if span is not None and span.is_recording():
        span.end()


def _detach(token: Any) -> None:
    """As `contexts.detach`, which logs an error for a coroutine that is dropped in another context."""
    if (variable := getattr(token, "var", None)) is None:
        contexts.detach(token)
        return
    with suppress(ValueError):
        variable.reset(token)


# --- facts of a request ---------------------------------------------------------------------------


def _place(route: Route) -> Attributes:
    facts: Attributes = {
        names.OPERATION_NAME: names.CHAT,
        names.PROVIDER_NAME: names.PROVIDERS.get(route.backend.name, route.backend.name),
        names.REQUEST_MODEL: route.model,
    }
    with suppress(ValueError):  # not a URL
        parts = urlsplit(route.address.address or "")
        if parts.hostname:
            facts[names.SERVER_ADDRESS] = parts.hostname
            facts[names.SERVER_PORT] = parts.port or (80 if parts.scheme == "http" else 443)
    return facts


def _asked(request: Request) -> Attributes:
    settings = {
        names.REQUEST_MAX_TOKENS: request.max_tokens,
        names.REQUEST_TEMPERATURE: request.temperature,
        names.REQUEST_TOP_P: request.top_p,
        names.REQUEST_SEED: request.seed,
        names.REQUEST_STOP: request.stop,
        names.OUTPUT_TYPE: "text" if request.output is None else "json",
    }
    return {name: value for name, value in settings.items() if value is not None}


def _usage(usage: Usage) -> Attributes:
    counted: Mapping[str, int] = {
        names.CACHED_TOKENS: usage.cached_tokens,
        names.CACHE_WRITE_TOKENS: usage.cache_write_tokens,
        names.REASONING_TOKENS: usage.reasoning_tokens,
    }
    return {
        names.INPUT_TOKENS: usage.input_tokens,
        names.OUTPUT_TOKENS: usage.output_tokens,
        **{name: tokens for name, tokens in counted.items() if tokens},
    }
