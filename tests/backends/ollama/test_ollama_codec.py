"""The Ollama codec, without a server: what is encoded, and what is made of what came back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from kit.wire import ollama as says

from alloy.backends.fallback.prompted import description
from alloy.backends.ollama.chat import CAPABILITIES, OllamaBackend, OllamaChatBackend
from alloy.errors import (
    BadReplyError,
    BadRequestError,
    ModelNotFoundError,
    ProviderError,
    ServerError,
    UnsupportedError,
)
from alloy.messages import (
    Echo,
    OutputSchema,
    Reply,
    Request,
    ToolCall,
    ToolResult,
    ToolResults,
    ToolSchema,
    Turn,
    Usage,
    User,
)
from alloy.parts import Image

OLLAMA = OllamaBackend()

SCHEMA = {
    "type": "object",
    "properties": {
        "who": {"anyOf": [{"$ref": "#/$defs/Person"}, {"type": "null"}], "default": None},
        "where": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "how_many": {"type": "integer", "minimum": 1, "default": 3, "description": "how many"},
    },
    "required": ["where"],
    "additionalProperties": False,
    "$defs": {"Person": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
}
# The same in Ollama's dialect.
SENT = {
    "type": "object",
    "properties": {
        "who": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        },
        "where": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "how_many": {"type": "integer", "minimum": 1, "description": "how many. Default: 3."},
    },
    "required": ["where"],
    "additionalProperties": False,
}
FIND = ToolSchema("find", "Find somebody.", SCHEMA)
LOG = ToolSchema("log", "", {"type": "object", "properties": {}})
CALL = ToolCall("call_1", "find", '{"where": {"city": "Köln"}}')
PNG = b"\x89PNG\r\n\x1a\n0"


def encode(*turns: Turn, **settings: Any) -> dict[str, Any]:
    return OLLAMA.encode(Request("llama3.2", turns or (User("Hi"),), **settings))


# --- encoding -----------------------------------------------------------------------------------------


def test_a_plain_request_has_only_what_was_set() -> None:
    """Defaults are the server's and the model's own; only `stream` is said, for it defaults to true."""
    assert encode() == {
        "model": "llama3.2",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": False,
    }


def test_settings_stand_where_the_api_wants_them() -> None:
    """The system prompt is the first message, what steers the sampling is an option."""
    body = encode(
        system="Be brief.",
        temperature=0.0,
        max_tokens=9,
        top_p=0.5,
        seed=0,
        stop=("END", "STOP"),
        prompt_caching=True,
    )

    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["options"] == {
        "temperature": 0.0,
        "num_predict": 9,
        "top_p": 0.5,
        "seed": 0,
        "stop": ["END", "STOP"],
    }
    assert set(body) == {"model", "messages", "stream", "options"}


def test_a_tools_whole_schema_is_sent() -> None:
    """Nested properties, choices, references and defaults, which the SDK's own `chat` would strip."""
    find, log = encode(tools=(FIND, LOG))["tools"]

    assert find == {
        "type": "function",
        "function": {"name": "find", "description": "Find somebody.", "parameters": SENT},
    }
    assert (log["type"], log["function"]["name"], log["function"]["description"]) == ("function", "log", "")
    assert log["function"]["parameters"]["properties"] == {}


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"tool_choice": "auto"}, ["find", "log"]),
        ({"tool_choice": "none"}, []),
        ({"allowed_tools": ("log",)}, ["log"]),
    ],
)
def test_a_tool_that_may_not_be_called_is_not_shown(settings: dict[str, Any], shown: list[str]) -> None:
    """The API has no other way to keep a model from a tool."""
    body = encode(tools=(FIND, LOG), **settings)

    assert [tool["function"]["name"] for tool in body.get("tools", [])] == shown
    assert "tools" in body or not shown


def test_the_model_reads_the_answers_schema_in_the_last_word_of_the_user() -> None:
    """`format` only binds the sampling; a system message would replace the model's own."""
    output = OutputSchema("Answer", SCHEMA)
    body = encode(User("One"), Reply("Eins"), User("Two"), Reply("", (CALL,)), output=output)

    sent = OutputSchema("Answer", SENT)
    assert body["format"] == SENT
    first, *_, last, _ = body["messages"]
    assert first == {"role": "user", "content": "One"}
    assert last == {"role": "user", "content": f"Two\n\nGive your answer as {description(sent)}"}


@pytest.mark.parametrize(
    ("model", "effort", "think"),
    [
        ("qwen3", "high", True),
        ("qwen3:8b", "minimal", True),
        ("qwen3", "none", False),
        ("gpt-oss:20b", "low", "low"),
        ("gpt-oss", "minimal", "low"),
        ("registry.example/library/gpt-oss:120b", "xhigh", "max"),
        ("gpt-oss", "none", False),
        ("my-gpt-oss", "high", True),
    ],
)
def test_effort_is_a_level_only_for_models_that_know_levels(
    model: str, effort: str, think: bool | str
) -> None:
    """The others are told whether to think."""
    body = OLLAMA.encode(Request(model, (User("Hi"),), reasoning_effort=effort))

    assert body["think"] is think or body["think"] == think


def test_images_are_base64_beside_the_text() -> None:
    """Never a string that could be taken for the name of a file."""
    picture = Image.from_bytes(PNG)
    (message,) = encode(User(("Look:", picture, "What is it?", picture)))["messages"]

    assert message == {
        "role": "user",
        "content": "Look:\nWhat is it?",
        "images": [picture.base64, picture.base64],
    }


def test_extra_is_merged_last_into_the_options_and_the_body() -> None:
    """As documented: the context's size among the options, and how long the model stays loaded."""
    body = encode(
        temperature=0.5, extra={"options": {"num_ctx": 8192, "temperature": 1}, "keep_alive": "10m", "raw": 1}
    )

    assert body["options"] == {"temperature": 1, "num_ctx": 8192}
    assert (body["keep_alive"], body["raw"]) == ("10m", 1)


def test_results_follow_their_calls_in_order() -> None:
    """One message each, by name, in the order of the calls; an empty one says that it is."""
    calls = (CALL, ToolCall("call_2", "log", ""), ToolCall("call_3", "find", "{}"))
    results = (
        ToolResult(calls[0], "Köln"),
        ToolResult(calls[1], ""),
        ToolResult(calls[2], "Error: nobody", error="nobody"),
    )
    _, turn, *sent = encode(User("Hi"), Reply("So", calls), ToolResults(results))["messages"]

    assert turn == {
        "role": "assistant",
        "content": "So",
        "tool_calls": [
            {"id": "call_1", "function": {"name": "find", "arguments": {"where": {"city": "Köln"}}}},
            {"id": "call_2", "function": {"name": "log", "arguments": {}}},
            {"id": "call_3", "function": {"name": "find", "arguments": {}}},
        ],
    }
    assert sent == [
        {"role": "tool", "tool_name": "find", "tool_call_id": "call_1", "content": "Köln"},
        {"role": "tool", "tool_name": "log", "tool_call_id": "call_2", "content": "(no output)"},
        {"role": "tool", "tool_name": "find", "tool_call_id": "call_3", "content": "Error: nobody"},
    ]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("", {}),
        ('{"a": 1}', {"a": 1}),
        ("[1]", {"arguments": [1]}),
        ("{broken", {"arguments": "{broken"}),
        ("null", {"arguments": None}),
    ],
)
def test_arguments_of_another_provider_become_an_object(written: str, sent: dict[str, Any]) -> None:
    """The server takes nothing else; what a model wrote wrongly is kept."""
    turn = encode(User("Hi"), Reply("", (ToolCall("x", "f", written),)))["messages"][1]

    assert turn["tool_calls"][0]["function"]["arguments"] == sent


def test_its_own_turn_goes_back_as_it_came() -> None:
    """With its thoughts when it called tools, for it goes on thinking there, and without them when not."""
    calls = [("find", {"where": {"city": "Köln"}}, "call_9")]
    acted = OLLAMA.decode(says.answer(text="So", thoughts="Hm", calls=calls))
    spoke = OLLAMA.decode(says.answer(text="So", thoughts="Hm"))

    _, first, second = encode(User("Hi"), acted, spoke)["messages"]
    assert first["thinking"] == "Hm"
    assert first["tool_calls"] == [
        {"id": "call_9", "function": {"name": "find", "arguments": {"where": {"city": "Köln"}}}}
    ]
    assert second == {"role": "assistant", "content": "So"}


def test_a_turn_of_another_provider_is_rebuilt() -> None:
    """Its own form means nothing here."""
    foreign = Reply("Hello", echo=Echo("openai", [{"type": "message"}]))

    assert encode(User("Hi"), foreign)["messages"][1] == {"role": "assistant", "content": "Hello"}


def test_encoding_changes_nothing_of_the_request() -> None:
    """A history is encoded again at every turn."""
    reply = OLLAMA.decode(says.answer(calls=[("find", {})]))
    request = Request(
        "m",
        (User("Hi"), reply, ToolResults((ToolResult(reply.calls[0], "x"),))),
        output=OutputSchema("A", SCHEMA),
        tools=(FIND,),
        extra={"options": {"num_ctx": 1}},
    )
    before = copy.deepcopy(request)
    first = OLLAMA.encode(request)

    assert request == before
    assert OLLAMA.encode(request) == first


# --- capabilities -------------------------------------------------------------------------------------


def test_the_table_has_what_needs_no_request() -> None:
    """Typed answers come apart from tools, documents and addresses are not taken."""
    can = OLLAMA.capabilities("llama3.2:3b")

    assert (can.tools, can.structured_output, can.output_with_tools) == (True, True, False)
    assert (can.images, can.documents, can.urls) == (True, False, False)
    assert {"tool_choice", "parallel_tools"} <= can.refuses
    assert OllamaChatBackend().capabilities("llama3.2:3b") == can


@pytest.mark.parametrize("model", ["gpt-oss:120b-cloud", "glm-4.6:cloud", "kimi-k2:1t-cloud"])
def test_cloud_models_have_no_structured_output(model: str) -> None:
    """Their answers are described in the prompt instead."""
    assert not OLLAMA.capabilities(model).structured_output
    assert not OllamaChatBackend().capabilities(model).structured_output


def test_every_model_has_a_row() -> None:
    """The last row is for all."""
    assert CAPABILITIES[-1][0] == "*"


# --- decoding -----------------------------------------------------------------------------------------


def test_an_answer_is_read() -> None:
    """Text, thoughts, model, tokens and reason."""
    reply = OLLAMA.decode(says.answer(text="Hello", thoughts="Hm", usage=(11, 7)))

    assert (reply.text, reply.reasoning, reply.finish, reply.calls) == ("Hello", "Hm", "stop", ())
    assert (reply.usage, reply.model) == (Usage(11, 7), "llama3.2")


@pytest.mark.parametrize(
    ("reason", "calls", "finish"),
    [
        ("stop", [], "stop"),
        (None, [], "stop"),
        ("stop", [("log", {})], "tool_calls"),
        (None, [("log", {})], "tool_calls"),
        ("length", [], "length"),
        ("length", [("log", {})], "length"),
    ],
)
def test_every_ending_has_its_meaning(reason: str | None, calls: list[Any], finish: str) -> None:
    """The server says `stop` when it calls tools, and older ones say nothing."""
    assert OLLAMA.decode(says.answer(text="x", calls=calls, reason=reason)).finish == finish


def test_missing_counts_are_zero() -> None:
    """The server leaves out what it did not count, as for a prompt that it had cached."""
    assert OLLAMA.decode(says.answer(text="x", usage=None)).usage == Usage()


def test_calls_without_ids_get_their_own() -> None:
    """One for each call, safe everywhere, another in each turn, and the same when read again."""
    calls = [("find", {"a": 1}), ("find", {"a": 1}), ("log", {})]
    first = OLLAMA.decode(says.answer(calls=calls))
    later = OLLAMA.decode(says.answer(calls=calls, stamp="2026-11-22T19:31:19Z"))
    ids = [call.id for call in (*first.calls, *later.calls)]

    assert len(set(ids)) == 6
    assert all(name.replace("_", "").isalnum() and len(name) <= 40 for name in ids)
    assert OLLAMA.decode(says.answer(calls=calls)) == first


@pytest.mark.parametrize("given", ["call_abc123", "x" * 64])
def test_ids_of_newer_servers_are_kept(given: str) -> None:
    """They are sent back with the result."""
    reply = OLLAMA.decode(says.answer(calls=[("log", {}, given)]))

    assert reply.calls[0].id == given


@pytest.mark.parametrize("bad", ["", "x" * 65, "a b", "a.b"])
def test_ids_that_no_other_provider_takes_are_replaced(bad: str) -> None:
    """A conversation may move on."""
    first, second = OLLAMA.decode(says.answer(calls=[("log", {}, bad), ("log", {}, bad)])).calls

    assert bad not in (first.id, second.id)
    assert first.id != second.id


def test_an_id_given_twice_is_used_once() -> None:
    """No two calls of a turn may answer to one id."""
    first, second = OLLAMA.decode(says.answer(calls=[("log", {}, "same"), ("log", {}, "same")])).calls

    assert first.id == "same" != second.id


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"a": "ä", "n": 10**20}, '{"a": "ä", "n": 100000000000000000000}'),
        ({}, "{}"),
        (None, "{}"),
        ('{"a"', '{"a"'),
    ],
)
def test_arguments_are_text(arguments: Any, text: str) -> None:
    """An object is written out; what a proxy sends as text stays as it is."""
    assert OLLAMA.decode(says.answer(calls=[("log", arguments)])).calls[0].arguments == text


@pytest.mark.parametrize(
    "raw",
    [
        None,
        "text",
        [],
        {},
        {"done": True},
        {"done": True, "message": None},
        {**says.answer(text="x"), "done": False},
        {**says.answer(text="x"), "done": "true"},
        says.answer(text="", reason="load"),
        says.answer(text="", reason="unload"),
        {**says.answer(text="x"), "done_reason": ["stop"]},
        {**says.answer(), "message": {"tool_calls": [{"function": {"arguments": {}}}]}},
        {**says.answer(), "message": {"tool_calls": [{"function": {"name": ""}}]}},
        {**says.answer(), "message": {"tool_calls": ["x"]}},
        {**says.answer(), "message": {"tool_calls": 3}},
        {"id": "chatcmpl-1", "object": "chat.completion", "choices": []},
    ],
)
def test_what_is_no_answer_is_a_bad_reply(raw: Any) -> None:
    """Foreign and unfinished answers never pass for empty ones."""
    with pytest.raises(BadReplyError):
        OLLAMA.decode(raw)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("an error was encountered while running the model", ServerError),
        ('model "nope" not found, try pulling it first', ModelNotFoundError),
        ("registry.ollama.ai/library/gemma3:4b does not support tools", UnsupportedError),
        ('"llama3.2" does not support thinking', BadRequestError),
    ],
)
def test_an_error_in_an_answer_is_that_error(said: str, kind: type[ProviderError]) -> None:
    """Whole or in a line of the stream."""
    for tell in (OLLAMA.decode, OLLAMA.accumulator().feed):
        with pytest.raises(kind, match="|".join(said.split()[-2:])) as caught:
            tell({"error": said})
        assert type(caught.value) is kind
        assert caught.value.status is None
