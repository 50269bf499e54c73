"""By generated data: feeding chunks equals decoding the whole, nonsense is no answer, no result is lost."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kit.codec import feed, joined
from kit.wire import gemini as says

from alloy.backends.gemini.content import GeminiBackend
from alloy.backends.gemini.replies import parted
from alloy.errors import ProviderError
from alloy.messages import (
    ReasoningDelta,
    Reply,
    Request,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    ToolResults,
    User,
)

GEMINI = GeminiBackend()

SOME = st.text(min_size=1, max_size=30)
NAME = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
ARGUMENTS = st.none() | st.dictionaries(SOME, st.integers() | SOME | st.none(), max_size=3)
COUNTS = st.tuples(st.integers(0, 10**6), st.integers(100, 10**6), st.integers(0, 100), st.integers(0, 100))
FINISH = st.sampled_from(["STOP", "STOP", "MAX_TOKENS", "SAFETY"])
SIGNATURE = st.sampled_from(["", "", "c2lnbmVk"])

TEXTS = st.builds(
    lambda text, thought: {"text": text, **thought}, SOME, st.sampled_from([{}, {"thought": True}])
)
SIGNED = st.builds(lambda text: {"text": text, "thoughtSignature": "c2ln"}, st.text(max_size=9))
CALLS = st.builds(says.call_part, NAME, ARGUMENTS, st.sampled_from(["", "f1", "f2", "f3"]), SIGNATURE)
ODD = st.just({"inlineData": {"mimeType": "image/png", "data": "aGk="}})


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """Any finished answer, its parts in any order."""
    parts = draw(st.lists(st.one_of(TEXTS, TEXTS, SIGNED, CALLS, ODD), max_size=6))
    return says.content(*parts, finish=draw(FINISH), usage=draw(COUNTS))


@given(answers(), st.integers(1, 7))
def test_feeding_an_answer_equals_decoding_it(answer: dict[str, Any], size: int):
    """Streamed or not, the reply is the same, and its deltas are its text, its thoughts and its calls."""
    events = says.chunks(answer, lambda text: [text[i : i + size] for i in range(0, len(text), size)])
    reply, deltas = feed(GEMINI, events)

    assert reply == GEMINI.decode(answer) == feed(GEMINI, list(parted(answer)))[0]
    assert joined(deltas, TextDelta) == reply.text
    assert joined(deltas, ReasoningDelta) == reply.reasoning
    told = [(delta.id, delta.name) for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert told == [(call.id, call.name) for call in reply.calls]


def called(answer: dict[str, Any]) -> list[dict[str, Any]]:
    parts = answer["candidates"][0]["content"]["parts"]
    return [part["functionCall"] for part in parts if "functionCall" in part]


@given(st.lists(st.tuples(answers(), st.booleans()), max_size=4))
def test_no_result_is_lost_doubled_or_given_to_another_call(told: list[tuple[dict[str, Any], bool]]):
    """Each call turn is followed by as many responses, in the order of the calls, under Gemini's own ids."""
    turns: list[Any] = [User("Hi")]
    expected: list[list[tuple[str, str | None, str]]] = []
    for number, (answer, foreign) in enumerate(told):
        reply = GEMINI.decode({**answer, "responseId": f"resp-{number}"})
        ids: list[str | None] = [call.get("id") for call in called(answer)]
        ids = [given if given not in ids[:place] else None for place, given in enumerate(ids)]
        if foreign:
            ids = [f"x{place}" for place in range(len(ids))]
            calls = [
                ToolCall(given or "", call.name, "") for given, call in zip(ids, reply.calls, strict=True)
            ]
            reply = Reply(reply.text, tuple(calls))
        results = tuple(ToolResult(call, f"{number}-{place}") for place, call in enumerate(reply.calls))
        turns += [reply, ToolResults(results)] if results else [reply]
        if results:
            expected.append([(r.name, its, r.content) for r, its in zip(results, ids, strict=True)])

    contents = GEMINI.encode(Request("gemini-3-pro", tuple(turns)))["contents"]
    found = []
    for before, turn in pairwise(contents):
        responses = [part["functionResponse"] for part in turn["parts"] if "functionResponse" in part]
        if responses:
            assert (before["role"], turn["role"]) == ("model", "user")
            assert len(responses) == len([part for part in before["parts"] if "functionCall" in part])
            found.append([(r["name"], r.get("id"), r["response"]["output"]) for r in responses])
    assert found == expected


# --- nonsense -----------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | SOME,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside of *value*."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in inner for found in places(item, (*path, key)))]


def damaged(data: st.DataObject, whole: Any) -> Any:
    """*whole* with one value in it, anywhere, replaced by any JSON."""
    path = data.draw(st.sampled_from(places(whole)[1:]))
    whole = copy.deepcopy(whole)
    target = whole
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = data.draw(JSON)
    return whole


@given(st.data())
def test_damaged_answers_are_replies_or_provider_errors(data: st.DataObject):
    """Whatever stands in the place of a value, reading it and sending it back raises nothing of Python's."""
    with suppress(ProviderError):
        reply = GEMINI.decode(damaged(data, data.draw(answers())))
        json.dumps(GEMINI.encode(Request("gemini-3-pro", (reply,))))


@given(st.data())
def test_damaged_chunks_are_replies_or_provider_errors(data: st.DataObject):
    """The same for the chunks of a stream, parted as the door does it."""
    events = damaged(data, says.chunks(data.draw(answers())))
    with suppress(ProviderError):
        assert isinstance(feed(GEMINI, [part for event in events for part in parted(event)])[0], Reply)
