"""`BatchStatus`: how far a batch is, in the same words for all providers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["BatchStatus"]

BatchState = Literal["queued", "running", "cancelling", "completed", "failed", "expired", "cancelled"]

_ENDS = ("completed", "failed", "expired", "cancelled")


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How far a batch is.

    *state* is `"queued"`, `"running"` or `"cancelling"`, and at the end `"completed"` (every request was
    run), `"failed"` (the provider refused the batch as a whole), `"expired"` or `"cancelled"` (some requests
    were not run). The numbers count requests, and *total* is their sum. *problem* is what the provider says
    of a batch that failed. Anthropic counts only at the end; until then all are *pending*.
    """

    state: BatchState
    total: int = 0
    pending: int = 0
    succeeded: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    problem: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether there will be no more answers."""
        return self.state in _ENDS

    def __str__(self) -> str:
        names = ("succeeded", "failed", "expired", "cancelled", "pending")
        counts = [f"{count:,} {name}" for name in names if (count := getattr(self, name))]
        problem = f": {self.problem}" if self.problem else ""
        return f"{self.state} ({', '.join(counts) or 'no counts'} of {self.total:,}){problem}"
