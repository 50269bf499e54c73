"""How far a map is: a bar of tqdm in terminals and notebooks, otherwise a line in the log now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from alloy.extras import import_extra
from alloy.logger import log
from alloy.maps.outcomes import MapSummary

__all__ = ["LogLines", "Progress", "progress_of"]

INTERVAL = 10.0  # seconds between two lines in the log


class Progress(Protocol):
    """Shows how far a map is; from any thread."""

    def show(self, summary: MapSummary) -> None:
        """Another input has an outcome."""

    def close(self, summary: MapSummary) -> None:
        """The map has ended, or is left."""


def progress_of(name: str, total: int | None) -> Progress:
    """The progress of the map *name* over *total* inputs, `None` if their number is not known.

    Raises `ConfigurationError` if a bar can be shown, and tqdm is not installed.
    """
    return Bar(name, total) if _is_watched() else LogLines(name, total)


def _is_watched() -> bool:
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())


class Bar:
    """A bar of tqdm on stderr, or in the notebook."""

    def __init__(self, name: str, total: int | None) -> None:
        why = f"{name}: progress=True shows a bar of another package"
        tqdm: Any = import_extra("tqdm.auto", "progress", why).tqdm
        self._lock, self._shown = threading.Lock(), 0
        self._bar: Any = tqdm(desc=name, total=total)

    def show(self, summary: MapSummary) -> None:
        """Move the bar, and count the failed inputs next to it."""
        with self._lock:
            if summary.failed:
                self._bar.set_postfix(failed=summary.failed, refresh=False)
            self._bar.update(summary.finished - self._shown)
            self._shown = summary.finished

    def close(self, summary: MapSummary) -> None:
        """Leave the bar as it is."""
        with self._lock:
            self._bar.close()


class LogLines:
    """A line on the logger `alloy` at most every *interval* seconds, and one at the end."""

    def __init__(
        self,
        name: str,
        total: int | None,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._of = name, "" if total is None else f" of {total:,}"
        self._interval, self._clock, self._lock = interval, clock, threading.Lock()
        self._next = clock() + interval
        self._is_closed = False

    def show(self, summary: MapSummary) -> None:
        """Log a line if it is time for one."""
        with self._lock:
            if (now := self._clock()) < self._next:
                return
            self._next = now + self._interval
        self._log(summary)

    def close(self, summary: MapSummary) -> None:
        """Log the last line."""
        with self._lock:
            first, self._is_closed = not self._is_closed, True
        if first:
            self._log(summary)

    def _log(self, summary: MapSummary) -> None:
        log.info("%s: %s%s inputs: %s", self._name, f"{summary.finished:,}", self._of, str(summary))
