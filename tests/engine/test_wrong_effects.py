"""Handlers that return a wrong outcome, or yield a wrong effect: the error names the handler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from kit.ways import every_way

import alloy
from alloy import ConfigurationError, RateLimitError, command, register_parser, tool
from alloy.effects import CallModel, Effect, Emit, Handler, ParseValues, RunTools, Script, Sleep
from alloy.messages import Reply, ToolCall, ToolResult
from alloy.testing import call, replies

WRONG = [None, 1, "x", [], {}, (None,), [None], [1, 2, 3], object()]


def shown(value: object) -> str:
    """*value* in the name of a test; a name with an address would differ in each process."""
    return "object()" if type(value) is object else repr(value)


class Money:
    """A type that an async parser reads."""


@pytest.fixture(autouse=True)
def money_is_looked_up():
    async def look_up(text: str) -> Money:
        await asyncio.sleep(0)
        return Money()

    with register_parser(Money, wire=str, parse=look_up):
        yield


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@command(output=Money, tools=[add], reask=0)
def price() -> str:
    """Needs a tool, a retry, and an async parser."""
    return "How much?"


def at(kind: type[Effect[Any]], act: Callable[[Any], Script[Any]]) -> Handler:
    """A handler, named `meddler`, that does *act* with the effects of *kind*."""

    def meddler(effect: Effect[Any]) -> Script[Any]:
        return (yield from act(effect)) if isinstance(effect, kind) else (yield from effect)

    return meddler


def gives(outcome: object) -> Callable[[Any], Script[Any]]:
    """Returns *outcome*, whatever the effect is."""

    def act(_: Effect[Any]) -> Script[Any]:
        return outcome
        yield

    return act


def changes(name: str, value: object) -> Callable[[Any], Script[Any]]:
    """Performs the effect with another value of the field *name*."""

    def act(effect: Any) -> Script[Any]:
        return (yield from replace(effect, **{name: value}))

    return act


def refused(way: Any, handler: Handler, text: str) -> None:
    """A call with *handler* is a `ConfigurationError` that names the handler, and has *text*."""
    failure = RateLimitError("wait", provider="fake", retry_after=0)
    with (
        pytest.raises(ConfigurationError, match=rf"the handler \S*meddler\b.*{text}"),
        alloy.handlers(handler),
        replies(failure, call("add", a=1, b=2), "EUR"),
    ):
        way(price)


@every_way
@pytest.mark.parametrize("value", WRONG, ids=shown)
def test_a_wrong_outcome_of_parsing_is_the_handlers_fault(way: Any, value: object):
    """It is neither the model's nor a bare TypeError."""
    refused(way, at(ParseValues, gives(value)), "ParseValues")


@every_way
@pytest.mark.parametrize(
    "reply",
    [
        Reply(None),  # type: ignore[arg-type]
        Reply(1),  # type: ignore[arg-type]
        Reply("x", 1),  # type: ignore[arg-type]
        Reply("x", (None,)),  # type: ignore[arg-type]
        Reply("", (ToolCall(None, "add", "{}"),)),  # type: ignore[arg-type]
        Reply("x", usage=None),  # type: ignore[arg-type]
        Reply("x", finish="no"),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_a_reply_of_wrong_parts_is_the_handlers_fault(way: Any, reply: Reply):
    """A `Reply` checks nothing when it is made."""
    refused(way, at(CallModel, gives(reply)), "CallModel")


@every_way
@pytest.mark.parametrize("content", [None, 1, []], ids=repr)
def test_a_result_without_text_is_the_handlers_fault(way: Any, content: Any):
    """The model gets the text of a result."""

    def act(effect: RunTools) -> Script[Any]:
        return [ToolResult(called, content) for called in effect.calls]
        yield

    refused(way, at(RunTools, act), "RunTools")


@every_way
@pytest.mark.parametrize("value", [value for value in WRONG if value not in ([], {})], ids=shown)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (CallModel, "route"),
        (CallModel, "request"),
        (RunTools, "route"),
        (RunTools, "calls"),
        (ParseValues, "calls"),
        (Sleep, "seconds"),
        (Emit, "event"),
    ],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_an_effect_of_wrong_parts_is_the_handlers_fault(way: Any, kind: Any, name: str, value: object):
    """The error names the effect and its field."""
    if (kind, value) == (Sleep, 1):
        value = -1
    refused(way, at(kind, changes(name, value)), rf"{kind.__name__}: {name} must be ")


@every_way
def test_the_inner_one_of_two_handlers_is_named(way: Any):
    """An outer handler passes on what the inner one yields, and is not at fault."""

    def outer(effect: Effect[Any]) -> Script[Any]:
        return (yield from effect)

    with alloy.handlers(outer):
        refused(way, at(CallModel, changes("route", None)), "CallModel")


@every_way
@pytest.mark.parametrize("value", [5, None, "text"])
@pytest.mark.parametrize("depth", [0, 1])
def test_what_is_not_an_effect_is_the_handlers_fault(way: Any, value: object, depth: int):
    """Also when another handler is around it."""

    def act(effect: Effect[Any]) -> Script[Any]:
        yield value  # type: ignore[misc]
        return (yield from effect)

    def outer(effect: Effect[Any]) -> Script[Any]:
        return (yield from effect)

    with alloy.handlers(*[outer] * depth):
        refused(way, at(CallModel, act), "is not an effect")


@every_way
def test_a_list_of_calls_is_accepted(way: Any):
    """As a handler writes that leaves some of them out."""

    def act(effect: RunTools) -> Script[Any]:
        return (yield from replace(effect, calls=list(effect.calls)))  # type: ignore[arg-type]

    with alloy.handlers(at(RunTools, act)), replies(call("add", a=1, b=2), "EUR"):
        assert isinstance(way(price)[0].value, Money)
