"""The HTTP libraries log each request; its address may have a password and a key, and so may its answer."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest
from kit.apis import CHAT, Api, every_api, every_mode
from kit.wire import Answer, WireServer

from alloy import AlloyError, ask
from alloy.backends.http.library_logs import addresses_hidden

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


@every_api
@every_mode
def test_no_connection_logs_what_a_server_repeats(
    server: WireServer, api: Api, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In a header, and in a status line that is not one; that there was an answer is logged."""
    answer = api.answer(mode)
    answer.headers |= {"x-echo": f"{PASSWORD} {KEY}", "x-request-id": KEY}
    caplog.set_level(logging.DEBUG)
    for each in (answer, Answer(raw=[f"HTTP/1.1 {PASSWORD} {KEY}\r\n\r\n".encode()])):
        server.script(each)
        try:
            api.ask(mode, server, api_key=KEY, headers={"x-team": PASSWORD})
        except AlloyError as error:
            assert each is not answer, error
    assert "receive_response_headers.complete return_value=(b'HTTP/1.1', 200…" in caplog.text
    assert "receive_response_headers.failed exception=RemoteProtocolError…" in caplog.text
    assert [text for text in (PASSWORD, KEY) if text in caplog.text] == []


def test_no_password_of_a_proxy_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What httpcore logs of a SOCKS proxy, for which a package is needed, and of HTTP/2."""
    caplog.set_level(logging.DEBUG)
    with addresses_hidden():
        for library in ("httpcore", "httpcore2"):
            login = f"setup_socks5_connection.started host='x' auth=(b'bob', b'{PASSWORD}')"
            logging.getLogger(f"{library}.socks").debug(login)
            answer = f"receive_response_headers.complete return_value=(200, [(b'x-echo', b'{PASSWORD}')])"
            logging.getLogger(f"{library}.http2").debug(answer)
    assert caplog.messages == 2 * [
        "setup_socks5_connection.started…",
        "receive_response_headers.complete return_value=(200…",
    ]
