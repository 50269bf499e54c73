"""Time in tests: how long to wait for what must happen, and limits that must run out at the right place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

PATIENCE = 120.0  # seconds after which a wait has failed, and is not only slow


def limits(reached: Callable[[], object]) -> Iterator[float]:
    """Give time limits for a call that has to run out of time, until one was long enough.

    A loaded machine can miss a short limit before the call gets to what is tested. So the test makes the
    call in a loop, with a longer limit each time, until *reached* says that the call came that far.
    """
    for limit in (0.1, 1.0, 10.0, PATIENCE):
        yield limit
        if reached():
            return
    raise AssertionError(f"the call did not come to what is tested within {PATIENCE} seconds")
