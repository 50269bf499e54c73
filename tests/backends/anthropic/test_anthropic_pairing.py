"""Anthropic: over any history, each tool result is sent under the id of its call."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from kit.wire import anthropic as says
from kit.wire import openai as openai_says

from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.messages import (
    Reply,
    Request,
    ToolCall,
    ToolResult,
    ToolResults,
    Turn,
    User,
)

CLAUDE, OPENAI = AnthropicBackend(), OpenAIBackend()
MODEL = "claude-sonnet-4-6"


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
def test_every_result_is_sent_for_its_call(turns: tuple[Turn, ...]) -> None:
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
