"""What was said, as Anthropic is told it: turns, results, images and documents."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from kit.wire import anthropic as says

from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.errors import CommandError
from alloy.messages import Reply, Request, ToolCall, ToolResult, ToolResults, ToolSchema, Turn, User
from alloy.parts import Document, Image

CLAUDE = AnthropicBackend()
MODEL = "claude-sonnet-4-6"

CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
ADD = ToolSchema("add", "Add two numbers.", CLOSED)
CALL = ToolCall("toolu_1", "add", '{"a": 1}')


def encode(*messages: Turn, model: str = MODEL, **settings: Any) -> dict[str, Any]:
    return CLAUDE.encode(Request(model, messages or (User("Hi"),), **settings))


# --- what was said before -----------------------------------------------------------------------------


def test_a_turn_goes_back_as_it_was_received() -> None:
    """Thinking with its signature, unknown blocks and order are untouched, and nothing is copied."""
    answer = says.message(
        says.thinking(""),
        says.redacted(),
        says.text_block("Let me see."),
        {"type": "hologram", "x": 1},
        calls=[("add", {"a": 1}, "toolu_1")],
    )
    reply = CLAUDE.decode(copy.deepcopy(answer))
    body = encode(User("Hi"), reply, ToolResults((ToolResult(reply.calls[0], "2"),)), tools=(ADD,))

    assert body["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "2"}]},
    ]
    assert body["messages"][1]["content"][0] is reply.echo.data["content"][0]  # type: ignore[union-attr]


def test_results_stand_first_in_one_turn() -> None:
    """All results of a round, failed ones marked, and what is said after them, make one user turn."""
    second = ToolCall("toolu_2", "log", "")
    results = ToolResults((ToolResult(CALL, "2"), ToolResult(second, "Error: no", error="no")))
    body = encode(User("Hi"), Reply("", (CALL, second)), results, User("Well?"), User("Now."), tools=(ADD,))

    assert body["messages"][2:] == [
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "2"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "Error: no", "is_error": True},
                {"type": "text", "text": "Well?"},
                {"type": "text", "text": "Now."},
            ],
        }
    ]


def test_a_failed_result_is_never_empty() -> None:
    """With `is_error` the API wants to be told what went wrong."""
    result = ToolResult(CALL, "", error="it broke")
    body = encode(User("Hi"), Reply("", (CALL,)), ToolResults((result,)), tools=(ADD,))

    assert body["messages"][-1]["content"][0]["content"] == "it broke"


def test_empty_text_is_dropped() -> None:
    """The API refuses a text block without text; a turn that has nothing else goes with it."""
    blank = CLAUDE.decode(says.message(says.text_block("  "), calls=[("add", {}, "t1")]))
    thought = CLAUDE.decode(says.message(thoughts=["Hm."]))
    body = encode(User("a"), thought, User("b"), Reply(""), User("c"), blank, tools=(ADD,))

    assert body["messages"] == [
        {
            "role": "user",
            "content": [says.text_block("a"), says.text_block("b"), says.text_block("c")],
        },
        {"role": "assistant", "content": [says.tool_use("add", {}, "t1")]},
    ]


def test_a_paused_turn_is_sent_back_as_it_is() -> None:
    """The model goes on where the provider stopped it, so its turn is the last one."""
    answer = says.message(says.server_tool_use("web_search", {"query": "x"}), stop="pause_turn")
    reply = CLAUDE.decode(answer)

    assert reply.finish == "pause"
    assert encode(User("Hi"), reply)["messages"][-1] == {"role": "assistant", "content": answer["content"]}


@pytest.mark.parametrize(
    ("made_by", "asked", "kept"),
    [
        ("claude-sonnet-4-6", "claude-sonnet-4-6", True),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5", True),
        ("claude-3-7-sonnet-20250219", "claude-3-7-sonnet-latest", True),
        ("claude-haiku-4-5-20251001", "claude-sonnet-4-5", False),
        ("claude-opus-5-5", "claude-opus-5", False),
        ("claude-opus-4-20250514", "claude-opus-4-5", False),
        ("claude-sonnet-4-6", "my-gateways-name", True),
        ("claude-sonnet-4-6", "us.anthropic.claude-sonnet-4-6-v1:0", True),
    ],
)
def test_thoughts_of_another_model_are_not_sent(made_by: str, asked: str, kept: bool) -> None:
    """Signatures hold for one model; an alias, a date or a gateway's name does not make it another."""
    reply = CLAUDE.decode(says.message(says.redacted(), thoughts=["Hm."], text="Hi", model=made_by))
    content = encode(User("Hi"), reply, User("And?"), model=asked)["messages"][1]["content"]

    assert [block["type"] for block in content] == (
        ["thinking", "redacted_thinking", "text"] if kept else ["text"]
    )


def test_a_turn_of_another_provider_is_rebuilt() -> None:
    """A reply of another provider is said in this one's words; arguments that are no object are kept."""
    calls = (CALL, ToolCall("b", "log", ""), ToolCall("c", "log", "[1]"), ToolCall("d", "log", '{"a": '))
    body = encode(User("Hi"), Reply("Adding.", calls), tools=(ADD,))

    assert body["messages"][1]["content"] == [
        says.text_block("Adding."),
        says.tool_use("add", {"a": 1}, "toolu_1"),
        says.tool_use("log", {}, "b"),
        says.tool_use("log", {"INVALID_JSON": "[1]"}, "c"),
        says.tool_use("log", {"INVALID_JSON": '{"a": '}, "d"),
    ]


def test_ids_of_other_providers_are_made_valid_and_unique() -> None:
    """The API takes letters, digits, `_` and `-`, and no id twice in a conversation."""
    own = CLAUDE.decode(says.message(calls=[("add", {}, "call_0_2")]))
    turns: list[Turn] = [User("Hi")]
    for calls in (("call_0", "functions.add:0"), ("call_0", "call_0"), ("", "")):
        made = tuple(ToolCall(call_id, "add", f'{{"n": {index}}}') for index, call_id in enumerate(calls))
        turns += [
            Reply("", made),
            ToolResults(tuple(ToolResult(call, f"to {call.arguments}") for call in made)),
        ]
    turns += [own, ToolResults((ToolResult(own.calls[0], "own"),))]
    body = encode(*turns, tools=(ADD,))

    sent = [block["id"] for turn in body["messages"][1::2] for block in turn["content"]]
    answered = [block["tool_use_id"] for turn in body["messages"][2::2] for block in turn["content"]]
    assert sent == answered
    assert sent == ["call_0", "functions_add_0", "call_0_3", "call_0_4", "call", "call_2", "call_0_2"]
    assert encode(*turns, tools=(ADD,)) == body


# --- prompts beyond text ------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            Image.from_bytes(PNG),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
            },
        ),
        (
            Image.from_url("https://x.example/a.png"),
            {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
        ),
        (
            Document.from_bytes(b"%PDF-1.7", name="a.pdf"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjc="},
                "title": "a.pdf",
            },
        ),
        (
            Document.from_bytes("\ufeffGrüße".encode(), name="a.md"),
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"},
                "title": "a.md",
            },
        ),
        (
            Document.from_url("https://x.example/a.pdf"),
            {"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}},
        ),
    ],
    ids=["image", "image url", "pdf", "text", "document url"],
)
def test_images_and_documents_are_blocks(part: Any, block: dict[str, Any]) -> None:
    """In their order among the text; text without any is left out."""
    (turn,) = encode(User(("Look:", part, " ")))["messages"]

    assert turn == {"role": "user", "content": [says.text_block("Look:"), block]}


def test_a_text_document_that_is_no_text_is_named() -> None:
    """Nothing is sent that the model would read as noise."""
    with pytest.raises(CommandError, match=r"'a\.txt' is not UTF-8 text"):
        encode(User((Document.from_bytes(b"\xff\xfe", name="a.txt"),)))
