"""What a request carried is in no error, whatever a server repeats and whoever writes the error."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import httpx
import httpx2
import pytest
from kit.apis import (
    ANTHROPIC,
    CHAT,
    OLLAMA,
    RESPONSES,
    Api,
    apis,
    async_modes,
    every_api,
    every_mode,
    sync_modes,
)
from kit.wire import Answer, Gate, WireServer, json_answer

from alloy.endpoints import check_key
from alloy.errors import ProviderError

# Not written out: a traceback shows the lines of this test as well.
SECRET, PASSWORD = f"gate-{9**24}", f"pass-{9**23}"

TEXT = "Grüße 🦊"
FIELDS = ("choices", "output", "content", "candidates", "message", "status", "stop_reason", "done_reason")


def repeating(text: str) -> Answer:
    """An answer with status 200 in an unexpected format, each field of which is *text*: codecs quote it."""
    return json_answer(dict.fromkeys(FIELDS, text))


def refusing(text: str) -> Answer:
    """An error response that quotes *text*."""
    return json_answer({"error": {"message": f"no access for {text}"}}, status=403)


def failing(text: str) -> Answer:
    """An error object in a response with status 200."""
    return json_answer({"type": "error", "error": {"message": f"no access for {text}"}})


def streaming(text: str) -> Answer:
    """A stream with one event in an unexpected format."""
    event = f"data: {json.dumps(dict.fromkeys(FIELDS, text))}\n\n"
    return Answer([event.encode()], 200, {"content-type": "text/event-stream"})


Echo = Callable[[str], Answer]
ANSWERS: tuple[Echo, ...] = (repeating, refusing, failing, streaming)


def shown(error: BaseException | None) -> str:
    """Everything that a log or a debugger can show of *error*."""
    assert isinstance(error, ProviderError)
    return "".join(traceback.format_exception(error)) + str(vars(error))


# --- keys of a function -------------------------------------------------------------------------------


class Tokens:
    """Returns another key at each call."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def __call__(self) -> str:
        return self.nth(next(self._numbers))

    def nth(self, number: int) -> str:
        """The key that the call with this *number* returns."""
        return f"expiring-token-{number}-{9**15}"


def gated(answer: Answer) -> Gate:
    """The gate before *answer*."""
    answer.before = gate = Gate()
    return gate


@every_mode
@every_api
def test_the_key_of_a_long_call_is_in_no_error(server: WireServer, api: Api, mode: str) -> None:
    """However many keys the function returned to other calls in the meantime."""
    tokens = Tokens()
    key, late = check_key(tokens), repeating(tokens.nth(1))
    gate = gated(late)
    server.script(late)
    server.always = lambda _: api.answer(mode)
    with ThreadPoolExecutor(1) as pool:
        long_call = pool.submit(api.ask, mode, server, api_key=key)
        gate.wait_reached()
        for _ in range(20):
            assert api.ask(mode, server, api_key=key) == TEXT
        gate.open()
        assert tokens.nth(1) not in shown(long_call.exception())


@every_mode
def test_the_key_of_a_running_call_is_in_no_error_of_another(server: WireServer, mode: str) -> None:
    """A server may mix up its answers, and the key is still valid."""
    tokens = Tokens()
    key, late = check_key(tokens), RESPONSES.answer(mode)
    gate = gated(late)
    server.script(late, *(RESPONSES.answer(mode) for _ in range(20)), repeating(tokens.nth(1)))
    with ThreadPoolExecutor(1) as pool:
        long_call = pool.submit(RESPONSES.ask, mode, server, api_key=key)
        gate.wait_reached()
        for _ in range(20):
            RESPONSES.ask(mode, server, api_key=key)
        with pytest.raises(ProviderError) as caught:
            RESPONSES.ask(mode, server, api_key=key)
        gate.open()
        assert long_call.result() == TEXT

    assert tokens.nth(1) not in shown(caught.value)


def test_the_first_key_of_a_call_with_many_tries_is_in_no_error(server: WireServer) -> None:
    """Each try asks for another key."""
    tokens = Tokens()
    busy = json_answer({"error": {"message": "busy"}}, status=503, retry_after_ms="1")
    server.script(*[busy] * 9, repeating(tokens.nth(1)))
    with pytest.raises(ProviderError) as caught:
        RESPONSES.ask("send", server, api_key=tokens, retry=9)

    assert tokens.nth(1) not in shown(caught.value)


def test_keys_of_calls_that_ended_are_forgotten(server: WireServer) -> None:
    """Except the last few, so that keys that rotate fill no memory."""
    tokens = Tokens()
    key: Any = check_key(tokens)
    server.always = lambda _: RESPONSES.answer("send")
    for _ in range(20):
        RESPONSES.ask("send", server, api_key=key)

    assert set(key.seen) == {tokens.nth(number) for number in range(13, 21)}


# --- HTTP clients of the caller -----------------------------------------------------------------------


def with_token(library: Any) -> Any:
    """A sign-in that sends another request than the one that it was given."""

    class Signing(library.Auth):  # type: ignore[misc]
        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            headers = {**request.headers, "x-gateway-token": SECRET}
            yield library.Request(
                request.method,
                request.url,
                headers=headers,
                content=request.content,
                extensions=request.extensions,
            )

    return Signing()


# What a caller's client adds to a request, and what of it a server repeats.
CLIENTS: list[tuple[str, Callable[[Any], dict[str, Any]], str]] = [
    ("a header", lambda _: {"headers": {"x-gateway-token": SECRET}}, SECRET),
    ("a header of any name", lambda _: {"headers": {"x-team": SECRET}}, SECRET),
    ("a bearer token", lambda _: {"headers": {"proxy-authorization": f"Bearer {SECRET}"}}, SECRET),
    ("a name and a password", lambda _: {"auth": ("alice", PASSWORD)}, PASSWORD),
    ("a sign-in", lambda library: {"auth": with_token(library)}, SECRET),
    ("a cookie", lambda _: {"cookies": {"session": SECRET, "theme": "dark"}}, SECRET),
    ("a parameter", lambda _: {"params": {"access_token": SECRET}}, SECRET),
]
every_client = pytest.mark.parametrize(
    ("settings", "repeated"), [row[1:] for row in CLIENTS], ids=[row[0] for row in CLIENTS]
)


@every_client
@sync_modes
@every_api
def test_what_a_client_adds_is_in_no_error(
    server: WireServer, api: Api, mode: str, settings: Any, repeated: str
) -> None:
    """Whatever the header is called, and whether the client or its sign-in adds it."""
    for answer in ANSWERS:
        server.script(answer(repeated))
        with httpx2.Client(**settings(httpx2)) as client, pytest.raises(ProviderError) as caught:
            api.ask(mode, server, http_client=client)

        assert repeated not in shown(caught.value)
    carried = server.requests[0].path + str(server.requests[0].headers)
    assert repeated in carried or "Basic " in carried


@every_client
@async_modes
@every_api
def test_what_an_async_client_adds_is_in_no_error(
    server: WireServer, api: Api, mode: str, settings: Any, repeated: str
) -> None:
    """The same in an event loop, with the other library."""
    server.script(*(answer(repeated) for answer in ANSWERS))

    async def run() -> None:
        async with httpx.AsyncClient(**settings(httpx)) as client:
            for _ in ANSWERS:
                with pytest.raises(ProviderError) as caught:
                    await api.ask_async(mode, server, http_client=client)
                assert repeated not in shown(caught.value)

    asyncio.run(run())


# --- other ways to carry a secret ---------------------------------------------------------------------


@every_mode
@apis(OLLAMA)  # whose SDK leaves out a name and a password
def test_a_password_in_the_address_is_in_no_error(server: WireServer, api: Api, mode: str) -> None:
    """It is sent as an authorization, so a server knows it."""
    server.script(*(answer(PASSWORD) for answer in ANSWERS))
    address = server.url.replace("//", f"//alice:{PASSWORD}@") + api.base
    for _ in ANSWERS:
        with pytest.raises(ProviderError) as caught:
            api.ask(mode, server, base_url=address)

        assert PASSWORD not in shown(caught.value)


@every_mode
@pytest.mark.parametrize("api", [RESPONSES, CHAT, ANTHROPIC], ids=repr)
def test_a_custom_header_of_the_environment_is_in_no_error(
    server: WireServer, api: Api, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK reads it, and Alloy sees it only in the request."""
    variable = "ANTHROPIC_CUSTOM_HEADERS" if api is ANTHROPIC else "OPENAI_CUSTOM_HEADERS"
    monkeypatch.setenv(variable, f"x-gateway-token: {SECRET}")
    server.script(*(answer(SECRET) for answer in ANSWERS))
    for _ in ANSWERS:
        with pytest.raises(ProviderError) as caught:
            api.ask(mode, server)

        assert SECRET not in shown(caught.value)


@every_mode
@every_api
def test_a_secret_that_an_error_cuts_is_not_shown_in_part(server: WireServer, api: Api, mode: str) -> None:
    """Codecs quote the beginning of an answer, which may end inside a secret."""
    texts = [f"{'.' * size}{SECRET}" for size in range(40, 220, 18)]
    answers = [*map(repeating, texts), *(refusing("." * 400 + text) for text in texts)]
    for answer in answers:
        server.script(answer)
        with pytest.raises(ProviderError) as caught:
            api.ask(mode, server, headers={"x-gateway-token": SECRET})

        assert SECRET[:9] not in shown(caught.value)
