"""Streams, reading and prompts: what checkers infer. Never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any, assert_type

from alloy import Conversation, Document, Image, Message, Parsed, Prompt, Result, Stream, ask, command, parse
from alloy.events import Event


@dataclass
class Item:
    """Something with a price."""

    price: float


@command(output=list[Item])
def items_of(text: str) -> str:
    """Read."""
    return text


@command(output=Item)
def look(picture: Image) -> list[str | Image]:
    """Look."""
    return ["What is it?", picture]


@command
def chat(history: list[Message]) -> Prompt:
    """Go on."""
    return history


stream = items_of.stream("x")
assert_type(stream, Stream[list[Item]])
assert_type(next(stream), str)
assert_type(stream.items(), Iterator[Item])
assert_type(stream.events(), Iterator[Event])
assert_type(stream.partials(), Iterator[Any])
assert_type(stream.result(), list[Item])
assert_type(stream.run(), Result[list[Item]])
assert_type(look(Image.from_path("a.png")), Item)
assert_type(chat([]), str)
assert_type(ask(["See", Image.from_url("https://e.org/a.png"), Document.from_bytes(b"%PDF-")]), str)
assert_type(ask("x", conversation=Conversation()), str)
assert_type(parse(int | None, "3"), int | None)
assert_type(parse(list[Item], "[]", report=True), Parsed[list[Item]])
assert_type(parse(Item, "{}", report=True).value, Item)


async def in_a_loop() -> None:
    """The same, awaited."""
    pieces = items_of.stream_async("x")
    assert_type(await anext(pieces), str)
    assert_type(pieces.items(), AsyncGenerator[Item, None])
    assert_type(await pieces.result(), list[Item])
    assert_type(await pieces.run(), Result[list[Item]])
