"""Rate limits of a map."""

from __future__ import annotations

import threading

from kit.mapping import NumberServer, double, map_threads
from kit.patience import PATIENCE
from kit.wire import WireServer

from alloy.events import RateLimited


def test_a_wait_for_the_rate_limit_ends_with_the_map(server: WireServer):
    """The second request of a minute is held back, and is never sent."""
    numbers, waits = NumberServer(server), threading.Event()

    def listen(event: object) -> None:
        if isinstance(event, RateLimited):
            waits.set()

    asked = double.with_options(**numbers.options, on_event=listen)
    with asked.map(range(2), concurrency=2, requests_per_minute=1, ordered=False) as found:
        next(found)
        assert waits.wait(PATIENCE)
        threads = map_threads()
    for thread in threads:
        thread.join(PATIENCE)
    assert [thread for thread in threads if thread.is_alive()] == []
    assert len(numbers.asked()) == 1
