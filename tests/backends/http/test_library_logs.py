"""The HTTP libraries log each request at INFO; its address may have a password and a key."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest
from kit.apis import CHAT, Api, every_api, every_mode
from kit.wire import WireServer

from alloy import ask

PASSWORD, KEY = "hunter2-long-password", "zk-query-key-12345"


@every_api
@every_mode
def test_no_library_logs_a_password_or_a_query(
    server: WireServer, api: Api, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The address is logged without them, and other requests of the program as they are."""
    server.script(api.answer(mode))
    base = server.url.replace("//", f"//user:{PASSWORD}@") + api.base + f"?api_key={KEY}"
    caplog.set_level(logging.INFO)
    api.ask(mode, server, base_url=base)

    shown = [record.getMessage() for record in caplog.records if record.name.startswith("httpx")]
    assert len(shown) == len(server.requests) == 1  # nothing of how the SDK was asked for the address
    assert all(f"//127.0.0.1:{server.port}/" in line for line in shown)
    assert not [text for text in (PASSWORD, KEY, "user") if text in caplog.text]


def test_the_requests_of_the_program_are_logged_as_they_are(
    server: WireServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Only what Alloy sends is changed."""
    server.always = lambda _: CHAT.answer("send")
    caplog.set_level(logging.INFO)

    async def main() -> None:
        await ask.async_("Hello", **CHAT.options(server))
        async with httpx.AsyncClient() as client:
            await client.get(f"{server.url}/x?page=2")

    asyncio.run(main())
    ask("Hello", **CHAT.options(server))
    httpx.get(f"{server.url}/x?page=3")
    assert "/x?page=2" in caplog.text
    assert "/x?page=3" in caplog.text
