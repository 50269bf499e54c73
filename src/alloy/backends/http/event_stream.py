"""Streamed bodies: server-sent events, and lines of JSON, read from bytes however they are cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from alloy.backends.http.payload import parse_json
from alloy.backends.http.received import SNIPPET, Received, bad_reply
from alloy.backends.http.redaction import scrub
from alloy.jsontypes import Json, JsonObject

__all__ = ["END_MARK", "EventStream", "JsonLines", "StreamReader"]

END_MARK: JsonObject = {"type": "[DONE]"}
"""What an accumulator gets for the end mark `[DONE]`: what came before it is the whole answer."""


class StreamReader(Protocol):
    """Reads the events of one streamed body."""

    whole_json: bool
    """Whether a body that is one JSON value is a valid stream."""

    done: bool
    """Whether the end of the stream has come: its end mark, or its last event."""

    def feed(self, chunk: bytes) -> Iterator[Json]:
        """Take in the next bytes of the body and yield the events that end in them, parsed."""

    def finish(self) -> Iterator[Json]:
        """Yield what the end of the body completes. Raises `BadReplyError` when there was no event at all."""

    def rest(self) -> bytes:
        """What the body contains apart from events: some servers report a failure as bare JSON."""


FIELDS = (b":", b"event", b"id", b"retry")
OTHER_LINES_MAX = 200


class EventStream:
    """Server-sent events, by the rules of the HTML standard, 9.2.6.

    Only the `data` of an event counts: the providers repeat in it what they put into `event:`. The bytes
    are split into lines, and the data lines of an event are collected until an empty line ends it. A line
    that is not a field of an event is kept for `rest`. `[DONE]` is the end mark of some servers; it is
    yielded as `END_MARK`.
    """

    whole_json = False

    def __init__(self, received: Received) -> None:
        self._received = received
        self._line: list[bytes] = []  # the pieces of an unfinished line
        self._data: list[bytes] = []  # the data lines of an unfinished event
        self._after_cr = False
        self._head = b""  # the first bytes of the body, for an error message
        self._events = 0
        self._other_lines: list[bytes] = []
        self.done = False

    def feed(self, chunk: bytes) -> Iterator[Json]:
        """Take in the next bytes of the body and yield the events that end in them, parsed."""
        if not self._events and len(self._head) < SNIPPET * 4:
            self._head += chunk
        for data in self._split(chunk):
            if data.startswith(b"[DONE]"):
                self.done = True
                yield END_MARK
                return
            event = _parsed(self._received, data, "an event of the stream is not JSON")
            self._events += 1
            yield event

    def finish(self) -> Iterator[Json]:
        """Yield nothing. Raises `BadReplyError` when the whole body contained no event at all."""
        if not self._events and not self.done:
            raise bad_reply(self._received, "the answer is not an event stream", self._head)
        return iter(())

    def rest(self) -> bytes:
        """What the body contains apart from events: some servers report a failure as bare JSON."""
        return b"\n".join([*self._other_lines, *self._line])

    def _split(self, chunk: bytes) -> Iterator[bytes]:
        if b"\n" not in chunk and b"\r" not in chunk:
            # Joined only at the end of a line, so a long event costs no more for each byte than a short one.
            self._line.append(chunk)
            self._after_cr = self._after_cr and not chunk
            return
        for line in self._lines(chunk):
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and self._data:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                self._data = []
                yield data
            elif line and len(self._other_lines) < OTHER_LINES_MAX and not line.startswith(FIELDS):
                self._other_lines.append(line)

    def _lines(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the second half of a CR LF that was cut in two
        self._after_cr = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._line:
            chunk = b"".join([*self._line, chunk])
        *lines, rest = chunk.split(b"\n")
        self._line = [rest] if rest else []
        return lines


class JsonLines:
    """One JSON object on each line. Only a line feed ends a line."""

    whole_json = True

    def __init__(self, received: Received) -> None:
        self._received = received
        self._pieces: list[bytes] = []  # of an unfinished line
        self._empty = True
        self.done = False

    def feed(self, chunk: bytes) -> Iterator[Json]:
        """Take in the next bytes of the body and yield the lines that end in them, parsed."""
        if b"\n" not in chunk:
            self._pieces.append(chunk)  # joined only at the end of a line, as in EventStream
            return
        *whole, rest = b"".join([*self._pieces, chunk]).split(b"\n")
        self._pieces = [rest]
        for line in whole:
            yield from self._read(line)

    def finish(self) -> Iterator[Json]:
        """Yield what the last line contains. Raises `BadReplyError` when there was no line at all."""
        yield from self._read(b"".join(self._pieces))
        if self._empty:
            raise bad_reply(self._received, "the answer is not a stream", b"")

    def rest(self) -> bytes:
        """Nothing: every line is an event."""
        return b""

    def _read(self, line: bytes) -> Iterator[Json]:
        if not line.strip():
            return
        self._empty = False
        event = _parsed(self._received, line, "a line of the stream is not JSON, or not complete")
        if not isinstance(event, dict):
            raise bad_reply(self._received, "a line of the stream is not a JSON object", line)
        if event.get("error"):  # it may repeat the key
            event = {**event, "error": scrub(event["error"], self._received.response.request)}
        yield event


def _parsed(received: Received, data: bytes, problem: str) -> Json:
    try:
        return parse_json(data)
    except ValueError as error:
        raise bad_reply(received, problem, data) from error
