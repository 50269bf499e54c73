"""Streams, reading and prompts: what checkers infer. Never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

from alloy import (
    CachePoint,
    Conversation,
    Document,
    Image,
    Message,
    Parsed,
    Partial,
    Prompt,
    Result,
    Stream,
    TruncatedError,
    ask,
    command,
    parse,
)
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
assert_type(stream.partials(), Iterator[Partial[list[Item]]])
assert_type(stream.result(), list[Item])
assert_type(stream.run(), Result[list[Item]])
assert_type(look(Image.from_path("a.png")), Item)
assert_type(chat([]), str)
assert_type(ask(["The contract", CachePoint(), "Who signs?"], prompt_caching="long"), str)
assert_type(ask(["See", Image.from_url("https://e.org/a.png"), Document.from_bytes(b"%PDF-")]), str)
assert_type(ask("x", conversation=Conversation()), str)
assert_type(parse(int | None, "3"), int | None)
assert_type(parse(list[Item], "[]", report=True), Parsed[list[Item]])
assert_type(parse(Item, "{}", report=True).value, Item)


class Movie(TypedDict):
    """With a title."""

    title: str


def first_price(items: list[Item]) -> float:
    """A reader of a list."""
    return items[0].price


for items in stream.partials():
    assert_type(items.elements(), list[Item])
    assert_type(items.get(lambda found: found[0].price), float | None)
    assert_type(items.get(lambda found: found[0].price, str(items)), float | str)
    assert_type(items.get(lambda found: [item.price for item in found], None), list[float] | None)
    assert_type(items.get(first_price), float | None)
    assert_type(items == [{"price": 1.5}], bool)
for movie in ask.stream("x", output=Movie).partials():
    assert_type(movie.get(lambda found: found["title"], ""), str)
    assert_type(movie["title"], Any)
for prices in ask.stream("x", output=dict[str, float]).partials():
    assert_type(prices.entries(), dict[str, float])
for story in ask.stream("x").partials():
    assert_type(story.get(lambda text: text), str | None)
    assert_type(story.get(lambda text: text, ""), str)


def truncated(error: TruncatedError) -> None:
    """The type of the answer is the call's, which the error does not know."""
    assert_type(error.partial, Partial[Any] | None)


async def in_a_loop() -> None:
    """The same, awaited."""
    pieces = items_of.stream_async("x")
    assert_type(await anext(pieces), str)
    assert_type(pieces.items(), AsyncGenerator[Item, None])
    assert_type(pieces.partials(), AsyncGenerator[Partial[list[Item]], None])
    assert_type(await pieces.result(), list[Item])
    assert_type(await pieces.run(), Result[list[Item]])
