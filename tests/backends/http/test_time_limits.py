"""`timeout` and `deadline` bound a whole request, and the error says what it was waiting for."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import repeat
from typing import Any

import pytest
from kit.patience import PATIENCE, limits
from kit.wire import Answer, Gate, Received, WireServer, json_answer, ollama
from kit.wire.server import Pause

from alloy import AlloyError, DeadlineError, ProviderTimeoutError, RateLimitError, ask
from alloy.backends.http.clients import CLIENTS

WAYS: dict[str, Callable[..., Any]] = {
    "plain": lambda **options: ask("x", **options),
    "stream": lambda **options: list(ask.stream("x", **options)),
    "async": lambda **options: asyncio.run(ask.async_("x", **options)),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
sync_way = pytest.mark.parametrize("way", [WAYS["plain"], WAYS["stream"]], ids=["plain", "stream"])
ERRORS: dict[str, type[AlloyError]] = {"timeout": ProviderTimeoutError, "deadline": DeadlineError}
every_limit = pytest.mark.parametrize("limit", ERRORS)


def at(url: str, **options: Any) -> dict[str, Any]:
    """Options of a call to *url* that is not tried again."""
    return {"model": "ollama:m", "base_url": url, "retry": 0, **options}


def waits_for(what: str, limit: str, call: Callable[..., object]) -> AlloyError:
    """The error of *call*, which runs out of time while it waits for *what*."""
    errors: list[AlloyError] = []
    for seconds in limits(lambda: what in str(errors[-1])):
        with pytest.raises(ERRORS[limit], match=f"{limit}={seconds} seconds") as caught:
            call(**{limit: seconds})
        errors.append(caught.value)
    return errors[-1]


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Import the SDK, which is not part of what is limited."""
    with pytest.raises(AlloyError):
        ask("x", **at("http://127.0.0.1:9"))


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that accepts connections and never says anything."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a server that answers no SYN, because its backlog is full."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as listener:
        address = listener.getsockname()
        with closing(socket.create_connection(address)):
            yield address[1]


@every_way
@every_limit
def test_the_headers_of_the_answer(way: Any, limit: str, silent: int):
    """A server that accepts the request and is silent."""
    waits_for("the headers of the answer", limit, lambda **o: way(**at(f"http://127.0.0.1:{silent}", **o)))


@every_way
@every_limit
def test_the_tls_handshake(way: Any, limit: str, silent: int):
    """A server that does not speak TLS."""
    what = "the TLS handshake with 127.0.0.1"
    waits_for(what, limit, lambda **o: way(**at(f"https://127.0.0.1:{silent}", **o)))


@every_way
def test_the_rest_of_the_answer(way: Any, server: WireServer):
    """A body that stops in the middle."""
    answer = ollama.reply(ollama.answer(text="hey"))
    server.always = lambda _: Answer([Gate()], 200, answer.headers, length=100)
    waits_for("the rest of the answer", "timeout", lambda **o: way(**at(server.url, **o)))


@sync_way
@every_limit
def test_headers_that_never_end_on_a_connection_that_is_used_again(way: Any, limit: str, server: WireServer):
    """Each `100 Continue` is in time for the read, and is not the answer."""
    first = ollama.reply(ollama.answer(text="hey"))
    endless = Answer(raw=[Pause(), b"HTTP/1.1 100 Continue\r\n\r\n"] * 100_000)

    def call(**options: Any) -> None:
        CLIENTS.close()
        server.script(first, endless)
        before = len(server.connections)
        ask("x", **at(server.url))
        try:
            way(**at(server.url, **options))
        finally:
            assert len(server.connections) == before + 1

    waits_for("the headers of the answer", limit, call)
    server.connections[-1].wait_closed()


@sync_way
@every_limit
def test_a_name_with_endless_addresses(
    way: Any, limit: str, full: int, monkeypatch: pytest.MonkeyPatch, over: threading.Event
):
    """Each address is in time for the connection, and none answers."""

    def addresses(*_: Any) -> Iterator[Any]:
        for each in repeat((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", full))):
            if over.is_set():
                return
            yield each

    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    waits_for("the connection to many.test", limit, lambda **o: way(**at("http://many.test", **o)))


@sync_way
def test_a_name_that_is_never_looked_up(way: Any, monkeypatch: pytest.MonkeyPatch, over: threading.Event):
    """A look-up of a name has no limit of its own."""

    def hangs(*_: Any) -> Any:
        over.wait(2 * PATIENCE)
        raise OSError("the test is over")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    waits_for("the connection to slow.test", "timeout", lambda **o: way(**at("http://slow.test", **o)))


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Is set when the test is over."""
    event = threading.Event()
    yield event
    event.set()


@every_way
def test_a_wait_beyond_the_deadline_has_the_error_before_as_its_cause(way: Any, server: WireServer):
    """The call ends at once, and says why it wanted to wait."""
    server.script(json_answer({"error": "slow down"}, status=429, retry_after="30"))
    with pytest.raises(DeadlineError, match=r"a wait of 3\d\.\d seconds .* deadline=10 ") as caught:
        way(**at(server.url, retry=2, deadline=10))
    assert isinstance(caught.value.__cause__, RateLimitError)


@every_way
@every_limit
def test_a_retry_that_takes_too_long_has_the_error_before_as_its_cause(
    way: Any, limit: str, server: WireServer
):
    """What went wrong first is not lost."""
    slow, asked = json_answer({"error": "slow down"}, status=429, retry_after="0"), Counter[str]()

    def answer(request: Received) -> Answer:
        asked[request.path] += 1
        return slow if asked[request.path] == 1 else Answer(before=Gate())

    def came_so_far() -> bool:
        return isinstance(errors[-1].__cause__, RateLimitError) and "headers of the answer" in str(errors[-1])

    server.always = answer
    errors: list[AlloyError] = []
    for seconds in limits(came_so_far):
        # Each call has a path of its own: a request of the one before may still be on its way.
        here = at(f"{server.url}/{len(errors)}", retry=1, backoff=0)
        with pytest.raises(ERRORS[limit], match=f"{limit}={seconds} seconds") as caught:
            way(**here, **{limit: seconds})
        errors.append(caught.value)


def test_calls_share_one_thread_for_their_limits(server: WireServer):
    """A kept connection needs no other thread."""
    server.always = lambda _: ollama.reply(ollama.answer(text="hey"))
    for _ in range(3):
        ask("x", **at(server.url, timeout=PATIENCE))
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("alloy-watchdog") == 1
    assert not any(name.startswith("alloy-connect") for name in names)


@pytest.mark.parametrize("is_async", [False, True], ids=["stream", "async stream"])
def test_a_reader_of_a_stream_that_takes_too_long(is_async: bool, server: WireServer):
    """`deadline` includes its time, also when the whole answer has arrived already."""
    server.always = lambda _: ollama.stream(ollama.answer(text="hey you"), list)
    reached: list[str] = []

    def read(limit: float) -> None:
        for piece in ask.stream("x", **at(server.url, deadline=limit)):
            reached.append(piece)
            threading.Event().wait(1.2 * limit)

    async def read_async(limit: float) -> None:
        async for piece in ask.stream_async("x", **at(server.url, deadline=limit)):
            reached.append(piece)
            await asyncio.sleep(1.2 * limit)

    for limit in limits(lambda: reached):
        with pytest.raises(DeadlineError, match=f"deadline={limit} seconds") as caught:
            asyncio.run(read_async(limit)) if is_async else read(limit)
    assert reached == ["h"]
    assert "it waited for the reader of the stream" in str(caught.value)
