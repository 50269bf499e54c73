"""Connections that a server has closed, and those that a busy event loop sees late."""

from __future__ import annotations

import asyncio
import time

import pytest
from kit.apis import CHAT, TEXT, Api, every_api, every_mode
from kit.wire import Cut, WireServer

from alloy.errors import ProviderConnectionError

every_end = pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])


def asked_twice(api: Api, mode: str, server: WireServer) -> list[str]:
    """The answers to two calls, one after the other, without a retry."""
    if not mode.endswith("async"):
        return [api.ask(mode, server) for _ in range(2)]

    async def both() -> list[str]:
        return [await api.ask_async(mode, server) for _ in range(2)]

    return asyncio.run(both())


@every_api
@every_mode
@every_end
def test_a_kept_connection_that_was_closed_costs_no_retry(
    server: WireServer, api: Api, mode: str, reset: bool
) -> None:
    """A server may close an idle connection at the moment when the next request comes."""
    closing = api.answer(mode)
    closing.before = Cut(reset)
    server.script(api.answer(mode), closing, api.answer(mode))
    assert asked_twice(api, mode, server) == [TEXT, TEXT]

    assert [request.connection.id for request in server.requests] == [0, 0, 1]
    assert server.requests[1].content == server.requests[2].content


@every_api
@every_mode
@every_end
def test_a_new_connection_that_is_closed_is_an_error(
    server: WireServer, api: Api, mode: str, reset: bool
) -> None:
    """Not the age of the connection is the reason, but the server."""
    closing = api.answer(mode)
    closing.before = Cut(reset)
    server.script(closing)
    with pytest.raises(ProviderConnectionError):
        api.ask(mode, server)
    assert len(server.requests) == 1


@every_api
@every_mode
def test_a_kept_connection_that_breaks_in_an_answer_is_an_error(
    server: WireServer, api: Api, mode: str
) -> None:
    """The server has read that request."""
    broken = api.answer(mode)
    broken.raw = [b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", Cut()]
    server.script(api.answer(mode), broken)
    with pytest.raises(ProviderConnectionError):
        asked_twice(api, mode, server)
    assert len(server.requests) == 2


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["send_async", "open_async"])
def test_a_busy_event_loop_is_no_reason_for_a_connect_timeout(server: WireServer, mode: str) -> None:
    """The SDK's limit of 5 seconds passes while nobody looks whether the connection is open."""
    server.always = lambda _: CHAT.answer(mode)

    async def main() -> list[str]:
        await CHAT.ask_async(mode, server)  # the SDK is loaded
        calls = [asyncio.create_task(CHAT.ask_async(mode, server, timeout=None)) for _ in range(20)]
        for _ in range(3):
            await asyncio.sleep(0)
        time.sleep(6.5)
        return await asyncio.gather(*calls)

    assert asyncio.run(main()) == [TEXT] * 20
