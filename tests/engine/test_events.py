"""Events: each one reaches every listener, in plain, async and streamed calls."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import Any

import pytest
from kit.patience import PATIENCE, limits
from kit.ways import every_way
from kit.wire import WireServer, openai

import alloy
from alloy import (
    AlloyError,
    ConfigurationError,
    Conversation,
    DeadlineError,
    ParseError,
    RateLimitError,
    ToolError,
    ask,
    command,
    configure,
    tool,
    use_config,
)
from alloy.effects import Effect, Emit, RunTools, Script
from alloy.events import (
    CallFailed,
    CallStarted,
    FallbackTaken,
    Final,
    Reask,
    ReplyReceived,
    RequestSent,
    Retry,
    TextDelta,
    ToolFinished,
    ToolStarted,
    UsageReport,
)
from alloy.messages import Reply, ToolCallDelta
from alloy.testing import call, calls, replies


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@command(output=int, tools=[add])
def total() -> str:
    """Ask for a sum."""
    return "1 + 2?"


def kinds(events: list[Any]) -> list[type[Any]]:
    """The kinds of *events*, without the deltas that only streams have."""
    return [type(event) for event in events if not isinstance(event, TextDelta)]


BUSY = RateLimitError("slow down", provider="fake", retry_after=0.001)


@every_way
def test_each_event_reaches_a_listener_in_every_way_of_calling(way: Any):
    """In the order in which things happen, with what they are about."""
    seen: list[Any] = []
    with alloy.listen(seen.append), replies(BUSY, call("add", a=1, b=2), "three", "3"):
        result = way(total)[0]

    assert kinds(seen) == [
        *(CallStarted, RequestSent, Retry, RequestSent, ReplyReceived, UsageReport),
        *(ToolStarted, ToolFinished, RequestSent, ReplyReceived, UsageReport),
        *(Reask, RequestSent, ReplyReceived, UsageReport, Final),
    ]
    assert seen[0] == CallStarted("total()", "fake:fake")
    assert [event.attempt for event in seen if isinstance(event, RequestSent)] == [1, 2, 3, 4]
    assert seen[-1].result is result
    assert (seen[-1].command, result.seconds > 0) == ("total()", True)


@every_way
@pytest.mark.parametrize("where", ["listen", "use_config", "option", "command"])
def test_a_listener_may_be_installed_anywhere(way: Any, where: str):
    """As a scope, and as a setting in each of its layers."""
    seen: list[Any] = []
    asked = total.with_options(on_event=seen.append) if where == "option" else total
    if where == "command":

        @command(output=int, on_event=[seen.append])
        def asked() -> str:
            return "1 + 2?"

    with replies("3"):
        if where == "listen":
            with alloy.listen(seen.append):
                way(asked)
        elif where == "use_config":
            with use_config(on_event=seen.append):
                way(asked)
        else:
            way(asked)
    assert kinds(seen) == [CallStarted, RequestSent, ReplyReceived, UsageReport, Final]


def test_listeners_of_scopes_and_the_setting_add_up():
    """The outer scope first; the setting itself follows the precedence of settings."""
    heard: list[str] = []

    def named(name: str) -> Any:
        return lambda event: heard.append(name) if isinstance(event, CallStarted) else None

    configure(on_event=named("process"))
    try:
        with alloy.listen(named("outer")), alloy.listen(named("inner")), replies("3", "3"):
            total()
            total.with_options(on_event=named("option"))()
    finally:
        configure(on_event=None)
    assert heard == ["outer", "inner", "process", "outer", "inner", "option"]


def test_a_listener_of_a_stream_gets_the_deltas_too():
    """The same events as the reader of the stream, except that a call's beginning is not an event."""
    seen: list[Any] = []
    with replies(call("add", a=1, b=2), "3"), total.with_options(on_event=seen.append).stream() as stream:
        read = list(stream.events())
    assert seen == read
    assert any(isinstance(event, TextDelta) for event in seen)
    assert not any(isinstance(event, ToolCallDelta) for event in seen)


@every_way
def test_the_end_of_a_tool_is_published_when_it_ends(way: Any):
    """Not when the whole round does (the slow tool waits for the event of the quick one)."""
    told = threading.Event()
    order: list[str] = []

    @tool
    def quick() -> str:
        """Be quick."""
        return "q"

    @tool
    def slow() -> str:
        """Wait until the other tool's end was published."""
        assert told.wait(60), "the end of the quick tool was not published"
        return "s"

    def note(event: Any) -> None:
        if isinstance(event, ToolFinished):
            order.append(event.result.name)
            told.set()

    asked = total.with_options(tools=[slow, quick], output=str, on_event=note)
    with replies(calls(call("slow"), call("quick")), "done"):
        result = way(asked)[0]
    assert order == ["quick", "slow"]
    assert [each.name for each in result.tool_calls] == ["slow", "quick"]


@every_way
def test_async_tools_are_published_when_they_end_too(way: Any):
    """They run side by side in one loop."""
    told = threading.Event()
    order: list[str] = []

    @tool
    async def quick() -> str:
        """Be quick."""
        return "q"

    @tool
    async def slow() -> str:
        """Wait until the other tool's end was published."""
        while not told.is_set():
            await asyncio.sleep(0.001)
        return "s"

    def note(event: Any) -> None:
        if isinstance(event, ToolFinished):
            order.append(event.result.name)
            told.set()

    asked = total.with_options(tools=[slow, quick], output=str, on_event=note, deadline=PATIENCE)
    with replies(calls(call("slow"), call("quick")), "done"):
        way(asked)
    assert order == ["quick", "slow"]


@every_way
def test_a_failed_call_ends_with_its_error(way: Any):
    """The very error that the caller gets."""
    seen: list[Any] = []
    with alloy.listen(seen.append), replies("x", "y"), pytest.raises(ParseError) as caught:
        way(total)
    assert (type(seen[-1]), seen[-1].command) == (CallFailed, "total()")
    assert seen[-1].error is caught.value


@every_way
def test_a_call_has_one_last_event(way: Any):
    """Final, and nothing after it."""
    seen: list[Any] = []
    with alloy.listen(seen.append), replies("3"):
        way(total)
    assert [type(event) for event in seen if isinstance(event, Final | CallFailed)] == [Final]
    assert isinstance(seen[-1], Final)


def test_a_stream_that_is_left_at_its_last_event_has_succeeded():
    """A reader that stops at Final, in sync and in async."""
    seen: list[Any] = []

    async def read() -> None:
        async with total.stream_async() as stream:
            async for event in stream.events():
                if isinstance(event, Final):
                    break

    with alloy.listen(seen.append), replies("3", "3"):
        with total.stream() as stream:
            for event in stream.events():
                if isinstance(event, Final):
                    break
        asyncio.run(read())
    assert [type(event) for event in seen if isinstance(event, Final | CallFailed)] == [Final, Final]


@every_way
@pytest.mark.parametrize("at", [CallStarted, Final])
def test_a_handler_that_raises_at_an_event_makes_the_call_fail(way: Any, at: type[Any]):
    """With the one last event, what the call has cost, and a conversation that is as it was."""
    seen: list[Any] = []
    chat = Conversation()

    def refuse(effect: Effect[Any]) -> Script[Any]:
        if isinstance(effect, Emit) and isinstance(effect.event, at):
            raise AlloyError("refused")
        return (yield from effect)

    asked = command(output=int, backend="fake", conversation=chat)(_say_three)
    with (
        alloy.listen(seen.append),
        alloy.handlers(refuse),
        pytest.raises(AlloyError, match="refused") as caught,
    ):
        way(asked)
    assert [type(event) for event in seen if isinstance(event, Final | CallFailed)] == [CallFailed]
    assert caught.value.usage is not None
    assert len(chat.turns) == 0


def _say_three() -> str:
    return "fake: say 3"


@every_way
def test_a_bug_in_a_tool_that_ends_the_call_is_published(way: Any):
    """Under `tool_errors="raise"`."""
    seen: list[Any] = []

    @tool
    def broken() -> str:
        """Fail."""
        raise ZeroDivisionError("oops")

    asked = total.with_options(tools=[broken], tool_errors="raise", on_event=seen.append)
    with replies(call("broken")), pytest.raises(alloy.ToolError):
        way(asked)
    assert isinstance(seen[-1], CallFailed)


def test_a_stream_that_is_left_early_ends_with_a_failed_call():
    """So that whatever began at CallStarted can be ended."""
    seen: list[Any] = []
    with replies("a long story"), ask.stream("go", on_event=seen.append) as stream:
        next(stream)
    assert isinstance(seen[-1], CallFailed)
    assert isinstance(seen[-1].error, GeneratorExit)


def test_a_cancelled_task_ends_with_a_failed_call():
    """As above, in async."""
    seen: list[Any] = []
    started = asyncio.Event()

    @tool
    async def slow() -> str:
        """Wait."""
        started.set()
        await asyncio.Event().wait()
        return "never"

    async def main() -> None:
        with replies(call("slow")):
            task = asyncio.create_task(ask.async_("go", tools=[slow], on_event=seen.append))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert isinstance(seen[-1], CallFailed)
    assert isinstance(seen[-1].error, asyncio.CancelledError)


@every_way
def test_the_events_of_a_call_have_its_id(way: Any):
    """So a listener of several calls at once can tell them apart; a nested call has its own."""
    seen: list[Any] = []
    with alloy.listen(seen.append), replies(call("add", a=1, b=2), "3", "4"):
        way(total)
        first = {event.call_id for event in seen if not isinstance(event, TextDelta)}
        way(total)
    every = {event.call_id for event in seen if not isinstance(event, TextDelta)}
    assert (len(first), len(every)) == (1, 2)
    assert "" not in every


@every_way
def test_retries_and_failures_name_the_model(way: Any):
    """The one that was asked."""
    seen: list[Any] = []
    with alloy.listen(seen.append), replies(BUSY, "x", "y"), pytest.raises(ParseError):
        way(total)
    named = [(event.command, event.model) for event in seen if isinstance(event, Retry | CallFailed)]
    assert named == [("total()", "fake:fake")] * 2


@every_way
def test_fallbacks_name_the_command_and_the_model_that_failed(way: Any):
    """For each model that was given up; a missing feature has no model that failed."""
    first = alloy.ServerError("down", provider="fake", transient=False)
    second = alloy.UnsupportedError("no tools", feature="tools", provider="fake")
    asked = total.with_options(model=["fake:a", "fake:without-tools"])
    seen: list[Any] = []
    from alloy.backends.memory import forget

    try:
        with alloy.listen(seen.append), replies(first, second, "Final Answer: 3"):
            way(asked)
    finally:
        forget()
    taken = [event for event in seen if isinstance(event, FallbackTaken)]
    assert [(event.command, event.feature, event.failed_model) for event in taken] == [
        ("total()", "model", "fake:a"),
        ("total()", "tools", ""),
    ]


class AsyncListener:
    """Not a listener."""

    async def __call__(self, event: Any) -> None:
        """Never awaited."""


@every_way
def test_a_listener_that_fails_does_not_end_the_call(way: Any, caplog: pytest.LogCaptureFixture):
    """Its exception is logged; the other listeners get the event."""
    seen: list[Any] = []

    def broken(event: Any) -> None:
        raise ZeroDivisionError("oops")

    with alloy.listen(broken, seen.append), replies("3"):
        assert way(total)[0].value == 3
    assert isinstance(seen[-1], Final)
    assert "listener" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def _async_listener(event: Any) -> None:
    """Not a listener."""


@pytest.mark.parametrize("wrong", ["print", 5, None, _async_listener, AsyncListener()])
def test_what_is_not_a_listener_is_refused(wrong: Any):
    """By the scope and by the setting."""
    with pytest.raises(ConfigurationError, match="function that takes an event"), alloy.listen(wrong):
        pytest.fail("the block ran")
    if wrong is not None:
        with pytest.raises(ConfigurationError, match=r"on_event must be a .*function that takes an event"):
            ask("x", on_event=wrong)


@every_way
def test_a_fallback_is_an_event(way: Any):
    """When the provider's refusal shows it, and in later calls, which use it from the start."""
    refusal = alloy.UnsupportedError("no tools", feature="tools", provider="fake")
    seen: list[Any] = []
    asked = total.with_options(model="fake:without-tools", on_event=seen.append)
    from alloy.backends.memory import forget

    try:
        with replies(refusal, "Final Answer: 3", "Final Answer: 4"):
            way(asked)
            first, seen[:] = list(seen), []
            way(asked)
    finally:
        forget()
    taken = FallbackTaken("tools", "fake:fake")
    assert kinds(first)[:4] == [CallStarted, RequestSent, FallbackTaken, RequestSent]
    assert kinds(seen)[:3] == [CallStarted, FallbackTaken, RequestSent]
    assert {event.feature for event in (*first, *seen) if isinstance(event, FallbackTaken)} == {taken.feature}


@every_way
def test_a_reply_knows_the_status_and_the_request_id(way: Any, server: WireServer):
    """What a provider's support asks for, and how long the request took."""
    seen: list[Any] = []
    settings: dict[str, Any] = {"model": "openai:gpt-5.6", "api_key": "k", "base_url": f"{server.url}/v1"}
    asked = total.with_options(**settings, on_event=seen.append)
    answer = openai.response(text='{"value": 3}')
    streamed = way.__name__.startswith("stream")
    server.script((openai.stream if streamed else openai.reply)(answer))
    way(asked)
    (received,) = [event for event in seen if isinstance(event, ReplyReceived)]
    assert (received.reply.status, received.reply.request_id) == (200, "req_1")
    assert received.reply.seconds > 0
    assert received.model == "openai:gpt-5.6"


# --- the log, which is a listener ---------------------------------------------------------------------


@every_way
def test_info_is_one_line_for_each_call(way: Any, caplog: pytest.LogCaptureFixture):
    """What asked, which model answered, how long it took, and what it cost."""
    with caplog.at_level(logging.INFO, "alloy"), replies(call("add", a=1, b=2), "3", "x", "y"):
        way(total)
        with pytest.raises(ParseError):
            way(total)
    first, second = [record.getMessage() for record in caplog.records]
    assert first.startswith("total(): fake:fake answered in ")
    assert "2 requests" in first
    assert "tokens" in first
    assert second.startswith("total() failed after ")
    assert second.endswith("ParseError")


@every_way
def test_debug_is_a_line_for_each_request(way: Any, caplog: pytest.LogCaptureFixture):
    """Model, status, duration, tokens and request id."""
    with caplog.at_level(logging.DEBUG, "alloy"), replies(call("add", a=1, b=2), "3"):
        way(total)
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
    assert [line.partition(":")[0] for line in lines] == [
        "request 1 to fake",
        "reply 1 from fake",
        "request 2 to fake",
        "reply 2 from fake",
    ]
    assert "status" in lines[1]
    assert "request id" in lines[1]


@every_way
def test_retries_and_fallbacks_are_warnings(way: Any, caplog: pytest.LogCaptureFixture):
    """Without any listener; a fallback is logged once for each model."""
    weak = total.with_options(tool_mode="auto", model="fake:logged", backoff=0)
    refusal = alloy.UnsupportedError("no tools", feature="tools", provider="fake")
    from alloy._engine import logs
    from alloy.backends.memory import forget

    logs._logged.clear()
    try:
        with replies(BUSY, refusal, "Final Answer: 3", "Final Answer: 4"):
            way(weak)
            way(weak)
    finally:
        forget()
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert texts[0] == "total(): fake:logged failed (RateLimitError); next try in 0.0 s"
    assert texts[1].startswith("fake:logged does not support tool calls; Alloy falls back to ReAct")
    assert len(texts) == 2


@every_way
def test_the_warning_about_another_model_names_both_and_the_command(
    way: Any, caplog: pytest.LogCaptureFixture
):
    """Each time, because it happens only when something went wrong; not with the text of the error."""
    down = alloy.ServerError("ERROR-CONTENT", provider="fake", transient=False, status=503)
    asked = total.with_options(model=["fake:a", "fake:b", "fake:c"])
    with caplog.at_level(logging.WARNING, "alloy"), replies(down, down, "3", down, "4"):
        way(asked)
        way(asked)
    after_a = "total(): fake:a failed (ServerError, status 503); the call continues with fake:b"
    after_b = "total(): fake:b failed (ServerError, status 503); the call continues with fake:c"
    assert caplog.messages == [after_a, after_b, after_a]


SECRETS = ("PROMPT-CONTENT", "ANSWER-CONTENT", "TOOL-CONTENT", "ERROR-CONTENT")


@every_way
def test_no_content_is_logged(way: Any, caplog: pytest.LogCaptureFixture):
    """Not the prompt, not an answer, not a tool's arguments or result, not the text of an error."""

    @tool
    def note(text: str) -> str:
        """Note."""
        return "TOOL-CONTENT"

    @command(output=int, tools=[note])
    def asked() -> str:
        return "PROMPT-CONTENT"

    busy = RateLimitError("ERROR-CONTENT", provider="fake", retry_after=0.001)
    script = (busy, call("note", text="TOOL-CONTENT"), Reply("ANSWER-CONTENT"), "ANSWER-CONTENT")
    with caplog.at_level(logging.DEBUG, "alloy"), replies(*script), pytest.raises(ParseError):
        way(asked)
    assert len(caplog.records) > 5
    assert not [text for text in SECRETS if text in caplog.text]


# --- every ToolStarted has its ToolFinished -------------------------------------------------------


def tools_of(events: list[Any]) -> tuple[list[str], dict[str, str | None]]:
    """The tools that started, in order, and the errors of those that finished; each finishes once."""
    finished = [event.result for event in events if isinstance(event, ToolFinished)]
    assert len({result.call.id for result in finished}) == len(finished)
    started = [event.call.name for event in events if isinstance(event, ToolStarted)]
    return started, {result.name: result.error for result in finished}


@tool
def broken() -> str:
    """Fail."""
    raise ValueError("no such thing")


@tool
async def broken_async() -> str:
    """Fail, later."""
    await asyncio.sleep(0)
    raise ValueError("no such thing")


@every_way
@pytest.mark.parametrize("failing", [broken, broken_async], ids=lambda tool: tool.name)
def test_a_tool_that_ends_the_call_has_its_finish(way: Any, failing: Any):
    """With its own error, and before the end of the call."""
    seen: list[Any] = []
    asked = total.with_options(tools=[failing], tool_errors="raise", on_event=seen.append)
    with replies(call(failing.name)), pytest.raises(ToolError, match="no such thing") as caught:
        way(asked)
    assert isinstance(caught.value.__cause__, ValueError)
    assert tools_of(seen) == ([failing.name], {failing.name: "ValueError: no such thing"})
    assert [type(event) for event in seen[-2:]] == [ToolFinished, CallFailed]
    assert seen[-2].call_id == seen[-1].call_id
    assert seen[-2].result.duration > 0


@every_way
@pytest.mark.parametrize("failing", [broken, broken_async], ids=lambda tool: tool.name)
def test_tools_that_still_run_have_their_finish(way: Any, failing: Any):
    """They are left behind, and their finish says why."""
    over, quick_ended, seen = threading.Event(), threading.Event(), []  # type: ignore[var-annotated]

    @tool
    def quick() -> str:
        """Be quick."""
        return "q"

    @tool
    def slow() -> str:
        """Run until the call is over."""
        over.wait(PATIENCE)
        return "s"

    @tool
    async def slow_async() -> str:
        """Run until the call is over."""
        while not over.is_set():
            await asyncio.sleep(0.001)
        return "s"

    def note(event: Any) -> None:
        seen.append(event)
        if isinstance(event, ToolFinished) and event.result.name == "quick":
            quick_ended.set()

    @tool(name=failing.name)
    def fails_after_quick() -> Any:
        """Fail after the quick tool."""
        quick_ended.wait(PATIENCE)
        raise ValueError("no such thing")

    @tool(name=failing.name)
    async def fails_after_quick_async() -> Any:
        """Fail after the quick tool."""
        while not quick_ended.is_set():
            await asyncio.sleep(0.001)
        raise ValueError("no such thing")

    last = fails_after_quick_async if failing.is_async else fails_after_quick
    asked = total.with_options(tools=[quick, slow, slow_async, last], tool_errors="raise", on_event=note)
    try:
        with (
            replies(calls(call("quick"), call("slow"), call("slow_async"), call(failing.name))),
            pytest.raises(ToolError),
        ):
            way(asked)
    finally:
        over.set()
    left = "the call ended before the tool did: ToolError"
    assert tools_of(seen) == (
        ["quick", "slow", "slow_async", failing.name],
        {"quick": None, failing.name: "ValueError: no such thing", "slow": left, "slow_async": left},
    )
    assert isinstance(seen[-1], CallFailed)


@every_way
@pytest.mark.parametrize("is_async", [False, True])
def test_a_tool_that_the_deadline_leaves_behind_has_its_finish(way: Any, is_async: bool):
    """With the error that ended the call."""
    reached, over = threading.Event(), threading.Event()

    @tool(name="slow")
    def slow() -> str:
        """Run until the call is over."""
        reached.set()
        over.wait(PATIENCE)
        return "s"

    @tool(name="slow")
    async def slow_async() -> str:
        """Run until the call is over."""
        reached.set()
        while not over.is_set():
            await asyncio.sleep(0.001)
        return "s"

    try:
        for limit in limits(reached.is_set):
            seen: list[Any] = []
            asked = total.with_options(
                tools=[slow_async if is_async else slow], deadline=limit, on_event=seen.append
            )
            # An AssertionError: the deadline passed before the request.
            with suppress(AssertionError), replies(call("slow")), pytest.raises(DeadlineError):
                way(asked)
    finally:
        over.set()
    assert tools_of(seen) == (["slow"], {"slow": "the call ended before the tool did: DeadlineError"})
    assert isinstance(seen[-1], CallFailed)


@every_way
def test_tools_that_a_handler_refuses_have_their_finish(way: Any):
    """A budget that raises for `RunTools`, for example."""
    seen: list[Any] = []

    def refuse(effect: Effect[Any]) -> Script[Any]:
        if isinstance(effect, RunTools):
            raise ConfigurationError("no tools today")
        return (yield from effect)

    with (
        alloy.listen(seen.append),
        alloy.handlers(refuse),
        replies(calls(call("add"), call("add"))),
        pytest.raises(ConfigurationError, match="no tools today"),
    ):
        way(total)
    left = "the call ended before the tool did: ConfigurationError"
    started, finished = tools_of(seen)
    assert (started, finished) == (["add", "add"], {"add": left})


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_of_a_cancelled_task_has_its_finish(streamed: bool):
    """The listener gets it before the end of the call."""
    seen: list[Any] = []

    async def main() -> None:
        running = asyncio.Event()

        @tool
        async def slow() -> str:
            """Run until the task is cancelled."""
            running.set()
            await asyncio.sleep(PATIENCE)
            return "s"

        asked = total.with_options(tools=[slow], on_event=seen.append)
        work = asked.stream_async().run() if streamed else asked.run_async()
        task = asyncio.create_task(work)
        await running.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with replies(call("slow")):
        asyncio.run(main())
    assert tools_of(seen) == (["slow"], {"slow": "the call ended before the tool did: CancelledError"})
    assert isinstance(seen[-1], CallFailed)


def test_a_tool_of_a_stream_that_is_closed_has_its_finish():
    """In the listener: the reader has left."""
    seen: list[Any] = []
    with replies(call("add", a=1, b=2)), total.with_options(on_event=seen.append).stream() as stream:
        for event in stream.events():
            if isinstance(event, ToolStarted):
                break
    assert tools_of(seen) == (["add"], {"add": "the call ended before the tool did: GeneratorExit"})


@every_way
def test_a_tool_that_exits_has_its_finish(way: Any):
    """`SystemExit` passes through, as it does everywhere."""
    seen: list[Any] = []

    @tool
    def leave() -> str:
        """Exit."""
        raise SystemExit(3)

    with (
        replies(call("leave")),
        pytest.raises(SystemExit),
    ):
        way(total.with_options(tools=[leave], on_event=seen.append))
    started, finished = tools_of(seen)
    assert (started, list(finished)) == (["leave"], ["leave"])
    # In async the task of the call is cancelled, which is how an event loop ends.
    error = "CancelledError" if "async" in way.__name__ else "SystemExit"
    assert finished["leave"] == f"the call ended before the tool did: {error}"


def test_the_reader_of_a_stream_gets_the_finish_of_a_tool_that_ends_the_call():
    """The same events as a listener."""
    seen: list[Any] = []
    read: list[Any] = []
    asked = total.with_options(tools=[broken], tool_errors="raise", on_event=seen.append)

    note = read.append

    def read_all() -> None:
        for event in asked.stream().events():
            note(event)

    async def read_async() -> None:
        async for event in asked.stream_async().events():
            note(event)

    with replies(call("broken")), pytest.raises(ToolError):
        read_all()
    assert read == seen
    assert [type(event) for event in read[-2:]] == [ToolFinished, CallFailed]
    with replies(call("broken")), pytest.raises(ToolError):
        asyncio.run(read_async())
    assert read == seen
