"""The time limit of the async request that this task makes, for code that has its whole answer already."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import Timeout

__all__ = ["note_limit", "request_is_late"]

_limit: ContextVar[tuple[Timeout, int] | None] = ContextVar("alloy_limit", default=None)


def note_limit(scope: Timeout) -> None:
    """Note the *scope* that a request of this task is about to enter."""
    _limit.set((scope, _cancellations()))


def request_is_late() -> bool:
    """Whether this task is cancelled only because the limit of its request has passed.

    Then the cancellation may be dropped: the scope takes it back at its end.
    """
    found = _limit.get()
    return found is not None and found[0].expired() and _cancellations() == found[1] + 1


def _cancellations() -> int:
    from asyncio import current_task

    task = current_task()
    return 0 if task is None else task.cancelling()
