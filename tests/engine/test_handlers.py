"""Handlers: what stands between a call and its effects, in all four ways of calling."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import Any

import pytest
from kit.ways import every_way

import alloy
from alloy import AlloyError, ConfigurationError, RateLimitError, ask, command, tool
from alloy._engine.effects import CallModel, Effect, Elapsed, RunningScript, RunTools, Script, Sleep, handled
from alloy.effects import Emit
from alloy.events import TextDelta, ToolFinished
from alloy.messages import Reply, ToolResult, User
from alloy.testing import call, calls, replies


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@command(output=int, tools=[add])
def total() -> str:
    """Ask for a sum."""
    return "1 + 2?"


@command(output=int, tools=[add], backend="fake")
def scripted() -> str:
    """Ask a model that calls a tool and then answers, however far the call gets."""
    return 'fake: call add {"a": 1, "b": 2}\nfake: say 3'


class BudgetError(AlloyError):
    """What a handler of these tests raises."""


@every_way
def test_a_handler_sees_every_effect_in_order(way: Any):
    """The same ones in plain, async and streamed calls."""
    seen: list[str] = []

    def trace(effect: Effect[Any]) -> Script[Any]:
        seen.append(type(effect).__name__)
        return (yield from effect)

    with alloy.handlers(trace), replies(call("add", a=1, b=2), "3"):
        assert way(total)[0].value == 3
    effects = [name for name in seen if name != "Emit"]
    assert effects == ["CallModel", "RunTools", "CallModel", "Elapsed"]
    assert seen[0] == seen[-1] == "Emit"  # CallStarted and Final


@every_way
def test_a_handler_may_answer_instead_of_the_model(way: Any):
    """A cache: the second call sends nothing."""
    kept: list[Reply] = []

    def cache(effect: Effect[Any]) -> Script[Any]:
        if not isinstance(effect, CallModel):
            return (yield from effect)
        if not kept:
            kept.append((yield from effect))
        else:
            yield from Emit(TextDelta(kept[0].text))  # the reader of a stream gets the text too
        return kept[0]

    with alloy.handlers(cache), replies("7") as seen:
        first, second = way(total), way(total)
    assert (first[0].value, second[0].value, len(seen.requests)) == (7, 7, 1)
    assert first[1] == second[1]


@every_way
def test_a_handler_may_change_the_request(way: Any):
    """What the model reads is what the handler passed on."""

    def politely(effect: Effect[Any]) -> Script[Any]:
        if isinstance(effect, CallModel):
            messages = (*effect.request.messages, User("Please."))
            effect = replace(effect, request=replace(effect.request, messages=messages))
        return (yield from effect)

    with alloy.handlers(politely), replies("7") as seen:
        assert way(total)[0].value == 7
    assert seen.requests[0]["messages"][-1] == {"role": "user", "content": "Please."}


@every_way
def test_what_a_handler_raises_ends_the_call(way: Any):
    """With the transcript and the usage that the call had so far."""

    def limit(effect: Effect[Any]) -> Script[Any]:
        if isinstance(effect, CallModel) and len(effect.request.messages) > 1:
            raise BudgetError("spent")
        return (yield from effect)

    with alloy.handlers(limit), replies(call("add", a=1, b=2)), pytest.raises(BudgetError) as caught:
        way(total)
    assert caught.value.usage is not None
    assert caught.value.usage.total_tokens > 0
    assert len(caught.value.transcript or ()) == 3


@every_way
def test_a_provider_error_of_a_handler_is_retried_like_any_other(way: Any):
    """The script cannot tell it from the provider's."""
    failures = [RateLimitError("slow down", provider="fake", retry_after=0.001)]

    def fail_once(effect: Effect[Any]) -> Script[Any]:
        if isinstance(effect, CallModel) and failures:
            raise failures.pop()
        return (yield from effect)

    with alloy.handlers(fail_once), replies("7"):
        result = way(total)[0]
    assert (result.value, result.attempts) == (7, 2)


@every_way
def test_a_handler_may_repeat_an_effect(way: Any):
    """The second outcome is the one that counts."""

    def twice(effect: Effect[Any]) -> Script[Any]:
        if isinstance(effect, CallModel):
            yield from effect
        return (yield from effect)

    with alloy.handlers(twice), replies("1", "2"):
        assert way(total)[0].value == 2


@every_way
def test_a_handler_may_refuse_tools(way: Any):
    """A result that it makes itself is published, and the others as they end: each once."""
    ended: list[Any] = []

    def approve(effect: Effect[Any]) -> Script[Any]:
        if not isinstance(effect, RunTools):
            return (yield from effect)
        refused, allowed = effect.calls[:1], effect.calls[1:]
        ran = yield from replace(effect, calls=allowed)
        return [ToolResult(each, "Error: denied", error="denied") for each in refused] + ran

    def note(event: Any) -> None:
        if isinstance(event, ToolFinished):
            ended.append((event.result.call.id, event.result.error))

    script = (calls(call("add", a=1, b=2), call("add", a=3, b=4)), "7")
    with alloy.handlers(approve), alloy.listen(note), replies(*script):
        results = way(total)[0].tool_calls
    assert [result.content for result in results] == ["Error: denied", "7"]
    assert sorted(ended) == [("call_1_1", "denied"), ("call_1_2", None)]


@every_way
def test_a_handler_may_refuse_all_tools(way: Any):
    """Performing the effect with no calls left runs nothing and returns no results."""

    def deny(effect: Effect[Any]) -> Script[Any]:
        if not isinstance(effect, RunTools):
            return (yield from effect)
        assert (yield from replace(effect, calls=())) == []
        return [ToolResult(each, "Error: denied", error="denied") for each in effect.calls]

    with alloy.handlers(deny), replies(call("add", a=1, b=2), "7"):
        result = way(total)[0]
    assert (result.value, result.tool_calls[0].error) == (7, "denied")


@every_way
def test_the_first_handler_is_the_outermost(way: Any):
    """It sees an effect first and the outcome last; so does that of an outer block."""
    order: list[str] = []

    def named(name: str) -> Any:
        def handler(effect: Effect[Any]) -> Script[Any]:
            if isinstance(effect, CallModel):
                order.append(f"{name} begins")
            outcome = yield from effect
            if isinstance(effect, CallModel):
                order.append(f"{name} ends")
            return outcome

        return handler

    with alloy.handlers(named("outer")), alloy.handlers(named("a"), named("b")), replies("7"):
        way(total)
    assert order == ["outer begins", "a begins", "b begins", "b ends", "a ends", "outer ends"]


def test_a_scope_ends_with_its_block():
    """Calls after it have no handler."""
    seen: list[Any] = []

    def trace(effect: Effect[Any]) -> Script[Any]:
        seen.append(effect)
        return (yield from effect)

    with replies("1", "2"):
        with alloy.handlers(trace):
            total()
        first = len(seen)
        total()
    assert 0 < first == len(seen)


def test_a_stream_keeps_the_handlers_of_the_block_that_made_it():
    """Reading it later changes nothing."""
    seen: list[Any] = []

    def trace(effect: Effect[Any]) -> Script[Any]:
        seen.append(effect)
        return (yield from effect)

    with replies("7"):
        with alloy.handlers(trace):
            stream = total.stream()
        assert stream.result() == 7
    assert any(isinstance(effect, CallModel) for effect in seen)


@every_way
def test_nested_commands_have_the_handlers_too(way: Any):
    """A command that runs as a tool is a call inside the scope, in whichever thread it runs."""
    models: list[str] = []

    def trace(effect: Effect[Any]) -> Script[Any]:
        if isinstance(effect, CallModel):
            models.append(str(effect.request.messages[0]))
        return (yield from effect)

    @command
    def inner(text: str) -> str:
        """Answer."""
        return f"inner {text}"

    outer = total.with_options(tools=[inner], output=str)
    script = (calls(call("inner", text="a"), call("inner", text="b")), *["x"] * 2, "done")
    with alloy.handlers(trace), replies(*script):
        assert way(outer)[0].value == "done"
    assert len(models) == 4
    assert sum("inner" in text for text in models) == 2


@pytest.mark.parametrize("wrong", [print, 5, lambda effect: effect, None])
def test_what_is_not_a_handler_is_refused(wrong: Any):
    """Before any call is made."""
    with pytest.raises(ConfigurationError, match="generator function"), alloy.handlers(wrong):
        pytest.fail("the block ran")


def test_an_object_may_be_a_handler():
    """With a generator function as its `__call__`."""

    class Count:
        requests = 0

        def __call__(self, effect: Effect[Any]) -> Script[Any]:
            self.requests += isinstance(effect, CallModel)
            return (yield from effect)

    count = Count()
    with alloy.handlers(count), replies("7"):
        total()
    assert count.requests == 1


def test_other_threads_and_tasks_have_their_own_scope():
    """A handler reaches no call that was not made inside its block."""
    inside, seen = threading.Event(), []

    def trace(effect: Effect[Any]) -> Script[Any]:
        seen.append(effect)
        return (yield from effect)

    def elsewhere() -> int:
        assert inside.wait(60)
        return total()

    with replies("7") as asked:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(copy_context().run, elsewhere)
            with alloy.handlers(trace):
                inside.set()
                assert waiting.result() == 7
        assert (len(asked.requests), seen) == (1, [])


def test_an_early_end_closes_handlers_too():
    """A stream that is left runs what a handler has in `finally`."""
    ended: list[str] = []

    def tidy(effect: Effect[Any]) -> Script[Any]:
        try:
            return (yield from effect)
        finally:
            if isinstance(effect, CallModel):
                ended.append("closed")

    with alloy.handlers(tidy), replies("a long story"), ask.stream("go") as stream:
        next(stream)
    assert ended == ["closed"]


def test_a_cancelled_task_closes_handlers():
    """In async calls, as a stream's end does in sync ones."""
    ended: list[str] = []

    @tool
    async def slow() -> str:
        """Wait."""
        started.set()
        await asyncio.Event().wait()
        return "never"

    def tidy(effect: Effect[Any]) -> Script[Any]:
        try:
            return (yield from effect)
        finally:
            if isinstance(effect, RunTools):
                ended.append("closed")

    started = asyncio.Event()

    async def main() -> None:
        with alloy.handlers(tidy), replies(call("slow")):
            task = asyncio.create_task(ask.async_("go", tools=[slow]))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert ended == ["closed"]


def forgets_to_return(effect: Effect[Any]) -> Script[Any]:
    """What is most easily forgotten."""
    yield from effect


def answers_with(kind: type[Effect[Any]], outcome: Any) -> Any:
    """A handler that answers every effect of *kind* with *outcome*."""

    def handler(effect: Effect[Any]) -> Script[Any]:
        performed = yield from effect
        return outcome if isinstance(effect, kind) else performed

    return handler


@every_way
@pytest.mark.parametrize(
    ("handler", "needs"),
    [
        (forgets_to_return, "needs a Reply"),
        (answers_with(CallModel, "hello"), "returned 'hello' for CallModel, which needs a Reply"),
        (answers_with(RunTools, []), "needs a list with a ToolResult for each call"),
        (answers_with(RunTools, [1]), "needs a list with a ToolResult for each call"),
        (answers_with(RunTools, None), "needs a list with a ToolResult for each call"),
        (answers_with(Elapsed, None), "needs a number of seconds"),
    ],
)
def test_an_outcome_of_the_wrong_kind_names_the_handler(way: Any, handler: Any, needs: str):
    """Before anything is sent that a provider would refuse, and with the way to fix it."""
    with alloy.handlers(handler), pytest.raises(ConfigurationError, match=needs) as caught:
        way(scripted)
    assert "yield from effect" in str(caught.value)
    assert handler.__qualname__ in str(caught.value)


@every_way
def test_only_effects_can_be_yielded(way: Any):
    """Anything else is an error of the handler."""

    def numbers(effect: Effect[Any]) -> Any:
        yield 5
        return (yield from effect)

    with alloy.handlers(numbers), replies(), pytest.raises(ConfigurationError, match="yielded 5"):
        way(total)


@every_way
def test_equal_conversations_have_equal_requests(way: Any):
    """So that a handler can keep replies by request: durations are not part of one."""
    keys: list[str] = []

    def keep(effect: Effect[Any]) -> Script[Any]:
        if isinstance(effect, CallModel):
            keys.append(repr(effect.request))
        return (yield from effect)

    with alloy.handlers(keep), replies(call("add", a=1, b=2), "3", call("add", a=1, b=2), "3"):
        way(total)
        way(total)
    assert keys[:2] == keys[2:]


# --- handled(), alone ---------------------------------------------------------------------------------


def sleeper(*seconds: float) -> Script[list[Any]]:
    """Sleeps, and returns what came of each."""
    outcomes: list[Any] = []
    for each in seconds:
        try:
            outcomes.append((yield from Sleep(each)))
        except ValueError as error:
            outcomes.append(str(error))
    return outcomes


def test_errors_of_a_handler_are_raised_where_the_script_waits():
    """The script may handle them, and goes on."""

    def refuse(effect: Effect[Any]) -> Script[Any]:
        if effect == Sleep(2):
            raise ValueError("too long")
        return (yield from effect)

    running = RunningScript(handled(sleeper(1, 2, 3), refuse))
    assert running.pending == Sleep(1)
    running.resume("a")
    assert running.pending == Sleep(3)
    running.resume("c")
    assert running.result == ["a", "too long", "c"]


def test_an_error_of_the_effect_passes_through_the_handler():
    """It may turn it into an outcome."""

    def soften(effect: Effect[Any]) -> Script[Any]:
        try:
            return (yield from effect)
        except KeyError:
            return "softened"

    running = RunningScript(handled(sleeper(1), soften))
    running.fail(KeyError("x"))
    assert running.result == ["softened"]


def test_closing_reaches_the_script():
    """And every handler between, once."""
    ended: list[str] = []

    def script() -> Script[None]:
        try:
            yield from Sleep(1)
        finally:
            ended.append("script")

    def handler(effect: Effect[Any]) -> Iterator[Any]:
        try:
            return (yield from effect)
        finally:
            ended.append("handler")

    running: RunningScript[None] = RunningScript(handled(handled(script(), handler), handler))
    running.close()
    assert ended == ["handler", "handler", "script"]
