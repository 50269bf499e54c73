"""What is made of what Anthropic said, whole and streamed, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from kit.codec import feed, joined
from kit.wire import anthropic as says

from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.errors import (
    AuthenticationError,
    BadReplyError,
    BadRequestError,
    ProviderError,
    RateLimitError,
    ServerError,
)
from alloy.messages import (
    ReasoningDelta,
    Reply,
    Request,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    User,
)

CLAUDE = AnthropicBackend()
MODEL = "claude-sonnet-4-6"


# --- decoding -----------------------------------------------------------------------------------------


def both(answer: dict[str, Any]) -> list[Reply]:
    """*answer* read whole, and read as a stream."""
    return [CLAUDE.decode(answer), feed(CLAUDE, says.events(answer))[0]]


def test_a_message_becomes_a_reply() -> None:
    """Text, calls, reasoning, usage, model and id are where the engine looks for them."""
    answer = says.message(thoughts=["First.", "", "Then."], text="Two.", calls=[("add", {"b": "ä"})])

    for reply in both(answer):
        assert (reply.text, reply.finish, reply.model, reply.id) == ("Two.", "tool_calls", MODEL, "msg_1")
        assert reply.reasoning == "First.\n\nThen."
        assert reply.calls == (ToolCall("toolu_add_0", "add", '{"b": "ä"}'),)


def test_usage_counts_the_cache_in() -> None:
    """The API counts what it read, wrote to the cache and took from it apart; thinking is part of output."""
    counts = {"input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100}
    answer = says.message(text="Hi")
    answer["usage"] |= {**counts, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}

    for reply in both(answer):
        assert reply.usage == Usage(123, 9, 100, 4, 20)


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
    ],
)
def test_every_stop_reason_is_a_finish(stop: str, finish: str) -> None:
    """The text so far is kept, and the finish tells whether it is all."""
    for reply in both(says.message(text="Half", stop=stop)):
        assert (reply.text, reply.finish) == ("Half", finish)


def test_calls_are_made_with_any_stop_reason() -> None:
    """But not those of a turn that was cut off: its last input may be half."""
    calls = [("add", {})]

    assert {reply.finish for reply in both(says.message(calls=calls, stop="end_turn"))} == {"tool_calls"}
    assert {reply.finish for reply in both(says.message(calls=calls, stop="max_tokens"))} == {"length"}


def test_a_refusal_explains_itself() -> None:
    """The category and the provider's words are the explanation."""
    details = {"type": "refusal", "category": "bio", "explanation": "Not that."}

    for reply in both(says.message(stop="refusal", stop_details=details)):
        assert (reply.finish, reply.explanation) == ("refusal", "bio: Not that.")
    for reply in both(says.message(stop="refusal", stop_details={"type": "refusal", "category": None})):
        assert reply.explanation == ""


def test_a_full_context_window_is_explained() -> None:
    """A higher limit would not help."""
    for reply in both(says.message(stop="model_context_window_exceeded")):
        assert "context window is full" in reply.explanation


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {},
        {"type": "message", "content": []},
        {**says.message(), "stop_reason": None},
        {**says.message(), "stop_reason": "something_new"},
        {**says.message(), "stop_reason": ["end_turn"]},
        {**says.message(), "content": None},
        {**says.message(), "content": "text"},
        {**says.message(), "content": ["text"]},
        says.message({"type": "tool_use", "id": 3, "name": "add", "input": {}}),
        says.message({"type": "tool_use", "id": "t1", "input": {}}),
    ],
)
def test_what_is_no_finished_message_is_a_bad_reply(answer: Any) -> None:
    """Nothing of another shape or of another state passes for an answer."""
    with pytest.raises(BadReplyError):
        CLAUDE.decode(answer)


# --- streaming ----------------------------------------------------------------------------------------


def test_deltas_come_in_the_order_of_the_stream() -> None:
    """Thoughts, text and the beginning of each call; a gap parts one thought from the next."""
    answer = says.message(thoughts=["One", "Two"], text="Hello", calls=[("add", {"a": 1}, "t1")])
    _, deltas = feed(CLAUDE, says.events(answer))

    assert deltas == [
        ReasoningDelta("One"),
        ReasoningDelta("\n\nTwo"),
        TextDelta("Hel"),
        TextDelta("lo"),
        ToolCallDelta("t1", "add"),
    ]


def test_a_stream_without_its_terminal_event_is_a_bad_reply() -> None:
    """All the text may have come: without the end nobody knows."""
    events = says.events(says.message(text="Half an answer", calls=[("add", {})]))

    for count in range(len(events)):
        with pytest.raises(BadReplyError, match="ended before"):
            feed(CLAUDE, events[:count])


def test_a_block_may_begin_with_some_of_its_content() -> None:
    """The reader and the reply get that too."""
    events = says.events(says.message(thoughts=["Hm."], text="Hello"))
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    starts[0]["thinking"], starts[1]["text"] = "So? ", "Oh! "
    reply, deltas = feed(CLAUDE, events)

    assert (reply.reasoning, reply.text) == ("So? Hm.", "Oh! Hello")
    assert (joined(deltas, ReasoningDelta), joined(deltas, TextDelta)) == ("So? Hm.", "Oh! Hello")


def test_a_terminal_event_alone_is_no_reply() -> None:
    """Without a stop reason and content there is nothing to go by."""
    with pytest.raises(BadReplyError):
        feed(CLAUDE, [{"type": "message_stop"}])


def test_input_that_does_not_parse_reaches_the_model_again() -> None:
    """Broken JSON stands in the call as it was written, and goes back under the key that the API suggests."""
    events = says.events(says.message(calls=[("add", {"a": 1}, "t1")]))
    broken = [event for event in events if event.get("delta", {}).get("partial_json") != '": '][:-1]
    reply, _ = feed(CLAUDE, [*broken, events[-1]])

    assert reply.calls == (ToolCall("t1", "add", '{"a1}'),)
    body = CLAUDE.encode(Request(MODEL, (User("Hi"), reply)))
    assert body["messages"][1]["content"] == [says.tool_use("add", {"INVALID_JSON": '{"a1}'}, "t1")]


def test_unknown_events_and_deltas_are_no_trouble() -> None:
    """What is new at the provider is passed by."""
    events = says.events(says.message(text="Hi"))
    events.insert(3, {"type": "hologram"})
    events.insert(4, {"type": "content_block_delta", "index": 0, "delta": {"type": "hologram_delta"}})
    reply, deltas = feed(CLAUDE, events)

    assert (reply.text, joined(deltas, TextDelta)) == ("Hi", "Hi")


def test_an_error_of_another_shape_is_no_event_to_pass_by() -> None:
    """Gateways put theirs into an event of no type."""
    with pytest.raises(ServerError, match="Gone"):
        CLAUDE.accumulator().feed({"error": {"message": "Gone."}})


@pytest.mark.parametrize("place", [None, "0", 0.5, [], ...])
def test_a_block_may_come_without_its_place(place: Any) -> None:
    """Blocks are kept in the order of arrival, so nothing is sorted."""
    events = says.events(says.message(says.text_block("a"), says.text_block("b"), says.text_block("c")))
    for event in events:
        if event.get("index") == 1:
            event["index"] = place
            if place is ...:
                del event["index"]

    assert feed(CLAUDE, events)[0].text == "abc"


def test_events_that_are_not_objects_are_a_bad_reply() -> None:
    """A list or a string in the stream is refused by name."""
    for event in ([], "text", None, 3):
        with pytest.raises(BadReplyError, match="not an object"):
            CLAUDE.accumulator().feed(event)


@pytest.mark.parametrize(
    ("kind", "error", "transient"),
    [
        ("overloaded_error", ServerError, True),
        ("api_error", ServerError, True),
        ("timeout_error", ServerError, True),
        ("rate_limit_error", RateLimitError, True),
        ("authentication_error", AuthenticationError, False),
        ("invalid_request_error", BadRequestError, False),
        ("billing_error", BadRequestError, False),
        ("something_new", ServerError, True),
    ],
)
def test_an_error_in_a_stream_is_classified_by_its_type(
    kind: str, error: type[ProviderError], transient: bool
) -> None:
    """The HTTP status was 200 long before, so the type stands for it."""
    events = says.events(says.message(text="Half"))[:4]
    with pytest.raises(error, match=r"It broke\.") as caught:
        feed(CLAUDE, [*events, says.error(kind, "It broke.")])

    assert type(caught.value) is error
    assert (caught.value.transient, caught.value.code) == (transient, kind)
    assert (caught.value.status, caught.value.request_id) == (None, "req_1")
