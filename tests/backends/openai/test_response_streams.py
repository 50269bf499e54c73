"""Streams of the Responses API from servers that leave out, repeat or miscount what OpenAI sends."""

from __future__ import annotations

from typing import Any

import pytest
from kit.apis import RESPONSES, every_mode, whole_modes
from kit.codec import feed
from kit.wire import Answer, WireServer, sse
from kit.wire import openai as says

from alloy import ask, tool
from alloy.backends.openai.responses import OpenAIBackend
from alloy.events import TextDelta, ToolStarted
from alloy.messages import Reply, Request, ToolCall, User
from alloy.messages import TextDelta as Text

CODEC = OpenAIBackend()


def completed(*output: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "response.completed", "response": {**says.response(), "output": list(output), **fields}}


def done(item: Any, index: Any = None) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def added(item: Any, index: Any = None) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def delta(text: str, index: Any = 0, kind: str = "output_text", **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "output_index": index, "delta": text, **more}


def read(*events: Any) -> tuple[Reply, str]:
    reply, deltas = feed(CODEC, list(events))
    return reply, "".join(each.text for each in deltas if isinstance(each, Text))


TEXTS = {
    "deltas only": [delta("Os"), delta("lo."), completed()],
    "deltas, and a message without text": [delta("Os"), delta("lo."), completed(says.message(""))],
    "deltas, and reasoning only": [delta("Oslo."), completed(says.reasoning("Hm."))],
    "deltas, and a part of the text": [delta("Os"), delta("lo."), completed(says.message("Os"))],
    "deltas of an item without an index": [added(says.message("")), delta("Oslo.", None), completed()],
    "deltas, and a finished item without text": [delta("Oslo."), done(says.message(""), 0), completed()],
    "a finished text without deltas": [
        {"type": "response.output_text.done", "output_index": 0, "text": "Oslo."},
        completed(),
    ],
    "more text at its end": [
        delta("Os"),
        {"type": "response.output_text.done", "output_index": 0, "text": "Oslo."},
        completed(),
    ],
    "a finished item without deltas": [done(says.message("Oslo."), 0), completed()],
    "the terminal event only": [completed(says.message("Oslo."))],
    "the same item twice": [done(says.message("Oslo."), 0), done(says.message("Oslo."), 0), completed()],
    "no index beside a number": [done(says.message("Os")), done(says.message("lo."), 1), completed()],
    "one index for all": [done(says.message("Os"), 0), done(says.message("lo."), 0), completed()],
    "indices in another order": [done(says.message("Os"), 7), done(says.message("lo."), 1), completed()],
    "two parts, of which the item has one": [
        added({**says.message(""), "content": []}, 0),
        delta("Os", content_index=0),
        delta("lo.", content_index=1),
        done(says.message("Os"), 0),
        completed(),
    ],
    "output null": [delta("Oslo."), {"type": "response.completed", "response": {"output": None}}],
    "content as text": [completed({"type": "message", "role": "assistant", "content": "Oslo."})],
}


@pytest.mark.parametrize("events", TEXTS.values(), ids=TEXTS)
def test_the_value_is_what_was_shown(events: list[Any]):
    """Whatever part of the stream has the text, it is shown once, and it is the answer."""
    reply, shown = read(*events)
    assert (reply.text, reply.finish, shown) == ("Oslo.", "stop", "Oslo.")


CALL = {"type": "function_call", "call_id": "c", "name": "f"}

CALLS = {
    "finished items only": [done(says.function_call("f", '{"x":1}', "c"), 0), completed()],
    "pieces of arguments": [
        added({**CALL, "arguments": ""}, 0),
        delta('{"x"', kind="function_call_arguments"),
        delta(":1}", kind="function_call_arguments"),
        completed(),
    ],
    "finished arguments": [
        added({**CALL, "arguments": ""}, 0),
        {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": '{"x":1}'},
        completed(),
    ],
    "a finished item without arguments": [
        added({**CALL, "arguments": ""}, 0),
        delta('{"x":1}', kind="function_call_arguments"),
        done({**CALL, "arguments": ""}, 0),
        completed(),
    ],
    "missing at the end": [
        done(says.message("Hm."), 0),
        done(says.function_call("f", '{"x":1}', "c"), 1),
        completed(says.message("Hm.")),
    ],
}


@pytest.mark.parametrize("events", CALLS.values(), ids=CALLS)
def test_no_call_is_lost(events: list[Any]):
    """Neither from the items of a stream nor from their pieces."""
    reply, _ = read(*events)
    assert (reply.calls, reply.finish) == ((ToolCall("c", "f", '{"x":1}'),), "tool_calls")


def test_calls_with_one_index_are_two_calls():
    """Some gateways give every item the index 0."""
    first, second = says.function_call("f", "{}", "a"), says.function_call("f", "{}", "b")
    reply, _ = read(added(first, 0), done(first, 0), added(second, 0), done(second, 0), completed())
    assert [call.id for call in reply.calls] == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "details", "finish"),
    [
        ("COMPLETED", None, "stop"),
        ("stop", None, "stop"),
        (None, None, "stop"),
        ("incomplete", {"reason": "MAX_OUTPUT_TOKENS"}, "length"),
        ("incomplete", {"reason": "length"}, "length"),
        ("incomplete", {"reason": "safety"}, "filter"),
        ("incomplete", {"reason": "steered"}, "other"),
        ("mystery", None, "other"),
    ],
)
def test_the_status_is_read_by_its_meaning(status: str | None, details: Any, finish: str):
    """As finish reasons are; a missing one next to a whole answer is its end."""
    response = says.response(text="Oslo.", incomplete_details=details)
    assert CODEC.decode({**response, "status": status}).finish == finish


def test_a_call_without_an_id_gets_one():
    """The id of its item, or its position; the turn goes back with it."""
    item = {"type": "function_call", "name": "f", "arguments": {"x": 1}}
    reply = CODEC.decode(says.response(item))
    assert reply.calls == (ToolCall("call_0", "f", '{"x": 1}'),)
    (sent,) = CODEC.encode(Request("m", (reply,)))["input"]
    assert (sent["call_id"], sent["arguments"]) == ("call_0", '{"x": 1}')


@pytest.mark.parametrize(
    "output",
    [[], [says.message("")], [says.reasoning("Hm.")], [says.reasoning("Hm."), says.message(" ")]],
    ids=["nothing", "empty", "reasoning", "blank"],
)
def test_an_empty_turn_is_never_sent_back(output: list[Any]):
    """Reasoning alone is refused as well: it has to be followed by its item."""
    reply = CODEC.decode(says.response(*output))
    assert CODEC.encode(Request("m", (User("a"), reply, Reply(" "), User("b"))))["input"] == [
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
    ]


def test_reasoning_without_its_content_is_not_sent_back():
    """Nothing is stored, so the server cannot find it by its id, nor the items that came with it."""
    plain = {"id": "rs_1", "type": "reasoning", "summary": []}
    reply = CODEC.decode(says.response(plain, text="Hm.", calls=[("f", {}, "c")]))
    sent = CODEC.encode(Request("m", (reply,)))["input"]
    assert [item["type"] for item in sent] == ["message", "function_call"]
    assert not any("id" in item for item in sent)
    kept = CODEC.decode(says.response(says.reasoning("Hm."), text="x"))
    assert CODEC.encode(Request("m", (kept,)))["input"] == kept.echo.data  # type: ignore[union-attr]


@pytest.mark.parametrize("last", [None, {}, {"input_tokens": 0, "output_tokens": 0}, {"output_tokens": 5}])
def test_of_each_count_the_larger_one_counts(last: Any):
    """The id and the model may be in the first event only, too."""
    first = {"id": "r", "model": "m", "status": "in_progress", "output": [], "usage": USAGE}
    response = {"status": "completed", "output": [], "usage": last}
    end = {"type": "response.completed", "response": response}
    reply, _ = read({"type": "response.created", "response": first}, delta("Oslo."), end)
    assert (reply.id, reply.model, reply.text) == ("r", "m", "Oslo.")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) == (10, 5, 2)


USAGE = {"input_tokens": 10, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 2}}


# --- commentary ---------------------------------------------------------------------------------------


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def test_commentary_before_a_call_reaches_the_stream(server: WireServer) -> None:
    """The text of every turn does, before its call; the answer has none of it."""
    first = says.response(
        says.message("Let me look.", phase="commentary"), calls=[("weather", {"city": "Oslo"})]
    )
    server.script(says.stream(first), says.stream(says.response(text="Sunny.")))
    with ask.stream("?", tools=[weather], **RESPONSES.options(server)) as stream:
        events = [each for each in stream.events() if isinstance(each, TextDelta | ToolStarted)]
        assert stream.result() == "Sunny."
    texts = [each.text if isinstance(each, TextDelta) else "|" for each in events]
    assert "".join(texts) == "Let me look.|Sunny."


# --- over the wire ------------------------------------------------------------------------------------


@every_mode
def test_a_value_is_bought_once(server: WireServer, mode: str) -> None:
    """A stream whose terminal event is empty is not asked for again, nor is a whole answer."""
    events = [delta("Os"), delta("lo."), completed()]
    whole: Answer = says.reply({**says.response(text="Oslo."), "status": None})
    server.script(whole if mode in ("send", "send_async") else sse(events))
    assert RESPONSES.ask(mode, server, retry=2) == "Oslo."
    assert len(server.requests) == 1


@whole_modes
def test_a_stream_for_a_plain_request_may_be_as_incomplete(server: WireServer, mode: str) -> None:
    """It is read in the same way."""
    server.script(sse([delta("Os"), delta("lo."), completed()]))
    assert RESPONSES.ask(mode, server) == "Oslo."
