"""Which inputs of a map are under way, and which outcome is the next to be read."""

from __future__ import annotations

from collections import deque

from alloy.maps.outcomes import Outcome

__all__ = ["Window"]

HELD = 4  # for each place of a call: inputs that have begun and are not read yet


class Window:
    """Counts inputs from their beginning until their outcome is read.

    Room for another input is there while fewer than *most* calls are unfinished, and fewer than four times
    *places* outcomes wait for the reader or for an earlier one. While *stops_at_error* is set there is none
    after an error, because the reader will not come further. One thread or task uses it.
    """

    stops_at_error = False

    def __init__(self, places: int, most: int, *, ordered: bool) -> None:
        self._most, self._held = most, HELD * places
        self._ordered = ordered
        self._has_failed = False
        self._begun = self._read = self.unfinished = 0
        self._waiting: dict[int, Outcome[object]] = {}  # by index, of those in order
        self._ready: deque[Outcome[object]] = deque()

    @property
    def has_room(self) -> bool:
        """Whether another input may begin."""
        if self._has_failed and self.stops_at_error:
            return False
        return self.unfinished < self._most and self._begun - self._read < self._held

    @property
    def is_empty(self) -> bool:
        """Whether every input that has begun is read."""
        return self._begun == self._read

    @property
    def next_index(self) -> int:
        """The index of the input that begins next."""
        return self._begun

    def begin(self) -> int:
        """Count another input; returns its index."""
        self._begun += 1
        self.unfinished += 1
        return self._begun - 1

    def add(self, outcome: Outcome[object]) -> None:
        """Keep an outcome for the reader."""
        self.unfinished -= 1
        self._has_failed = self._has_failed or outcome.error is not None
        if not self._ordered:
            self._ready.append(outcome)
            return
        self._waiting[outcome.index] = outcome
        while (found := self._waiting.pop(self._read + len(self._ready), None)) is not None:
            self._ready.append(found)

    def take(self) -> Outcome[object] | None:
        """The next outcome for the reader, if it is there."""
        if not self._ready:
            return None
        self._read += 1
        return self._ready.popleft()
