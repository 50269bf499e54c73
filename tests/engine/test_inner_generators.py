"""Async generators that a custom backend begins in a stream are closed, whoever holds them, and silently."""

from __future__ import annotations

import subprocess
import sys

from kit.patience import PATIENCE

PROGRAM = '''
import asyncio
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from alloy import ask, register_backend
from alloy.backends import BaseBackend, Capabilities
from alloy.messages import Reply, TextDelta

closed, held, pools = [], [], {}

async def cleaned_up(name):
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    closed.append(name)

async def words():
    try:
        for word in ("one ", "two ", "three"):
            yield word
    finally:
        await cleaned_up("words")

async def decoded():
    async for word in words():  # which is dropped when this is closed
        yield word

@asynccontextmanager
async def connection():
    try:
        yield decoded()
    finally:
        await cleaned_up("connection")

async def pool():
    """What lives as long as the loop, and not only as the stream in which it began."""
    try:
        yield
    finally:
        await cleaned_up("pool")

class Words:
    def feed(self, event):
        return TextDelta(event)

    def reply(self):
        return Reply("one two three")

class Custom(BaseBackend):
    name = "custom"

    def capabilities(self, model):
        return Capabilities()

    def encode(self, request):
        return {}

    def accumulator(self):
        return Words()

    def decode(self, raw):
        raise NotImplementedError

    send = send_async = open = decode

    def explain(self, error):
        return None

    async def open_async(self, body, endpoint):
        loop = asyncio.get_running_loop()
        if loop not in pools:
            pools[loop] = pool()
            await anext(pools[loop])
        try:
            async with connection() as arriving, aclosing(arriving):
                async for word in arriving:
                    yield word
        finally:
            await cleaned_up("open_async")

register_backend("custom", Custom())

def new():
    return ask.stream_async("go", model="custom:m")

async def left_at_the_end_of_main():
    async for _ in new():
        break

async def left_while_main_goes_on():
    async for _ in new():
        break
    while len(closed) < 3:
        await asyncio.sleep(0.001)
    assert "pool" not in closed

async def closed_by_hand():
    stream = new()
    await anext(stream)
    await stream.aclose()
    assert sorted(closed) == ["connection", "open_async", "words"]

async def held_when_the_loop_ends():
    held.append(new())
    await anext(held[-1])

async def held_as_events():
    held.append(new().events())
    async for event in held[-1]:
        if isinstance(event, TextDelta):
            break

async def read_by_a_task_that_is_cancelled():
    async def read():
        async for _ in new():
            begun.set()
            await asyncio.sleep(3600)

    begun = asyncio.Event()
    held.append(asyncio.create_task(read()))
    await begun.wait()

async def left_by_an_error():
    async for _ in new():
        raise KeyError

async def read_to_its_end():
    assert await new().result() == "one two three"
    while len(closed) < 3:
        await asyncio.sleep(0.001)

for leave in (
    left_at_the_end_of_main,
    left_while_main_goes_on,
    closed_by_hand,
    held_when_the_loop_ends,
    held_as_events,
    read_by_a_task_that_is_cancelled,
    left_by_an_error,
    read_to_its_end,
):
    closed.clear()
    try:
        asyncio.run(leave())
    except KeyError:
        pass
    assert sorted(closed) == ["connection", "open_async", "pool", "words"], (leave, closed)

# A loop that is only stopped cannot close anything, and nothing can be said about that when Python ends.
asyncio.new_event_loop().run_until_complete(held_when_the_loop_ends())
'''


def test_generators_that_begin_in_a_stream_are_closed():
    """Nested ones before the loop's, in every way to leave a stream; nothing is written on stderr."""
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")
