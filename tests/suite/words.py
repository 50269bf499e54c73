"""Turns in the words of ReAct, for every provider: written as a model would, read as it would."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

from suite.saying import Heard, Result, Say, Told

FORM = "Final Answer: the answer"  # in the instructions of every request that is put in words


def in_words(say: Say, text: str) -> Say:
    """*say*, whose answer is *text*, as text alone."""
    if say.calls:
        lines = [f"Thought: {say.text or 'I must look that up.'}"]
        for name, given, *_ in say.calls:
            lines += [
                f"Action: {name}",
                f"Action Input: {given if isinstance(given, str) else json.dumps(given)}",
            ]
    else:
        lines = ["Thought: I know.", f"Final Answer: {text}"] if text.strip() else []
    return Say("\n".join(lines), ending=say.ending, why=say.why, usage=say.usage)


def out_of_words(heard: Heard) -> Heard:
    """*heard* with its calls and results as what they are."""
    turns: list[Told] = []
    for told in heard.turns:
        if told.role == "assistant":
            turns.append(Told("assistant", *_actions(told.text)))
        elif told.text.startswith("Observation"):
            seen, *more = told.text.split("\n\n", 1)
            turns.append(Told("results", results=tuple(map(_observation, seen.split("\n")))))
            turns += [Told("user", text) for text in more]
        else:
            turns.append(told)
    # Behind the heading of the tools each has a section: its name and description, then its arguments' type.
    sections = [
        section.split("\n") for section in heard.system.partition("The tools, with ")[2].split("\n\n")
    ]
    shown = [lines[0].partition(":")[0] for lines in sections if lines[1:]]
    return replace(heard, turns=tuple(turns), tools=tuple(shown))


def _actions(text: str) -> tuple[str, tuple[tuple[None, str, Any], ...]]:
    lines = [line.partition(": ")[::2] for line in text.split("\n")]
    calls = [(None, one[1], json.loads(two[1])) for one, two in pairwise(lines) if one[0] == "Action"]
    return text.partition("Final Answer: ")[2], tuple(calls)


def _observation(line: str) -> Result:
    label, _, content = line.partition(": ")
    return Result(None, label.partition("(")[2].rstrip(")") or None, content)
