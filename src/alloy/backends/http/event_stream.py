"""Streamed bodies: server-sent events, and lines of JSON, read from bytes however they are cut."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

from alloy.backends.http.payload import json_or_text, parse_body, unparsed
from alloy.backends.http.received import SNIPPET, Received, bad_reply
from alloy.errors import BadReplyError
from alloy.jsontypes import Json, JsonObject

__all__ = ["END_MARK", "EventStream", "JsonLines", "StreamReader", "framed_error"]

END_MARK: JsonObject = {"type": "[DONE]"}
"""What an accumulator gets for the end mark `[DONE]`: what came before it is the whole answer."""


class StreamReader(Protocol):
    """Reads the events of one streamed body."""

    whole_json: bool
    """Whether a body that is one JSON value is a valid stream."""

    done: bool
    """Whether the end of the stream has come: its end mark, or its last event."""

    started: bool
    """Whether there was an event."""

    head: bytes
    """The first bytes of the body, for an error message."""

    known: bool | None
    """Whether an event had the format of the API; `None` without an event that shows it."""

    def recognises(self, body: bytes) -> bool:
        """Whether *body*, which is not one JSON value, is such a stream."""

    def feed(self, chunk: bytes) -> Iterator[Json]:
        """Take in the next bytes of the body and yield the events that end in them, parsed."""

    def finish(self) -> Iterator[Json]:
        """Yield what the end of the body completes. Raises `BadReplyError` when there was no event at all."""

    def rest(self) -> bytes:
        """What the body contains apart from events: bare JSON, for a failure or for a whole answer."""


FIELDS = (b":", b"event", b"id", b"retry")
OTHER_LINES_MAX = 2000
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_KEEP_ALIVE = re.compile(
    rb'(null|\{\s*\}|\[\s*\]|"?[\[<]?(ping|pong|keep-?alive|heartbeat)[\]>]?"?)?', re.IGNORECASE
)

_JSON_LINES = re.compile(rb"\}[^\S\n]*+\n\s*+\{")
_FRAMED = re.compile(rb"\s*+(\xef\xbb\xbf\s*+)?+(data|event|id|retry)?:")


def _keeps_alive(data: bytes) -> bool:
    """Whether *data* is only there to keep the connection open: `ping`, `[PING]`, `null`, `{}`, a comment."""
    return data.startswith(b":") or _KEEP_ALIVE.fullmatch(data) is not None


def framed_error(body: bytes) -> Json:
    """The first event in *body*: parsed if it is JSON, or its text; `None` when there is none."""
    if not _FRAMED.match(body):
        return None
    lines = [line.partition(b":")[2].strip() for line in body.splitlines() if line.startswith(b"data:")]
    found = next((line for line in lines if not _keeps_alive(line)), None)
    return None if found is None else json_or_text(found)


class EventStream:
    """Server-sent events, by the rules of the HTML standard, 9.2.6.

    The bytes are split into lines, and the data lines of an event are collected until an empty line ends it,
    or the end of the body. An event without data is not dispatched, and neither are the keep-alives of
    gateways: `null`, `ping`, a comment as data. Of the names only `error` counts: the providers repeat the
    others in the data. A line that is not a field of an event is kept for `rest`. `[DONE]` is the end mark of
    some servers; it is yielded as `END_MARK`.
    """

    whole_json = False

    def __init__(self, received: Received) -> None:
        self._received = received
        self._line = bytearray()  # an unfinished line: one object, as its pieces may be of a byte each
        self._data: bytearray | None = None  # the data lines of an unfinished event
        self._is_error = False  # whether that is the event's name
        self._after_cr = False
        self._at_start = True
        self.head = b""
        self._other_lines: list[bytes] = []
        self.started = self.done = False
        self.known: bool | None = None

    def recognises(self, body: bytes) -> bool:
        """Whether *body*, which is not one JSON value, begins with a field or a comment."""
        return _FRAMED.match(body) is not None

    def feed(self, chunk: bytes) -> Iterator[Json]:
        """Take in the next bytes of the body and yield the events that end in them, parsed."""
        if len(self.head) < SNIPPET:
            self.head += chunk[: SNIPPET * 4]
        for data, is_error in self._split(chunk):
            if data.startswith((b"[DONE]", b'"[DONE]"', b"[done]")):
                self.done = True
                yield END_MARK
                return
            event = self._failure(data) if is_error else self._event(data)
            if event is not None:
                self.started = True
                yield event

    def finish(self) -> Iterator[Json]:
        """Yield an event that no empty line ended. Raises `BadReplyError` when there was no event at all."""
        with suppress(BadReplyError):  # half of an event
            yield from self.feed(b"\n\n")
        if not self.started and not self.done:
            lasts = False if _JSON_LINES.search(self.rest()) else None
            raise bad_reply(self._received, "the answer is not an event stream", self.head, transient=lasts)

    def rest(self) -> bytes:
        """What the body contains apart from events: bare JSON, for a failure or for a whole answer."""
        return b"\n".join([*self._other_lines, self._line]).removeprefix(BYTE_ORDER_MARK)

    def _event(self, data: bytes) -> Json:
        """The parsed *data* of an event, `None` for one that only keeps the connection open."""
        if _keeps_alive(data):
            return None
        event = _parsed(self._received, data, "an event of the stream")
        return event or None

    def _failure(self, data: bytes) -> Json:
        """The *data* of an event with the name `error`, as the error object that codecs read."""
        found = json_or_text(data)
        if isinstance(found, dict):
            return found if found.get("error") else {"error": found} if found else None
        return {"error": found} if isinstance(found, str) and found else None

    def _split(self, chunk: bytes) -> Iterator[tuple[bytes, bool]]:
        if b"\n" not in chunk and b"\r" not in chunk:
            # Searched only at the end of a line, so a byte of a long event costs no more than one of a short.
            self._line += chunk
            self._after_cr = self._after_cr and not chunk
            return
        for line in self._lines(chunk):
            if line.startswith(b"data:"):
                if self._data is None:
                    self._data = bytearray(line[5:])
                else:
                    self._data += b"\n" + line[5:]
            elif not line:
                if self._data is not None:
                    data, is_error = bytes(self._data), self._is_error
                    self._data, self._is_error = None, False
                    yield data.strip(), is_error
                self._is_error = False
            elif line.startswith(b"event:"):
                self._is_error = line[6:].strip() == b"error"
            elif line != b"data" and len(self._other_lines) < OTHER_LINES_MAX and not line.startswith(FIELDS):
                self._other_lines.append(line)

    def _lines(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the second half of a CR LF that was cut in two
        self._after_cr = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._line:
            chunk = b"".join((self._line, chunk))
        *lines, rest = chunk.split(b"\n")
        self._line = bytearray(rest)
        if self._at_start and lines:
            self._at_start = False
            lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
        return lines


class JsonLines:
    """One JSON object on each line. Only a line feed ends a line.

    An object that some server writes over several lines begins with `{` and ends with `}`, each alone in its
    line.
    """

    whole_json = True

    def __init__(self, received: Received) -> None:
        self._received = received
        self._rest = bytearray()  # an unfinished line
        self._lines = bytearray()  # the lines of an unfinished object
        self._name = b""  # of an event, as proxies send errors and pings
        self._was_idle = False
        self.head = b""
        self.started = self.done = False
        self.known: bool | None = None

    def recognises(self, body: bytes) -> bool:
        """Whether *body*, which is not one JSON value, has several."""
        return _JSON_LINES.search(body) is not None

    def feed(self, chunk: bytes) -> Iterator[Json]:
        """Take in the next bytes of the body and yield the lines that end in them, parsed."""
        if len(self.head) < SNIPPET:
            self.head += chunk[: SNIPPET * 4]
        if b"\n" not in chunk:
            self._rest += chunk  # searched only at the end of a line, as in EventStream
            return
        *whole, rest = b"".join((self._rest, chunk)).split(b"\n")
        self._rest = bytearray(rest)
        for line in whole:
            yield from self._read(line)

    def finish(self) -> Iterator[Json]:
        """Yield what the last line contains. Raises `BadReplyError` when there was no line at all."""
        yield from self._read(bytes(self._rest))
        if self._lines:
            yield self._event(bytes(self._lines))
        if not self.started:
            lasts = False if self._was_idle else None
            raise bad_reply(self._received, "the answer is not a stream", self.head, transient=lasts)

    def rest(self) -> bytes:
        """Nothing: every line is an event."""
        return b""

    def _read(self, line: bytes) -> Iterator[Json]:
        if not line.strip():
            return
        if not self._lines and (_keeps_alive(line.strip()) or self._is_framed(line)):
            self._was_idle = True
            return
        if self._name == b"error" and line.startswith(b"data:"):
            found = json_or_text(line[5:].strip())
            line = json.dumps(
                found if isinstance(found, dict) and found.get("error") else {"error": found}
            ).encode()
        if self._lines or line.strip() == b"{":
            self._lines += line + b"\n"
            if line.rstrip() != b"}":
                return
            line, self._lines = bytes(self._lines), bytearray()
        yield self._event(line)

    def _is_framed(self, line: bytes) -> bool:
        """Whether *line* is the name of an error or a ping, or the data of a ping."""
        if line.startswith(b"event:"):
            self._name = line[6:].strip()
            return self._name == b"error" or _keeps_alive(self._name)
        return line.startswith(b"data:") and _keeps_alive(self._name) and self._name != b""

    def _event(self, line: bytes) -> Json:
        self.started = True
        event = _parsed(self._received, line, "a line of the stream")
        if not isinstance(event, dict):
            raise bad_reply(
                self._received, "a line of the stream is not a JSON object", line, transient=False
            )
        return event


def _parsed(received: Received, data: bytes, subject: str) -> Json:
    try:
        return parse_body(data)
    except ValueError as error:
        # In the second case it is not cut off, but an event instead of JSON.
        lasts, what = unparsed(error, False if _FRAMED.match(data) else None)
        raise bad_reply(received, f"{subject} is {what}", data, transient=lasts) from error
