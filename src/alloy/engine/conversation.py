"""The conversation with a model, written once: a pure script that performs nothing.

It knows no provider, no clock and no thread, and not whether it is streamed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from alloy.engine.policy import FINALIZE, Policy, reask_text
from alloy.engine.script import CallModel, RunTools, Script, Sleep
from alloy.errors import (
    AlloyError,
    AnswerError,
    EmptyAnswerError,
    FilteredError,
    ParseError,
    PostconditionError,
    RefusalError,
    TruncatedError,
    TurnLimitError,
)
from alloy.messages import Message, Reply, Request, ToolResult, ToolResults, Usage, User
from alloy.result import Result

__all__ = ["Question", "converse"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What is asked, and how the answer is read.

    *read* turns the answer's text into a value or raises an `AnswerError`; *check* says what is
    wrong with a value, or `None`. *optional* means that no answer is one too.
    """

    request: Request
    model: str
    expected: str
    read: Callable[[str], T]
    check: Callable[[T], str | None] = lambda _: None
    optional: bool = False
    policy: Policy = field(default_factory=Policy)


_UNFINISHED: dict[str, tuple[type[AnswerError], str]] = {
    "refusal": (RefusalError, "the model refused"),
    "length": (TruncatedError, "the answer was cut off at the token limit; raise max_tokens"),
    "filter": (FilteredError, "a content filter stopped the answer"),
}


class _Log:
    """What has been said and spent so far."""

    def __init__(self, request: Request) -> None:
        self.messages: list[Message] = list(request.messages)
        self.usage = Usage()
        self.turns = self.attempts = 0
        self.model = ""
        self.tool_calls: list[ToolResult] = []

    def hear(self, reply: Reply) -> None:
        self.messages.append(reply)
        self.usage += reply.usage
        self.turns += 1
        self.model = reply.model or self.model

    def result(self, question: Question[T], value: T, text: str) -> Result[T]:
        provider, _, name = question.model.partition(":")
        return Result(
            value=value,
            text=text,
            usage=self.usage,
            turns=self.turns,
            attempts=self.attempts,
            tool_calls=tuple(self.tool_calls),
            model=f"{provider}:{self.model or name}",
            transcript=tuple(self.messages),
        )


def converse(question: Question[T]) -> Script[Result[T]]:
    """Ask, run the tools that the model calls, and read its answer, asking again where that can help.

    Raises `ProviderError`, `AnswerError` and `TurnLimitError`, with what was said and spent attached.
    """
    log = _Log(question.request)
    try:
        return (yield from _converse(question, log))
    except AlloyError as error:
        error.usage, error.transcript = log.usage, tuple(log.messages)
        raise


def _converse(question: Question[T], log: _Log) -> Script[Result[T]]:
    policy, request = question.policy, question.request
    reasks, tool_turns, finalize = policy.reask, 0, policy.auto_finalize
    while True:
        reply = yield from _ask(question, replace(request, messages=tuple(log.messages)), log)
        if reply.calls:
            if tool_turns == policy.max_tool_turns:
                raise _too_many(reply, tool_turns)
            tool_turns += 1
            results = yield from RunTools(reply.calls)
            log.tool_calls += results
            log.messages.append(ToolResults(tuple(results)))
            continue
        try:
            return log.result(question, _answer(question, reply), reply.text)
        except EmptyAnswerError:
            if not finalize:
                raise
            finalize = False
            log.messages.append(User(FINALIZE))
            if request.tools:
                request = replace(request, tool_choice="none")
        except (ParseError, PostconditionError) as error:
            if not reasks:
                raise
            reasks -= 1
            log.messages.append(User(reask_text(error)))


def _ask(question: Question[T], request: Request, log: _Log) -> Script[Reply]:
    """One reply that can be worked with, however many tries the policy allows for it."""
    failures = 0
    while True:
        try:
            log.attempts += 1
            reply = yield from CallModel(request)
            log.hear(reply)
            _check_finish(question, reply)
            return reply
        except AlloyError as error:
            failures += 1
            if not question.policy.tries_again(error, failures):
                raise
            wait = question.policy.wait(error, failures)
        # What the failed try said is not part of the conversation.
        del log.messages[len(request.messages) :]
        yield from Sleep(wait)


def _check_finish(question: Question[T], reply: Reply) -> None:
    if reply.finish in _UNFINISHED:
        kind, problem = _UNFINISHED[reply.finish]
        why = f": {reply.explanation}" if reply.explanation else ""
        raise kind(question.expected, (problem + why,), reply.text)


def _answer(question: Question[T], reply: Reply) -> T:
    if not reply.text.strip() and not question.optional:
        raise EmptyAnswerError(question.expected, ("the model gave no answer",))
    value = question.read(reply.text)
    problem = question.check(value)
    if problem is not None:
        raise PostconditionError(question.expected, (problem,), reply.text)
    return value


def _too_many(reply: Reply, limit: int) -> TurnLimitError:
    names = ", ".join(call.name for call in reply.calls)
    return TurnLimitError(
        f"the model called tools in {limit} turns and then asked for {names}; "
        "raise max_tool_turns, or say in the prompt when to stop"
    )
