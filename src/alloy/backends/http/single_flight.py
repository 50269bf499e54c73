"""Work that many calls need at the same time, and that one of them does for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

__all__ = ["Once"]


class Once:
    """Runs one piece of work at each place at a time.

    Threads cannot wait for an event loop, nor loops for each other or a forked child for its parent, so
    the place must tell these apart, as a connection pool does. What comes of the work is kept by others.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, Any] = {}  # futures, which say whether the work came to its end

    def run(
        self, place: Hashable, known: Callable[[], bool], work: Callable[[], object], timeout: float | None
    ) -> None:
        """Run *work* unless its outcome is *known*, or wait for whoever runs it at the same *place*.

        Work that came to its end is not done again, whatever came of it. When it failed, each who
        waited does it in turn. Raises httpx's `ReadTimeout` after *timeout* seconds of waiting.
        """
        while not known():
            ours: Future[bool] = Future()
            running = self._running.setdefault(place, ours)
            if running is ours:
                with self._ending(place, ours):
                    if not known():  # as when another's work came to its end just now
                        work()
                return
            try:
                if running.result(timeout):
                    return
            except TimeoutError as error:
                raise _late() from error

    async def run_async(
        self,
        place: Hashable,
        known: Callable[[], bool],
        work: Callable[[], Awaitable[object]],
        timeout: float | None,
    ) -> None:
        """As `run`. Cancelling it ends no other's wait."""
        while not known():
            running = self._running.get(place)
            if running is None:
                ours = self._running[place] = asyncio.get_running_loop().create_future()
                with self._ending(place, ours):
                    await work()
                return
            # Awaiting the future itself would cancel it with the first who is cancelled.
            if not (await asyncio.wait([running], timeout=timeout))[0]:
                raise _late()
            if running.result():
                return

    @contextmanager
    def _ending(self, place: Hashable, ours: Any) -> Iterator[None]:
        ended = False
        try:
            yield
            ended = True
        finally:
            del self._running[place]
            ours.set_result(ended)


def _late() -> Exception:
    import httpx

    return httpx.ReadTimeout("another call has asked the server the same, and waits for its answer")
