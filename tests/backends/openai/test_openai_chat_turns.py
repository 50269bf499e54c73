"""Chat Completions: fields that stand where other servers have them, and what of a turn goes back."""

from __future__ import annotations

from typing import Any

import pytest
from kit.codec import feed, joined
from kit.wire import openai as says

from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.messages import Reply, Request, TextDelta, ToolCall, ToolResult, ToolResults, User

CHAT = OpenAIChatBackend()


def test_a_call_of_the_old_api_is_a_call():
    """`function_call` was its name before `tool_calls`."""
    old = {"name": "f", "arguments": '{"x":1}'}
    whole = {
        "choices": [{"message": {"content": None, "function_call": old}, "finish_reason": "function_call"}]
    }
    chunks = [
        {"choices": [{"delta": {"function_call": {"name": "f", "arguments": '{"x"'}}}]},
        {"choices": [{"delta": {"function_call": {"arguments": ":1}"}}, "finish_reason": "function_call"}]},
    ]
    for reply in (CHAT.decode(whole), feed(CHAT, chunks)[0]):
        assert (reply.calls, reply.finish) == ((ToolCall("call_0", "f", '{"x":1}'),), "tool_calls")


@pytest.mark.parametrize("last", [{"prompt_tokens": 0, "completion_tokens": 0}, {"completion_tokens": 7}, {}])
def test_of_each_count_the_larger_one_counts(last: dict[str, int]):
    """Some servers end a stream with zeros, or leave out what they have counted before."""
    details = {"prompt_tokens_details": {"cached_tokens": 4}}
    counted = {"prompt_tokens": 11, "completion_tokens": 7, **details}
    chunks = says.chunks(says.completion(text="x", usage=None))
    chunks[0]["usage"] = counted
    usage = feed(CHAT, [*chunks, {"choices": [], "usage": last}])[0].usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == (11, 7, 4)


def test_usage_may_stand_in_the_choice():
    """Where Moonshot has it."""
    chunk = {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop", "usage": {"prompt_tokens": 3}}]}
    assert feed(CHAT, [chunk])[0].usage.input_tokens == 3


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_an_empty_turn_is_never_sent_back(text: str | None):
    """Neither one that was received nor one of another provider; with calls it is not empty."""
    received = CHAT.decode({**says.completion(text="x"), "choices": [_choice({"content": text})]})
    messages = CHAT.encode(Request("m", (User("a"), received, Reply(text or ""), User("b"))))["messages"]
    assert [message["role"] for message in messages] == ["user", "user"]
    calling = CHAT.decode(says.completion(calls=[("f", {})]))
    assert len(CHAT.encode(Request("m", (User("a"), calling)))["messages"]) == 2


def _choice(message: dict[str, Any]) -> dict[str, Any]:
    return {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}


BLOCK = {"type": "thinking", "thinking": "Hm. Yes.", "signature": "s"}
DETAILS = [
    {"type": "reasoning.text", "index": 0, "text": "Hm. Yes.", "signature": "s", "id": None},
    {"type": "reasoning.encrypted", "index": 1, "data": "abc", "id": "x"},
]


@pytest.mark.parametrize(
    ("pieces", "fields"),
    [
        ([{"reasoning_content": "Hm. "}, {"reasoning_content": "Yes."}], {"reasoning_content": "Hm. Yes."}),
        ([{"reasoning": "Hm. "}, {"reasoning": "Yes."}], {"reasoning": "Hm. Yes."}),
        (
            [
                {"reasoning": "Hm.", "reasoning_details": [{**DETAILS[0], "text": "Hm.", "signature": None}]},
                {"reasoning": " Yes.", "reasoning_details": [{**DETAILS[0], "text": " Yes."}]},
                {"reasoning_details": [DETAILS[1]]},
            ],
            {"reasoning": "Hm. Yes.", "reasoning_details": DETAILS},
        ),
        (
            [
                {
                    "reasoning_content": "Hm. Yes.",
                    "thinking_blocks": [{"type": "thinking", "thinking": "Hm. Yes."}],
                }
            ],
            {
                "reasoning_content": "Hm. Yes.",
                "thinking_blocks": [{"type": "thinking", "thinking": "Hm. Yes."}],
            },
        ),
    ],
)
@pytest.mark.parametrize("calls", [True, False], ids=["call", "text after a call"])
def test_reasoning_goes_back_as_it_came(pieces: list[Any], fields: dict[str, Any], calls: bool):
    """On calls and on the texts after them; on other texts it is left out."""
    content: dict[str, Any] = (
        {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}
        if calls
        else {"content": "x"}
    )
    chunks = [{"choices": [{"delta": piece}]} for piece in [*pieces, content]]
    chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    whole = {"choices": [_choice({**content, **fields})]}
    for reply in (feed(CHAT, chunks)[0], CHAT.decode(whole)):
        assert reply.reasoning == "Hm. Yes."
        call = ToolCall("c", "f", "{}")
        before = Reply("", (call,)), ToolResults((ToolResult(call, "1"),))
        sent = CHAT.encode(Request("m", (User("a"), *before, reply)))["messages"][-1]
        assert {key: value for key, value in sent.items() if "reason" in key or "think" in key} == fields
        alone = CHAT.encode(Request("m", (User("a"), reply)))["messages"][-1]
        assert ("reasoning" in alone or "reasoning_content" in alone) == calls


def test_empty_reasoning_goes_back_as_it_came():
    """DeepSeek wants the field with the calls, whatever is in it."""
    calls = [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]
    whole = {"choices": [_choice({"content": None, "reasoning_content": "", "tool_calls": calls})]}
    pieces = [{"reasoning_content": ""}, {"tool_calls": calls}, {"reasoning_content": None}]
    for reply in (feed(CHAT, _chunks(*pieces))[0], CHAT.decode(whole)):
        (sent,) = CHAT.encode(Request("m", (reply,)))["messages"]
        assert sent["reasoning_content"] == ""


def _chunks(*deltas: Any) -> list[Any]:
    made = [{"choices": [{"delta": each}]} for each in deltas]
    return [*made, {"choices": [{"delta": {}, "finish_reason": "stop"}]}]


def test_reasoning_in_the_content_goes_back_with_calls():
    """Mistral's reasoning is a part of the content; with a text alone it is left out, as all reasoning."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm. Yes."}]}
    halves = [{**thought, "thinking": [{"type": "text", "text": text}]} for text in ("Hm.", " Yes.")]
    text = {"type": "text", "text": "Look."}
    calls = [{"id": "c", "index": 0, "function": {"name": "f", "arguments": "{}"}}]
    whole = {"choices": [_choice({"content": [thought, text], "tool_calls": calls})]}
    pieces = [{"content": [half]} for half in halves]
    for last in ({"content": "Look."}, {"content": [text]}):
        streamed, _ = feed(CHAT, _chunks(*pieces, last, {"tool_calls": calls}))
        for reply in (streamed, CHAT.decode(whole)):
            (sent,) = CHAT.encode(Request("m", (reply,)))["messages"]
            assert (reply.text, reply.reasoning, sent["content"]) == ("Look.", "Hm. Yes.", [thought, text])
        alone, _ = feed(CHAT, _chunks(*pieces, last))
        (sent,) = CHAT.encode(Request("m", (alone,)))["messages"]
        assert sent == {"role": "assistant", "content": "Look."}


F1, F2 = ({"id": key, "function": {"name": "f", "arguments": f'{{"x": {key}}}'}} for key in "12")
REST: dict[str, tuple[list[Any], str, list[str]]] = {
    "more text": ([{"delta": {"content": "Hi"}}, {"message": {"content": "Hi there."}}], "Hi there.", []),
    "less text": ([{"delta": {"content": "Hi there."}}, {"message": {"content": "Hi"}}], "Hi there.", []),
    "another text": ([{"delta": {"content": "Oslo."}}, {"message": {"content": "Paris."}}], "Oslo.", []),
    "more calls": ([{"delta": {"tool_calls": [F1]}}, {"message": {"tool_calls": [F1, F2]}}], "", ["1", "2"]),
    "other calls": ([{"delta": {"tool_calls": [F1]}}, {"message": {"tool_calls": [F2]}}], "", ["1", "2"]),
    "one id for all calls": (
        [
            {"delta": {"tool_calls": [{**F1, "id": "c"}]}},
            {"message": {"tool_calls": [{**F1, "id": "c"}, {**F2, "id": "c"}]}},
        ],
        "",
        ["1", "2"],
    ),
    "the arguments of a call": (
        [
            {"delta": {"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": ""}}]}},
            {"message": {"tool_calls": [F1]}},
        ],
        "",
        ["1"],
    ),
    "both in one chunk": (
        [{"delta": {"role": "assistant", "content": ""}, "message": {"content": "Hi there"}}],
        "Hi there",
        [],
    ),
    "a call and the text": (
        [{"delta": {"tool_calls": [F1]}}, {"message": {"content": "Hi", "tool_calls": [F1]}}],
        "Hi",
        ["1"],
    ),
    "messages that grow": (
        [{"message": {"content": "Hi"}}, {"message": {"content": "Hi there"}}],
        "Hi there",
        [],
    ),
    "messages as pieces": (
        [{"message": {"content": "Hi"}}, {"message": {"content": " there"}}],
        "Hi there",
        [],
    ),
    "the text of the older API": ([{"text": "Hi"}, {"text": " there"}], "Hi there", []),
}


@pytest.mark.parametrize(("choices", "text", "calls"), REST.values(), ids=REST)
def test_a_stream_may_end_in_a_whole_message(choices: list[Any], text: str, calls: list[str]):
    """What the deltas did not have is added, and shown; what they had counts once."""
    chunks = [{"choices": [choice]} for choice in choices]
    reply, deltas = feed(CHAT, [*chunks, {"choices": [{"delta": {}, "finish_reason": "stop"}]}])
    assert reply.text == joined(deltas, TextDelta) == text
    assert [call.arguments for call in reply.calls] == [f'{{"x": {key}}}' for key in calls]


def test_the_older_api_is_read_whole():
    """Its choices have a `text`, and no message."""
    assert CHAT.decode({"choices": [{"text": "Hi", "finish_reason": "stop"}]}).text == "Hi"


def test_reasoning_is_not_taken_twice():
    """A whole message after the deltas repeats it."""
    message = {"content": "Hi", "reasoning_content": "Hm. Yes.", "reasoning_details": DETAILS}
    deltas = [{"reasoning_content": "Hm.", "reasoning_details": DETAILS}, {"content": "Hi"}]
    chunks = [*_chunks(*deltas)[:-1], {"choices": [{"message": message, "finish_reason": "stop"}]}]
    reply, _ = feed(CHAT, chunks)
    assert (reply.reasoning, reply.text) == ("Hm. Yes.", "Hi")
    assert reply.echo is not None
    assert reply.echo.data["reasoning_details"] == DETAILS
