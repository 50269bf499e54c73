"""The conversation with a model, written once: a pure script that performs nothing.

It knows no provider, no clock and no thread, and not whether it is streamed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

from alloy._engine.effects import CallModel, RunTools, Script, Sleep, Tell, parse_values
from alloy._engine.policy import FINALIZE, TYPED_ANSWER, Policy, reask_text
from alloy._typed.types.parsers import resolving
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
    UnsupportedError,
)
from alloy.events import Notice, Reask, Retry, ToolFinished, ToolStarted, UsageReport
from alloy.messages import OutputSchema, Reply, Request, ToolResult, ToolResults, Turn, Usage, User
from alloy.result import Result

__all__ = ["Question", "converse"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What is asked, and how the answer is read.

    *read* turns the answer's text into a value or raises an `AnswerError`; *check* says what is
    wrong with a value, or `None`. *optional* means that no answer is one too. *output_apart* asks for
    the typed answer in a last turn without tools. *downgrades* names what Alloy stands in for from the
    start, and *learn* is told what it turns out to have to. *keep* is given all that was said when a
    value came of it.
    """

    request: Request
    model: str
    expected: str
    read: Callable[[str], T]
    check: Callable[[T], str | None] = lambda _: None
    optional: bool = False
    output_apart: bool = False
    policy: Policy = field(default_factory=Policy)
    downgrades: tuple[str, ...] = ()
    learn: Callable[[str], None] = lambda _: None
    keep: Callable[[tuple[Turn, ...]], None] = lambda _: None


_UNFINISHED: dict[str, tuple[type[AnswerError], str]] = {
    "refusal": (RefusalError, "the model refused"),
    "length": (TruncatedError, "the answer was cut off at the token limit; raise max_tokens"),
    "filter": (FilteredError, "a content filter stopped the answer"),
}


class _Log:
    """What has been said and spent so far, and how the next request is put."""

    def __init__(self, question: Question[Any]) -> None:
        self.request = question.request
        self.messages: list[Turn] = list(question.request.messages)
        self.usage = Usage()
        self.turns = self.attempts = self.tool_turns = 0
        self.model = ""
        self.tool_calls: list[ToolResult] = []
        self.paused = ""  # the text of turns that their provider interrupted
        self.downgrades = list(question.downgrades)
        self.awaited: OutputSchema | None = None
        if question.output_apart:
            self.set_output_apart()

    def set_output_apart(self) -> None:
        """Ask with the tools alone; the typed answer has a last turn of its own."""
        self.awaited, self.request = self.request.output, replace(self.request, output=None)

    def ask_for_output(self) -> None:
        """Begin that last turn."""
        self.messages.append(User(TYPED_ANSWER))
        without_tools = replace(self.request, tools=(), tool_choice=None, allowed_tools=None)
        self.request, self.awaited = replace(without_tools, output=self.awaited), None

    def hear(self, reply: Reply) -> Reply:
        """Take *reply* down; give it back with the ids that its calls have from now on."""
        reply = _told_apart(reply, self.messages)
        self.messages.append(reply)
        self.usage += reply.usage
        self.turns += 1
        self.model = reply.model or self.model
        return reply

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
            downgrades=tuple(self.downgrades),
        )


def converse(question: Question[T]) -> Script[Result[T]]:
    """Ask, run the tools that the model calls, and read its answer, asking again where that can help.

    Raises `ProviderError`, `AnswerError` and `TurnLimitError`, with what was said and spent attached.
    """
    log = _Log(question)
    try:
        result = yield from _converse(question, log)
    except AlloyError as error:
        error.usage, error.transcript, error.attempts = log.usage, tuple(log.messages), log.attempts
        raise
    question.keep(result.transcript)
    return result


def _converse(question: Question[T], log: _Log) -> Script[Result[T]]:
    policy = question.policy
    reasks, finalize = policy.reask, policy.auto_finalize
    while True:
        reply = yield from _ask(question, log)
        if reply.calls or reply.finish == "pause":
            yield from _go_on(question, reply, log)
            continue
        if log.awaited is not None:
            log.ask_for_output()
            continue
        text, log.paused = log.paused + reply.text, ""
        try:
            return log.result(question, (yield from _answer(question, text)), text)
        except EmptyAnswerError:
            if not finalize:
                raise
            finalize = False
            yield from _tell(question, Reask(("the model gave no answer",)))
            log.messages.append(User(FINALIZE))
            if log.request.tools:
                log.request = replace(log.request, tool_choice="none")
        except (ParseError, PostconditionError) as error:
            if not reasks:
                raise
            reasks -= 1
            yield from _tell(question, Reask(error.problems))
            log.messages.append(User(reask_text(error)))


def _go_on(question: Question[T], reply: Reply, log: _Log) -> Script[None]:
    """Run the tools that *reply* calls; a turn that its provider only paused is sent back as it is."""
    if log.tool_turns == question.policy.max_tool_turns:
        raise _too_many(reply, log.tool_turns)
    log.tool_turns += 1
    if log.request.tool_choice not in (None, "auto", "none"):
        log.request = replace(log.request, tool_choice=None)  # forced for ever, it would never answer
    log.paused = "" if reply.calls else log.paused + reply.text
    if reply.calls:
        for call in reply.calls:
            yield from _tell(question, ToolStarted(call))
        results = yield from RunTools(reply.calls)
        for result in results:
            yield from _tell(question, ToolFinished(result))
        log.tool_calls += results
        log.messages.append(ToolResults(tuple(results)))


def _ask(question: Question[T], log: _Log) -> Script[Reply]:
    """One reply that can be worked with, however many tries the policy allows for it."""
    said, failures = len(log.messages), 0
    while True:
        try:
            log.attempts += 1
            reply = yield from CallModel(replace(log.request, messages=tuple(log.messages)))
            reply = log.hear(reply)
            yield from _tell(question, UsageReport(reply.usage, log.usage))
            _check_finish(question, reply)
            return reply
        except UnsupportedError as error:
            if not _stand_in(question, error, log):
                raise
            continue
        except AlloyError as error:
            failures += 1
            if not question.policy.tries_again(error, failures):
                raise
            wait = question.policy.wait(error, failures)
            notice = Retry(error, wait)
        # What the failed try said is not part of the conversation.
        del log.messages[said:]
        yield from _tell(question, notice)
        yield from Sleep(wait)


def _told_apart(reply: Reply, before: Sequence[Turn]) -> Reply:
    """*reply* with an id for each call that no other has: by nothing else is a result paired with it.

    Some servers give none, or count from 0 in every turn. The echo stays as it came; codecs send it
    with the ids in `Reply.calls`.
    """
    if not reply.calls:
        return reply
    used = {"", *(call.id for turn in before if isinstance(turn, Reply) for call in turn.calls)}
    taken = used | {call.id for call in reply.calls}
    calls = []
    for nth, call in enumerate(reply.calls):
        if call.id in used:
            fresh = f"call_{len(before)}_{nth}"
            while fresh in taken:
                fresh += "_"
            taken.add(fresh)
            call = replace(call, id=fresh)
        used.add(call.id)
        calls.append(call)
    return replace(reply, calls=tuple(calls))


def _tell(question: Question[T], notice: Notice) -> Script[None]:
    """Only a streamed call has somebody who listens."""
    if question.policy.spoken:
        yield from Tell(notice)


def _stand_in(question: Question[T], error: UnsupportedError, log: _Log) -> bool:
    """Do for the model what it turned out not to do itself; once for each feature, so this ends."""
    request, feature = log.request, error.feature
    if feature in log.downgrades:
        return False
    if feature not in question.policy.stands_in:
        error.add_note("strict_capabilities, tool_mode or output_mode forbids Alloy to stand in for that")
        return False
    if feature == "tools" and request.tools:
        log.request = replace(request, tool_mode="react")
    elif feature == "output" and request.output is not None:
        log.request = replace(request, output_mode="prompted")
    elif feature == "output_with_tools" and request.output is not None and request.tools:
        log.set_output_apart()
    else:
        return False
    log.downgrades.append(feature)
    question.learn(feature)
    return True


def _check_finish(question: Question[T], reply: Reply) -> None:
    if reply.finish in _UNFINISHED:
        kind, problem = _UNFINISHED[reply.finish]
        why = f": {reply.explanation}" if reply.explanation else ""
        raise kind(question.expected, (problem + why,), reply.text)


def _answer(question: Question[T], text: str) -> Script[T]:
    if not text.strip() and not question.optional:
        raise EmptyAnswerError(question.expected, ("the model gave no answer",))
    value = yield from resolving(partial(question.read, text), parse_values)
    problem = question.check(value)
    if problem is not None:
        raise PostconditionError(question.expected, (problem,), text)
    return value


def _too_many(reply: Reply, limit: int) -> TurnLimitError:
    names = ", ".join(call.name for call in reply.calls) or "another turn"
    return TurnLimitError(
        f"the model called tools in {limit} turns and then asked for {names}; "
        "raise max_tool_turns, or say in the prompt when to stop"
    )
