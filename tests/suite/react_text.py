"""ReAct as text, for every provider: writing a turn as a model does, and reading a prompt as a model does."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

from suite.script import HistoryTurn, ModelTurn, ReceivedRequest, SentResult

REACT_FORMAT = "Final Answer: the answer"  # in the instructions of every ReAct request


def as_react(turn: ModelTurn, text: str) -> ModelTurn:
    """*turn*, with the answer *text*, as ReAct text."""
    if turn.calls:
        lines = [f"Thought: {turn.text or 'I must look that up.'}"]
        for name, given, *_ in turn.calls:
            lines += [
                f"Action: {name}",
                f"Action Input: {given if isinstance(given, str) else json.dumps(given)}",
            ]
    else:
        lines = ["Thought: I know.", f"Final Answer: {text}"] if text.strip() else []
    return ModelTurn("\n".join(lines), ending=turn.ending, why=turn.why, usage=turn.usage)


def from_react(request: ReceivedRequest) -> ReceivedRequest:
    """*request* with the calls and results that its texts contain."""
    turns: list[HistoryTurn] = []
    for turn in request.turns:
        if turn.role == "assistant":
            turns.append(HistoryTurn("assistant", *_actions(turn.text)))
        elif turn.text.startswith("Observation"):
            seen, *more = turn.text.split("\n\n", 1)
            turns.append(HistoryTurn("results", results=tuple(map(_observation, seen.split("\n")))))
            turns += [HistoryTurn("user", text) for text in more]
        else:
            turns.append(turn)
    # After the heading, each tool has a section: its name and description, then the type of its arguments.
    sections = [
        section.split("\n") for section in request.system.partition("The tools, with ")[2].split("\n\n")
    ]
    shown = [lines[0].partition(":")[0] for lines in sections if lines[1:]]
    return replace(request, turns=tuple(turns), tools=tuple(shown))


def _actions(text: str) -> tuple[str, tuple[tuple[None, str, Any], ...]]:
    lines = [line.partition(": ")[::2] for line in text.split("\n")]
    calls = [(None, one[1], json.loads(two[1])) for one, two in pairwise(lines) if one[0] == "Action"]
    return text.partition("Final Answer: ")[2], tuple(calls)


def _observation(line: str) -> SentResult:
    label, _, content = line.partition(": ")
    return SentResult(None, label.partition("(")[2].rstrip(")") or None, content)
