"""Streams are read in time that grows with their length, counted in lines of Python that run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kit.apis import Api, every_api, three_characters
from kit.dialects import PLAIN
from kit.steps import lines_run

from alloy._typed.answers.partial import Shape
from alloy._typed.types.compile import compile_type
from alloy.backends.http.event_stream import EventStream, JsonLines
from alloy.backends.http.payload import parse_body
from alloy.backends.http.received import Received


def check(cost: Callable[[int], int]) -> None:
    """*cost* for n, 2n and 4n."""
    once = cost(200)
    assert cost(400) < 2.2 * once and cost(800) < 4.4 * once


@every_api
@pytest.mark.parametrize("what", ["text", "reasoning", "arguments"])
def test_the_pieces_of_a_reply(api: Api, what: str):
    """Text, reasoning and arguments of calls in pieces of three characters."""

    def cost(size: int) -> int:
        text = "ab " * size
        fields: dict[str, dict[str, Any]] = {
            "text": {"text": text},
            "reasoning": {"text": "x", "thought": text},
            "arguments": {"text": "", "calls": [("find", {"what": text})]},
        }
        events = api.events(api.whole(**fields[what]), three_characters)
        accumulator = api.backend.accumulator()

        def read() -> None:
            for event in events:
                accumulator.feed(event)
            accumulator.reply()

        return lines_run(read)

    if cost(400) > cost(200):  # some APIs send arguments whole
        check(cost)


@pytest.mark.parametrize(
    ("reader", "begin", "end"),
    [(EventStream, b'data: {"a": "', b'"}\n\n'), (JsonLines, b'{"a": "', b'"}\n')],
    ids=["event stream", "lines of JSON"],
)
def test_an_event_that_arrives_in_small_pieces(reader: Any, begin: bytes, end: bytes):
    """One long event, and many short ones."""

    def long(size: int) -> int:
        return read([begin, *[b"ab "] * size, end])

    def short(size: int) -> int:
        return read([begin + b"x", end] * size)

    def read(pieces: list[bytes]) -> int:
        stream = reader(Received("test", None, None))
        return lines_run(lambda: [list(stream.feed(piece)) for piece in pieces])

    check(long)
    check(short)


@pytest.mark.parametrize("body", ['{"args": ', '{"args": {"a": "\\\\"', '"args": {}, ', '{"args": [NaN], '])
def test_a_body_that_is_cut_off(body: str):
    """The search for arguments that no parser reads sees each part once."""

    def cost(size: int) -> int:
        def read() -> None:
            with pytest.raises(ValueError, match=r"column|nested"):
                parse_body((body * size).encode())

        return lines_run(read)

    check(cost)


def test_snapshots_of_a_long_answer():
    """The text is read again when it has grown by a part of itself, and not with each piece."""

    def cost(size: int) -> int:
        text = '{"a": "' + "word " * size
        reader = Shape(compile_type(dict[str, str]), None, PLAIN).snapshots(lambda read: read())
        return lines_run(lambda: [list(reader.feed(text[at : at + 5])) for at in range(0, len(text), 5)])

    check(cost)
