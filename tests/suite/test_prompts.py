"""Images, documents and earlier messages, and conversations with this and other providers."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from kit.ways import every_way
from kit.wire import WireServer

from alloy import ConfigurationError, Conversation, Document, Image, Message
from suite.script import ModelTurn
from suite.scripted_provider import PROVIDERS, ScriptedProvider, Way
from suite.table import proves
from suite.test_tools import add, describe, paired

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
PDF = b"%PDF-1.7\n" + bytes(range(64))
ADDRESS = "https://example.com/files/one"


def check_part(scripted: ScriptedProvider, way: Way, part: Any, can: bool) -> None:
    """Ask about *part*: it is sent with the text, or is an error before anything is sent."""
    if not can:
        with pytest.raises(ConfigurationError, match=f"not take {part.kind}"):
            scripted.ask(way, ["What is this?", part])
        assert scripted.received == []
        return
    scripted.script(ModelTurn("A cat."))

    assert scripted.ask(way, ["What is this?", part]).value == "A cat."
    (turn,) = scripted.received[0].turns
    assert (turn.role, turn.text) == ("user", "What is this?")
    ((kind, data),) = turn.media
    if part.url is None:
        assert (kind, data) == (part.media_type, b64encode(part.data).decode())
    else:
        assert data == part.url


@proves("Images")
@every_way
def test_images(scripted: ScriptedProvider, way: Way) -> None:
    """The bytes of an image are sent with their type, after the text."""
    check_part(scripted, way, Image.from_bytes(PNG), scripted.provider.can.images)


@proves("Images by URL")
@every_way
def test_images_by_url(scripted: ScriptedProvider, way: Way) -> None:
    """The URL of an image is sent unchanged."""
    can = scripted.provider.can
    check_part(scripted, way, Image.from_url(f"{ADDRESS}.png"), can.images and can.urls)


@proves("Documents")
@every_way
def test_documents(scripted: ScriptedProvider, way: Way) -> None:
    """The bytes of a file are sent with their type, after the text."""
    check_part(scripted, way, Document.from_bytes(PDF, name="one.pdf"), scripted.provider.can.documents)


@proves("Documents by URL")
@every_way
def test_documents_by_url(scripted: ScriptedProvider, way: Way) -> None:
    """The URL of a file is sent unchanged."""
    can = scripted.provider.can
    taken = can.documents and can.urls and can.document_urls
    check_part(scripted, way, Document.from_url(f"{ADDRESS}.pdf"), taken)


@proves("Conversations")
@every_way
def test_messages_in_a_prompt(scripted: ScriptedProvider, way: Way) -> None:
    """Earlier messages are sent before the prompt, with their roles."""
    scripted.script(ModelTurn("Blue."))
    scripted.ask(way, [Message("user", "I like red."), Message("assistant", "Noted."), "What else?"])

    turns = [(turn.role, turn.text) for turn in scripted.received[0].turns]
    assert turns == [("user", "I like red."), ("assistant", "Noted."), ("user", "What else?")]


@proves("Conversations")
@every_way
def test_a_conversation_continues(scripted: ScriptedProvider, way: Way) -> None:
    """The next call sends the whole history, with tool calls and results, also after saving and loading."""
    chat = Conversation()
    scripted.script(
        ModelTurn(calls=(("add", {"a": 2}), ("describe", {"city": "Ulm"}))), ModelTurn("Three, and calm.")
    )
    scripted.ask(way, "Two and one?", tools=[add, describe], conversation=chat)
    scripted.script(ModelTurn("As I said."))
    kept = Conversation.from_json(chat.to_json())
    assert kept == chat
    scripted.ask(way, "Again?", tools=[add, describe], conversation=kept)

    last = scripted.received[-1]
    assert [turn.role for turn in last.turns] == ["user", "assistant", "results", "assistant", "user"]
    assert [(name, arguments) for name, arguments, _ in paired(last)] == [
        ("add", {"a": 2}),
        ("describe", {"city": "Ulm"}),
    ]
    assert last.turns[3].text == "Three, and calm."
    assert last.turns[4].text == "Again?"
    assert len(kept) == 6


@proves("Conversations")
@every_way
def test_a_failed_call_is_not_remembered(scripted: ScriptedProvider, way: Way) -> None:
    """A call that fails does not change the conversation."""
    chat = Conversation()
    scripted.script(ModelTurn("cut", ending="length"))
    with pytest.raises(Exception, match="max_tokens"):
        scripted.ask(way, conversation=chat)

    assert len(chat) == 0


@proves("Conversations from other providers")
@pytest.mark.parametrize("before", PROVIDERS)
@every_way
def test_a_conversation_changes_the_provider(
    scripted: ScriptedProvider, server: WireServer, way: Way, before: str
) -> None:
    """A history with tool calls of any provider can be sent to any other, with each result for its call."""
    chat = Conversation()
    first = ScriptedProvider(PROVIDERS[before], server)
    first.script(
        ModelTurn("I must count.", calls=(("add", {"a": 2}), ("add", {"a": 7}))),
        ModelTurn(calls=(("describe", {"city": "Ulm"}),)),
        ModelTurn("Three, eight, and calm."),
    )
    first.ask(way, "Two, seven and Ulm?", tools=[add, describe], conversation=chat)
    first.finished()
    server.always = scripted.answer_http
    scripted.script(ModelTurn(calls=(("add", {"a": 1}),)), ModelTurn("Two."))
    moved = Conversation.from_json(chat.to_json())
    result = scripted.ask(way, "And one?", tools=[add, describe], conversation=moved)

    assert result.value == "Two."
    last = scripted.received[-1]
    assert [(name, arguments, str(given)) for name, arguments, given in paired(last) if name == "add"] == [
        ("add", {"a": 2}, "3"),
        ("add", {"a": 7}, "8"),
        ("add", {"a": 1}, "2"),
    ]
    texts = [turn.text for turn in last.turns]
    assert "Three, eight, and calm." in texts
    assert "And one?" in texts
