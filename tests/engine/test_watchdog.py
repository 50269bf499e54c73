"""The watchdog: one thread that calls functions later."""

from __future__ import annotations

import os
import threading

import pytest
from kit.patience import PATIENCE

from alloy import watchdog
from alloy.watchdog import call_later


def test_functions_are_called_in_the_order_of_their_times():
    """One thread calls them all, whatever the order in which they came."""
    seen: list[tuple[str, str]] = []
    over = threading.Event()

    def note(name: str) -> None:
        seen.append((name, threading.current_thread().name))

    gone = call_later(0.001, lambda: note("cancelled"))
    gone.cancel()
    call_later(0.06, lambda: (note("third"), over.set()))
    call_later(0.04, lambda: note("second"))
    call_later(0.02, lambda: note("first"))
    assert over.wait(PATIENCE)
    assert seen == [(name, "alloy-watchdog") for name in ("first", "second", "third")]


def test_cancel_waits_for_a_function_that_is_running():
    """Afterwards the function is over: what it would cut may then be used for something else."""
    began, finish, cancelled = threading.Event(), threading.Event(), threading.Event()
    seen: list[str] = []

    def slow() -> None:
        began.set()
        finish.wait(PATIENCE)
        seen.append("called")

    alarm = call_later(0, slow)
    assert began.wait(PATIENCE)

    def cancel() -> None:
        alarm.cancel()
        seen.append("cancelled")
        cancelled.set()

    threading.Thread(target=cancel).start()
    finish.set()
    assert cancelled.wait(PATIENCE)
    assert seen == ["called", "cancelled"]


def test_a_function_that_raises_costs_nobody_else(caplog: pytest.LogCaptureFixture):
    """It is logged, and the next one is called."""
    over = threading.Event()
    call_later(0, lambda: 1 / 0)
    call_later(0.01, over.set)
    assert over.wait(PATIENCE)
    assert "ZeroDivisionError" in caplog.text


def test_cancelled_alarms_are_not_kept():
    """A call per millisecond with a long limit does not fill the heap."""
    for _ in range(10 * watchdog.FEW):
        call_later(3600, print).cancel()
    assert len(watchdog._WATCHDOG._alarms) <= 2 * watchdog.FEW


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_has_a_watchdog_of_its_own():
    """The thread is not inherited, and the parent's alarms are not the child's."""
    call_later(0, lambda: None)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        over = threading.Event()
        call_later(0, over.set)
        os.write(writer, b"rang" if over.wait(PATIENCE) else b"hung")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(reader, 4) == b"rang"
