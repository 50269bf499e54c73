"""A circuit breaker as a handler: it counts the requests of a call, and refuses them while it is open."""

from __future__ import annotations

from typing import Any

from alloy._engine.effects import CallModel, Effect, Handler, Script
from alloy.circuit_breakers import CircuitBreaker

__all__ = ["breaking"]


def breaking(breaker: CircuitBreaker) -> Handler:
    """The handler that asks *breaker* before each request and reports to it how the request ended."""

    def circuit_breaker(effect: Effect[Any]) -> Script[Any]:
        if not isinstance(effect, CallModel):
            return (yield from effect)
        with breaker.request(*effect.route.address):
            return (yield from effect)

    return circuit_breaker
