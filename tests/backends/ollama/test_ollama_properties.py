"""By generated data: feeding Ollama's lines equals decoding the answer, and every call gets its result."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.codec import feed, joined
from kit.wire import ollama as says

from alloy.backends.ollama.chat import OllamaBackend
from alloy.errors import BadReplyError, ProviderError
from alloy.messages import (
    ReasoningDelta,
    Reply,
    Request,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    ToolResults,
    Turn,
    User,
)

OLLAMA = OllamaBackend()

# --- feeding equals decoding --------------------------------------------------------------------------

TEXT = st.text(max_size=30)
NAME = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
VALUES = st.dictionaries(TEXT, st.integers() | TEXT | st.none() | st.booleans(), max_size=3)
CALLS = st.lists(
    st.tuples(NAME, VALUES) | st.tuples(NAME, VALUES, st.sampled_from(["call_a", "call_b"])), max_size=4
)
ANSWERS = st.builds(
    says.answer,
    text=TEXT,
    calls=CALLS,
    thoughts=TEXT,
    reason=st.sampled_from(["stop", "length", None]),
    usage=st.none() | st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
)


def cut_at(size: int) -> says.Pieces:
    return lambda text: [text[start : start + size] for start in range(0, len(text), size)]


@given(ANSWERS, st.integers(1, 7))
def test_feeding_an_answer_equals_decoding_it(answer: dict[str, Any], size: int) -> None:
    """Whatever it holds and however it is cut; the deltas say the same."""
    whole = OLLAMA.decode(answer)
    reply, deltas = feed(OLLAMA, says.events(answer, cut_at(size)))

    assert reply == whole
    assert joined(deltas, TextDelta) == whole.text
    assert joined(deltas, ReasoningDelta) == whole.reasoning
    told = [ToolCall(delta.id, delta.name, "") for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert told == [ToolCall(call.id, call.name, "") for call in whole.calls]


@given(ANSWERS, st.data())
def test_a_stream_without_its_end_is_no_reply(answer: dict[str, Any], data: st.DataObject) -> None:
    """Only the line that says `done` proves that all has come."""
    events = says.events(answer)
    kept = data.draw(st.integers(0, len(events) - 1))
    with pytest.raises(BadReplyError, match="done"):
        feed(OLLAMA, events[:kept])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def bent(draw: st.DrawFn) -> Any:
    """An answer with something foreign in the place of one of its parts."""
    answer = copy.deepcopy(draw(ANSWERS))
    message = answer["message"]
    calls = message.get("tool_calls", [])
    places = [answer, message, *calls, *(call["function"] for call in calls)]
    place = draw(st.sampled_from(places))
    place[draw(st.sampled_from([*place, "error"]))] = draw(JSON)
    return answer


@given(JSON | bent())
def test_nonsense_is_an_alloy_error_or_a_reply(raw: Any) -> None:
    """No answer, however foreign, gets a bare exception out of the codec."""
    with suppress(ProviderError):
        assert isinstance(OLLAMA.decode(raw), Reply)


# --- pairing ------------------------------------------------------------------------------------------


@given(st.lists(CALLS.filter(bool), min_size=1, max_size=4))
def test_no_result_is_lost_doubled_or_answered_for_another(turns: list[list[Any]]) -> None:
    """Over any turns of calls, with ids of the server's and without: the nth result is the nth call's."""
    history: list[Turn] = [User("Go")]
    expected: list[tuple[str, str, str]] = []
    for number, calls in enumerate(turns):
        reply = OLLAMA.decode(says.answer(calls=calls, stamp=f"2026-11-22T19:31:{number:02}Z"))
        results = tuple(ToolResult(call, f"{number}.{at}") for at, call in enumerate(reply.calls))
        expected += [(result.call.id, result.name, result.content) for result in results]
        history += [reply, ToolResults(results)]
    sent = OLLAMA.encode(Request("m", tuple(history)))["messages"]

    told = [part for part in sent if part["role"] == "tool"]
    assert [(part["tool_call_id"], part["tool_name"], part["content"]) for part in told] == expected
    called = [call for part in sent for call in part.get("tool_calls", ())]
    assert [(call["id"], call["function"]["name"]) for call in called] == [
        (part["tool_call_id"], part["tool_name"]) for part in told
    ]
