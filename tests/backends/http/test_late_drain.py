"""A limit that passes after the whole answer has arrived, while the server leaves the body open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from kit.apis import GEMINI, Api, apis

from alloy import ask

LIMIT = 30.0


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock a test moves on."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class LeftOpen(httpx.AsyncByteStream):
    """A body that does not end; when all of it is there, the limit of the request is about to pass."""

    def __init__(self, loop: Loop, content: bytes, cancel: Any) -> None:
        self._loop, self._content, self._cancel = loop, content, cancel

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._loop.ahead = LIMIT - 0.05
        yield self._content
        if self._cancel is not None:
            self._cancel()
        await asyncio.Event().wait()


class Transport(httpx.AsyncBaseTransport):
    """Answers each request with one such body."""

    def __init__(self, loop: Loop, api: Api, cancel: Any = None) -> None:
        self._loop, self._cancel = loop, cancel
        self._answer = api.answer("open", "Hello")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = b"".join(step for step in self._answer.body if isinstance(step, bytes))
        body = LeftOpen(self._loop, content, self._cancel)
        return httpx.Response(200, headers=self._answer.headers, stream=body)


async def text_of(transport: Transport, api: Api, *, streamed: bool) -> str:
    """What a call answers over *transport*."""
    async with httpx.AsyncClient(transport=transport) as client:
        options: Any = {
            "model": f"{api.name}:{api.model}",
            "base_url": "http://server" + api.base,
            "api_key": "k",
            "http_client": client,
            "timeout": LIMIT,
            "retry": 0,
        }
        if not streamed:
            return await ask.async_("x", **options)
        async with ask.stream_async("x", **options) as pieces:
            return "".join([piece async for piece in pieces])


@apis(GEMINI)  # whose streams have no end mark, so that an answer is whole when its body has ended
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_an_answer_that_is_whole_is_returned(api: Api, streamed: bool) -> None:
    """The rest of the body is read only so that its connection can be used again."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        loop: Any = runner.get_loop()
        assert runner.run(text_of(Transport(loop, api), api, streamed=streamed)) == "Hello"


@apis()
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_a_task_that_is_cancelled_then_is_cancelled(api: Api, streamed: bool) -> None:
    """By its owner, and not by the limit."""

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        transport = Transport(loop, api, lambda: loop.call_soon(task.cancel))
        task = asyncio.create_task(text_of(transport, api, streamed=streamed))
        with pytest.raises(asyncio.CancelledError):
            await task

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
