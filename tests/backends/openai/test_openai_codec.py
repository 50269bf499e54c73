"""The two OpenAI codecs, without a server: what is encoded, and what is made of what came back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from kit.codec import feed, joined
from kit.wire import openai as says

from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.errors import (
    BadReplyError,
    BadRequestError,
    ProviderError,
    RateLimitError,
    ServerError,
)
from alloy.messages import (
    Echo,
    OutputSchema,
    Reply,
    Request,
    TextDelta,
    ToolCall,
    ToolResult,
    ToolResults,
    ToolSchema,
    Usage,
    User,
)

RESPONSES, CHAT = OpenAIBackend(), OpenAIChatBackend()
BOTH = [RESPONSES, CHAT]

CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
ADD = ToolSchema("add", "Add two numbers.", CLOSED)
LOOSE = ToolSchema("log", "", {"type": "object"})
CALL = ToolCall("call_1", "add", '{"a": 1}')


# --- encoding -----------------------------------------------------------------------------------------


def test_a_plain_request_has_only_what_was_set():
    """Defaults are the provider's: no temperature, no limit, no empty lists."""
    request = Request("gpt-5.6", (User("Hi"),))

    assert RESPONSES.encode(request) == {
        "model": "gpt-5.6",
        "input": [{"role": "user", "content": "Hi"}],
        "store": False,
    }
    assert CHAT.encode(request) == {"model": "gpt-5.6", "messages": [{"role": "user", "content": "Hi"}]}


def test_all_settings_are_sent_to_responses():
    """System, tools, schema, temperature and limit stand where the Responses API wants them."""
    body = RESPONSES.encode(
        Request(
            "gpt-5.6",
            (User("Hi"),),
            system="Be brief.",
            tools=(ADD, LOOSE),
            output=OutputSchema("Answer", CLOSED),
            temperature=0.0,
            max_tokens=9,
        )
    )

    assert body["instructions"] == "Be brief."
    assert body["tools"] == [
        {
            "type": "function",
            "name": "add",
            "description": "Add two numbers.",
            "parameters": CLOSED,
            "strict": True,
        },
        {
            "type": "function",
            "name": "log",
            "description": "",
            "parameters": {"type": "object"},
            "strict": False,
        },
    ]
    assert body["text"] == {
        "format": {"type": "json_schema", "name": "Answer", "schema": CLOSED, "strict": True}
    }
    assert (body["temperature"], body["max_output_tokens"]) == (0.0, 9)


def test_all_settings_are_sent_to_chat():
    """The same settings in Chat's words; `strict` stays out of a tool that is not."""
    body = CHAT.encode(
        Request(
            "llama",
            (User("Hi"),),
            system="Be brief.",
            tools=(ADD, LOOSE),
            output=OutputSchema("Answer", CLOSED),
            temperature=0.0,
            max_tokens=9,
        )
    )

    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert [tool["function"].get("strict") for tool in body["tools"]] == [True, None]
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "Answer", "schema": CLOSED, "strict": True},
    }
    assert (body["temperature"], body["max_tokens"]) == (0.0, 9)


@pytest.mark.parametrize(
    ("model", "word"),
    [
        ("gpt-5.6", "max_completion_tokens"),
        ("o4-mini", "max_completion_tokens"),
        ("ft:gpt-4.1:me", "max_completion_tokens"),
        ("gpt-oss-20b", "max_tokens"),
        ("openai/gpt-5.6", "max_tokens"),
        ("qwen3", "max_tokens"),
    ],
)
def test_chat_names_the_limit_as_the_models_server_knows_it(model: str, word: str):
    """OpenAI's own models refuse `max_tokens`, many other servers know no other word."""
    body = CHAT.encode(Request(model, (User("Hi"),), max_tokens=5))

    assert {key for key in body if "max" in key} == {word}


def test_extra_comes_last_and_merges_into_dicts():
    """A nested dict keeps its other keys; anything else is replaced."""
    request = Request(
        "gpt-5.6",
        (User("Hi"),),
        output=OutputSchema("A", CLOSED),
        extra={"text": {"verbosity": "low"}, "store": True, "reasoning": {"effort": "high"}},
    )
    body = RESPONSES.encode(request)

    assert body["text"]["verbosity"] == "low"
    assert body["text"]["format"]["name"] == "A"
    assert (body["store"], body["reasoning"]) == (True, {"effort": "high"})


def test_extra_leaves_the_requests_own_data_alone():
    """Encoding the same request twice gives the same body."""
    extra = {"text": {"format": {"name": "B"}}}
    request = Request("m", (User("Hi"),), output=OutputSchema("A", CLOSED), extra=extra)
    before = copy.deepcopy(extra)

    assert RESPONSES.encode(request) == RESPONSES.encode(request)
    assert extra == before


def test_responses_repeats_a_turn_as_it_was_received():
    """Every output item goes back untouched and in order, reasoning and unknown ones too."""
    answer = says.response(
        says.reasoning("Hm."),
        says.message("Let me see.", phase="commentary"),
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        calls=[("add", {"a": 1}, "call_1")],
    )
    reply = RESPONSES.decode(copy.deepcopy(answer))
    results = ToolResults((ToolResult(reply.calls[0], "2"),))
    body = RESPONSES.encode(Request("m", (User("Hi"), reply, results)))

    assert body["input"] == [
        {"role": "user", "content": "Hi"},
        *answer["output"],
        {"type": "function_call_output", "call_id": "call_1", "output": "2"},
    ]
    assert body["input"][1] is reply.echo.data[0]


def test_a_turn_of_another_provider_is_rebuilt():
    """A reply of another provider, or a scripted one, is said in this provider's words."""
    foreign = Reply("Adding.", (CALL, ToolCall("call_2", "log", "")), echo=Echo("elsewhere", {}))
    request = Request("m", (User("Hi"), foreign, ToolResults((ToolResult(CALL, "2"),))))

    assert RESPONSES.encode(request)["input"][1:] == [
        {"role": "assistant", "content": "Adding."},
        {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": '{"a": 1}'},
        {"type": "function_call", "call_id": "call_2", "name": "log", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "2"},
    ]
    assert CHAT.encode(request)["messages"][1:] == [
        {
            "role": "assistant",
            "content": "Adding.",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
                {"id": "call_2", "type": "function", "function": {"name": "log", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "2"},
    ]


def test_the_two_apis_understand_each_others_turns():
    """A conversation can go on at the other API: an echo that is not its own is rebuilt."""
    chat = CHAT.decode(says.completion(text="Hi", calls=[("add", {}, "c1")]))
    responses = RESPONSES.decode(says.response(text="Hi", calls=[("add", {}, "c1")]))

    assert RESPONSES.encode(Request("m", (chat,)))["input"][1]["call_id"] == "c1"
    assert CHAT.encode(Request("m", (responses,)))["messages"][0]["tool_calls"][0]["id"] == "c1"


def test_chat_repeats_reasoning_and_foreign_fields_with_the_calls():
    """DeepSeek wants its reasoning back while tools run, Gemini its thought signatures."""
    answer = says.completion(calls=[("add", {}, "c1")], thoughts="Hm.")
    call = answer["choices"][0]["message"]["tool_calls"][0]
    call["extra_content"] = {"google": {"thought_signature": "abc"}}
    (turn,) = CHAT.encode(Request("m", (CHAT.decode(answer),)))["messages"]

    assert turn["reasoning_content"] == "Hm."
    assert turn["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "abc"}}
    assert turn["content"] is None


def test_chat_keeps_reasoning_out_of_a_finished_turn():
    """After the answer nobody wants the reasoning back, and some refuse it."""
    reply = CHAT.decode(says.completion(text="Done.", thoughts="Hm."))

    assert CHAT.encode(Request("m", (reply,)))["messages"] == [{"role": "assistant", "content": "Done."}]


# --- Responses: decoding ------------------------------------------------------------------------------


def test_a_response_becomes_a_reply():
    """Text, calls, reasoning, usage, model and id are where the engine looks for them."""
    reply = RESPONSES.decode(
        says.response(text="Two.", thoughts=["First.", "Then."], usage=(30, 12, 8, 4), calls=[("add", "")])
    )

    assert (reply.text, reply.finish, reply.model, reply.id) == ("Two.", "tool_calls", "gpt-5.6", "resp_1")
    assert reply.reasoning == "First.\n\nThen."
    assert reply.usage == Usage(30, 12, 8, 4)
    assert reply.calls == (ToolCall("call_add_0", "add", ""),)


def test_commentary_is_not_the_answer():
    """Only messages of the final phase, or of none, make the text; their deltas alone are shown."""
    answer = says.response(says.message("Thinking aloud.", phase="commentary"), says.message("42"))
    reply, deltas = feed(RESPONSES, says.events(answer))

    assert RESPONSES.decode(answer).text == reply.text == joined(deltas, TextDelta) == "42"


def test_a_refusal_is_no_text():
    """What the model says instead of an answer is the explanation."""
    answer = says.response(says.message("", refusal="I cannot help with that."))

    for reply in (RESPONSES.decode(answer), feed(RESPONSES, says.events(answer))[0]):
        assert (reply.finish, reply.text) == ("refusal", "")
        assert reply.explanation == "I cannot help with that."


@pytest.mark.parametrize(
    ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "filter")]
)
def test_an_incomplete_response_has_its_reason(reason: str, finish: str):
    """The text so far is kept, and the finish tells that it is not all."""
    answer = says.response(text="Half", status="incomplete", incomplete_details={"reason": reason})

    for reply in (RESPONSES.decode(answer), feed(RESPONSES, says.events(answer))[0]):
        assert (reply.text, reply.finish) == ("Half", finish)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {},
        {"status": "completed"},
        says.response(status="queued"),
        says.response(status="in_progress"),
        says.response(status="cancelled"),
        says.response(status="incomplete", incomplete_details={"reason": "steered"}),
        says.response(status="incomplete"),
        {**says.response(), "output": "text"},
        {**says.response(), "output": ["text"]},
        says.response({"type": "function_call", "arguments": "{}"}),
    ],
)
def test_what_is_no_finished_response_is_a_bad_reply(answer: Any):
    """Nothing of another shape or of another state passes for an answer."""
    with pytest.raises(BadReplyError):
        RESPONSES.decode(answer)


@pytest.mark.parametrize(
    ("code", "kind", "transient"),
    [
        ("server_error", ServerError, True),
        ("rate_limit_exceeded", RateLimitError, True),
        ("insufficient_quota", RateLimitError, False),
        ("invalid_prompt", BadRequestError, False),
        ("image_too_large", BadRequestError, False),
        ("bio_policy", BadRequestError, False),
        ("something_new", ServerError, True),
    ],
)
def test_a_failed_generation_is_the_error_of_its_code(code: str, kind: type[ProviderError], transient: bool):
    """A failure inside status 200 is told apart as a status would tell it."""
    error = {"code": code, "message": "It broke."}
    answer = says.response(status="failed", error=error)

    for attempt in (
        lambda: RESPONSES.decode(answer),
        lambda: feed(RESPONSES, says.events(answer)),
        lambda: feed(RESPONSES, [{"type": "error", **error, "sequence_number": 1}]),
        lambda: feed(RESPONSES, [{"type": "error", "error": error}]),
    ):
        with pytest.raises(kind, match=r"It broke\.") as caught:
            attempt()
        assert (caught.value.transient, caught.value.code, caught.value.status) == (transient, code, None)
        assert "status" not in str(caught.value)
        assert type(caught.value) is kind


def test_a_stream_without_its_terminal_event_is_a_bad_reply():
    """All the text may have come: without the end nobody knows."""
    events = says.events(says.response(text="Half an answer"))

    for count in range(len(events)):
        with pytest.raises(BadReplyError, match="ended before"):
            feed(RESPONSES, events[:count])


def test_a_terminal_event_without_output_is_filled_from_the_items():
    """Some compatible servers leave the output out of the last event."""
    answer = says.response(text="All of it.", calls=[("add", {})])
    events = says.events(answer)
    events[-1] = {**events[-1], "response": {**answer, "output": []}}
    reply, _ = feed(RESPONSES, events)

    assert (reply.text, len(reply.calls)) == ("All of it.", 1)


def test_unknown_items_and_events_are_no_trouble():
    """What is new at the provider is kept for the echo and otherwise passed by."""
    answer = says.response({"type": "hologram", "id": "h1"}, text="Hi")
    events = says.events(answer)
    events.insert(3, {"type": "response.hologram.delta", "delta": "x"})
    reply, deltas = feed(RESPONSES, events)

    assert (reply.text, joined(deltas, TextDelta)) == ("Hi", "Hi")
    assert reply.echo.data[0] == {"type": "hologram", "id": "h1"}


@pytest.mark.parametrize("backend", BOTH)
def test_events_that_are_not_objects_are_a_bad_reply(backend: Any):
    """A list or a string in the stream is refused by name."""
    for event in ([], "text", None, 3):
        with pytest.raises(BadReplyError, match="not an object"):
            backend.accumulator().feed(event)


@pytest.mark.parametrize("backend", BOTH)
def test_only_the_first_reasoning_models_never_take_a_temperature(backend: Any):
    """What a model can do is known by its name, without asking."""
    assert "temperature" in backend.capabilities("o3-mini").drops
    assert "temperature" not in backend.capabilities("gpt-5.6").drops
