"""Streams whose content blocks are numbered in another way than Anthropic does, as gateways send them."""

from __future__ import annotations

from typing import Any

import pytest
from kit.apis import ANTHROPIC, streamed_modes
from kit.codec import feed, joined
from kit.wire import WireServer, sse
from kit.wire import anthropic as says

from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.backends.anthropic.stream import as_events
from alloy.errors import BadReplyError
from alloy.messages import ReasoningDelta, Reply, Request, TextDelta, ToolCall, ToolCallDelta, Usage, User

CLAUDE = AnthropicBackend()

Events = list[dict[str, Any]]


def start(index: int, block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def delta(index: int, kind: str, value: str) -> dict[str, Any]:
    field = {"input_json": "partial_json"}.get(kind, kind)
    return {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", field: value}}


def text(index: int, *pieces: str) -> Events:
    return [
        start(index, says.text_block("")),
        *(delta(index, "text", piece) for piece in pieces),
        stop(index),
    ]


def call(index: int, call_id: str, *pieces: str, name: str = "add") -> Events:
    started = start(index, says.tool_use(name, {}, call_id))
    return [started, *(delta(index, "input_json", piece) for piece in pieces), stop(index)]


def stream(*content: dict[str, Any] | Events, reason: str = "end_turn") -> Events:
    events = says.events(says.message(stop=reason))
    parts = [part if isinstance(part, list) else [part] for part in content]
    return [*events[:2], *(event for part in parts for event in part), *events[-2:]]


def echoed(reply: Reply) -> Any:
    """The content of *reply* as the next request sends it."""
    return CLAUDE.encode(Request("claude-sonnet-4-6", (User("Hi"), reply)))["messages"][1]["content"]


SEARCH = says.server_tool_use("web_search", {}, "s1")
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
THOUGHT = says.thinking("Hm.", "c2ln")

# --- indexes ------------------------------------------------------------------------------------------

# What is sent, the text and the calls that it means, and the types of the blocks in the order of arrival.
ONE = ToolCall("t1", "add", '{"a": 1}')
TWO = ToolCall("t2", "add", '{"a": 2}')
NUMBERED: dict[str, tuple[Events, str, tuple[ToolCall, ...], list[str]]] = {
    "used twice after a server tool": (
        stream([start(0, SEARCH), stop(0), start(1, FOUND), stop(1)], text(1, "8 ", "million.")),
        "8 million.",
        (),
        ["server_tool_use", "web_search_tool_result", "text"],
    ),
    "always 0": (
        stream(text(0, "One."), call(0, "t1", '{"a": 1}'), call(0, "t2", '{"a": 2}')),
        "One.",
        (ONE, TWO),
        ["text", "tool_use", "tool_use"],
    ),
    "always 0, without stops": (
        stream(text(0, "One.")[:-1], call(0, "t1", '{"a"', ": 1}")[:-1], call(0, "t2", '{"a": 2}')[:-1]),
        "One.",
        (ONE, TWO),
        ["text", "tool_use", "tool_use"],
    ),
    "with gaps": (
        stream(text(3, "One."), call(7, "t1", '{"a": 1}')),
        "One.",
        (ONE,),
        ["text", "tool_use"],
    ),
    "going down": (
        stream(text(2, "One."), text(1, " Two."), call(0, "t1", '{"a": 1}')),
        "One. Two.",
        (ONE,),
        ["text", "text", "tool_use"],
    ),
    "negative": (stream(text(-1, "One.")), "One.", (), ["text"]),
    "text before a start": (
        stream(delta(0, "text", "On"), delta(0, "text", "e."), call(1, "t1", '{"a": 1}')),
        "One.",
        (ONE,),
        ["text", "tool_use"],
    ),
    "text after the stop": (
        stream(text(0, "On"), delta(0, "text", "e.")),
        "One.",
        (),
        ["text"],
    ),
    "text at the index of another block": (
        stream([start(0, says.thinking("", "c2ln")), delta(0, "thinking", "Hm.")], delta(0, "text", "One.")),
        "One.",
        (),
        ["thinking", "text"],
    ),
    "text at a wrong index": (
        stream([start(0, says.text_block("")), delta(5, "text", "On"), delta(5, "text", "e.")]),
        "One.",
        (),
        ["text"],
    ),
    "input at a wrong index": (
        stream(
            [*text(0, "One."), start(1, says.tool_use("add", {}, "t1")), delta(0, "input_json", '{"a": 1}')]
        ),
        "One.",
        (ONE,),
        ["text", "tool_use"],
    ),
    "two blocks at once": (
        stream(
            [start(0, says.tool_use("add", {}, "t1")), start(1, says.tool_use("add", {}, "t2"))],
            [
                delta(0, "input_json", '{"a"'),
                delta(1, "input_json", '{"a": '),
                delta(0, "input_json", ": 1}"),
            ],
            [delta(1, "input_json", "2}"), stop(1), stop(0)],
        ),
        "",
        (ONE, TWO),
        ["tool_use", "tool_use"],
    ),
    "null beside a number": (
        stream([{**event, "index": None} for event in text(0, "One.")], call(1, "t1", '{"a": 1}')),
        "One.",
        (ONE,),
        ["text", "tool_use"],
    ),
    "left out": (
        stream(
            [
                {key: value for key, value in event.items() if key != "index"}
                for event in (*text(0, "One."), *call(1, "t1", '{"a": 1}'), *call(2, "t2", '{"a": 2}'))
            ]
        ),
        "One.",
        (ONE, TWO),
        ["text", "tool_use", "tool_use"],
    ),
    "calls without ids": (
        stream(call(0, "", '{"a": 1}'), call(1, "", '{"a": 2}')),
        "",
        (ToolCall("toolu_0", "add", '{"a": 1}'), ToolCall("toolu_1", "add", '{"a": 2}')),
        ["tool_use", "tool_use"],
    ),
    "a call that starts again": (
        stream(call(0, "t1", '{"a"'), call(0, "t1", '{"a": 1}')),
        "",
        (ONE,),
        ["tool_use"],
    ),
    "the input once more at its end": (
        stream(call(0, "t1", '{"a"', ": 1}", '{"a": 1}')),
        "",
        (ONE,),
        ["tool_use"],
    ),
    "an empty object before the input": (
        stream(call(0, "t1", "{}", '{"a": 1}')),
        "",
        (ONE,),
        ["tool_use"],
    ),
    "each piece repeats those before": (
        stream(call(0, "t1", '{"a"', '{"a": 1', '{"a": 1}')),
        "",
        (ONE,),
        ["tool_use"],
    ),
    "two whole calls with one id": (
        stream(call(0, "t1", '{"a": 1}'), call(1, "t1", '{"a": 2}')),
        "",
        (ONE, ToolCall("t1", "add", '{"a": 2}')),
        ["tool_use", "tool_use"],
    ),
    "two whole calls with one id and one index": (
        stream(call(0, "t1", '{"a": 1}'), call(0, "t1", '{"a": 2}')),
        "",
        (ONE, ToolCall("t1", "add", '{"a": 2}')),
        ["tool_use", "tool_use"],
    ),
    "calls of two tools with one id": (
        stream(call(0, "t1", '{"a": 1}'), [start(0, says.tool_use("now", {}, "t1"))]),
        "",
        (ONE, ToolCall("t1", "now", "{}")),
        ["tool_use", "tool_use"],
    ),
    "two calls with one id, no index and no input": (
        stream(
            [
                {key: value for key, value in event.items() if key != "index"}
                for event in (*call(0, "t1", name="now"), *call(1, "t1", name="now"))
            ]
        ),
        "",
        (ToolCall("t1", "now", "{}"),) * 2,
        ["tool_use", "tool_use"],
    ),
    "a call that is started twice": (
        stream([start(0, says.tool_use("add", {}, "t1"))], call(1, "t1", '{"a": 1}')),
        "",
        (ONE,),
        ["tool_use"],
    ),
}
numbered = pytest.mark.parametrize("name", NUMBERED)


@numbered
def test_blocks_are_kept_in_the_order_of_arrival(name: str) -> None:
    """Text, calls, and the blocks that go back to the provider; what is shown is what the reply has."""
    events, written, calls, kinds = NUMBERED[name]
    reply, deltas = feed(CLAUDE, events)

    assert (reply.text, reply.calls) == (written, calls)
    assert joined(deltas, TextDelta) == written
    assert [item.id for item in deltas if isinstance(item, ToolCallDelta)] == [each.id for each in calls]
    assert [block["type"] for block in echoed(reply)] == kinds


@numbered
@streamed_modes
def test_the_sdk_carries_such_a_stream(server: WireServer, mode: str, name: str) -> None:
    """The same over the wire."""
    events, written, calls, _ = NUMBERED[name]
    server.script(sse(events))
    reply = ANTHROPIC.talk(mode, server)

    assert (reply.text, reply.calls) == (written, calls)


def test_thoughts_without_a_start_are_kept_with_their_signature() -> None:
    """They have to go back."""
    events = stream(delta(0, "thinking", "Hm."), delta(0, "signature", "c2ln"), text(1, "One."))
    reply, deltas = feed(CLAUDE, events)

    assert (reply.reasoning, joined(deltas, ReasoningDelta)) == ("Hm.", "Hm.")
    assert echoed(reply) == [THOUGHT, says.text_block("One.")]


def test_the_input_of_no_call_is_a_bad_reply() -> None:
    """It is not dropped in silence."""
    with pytest.raises(BadReplyError, match="has not started"):
        feed(CLAUDE, stream(delta(0, "input_json", '{"a": 1}')))


def test_the_first_event_may_have_the_whole_content() -> None:
    """Some gateways stream what they have whole."""
    started = {"type": "message_start", "message": says.message(text="One.", calls=[("add", {"a": 1}, "t1")])}
    reply, _ = feed(CLAUDE, [started, {"type": "message_stop"}])

    assert (reply.text, reply.calls) == ("One.", (ONE,))


WHOLE = says.message(
    says.text_block("One."), thoughts=["Hm."], calls=[("add", {"a": 1}, "t1"), ("add", {"a": 2}, "t2")]
)


@streamed_modes
def test_a_whole_message_may_be_an_event(server: WireServer, mode: str) -> None:
    """Some gateways stream what they have whole."""
    server.script(sse([WHOLE]))

    assert ANTHROPIC.talk(mode, server) == CLAUDE.decode(WHOLE)


def test_a_whole_call_that_is_sent_once_more_is_one_call() -> None:
    """At the same index: gateways repeat blocks, and the tool would run twice."""
    reply, _ = feed(CLAUDE, stream(call(0, "t1", '{"a": 1}'), call(0, "t1", '{"a": 1}')))

    assert reply.calls == (ONE,)


def test_calls_of_a_whole_message_may_have_one_id() -> None:
    """As they may when it is not an event."""
    made = says.message(calls=[("add", {"a": 1}, "t1"), ("add", {"a": 2}, "t1")])

    assert feed(CLAUDE, list(as_events(made)))[0].calls == CLAUDE.decode(made).calls
    assert len(CLAUDE.decode(made).calls) == 2


def test_all_of_a_whole_message_is_shown() -> None:
    """Thoughts, text and calls, as of one in pieces."""
    reply, deltas = feed(CLAUDE, list(as_events(WHOLE)))

    assert reply == CLAUDE.decode(WHOLE)
    calls = [ToolCallDelta("t1", "add"), ToolCallDelta("t2", "add")]
    assert deltas == [ReasoningDelta("Hm."), TextDelta("One."), *calls]


@pytest.mark.parametrize("missing", ["message_start", "delta", "type"])
def test_events_may_lack_what_is_not_needed(missing: str) -> None:
    """Of the first event, of the one with the usage, and of a whole message."""
    events = stream(text(0, "One."))
    if missing == "message_start":
        events = events[1:]
    elif missing == "delta":
        events.insert(-1, {"type": "message_delta", "usage": {"output_tokens": 7}})
    else:
        whole = {key: value for key, value in WHOLE.items() if key != "type"}
        events = list(as_events(whole))

    assert feed(CLAUDE, events)[0].text == "One."


@pytest.mark.parametrize("mode", ["send", "send_async"])
def test_calls_without_ids_get_their_own(server: WireServer, mode: str) -> None:
    """And the results go back under them."""
    blocks = [{"type": "tool_use", "name": "add", "input": {}, "id": made} for made in (None, "", "t1")]
    server.script(says.reply(says.message(*blocks)))
    reply = ANTHROPIC.talk(mode, server)

    assert [each.id for each in reply.calls] == ["toolu_0", "toolu_1", "t1"]
    assert [block["id"] for block in echoed(reply)] == ["toolu_0", "toolu_1", "t1"]


# --- usage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "usage"),
    [
        ({"input_tokens": 11, "output_tokens": 1}, {"input_tokens": 0, "output_tokens": 5}, Usage(11, 5)),
        ({"input_tokens": 0, "output_tokens": 0}, {"input_tokens": 11, "output_tokens": 5}, Usage(11, 5)),
        ({"input_tokens": 11, "output_tokens": 5}, {"input_tokens": 0, "output_tokens": 0}, Usage(11, 5)),
        ({"input_tokens": 11, "output_tokens": 5}, {}, Usage(11, 5)),
        ({}, {"input_tokens": 11, "output_tokens": 5}, Usage(11, 5)),
        ({"input_tokens": 11, "output_tokens": 1}, {"output_tokens": None}, Usage(11, 1)),
        (
            {"input_tokens": 1, "cache_read_input_tokens": 10, "output_tokens": 1},
            {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 5},
            Usage(11, 5, 10),
        ),
        (
            {"output_tokens": 1, "output_tokens_details": {"thinking_tokens": 3}},
            {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 0}},
            Usage(0, 5, 0, 3),
        ),
        (
            {"input_tokens": 11, "output_tokens": 1},
            {"input_tokens": "many", "output_tokens": -5},
            Usage(11, 1),
        ),
    ],
)
@streamed_modes
def test_of_each_count_the_larger_one_is_the_usage(
    server: WireServer, mode: str, first: Any, last: Any, usage: Usage
) -> None:
    """Counts go up, and some servers send zeros at the beginning or at the end."""
    events = says.events(says.message(text="Hi"))
    events[0]["message"]["usage"], events[-2]["usage"] = first, last
    server.script(sse(events))

    assert ANTHROPIC.talk(mode, server).usage == usage
