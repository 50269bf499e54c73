"""How many requests go to one address at once: more would only wait for the machine and the server.

A request waits before its `timeout` begins. A stream counts while it waits for the server, and not while its
reader works: so a reader may make calls of its own, and a slow one keeps nobody waiting.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakValueDictionary

from alloy._engine.routes import Route
from alloy.threads import in_forked_child

if TYPE_CHECKING:
    import asyncio

__all__ = ["NoGate", "loop_gate", "thread_gate", "waiting_for"]


class NoGate:
    """The gate of a backend without connections, which is always open."""

    def enter(self, seconds: float | None) -> bool:
        """Nothing to wait for."""
        return True

    async def enter_async(self) -> None:
        """Nothing to wait for."""

    def leave(self) -> None:
        """Nothing to count."""

    def resume(self) -> None:
        """Nothing to count."""


class ThreadGate(NoGate):
    """Lets *most* requests of all threads in. Those that `resume` are not kept waiting, and may be more."""

    def __init__(self, most: int) -> None:
        self._most, self._inside = most, 0
        self._changed = threading.Condition(threading.Lock())

    def enter(self, seconds: float | None) -> bool:
        """Wait for a place; returns whether there was one within *seconds*."""
        with self._changed:
            if self._inside >= self._most:
                limit = None if seconds is None else min(seconds, threading.TIMEOUT_MAX)
                if not self._changed.wait_for(lambda: self._inside < self._most, limit):
                    return False
            self._inside += 1
        return True

    def leave(self) -> None:
        """Give the place up."""
        with self._changed:
            self._inside -= 1
            self._changed.notify()

    def resume(self) -> None:
        """Go on after `leave`."""
        with self._changed:
            self._inside += 1


class LoopGate(NoGate):
    """As `ThreadGate`, for the tasks of one event loop."""

    def __init__(self, most: int) -> None:
        self._most, self._inside = most, 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter_async(self) -> None:
        """Wait for a place."""
        first = True
        while self._inside >= self._most:
            from asyncio import get_running_loop

            place = get_running_loop().create_future()
            # Who was let in and found the place taken by one that resumed, is the next again.
            (self._waiting.append if first else self._waiting.appendleft)(place)
            first = False
            try:
                await place
            except BaseException:
                if not place.cancelled():
                    self._let_in()
                raise
        self._inside += 1

    def leave(self) -> None:
        """Give the place up."""
        self._inside -= 1
        self._let_in()

    def resume(self) -> None:
        """Go on after `leave`."""
        self._inside += 1

    def _let_in(self) -> None:
        while self._waiting and self._inside < self._most:
            place = self._waiting.popleft()
            if not place.done():  # otherwise its task was cancelled
                place.set_result(None)
                return


# --- the gates in use, each for as long as a request is inside or waits --------------------------------

_NO_GATE = NoGate()
_lock = threading.Lock()
_of_threads: WeakValueDictionary[Hashable, ThreadGate] = WeakValueDictionary()
_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[Hashable, LoopGate]] = (
    WeakKeyDictionary()
)


def thread_gate(route: Route, most: int) -> NoGate:
    """The gate of all threads for the address of *route*."""
    if (key := _key(route, most)) is None:
        return _NO_GATE
    with _lock:
        gate = _of_threads.get(key)
        if gate is None:
            gate = _of_threads[key] = ThreadGate(most)
        return gate


def loop_gate(route: Route, most: int) -> NoGate:
    """As `thread_gate`, of the running event loop, which has connections of its own."""
    if (key := _key(route, most)) is None:
        return _NO_GATE
    from asyncio import get_running_loop

    loop = get_running_loop()
    gates = _of_loops.get(loop)
    if gates is None:
        with _lock:
            gates = _of_loops.setdefault(loop, WeakValueDictionary())
    gate = gates.get(key)
    if gate is None:
        gate = gates[key] = LoopGate(most)
    return gate


def waiting_for(most: int) -> str:
    """What a request waits for at a gate, for an error."""
    return f"a free place among max_connections={most}"


def _key(route: Route, most: int) -> Hashable:
    if not getattr(route.backend, "has_connections", False):
        return None
    endpoint = route.endpoint
    return route.backend.name, endpoint.base_url, endpoint.transport, endpoint.http_client, most


@in_forked_child
def _forget() -> None:
    """Begin without gates: the child has neither the threads that are inside nor the loops."""
    global _lock
    _lock = threading.Lock()
    _of_threads.clear()
    _of_loops.clear()
