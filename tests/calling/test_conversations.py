"""Conversations: going on, being kept, and being moved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloy import ConfigurationError, Conversation, Image, ProviderError, ask, command, tool
from alloy.messages import Echo, Reply, ToolCall, ToolResult, ToolResults, User
from alloy.testing import call, replies

PNG = b"\x89PNG\r\n\x1a\n"


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def test_a_call_goes_on_from_the_last():
    """All earlier messages are sent again, tool calls and results included."""
    chat = Conversation()
    with replies(call("add", a=1, b=2), "It is 3.", "I said 3.") as seen:
        ask("What is 1 + 2?", tools=[add], conversation=chat)
        assert len(chat) == 4
        assert ask("What did you say?", conversation=chat) == "I said 3."
    assert [message["role"] for message in seen.requests[-1]["messages"]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert [type(turn) for turn in chat] == [User, Reply, ToolResults, Reply, User, Reply]


@pytest.mark.parametrize("way", ["run", "async", "stream", "stream_async"])
def test_every_way_to_call_goes_on(way: str):
    """Streams remember when they are read to their end."""
    import asyncio

    chat = Conversation()
    with replies("one", "two"):
        for _ in range(2):
            match way:
                case "run":
                    ask("?", conversation=chat)
                case "async":
                    asyncio.run(ask.async_("?", conversation=chat))
                case "stream":
                    ask.stream("?", conversation=chat).run()
                case "stream_async":
                    asyncio.run(ask.stream_async("?", conversation=chat).run())
    assert [turn.text for turn in chat if isinstance(turn, Reply)] == ["one", "two"]


def test_a_command_takes_one_too():
    """By `with_options`, so that one command serves many conversations."""

    @command
    def say(text: str) -> str:
        return text

    mine, yours = Conversation(), Conversation()
    with replies("a", "b", "c"):
        say.with_options(conversation=mine)("1")
        say.with_options(conversation=yours)("2")
        say.with_options(conversation=mine)("3")
    assert (len(mine), len(yours)) == (4, 2)


def test_a_call_that_fails_adds_nothing():
    """It can simply be made again."""
    chat = Conversation()
    with replies("fine", ProviderError("down", provider="fake")):
        ask("1", conversation=chat)
        with pytest.raises(ProviderError):
            ask("2", conversation=chat)
    assert len(chat) == 2


def test_a_copy_has_its_own_future():
    """To try another way from the same point."""
    chat = Conversation()
    with replies("a", "b"):
        ask("1", conversation=chat)
        other = chat.copy()
        ask("2", conversation=other)
    assert (len(chat), len(other)) == (2, 4)


def test_anything_but_a_conversation_is_refused():
    """A list of messages is a prompt."""
    with pytest.raises(ConfigurationError, match="must be a Conversation"):
        ask("x", conversation=[], backend="fake")  # type: ignore[call-overload]


texts = st.text(max_size=20)
calls = st.builds(ToolCall, texts, texts, texts)
json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | texts, lambda inner: st.lists(inner, max_size=3), max_leaves=4
)
parts = st.lists(
    texts | st.just(Image.from_bytes(PNG)) | st.just(Image.from_url("https://e.org/a.png")),
    min_size=1,
    max_size=3,
)
turns = st.one_of(
    st.builds(User, texts | parts.map(tuple)),
    st.builds(
        Reply,
        texts,
        st.lists(calls, max_size=2).map(tuple),
        echo=st.none() | st.builds(Echo, texts, json_data),
    ),
    st.builds(
        ToolResults,
        st.lists(st.builds(ToolResult, calls, texts, error=st.none() | texts), max_size=2).map(tuple),
    ),
)


@given(st.lists(turns, max_size=5))
def test_json_and_back(history: list[Any]):
    """Everything that a next call needs survives."""
    chat = Conversation(tuple(history))
    assert Conversation.from_json(chat.to_json()).turns == chat.turns
    assert Conversation.from_json(chat.to_json().encode()) == chat


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"it is not JSON \(Expecting value"),
        ("null", "it is not a JSON object but None"),
        ("[]", r"it is not a JSON object but \[\]"),
        ("{}", 'the key "alloy" is missing'),
        ('{"alloy": 1}', 'the key "turns" is missing'),
        ('{"alloy": 1, "turns": [{}]}', 'a turn has none of the keys "user", "assistant" and "results"'),
        ('{"alloy": 1, "turns": [5]}', "a turn is not a JSON object but 5"),
        ('{"alloy": 1, "turns": [{"assistant": "x"}]}', 'the key "calls" is missing'),
    ],
)
def test_other_text_is_refused(text: str, problem: str):
    """Never half a conversation; the error names what is wrong with the text."""
    start = r"^not a conversation saved by Conversation\.to_json\(\): "
    with pytest.raises(ConfigurationError, match=start + problem):
        Conversation.from_json(text)


def test_another_format_is_refused():
    """The error names the format of the text, and the one that is read."""
    with pytest.raises(ConfigurationError, match="in format 99, and this version of Alloy reads format 1"):
        Conversation.from_json('{"alloy": 99, "turns": []}')


def test_a_conversation_shows_how_long_it_is():
    """Not its messages."""
    assert repr(Conversation((User("secret"),))) == "<Conversation of 1 turn>"
    assert json.loads(Conversation().to_json())["turns"] == []


@pytest.mark.parametrize(
    "turn",
    [
        {"assistant": 5, "calls": [], "echo": None},
        {"assistant": "x", "calls": [[1, 2, 3]], "echo": None},
        {"assistant": "x", "calls": [], "echo": [1, 2]},
        {"user": [{"kind": "zzz", "url": "https://x/y", "data": None, "media_type": "", "name": ""}]},
        {"user": [{"kind": "image", "url": 5, "data": None, "media_type": "", "name": ""}]},
        {"user": [{"kind": "image", "url": None, "data": "%%%", "media_type": "image/png", "name": ""}]},
        {"results": [["1", "add", "{}", 3, None]]},
    ],
)
def test_turns_in_another_format_are_refused(turn: Any):
    """Nothing is loaded that a provider would refuse later."""
    with pytest.raises(ConfigurationError, match="to_json"):
        Conversation.from_json(json.dumps({"alloy": 1, "turns": [turn]}))


def test_nesting_without_end_is_refused():
    """As an error of ours."""
    with pytest.raises(ConfigurationError, match="to_json"):
        Conversation.from_json("[" * 100_000)
