"""How the wire tests talk through a backend: the four calls, each taken as far as a `Reply`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing, closing
from typing import Any

from alloy.backends.base import Backend, CancelToken
from alloy.endpoints import Endpoint
from alloy.errors import AlloyError
from alloy.messages import Reply, Request, User
from kit.patience import PATIENCE
from kit.wire import WireServer

KEY = "sk-test-1234567890"
MODES = ["send", "send_async", "open", "open_async"]
WHOLE = ["send", "send_async"]
STREAMED = ["open", "open_async"]


def at(server: WireServer, **settings: Any) -> Endpoint:
    """The endpoint of *server*, with a key and a timeout unless *settings* say otherwise."""
    return Endpoint(**{"base_url": f"{server.url}/v1", "api_key": KEY, "timeout": PATIENCE, **settings})


def body(backend: Backend, prompt: str = "Hello", **settings: Any) -> dict[str, Any]:
    """The request that says *prompt*."""
    return backend.encode(Request("gpt-5.6", (User(prompt),), **settings))


def talk(
    backend: Backend,
    mode: str,
    endpoint: Endpoint,
    sent: dict[str, Any] | None = None,
    cancel: CancelToken | None = None,
) -> Reply:
    """One request in *mode*, to its reply; SDK errors are raised as what the backend explains them to be."""
    sent = body(backend) if sent is None else sent
    try:
        if mode == "send":
            return backend.decode(backend.send(sent, endpoint, cancel or CancelToken()))
        if mode == "open":
            return _listen(backend, sent, endpoint, cancel or CancelToken())
        return asyncio.run(talk_async(backend, mode, endpoint, sent))
    except AlloyError:
        raise
    except Exception as error:
        explained = backend.explain(error)
        assert explained is not None, f"unexplained: {error!r}"
        raise explained from error


async def talk_async(backend: Backend, mode: str, endpoint: Endpoint, sent: dict[str, Any]) -> Reply:
    """The asynchronous modes, unexplained, for a loop that is already running."""
    if mode == "send_async":
        return backend.decode(await backend.send_async(sent, endpoint))
    accumulator = backend.accumulator()
    async with aclosing(backend.open_async(sent, endpoint)) as events:
        async for event in events:
            accumulator.feed(event)
    return accumulator.reply()


def _listen(backend: Backend, sent: dict[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Reply:
    accumulator = backend.accumulator()
    with closing(backend.open(sent, endpoint, cancel)) as events:
        for event in events:
            accumulator.feed(event)
    return accumulator.reply()


class Running:
    """*work* in a thread of its own; `result()` gives what came of it, or raises."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._outcome: tuple[Any, BaseException | None] = (None, None)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = (self._work(), None)
        except BaseException as error:
            self._outcome = (None, error)

    def result(self) -> Any:
        """Wait for the end of the work."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the call is still waiting"
        value, error = self._outcome
        if error is not None:
            raise error
        return value
