"""A call whose answer is read as it arrives: text, events, finished items, snapshots, and the value."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Iterator,
)
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from alloy.messages import TextDelta, ToolCallDelta

if TYPE_CHECKING:
    from alloy._engine.prepare import PreparedCall
    from alloy._engine.runtime.async_parts import AsyncParts
    from alloy._typed.answers.partial import ElementReader, SnapshotReader
    from alloy.events import Event
    from alloy.partials import Partial
    from alloy.result import Result

    _Reader = ElementReader | SnapshotReader

__all__ = ["AsyncStream", "Stream"]

T_co = TypeVar("T_co", covariant=True)
E = TypeVar("E")

FAILED = "this stream failed before its result came"


class Stream(Generic[T_co]):
    """An answer as it arrives. Nothing is sent before the first piece is read.

    Iterate it for pieces of text (`str`), or read `events()`, `items()` or `partials()`; each continues
    where reading stopped. `result()` reads the rest and returns the value. Use it in a `with`
    block, or `close()` it, to leave early: that ends the request, its connection, and a running
    tool. Reading raises what the call would raise; text that was shown is never shown twice. A stream
    that was closed before its end cannot be read: that raises a `ConfigurationError`.
    """

    def __init__(self, call: PreparedCall[T_co]) -> None:
        from alloy._engine.runtime.drivers import stream

        self._call = call
        self._parts = stream(call)
        self._result: Result[T_co] | None = None
        self._is_closed = False  # before its end

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while (part := self._next()) is not None:
            if isinstance(part, TextDelta) and part.text:
                return part.text
        raise StopIteration

    def events(self) -> Iterator[Event]:
        """Everything that happens, in order (see `alloy.events`); a `Final` is the last."""
        while (part := self._next()) is not None:
            if not isinstance(part, ToolCallDelta):
                yield part

    def items(self: Stream[Collection[E]]) -> Iterator[E]:
        """Each element of a sequence, validated, as soon as it is complete.

        Raises `ConfigurationError` when the output is not a sequence, and `ParseError` when a model that was
        asked again changes an element that was already given.
        """
        from alloy._engine.runtime.await_parsers import resolved

        reader = self._call.shape.elements(resolved)
        yield from self._read(reader)
        yield from reader.finish(self.run().value)

    def partials(self) -> Iterator[Partial[T_co]]:
        """What has arrived of the answer, each time that there is more of it. The last one is complete."""
        from alloy._engine.runtime.await_parsers import resolved

        reader = self._call.shape.snapshots(resolved)
        yield from self._read(reader)
        yield from reader.finish()

    def result(self) -> T_co:
        """The value, after reading what is left. Raises `RuntimeError` once closed early, or failed."""
        return self.run().value

    def run(self) -> Result[T_co]:
        """As `result`, with everything that the call did."""
        while self._next() is not None:
            pass
        return _ended(self._result)

    def close(self) -> None:
        """End the request now, if it still runs."""
        self._check_that_nothing_reads()
        self._is_closed = self._is_closed or getattr(self._parts, "gi_frame", None) is not None
        self._parts.close()

    def _check_that_nothing_reads(self) -> None:
        if getattr(self._parts, "gi_running", False):
            from alloy._engine.runtime.async_parts import StreamInUseError

            raise StreamInUseError(
                "another thread, or a listener, is reading this stream: read it in one thread, and hand its "
                "pieces on"
            )

    def __enter__(self) -> Stream[T_co]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _next(self) -> Any:
        """The next part; `None` at the end."""
        self._check_that_nothing_reads()
        if self._is_closed:
            from alloy._engine.runtime.async_parts import CLOSED, StreamClosedError

            raise StreamClosedError(CLOSED)
        try:
            return next(self._parts)
        except StopIteration as done:
            if done.value is not None:
                self._result = done.value
            return None

    def _read(self, reader: _Reader) -> Iterator[Any]:
        answer = _Answer(reader, self._call)
        while (part := self._next()) is not None:
            yield from answer.found_in(part)


class AsyncStream(Generic[T_co]):
    """`Stream` for `async for` and `async with`. A stream that is dropped is closed by the event loop."""

    def __init__(
        self, call: PreparedCall[T_co] | Callable[[], Coroutine[Any, Any, PreparedCall[T_co]]]
    ) -> None:
        from alloy._engine.runtime.async_parts import AsyncParts

        self._call = _Prepared(call)
        self._parts: AsyncParts[Result[T_co]] = AsyncParts(self._call.run)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while True:
            part = await anext(self._parts)
            if isinstance(part, TextDelta) and part.text:
                return part.text

    def events(self) -> AsyncGenerator[Event, None]:
        """As `Stream.events`."""
        return _Pieces(self._parts, self._call.events)

    def items(self: AsyncStream[Collection[E]]) -> AsyncGenerator[E, None]:
        """As `Stream.items`."""
        return _Pieces(self._parts, self._call.items)

    def partials(self) -> AsyncGenerator[Partial[T_co], None]:
        """As `Stream.partials`."""
        return _Pieces(self._parts, self._call.partials)

    async def result(self) -> T_co:
        """The value, after reading what is left. Raises `RuntimeError` once closed early, or failed."""
        return (await self.run()).value

    async def run(self) -> Result[T_co]:
        """As `result`, with everything that the call did."""
        async for _ in self._parts:
            pass
        return _ended(self._parts.result)

    async def aclose(self) -> None:
        """End the request now, if it still runs."""
        await self._parts.aclose()

    async def __aenter__(self) -> AsyncStream[T_co]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _ended(result: Result[T_co] | None) -> Result[T_co]:
    if result is None:
        raise RuntimeError(FAILED)
    return result


class _Prepared(Generic[T_co]):
    """The call of a stream. The body of an async command is awaited when reading begins, and once."""

    def __init__(
        self, call: PreparedCall[T_co] | Callable[[], Coroutine[Any, Any, PreparedCall[T_co]]]
    ) -> None:
        self._call = call

    async def run(self, show: Callable[[Any], Awaitable[None]]) -> Result[T_co]:
        """Take the call to its result and *show* what happens on the way."""
        from alloy._engine.runtime.drivers import drive

        return await drive(await self._get(), show)

    async def events(self) -> tuple[_Find, _Rest]:
        """How a reader of the stream gets its events: from each part, and from the result."""
        return lambda part: () if isinstance(part, ToolCallDelta) else (part,), lambda _: ()

    async def items(self) -> tuple[_Find, _Rest]:
        """As `events`, for finished items."""
        from alloy._engine.runtime.await_parsers import resolved

        call = await self._get()
        reader = call.shape.elements(resolved)
        return _Answer(reader, call).found_in, lambda result: reader.finish(_ended(result).value)

    async def partials(self) -> tuple[_Find, _Rest]:
        """As `events`, for snapshots."""
        from alloy._engine.runtime.await_parsers import resolved

        call = await self._get()
        reader = call.shape.snapshots(resolved)
        return _Answer(reader, call).found_in, lambda _: reader.finish()

    async def _get(self) -> PreparedCall[T_co]:
        if callable(self._call):
            self._call = await self._call()
        return self._call


_Find = Callable[[Any], Iterable[Any]]
_Rest = Callable[[Any], Iterable[Any]]


class _Pieces(AsyncGenerator[E, None]):
    """What a reader of an async stream gets. Not a generator of Python's: see `AsyncParts`."""

    def __init__(
        self, parts: AsyncParts[Any], start: Callable[[], Coroutine[Any, Any, tuple[_Find, _Rest]]]
    ) -> None:
        self._parts, self._start = parts, start
        self._how: tuple[_Find, _Rest] | None = None
        self._found: Iterator[E] | None = iter(())  # `None` at the end
        self._is_read = False  # whether all parts are

    async def asend(self, _: None) -> E:
        """The next piece."""
        found, self._found = self._found, None  # after an error nothing follows
        while found is not None:
            for piece in found:
                self._found = found
                return piece
            found = await self._more()
        raise StopAsyncIteration

    async def _more(self) -> Iterator[E] | None:
        if self._how is None:
            self._how = await self._start()
        if self._is_read:
            return None
        find, rest = self._how
        async for part in self._parts:
            return iter(find(part))
        self._is_read = True
        return iter(rest(self._parts.result))

    async def athrow(self, kind: Any, value: Any = None, traceback: Any = None) -> E:
        """End the reading with an exception."""
        self._found = None
        raise kind if value is None else value


class _Answer:
    """Feeds a reader with the answer's text, and notices where an answer starts again."""

    def __init__(self, reader: _Reader, call: PreparedCall[Any]) -> None:
        self._reader, self._call = reader, call
        self._over = False  # the reply that the text so far belonged to is complete

    def found_in(self, part: Any) -> Iterator[Any]:
        """What the reader finds with the text of *part*, if it has any."""
        from alloy.events import FallbackTaken, UsageReport

        if isinstance(part, FallbackTaken) and part.feature == "model":
            self._reader.use(self._call.dialect_of(part.model))
            self._over = True
        if isinstance(part, UsageReport):
            self._over = True
        if isinstance(part, TextDelta) and part.text:
            if self._over:  # it was a turn with tools, or an answer that is asked for again
                self._over = False
                self._reader.restart()
            yield from self._reader.feed(part.text)
