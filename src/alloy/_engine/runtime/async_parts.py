"""A coroutine that is read as it runs, in place of nested async generators.

asyncio closes every async generator that it has seen on its own: when a loop shuts down, those of a nest are
closed at the same time, which fails and is reported on stderr.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary, ref

from alloy.errors import ConfigurationError

if TYPE_CHECKING:
    from asyncio import Event

__all__ = ["CLOSED", "AsyncParts", "StreamClosedError", "StreamInUseError", "check_asyncio", "put"]

T = TypeVar("T")

_CLOSE = object()
CUTS_MAX = 1000  # awaits that `finally` blocks may begin when nothing can be awaited any more

NOT_ASYNCIO = (
    "async calls run in a task of asyncio's event loop, and there is none here: with trio, call the sync "
    "form in a thread (trio.to_thread.run_sync); with anyio, choose the backend asyncio"
)

CLOSED = (
    "this stream was closed before it was read to its end: read it in its `with` block, or hand it on "
    "without one"
)


class StreamInUseError(ConfigurationError, RuntimeError):
    """A stream is read in two places at once; a `RuntimeError`, too, as Python has it for generators."""


class StreamClosedError(ConfigurationError, RuntimeError):
    """A stream is read after it was closed: without an error, its answer would look empty."""


def check_asyncio() -> None:
    """Raise `ConfigurationError` unless a task of asyncio runs."""
    import asyncio

    try:
        task = asyncio.current_task()
    except RuntimeError:  # there is no event loop
        task = None
    if task is None:
        raise ConfigurationError(NOT_ASYNCIO)


class put:  # noqa: N801 - awaited like a function
    """`await put(part)` gives *part* to whoever reads the coroutine, and waits until the next is asked for.

    Raises `GeneratorExit` when the coroutine is closed instead.
    """

    __slots__ = ("part",)

    def __init__(self, part: Any) -> None:
        self.part = part

    def __await__(self) -> Generator[Any, Any, None]:
        # Not thrown into the coroutine from outside: then nothing in it could be awaited any more (PEP 380).
        if (yield self) is _CLOSE:
            raise GeneratorExit


class AsyncParts(Generic[T]):
    """Iterates over what a coroutine gives to the function that *start* gets; *result* is what it returned.

    Nothing runs before the first part is asked for. When this object is dropped, or the loop shuts down, the
    coroutine is closed.
    """

    def __init__(self, start: Callable[[Callable[[Any], put]], Coroutine[Any, Any, T]]) -> None:
        self._start: Callable[[Callable[[Any], put]], Coroutine[Any, Any, T]] | None = start
        self._run: _Run[T] | None = None

    @property
    def result(self) -> T | None:
        return None if self._run is None else self._run.result

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._start is not None:
            check_asyncio()
            self._run, self._start = _Run(self._start(put)), None
        if self._run is None:
            raise StreamClosedError(CLOSED)
        return await self._run.step()

    async def aclose(self) -> None:
        """Close the coroutine, if it has not ended."""
        self._start = None
        if self._run is not None:
            await self._run.close()

    def __del__(self) -> None:
        if self._run is not None:
            self._run.leave()


class _Run(Generic[T]):
    """A coroutine that has begun.

    The loop closes it when it shuts down, as it does async generators: asyncio's hooks for these need only
    `aclose`. The generators that begin inside of the coroutine get hooks of their own (`_Inner`), so that it
    can close them in its own order. If nothing can close it any more, it is unwound without a word.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        from asyncio import CancelledError, get_running_loop

        self._coroutine, self._loop, self._cancelled = coroutine, get_running_loop(), CancelledError
        self._is_read = self._is_unwound = self.over = False
        self._closed: Event | None = None  # set at the end of `close`
        self.result: T | None = None
        self._inner = _Inner(self)
        self._inner.show_to_loop(self)

    async def step(self) -> Any:
        """The next part. Raises `StopAsyncIteration` at the end, and after an error."""
        if self.over and self.result is None and (self._closed is not None or self._is_unwound):
            self._check_that_nothing_reads()
            raise StreamClosedError(CLOSED)
        if self.over:
            raise StopAsyncIteration
        return await self._send(None)

    async def close(self) -> None:
        """Close the coroutine and wait for it. Raises `StreamInUseError` while a task reads it."""
        from asyncio import Event

        if self._closed is not None:  # another task closes it
            await self._closed.wait()
            return
        if self.over:
            return
        self._check_that_nothing_reads()
        self._closed = Event()
        try:
            with suppress(GeneratorExit, StopAsyncIteration):
                while True:  # what it puts now, nobody reads
                    await self._send(_CLOSE)
        finally:
            self._closed.set()

    async def aclose(self) -> None:
        """As `close`, for the event loop, which would print an error."""
        with suppress(Exception):
            await self.close()

    def leave(self) -> None:
        """Have the loop close the coroutine: nothing reads it any more."""
        if not self.over:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._close_in_task)

    def _close_in_task(self) -> None:
        self._task = self._loop.create_task(self.aclose())

    async def _send(self, value: Any) -> Any:
        self._check_that_nothing_reads()
        self._inner.keeps_dropped = True
        try:
            return await _Awaited(self, value)
        finally:
            # After `unwind` nothing can be awaited any more.
            await self._inner.close_dropped(wait=self.over and not self._is_unwound)

    def _check_that_nothing_reads(self) -> None:
        """Raise `StreamInUseError` while another task reads, and in another event loop."""
        from asyncio import get_running_loop

        if get_running_loop() is not self._loop:
            raise StreamInUseError(
                "this stream belongs to the event loop in which its reading began: read and close it there, "
                "or make another stream in this loop"
            )
        if self._is_read:
            raise StreamInUseError(
                "another task is reading this stream: read it in one task, and hand its pieces on"
            )

    def drive(self, value: Any) -> Generator[Any, Any, Any]:
        """Run the coroutine up to the next part; everything else that it awaits is for the event loop."""
        send: Callable[[Any], Any] = self._coroutine.send
        self._is_read, is_waiting = True, False
        try:
            while True:
                with self._inner.hooks():
                    found = send(value)
                if isinstance(found, put):
                    is_waiting = True
                    return found.part
                try:
                    value, send = (yield found), self._coroutine.send
                except GeneratorExit:
                    self.unwind()
                    raise
                except BaseException as error:  # noqa: BLE001 - a cancellation is for the coroutine
                    value, send = error, self._coroutine.throw
        except StopIteration as done:
            self.result = done.value
            raise StopAsyncIteration from None
        finally:
            self._is_read, self.over = False, self.over or not is_waiting

    def unwind(self) -> None:
        """End the coroutine without waiting for anything: each await in its `finally` blocks is cut short."""
        self.over = self._is_unwound = True
        with suppress(BaseException):
            if not self._is_read:
                self._coroutine.send(_CLOSE)
            for _ in range(CUTS_MAX):
                self._coroutine.throw(self._cancelled())

    def __del__(self) -> None:
        if not self.over:
            self.unwind()


class _Awaited:
    def __init__(self, run: _Run[Any], value: Any) -> None:
        self._of = run, value

    def __await__(self) -> Generator[Any, Any, Any]:
        run, value = self._of
        return run.drive(value)


class _Inner:
    """The async generators that begin in a run, which may be nested, or held by what outlives the run.

    When a loop shuts down, it closes all the generators that it knows at the same time, which fails for those
    that others close. It gets an object for each that closes the run before. Those that are dropped at the
    end of the run are closed there: a task of the loop, as asyncio has it, may come too late.
    """

    def __init__(self, run: _Run[Any]) -> None:
        self._run, self._outer = ref(run), sys.get_asyncgen_hooks()
        self._left: list[AsyncGenerator[Any, Any]] = []
        self.keeps_dropped = False  # for `close_dropped`

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """While this is entered, generators that begin are known here."""
        before = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(self._begun, self._dropped)
        try:
            yield
        finally:
            sys.set_asyncgen_hooks(*before)

    def show_to_loop(self, closable: Any) -> None:
        """Have the loop close *closable* when it shuts down."""
        if self._outer.firstiter is not None:
            self._outer.firstiter(closable)

    def _begun(self, generator: AsyncGenerator[Any, Any]) -> None:
        after = _AFTER[generator] = _After(self._run, ref(generator))
        self.show_to_loop(after)

    def _dropped(self, generator: AsyncGenerator[Any, Any]) -> None:
        if self.keeps_dropped:
            self._left.append(generator)
        elif self._outer.finalizer is not None:
            self._outer.finalizer(generator)

    async def close_dropped(self, *, wait: bool) -> None:
        """Close what was dropped, and what that drops; without *wait* the loop does it."""
        while wait and self._left:
            with suppress(Exception):
                await self._left.pop(0).aclose()
        self.keeps_dropped = False
        while self._left:
            self._dropped(self._left.pop(0))


class _After:
    """Closes a generator after the run in which it began, unless that is being read."""

    def __init__(self, run: ref[_Run[Any]], generator: ref[AsyncGenerator[Any, Any]]) -> None:
        self._run, self._generator = run, generator

    async def aclose(self) -> None:
        if (run := self._run()) is not None:
            await run.aclose()
        generator = self._generator()
        if generator is not None and (run is None or run.over):
            await generator.aclose()


_AFTER: WeakKeyDictionary[AsyncGenerator[Any, Any], _After] = WeakKeyDictionary()  # as long as they live
