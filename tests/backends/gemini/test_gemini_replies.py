"""The Gemini codec, without a server: what is made of what came back."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from kit.codec import feed, joined
from kit.wire import gemini as says

from alloy.backends.gemini.content import GeminiBackend
from alloy.backends.gemini.replies import parted
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
    Request,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

GEMINI = GeminiBackend()

# --- decoding -----------------------------------------------------------------------------------------


def test_an_answer_becomes_a_reply():
    """Text, calls, thoughts, usage, model and id are where the engine looks for them."""
    reply = GEMINI.decode(
        says.content(
            thoughts="Hm.",
            text="Two.",
            calls=[("add", {"a": "ä"}, "f1")],
            usage=(30, 12, 8, 4),
            model="gemini-x",
        )
    )

    assert (reply.text, reply.reasoning, reply.finish) == ("Two.", "Hm.", "tool_calls")
    assert (reply.model, reply.id, reply.usage) == ("gemini-x", "resp-1", Usage(30, 12, 8, 4))
    assert reply.calls == (ToolCall("f1", "add", '{"a": "ä"}'),)


def test_tokens_of_googles_own_tools_are_input():
    """What the model read of its own tools' results was paid as input."""
    answer = says.content(text="x")
    answer["usageMetadata"]["toolUsePromptTokenCount"] = 5

    assert GEMINI.decode(answer).usage == Usage(15, 5, 2, 1)


@pytest.mark.parametrize(("arguments", "written"), [(None, ""), ({}, "{}"), ({"n": 10**20 + 1}, None)])
def test_arguments_may_be_left_out(arguments: Any, written: str | None):
    """No arguments are an empty text, and no digit of a number is lost."""
    (call,) = GEMINI.decode(says.content(calls=[("ping", arguments)])).calls

    assert call.arguments == (json.dumps(arguments) if written is None else written)


def test_two_calls_of_one_function_stay_two():
    """Results go by call, never by name; an id that comes twice is not used twice."""
    reply = GEMINI.decode(says.content(calls=[("add", {"a": 1}, "same"), ("add", {"a": 2}, "same")]))

    assert len({call.id for call in reply.calls}) == 2
    assert [json.loads(call.arguments)["a"] for call in reply.calls] == [1, 2]


@pytest.mark.parametrize(
    ("said", "finish"),
    [("STOP", "stop"), ("MAX_TOKENS", "length"), ("CONTINUATION", "length"), ("SAFETY", "filter")]
    + [(reason, "filter") for reason in ("RECITATION", "BLOCKLIST", "SPII", "LANGUAGE", "MODEL_ARMOR")],
)
def test_a_finish_reason_is_read(said: str, finish: str):
    """The text so far is kept, and the finish tells whether it is all."""
    reply = GEMINI.decode(says.content(text="Half", finish=said))

    assert (reply.text, reply.finish) == ("Half", finish)


def test_an_answer_cut_before_its_first_word_is_truncated():
    """All tokens went into thinking: there is no content at all."""
    answer = says.content(finish="MAX_TOKENS")
    answer["candidates"][0]["content"] = {"role": "model"}
    assert GEMINI.decode(answer).finish == "length"
    del answer["candidates"][0]["content"]
    assert GEMINI.decode(answer).finish == "length"


def test_a_blocked_prompt_has_its_reason():
    """There is no candidate, only the reason."""
    for answer in (
        says.blocked("SAFETY", "Not this."),
        {**says.blocked("SAFETY", "Not this."), "candidates": []},
    ):
        reply = GEMINI.decode(answer)
        assert (reply.finish, reply.text, reply.usage) == ("filter", "", Usage(7))
        assert reply.explanation == "the prompt was blocked (SAFETY): Not this."


def test_a_blocked_answer_has_its_reason():
    """Reason, message and the categories that blocked."""
    ratings = [
        {"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH", "blocked": True},
        {"category": "HARM_CATEGORY_HATE_SPEECH", "probability": "LOW"},
    ]
    answer = says.content(finish="SAFETY", finishMessage="Stopped.", safetyRatings=ratings)

    for reply in (GEMINI.decode(answer), feed(GEMINI, says.chunks(answer))[0]):
        assert reply.finish == "filter"
        assert reply.explanation == "SAFETY: Stopped., HARM_CATEGORY_HARASSMENT"


@pytest.mark.parametrize(
    ("reason", "kind", "transient"),
    [
        ("MALFORMED_FUNCTION_CALL", ServerError, True),
        ("MALFORMED_RESPONSE", ServerError, True),
        ("UNEXPECTED_TOOL_CALL", ServerError, True),
        ("OTHER", ServerError, True),
        ("TOO_MANY_TOOL_CALLS", ServerError, False),
        ("MISSING_THOUGHT_SIGNATURE", BadRequestError, False),
        ("PUP_LIMITED_DISABLED", AuthenticationError, False),
        ("FINISH_REASON_UNSPECIFIED", BadReplyError, True),
        ("SOMETHING_NEW", BadReplyError, False),
        (["STOP"], BadReplyError, False),
    ],
)
def test_a_failed_generation_is_an_error_by_its_reason(
    reason: Any, kind: type[ProviderError], transient: bool
):
    """The error names the reason, repeats what Gemini said of it, and tells whether to try again."""
    answer = says.content(finish=reason, finishMessage="Malformed function call: print(x)")

    for attempt in (lambda: GEMINI.decode(answer), lambda: feed(GEMINI, says.chunks(answer))):
        with pytest.raises(kind, match=r"print\(x\)") as caught:
            attempt()
        assert type(caught.value) is kind
        assert caught.value.transient is transient
        assert str(reason) in str(caught.value)


@pytest.mark.parametrize(
    ("code", "kind"), [(503, ServerError), (429, RateLimitError), (400, BadRequestError), (None, ServerError)]
)
def test_an_error_inside_is_classified_by_its_code(code: int | None, kind: type[ProviderError]):
    """In a whole answer and in the middle of a stream."""
    error = {"error": {"code": code, "message": "It broke.", "status": "WORD"}}
    for attempt in (
        lambda: GEMINI.decode(error),
        lambda: feed(GEMINI, [*says.chunks(says.content(text="Half an answer"))[:2], error]),
    ):
        with pytest.raises(kind, match=r"It broke\.") as caught:
            attempt()
        assert (caught.value.status, caught.value.code) == (code, "WORD")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {},
        {"candidates": None},
        {"candidates": []},
        {"candidates": [{}]},
        {"candidates": "text"},
        {"promptFeedback": {}},
        says.content(finish=None),
        {"candidates": [{"content": "text", "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": ["text"]}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": 3}, "finishReason": "STOP"}]},
        says.content({"functionCall": {"args": {}}}),
        says.content({"functionCall": {"name": "add", "args": "text"}}),
        says.content({"functionCall": "add"}),
    ],
)
def test_what_is_no_finished_answer_is_a_bad_reply(answer: Any):
    """Nothing of another shape passes for an answer."""
    with pytest.raises(BadReplyError):
        GEMINI.decode(answer)


# --- streaming ----------------------------------------------------------------------------------------


def test_a_stream_without_its_last_chunk_is_a_bad_reply():
    """All the text may have come: without the finish reason nobody knows."""
    events = says.chunks(says.content(text="Half an answer"))

    for count in range(len(events)):
        with pytest.raises(BadReplyError, match="without a finishReason"):
            feed(GEMINI, events[:count])


def test_the_last_usage_counts():
    """Counts go up from chunk to chunk."""
    events = says.chunks(says.content(text="Some words", usage=(10, 9, 0, 4)))
    events[0]["usageMetadata"] = {"promptTokenCount": 10, "candidatesTokenCount": 1}

    assert feed(GEMINI, events)[0].usage == Usage(10, 9, 0, 4)


def test_a_signature_may_come_on_a_part_of_its_own():
    """A stream ends a text with an empty part that is signed; signed and unsigned are never merged."""
    events = says.chunks(says.content({"text": "One two"}, {"text": "", "thoughtSignature": "c2ln"}))
    reply, deltas = feed(GEMINI, events)

    assert (reply.text, joined(deltas, TextDelta)) == ("One two", "One two")
    assert GEMINI.encode(Request("gemini-3-pro", (reply,)))["contents"][0]["parts"] == [
        {"text": "One two"},
        {"text": "", "thoughtSignature": "c2ln"},
    ]


def test_a_chunk_of_many_parts_keeps_all_its_deltas():
    """The door makes a chunk of each part; the last one carries what ends the answer."""
    answer = says.content(thoughts="Hm.", text="So:", calls=[("add", {"a": 1}, "f1"), ("ping", None)])
    whole = copy.deepcopy(answer)
    reply, deltas = feed(GEMINI, list(parted(answer)))

    assert reply == GEMINI.decode(answer)
    assert answer == whole
    assert deltas[:2] == [ReasoningDelta("Hm."), TextDelta("So:")]
    assert [delta.name for delta in deltas[2:] if isinstance(delta, ToolCallDelta)] == ["add", "ping"]


@pytest.mark.parametrize("chunk", [None, [], {}, {"candidates": []}, {"error": {}}, says.blocked(), "text"])
def test_a_chunk_without_parts_stays_whole(chunk: Any):
    """What cannot be parted is for the accumulator to judge."""
    assert list(parted(chunk)) == [chunk]


def test_of_an_unparted_chunk_the_text_is_shown():
    """Or else a call, or else the thoughts."""

    def shown(**said: Any) -> Any:
        return GEMINI.accumulator().feed(says.content({"text": "a"} if "text" in said else {}, **said))

    assert shown(thoughts="Hm.", text="So", calls=[("add", {})]) == TextDelta("aSo")
    assert shown(thoughts="Hm.", calls=[("add", {}, "f1")]) == ToolCallDelta("f1", "add")
    assert GEMINI.accumulator().feed(
        says.content({"text": "a", "thought": True}, {"text": "b", "thought": True})
    ) == ReasoningDelta("ab")


def test_only_the_first_candidate_is_read():
    """`candidateCount` by `extra` makes more of them, mixed in a stream."""
    events = says.chunks(says.content(text="One answer"))
    other = {"candidates": [{"index": 1, "content": {"parts": [{"text": "no"}, {"text": "no"}]}}]}
    mixed = [part for event in (*events[:1], other, *events[1:]) for part in parted(event)]

    assert feed(GEMINI, mixed)[0].text == "One answer"
