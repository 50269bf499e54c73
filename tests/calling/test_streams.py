"""Streams as users read them: text as it comes, the value at the end, and leaving early."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from alloy import AsyncStream, ParseError, RateLimitError, Result, ServerError, Stream, ask, command, tool
from alloy.messages import Reply
from alloy.testing import call, replies

TEXT = "A text that is long enough to come in several pieces, one after the other."


@tool
def look(where: str = "here") -> str:
    """Look."""
    return f"seen {where}"


@command(tools=[look])
def tell(text: str) -> str:
    """Tell."""
    return text


@command(tools=[look])
async def tell_async(text: str) -> str:
    """Tell."""
    return text


def read_and_fail(stream: Stream[Any]) -> None:
    """Break off with an error of the reader's own, between two pieces."""
    with stream:
        next(stream)
        raise KeyError


async def read_and_fail_async(stream: AsyncStream[Any]) -> None:
    """The same of an async stream."""
    async with stream:
        await anext(stream)
        raise KeyError


def read_sync(stream: Stream[Any]) -> tuple[list[str], Result[Any]]:
    """All pieces, and the result."""
    with stream:
        return list(stream), stream.run()


def read_async(start: Callable[[], AsyncStream[Any]]) -> tuple[list[str], Result[Any]]:
    """The same of an async stream."""

    async def main() -> tuple[list[str], Result[Any]]:
        async with start() as stream:
            return [piece async for piece in stream], await stream.run()

    return asyncio.run(main())


WAYS: dict[str, Callable[..., tuple[list[str], Result[Any]]]] = {
    "command": lambda **o: read_sync(tell.with_options(**o).stream("go")),
    "command, async": lambda **o: read_async(lambda: tell.with_options(**o).stream_async("go")),
    "async command": lambda **o: read_async(lambda: tell_async.with_options(**o).stream("go")),
    "ask": lambda **o: read_sync(ask.stream("go", **{"tools": [look], **o})),
    "ask, async": lambda **o: read_async(lambda: ask.stream_async("go", **{"tools": [look], **o})),
}
EVERY_WAY = pytest.mark.parametrize("read", WAYS.values(), ids=WAYS)


@EVERY_WAY
def test_text_comes_in_pieces(read: Any):
    """Together they are the answer; none is empty, and there are several."""
    with replies(TEXT):
        pieces, result = read()
    assert "".join(pieces) == result.text == result.value == TEXT
    assert len(pieces) > 1 and all(pieces)


@EVERY_WAY
def test_every_turn_is_heard_and_tools_run_between(read: Any):
    """Text that the model writes next to its calls reaches the caller, too."""
    first = Reply("Let me look. ", calls=(call("look", where="there"),), finish="tool_calls")
    with replies(first, "Done.") as seen:
        pieces, result = read()
    assert "".join(pieces) == "Let me look. Done."
    assert (result.value, result.turns) == ("Done.", 2)
    assert [made.value for made in result.tool_calls] == ["seen there"]
    assert seen.requests[1]["messages"][-1]["content"] == "seen there"


@EVERY_WAY
def test_a_stream_ends_with_the_typed_value(read: Any):
    """The pieces are the JSON text, the result has the value."""
    with replies([1, 2]):
        pieces, result = read(output=list[int])
    assert result.value == [1, 2] and "".join(pieces) == result.text


@EVERY_WAY
def test_an_answer_that_does_not_read_is_an_error_at_the_end(read: Any):
    """The text has come out by then, and is on the error."""
    with replies("no number"), pytest.raises(ParseError) as raised:
        read(output=int, reask=0)
    assert raised.value.text == "no number"


@EVERY_WAY
def test_an_error_before_any_text_is_tried_again(read: Any):
    """No text has been shown yet, so none is shown twice."""
    with replies(RateLimitError("slow", provider="fake", retry_after=0), TEXT):
        pieces, result = read()
    assert "".join(pieces) == TEXT and result.attempts == 2
    with replies(*[ServerError("down", provider="fake", retry_after=0)] * 2), pytest.raises(ServerError):
        read(retry=1)


def test_a_stream_closed_early_is_over():
    """No more text, no result, and closing again does no harm."""
    with replies(TEXT):
        stream = tell.stream("go")
        first = next(stream)
        stream.close()
        stream.close()
        assert TEXT.startswith(first) and first
        with pytest.raises(RuntimeError, match="closed"):
            list(stream)
        with pytest.raises(RuntimeError, match="closed"):
            stream.result()


def test_an_async_stream_closed_early_is_over():
    """The same for `aclose`."""

    async def main() -> None:
        stream = tell.stream_async("go")
        first = await anext(stream)
        await stream.aclose()
        await stream.aclose()
        assert TEXT.startswith(first) and first
        with pytest.raises(RuntimeError, match="closed"):
            await anext(stream)
        with pytest.raises(RuntimeError, match="closed"):
            await stream.result()

    with replies(TEXT):
        asyncio.run(main())


def test_leaving_the_block_closes_the_stream():
    """By `break`, by an error, or before anything was read; an unread stream asks nothing."""
    with replies(TEXT, TEXT) as seen:
        with tell.stream("go") as stream:
            for _ in stream:
                break
        with pytest.raises(RuntimeError, match="closed"):
            list(stream)
        stream = tell.stream("go")
        with pytest.raises(KeyError):
            read_and_fail(stream)
        with pytest.raises(RuntimeError, match="closed"):
            list(stream)
        with tell.stream("go") as stream:
            pass
        with pytest.raises(RuntimeError, match="closed"):
            stream.result()
    assert len(seen.requests) == 2


def test_leaving_the_async_block_closes_the_stream():
    """The same for `async with`."""

    async def main() -> None:
        async with tell_async.stream("go") as stream:
            async for _ in stream:
                break
        with pytest.raises(RuntimeError, match="closed"):
            await anext(stream)
        stream = tell_async.stream("go")
        with pytest.raises(KeyError):
            await read_and_fail_async(stream)
        with pytest.raises(RuntimeError, match="closed"):
            await anext(stream)
        async with tell_async.stream("go") as stream:
            pass
        with pytest.raises(RuntimeError, match="closed"):
            await stream.result()

    with replies(TEXT, TEXT) as seen:
        asyncio.run(main())
    assert len(seen.requests) == 2


def test_the_result_reads_what_is_left():
    """After some pieces, after all of them, and twice."""
    with replies(TEXT, TEXT):
        stream = tell.stream("go")
        next(stream)
        assert stream.result() == TEXT
        assert stream.run() is stream.run()
        assert tell.stream("go").result() == TEXT


def test_after_an_error_there_is_no_result():
    """The error is raised once; then the stream reports that it failed."""
    with replies("no number"):
        stream = tell.with_options(output=int, reask=0).stream("go")
        with pytest.raises(ParseError):
            list(stream)
        assert list(stream) == []
        with pytest.raises(RuntimeError, match="failed"):
            stream.result()


def test_an_async_stream_runs_the_body_when_it_is_read():
    """An async command's prompt is awaited with the first piece, errors in it come there."""

    @command
    async def broken() -> str:
        raise LookupError("mine")

    async def main() -> None:
        stream = broken.stream()
        with pytest.raises(LookupError, match="mine"):
            await anext(stream)

    with replies():
        asyncio.run(main())


def test_cancelling_a_reader_ends_its_stream():
    """A task that is cancelled between two pieces leaves nothing open."""

    async def main() -> list[str]:
        seen: list[str] = []
        started = asyncio.Event()

        async def read() -> None:
            async with tell.stream_async("go") as stream:
                async for piece in stream:
                    seen.append(piece)
                    started.set()
                    await asyncio.Event().wait()

        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return seen

    with replies(TEXT):
        assert len(asyncio.run(main())) == 1
