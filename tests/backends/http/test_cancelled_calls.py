"""Cancelled calls free their connections, whenever that happens, in each version of the HTTP library."""

from __future__ import annotations

import asyncio
import gc
from importlib.metadata import version
from types import ModuleType

import httpx
import httpx2
import pytest
from kit.apis import Api, every_api
from kit.patience import PATIENCE
from kit.wire import WireServer

from alloy import ask

# Before 4.16 anyio leaves it to the garbage collector to close a socket whose opening was cancelled.
KEEPS_SOCKETS = tuple(map(int, version("anyio").split(".")[:2])) < (4, 16)

STEPS = 90  # of the event loop; a call to the test's server takes fewer


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning" if KEEPS_SOCKETS else "error")
@every_api
@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
def test_a_cancelled_call_leaves_its_connection_to_others(
    server: WireServer, api: Api, library: ModuleType, streamed: bool
):
    """With a pool of two: cancelled at each step of the loop, and once while the answer is on its way."""
    server.always = lambda _: api.answer("open" if streamed else "send", "hello there")

    async def once(client: object) -> str:
        options = {**api.options(server), "http_client": client, "timeout": PATIENCE}
        if not streamed:
            return await ask.async_("go", **options)
        return "".join([piece async for piece in ask.stream_async("go", **options)])

    async def main() -> str:
        limits = library.Limits(max_connections=2)
        async with library.AsyncClient(limits=limits) as client:
            for step in range(2 * STEPS):
                call = asyncio.create_task(once(client))
                for _ in range(step % STEPS):
                    await asyncio.sleep(0)
                if step > STEPS:
                    await asyncio.sleep(step % 7 / 1000)
                call.cancel()
                await asyncio.wait([call])
            return await once(client)

    assert asyncio.run(main()) == "hello there"
    gc.collect()  # here, and not in the next test
