"""Gemini: over any history, each tool result is sent under the id of its call."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from kit.generated_answers import contents

from alloy.backends.gemini.content import GeminiBackend
from alloy.messages import (
    Reply,
    Request,
    ToolCall,
    ToolResult,
    ToolResults,
    User,
)

GEMINI = GeminiBackend()


def called(answer: dict[str, Any]) -> list[dict[str, Any]]:
    parts = answer["candidates"][0]["content"]["parts"]
    return [part["functionCall"] for part in parts if "functionCall" in part]


@given(st.lists(st.tuples(contents(), st.booleans()), max_size=4))
def test_every_result_is_sent_for_its_call(told: list[tuple[dict[str, Any], bool]]):
    """Each call turn is followed by as many responses, in the order of the calls, under Gemini's own ids."""
    turns: list[Any] = [User("Hi")]
    expected: list[list[tuple[str, str | None, str]]] = []
    for number, (answer, foreign) in enumerate(told):
        marks = [(call["id"], call["name"]) for call in called(answer) if call.get("id")]
        assume(len(set(marks)) == len(marks))  # what comes again under its id is the same call
        reply = GEMINI.decode({**answer, "responseId": f"resp-{number}"})
        named = [(call["id"], call["name"]) for call in called(answer) if call.get("id")]
        assume(len(named) == len(set(named)))  # a repeated call runs once
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
