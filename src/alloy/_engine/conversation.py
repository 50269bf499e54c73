"""The conversation with a model, written once: a pure script that performs nothing.

It knows no provider, no clock and no thread, and not whether it is streamed.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TypeVar

from alloy._engine.effects import CallModel, Elapsed, Emit, RunTools, Script, Sleep, parse_values
from alloy._engine.endings import check_finish
from alloy._engine.fallbacks import with_fallback, with_simpler_schemas
from alloy._engine.policy import FINALIZE, reask_text
from alloy._engine.state import Question, State
from alloy._engine.tool_choice import calls_chosen_tool, check_called, forced_tool, refusal
from alloy._engine.toolbox import left_behind
from alloy._typed.json.extraction import is_prose
from alloy._typed.json.text import CUT_OFF
from alloy._typed.types.async_parsers import resolving
from alloy.errors import (
    NOT_SENT,
    AlloyError,
    AnswerError,
    CircuitOpenError,
    ConfigurationError,
    DeadlineError,
    EmptyAnswerError,
    FilteredError,
    ParseError,
    PostconditionError,
    ProviderTimeoutError,
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
from alloy.messages import Reply, ToolResult, Turn, User
from alloy.partials import Partial
from alloy.result import Result

__all__ = ["Question", "converse"]

T = TypeVar("T")


# Errors whose reason may be the error of the try before, which is their cause then.
_AFTER_OTHERS = (CircuitOpenError, DeadlineError, ProviderTimeoutError)


def converse(question: Question[T]) -> Script[Result[T]]:
    """Ask, run the tools that the model calls, and read its answer, asking again where that can help.

    Raises `ProviderError`, `AnswerError` and `TurnLimitError`, with the transcript and the usage attached.
    """
    state = State(question)
    try:
        yield from _emit(question, CallStarted(question.name, state.route.name))
        yield from _emit_route(question, state)
        result = yield from _converse(question, state)
        yield from _finish(question, result, state.history)
    except Exception as error:
        if isinstance(error, AlloyError):
            error.usage, error.transcript = state.usage, tuple(state.messages)
            error.attempts = state.attempts
            state.name_earlier_errors(error)
        if isinstance(error, TruncatedError | FilteredError | ParseError):
            error.partial = _begun(question, error, state)
        if question.policy.emits:
            yield from Emit(CallFailed(error, question.name, state.ended_at))
        raise
    return result


def _begun(question: Question[T], error: AnswerError, state: State) -> Partial[T] | None:
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


def _converse(question: Question[T], state: State) -> Script[Result[T]]:
    while True:
        failure: AlloyError | None = None
        try:
            outcome = yield from _answer_or_turn(question, state)
        except AlloyError as error:
            failure = state.failure_before(error)
            if failure is None and not _tries_next_route(question, error, state):
                raise
            if failure is None or state.further:
                state.give_up_route(question, error)
                yield from _emit_route(question, state)
                continue
            state.end_with(failure, error)
        if failure is not None:  # outside of the `except`: no model after it could be asked
            raise failure
        if isinstance(outcome, Result):
            return outcome
        # Outside of the `try`: no tool runs a second time because another model is asked.
        yield from _continue_turn(question, outcome, state)


def _tries_next_route(question: Question[T], error: AlloyError, state: State) -> bool:
    """Whether the next model is asked after *error*; not after text that the reader of a stream has seen."""
    if not state.further or (question.policy.streamed and state.has_answer_text):
        return False
    return question.policy.gives_up(error)


def _answer_or_turn(question: Question[T], state: State) -> Script[Result[T] | Reply]:
    """The result, or a reply that calls tools or is to be continued."""
    while True:
        reply = yield from _ask(question, state)
        if reply.calls or reply.finish == "pause":
            if (yield from _ignores_choice(question, reply, state)):
                continue
            return reply
        if forced_tool(state.plan.request) and (yield from _fall_back_to_react(question, reply, state)):
            continue
        if state.plan.awaited is not None:
            state.ask_for_awaited_output()
            continue
        text, state.paused = state.paused + reply.text, ""
        try:
            value = yield from _answer(question, text, state)
            return state.result(value, text, (yield from Elapsed()))
        except (EmptyAnswerError, ParseError, PostconditionError) as error:
            if not (yield from _fall_back_to_prompt(question, reply, error, state)):
                yield from _ask_again(state, error)


def _ask_again(state: State, error: AnswerError) -> Script[None]:
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


def _ignores_choice(question: Question[T], reply: Reply, state: State) -> Script[bool]:
    """Whether *reply* is discarded because it calls other tools than `tool_choice` forces.

    A model that does so is told so once, then it counts as ignored.
    """
    request = state.plan.request
    ignored = bool(forced_tool(request) and reply.calls) and not calls_chosen_tool(request, reply.calls)
    if ignored and state.ignored_choice and (yield from _fall_back_to_react(question, reply, state)):
        return True
    state.ignored_choice = ignored
    return False


def _continue_turn(question: Question[T], reply: Reply, state: State) -> Script[None]:
    """Run the tools that *reply* calls; a turn that the provider only paused is sent back as it is."""
    if state.tool_turns == question.policy.max_tool_turns:
        raise _too_many(reply, state.tool_turns)
    state.tool_turns += 1
    called = bool(forced_tool(state.plan.request)) and not state.ignored_choice
    if called and reply.calls:
        question.on_used_feature(state.route, "tools")
    state.paused = "" if reply.calls else state.paused + reply.text
    if reply.calls:
        state.add_results((yield from _run_tools(question, reply, state)))
    if called:
        state.end_forced_choice()


def _run_tools(question: Question[T], reply: Reply, state: State) -> Script[list[ToolResult]]:
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


def _ask(question: Question[T], state: State) -> Script[Reply]:
    """One reply that can be used, with as many tries as the policy allows."""
    known, failures = len(state.messages), 0
    last: AlloyError | None = None
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
            if last not in (None, error) and isinstance(error, _AFTER_OTHERS):
                error.__cause__ = last
            last = error
            failures += 1
            if not question.may_retry(error, failures, state.route):
                raise
            wait = question.policy.wait(error, failures)
            retry = Retry(error, wait, state.route.name, question.name)
        # The failed try is not part of the conversation.
        del state.messages[known:]
        yield from Emit(retry)
        try:
            yield from Sleep(wait)
        except _AFTER_OTHERS as error:
            raise error from last


def _emit_route(question: Question[T], state: State) -> Script[None]:
    """Publish that the call continues with another model, and what that model lacks."""
    model, command = state.route.name, question.name
    for failed, error in state.unreported():
        yield from Emit(FallbackTaken("model", model, error=error, failed_model=failed, command=command))
    for feature in state.plan.fallbacks:
        yield from Emit(FallbackTaken(feature, model, command=command))


def _request(question: Question[T], state: State) -> Script[Reply]:
    state.attempts += 1
    request = state.request()
    yield from _emit(question, RequestSent(request, state.route.name, state.attempts))
    try:
        reply = state.received((yield from CallModel(state.route, request)))
    except (*NOT_SENT, ConfigurationError):
        state.attempts -= 1
        raise
    yield from _emit(question, ReplyReceived(reply, state.route.name, state.attempts))
    yield from _emit(question, UsageReport(reply.usage, state.usage))
    return reply


def _emit(question: Question[T], event: Notice) -> Script[None]:
    """Publish an event that happens in every call, if anybody listens: nobody does in most calls."""
    if question.policy.emits:
        yield from Emit(event)


def _fall_back(question: Question[T], error: UnsupportedError, state: State) -> Script[None]:
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
    yield from Emit(FallbackTaken(feature, state.route.name, command=question.name))


def _fall_back_to_react(question: Question[T], reply: Reply, state: State) -> Script[bool]:
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
    question: Question[T], reply: Reply, error: AnswerError, state: State
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


def _discard(question: Question[T], feature: str, reply: Reply, text: str, state: State) -> Script[bool]:
    """Drop *reply*, which shows that *feature* was ignored, and emulate that; whether that is allowed."""
    planned = with_fallback(replace(state.plan, json_object=False), feature)
    if planned is None or feature not in question.policy.fallbacks:
        return False
    state.plan = planned
    state.void.append(reply)
    state.paused = ""
    for ignored in (feature, "json_object") if feature == "output" else (feature,):
        question.on_ignored_feature(state.route, ignored)
    yield from Emit(FallbackTaken(feature, state.route.name, text, command=question.name))
    return True


def _answer(question: Question[T], text: str, state: State) -> Script[T]:
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
