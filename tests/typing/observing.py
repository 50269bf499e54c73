"""Handlers, listeners and usage tracking, as checkers see them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type

import alloy
import alloy.telemetry
from alloy import Budget, Cache, CacheInfo, UsageTotal, command
from alloy.effects import CallModel, Effect, Handler, Script
from alloy.events import Event, Listener, ReplyReceived, ToolFinished
from alloy.jsontypes import JsonObject
from alloy.messages import Reply, RequestUsage, Usage


@command(output=int)
def count(text: str) -> str:
    """Count."""
    return text


def on_event(event: Event) -> None:
    """Tell the kinds of events apart."""
    match event:
        case ReplyReceived(reply=reply):
            assert_type(reply, Reply)
        case ToolFinished(result=result):
            assert_type(result.duration, float)
        case _:
            pass


def handler(effect: Effect[Any]) -> Script[Any]:
    """Look at requests."""
    if isinstance(effect, CallModel):
        assert_type(effect.request.model, str)
        reply: Reply = yield from effect
        return reply
    return (yield from effect)


as_handler: Handler = handler
as_listener: Listener = on_event
as_generator: Callable[[Effect[Any]], Generator[Effect[Any], Any, Any]] = handler

with alloy.handlers(handler), alloy.listen(on_event, print), alloy.track_usage() as total:
    assert_type(count.with_options(on_event=on_event)("bees"), int)
    assert_type(count.with_options(on_event=[on_event, print])("bees"), int)

with alloy.budget(tokens=1000, cost="0.50") as budget, alloy.budget(budget):
    assert_type(budget, Budget)
    assert_type(budget.spent.cost, Decimal | None)
    assert_type(count.with_options(budget=budget)("bees"), int)

cache = alloy.Cache("answers.sqlite", ttl=timedelta(days=1), max_bytes=None)
assert_type(cache, Cache)
assert_type(cache.refreshing(), Cache)
assert_type(cache.info(), CacheInfo)
assert_type(cache.info().answers, int)
assert_type(count.with_options(cache=cache)("bees"), int)
assert_type(count.with_options(cache="answers.sqlite").run("bees").cached, int)
alloy.configure(cache=Path("answers.sqlite"))
alloy.configure(cache=False)

assert_type(total, UsageTotal)
assert_type(total.usage, Usage)
assert_type(total.cost, Decimal | None)
assert_type(total.unpriced, tuple[str, ...])
assert_type(count.run("bees").cost, Decimal | None)
assert_type(count.run("bees").requests, tuple[RequestUsage, ...])
assert_type(total.by_model["openai:gpt-5.6"].input_tokens, int)
alloy.configure(on_event=on_event)
alloy.configure(on_event=None)

assert_type(alloy.telemetry.instrument(), None)
assert_type(alloy.telemetry.instrument(tracer_provider=None, meter_provider=None, content=True), None)
assert_type(alloy.telemetry.uninstrument(), None)

# --- what a call would need

found = alloy.doctor(model=["gpt-5.6", {"model": "ollama:qwen3", "temperature": 0}], timeout=5, connect=True)
assert_type(found, alloy.Checkup)
assert_type(found.ok, bool)
assert_type(found.problems, tuple[str, ...])
assert_type(found.notes, tuple[str, ...])
assert_type([package.installed for package in found.packages], list[str | None])
assert_type(
    [(key.variable, key.backends, key.is_set) for key in found.keys], list[tuple[str, tuple[str, ...], bool]]
)
assert_type([setting.value for setting in found.settings], list[str])
assert_type(
    [(model.address, model.is_reached) for model in found.models], list[tuple[str | None, bool | None]]
)
assert_type([circuit.seconds for circuit in found.circuits], list[float])
assert_type(found.to_dict(), JsonObject)
assert_type(alloy.doctor(), alloy.Checkup)
