"""What the two OpenAI codecs make of the settings, and of prompts that are more than text."""

from __future__ import annotations

from typing import Any

import pytest
from kit.apis import CHAT as CHAT_API
from kit.wire import WireServer

from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.errors import ConfigurationError
from alloy.messages import Request, ToolSchema, User
from alloy.parts import Document, Image

RESPONSES, CHAT = OpenAIBackend(), OpenAIChatBackend()
PNG = Image.from_bytes(b"\x89PNG\r\n\x1a\n")
PDF = Document.from_bytes(b"%PDF-1.7")
TOOLS = tuple(ToolSchema(name, "", {"type": "object"}) for name in ("add", "log"))


def request(*parts: Any, **settings: Any) -> Request:
    return Request("gpt-5.6", (User(parts or "Hi"),), tools=TOOLS, **settings)


def test_sampling_and_effort_have_each_apis_names() -> None:
    """What an API has no field for is refused before, by its capabilities."""
    responses = RESPONSES.encode(request(top_p=0.5, reasoning_effort="low"))
    chat = CHAT.encode(request(top_p=0.5, reasoning_effort="low", seed=0, stop=("END",)))

    assert (responses["top_p"], responses["reasoning"]) == (0.5, {"effort": "low"})
    assert (chat["top_p"], chat["reasoning_effort"], chat["seed"], chat["stop"]) == (0.5, "low", 0, ["END"])
    assert RESPONSES.capabilities("gpt-5.6").refuses == {"seed", "stop"}


def test_effort_and_the_users_own_reasoning_fields_go_together() -> None:
    """`extra` adds to the object that a setting has begun."""
    body = RESPONSES.encode(request(reasoning_effort="low", extra={"reasoning": {"summary": "auto"}}))

    assert body["reasoning"] == {"effort": "low", "summary": "auto"}


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_a_choice_of_tools_is_passed_on(choice: str) -> None:
    """The values are the same everywhere."""
    made = request(tool_choice=choice, parallel_tools=False)
    for body in (RESPONSES.encode(made), CHAT.encode(made)):
        assert (body["tool_choice"], body["parallel_tool_calls"]) == (choice, False)


def test_one_tool_can_be_demanded() -> None:
    """Its name stands flat in one API and nested in the other."""
    made = request(tool_choice="add")

    assert RESPONSES.encode(made)["tool_choice"] == {"type": "function", "name": "add"}
    assert CHAT.encode(made)["tool_choice"] == {"type": "function", "function": {"name": "add"}}


@pytest.mark.parametrize(("choice", "mode"), [(None, "auto"), ("required", "required")])
def test_tools_can_be_narrowed_down(choice: str | None, mode: str) -> None:
    """Responses has a field for it that keeps the prompt as it was; Chat shows only those tools."""
    made = request(allowed_tools=("log",), tool_choice=choice)
    responses = RESPONSES.encode(made)

    assert responses["tool_choice"] == {
        "type": "allowed_tools",
        "mode": mode,
        "tools": [{"type": "function", "name": "log"}],
    }
    assert len(responses["tools"]) == 2
    assert [tool["function"]["name"] for tool in CHAT.encode(made)["tools"]] == ["log"]


def test_a_demanded_tool_overrules_the_narrowing() -> None:
    """One tool is narrower than several, and none narrower still."""
    assert RESPONSES.encode(request(allowed_tools=("log",), tool_choice="none"))["tool_choice"] == "none"
    assert RESPONSES.encode(request(allowed_tools=("log",), tool_choice="log"))["tool_choice"] == {
        "type": "function",
        "name": "log",
    }


def test_chat_sends_no_tool_setting_without_tools() -> None:
    """Servers refuse a choice among no tools."""
    body = CHAT.encode(request(allowed_tools=(), tool_choice="auto", parallel_tools=True))

    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body)


def test_images_and_documents_keep_their_places() -> None:
    """Data goes as data URLs, in the order of the parts."""
    made = request("Look:", PNG, PDF)

    assert RESPONSES.encode(made)["input"][0]["content"] == [
        {"type": "input_text", "text": "Look:"},
        {"type": "input_image", "image_url": PNG.data_url, "detail": "auto"},
        {"type": "input_file", "filename": "document.pdf", "file_data": PDF.data_url},
    ]
    assert CHAT.encode(made)["messages"][0]["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": PNG.data_url}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": PDF.data_url}},
    ]


def test_urls_are_left_to_the_provider() -> None:
    """Responses fetches both kinds; Chat has no field for a document's address, and says the way out."""
    image, document = Image.from_url("https://host/a.png"), Document.from_url("https://host/a.pdf")

    content = RESPONSES.encode(request(image, document))["input"][0]["content"]
    assert content[0]["image_url"] == "https://host/a.png"
    assert content[1] == {"type": "input_file", "file_url": "https://host/a.pdf"}
    assert CHAT.encode(request(image))["messages"][0]["content"][0]["image_url"]["url"] == image.url
    with pytest.raises(ConfigurationError, match="from_bytes"):
        CHAT.encode(request(document))


def test_a_chat_stream_asks_for_its_usage(server: WireServer) -> None:
    """Without it, Chat Completions does not count the tokens of a stream; the user's own value wins."""
    server.script(CHAT_API.answer("open"), CHAT_API.answer("open"))
    CHAT_API.talk("open", server)
    CHAT_API.talk("open", server, CHAT_API.body(extra={"stream_options": {"x": 1}}))

    assert [request.json["stream_options"] for request in server.requests] == [
        {"include_usage": True},
        {"x": 1},
    ]
