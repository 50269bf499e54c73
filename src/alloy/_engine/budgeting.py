"""A budget as a handler: it counts the requests of a call, and refuses them when it is used up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard

from alloy._engine.effects import CallModel, Effect, Handler, Script
from alloy._engine.handlers import Counting, current_handlers
from alloy.budgets import Budget
from alloy.errors import NOT_SENT
from alloy.messages import Reply

__all__ = ["budgets_of", "is_budget", "missing_budgets"]


def _budgeted(shared: Budget, effect: Effect[Any]) -> Script[Any]:
    if not isinstance(effect, CallModel):
        return (yield from effect)
    shared.begin_request(effect.route.name, effect.route.address.address)
    try:
        reply: Reply = yield from effect
    except NOT_SENT:
        shared.take_back_request()
        raise
    shared.add(effect.route.used(reply.usage))
    return reply


def is_budget(handler: Handler) -> TypeGuard[Counting]:
    """Whether *handler* is that of a budget."""
    return isinstance(handler, Counting) and handler.func is _budgeted


def missing_budgets(budgets: Iterable[Budget]) -> tuple[Handler, ...]:
    """Handlers for those *budgets* that the scopes around the caller do not have."""
    known = budgets_of(current_handlers())
    return tuple(Counting(_budgeted, each) for each in dict.fromkeys(budgets) if each not in known)


def budgets_of(several: Iterable[Handler]) -> list[Budget]:
    """The budgets of those of the handlers that are made here."""
    return [each.args[0] for each in several if is_budget(each)]
