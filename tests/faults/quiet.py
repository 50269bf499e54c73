"""What a call may not leave behind: text on stderr, exceptions that nobody can catch, and threads."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

from kit.patience import PATIENCE


class _Remembered(logging.Handler):
    def __init__(self, seen: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._seen = seen

    def emit(self, record: logging.LogRecord) -> None:
        self._seen.append(f"log: {record.getMessage()}")


@contextmanager
def noticed(*, collect: bool = True) -> Iterator[list[str]]:
    """Give a list that has, at the end, everything that was not an exception of the caller.

    That is: stderr, warnings, errors of asyncio, and exceptions in threads and in destructors. *collect* runs
    the garbage collector, so that destructors run now.
    """
    seen: list[str] = []
    hooks, handler = (sys.unraisablehook, threading.excepthook), _Remembered(seen)
    loop_log, silent = logging.getLogger("asyncio"), logging.NullHandler()
    loop_log.addHandler(handler)
    logging.root.addHandler(silent)  # without any, warnings of Alloy's own log go to stderr
    sys.unraisablehook = lambda found: seen.append(f"unraisable: {found.exc_value!r} in {found.object!r}")
    threading.excepthook = lambda found: seen.append(f"in a thread: {found.exc_value!r}")
    try:
        with redirect_stderr(io.StringIO()) as stderr, warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda message, *_, **__: seen.append(f"warning: {message!r}")
            yield seen
            if collect:
                gc.collect()
                gc.freeze()  # what is left now is not looked at again: that makes it ten times as fast
    finally:
        sys.unraisablehook, threading.excepthook = hooks
        loop_log.removeHandler(handler)
        logging.root.removeHandler(silent)
    seen += [f"stderr: {line}" for line in stderr.getvalue().splitlines()]


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


# One of each for the process, from the first call that needs it on.
_SHARED = {"alloy-watchdog", "alloy-loop"}


def left_over(before: set[threading.Thread]) -> list[str]:
    """The names of threads that did not run *before* and do not end; some may need a moment."""
    end = time.monotonic() + PATIENCE
    while (
        new := {each for each in threads() - before if each.name not in _SHARED}
    ) and time.monotonic() < end:
        for thread in new:
            thread.join(0.01)
    return [thread.name for thread in new]


async def tasks_left() -> list[str]:
    """The names of the other tasks of this loop that do not end; those that close a generator do, at once."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return [task.get_name() for task in (await asyncio.wait(others, timeout=PATIENCE))[1]] if others else []
