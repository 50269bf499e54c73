"""ReAct's replies, streamed and whole, and that its loop ends whatever the model says."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.ways import every_way
from test_react import COLD, OSLO, TOOLS, asking
from test_react_reader import TURNS

from alloy import AlloyError, BadReplyError, EmptyAnswerError, ParseError, RateLimitError, TurnLimitError
from alloy.backends.fake.backend import FakeBackend, responder
from alloy.backends.fallback.react import END, ReActBackend
from alloy.messages import ReasoningDelta, Reply, Request, TextDelta, User
from alloy.testing import replies

START = {"type": "start", "id": "1", "model": "m"}
STOP = {"type": "end", "finish": "stop", "explanation": "", "usage": {}}


def codec(**settings: Any) -> ReActBackend:
    request = Request("m", (User("hi"),), tools=TOOLS, tool_mode="react", **settings)
    return ReActBackend(FakeBackend(), request)


def whole(text: str, finish: str = "stop") -> dict[str, Any]:
    return {"id": "1", "model": "m", "text": text, "calls": [], "reasoning": "", "explanation": "",
            "finish": finish, "usage": {}}  # fmt: skip


@st.composite
def cut_turns(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A turn, and its pieces by any cuts."""
    text = draw(TURNS)
    bounds = [0, *sorted(draw(st.lists(st.integers(0, len(text)), max_size=12))), len(text)]
    return text, [text[start:end] for start, end in pairwise(bounds)]


@given(
    cut_turns(),
    st.sampled_from(["stop", "tool_calls", "length", "refusal", "filter", "pause"]),
    st.sampled_from([{}, {"tool_choice": "none"}, {"parallel_tools": False}]),
)
def test_feeding_equals_decoding(cut: tuple[str, list[str]], finish: str, options: dict[str, Any]):
    """For any text, cut anyhow: the same reply, and what was shown is its text."""
    text, pieces = cut
    backend = codec(**options)
    accumulator = backend.accumulator()
    events = [START, *({"type": "text", "text": piece} for piece in pieces), {**STOP, "finish": finish}, END]
    deltas = [accumulator.feed(event) for event in events]
    reply = accumulator.reply()
    assert reply == backend.decode(whole(text, finish))
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == reply.text


def test_the_answer_comes_as_it_is_written():
    """It does not wait for the end of the stream."""
    accumulator = codec().accumulator()
    pieces = ("Thought: I know.\nFi", "nal ", "Answer", ":", " It", " is", " cold", ".")
    deltas = [accumulator.feed({"type": "text", "text": piece}) for piece in pieces]
    assert deltas == [None] * 4 + [TextDelta("It"), TextDelta(" is"), TextDelta(" cold"), TextDelta(".")]


def test_reasoning_passes_and_calls_do_not():
    """A model's own reasoning is what it is anywhere; a call is told of when the turn is whole."""
    accumulator = codec().accumulator()
    assert accumulator.feed({"type": "reasoning", "text": "hm"}) == ReasoningDelta("hm")
    assert accumulator.feed({"type": "call", "id": "c1", "name": "weather"}) is None


@pytest.mark.parametrize(("said", "heard"), [("Thought: hm", ""), ("Final Answer: It is", "It is")])
def test_a_stream_that_breaks_off_is_an_error(said: str, heard: str):
    """It says what the caller has heard, and thoughts are not among that: so it may be tried again."""
    accumulator = codec().accumulator()
    for event in (START, {"type": "text", "text": said}):
        accumulator.feed(event)
    with pytest.raises(BadReplyError) as caught:
        accumulator.feed(END)
    assert caught.value.text == heard


@every_way
def test_a_failed_request_is_tried_again(way: Any):
    """Retries belong to the loop, which does not know of ReAct."""
    busy = RateLimitError("slow down", provider="fake", retry_after=0.0)
    with replies(OSLO, busy, COLD):
        result, _ = way(asking())
    assert (result.value, result.attempts) == ("It is cold.", 3)


def test_finished_items_come_out_of_the_final_answer():
    """Streams of more than text read the answer's JSON, and nothing before it."""
    with replies(OSLO, "Thought: [0]\nFinal Answer: [1, 2, 3]"), asking(list[int]).stream() as stream:
        assert list(stream.items()) == [1, 2, 3]


def test_leaving_a_stream_early_is_quiet():
    """Sync and async both close the inner stream."""
    with replies(COLD), asking().stream() as pieces:
        next(pieces)

    async def leave() -> None:
        async with asking().stream_async() as pieces:
            await anext(pieces)

    with replies(COLD):
        asyncio.run(leave())


# --- termination ----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1, 3])
@every_way
def test_a_model_that_never_stops_calling_is_stopped(way: Any, limit: int):
    """The error carries all that was said."""
    with replies(*[OSLO] * (limit + 1)), pytest.raises(TurnLimitError) as caught:
        way(asking(max_tool_turns=limit))
    assert caught.value.transcript is not None
    assert len(caught.value.transcript) == 2 * limit + 2


@every_way
@settings(max_examples=80, deadline=None)
@given(
    turns=st.lists(TURNS, min_size=1, max_size=4),
    limit=st.integers(0, 3),
    output=st.sampled_from([str, int, dict[str, int]]),
)
def test_the_loop_ends_whatever_the_model_answers(way: Any, turns: list[str], limit: int, output: Any):
    """An answer, or an error with the transcript, within the turns that the settings allow."""
    asked = []

    def answer(body: Any) -> Reply:
        asked.append(body)
        return Reply(turns[(len(asked) - 1) % len(turns)])

    token = responder.set(answer)
    try:
        result, heard = way(asking(output, max_tool_turns=limit, reask=1, backend="fake"))
    except AlloyError as error:
        assert isinstance(error, TurnLimitError | EmptyAnswerError | ParseError)
        transcript = error.transcript
    else:
        assert output is not str or heard in (None, result.value)
        transcript = result.transcript
    finally:
        responder.reset(token)
    assert transcript is not None
    assert sum(isinstance(turn, Reply) for turn in transcript) == len(asked)
    assert len(asked) <= limit + 3  # each round of tools, the answer, a try without tools, and a re-ask
