"""Streams that are left behind: the connection is released at once, and nothing is written on stderr."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kit.apis import OLLAMA, Api, every_api
from kit.patience import PATIENCE
from kit.wire import Answer, Gate, WireServer

from alloy import AsyncStream, ask, command
from alloy.errors import ConfigurationError
from alloy.testing import replies

NUMBERS = "[1, 22, 333, 4444, 55555, 666666, 7777777]"

READINGS: dict[str, Callable[[Any], Any]] = {
    "text": lambda stream: stream,
    "events": lambda stream: stream.events(),
    "items": lambda stream: stream.items(),
    "partials": lambda stream: stream.partials(),
}
every_reading = pytest.mark.parametrize("read", READINGS.values(), ids=READINGS)


def unfinished(api: Api) -> Answer:
    """A stream that stops in its middle."""
    answer = api.answer("open", NUMBERS)
    answer.body = [*answer.body[: -max(3, api.needed)], Gate()]
    answer.framing = "chunked"
    return answer


@every_api
@every_reading
def test_a_dropped_async_stream_releases_its_connection(
    server: WireServer, api: Api, read: Any, caplog: pytest.LogCaptureFixture
):
    """A bare break is enough: neither `aclose` nor `async with` is needed, while the loop goes on."""
    server.script(unfinished(api))

    async def main() -> None:
        async for _ in read(ask.stream_async("go", output=list[int], **api.options(server))):
            if server.requests:  # the first event comes before
                break
        await asyncio.to_thread(server.connections[0].wait_closed)

    asyncio.run(main())
    assert not [record for record in caplog.records if record.name == "asyncio"]


@every_api
@every_reading
def test_a_dropped_sync_stream_releases_its_connection(server: WireServer, api: Api, read: Any):
    """The same without a loop."""
    server.script(unfinished(api))

    for _ in read(ask.stream("go", output=list[int], **api.options(server))):
        if server.requests:
            break
    server.connections[0].wait_closed()


LEFT = """
import asyncio, json, sys
from alloy import ask, events

options = json.loads(sys.argv[1])
held = []

def reading(kind):
    stream = ask.stream_async("go", output=list[int], **options)
    return stream, stream if kind == "text" else getattr(stream, kind)()

def has_begun(found):
    return type(found).__module__ != events.__name__  # a piece of the answer

async def returns_after_the_break(kind):
    async for found in reading(kind)[1]:
        if has_begun(found):
            break

async def holds_it_until_the_loop_ends(kind):
    held.append(reading(kind))
    async for found in held[-1][1]:
        if has_begun(found):
            break

async def is_cancelled_while_it_holds_it(kind):
    async def hold():
        async for found in reading(kind)[1]:
            if has_begun(found):
                begun.set()
                await asyncio.sleep(3600)

    begun = asyncio.Event()
    held.append(asyncio.create_task(hold()))
    await begun.wait()

async def fails_while_it_holds_it(kind):
    async for found in reading(kind)[1]:
        if has_begun(found):
            raise KeyError

async def waits_for_the_next_piece(kind):
    async def wait():
        async for found in reading(kind)[1]:
            if has_begun(found):
                begun.set()

    begun = asyncio.Event()
    held.append(asyncio.create_task(wait()))
    await begun.wait()
    await asyncio.sleep(0)

for leave in (
    returns_after_the_break,
    holds_it_until_the_loop_ends,
    is_cancelled_while_it_holds_it,
    fails_while_it_holds_it,
    waits_for_the_next_piece,
):
    for kind in ("text", "events", "items", "partials"):
        try:
            asyncio.run(leave(kind))
        except KeyError:
            pass
"""


@pytest.mark.slow
@every_api
def test_leaving_a_stream_writes_nothing(server: WireServer, api: Api):
    """However it is left, and whatever holds it when its loop shuts down; its connection is closed then."""
    server.always = lambda _: unfinished(api)

    child = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", LEFT, json.dumps(api.options(server))],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (child.stdout, child.stderr) == ("", "")
    assert len(server.requests) == 20


def test_each_reading_continues_where_the_last_one_stopped():
    """Leaving `events()` does not close the stream that it reads."""

    async def main() -> tuple[str, str]:
        stream = ask.stream_async("go")
        async for event in stream.events():
            if getattr(event, "text", None):
                break
        return event.text, "".join([piece async for piece in stream])

    with replies("one two three four"):
        first, rest = asyncio.run(main())
    assert first + rest == "one two three four" and first and rest


def test_a_reading_that_is_closed_ends():
    """`aclose()` of what `events()` returns ends that reading, as of any async generator."""

    async def main() -> list[Any]:
        stream = ask.stream_async("go")
        events = stream.events()
        await anext(events)
        await events.aclose()
        assert await stream.result() == "one two"
        return [event async for event in events]

    with replies("one two"):
        assert asyncio.run(main()) == []


def test_two_tasks_cannot_read_one_stream(server: WireServer):
    """That is the error of an async generator, too, and the first reader is not disturbed."""
    gate = Gate()
    answer = OLLAMA.answer("open", "some words")
    answer.body = [gate, *answer.body]
    server.script(answer)

    async def main() -> str:
        stream: AsyncStream[str] = ask.stream_async("go", **OLLAMA.options(server))
        first = asyncio.create_task(anext(stream))
        await asyncio.to_thread(gate.wait_reached)
        with pytest.raises(RuntimeError, match="another task is reading"):
            await anext(stream)
        gate.open()
        return await first + await stream.result()

    assert asyncio.run(main()).endswith("some words")


@pytest.mark.parametrize("what", ["piece", "rest", "close"])
def test_a_stream_belongs_to_its_event_loop(server: WireServer, what: str):
    """Another loop is told so, and the first one reads on."""
    server.script(OLLAMA.answer("open", "some words"))
    stream: AsyncStream[str] = ask.stream_async("go", **OLLAMA.options(server))
    elsewhere = {"piece": lambda: anext(stream), "rest": stream.run, "close": stream.aclose}[what]

    async def read() -> Any:
        return await elsewhere()

    with asyncio.Runner() as first, asyncio.Runner() as second:
        begun = first.run(_first(stream))
        with pytest.raises(ConfigurationError, match="belongs to the event loop in which its reading began"):
            second.run(read())
        assert begun + first.run(_rest(stream)) == "some words"


@every_reading
@pytest.mark.parametrize("begun", [False, True], ids=["unread", "begun"])
def test_a_closed_stream_cannot_be_read(read: Any, begun: bool):
    """It would look like an empty answer, such as a response that a web server reads after the block."""
    with replies(*["[1, 2]"] * begun) as seen:
        with ask.stream("go", output=list[int]) as stream:
            pieces = read(stream)
            if begun:
                next(iter(stream))
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="was closed before it was read to its end"):
                list(read(stream))
        with pytest.raises(ConfigurationError, match="was closed before it was read to its end"):
            list(pieces)
    assert len(seen.requests) == begun


@every_reading
@pytest.mark.parametrize("begun", [False, True], ids=["unread", "begun"])
def test_a_closed_async_stream_cannot_be_read(read: Any, begun: bool):
    """The same for `async with`."""

    async def main() -> None:
        async with ask.stream_async("go", output=list[int]) as stream:
            pieces = read(stream)
            if begun:
                await anext(stream)
        for reading in (read(stream), read(stream), pieces):
            with pytest.raises(ConfigurationError, match="was closed before it was read to its end"):
                await anext(reading)

    with replies(*["[1, 2]"] * begun) as seen:
        asyncio.run(main())
    assert len(seen.requests) == begun


@every_reading
def test_a_stream_that_was_read_to_its_end_may_be_closed_and_read_again(read: Any):
    """Then nothing was lost: it has its result, and there is nothing left to read."""

    async def main() -> None:
        async with ask.stream_async("go", output=list[int]) as stream:
            assert [piece async for piece in read(stream)]
        assert [piece async for piece in stream] == [piece async for piece in stream.events()] == []
        assert await stream.result() == [1, 2]

    with replies("[1, 2]", "[1, 2]"):
        with ask.stream("go", output=list[int]) as stream:
            assert list(read(stream))
        assert list(stream) == list(stream.events()) == []
        assert stream.result() == [1, 2]
        asyncio.run(main())


@every_reading
def test_the_rest_of_a_stream_is_not_in_another_loop(read: Any):
    """The first loop has closed it at its end."""

    async def result() -> Any:
        return await stream.result()

    async def piece() -> Any:
        return await anext(read(stream))

    for rest in (piece, result):
        with replies("[1, 2]"):
            stream = ask.stream_async("go", output=list[int])
            asyncio.run(_first(stream))
            with pytest.raises(ConfigurationError, match="belongs to the event loop in which its reading"):
                asyncio.run(rest())


def test_a_whole_stream_has_its_result_in_every_loop():
    """There is nothing left to read, and nothing was lost."""

    async def result() -> Any:
        return await stream.result()

    with replies("[1, 2]"):
        stream = ask.stream_async("go", output=list[int])
        asyncio.run(_rest(stream))
        assert asyncio.run(_rest(stream)) == ""
        assert asyncio.run(result()) == [1, 2]


async def _first(stream: AsyncStream[str]) -> str:
    return await anext(stream)


async def _rest(stream: AsyncStream[str]) -> str:
    return "".join([piece async for piece in stream])


@pytest.mark.parametrize("what", ["piece", "rest", "close"])
def test_two_threads_cannot_read_one_stream(server: WireServer, what: str):
    """The second is told so, and the first reads on."""
    gate = Gate()
    answer = OLLAMA.answer("open", "some words")
    answer.body = [gate, *answer.body]
    server.script(answer)
    stream = ask.stream("go", **OLLAMA.options(server))
    elsewhere: Any = {"piece": lambda: next(stream), "rest": stream.run, "close": stream.close}[what]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit("".join, stream)
        gate.wait_reached()
        with pytest.raises(ConfigurationError, match="another thread, or a listener, is reading this stream"):
            elsewhere()
        gate.open()
        assert first.result() == "some words"


@command
async def think() -> str:
    """An async command."""
    return "go"


@pytest.mark.parametrize(
    "start",
    [
        lambda: ask.async_("x"),
        lambda: ask.run_async("x", deadline=5),
        lambda: anext(ask.stream_async("x")),
        lambda: anext(ask.stream_async("x").events()),
        lambda: ask.stream_async("x").result(),
        lambda: think(),
        lambda: think.stream().result(),
    ],
    ids=["async_", "run_async", "stream_async", "events", "result", "async command", "its stream"],
)
def test_an_async_call_without_asyncio_says_what_works(start: Any):
    """Other event loops run a coroutine as here: step by step, and without a loop of asyncio."""
    with replies(), pytest.raises(ConfigurationError, match=r"trio\.to_thread\.run_sync"):
        start().__await__().send(None)


def test_an_async_call_outside_of_a_task_says_so():
    """As in trio's guest mode, where a loop of asyncio runs, but no task of it."""
    caught: list[BaseException] = []

    def step() -> None:
        try:
            ask.async_("x").send(None)
        except ConfigurationError as error:
            caught.append(error)

    async def main() -> None:
        asyncio.get_running_loop().call_soon(step)
        await asyncio.sleep(0)

    with replies():
        asyncio.run(main())
    assert len(caught) == 1
