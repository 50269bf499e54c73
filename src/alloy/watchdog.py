"""Functions that are called later, by one thread for the whole process."""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Callable
from itertools import count
from time import monotonic

from alloy.quantities import LONGEST_WAIT
from alloy.threads import in_forked_child, start_thread

__all__ = ["Alarm", "call_later"]

log = logging.getLogger("alloy")

FEW = 64  # cancelled alarms that are kept without counting them


class Alarm:
    """A function that will be called; after `cancel` has returned it is not running, nor ever will be."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function: Callable[[], object] | None = function
        self._lock = threading.RLock()  # the function itself may cancel it

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to call."""
        return self._function is None

    def cancel(self) -> None:
        """Do not call the function any more."""
        with self._lock:
            self._function = None

    def ring(self) -> None:
        """Call the function."""
        with self._lock:
            function, self._function = self._function, None
            if function is not None:
                try:
                    function()
                except Exception:
                    log.exception("what was to be called later failed")


class _Watchdog:
    """A thread, started on first use, that sleeps until the next alarm of a heap."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin without alarms and without a thread, as in a forked child, which has no such thread."""
        self._changed = threading.Condition(threading.Lock())
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._numbers = count()  # orders alarms of the same time
        self._thread: threading.Thread | None = None
        self._sweep_at = FEW

    def add(self, seconds: float, alarm: Alarm) -> None:
        entry = (monotonic() + seconds, next(self._numbers), alarm)
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="alloy-watchdog", daemon=True)
                start_thread(thread)
                self._thread = thread
            if len(self._alarms) >= self._sweep_at:
                self._alarms = [each for each in self._alarms if not each[2].is_over]
                heapq.heapify(self._alarms)
                self._sweep_at = max(FEW, 2 * len(self._alarms))
            heapq.heappush(self._alarms, entry)
            if self._alarms[0] is entry:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            self._next().ring()

    def _next(self) -> Alarm:
        """Wait for the next alarm."""
        with self._changed:
            while True:
                while self._alarms and self._alarms[0][2].is_over:
                    heapq.heappop(self._alarms)
                wait = self._alarms[0][0] - monotonic() if self._alarms else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._alarms)[2]
                # `wait` of a lock refuses longer times (https://docs.python.org/3/library/threading.html).
                self._changed.wait(wait if wait is None else min(wait, LONGEST_WAIT, threading.TIMEOUT_MAX))


_WATCHDOG = _Watchdog()

in_forked_child(_WATCHDOG.start)


def call_later(seconds: float, function: Callable[[], object]) -> Alarm:
    """Have *function*, which must not block, called in *seconds*, unless the alarm is cancelled before."""
    alarm = Alarm(function)
    _WATCHDOG.add(seconds, alarm)
    return alarm
