"""Answers and refusals in the words of other APIs, which gateways with a Messages API pass on."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from kit.apis import ANTHROPIC, every_mode, streamed_modes
from kit.codec import feed
from kit.ways import answer_in, asked_at, every_way, weather
from kit.wire import WireServer, sse
from kit.wire import anthropic as says

from alloy import (
    AlloyError,
    BadReplyError,
    FilteredError,
    Image,
    RefusalError,
    ServerError,
    TruncatedError,
)
from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.backends.anthropic.stream import as_events
from alloy.messages import Reply, Request, ToolCall, User

CLAUDE = AnthropicBackend()
PNG = b"\x89PNG\r\n\x1a\n\x00"
asking, answer = partial(asked_at, ANTHROPIC), partial(answer_in, says)


# --- words for the end --------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("word", ["stop", "STOP", "END_TURN", "stop_sequences", "eos", "completed", "", None])
def test_a_whole_text_ends_in_any_word(server: WireServer, way: Any, word: str | None) -> None:
    """Those of OpenAI, of Gemini, and none, next to a whole answer."""
    made = says.message(text="Oslo.")
    server.script(answer(way, {**made, "stop_reason": word}))

    assert way(asking(server))[0].value == "Oslo."


@every_way
@pytest.mark.parametrize(
    "word", ["tool_calls", "tool_call", "function_call", "TOOL_USE", "stop", "", "hologram"]
)
def test_whole_calls_are_run_after_any_word(server: WireServer, way: Any, word: str) -> None:
    """An unknown word, too."""
    first = {**says.message(calls=[("weather", {"city": "Oslo"})]), "stop_reason": word}
    server.script(answer(way, first), answer(way, says.message(text="Done.")))
    result, _ = way(asking(server, tools=[weather]))

    assert (result.value, [call.value for call in result.tool_calls]) == ("Done.", ["sunny in Oslo"])


@every_way
@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("length", TruncatedError),
        ("MAX_TOKENS", TruncatedError),
        ("content_filter", FilteredError),
        ("SAFETY", FilteredError),
        ("guardrail_intervened", FilteredError),
        ("REFUSAL", RefusalError),
    ],
)
def test_other_words_for_an_answer_that_is_not_whole(
    server: WireServer, way: Any, word: str, kind: type[AlloyError]
) -> None:
    """They are the errors of Anthropic's own words."""
    server.script(answer(way, says.message(text="Os", stop=word)))
    with pytest.raises(kind):
        way(asking(server))


@every_way
@pytest.mark.parametrize("text", ["Oslo.", ""])
def test_an_unknown_word_is_not_bought_twice(server: WireServer, way: Any, text: str) -> None:
    """The next answer would end in the same way."""
    server.script(answer(way, says.message(text=text, stop="hologram")))
    with pytest.raises(BadReplyError, match="hologram") as caught:
        way(asking(server, retry=2))

    assert not caught.value.transient


@streamed_modes
def test_the_end_mark_of_other_apis_ends_a_message(server: WireServer, mode: str) -> None:
    """`[DONE]` instead of `message_stop`."""
    events = says.events(says.message(text="Oslo.", calls=[("add", {"a": 1}, "t1")]))
    server.script(sse(events[:-1], done=True))

    assert ANTHROPIC.talk(mode, server).text == "Oslo."


@streamed_modes
def test_the_end_mark_alone_is_not_an_answer(server: WireServer, mode: str) -> None:
    """Nor is one after a message without content."""
    for events in ([], says.events(says.message())[:1]):
        server.script(sse(events, done=True))
        with pytest.raises(BadReplyError):
            ANTHROPIC.talk(mode, server)


@streamed_modes
def test_a_later_event_does_not_take_the_reason_away(server: WireServer, mode: str) -> None:
    """Some gateways end with a second `message_delta`, which only has the usage."""
    events = says.events(says.message(text="Os", stop="max_tokens"))
    again = {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 7}}
    server.script(sse([*events[:-1], again, events[-1]]))
    reply = ANTHROPIC.talk(mode, server)

    assert (reply.finish, reply.usage.output_tokens) == ("length", 7)


# --- calls --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "arguments", "sent"),
    [
        ('{"a": 1}', '{"a": 1}', {"a": 1}),
        ("", "{}", {}),
        ('"{\\"a\\": 1}"', '{"a": 1}', {"a": 1}),
        ("a", "a", {"INVALID_JSON": "a"}),
        ([1], "[1]", {"INVALID_JSON": "[1]"}),
    ],
)
@pytest.mark.parametrize("mode", ["send", "send_async"])
def test_input_as_text_is_read_and_sent_back_as_an_object(
    server: WireServer, mode: str, given: Any, arguments: str, sent: Any
) -> None:
    """Which is all that the API accepts."""
    server.script(says.reply(says.message({"type": "tool_use", "id": "t1", "name": "add", "input": given})))
    reply = ANTHROPIC.talk(mode, server)
    body = CLAUDE.encode(Request("claude-sonnet-4-6", (User("Hi"), reply)))

    assert reply.calls == (ToolCall("t1", "add", arguments),)
    assert body["messages"][1]["content"] == [says.tool_use("add", sent, "t1")]


@every_way
def test_calls_whose_input_is_text_are_run(server: WireServer, way: Any) -> None:
    """Whole, and in a stream as a JSON string in the input."""
    call = {"type": "tool_use", "id": "t1", "name": "weather", "input": '{"city": "Oslo"}'}
    server.script(answer(way, says.message(call)), answer(way, says.message(text="Done.")))
    result, _ = way(asking(server, tools=[weather]))

    assert [each.value for each in result.tool_calls] == ["sunny in Oslo"]


# --- the names of models ------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize(
    ("asked", "made_by"),
    [
        ("claude-sonnet-4-0", "claude-sonnet-4-20250514"),
        ("claude-opus-4-0", "claude-opus-4-20250514"),
        ("claude-opus-4-1", "claude-opus-4-1-20250805"),
        ("claude-3-7-sonnet-latest", "claude-3-7-sonnet-20250219"),
        ("anthropic/claude-sonnet-4", "anthropic/claude-4-sonnet-20250522"),
        ("anthropic/claude-3.7-sonnet", "claude-3-7-sonnet-20250219"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4-20250514"),
        ("claude-sonnet-4@20250514", "claude-sonnet-4-20250514"),
        ("claude-haiku-4.5", "claude-haiku-4-5-20251001"),
    ],
)
def test_an_alias_keeps_its_thoughts_between_the_turns_of_a_call(
    server: WireServer, way: Any, asked: str, made_by: str
) -> None:
    """The API requires the signed block before a call that it belongs to."""
    first = says.message(calls=[("weather", {"city": "Oslo"}, "t1")], thoughts=["Hm."], model=made_by)
    server.script(answer(way, first), answer(way, says.message(text="Done.", model=made_by)))
    way(asking(server, model=f"anthropic:{asked}", tools=[weather]))

    kinds = [block["type"] for block in server.requests[1].json["messages"][1]["content"]]
    assert kinds == ["thinking", "tool_use"]


@pytest.mark.parametrize(
    ("asked", "made_by"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-20250514"),
        ("claude-sonnet-4-0", "claude-sonnet-4-5-20250929"),
        ("claude-opus-4-0", "claude-sonnet-4-20250514"),
        ("claude-3-5-sonnet-latest", "claude-3-7-sonnet-20250219"),
        ("claude-opus-5-5", "claude-opus-5"),
    ],
)
def test_another_model_gets_no_thoughts(asked: str, made_by: str) -> None:
    """Signatures are valid for one model."""
    reply = CLAUDE.decode(says.message(text="Oslo.", thoughts=["Hm."], model=made_by))
    body = CLAUDE.encode(Request(asked, (User("Hi"), reply)))

    assert body["messages"][1]["content"] == [says.text_block("Oslo.")]


# --- empty turns --------------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize(
    "blocks", [[], [says.text_block("")], [says.text_block(" \n")], [says.thinking("Hm.")]]
)
def test_an_empty_turn_is_not_sent_back(server: WireServer, way: Any, blocks: list[dict[str, Any]]) -> None:
    """The model is asked again, and the API refuses a turn without content."""
    server.script(answer(way, says.message(*blocks)), answer(way, says.message(text="Oslo.")))
    assert way(asking(server))[0].value == "Oslo."

    assert [turn["role"] for turn in server.requests[1].json["messages"]] == ["user"]


# --- errors -------------------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("status", [400, 404, 422, 500, 503])
@pytest.mark.parametrize(
    "message",
    [
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
        "This model does not support images.",
        "No endpoints found that support image input",
        "llama-3 is not a multimodal model",
    ],
)
def test_an_image_for_a_model_without_vision_is_sent_once(
    server: WireServer, way: Any, status: int, message: str
) -> None:
    """Whatever the status is."""
    server.script(says.failure(status, message, kind="api_error"))
    with pytest.raises(AlloyError, match="vision") as caught:
        way(asking(server, ["What is it?", Image.from_bytes(PNG, "image/png")], retry=2))

    assert not caught.value.transient  # type: ignore[attr-defined]
    assert len(server.requests) == 1


@every_mode
@pytest.mark.parametrize("status", [500, 529])
def test_other_failures_of_the_server_are_transient(server: WireServer, mode: str, status: int) -> None:
    """A server may fail with an image in the prompt, too."""
    server.script(says.failure(status, "Could not read the image cache", kind="api_error"))
    with pytest.raises(ServerError) as caught:
        ANTHROPIC.talk(mode, server)

    assert caught.value.transient


def test_a_reply_of_another_provider_is_not_empty_when_it_calls() -> None:
    """Its text may be blank."""
    reply = Reply(" ", (ToolCall("c1", "weather", "{}"),))
    body = CLAUDE.encode(Request("claude-sonnet-4-6", (User("Hi"), reply)))

    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]


@pytest.mark.parametrize("kind", ["tool_use", "server_tool_use"])
@pytest.mark.parametrize("given", [{"input": None}, {}])
def test_missing_input_goes_back_as_an_object(kind: str, given: dict[str, Any]) -> None:
    """The API refuses a call without one."""
    block = {"type": kind, "id": "t1", "name": "now", **given}
    for made in (says.message(block), says.message(block, text="Hm.")):
        for reply in (CLAUDE.decode(made), feed(CLAUDE, list(as_events(made)))[0]):
            sent = CLAUDE.encode(Request("claude-sonnet-4-6", (User("Hi"), reply)))["messages"][1]["content"]
            assert sent[0] == {**block, "input": {}}


@pytest.mark.parametrize(
    ("counts", "usage"),
    [((10.0, 5.0), (10, 5)), (("10", "5"), (10, 5)), (("ten", 5.5), (0, 0)), (("-1", float("inf")), (0, 0))],
)
def test_counts_may_be_other_numbers(counts: Any, usage: tuple[int, int]) -> None:
    """Gateways in languages with one type of number, or with texts."""
    made = says.message(text="Oslo.")
    events = says.events(made)
    made["usage"] = {"input_tokens": counts[0], "output_tokens": counts[1]}
    events[-2]["usage"] = made["usage"]
    events[0]["message"]["usage"] = {}
    for reply in (CLAUDE.decode(made), feed(CLAUDE, events)[0]):
        assert (reply.usage.input_tokens, reply.usage.output_tokens) == usage
