"""Prompts beyond text: images, documents, and what was said before, with this provider or another."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from kit.ways import every_way
from kit.wire import WireServer

from alloy import ConfigurationError, Conversation, Document, Image, Message
from suite.saying import Say
from suite.stage import PROVIDERS, Stage, Way
from suite.table import proves
from suite.test_tools import add, describe, paired

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
PDF = b"%PDF-1.7\n" + bytes(range(64))
ADDRESS = "https://example.com/files/one"


def looked_at(stage: Stage, way: Way, part: Any, can: bool) -> None:
    """Ask about *part*: it arrives beside the text, or is refused by name before anything is sent."""
    if not can:
        with pytest.raises(ConfigurationError, match=f"not take {part.kind}"):
            stage.ask(way, ["What is this?", part])
        assert stage.heard == []
        return
    stage.say(Say("A cat."))

    assert stage.ask(way, ["What is this?", part]).value == "A cat."
    (told,) = stage.heard[0].turns
    assert (told.role, told.text) == ("user", "What is this?")
    ((kind, data),) = told.media
    if part.url is None:
        assert (kind, data) == (part.media_type, b64encode(part.data).decode())
    else:
        assert data == part.url


@proves("Images")
@every_way
def test_images(stage: Stage, way: Way) -> None:
    """A picture's bytes arrive with their type, beside the text."""
    looked_at(stage, way, Image.from_bytes(PNG), stage.provider.can.images)


@proves("Images by address")
@every_way
def test_images_by_address(stage: Stage, way: Way) -> None:
    """A picture's address arrives as it is."""
    can = stage.provider.can
    looked_at(stage, way, Image.from_url(f"{ADDRESS}.png"), can.images and can.urls)


@proves("Documents")
@every_way
def test_documents(stage: Stage, way: Way) -> None:
    """A file's bytes arrive with their type, beside the text."""
    looked_at(stage, way, Document.from_bytes(PDF, name="one.pdf"), stage.provider.can.documents)


@proves("Documents by address")
@every_way
def test_documents_by_address(stage: Stage, way: Way) -> None:
    """A file's address arrives as it is."""
    can = stage.provider.can
    taken = can.documents and can.urls and can.document_urls
    looked_at(stage, way, Document.from_url(f"{ADDRESS}.pdf"), taken)


@proves("Conversations")
@every_way
def test_messages_in_a_prompt(stage: Stage, way: Way) -> None:
    """What was said before stands before the prompt, in its roles."""
    stage.say(Say("Blue."))
    stage.ask(way, [Message("user", "I like red."), Message("assistant", "Noted."), "What else?"])

    turns = [(told.role, told.text) for told in stage.heard[0].turns]
    assert turns == [("user", "I like red."), ("assistant", "Noted."), ("user", "What else?")]


@proves("Conversations")
@every_way
def test_a_conversation_goes_on(stage: Stage, way: Way) -> None:
    """The next call finds all of the one before, its calls and results too, also after a way through JSON."""
    chat = Conversation()
    stage.say(Say(calls=(("add", {"a": 2}), ("describe", {"city": "Ulm"}))), Say("Three, and calm."))
    stage.ask(way, "Two and one?", tools=[add, describe], conversation=chat)
    stage.say(Say("As I said."))
    kept = Conversation.from_json(chat.to_json())
    assert kept == chat
    stage.ask(way, "Again?", tools=[add, describe], conversation=kept)

    last = stage.heard[-1]
    assert [told.role for told in last.turns] == ["user", "assistant", "results", "assistant", "user"]
    assert [(name, arguments) for name, arguments, _ in paired(last)] == [
        ("add", {"a": 2}),
        ("describe", {"city": "Ulm"}),
    ]
    assert last.turns[3].text == "Three, and calm."
    assert last.turns[4].text == "Again?"
    assert len(kept) == 6


@proves("Conversations")
@every_way
def test_a_failed_call_is_not_remembered(stage: Stage, way: Way) -> None:
    """A call that fails leaves the conversation as it was."""
    chat = Conversation()
    stage.say(Say("cut", ending="length"))
    with pytest.raises(Exception, match="max_tokens"):
        stage.ask(way, conversation=chat)

    assert len(chat) == 0


@proves("Conversations from other providers")
@pytest.mark.parametrize("before", PROVIDERS)
@every_way
def test_a_conversation_moves_on(stage: Stage, server: WireServer, way: Way, before: str) -> None:
    """A history with tool calls that any provider made is understood by any other, call for result."""
    chat = Conversation()
    first = Stage(PROVIDERS[before], server)
    first.say(
        Say("I must count.", calls=(("add", {"a": 2}), ("add", {"a": 7}))),
        Say(calls=(("describe", {"city": "Ulm"}),)),
        Say("Three, eight, and calm."),
    )
    first.ask(way, "Two, seven and Ulm?", tools=[add, describe], conversation=chat)
    first.finished()
    server.always = stage.hear_http
    stage.say(Say(calls=(("add", {"a": 1}),)), Say("Two."))
    moved = Conversation.from_json(chat.to_json())
    result = stage.ask(way, "And one?", tools=[add, describe], conversation=moved)

    assert result.value == "Two."
    last = stage.heard[-1]
    assert [(name, arguments, str(given)) for name, arguments, given in paired(last) if name == "add"] == [
        ("add", {"a": 2}, "3"),
        ("add", {"a": 7}, "8"),
        ("add", {"a": 1}, "2"),
    ]
    texts = [told.text for told in last.turns]
    assert "Three, eight, and calm." in texts
    assert "And one?" in texts
