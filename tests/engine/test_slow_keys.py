"""A function in `api_key` that is slow, and the import of an SDK: both are inside the limits of a call."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import Any

import pytest
from kit.apis import CHAT, every_api
from kit.patience import PATIENCE, limits
from kit.ways import Asked, asked_at, every_way, run_async, stream_async
from kit.wire import WireServer

from alloy import AlloyError, DeadlineError, ProviderTimeoutError, register_backend
from alloy.backends.fake.backend import FakeBackend
from alloy.backends.registry import registrations_undone
from alloy.endpoints import KEY_FUNCTION

WAITED = "it waited for the function in api_key"


class SlowKey:
    """Functions that wait until the test is over."""

    def __init__(self) -> None:
        self.over, self.began = threading.Event(), threading.Event()
        self.thread: threading.Thread | None = None

    def key(self) -> str:
        """Block the thread."""
        self.thread = threading.current_thread()
        self.began.set()
        self.over.wait(2 * PATIENCE)
        return "late-key"

    async def key_async(self) -> str:
        """Wait in the loop."""
        self.began.set()
        await asyncio.Event().wait()
        return "late-key"

    async def stubborn(self) -> str:
        """Wait in the loop, whatever cancels it."""
        self.began.set()
        while not self.over.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        return "late-key"

    def awaitable(self) -> Any:
        """As `stubborn`, by a function that is not async."""
        return self.stubborn()


@pytest.fixture
def slow() -> Any:
    """A key that never comes."""
    made = SlowKey()
    yield made
    made.over.set()


def error_of(way: Any, server: WireServer, api: Any, name: str, key: Any, slow: SlowKey) -> AlloyError:
    """The error of a call whose limit *name* ends while it waits for the *key*."""
    error: AlloyError | None = None
    api.backend.load()  # otherwise that is waited for
    for limit in limits(slow.began.is_set):
        with pytest.raises(AlloyError) as caught:
            way(asked_at(api, server, api_key=key, **{name: limit}))
        error = caught.value
    assert error is not None
    return error


@every_api
@every_way
def test_a_deadline_ends_the_wait_for_a_key(
    server: WireServer, api: Any, way: Any, slow: SlowKey, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is sent; the thread is left behind, named in the log, and does not keep the process alive."""
    with caplog.at_level(logging.INFO, logger="alloy"):
        error = error_of(way, server, api, "deadline", slow.key, slow)
    assert isinstance(error, DeadlineError)
    assert WAITED in str(error)
    assert len(server.requests) == 0
    assert "the function in api_key still runs, and nobody waits for it" in caplog.text
    assert slow.thread is not None
    assert (slow.thread.daemon, slow.thread.name) == (True, "alloy-key_0")


@every_way
def test_a_timeout_ends_the_wait_for_a_key(server: WireServer, way: Any, slow: SlowKey) -> None:
    """As that of the server's answer."""
    error = error_of(way, server, CHAT, "timeout", slow.key, slow)
    assert isinstance(error, ProviderTimeoutError)
    assert WAITED in str(error)


@pytest.mark.parametrize("way", [run_async, stream_async], ids=["plain", "streamed"])
def test_an_async_function_is_inside_the_limits(server: WireServer, way: Any, slow: SlowKey) -> None:
    """And is cancelled."""
    error = error_of(way, server, CHAT, "deadline", slow.key_async, slow)
    assert isinstance(error, DeadlineError)
    assert WAITED in str(error)


@pytest.mark.parametrize("way", [run_async, stream_async], ids=["plain", "streamed"])
@pytest.mark.parametrize("kind", ["stubborn", "awaitable"])
def test_an_async_function_that_ignores_its_cancellation_is_left_behind(
    server: WireServer, way: Any, kind: str, slow: SlowKey, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the error nor the end of the loop waits for it, and the log names it."""
    with caplog.at_level(logging.INFO, logger="alloy"):
        error = error_of(way, server, CHAT, "timeout", getattr(slow, kind), slow)
    assert isinstance(error, ProviderTimeoutError)
    assert WAITED in str(error)
    assert f"{KEY_FUNCTION} still runs, and nobody waits for it: it ignores its cancellation" in caplog.text
    assert not slow.over.is_set()


@every_way
def test_an_error_of_the_function_is_raised_as_it_is(server: WireServer, way: Any) -> None:
    """With limits and without them."""
    for limit in (None, PATIENCE):
        with pytest.raises(ZeroDivisionError):
            way(asked_at(CHAT, server, api_key=lambda: str(1 // 0), timeout=limit))


class SlowToLoad(FakeBackend):
    """A backend whose SDK is imported for as long as it takes that the limit has passed."""

    limit, has_begun = 0.0, False

    def load(self) -> None:
        """Wait."""
        self.has_begun = True
        threading.Event().wait(1.2 * self.limit)


@every_way
def test_a_deadline_that_passes_while_an_sdk_is_imported_says_so(way: Any) -> None:
    """It is the first call of a process only, and a short limit would be a riddle otherwise."""
    backend = SlowToLoad("slow-sdk")
    with registrations_undone():
        for limit in limits(lambda: backend.has_begun):
            backend.limit = limit
            register_backend("slow-sdk", lambda: backend)
            with pytest.raises(DeadlineError) as caught:
                way(Asked("x", model="slow-sdk:m", deadline=limit))
    assert "it waited for the import of the SDK for slow-sdk" in str(caught.value)
