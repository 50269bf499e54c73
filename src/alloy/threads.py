"""Threads of our own, and what threads, contexts and forked children share.

A `ThreadPoolExecutor` cannot be used once the main thread has ended.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from concurrent.futures import Future

from alloy.errors import ConfigurationError
from alloy.logger import log

__all__ = [
    "SharedByCalls",
    "all_shared",
    "in_forked_child",
    "in_thread",
    "in_threads",
    "late_error",
    "log_if_running",
    "start_thread",
    "value_of",
]

T = TypeVar("T")


def in_threads(work: Sequence[Callable[[], T]], most: int, name: str) -> list[Future[T]]:
    """Call the functions in at most *most* threads, each in a copy of this context.

    A future that is cancelled in time is not begun. The end of the process does not wait for the threads.
    """
    from concurrent.futures import Future

    futures: list[Future[T]] = [Future() for _ in work]
    contexts = (copy_context() for _ in work)
    waiting = deque(zip(futures, contexts, work, strict=True))

    def run() -> None:
        while waiting:
            try:
                future, context, function = waiting.popleft()
            except IndexError:  # another thread took the last one
                return
            if future.set_running_or_notify_cancel():
                _complete(future, context.run, function)

    for nth in range(min(most, len(futures))):
        start_thread(threading.Thread(target=run, name=f"{name}_{nth}", daemon=True))
    return futures


def start_thread(thread: threading.Thread) -> None:
    """Start *thread*. Raises `ConfigurationError` if the main thread has ended and Python refuses it."""
    try:
        thread.start()
    except RuntimeError as error:
        if (late := late_error(error)) is None:
            raise
        raise late from error


def in_forked_child(function: Callable[[], T]) -> Callable[[], T]:
    """Have *function* called in each forked child, which has the locks of its parent, but not the threads."""
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=function)
    return function


class SharedByCalls:
    """What calls share in threads, tasks and event loops: `_lock` guards it, and a copy is the same object.

    *clock* returns a number of seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._lock = clock, threading.Lock()
        with _adding:
            _shared.add(self)

    def __deepcopy__(self, _: object) -> Self:
        return self  # a copied command shares what the command shares


_shared: WeakSet[SharedByCalls] = WeakSet()
_adding = threading.Lock()


def all_shared() -> list[SharedByCalls]:
    """All objects of this kind that are alive."""
    with _adding:
        return list(_shared)


@in_forked_child
def _renew_locks() -> None:
    global _adding
    _adding = threading.Lock()
    for each in _shared:  # a thread that does not exist in the child may have held them
        each._lock = threading.Lock()


@contextmanager
def value_of(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Within the block, *variable* is *value*.

    Not for a coroutine, which may be closed in another context than its own.
    """
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def late_error(error: BaseException) -> ConfigurationError | None:
    """*error* as an Alloy error if a library tried to use a thread pool after the main thread had ended."""
    if isinstance(error, RuntimeError) and "shutdown" in str(error) and _main_has_ended():
        return ConfigurationError(
            f"the main thread has ended, and then asyncio, some libraries and Python 3.12 start no threads "
            f"({error}): let the main thread wait for this one with thread.join()"
        )
    return None


def _main_has_ended() -> bool:
    return not threading.main_thread().is_alive()


def _complete(future: Future[Any], call: Callable[..., Any], *args: Any) -> None:
    try:
        value = call(*args)
    except StopIteration as error:  # asyncio cannot raise it where the future is awaited (PEP 479)
        problem = RuntimeError(f"{args[0]!r} raised StopIteration")
        problem.__cause__ = error
        future.set_exception(problem)
    except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
        future.set_exception(error)
    else:
        future.set_result(value)


async def in_thread(function: Callable[[], T], name: str = "alloy-thread", what: str = "") -> T:
    """What *function* returns, without blocking the event loop.

    If it is named by *what*, and still runs when the wait is cancelled, it is named in the log.
    """
    from asyncio import wrap_future

    (called,) = in_threads([function], 1, name)
    try:
        return await wrap_future(called)
    finally:
        if what:
            log_if_running(called, what)


def log_if_running(called: Future[Any], what: str) -> None:
    """Name in the log *what* still runs in a thread although nobody waits for it any more."""
    if called.running():
        log.info("%s still runs, and nobody waits for it: a thread cannot be stopped", what)
