"""Connections that are refused, cut, silent or too slow."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from kit.wire import Answer, Cut, Gate, dripping
from kit.wire.server import Pause

from faults.cells import Fault, Scene, Site

LOST = "`ProviderConnectionError`, retried"
LOST_TEXT = "`ProviderConnectionError`, text kept"
LATE = "`ProviderTimeoutError`, retried"
LATE_TEXT = "`ProviderTimeoutError`, text kept"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

# --- addresses where no server of ours is -------------------------------------------------------------


@contextmanager
def nobody() -> Iterator[Site]:
    """A port that is taken, and at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Site(f"http://127.0.0.1:{taken.getsockname()[1]}")


@contextmanager
def listener(scheme: str, says: bytes | None) -> Iterator[Site]:
    """A server that reads, and says nothing or *says* something, whatever it is asked."""
    arrived, sockets = threading.Event(), list[socket.socket]()
    accepting = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = accepting.accept()
                sockets.append(client)
                client.recv(1)
                arrived.set()
                if says is not None:
                    client.sendall(says)
                    client.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=serve, name="listener")
    thread.start()
    try:
        yield Site(f"{scheme}://127.0.0.1:{accepting.getsockname()[1]}", arrived.is_set)
    finally:
        for each in (accepting, *sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        thread.join()


# --- answers that stop --------------------------------------------------------------------------------


def before(step: Any) -> Any:
    def answer(scene: Scene) -> Answer:
        found = scene.answer()
        found.before = step()
        return found

    return answer


def in_headers(step: Any) -> Any:
    return lambda _: Answer(raw=[HEAD, b"content-le", step()])


def in_body(step: Any, framing: Any = "chunked") -> Any:
    """The answer up to *step*: half of a plain one, or a stream after its first text."""

    def answer(scene: Scene) -> Answer:
        found = scene.answer()
        if scene.form == "call":
            first = found.body[0]
            assert isinstance(first, bytes)
            found.body = [first[: len(first) // 2], step()]
        else:
            found.body = [*until_text(found), step()]
        found.framing, found.length = framing, 100_000 if framing == "length" else None
        return found

    return answer


def until_text(answer: Answer) -> list[bytes]:
    """The parts of the body of a streamed *answer* to the first one with text, inclusive."""
    parts = [part for part in answer.body if isinstance(part, bytes)]
    place = next(place for place, part in enumerate(parts) if "Grü".encode() in part)
    return parts[: place + 1]


def in_error(scene: Scene) -> Answer:
    found = scene.api.failure(500, "That went wrong.", None)
    found.body, found.framing = [b'{"error', Gate()], "chunked"
    return found


def drip(scene: Scene) -> Answer:
    return dripping(scene.answer(""))


class Endless(list[Any]):
    """A step again and again, each after a moment."""

    def __init__(self, first: bytes, again: bytes) -> None:
        super().__init__([first])
        self._again = again

    def __iter__(self) -> Iterator[Any]:
        yield from list.__iter__(self)
        while True:
            yield Pause()
            yield self._again


CONNECTIONS = [
    Fault("the connection is refused", None, LOST, LOST, site=nobody),
    Fault(
        "the TLS handshake never ends",
        None,
        LATE,
        LATE,
        site=lambda: listener("https", None),
        endless=True,
    ),
    Fault(
        "`https:` at a server without TLS",
        None,
        LOST,
        LOST,
        site=lambda: listener("https", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ),
    Fault(
        "a server of another protocol",
        None,
        LOST,
        LOST,
        site=lambda: listener("http", b"220 mail.example ESMTP\r\n"),
    ),
    Fault("a close before the headers", before(Cut), LOST, LOST),
    Fault("a reset before the headers", before(lambda: Cut(reset=True)), LOST, LOST),
    Fault("a close inside the headers", in_headers(Cut), LOST, LOST),
    Fault("a reset inside the headers", in_headers(lambda: Cut(reset=True)), LOST, LOST),
    Fault("a close inside a body of known length", in_body(Cut, "length"), LOST, LOST_TEXT),
    Fault(
        "a reset inside a body of known length", in_body(lambda: Cut(reset=True), "length"), LOST, LOST_TEXT
    ),
    Fault("a close inside a chunked body", in_body(Cut), LOST, LOST_TEXT),
    Fault("a reset inside a chunked body", in_body(lambda: Cut(reset=True)), LOST, LOST_TEXT),
    Fault("silence before the headers", before(Gate), LATE, LATE, endless=True),
    Fault("silence inside the headers", in_headers(Gate), LATE, LATE, endless=True),
    Fault("silence inside the body", in_body(Gate), LATE, LATE_TEXT, endless=True),
    Fault("silence inside the body of an error", in_error, LATE, LATE, endless=True),
    Fault(
        "`100 Continue` without end",
        lambda _: Answer(raw=Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
        LATE,
        LATE,
        endless=True,
    ),
    Fault(
        "headers that drip",
        lambda _: Answer(raw=Endless(HEAD + b"x-pad: ", b"y")),
        LATE,
        LATE,
        endless=True,
    ),
    Fault("a body that drips", drip, LATE, LATE, endless=True),
]
