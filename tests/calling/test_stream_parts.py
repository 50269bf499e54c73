"""Streams beyond text: events, finished items, and growing snapshots."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from itertools import groupby
from typing import Annotated, Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kit.dialects import OPENAI, PLAIN
from pydantic import Field

from alloy import ConfigurationError, ParseError, RateLimitError, Stream, ask, command, ensure, tool
from alloy._engine.runtime.await_parsers import resolved
from alloy._typed.answers.partial import Shape
from alloy._typed.schemas.dialects import to_wire
from alloy._typed.types.compile import compile_type
from alloy.events import (
    CallStarted,
    Final,
    Reask,
    ReasoningDelta,
    ReplyReceived,
    RequestSent,
    Retry,
    TextDelta,
    ToolFinished,
    ToolStarted,
    UsageReport,
)
from alloy.messages import Reply
from alloy.testing import call, replies


@dataclass
class Item:
    """Something with a price."""

    sku: str
    price: float
    tags: list[str] | None = None


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


ITEMS = [Item("a", 1.5), Item('b,]}"', 2.0, ["x", "y"]), Item("ü", 0.0, [])]


def in_sync(kind: str, **options: Any) -> list[Any]:
    """What one kind of reading gives, in sync."""
    return list(getattr(ask.stream("go", **options), kind)())


def in_async(kind: str, **options: Any) -> list[Any]:
    """The same in a loop."""

    async def read() -> list[Any]:
        return [part async for part in getattr(ask.stream_async("go", **options), kind)()]

    return asyncio.run(read())


both = pytest.mark.parametrize("read", [in_sync, in_async])


# --- events ---------------------------------------------------------------------------------------


@both
def test_events_tell_all_that_happens_in_order(read: Callable[..., list[Any]]):
    """Reasoning, text, tools, usage, a retry, a re-ask, and the result at the end."""
    busy = RateLimitError("slow down", provider="fake", retry_after=0.001)
    with replies(busy, call("add", a=1, b=2), Reply("three", reasoning="hm"), "3"):
        events = read("events", output=int, tools=[add])

    seen = [type(event) for event in events if not isinstance(event, TextDelta)]
    assert [kind for kind, _ in groupby(seen)] == [
        CallStarted,
        RequestSent,
        Retry,
        RequestSent,
        ReplyReceived,
        UsageReport,
        ToolStarted,
        ToolFinished,
        RequestSent,
        ReasoningDelta,
        ReplyReceived,
        UsageReport,
        Reask,
        RequestSent,
        ReplyReceived,
        UsageReport,
        Final,
    ]
    kinds = {type(event): event for event in events}
    assert (kinds[ToolStarted].call.name, kinds[ToolFinished].result.value) == ("add", 3)
    assert (kinds[Retry].error, kinds[Final].value) == (busy, 3)
    assert kinds[UsageReport].total == kinds[Final].result.usage
    assert "three" in kinds[Reask].problems[0]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "three3"


def test_a_missing_answer_is_told_as_a_reask():
    """Finalising is asking again."""
    with replies("", "fine"):
        assert any(isinstance(event, Reask) for event in in_sync("events"))


def test_a_closed_stream_has_no_final_event():
    """What was cut short has no result to tell."""
    with replies("a long story"):
        stream = ask.stream("go")
        next(stream)
        stream.close()
        with pytest.raises(RuntimeError, match="closed"):
            list(stream.events())


# --- items ----------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("output", [list[Item], tuple[Item, ...], Annotated[list[Item], Field(min_length=2)]])
def test_items_come_one_by_one_and_are_the_value(read: Callable[..., list[Any]], output: Any):
    """Each is validated as the type of the elements, whatever its strings contain."""
    with replies(ITEMS):
        assert read("items", output=output) == ITEMS


def test_an_item_is_there_before_the_answer_is_whole():
    """The first element comes out while the rest is still on its way."""
    text = json.dumps({"value": [{"sku": "a", "price": 1}, {"sku": "b" * 200, "price": 2}]})
    with replies(text):
        stream = ask.stream("go", output=list[Item])
        items = stream.items()
        assert next(items) == Item("a", 1.0)
        assert "".join(stream) != ""
        assert list(items) == [Item("b" * 200, 2.0)]


@both
def test_items_of_a_set_come_once(read: Callable[..., list[Any]]):
    """A set has no doubles, nor have its items."""
    with replies("[3, 1, 3, 2]"):
        assert sorted(set(read("items", output=set[int]))) == [1, 2, 3]


@both
@pytest.mark.parametrize(
    "text", ["```json\n[1, 2]\n```", "Here you are: [1, 2]", '{"value": [1, 2]}', " [1,2]"]
)
def test_items_survive_noise(read: Callable[..., list[Any]], text: str):
    """Text that does not begin as the list is read when it is whole."""
    with replies(text):
        assert read("items", output=list[int]) == [1, 2]


@both
def test_items_after_tools_and_talk(read: Callable[..., list[Any]]):
    """Text of a model before its answer is not part of the answer."""
    with replies(Reply("Let me see: [9, 9", (call("add", a=1, b=2),)), [1, 2]):
        assert read("items", output=list[int], tools=[add]) == [1, 2]


@both
def test_a_bad_item_is_asked_for_again(read: Callable[..., list[Any]]):
    """Elements that were given are not given again; the second answer continues after them."""
    with replies('[1, "two", 3]', "[1, 2, 3]"):
        assert read("items", output=list[int]) == [1, 2, 3]


@both
def test_a_changed_past_is_an_error(read: Callable[..., list[Any]]):
    """The caller already has the first element: it cannot become another."""
    with replies('[1, "two"]', "[7, 2]"), pytest.raises(ParseError, match="changed an element"):
        read("items", output=list[int])


@both
@pytest.mark.parametrize("output", [int, dict[str, int], Item, tuple[int, str], str])
def test_items_need_a_sequence(read: Callable[..., list[Any]], output: Any):
    """Anything else is an error, before anything is sent."""
    with replies(), pytest.raises(ConfigurationError, match=r"items\(\) needs a sequence"):
        read("items", output=output)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(json_values, max_size=5), st.integers(1, 7), st.booleans(), st.sampled_from([None, 1]))
def test_any_cutting_gives_the_same_items(values: list[Any], size: int, wrapped: bool, indent: int | None):
    """Wherever the text is cut, the elements are those of the whole."""
    text = json.dumps({"value": values} if wrapped else values, indent=indent)
    spec = compile_type(list[Any])
    reader = Shape(spec, None, PLAIN).elements(resolved)
    found = [
        value for start in range(0, len(text), size) for value in reader.feed(text[start : start + size])
    ]
    assert found == values


# --- snapshots ------------------------------------------------------------------------------------


@both
def test_snapshots_grow_to_the_whole(read: Callable[..., list[Any]]):
    """Plain data, each a beginning of the next, the last one complete."""
    with replies(Item("abcdef", 1.5, ["x"])):
        snapshots = read("partials", output=Item)
    assert snapshots[-1] == {"sku": "abcdef", "price": 1.5, "tags": ["x"]}
    assert len(snapshots) > 3
    assert all("abcdef".startswith(snapshot.data.get("sku", "")) for snapshot in snapshots)


@both
def test_snapshots_of_text_and_of_what_is_wrapped(read: Callable[..., list[Any]]):
    """Text is text so far; a value that travels in a wrapper is shown without it."""
    with replies("Once upon a time", [1, 2, 3]):
        texts = read("partials")
        lists = read("partials", output=list[int])
    assert texts[-1] == "Once upon a time"
    assert all("Once upon a time".startswith(text.data) for text in texts)
    assert lists[-1] == [1, 2, 3]
    assert all([1, 2, 3][: len(found)] == found.data for found in lists)


@both
def test_partials_are_typed(read: Callable[..., list[Any]]):
    """What is complete has its type while the rest arrives; the last partial is the whole value."""
    with replies([Item("abcdef", 1.5), Item("g" * 90, 2.0)]):
        partials = read("partials", output=list[Item])
    first = [partial.get(lambda items: items[0].price) for partial in partials]
    assert set(first) == {None, 1.5}
    assert sorted(first, key=bool) == first
    assert [Item("abcdef", 1.5)] in [partial.elements() for partial in partials]
    assert partials[-1].get(lambda items: items) == [Item("abcdef", 1.5), Item("g" * 90, 2.0)]


@both
@pytest.mark.parametrize(
    ("text", "output", "value"),
    [("```json\n[1, 2]\n```", list[int], [1, 2]), ("12", int, 12), ('{"value": 12}', int, 12)],
)
def test_the_last_partial_is_complete(read: Callable[..., list[Any]], text: str, output: Any, value: Any):
    """Also of text around the answer, and of a number, which could go on."""
    with replies(text):
        partials = read("partials", output=output)
    assert partials[-1].get(lambda found: found) == value


class Color(Enum):
    """A choice."""

    RED = "red"


TWICE = json.dumps(json.dumps([{"sku": "ab", "price": 1.5}]))


@pytest.mark.parametrize(
    ("text", "output", "data"),
    [
        ("positive", Literal["positive", "negative"], "positive"),
        ("red", Color, "red"),
        ('"red"', Color, "red"),
        ("```\nred\n```", Color, "red"),
        ("hello", str | None, "hello"),
        ('"null"', str | None, "null"),
        ("None", bool | None, None),
        ("2027-01-02", date, "2027-01-02"),
        ('"2027-01-02"', date, "2027-01-02"),
        ("2027-01-02T03:04:05", datetime, "2027-01-02T03:04:05"),
        ("12.50", Decimal, 12.5),
        (TWICE, list[Item], [{"sku": "ab", "price": 1.5}]),
        (f'{{"value": {TWICE}}}', list[Item], [{"sku": "ab", "price": 1.5}]),
        (json.dumps('{"sku": "ab", "price": 1.5}'), Item, {"sku": "ab", "price": 1.5}),
        ('Here it is: {"sku": "ab", "price": 1.5}.', Item, {"sku": "ab", "price": 1.5}),
        ('{"value": {"a": 1}}', dict[str, int], {"a": 1}),
        ('{"value": {"a": 1}}', dict[str, dict[str, int]], {"value": {"a": 1}}),
        ("{'sku': 'ab', 'price': 1.5,}", Item, {"sku": "ab", "price": 1.5}),
    ],
)
def test_the_last_partial_is_the_value(text: str, output: Any, data: Any):
    """Whatever repairs the answer needs."""
    with replies(text), ask.stream("go", output=output, reask=0) as stream:
        partials = list(stream.partials())
    assert partials[-1].data == data
    assert partials[-1].get(lambda value: [value]) == [stream.result()]


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"sku":"abcdefghi","price":12.5}\n```',
        'Sure:\n```\n{"sku":"abcdefghi","price":12.5}\n```\nDone.',
        "{'sku':'abcdefghi','price':12.5}",
    ],
)
def test_partials_of_text_around_the_answer(text: str):
    """They come while it arrives, as those of exact JSON do."""
    with replies(text):
        partials = in_sync("partials", output=Item)
    skus = [partial.get(lambda item: item.sku, "") for partial in partials]
    assert skus == sorted(skus)
    assert set(skus) - {"", "abcdefghi"}
    assert partials[-1] == {"sku": "abcdefghi", "price": 12.5}


def test_data_of_a_repeated_key_is_what_get_sees():
    """The first one; the answer is not valid, so the model is asked again."""
    with replies('{"price": 1, "sku": "a", "sku": "bcdefghijk"}', Item("x", 2.0)):
        partials = in_sync("partials", output=Item)
    assert {partial.data["sku"] for partial in partials if "sku" in partial.data} <= {"", "a", "x"}
    assert all(partial.data.get("sku") == partial.get(lambda item: item.sku) for partial in partials)


def test_a_text_is_parsed_when_it_is_complete():
    """A parser of the user does not see the beginning of its text."""

    @command(output=int, parser=lambda text: int(text) * 2)
    def double() -> str:
        return "go"

    with replies("123456789"):
        partials = list(double.stream().partials())
    assert [partial.get(lambda number: number) for partial in partials][-2:] == [None, 246913578]


def test_snapshots_begin_anew_after_a_reask():
    """The second answer's snapshots are its own."""
    with replies('{"sku": "a", "price": "none"}', Item("b", 2.0)):
        snapshots = in_sync("partials", output=Item)
    assert snapshots[-1] == {"sku": "b", "price": 2.0, "tags": None}


@example({'"': [], "]": []}, 1)  # the text is cut after the quote, too
@given(
    st.dictionaries(st.text(max_size=5), st.lists(st.integers(), max_size=3), max_size=4), st.integers(1, 9)
)
def test_the_last_snapshot_is_the_value_in_every_dialect(value: dict[str, list[int]], size: int):
    """An open dict travels as entries to a strict provider and is shown as a dict."""
    spec = compile_type(dict[str, list[int]])
    assert spec.schema is not None
    wire = to_wire(spec.schema, OPENAI)
    assert wire.strict
    text = json.dumps({"entries": [{"key": key, "value": item} for key, item in value.items()]})
    reader = Shape(spec, wire, OPENAI).snapshots(resolved)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    snapshots = [snapshot for piece in pieces for snapshot in reader.feed(piece)] + list(reader.finish())
    assert snapshots[-1] == snapshots[-1].get(lambda whole: whole) == value
    assert all(snapshot.entries().items() <= value.items() for snapshot in snapshots)
    assert all(snapshot.data.keys() <= value.keys() for snapshot in snapshots)


def test_an_answer_in_text_is_decoded_in_the_form_of_the_provider():
    """The last partial is the value then, too."""
    spec = compile_type(dict[str, int])
    assert spec.schema is not None
    reader = Shape(spec, to_wire(spec.schema, OPENAI), OPENAI).snapshots(resolved)
    text = json.dumps(json.dumps({"entries": [{"key": "a", "value": 1}]}))
    snapshots = [*reader.feed(text), *reader.finish()]
    assert snapshots[-1] == snapshots[-1].get(lambda whole: whole) == {"a": 1}


# --- all together ---------------------------------------------------------------------------------


def test_a_typed_command_streams_and_ends_in_its_value():
    """Contracts hold for streamed answers too."""

    @command(output=int)
    @ensure(lambda result: result > 2, "must be above 2")
    def count() -> str:
        return "count"

    with replies("1", "3"), count.stream() as stream:
        assert isinstance(stream, Stream)
        assert stream.result() == 3
        assert stream.run().turns == 2
