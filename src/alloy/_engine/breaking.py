"""A circuit breaker as a handler: it counts the requests of a call, and refuses them while it is open."""

from __future__ import annotations

from typing import Any

from alloy._engine.effects import CallModel, Effect, Handler, Script, Sleep
from alloy._engine.routes import ModelAddress
from alloy.circuit_breakers import CircuitBreaker

__all__ = ["breaking"]


def breaking(breaker: CircuitBreaker) -> Handler:
    """The handler that asks *breaker* before each request and reports to it how the request ended.

    It is of one call. A wait before a retry is left out if the circuit will still be open after it.
    """
    asked: ModelAddress | None = None

    def circuit_breaker(effect: Effect[Any]) -> Script[Any]:
        nonlocal asked
        if isinstance(effect, Sleep) and asked is not None:
            breaker.check(*asked, seconds=effect.seconds)
        if not isinstance(effect, CallModel):
            return (yield from effect)
        asked = effect.route.address
        with breaker.request(*asked):
            return (yield from effect)

    return circuit_breaker
