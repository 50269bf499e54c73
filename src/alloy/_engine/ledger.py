"""The model requests that are made inside of a tool, noted for the call that runs the tool."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar

from alloy.budgets import Budget
from alloy.messages import RequestUsage
from alloy.threads import value_of

__all__ = ["Ledger", "current_ledger", "note_in", "noting"]


class Ledger:
    """The requests of one tool. What is noted is noted in the ledger around it, too.

    *budgets* are those of the call that runs the tool: the calls that the tool makes share them. *report*
    tells the listeners of that call how far the tool is.
    """

    def __init__(self, budgets: tuple[Budget, ...] = ()) -> None:
        self.requests: list[RequestUsage] = []
        self.budgets = budgets
        self._outer = current_ledger()
        self.report: Callable[[float, float | None, str], object] = _nobody

    def note(self, request: RequestUsage) -> None:
        """Note *request*; from any thread, because appending to a list is atomic."""
        self.requests.append(request)
        if self._outer is not None:
            self._outer.note(request)


def _nobody(progress: float, total: float | None, message: str) -> None:
    """Nobody listens."""


_current: ContextVar[Ledger | None] = ContextVar("alloy_ledger", default=None)


def current_ledger() -> Ledger | None:
    """The ledger of the tool that runs in this context."""
    return _current.get()


def note_in(ledger: Ledger) -> None:
    """Note the requests of the calls in this task, from now on, in *ledger*."""
    _current.set(ledger)


def noting(ledger: Ledger) -> AbstractContextManager[None]:
    """Note the requests of the calls in a `with` block in *ledger*; not for a coroutine (`note_in`)."""
    return value_of(_current, ledger)
