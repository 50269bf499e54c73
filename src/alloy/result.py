"""What a call gives back: `Result`, and the streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

from alloy.messages import Delta, TextDelta, ToolResult, Turn, Usage

__all__ = ["AsyncStream", "Result", "Stream"]

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Result(Generic[T_co]):
    """All that a call did.

    - *value*: the answer, of the declared type; *text*: what it was read from.
    - *usage*: tokens of all model requests together.
    - *turns*: how often the model replied; *attempts*: how often it was asked, retries included.
    - *tool_calls*: each call with its arguments, its value or error, and its duration in seconds.
    - *model*: `provider:model`, as the provider names the model.
    - *transcript*: every message of the conversation.
    - *downgrades*: what Alloy stood in for because the model cannot do it natively: `"tools"` (ReAct),
      `"output"` (the shape described in the prompt), `"output_with_tools"` (the typed answer in a turn of
      its own).
    """

    value: T_co
    text: str
    usage: Usage
    turns: int
    attempts: int
    tool_calls: tuple[ToolResult, ...]
    model: str
    transcript: tuple[Turn, ...]
    downgrades: tuple[str, ...] = ()


class Stream(Generic[T_co]):
    """The text of an answer as it arrives, and at its end the value.

    Iterate it for pieces of text (`str`). `result()` reads what is left and gives the `Result`. Use it
    in a `with` block, or `close()` it, to leave early: that ends the request and its connection.
    Iterating raises what the call would raise; text that has already come out is never said twice.
    """

    def __init__(self, deltas: Generator[Delta, None, Result[T_co]]) -> None:
        self._deltas = deltas
        self._result: Result[T_co] | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            while True:
                delta = next(self._deltas)
                if isinstance(delta, TextDelta) and delta.text:
                    return delta.text
        except StopIteration as done:
            if done.value is not None:
                self._result = done.value
            raise StopIteration from None

    def result(self) -> Result[T_co]:
        """The whole result, after reading what is left. Raises `RuntimeError` once closed early."""
        for _ in self:
            pass
        if self._result is None:
            raise RuntimeError("this stream was closed, or failed, before its result came")
        return self._result

    def close(self) -> None:
        """End the request now, if it still runs."""
        self._deltas.close()

    def __enter__(self) -> Stream[T_co]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncStream(Generic[T_co]):
    """`Stream` for `async for` and `async with`; nothing is sent before the first piece is awaited."""

    def __init__(self, parts: AsyncGenerator[Delta | Result[T_co], None]) -> None:
        self._parts = parts
        self._result: Result[T_co] | None = None

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while True:
            part: Any = await anext(self._parts)
            if isinstance(part, TextDelta):
                if part.text:
                    return part.text
            elif isinstance(part, Result):
                self._result = part

    async def result(self) -> Result[T_co]:
        """The whole result, after reading what is left. Raises `RuntimeError` once closed early."""
        async for _ in self:
            pass
        if self._result is None:
            raise RuntimeError("this stream was closed, or failed, before its result came")
        return self._result

    async def aclose(self) -> None:
        """End the request now, if it still runs."""
        await self._parts.aclose()

    async def __aenter__(self) -> AsyncStream[T_co]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
