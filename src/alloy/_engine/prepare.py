"""From settings, a prompt, an output type and tools to a call that is ready to be driven."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Generic, TypeVar

from alloy._engine.breaking import breaking
from alloy._engine.budgeting import missing_budgets
from alloy._engine.caching import with_cache
from alloy._engine.conversation import converse
from alloy._engine.effects import Handler, Script, handled
from alloy._engine.fallbacks import (
    TEXTS,
    Plan,
    anything_was_ignored,
    remember_ignored_feature,
    remember_missing_feature,
    remember_refused_schema,
    remember_used_feature,
)
from alloy._engine.handlers import current_handlers, current_listeners
from alloy._engine.ledger import current_ledger
from alloy._engine.logs import wants_events
from alloy._engine.models import models
from alloy._engine.pacing import limits_of, paced
from alloy._engine.planning import Draft, MissingCapability, plan
from alloy._engine.policy import Policy
from alloy._engine.retry_budget import BUDGETS
from alloy._engine.routes import Route
from alloy._engine.runtime.await_parsers import resolved
from alloy._engine.state import Question
from alloy._engine.toolbox import Runnable, Toolbox
from alloy._engine.watching import Watcher, new_watchers
from alloy._typed.answers.parse import read
from alloy._typed.answers.partial import Shape, begun
from alloy._typed.schemas.dialects import Dialect, Wire, to_wire
from alloy._typed.types.compile import TypeSpec, compile_type
from alloy.backends.base import is_own_address
from alloy.budgets import Budget
from alloy.conversations import Conversation
from alloy.errors import ConfigurationError
from alloy.events import Listener
from alloy.messages import OutputSchema, Request, Turn, User
from alloy.partials import Partial
from alloy.result import Result
from alloy.settings import SENT, Config

__all__ = ["PreparedCall", "prepare"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PreparedCall(Generic[T]):
    """A question, and what a driver needs to perform its effects."""

    question: Question[T]
    shape: Shape
    tools: Toolbox
    settings: Config
    handlers: tuple[Handler, ...] = ()
    listeners: tuple[Listener, ...] = ()
    watchers: tuple[Watcher, ...] = ()

    def dialect_of(self, model: str) -> Dialect:
        """The dialect of *model*, one of the models of this call, by its full name."""
        return next(route.backend.dialect for route in self.question.routes if route.name == model)

    def script(self) -> Script[Result[T]]:
        """The conversation, started nowhere yet, with every handler around it."""
        script = converse(self.question)
        for handler in self.handlers:  # the outermost first: it gets an effect before the others
            script = handled(script, handler)
        return script


def prepare(
    turns: tuple[Turn, ...],
    *,
    output: Any,
    settings: Config,
    name: str = "ask()",
    tools: Sequence[Runnable] = (),
    parser: Callable[[Any], Any] | None = None,
    check: Callable[[Any], str | None] | None = None,
    conversation: Conversation | None = None,
    streamed: bool = False,
) -> PreparedCall[Any]:
    """Prepare everything that can be known before the first request; nothing is sent.

    *turns* is the prompt, the last of them the user's. The call continues *conversation*, which keeps the
    transcript when it succeeds. *output* is the answer's type, *parser* may convert another type into it, and
    *check* returns what is wrong with a value. *name* is what asks, for events and logs. *streamed* says that
    replies will be streamed to the caller. Raises `ConfigurationError`.
    """
    if conversation is not None:
        turns = (*conversation.turns, *turns)
    toolbox = _toolbox(tools, settings)
    spec = compile_type(output, parser=parser)
    listeners = current_listeners(settings.on_event)
    watchers = new_watchers(streamed=streamed)
    policy = _policy(settings, streamed=streamed, observed=bool(listeners or watchers))
    several = models(settings)
    drafts = [
        (route, Draft(_request(turns, chosen, toolbox, spec), chosen.extra, policy.fallbacks))
        for route, chosen in several
    ]
    if conversation is None:
        _notice_prefixes(name, drafts)
    route, planned = _first_plan(drafts)  # what can be known to be wrong is raised here
    question = Question(
        routes=tuple(route for route, _ in drafts),
        plan=lambda along: planned if along is route else _plan(drafts, along),
        expected=spec.expected,
        read=partial(_read, spec),
        begun=partial(_begun, spec),
        check=check,
        optional=spec.annotation is None,
        policy=policy,
        name=name,
        on_missing_feature=_remember_missing,
        on_refused_schema=_remember_schema,
        on_ignored_feature=_remember_ignored,
        on_used_feature=_remember_used,
        take_retry=partial(_take_retry, settings.retry_budget),
        on_success=_ignore if conversation is None else partial(setattr, conversation, "turns"),
    )
    return PreparedCall(
        question=question,
        shape=Shape(spec, _wire(spec, route), route.backend.dialect),
        tools=toolbox,
        settings=settings,
        handlers=(
            *_handlers(settings, toolbox.budgets, several, streamed=streamed),
            *(watcher.handler for watcher in watchers),
        ),
        listeners=listeners,
        watchers=watchers,
    )


def _notice_prefixes(name: str, drafts: list[tuple[Route, Draft]]) -> None:
    request = drafts[0][1].request
    if request.prompt_caching or any(
        isinstance(turn, User) and turn.cache_points for turn in request.messages
    ):
        from alloy._engine.prefixes import notice_prefixes

        notice_prefixes(name, request)


def _toolbox(tools: Sequence[Runnable], settings: Config) -> Toolbox:
    return Toolbox(
        tools,
        settings.tool_errors,
        settings.allowed_tools,
        settings.tool_timeout,
        settings.tool_result_max_chars,
        _budgets(settings),
    )


def _first_plan(drafts: list[tuple[Route, Draft]]) -> tuple[Route, Plan]:
    """The first route that has what its request needs, with its plan. Raises `ConfigurationError`."""
    plans: list[tuple[Route, Plan]] = []
    missing: list[MissingCapability] = []
    for route, draft in drafts:
        try:
            plans.append((route, plan(draft, route)))
        except MissingCapability as error:
            missing.append(error)
    if not plans:
        raise ConfigurationError("; ".join(map(str, missing))) from missing[-1]
    return plans[0]


def _plan(drafts: list[tuple[Route, Draft]], along: Route) -> Plan:
    return next(plan(draft, route) for route, draft in drafts if route is along)


def _budgets(settings: Config) -> tuple[Budget, ...]:
    """The budget of the settings, and those of the call whose tool makes this one."""
    ledger = current_ledger()
    outer = () if ledger is None else ledger.budgets
    return outer if settings.budget is None else (*outer, settings.budget)


def _handlers(
    settings: Config,
    budgets: tuple[Budget, ...],
    several: Sequence[tuple[Route, Config]],
    *,
    streamed: bool,
) -> tuple[Handler, ...]:
    """The handlers of the scopes; the breaker comes last, so that it sees only what would be sent."""
    found = (*current_handlers(), *missing_budgets(budgets)) if budgets else current_handlers()
    if settings.cache is not None:
        found = with_cache(found, settings.cache, streamed=streamed)
    if limits := limits_of(several):
        found = (*found, paced(limits, settings.retry_after_max, settings.deadline))
    breaker = settings.circuit_breaker
    return found if breaker is None else (*found, breaking(breaker))


def _request(turns: tuple[Turn, ...], settings: Config, toolbox: Toolbox, spec: TypeSpec[Any]) -> Request:
    """What is asked, before it is known which model is."""
    tools, output = toolbox.schemas, _output_schema(spec)
    return Request(
        model="",
        messages=turns,
        system=settings.system,
        tools=tools,
        output=output,
        tool_mode="react" if tools and settings.tool_mode == "react" else "native",
        output_mode="prompted" if output and settings.output_mode == "prompted" else "native",
        **{name: getattr(settings, name) for name in SENT},
    )


@lru_cache(maxsize=1024)
def _output_schema(spec: TypeSpec[Any]) -> OutputSchema | None:
    return None if spec.schema is None else OutputSchema(spec.name, spec.schema, wrapped=spec.wrapped)


def _wire(spec: TypeSpec[Any], route: Route) -> Wire | None:
    return None if spec.schema is None else to_wire(spec.schema, route.backend.dialect)


def _read(spec: TypeSpec[T], text: str, route: Route) -> T:
    return read(spec, text, wire=_wire(spec, route))


def _begun(spec: TypeSpec[T], text: str, route: Route) -> Partial[T] | None:
    return begun(spec, text, _wire(spec, route), resolved)


def _policy(settings: Config, *, streamed: bool, observed: bool) -> Policy:
    fallbacks = frozenset[str]() if settings.strict_capabilities else frozenset(TEXTS)
    if settings.tool_mode == "native":
        fallbacks -= {"tools"}
    if settings.output_mode == "native":
        fallbacks -= {"output"}
    return Policy(
        retry=settings.retry,
        retry_on=settings.retry_on,
        fallback_on=settings.fallback_on,
        backoff=settings.backoff,
        backoff_max=settings.backoff_max,
        retry_after_max=settings.retry_after_max,
        retry_budget=settings.retry_budget,
        reask=settings.reask,
        max_tool_turns=settings.max_tool_turns,
        auto_finalize=settings.auto_finalize_missing_output,
        streamed=streamed,
        fallbacks=fallbacks,
        # A cache learns from events how the call ends.
        emits=streamed
        or observed
        or bool(current_handlers())
        or settings.cache is not None
        or wants_events(),
    )


def _ignore(_: tuple[Turn, ...]) -> None:
    """Keep nothing: a call without a conversation."""


def _take_retry(budget: int | None, route: Route) -> bool:
    return budget is None or BUDGETS.take(route.address[:2], budget)


def _remember_missing(route: Route, feature: str) -> None:
    remember_missing_feature(route.address, feature)


def _remember_schema(route: Route, feature: str, request: Request) -> None:
    remember_refused_schema(route.address, feature, request)


def _remember_ignored(route: Route, feature: str) -> None:
    remember_ignored_feature(route.address, feature, is_own=is_own_address(route.backend, route.endpoint))


def _remember_used(route: Route, feature: str) -> None:
    if anything_was_ignored():  # otherwise the address is not looked up in every call
        remember_used_feature(route.address, feature)
