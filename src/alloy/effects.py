"""Effects and handlers: how to stand between a call and what it does.

A call is a script that yields effects: `CallModel`, `RunTools`, `Sleep`, `ParseValues`, `Emit` and
`Elapsed`. A handler gets each of them and returns its outcome:

    def count_requests(effect):
        if isinstance(effect, CallModel):
            print("asking", effect.route.name)
        return (yield from effect)

    with alloy.handlers(count_requests):
        read_invoice(scan)

It may also answer by itself, raise, or perform an effect again. It works in plain, async and streamed calls.
"""

from __future__ import annotations

from alloy._engine.effects import (
    CallModel,
    Effect,
    Elapsed,
    Emit,
    Handler,
    ParseValues,
    RunTools,
    Script,
    Sleep,
)
from alloy._engine.handlers import handlers, listen
from alloy._engine.routes import Route

__all__ = [
    "CallModel",
    "Effect",
    "Elapsed",
    "Emit",
    "Handler",
    "ParseValues",
    "Route",
    "RunTools",
    "Script",
    "Sleep",
    "handlers",
    "listen",
]
