"""Usage tracking: what the calls of a scope cost, added up by a handler."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from alloy._engine.effects import CallModel, Effect, Emit, Script
from alloy._engine.handlers import handlers
from alloy.events import CallStarted
from alloy.messages import Usage

__all__ = ["UsageTotal", "track_usage"]


@dataclass(slots=True)
class UsageTotal:
    """What calls cost together: *calls*, *requests* (failed ones included) and *usage* in tokens.

    *by_model* has the usage of each model, by `provider:model`. Safe to read while calls run.
    """

    calls: int = 0
    requests: int = 0
    usage: Usage = field(default_factory=Usage)
    by_model: dict[str, Usage] = field(default_factory=dict)


@contextmanager
def track_usage() -> Iterator[UsageTotal]:
    """Add up what the calls in a `with` block cost, as in `with alloy.track_usage() as total:`.

    It counts plain, async and streamed calls, commands that run as tools, and calls in the threads and
    tasks that Alloy starts. Blocks nest: an outer one counts what an inner one counts.
    """
    total, lock = UsageTotal(), threading.Lock()

    def count(effect: Effect[Any]) -> Script[Any]:
        match effect:
            case Emit(CallStarted()):
                with lock:
                    total.calls += 1
            case CallModel(route, _):
                with lock:
                    total.requests += 1
                reply = yield from effect
                with lock:
                    total.usage += reply.usage
                    total.by_model[route.name] = total.by_model.get(route.name, Usage()) + reply.usage
                return reply
        return (yield from effect)

    with handlers(count):
        yield total
