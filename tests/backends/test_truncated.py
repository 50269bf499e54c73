"""What a cut answer has of its value reaches the error, for every provider and way of asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from kit.apis import ANTHROPIC, GEMINI, OLLAMA, RESPONSES, Api, every_api, every_mode
from kit.wire import Answer, WireServer

from alloy import TruncatedError, tool

CUT: dict[str, dict[str, Any]] = {
    RESPONSES.name: {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
    ANTHROPIC.name: {"stop": "max_tokens"},
    GEMINI.name: {"finish": "MAX_TOKENS"},
    OLLAMA.name: {"reason": "length"},
}
LINES = '[{"text": "a", "price": 1}, {"text": "b", "pri'


@dataclass
class Line:
    """A line of an invoice."""

    text: str
    price: float


@tool
def rate(currency: str) -> float:
    """The rate of a currency."""
    return 1.0


@every_api
@every_mode
def test_what_arrived_of_a_cut_answer_is_typed(server: WireServer, api: Api, mode: str) -> None:
    """By a schema, by the prompt, by ReAct, and as text."""
    forms: list[tuple[str, dict[str, Any]]] = [
        (f'{{"value": {LINES}', {}),
        (f"Here they are:\n```json\n{LINES}", {"output_mode": "prompted"}),
        (f"Thought: done\nFinal Answer: {LINES}", {"tool_mode": "react", "tools": [rate]}),
    ]
    server.script(*(cut(api, mode, text) for text, _ in forms), cut(api, mode, "Once upon"))
    for text, options in forms:
        partial = truncated(api, mode, server, output=list[Line], **options).partial
        assert partial is not None, text
        assert partial.elements() == [Line("a", 1.0)]
        assert partial.get(lambda lines: lines[1].text) == "b"
    partial = truncated(api, mode, server).partial
    assert partial is not None
    assert partial.get(lambda story: story) == partial.data == "Once upon"


def cut(api: Api, mode: str, text: str) -> Answer:
    """The beginning of an answer, at the token limit."""
    return api.answer(mode, text, **CUT.get(api.name, {"finish": "length"}))


def truncated(api: Api, mode: str, server: WireServer, **options: Any) -> TruncatedError:
    """The error of a call."""
    with pytest.raises(TruncatedError) as caught:
        api.ask(mode, server, **options)
    return caught.value
