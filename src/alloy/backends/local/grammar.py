"""The form of a ReAct turn as a grammar for llama.cpp.

The format is llguidance's, which embeds JSON Schema:
https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from alloy.backends.fallback.turn_form import DECISION, TurnForm

__all__ = ["turn_grammar"]

# Keywords that llguidance does not know are left out of the grammar: Alloy validates what comes. Without free
# blanks between the tokens of JSON, a small model cannot lose itself in them.
_OPTIONS = {"lenient": True, "whitespace_flexible": False}
_ANY_TEXT = r"/(.|\n)+/"
_END = r"/\n?/"  # a model that ends the line here would otherwise have to write further digits of a number


def turn_grammar(form: TurnForm) -> str:
    """The grammar of *form*."""
    return "\n".join(("%llguidance {}", *_rules(form)))


def _rules(form: TurnForm) -> Iterator[str]:
    calls = f'"{DECISION}no" call{"+" if form.parallel else ""}'
    if not form.tools:
        yield "start: answer"
    elif form.must_call:
        yield f"start: {calls}"
    else:
        yield f'start: {calls} | "{DECISION}yes\\n" answer'
    if form.tools:
        yield f"call: {' | '.join(f'call_{nth}' for nth in range(len(form.tools)))}"
    for nth, tool in enumerate(form.tools):
        label = json.dumps(f"\nAction: {tool.name}\nAction Input: ")
        yield f"call_{nth}: {label} input_{nth}"
        yield f"input_{nth}: {_json(tool.parameters)}"
    if not form.must_call:
        yield f'answer: "Final Answer: " {f"{_json(form.answer)} {_END}" if form.answer else _ANY_TEXT}'


def _json(schema: Mapping[str, Any]) -> str:
    return f"%json {json.dumps({**schema, 'x-guidance': _OPTIONS})}"
