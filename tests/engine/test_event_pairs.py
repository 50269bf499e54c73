"""What begins ends once, whatever handlers do with the effects between."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from kit.ways import every_way

import alloy
from alloy import command, tool
from alloy.effects import Effect, Emit, Handler, RunTools, Script
from alloy.events import CallFailed, CallStarted, Event, Final, ToolFinished, ToolStarted
from alloy.messages import ToolCall, ToolResult


@tool
def double(n: int) -> int:
    """Double."""
    return 2 * n


@tool
async def triple(n: int) -> int:
    """Triple."""
    await asyncio.sleep(0)
    return 3 * n


@command(output=str, tools=[double, triple], backend="fake")
def scripted() -> str:
    """A model that calls two tools at once and then answers."""
    return 'fake: call double {"n": 1}\nfake: call triple {"n": 2}\nfake: say done'


def events_of(way: Any, handler: Handler) -> tuple[list[Event], Exception | None]:
    """What a listener is called with, and the error of the call."""
    seen: list[Event] = []
    with alloy.listen(seen.append), alloy.handlers(handler):
        try:
            way(scripted)
        except ValueError as error:
            return seen, error
    return seen, None


def check(seen: list[Event]) -> None:
    """Every beginning has its end after it, and no end is without one."""
    open_tools: Counter[str] = Counter()
    running = 0
    for event in seen:
        match event:
            case CallStarted():
                running += 1
                assert running == 1
            case Final() | CallFailed():
                running -= 1
                assert event is seen[-1]
            case ToolStarted(call):
                open_tools[call.id] += 1
                assert open_tools[call.id] == 1
            case ToolFinished(result):
                open_tools[result.call.id] -= 1
                assert open_tools[result.call.id] == 0
    assert running == 0
    assert not +open_tools


def performing_twice(kind: type[Effect[Any]]) -> Handler:
    def twice(effect: Effect[Any]) -> Script[Any]:
        if isinstance(effect, kind):
            yield from effect
        return (yield from effect)

    return twice


@every_way
def test_tools_that_a_handler_runs_again_start_again(way: Any):
    """Each run has its pair of events."""
    seen, error = events_of(way, performing_twice(RunTools))
    check(seen)
    assert error is None
    kinds = Counter(type(event) for event in seen)
    assert kinds[ToolStarted] == kinds[ToolFinished] == 2 * scripted_tools(way)


def scripted_tools(way: Any) -> int:
    """How many tools the script runs, without a handler."""
    seen: list[Event] = []
    with alloy.listen(seen.append):
        way(scripted)
    return sum(isinstance(event, ToolStarted) for event in seen)


@every_way
def test_an_event_that_a_handler_publishes_twice_comes_once(way: Any):
    """If it begins or ends something."""
    seen, error = events_of(way, performing_twice(Emit))
    check(seen)
    assert error is None


@every_way
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("kind", [CallStarted, ToolStarted, ToolFinished, Final])
def test_a_handler_that_raises_leaves_pairs(way: Any, kind: type[Event], nth: int):
    """At the first event of a call, between the beginnings of two tools, and at the last event."""
    count = 0

    def raising(effect: Effect[Any]) -> Script[Any]:
        nonlocal count
        if isinstance(effect, Emit) and isinstance(effect.event, kind):
            count += 1
            if count == nth:
                raise ValueError("no")
        return (yield from effect)

    seen, error = events_of(way, raising)
    check(seen)
    assert (error is not None) == (count >= nth)


@every_way
def test_a_handler_that_fails_after_its_own_results_leaves_pairs(way: Any):
    """The tools had started, and none has run."""

    def raising(effect: Effect[Any]) -> Script[Any]:
        if isinstance(effect, RunTools):
            return [ToolResult(call, "made") for call in effect.calls]
        if isinstance(effect, Emit) and isinstance(effect.event, ToolFinished):
            raise ValueError("no")
        return (yield from effect)

    seen, error = events_of(way, raising)
    check(seen)
    assert error is not None
    assert any(isinstance(event, ToolFinished) for event in seen)


@every_way
def test_tools_that_a_handler_adds_start(way: Any):
    """They have events of their own."""

    def adding(effect: Effect[Any]) -> Script[Any]:
        if isinstance(effect, RunTools):
            more = ToolCall("more", "double", '{"n": 5}')
            return (yield from replace(effect, calls=(*effect.calls, more)))[:-1]
        return (yield from effect)

    seen, _ = events_of(way, adding)
    check(seen)
    assert any(isinstance(event, ToolStarted) and event.call.id == "more" for event in seen)


def test_the_reader_of_a_stream_gets_the_same_pairs():
    """Also of tools that are run again."""
    with alloy.handlers(performing_twice(RunTools)):
        read = list(scripted.stream().events())
    check(read)
