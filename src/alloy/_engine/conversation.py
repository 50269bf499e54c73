"""The conversation with a model, written once: a pure script that performs nothing.

It knows no provider, no clock and no thread, and not whether it is streamed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

from alloy._engine.call_forms import in_plain_form
from alloy._engine.call_ids import with_unique_call_ids
from alloy._engine.effects import CallModel, Elapsed, Emit, RunTools, Script, Sleep, parse_values
from alloy._engine.endings import check_finish
from alloy._engine.fallbacks import Plan, with_fallback, with_simpler_schemas
from alloy._engine.policy import FINALIZE, TYPED_ANSWER, Policy, reask_text
from alloy._engine.routes import Route
from alloy._engine.tool_choice import calls_chosen_tool, check_called, forced_tool, refusal
from alloy._engine.toolbox import left_behind
from alloy._typed.json.extraction import is_prose
from alloy._typed.json.text import CUT_OFF
from alloy._typed.types.async_parsers import resolving
from alloy.errors import (
    AlloyError,
    AnswerError,
    EmptyAnswerError,
    FilteredError,
    ParseError,
    PostconditionError,
    TruncatedError,
    TurnLimitError,
    UnsupportedError,
)
from alloy.events import (
    CallFailed,
    CallStarted,
    FallbackTaken,
    Final,
    Notice,
    Reask,
    ReplyReceived,
    RequestSent,
    Retry,
    ToolFinished,
    ToolStarted,
    UsageReport,
)
from alloy.messages import Reply, Request, ToolResult, ToolResults, Turn, Usage, User
from alloy.partials import Partial
from alloy.result import Result

__all__ = ["Question", "converse"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What is asked, and how the answer is read.

    *routes* are tried in their order: the next one when the policy gives the one before up. *plan* says how
    requests are put along a route, or raises `ConfigurationError`. *name* is the caller's, for events and
    logs. *read* converts the answer's text, which came along a route, into a value or raises an
    `AnswerError`, and *begun* what a text without its end has of a value; *check* returns what is wrong
    with a value, or `None`. *optional* means that an empty answer is a value too. *on_missing_feature* is
    called with a feature that the model there turned out to lack, *on_refused_schema* with one that it
    lacks for the schemas of one request, *on_ignored_feature* with one that the answer shows to have been
    ignored, and *on_used_feature* with one that was used. *take_retry* takes one of the retries that all
    calls have together there, and says whether one was left. *on_success* is called with the history when
    there is a value.
    """

    routes: tuple[Route, ...]
    plan: Callable[[Route], Plan]
    expected: str
    read: Callable[[str, Route], T]
    begun: Callable[[str, Route], Partial[T] | None] = lambda _, __: None
    check: Callable[[T], str | None] | None = None
    optional: bool = False
    policy: Policy = field(default_factory=Policy)
    name: str = "ask()"
    on_missing_feature: Callable[[Route, str], None] = lambda _, __: None
    on_refused_schema: Callable[[Route, str, Request], None] = lambda _, __, ___: None
    on_ignored_feature: Callable[[Route, str], None] = lambda _, __: None
    on_used_feature: Callable[[Route, str], None] = lambda _, __: None
    take_retry: Callable[[Route], bool] = lambda _: True
    on_success: Callable[[tuple[Turn, ...]], None] = lambda _: None


class _State:
    """What was sent and received so far, what it cost, and how the next request is put.

    `messages` is the transcript; a failed try is cut off it again. Answers in `void` are in it but are not
    sent again. `route` changes when the policy gives one up. `plan` changes with it, and when the model turns
    out to lack a feature, when the typed answer is asked for in a last turn, and when a forced tool was
    called. `reasks` and `finalize` are what is left of the policy's tries.
    """

    def __init__(self, question: Question[Any]) -> None:
        self.route, *self.further = question.routes
        self.plan = question.plan(self.route)
        self.messages: list[Turn] = list(self.plan.request.messages)
        self.void: list[Turn] = []
        self.usage = Usage()
        self.turns = self.attempts = self.tool_turns = 0
        self.model = ""
        self.tool_calls: list[ToolResult] = []
        self.ignored_choice = False  # whether the last reply called other tools than `tool_choice` forces
        self.paused = ""  # the text of turns that the provider interrupted
        self.reasks, self.finalize = question.policy.reask, question.policy.auto_finalize

    @property
    def history(self) -> tuple[Turn, ...]:
        """The turns that later requests continue."""
        if not self.void:
            return tuple(self.messages)
        return tuple(turn for turn in self.messages if not any(turn is void for void in self.void))

    @property
    def output_is_native(self) -> bool:
        """Whether the current request asks the provider to enforce the answer's type."""
        request = self.plan.request
        return request.output is not None and request.output_mode == "native" == request.tool_mode

    def request(self) -> Request:
        """The next request."""
        return replace(self.plan.request, messages=self.history)

    def change_request(self, **changes: Any) -> None:
        """Put later requests with *changes*."""
        self.plan = replace(self.plan, request=replace(self.plan.request, **changes))

    def ask_for_awaited_output(self) -> None:
        """Begin the last turn, without tools, in which the typed answer is asked for."""
        self.messages.append(User(TYPED_ANSWER))
        self.change_request(output=self.plan.awaited, tools=(), tool_choice=None, allowed_tools=None)
        self.plan = replace(self.plan, awaited=None)

    def received(self, reply: Reply) -> Reply:
        """Append *reply* to the history and return it with plain calls and unique ids."""
        reply = in_plain_form(with_unique_call_ids(reply, self.messages), self.plan.request.tools)
        self.messages.append(reply)
        self.usage += reply.usage
        self.turns += 1
        self.model = reply.model or self.model
        return reply

    def result(self, value: T, text: str, seconds: float) -> Result[T]:
        return Result(
            value=value,
            text=text,
            usage=self.usage,
            turns=self.turns,
            attempts=self.attempts,
            tool_calls=tuple(self.tool_calls),
            model=f"{self.route.backend.name}:{self.model or self.route.model}",
            transcript=tuple(self.messages),
            downgrades=self.plan.fallbacks,
            seconds=seconds,
        )


def converse(question: Question[T]) -> Script[Result[T]]:
    """Ask, run the tools that the model calls, and read its answer, asking again where that can help.

    Raises `ProviderError`, `AnswerError` and `TurnLimitError`, with the transcript and the usage attached.
    """
    state = _State(question)
    try:
        yield from _emit(question, CallStarted(question.name, state.route.name))
        yield from _emit_fallbacks(state)
        result = yield from _converse(question, state)
        yield from _finish(question, result, state.history)
    except Exception as error:
        if isinstance(error, AlloyError):
            error.usage, error.transcript = state.usage, tuple(state.messages)
            error.attempts = state.attempts
        if isinstance(error, TruncatedError | FilteredError | ParseError):
            error.partial = _begun(question, error, state)
        if question.policy.emits:
            yield from Emit(CallFailed(error, question.name, state.route.name))
        raise
    return result


def _begun(question: Question[T], error: AnswerError, state: _State) -> Partial[T] | None:
    """What the answer of *error* has of a value, if it is cut off."""
    cut_off = not isinstance(error, ParseError) or CUT_OFF in error.problems
    return question.begun(error.text, state.route) if cut_off else None


def _finish(question: Question[T], result: Result[T], history: tuple[Turn, ...]) -> Script[None]:
    """Publish the end of a call that succeeds; a handler may still make it fail."""
    try:
        yield from _emit(question, Final(result, question.name))
    except GeneratorExit:  # the reader of a stream left it with the last event
        question.on_success(history)
        raise
    question.on_success(history)


def _converse(question: Question[T], state: _State) -> Script[Result[T]]:
    while True:
        reply = yield from _ask(question, state)
        if reply.calls or reply.finish == "pause":
            yield from _continue_turn(question, reply, state)
        elif forced_tool(state.plan.request) and (yield from _fall_back_to_react(question, reply, state)):
            continue
        elif state.plan.awaited is not None:
            state.ask_for_awaited_output()
        else:
            text, state.paused = state.paused + reply.text, ""
            try:
                value = yield from _answer(question, text, state)
                return state.result(value, text, (yield from Elapsed()))
            except (EmptyAnswerError, ParseError, PostconditionError) as error:
                if not (yield from _fall_back_to_prompt(question, reply, error, state)):
                    yield from _ask_again(state, error)


def _ask_again(state: _State, error: AnswerError) -> Script[None]:
    """Add to the conversation what is wrong with the answer, or raise *error* when no try is left."""
    if isinstance(error, EmptyAnswerError):
        if not state.finalize:
            raise error
        state.finalize = False
        yield from Emit(Reask(("the model gave no answer",)))
        state.messages.append(User(FINALIZE))
        if state.plan.request.tools:
            state.change_request(tool_choice="none")
    else:
        if not state.reasks:
            raise error
        state.reasks -= 1
        yield from Emit(Reask(error.problems))
        state.messages.append(User(reask_text(error)))


def _continue_turn(question: Question[T], reply: Reply, state: _State) -> Script[None]:
    """Run the tools that *reply* calls; a turn that the provider only paused is sent back as it is.

    A model that calls other tools than `tool_choice` forces is told so once, then it counts as ignored.
    """
    forced = forced_tool(state.plan.request)
    ignored = bool(forced and reply.calls) and not calls_chosen_tool(state.plan.request, reply.calls)
    if ignored and state.ignored_choice and (yield from _fall_back_to_react(question, reply, state)):
        return
    state.ignored_choice = ignored
    if state.tool_turns == question.policy.max_tool_turns:
        raise _too_many(reply, state.tool_turns)
    state.tool_turns += 1
    if forced and reply.calls and not ignored:
        question.on_used_feature(state.route, "tools")
    state.paused = "" if reply.calls else state.paused + reply.text
    if reply.calls:
        results = yield from _run_tools(question, reply, state)
        state.tool_calls += results
        state.messages.append(ToolResults(tuple(results)))
    if forced and not ignored:
        # A model that is forced to call a tool in every turn would never answer.
        state.change_request(tool_choice=None)


def _run_tools(question: Question[T], reply: Reply, state: _State) -> Script[list[ToolResult]]:
    try:
        for call in reply.calls:
            yield from _emit(question, ToolStarted(call))
        refused = {call.id: refusal(state.plan.request, call) for call in reply.calls}
        calls = tuple(call for call in reply.calls if refused[call.id] is None)
        ran = iter((yield from RunTools(state.route, calls)) if calls else ())
        results = [refused[call.id] or next(ran) for call in reply.calls]
    except Exception as error:
        for call in reply.calls:  # the runtime drops those that have ended
            yield from _emit(question, ToolFinished(left_behind(call, error)))
        raise
    for result in results:
        yield from _emit(question, ToolFinished(result))
    return results


def _ask(question: Question[T], state: _State) -> Script[Reply]:
    """One reply that can be used, with as many tries as the policy allows."""
    known, failures = len(state.messages), 0
    while True:
        try:
            reply = yield from _request(question, state)
            check_finish(
                reply, state.paused + reply.text, state.plan, question.expected, state.route.backend.name
            )
            return reply
        except UnsupportedError as error:
            yield from _fall_back(question, error, state)
            continue
        except AlloyError as error:
            failures += 1
            if not _may_retry(question, error, failures, state):
                if not (state.further and question.policy.gives_up(error)):
                    raise
                del state.messages[known:]
                yield from _next_route(question, state)
                failures = 0
                continue
            wait = question.policy.wait(error, failures)
            retry = Retry(error, wait, state.route.name)
        # The failed try is not part of the conversation.
        del state.messages[known:]
        yield from Emit(retry)
        yield from Sleep(wait)


def _may_retry(question: Question[T], error: AlloyError, failures: int, state: _State) -> bool:
    """Whether to ask again after *error*, which gets a text about the budget when that is used up."""
    if not question.policy.tries_again(error, failures):
        return False
    if question.take_retry(state.route):
        return True
    reason = f"; not retried, because retry_budget is used up for {state.route.backend.name}"
    error.args = (str(error).removesuffix(reason) + reason,)  # a handler may raise one error several times
    return False


def _next_route(question: Question[T], state: _State) -> Script[None]:
    """Continue along the next route, with the history as it is; its requests are planned again."""
    state.route, *state.further = state.further
    state.plan = question.plan(state.route)
    yield from Emit(FallbackTaken("model", state.route.name))
    yield from _emit_fallbacks(state)


def _emit_fallbacks(state: _State) -> Script[None]:
    for feature in state.plan.fallbacks:
        yield from Emit(FallbackTaken(feature, state.route.name))


def _request(question: Question[T], state: _State) -> Script[Reply]:
    state.attempts += 1
    request = state.request()
    yield from _emit(question, RequestSent(request, state.route.name, state.attempts))
    reply = state.received((yield from CallModel(state.route, request)))
    yield from _emit(question, ReplyReceived(reply, state.route.name, state.attempts))
    yield from _emit(question, UsageReport(reply.usage, state.usage))
    return reply


def _emit(question: Question[T], event: Notice) -> Script[None]:
    """Publish an event that happens in every call, if anybody listens: nobody does in most calls."""
    if question.policy.emits:
        yield from Emit(event)


def _fall_back(question: Question[T], error: UnsupportedError, state: _State) -> Script[None]:
    """Emulate the feature that the model turned out to lack, or raise *error*.

    Each feature is emulated once, so this ends. When the provider's JSON mode, which helped with that, is
    refused too, the prompt alone has to do.
    """
    feature, request = error.feature, state.plan.request
    if feature == "output" and request.json_object:
        state.change_request(json_object=False)
        question.on_missing_feature(state.route, "json_object")
        return
    if feature == "schema":
        feature, planned = with_simpler_schemas(state.plan)
    else:
        planned = with_fallback(state.plan, feature)
    if planned is None:
        raise error
    if feature not in question.policy.fallbacks:
        error.add_note("strict_capabilities, tool_mode or output_mode forbids the fallback for that")
        raise error
    state.plan = planned
    if error.feature == "schema":
        question.on_refused_schema(state.route, feature, request)
    else:
        question.on_missing_feature(state.route, feature)
    yield from Emit(FallbackTaken(feature, state.route.name))


def _fall_back_to_react(question: Question[T], reply: Reply, state: _State) -> Script[bool]:
    """Ask again by ReAct when the server ignored that a tool has to be called; `False` if that was by ReAct.

    Raises `UnsupportedError` when that fallback is not allowed.
    """
    if state.plan.request.tool_mode == "react" or not state.route.may_ignore:
        return False
    if (yield from _discard(question, "tools", reply, reply.text, state)):
        return True
    problem = "calls another tool" if reply.calls else "calls no tool"
    raise UnsupportedError(
        f"the answer {problem}, although tool_choice is {state.plan.request.tool_choice!r}: the server "
        "ignores it, and strict_capabilities or tool_mode forbids the fallback to ReAct",
        feature="tools",
        provider=state.route.backend.name,
    )


def _fall_back_to_prompt(
    question: Question[T], reply: Reply, error: AnswerError, state: _State
) -> Script[bool]:
    """Describe the type in the prompt if the answer shows that the server ignored the schema.

    Returns whether it did. Prose is the proof: a server that enforces a schema cannot give it. To ask again
    in the same conversation would not help, because a model goes on as it began.
    """
    if not state.output_is_native or not state.route.may_ignore:
        return False
    if reply.finish != "stop" or not is_prose(error.text):
        return False
    return (yield from _discard(question, "output", reply, error.text, state))


def _discard(question: Question[T], feature: str, reply: Reply, text: str, state: _State) -> Script[bool]:
    """Drop *reply*, which shows that *feature* was ignored, and emulate that; whether that is allowed."""
    planned = with_fallback(replace(state.plan, json_object=False), feature)
    if planned is None or feature not in question.policy.fallbacks:
        return False
    state.plan = planned
    state.void.append(reply)
    state.paused = ""
    for ignored in (feature, "json_object") if feature == "output" else (feature,):
        question.on_ignored_feature(state.route, ignored)
    yield from Emit(FallbackTaken(feature, state.route.name, text))
    return True


def _answer(question: Question[T], text: str, state: _State) -> Script[T]:
    if state.route.may_ignore:
        check_called(state.plan.request, question.expected, text)
    if not text.strip() and not question.optional:
        raise EmptyAnswerError(question.expected, ("the model gave no answer",))
    value = yield from resolving(partial(question.read, text, state.route), parse_values)
    if question.check is not None and (problem := question.check(value)) is not None:
        raise PostconditionError(question.expected, (problem,), text)
    if state.output_is_native:
        question.on_used_feature(state.route, "output")
    return value


def _too_many(reply: Reply, limit: int) -> TurnLimitError:
    names = ", ".join(call.name for call in reply.calls) or "another turn"
    return TurnLimitError(
        f"the model called tools in {limit} turns and then asked for {names}; "
        "raise max_tool_turns, or tell the model in the prompt when to stop"
    )
