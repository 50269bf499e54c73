"""Work that many calls need at the same time, and that one of them does for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from alloy.errors import ProviderTimeoutError

__all__ = ["SingleFlight"]


class SingleFlight:
    """Runs one piece of work for each key at a time.

    Threads cannot wait for an event loop, nor loops for each other or a forked child for its parent, so
    the key must differ between these, as a connection pool does. The result of the work is kept elsewhere.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._running: dict[Hashable, Any] = {}  # futures, whose result is whether the work was finished

    def run(
        self, key: Hashable, known: Callable[[], bool], work: Callable[[], object], timeout: float | None
    ) -> None:
        """Run *work* unless its result is *known*, or wait for the call that runs it under the same *key*.

        Work that was finished is not done again, whatever its result. When it failed, each call that
        waited does it in turn. Raises `ProviderTimeoutError` after *timeout* seconds of waiting.
        """
        while not known():
            ours: Future[bool] = Future()
            running = self._running.setdefault(key, ours)
            if running is ours:
                with self._ending(key, ours):
                    if not known():  # another call may have finished the work just now
                        work()
                return
            try:
                if running.result(timeout):
                    return
            except TimeoutError as error:
                raise self._timeout() from error

    async def run_async(
        self,
        key: Hashable,
        known: Callable[[], bool],
        work: Callable[[], Awaitable[object]],
        timeout: float | None,
    ) -> None:
        """As `run`. Cancelling it does not end the wait of another call."""
        while not known():
            running = self._running.get(key)
            if running is None:
                ours = self._running[key] = asyncio.get_running_loop().create_future()
                with self._ending(key, ours):
                    await work()
                return
            # Awaiting the future itself would cancel it when the first waiting call is cancelled.
            if not (await asyncio.wait([running], timeout=timeout))[0]:
                raise self._timeout()
            if running.result():
                return

    @contextmanager
    def _ending(self, key: Hashable, ours: Any) -> Iterator[None]:
        finished = False
        try:
            yield
            finished = True
        finally:
            del self._running[key]
            ours.set_result(finished)

    def _timeout(self) -> ProviderTimeoutError:
        return ProviderTimeoutError(
            "another call asks the server the same question, and its answer did not come in time; "
            "a longer `timeout` may help",
            provider=self._provider,
        )
