"""By generated data: feeding events equals decoding, results meet their calls, nonsense is no answer."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kit.codec import feed, joined
from kit.wire import anthropic as says
from kit.wire import openai as openai_says

from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.backends.openai.responses import OpenAIBackend
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
    Turn,
    User,
)

CLAUDE, OPENAI = AnthropicBackend(), OpenAIBackend()
MODEL = "claude-sonnet-4-6"

SOME = st.text(min_size=1, max_size=30)
NAME = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | SOME,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3),
    max_leaves=6,
)
INPUT = st.dictionaries(SOME, JSON, max_size=3)
COUNTS = st.tuples(*[st.integers(0, 10**6)] * 4).map(lambda n: (n[0] + n[2], *n[1:]))
CUTS = st.integers(1, 7)
STOPS = [None, "stop_sequence", "max_tokens", "pause_turn", "refusal", "model_context_window_exceeded"]


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """Any finished message, its blocks in any order."""
    ids = iter(range(100))
    cited = st.builds(
        lambda text, marks: {**says.text_block(text), "citations": [{"cited_text": mark} for mark in marks]},
        SOME,
        st.lists(SOME, min_size=1, max_size=2),
    )
    call = st.builds(lambda name, given: says.tool_use(name, given, f"toolu_{next(ids)}"), NAME, INPUT)
    searched = st.builds(says.server_tool_use, NAME, INPUT)
    blocks = st.one_of(
        st.builds(says.text_block, st.text(max_size=30)),
        cited,
        st.builds(says.thinking, st.text(max_size=30), SOME),
        st.builds(says.redacted, SOME),
        call,
        searched,
        st.just({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}),
    )
    details = draw(st.sampled_from([None, {"type": "refusal", "category": "bio", "explanation": "No."}]))
    return says.message(
        *draw(st.lists(blocks, max_size=5)),
        stop=draw(st.sampled_from(STOPS)),
        stop_details=details,
        usage=draw(COUNTS),
    )


def cut_at(size: int) -> says.Pieces:
    return lambda text: [text[start : start + size] for start in range(0, len(text), size)]


@given(messages(), CUTS)
def test_feeding_a_message_equals_decoding_it(answer: dict[str, Any], size: int) -> None:
    """Streamed or not, the reply is the same, and its deltas are its text, its reasoning and its calls."""
    reply, deltas = feed(CLAUDE, says.events(answer, cut_at(size)))

    assert reply == CLAUDE.decode(answer)
    assert joined(deltas, TextDelta) == reply.text
    assert joined(deltas, ReasoningDelta) == reply.reasoning
    told = [(delta.id, delta.name) for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert told == [(call.id, call.name) for call in reply.calls]


# --- results and calls --------------------------------------------------------------------------------

IDS = st.sampled_from(["a", "a_2", "b", "call:1", "call.1", "", "toolu_0", "toolu_1"])


@st.composite
def talks(draw: st.DrawFn) -> tuple[Turn, ...]:
    """A history of turns by this provider, by another one and by nobody, their results in any order."""
    turns: list[Turn] = [User("Hi")]
    serial = iter(range(100))
    for _ in range(draw(st.integers(0, 4))):
        count = draw(st.integers(0, 3))
        match draw(st.sampled_from(["own", "openai", "script"])):
            case "own":
                calls = [("add", {"n": next(serial)}, f"toolu_{next(serial)}") for _ in range(count)]
                reply = CLAUDE.decode(says.message(text=draw(st.sampled_from(["", "So."])), calls=calls))
            case "openai":
                calls = [("add", {"n": next(serial)}, draw(IDS)) for _ in range(count)]
                reply = OPENAI.decode(openai_says.response(text="So.", calls=calls))
            case _:
                made = [ToolCall(draw(IDS), "add", f'{{"n": {next(serial)}}}') for _ in range(count)]
                reply = Reply("So.", tuple(made))
        turns.append(reply)
        if reply.calls:
            results = [ToolResult(call, call.arguments) for call in reply.calls]
            if len({call.id for call in reply.calls}) == len(results):
                results = draw(st.permutations(results))  # only then can a result be told by its id
            turns.append(ToolResults(tuple(results)))
        for _ in range(draw(st.integers(0, 2))):
            turns.append(User(draw(st.sampled_from(["And?", ""]))))  # noqa: PERF401
    return tuple(turns)


@given(talks())
def test_every_result_meets_its_call(turns: tuple[Turn, ...]) -> None:
    """None is lost, doubled or paired with another's call, and each follows its call at once."""
    sent = CLAUDE.encode(Request(MODEL, turns))["messages"]
    seen: set[str] = set()
    answered = 0
    for turn, following in zip(sent, [*sent[1:], {"content": []}], strict=True):
        blocks = turn["content"] if isinstance(turn["content"], list) else []
        calls = {block["id"]: block["input"] for block in blocks if block["type"] == "tool_use"}
        if calls:
            first = following["content"][: len(calls)]
            assert {block["tool_use_id"]: json.loads(block["content"]) for block in first} == calls
        assert not calls.keys() & seen
        assert all(block["type"] != "text" or block["text"] for block in blocks)
        seen |= calls.keys()
        answered += sum(block["type"] == "tool_result" for block in blocks)

    made = sum(len(turn.calls) for turn in turns if isinstance(turn, Reply))
    assert len(seen) == answered == made
    roles = [turn["role"] for turn in sent]
    assert ("user", "user") not in pairwise(roles)


# --- nonsense -----------------------------------------------------------------------------------------


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
def test_damaged_messages_are_replies_or_provider_errors(data: st.DataObject) -> None:
    """Whatever stands in the place of a value, reading it raises nothing of Python's."""
    answer = damaged(data, data.draw(messages()))
    with suppress(ProviderError):
        assert isinstance(CLAUDE.decode(answer), Reply)


@given(st.data())
def test_damaged_events_are_replies_or_provider_errors(data: st.DataObject) -> None:
    """The same for the events of a stream."""
    events = damaged(data, says.events(data.draw(messages())))
    with suppress(ProviderError):
        assert isinstance(feed(CLAUDE, events)[0], Reply)
