"""Ollama: over any history, each tool result is sent under the id of its call."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kit.generated_answers import CALLS
from kit.wire import ollama as says

from alloy.backends.ollama.chat import OllamaBackend
from alloy.messages import (
    Request,
    ToolResult,
    ToolResults,
    Turn,
    User,
)

OLLAMA = OllamaBackend()


@given(st.lists(CALLS.filter(bool), min_size=1, max_size=4))
def test_every_result_is_sent_for_its_call(turns: list[list[Any]]) -> None:
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
