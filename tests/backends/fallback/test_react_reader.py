"""Reading ReAct turns: what small models really write, and what may be shown while it still comes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloy.backends.fallback.react_reader import AnswerFilter, read

OSLO = '{"city": "Oslo"}'

# One call of `weather` with OSLO, as it should be and as models write it.
CALLS: dict[str, str] = {
    "canonical": f"Thought: I need it.\nAction: weather\nAction Input: {OSLO}",
    "no thought": f"Action: weather\nAction Input: {OSLO}",
    "prose first": f"Sure, let me look!\n\nAction: weather\nAction Input: {OSLO}",
    "lower case": f"thought: hm\naction: weather\naction input: {OSLO}",
    "shouted": f"ACTION: weather\nACTION INPUT: {OSLO}",
    "bold, colon inside": f"**Thought:** hm\n**Action:** weather\n**Action Input:** {OSLO}",
    "bold, colon outside": f"**Action**: weather\n**Action Input**: {OSLO}",
    "bold line": f"**Action: weather**\n**Action Input:** {OSLO}",
    "underlined": f"__Action:__ weather\n_Action Input:_ {OSLO}",
    "headings": f"### Action: weather\n### Action Input:\n{OSLO}",
    "headings without colon": f"## Action\nweather\n## Action Input\n{OSLO}",
    "bold without colon": f"**Action**\nweather\n**Action Input**\n{OSLO}",
    "quoted": f"> Action: weather\n> Action Input: {OSLO}",
    "numbered": f"Thought 1: hm\nAction 1: weather\nAction Input 1: {OSLO}",
    "one word": f"Action: weather\nActionInput: {OSLO}",
    "underscore": f"Action: weather\nAction_Input: {OSLO}",
    "windows": f"Action: weather\r\nAction Input: {OSLO}\r\n",
    "wide colon": f"Action\uff1a weather\nAction Input\uff1a {OSLO}",
    "code name": f"Action: `weather`\nAction Input: {OSLO}",
    "quoted name": f'Action: "weather"\nAction Input: {OSLO}',
    "fence": f"Action: weather\nAction Input:\n```json\n{OSLO}\n```",
    "bare fence": f"Action: weather\nAction Input: ```\n{OSLO}\n```",
    "fence on one line": f"Action: weather\nAction Input: ```json {OSLO} ```",
    "backtick": f"Action: weather\nAction Input: `{OSLO}`",
    "fence round all": f"```\nThought: hm\nAction: weather\nAction Input: {OSLO}\n```",
    "blank lines": f"Action: weather\n\nAction Input:\n\n{OSLO}\n\n",
    "no input label": f"Action: weather\n{OSLO}",
    "no input label, fenced": f"Action: weather\n```json\n{OSLO}\n```",
    "one line": f"Action: weather {OSLO}",
    "both on one line": f"Action: weather Action Input: {OSLO}",
    "called": f"Action: weather({OSLO})",
    "called with a blank": f"Action: weather ( {OSLO} )",
    "called, then labelled": f"Action: weather()\nAction Input: {OSLO}",
    "invented result": f"Action: weather\nAction Input: {OSLO}\nObservation: 5\nThought: hm\nFinal Answer: 5",
    "bold invented result": f"Action: weather\nAction Input: {OSLO}\n**Observation:** 5\nFinal Answer: 5",
    "invented answer": f"Action: weather\nAction Input: {OSLO}\nFinal Answer: 5",
    "more invented": f"Action: weather\nAction Input: {OSLO}\nObservation: 5\nAction: x\nAction Input: 1",
    "thought behind": f"Action: weather\nAction Input: {OSLO}\nThought: now I wait",
    "prose behind": f"Action: weather\nAction Input: {OSLO}\nI will wait for the result.",
    "second input": f"Action: weather\nAction Input: {OSLO}\nAction Input: {{}}",
    "nothing before": f"Action: None\nThought: or rather\nAction: weather\nAction Input: {OSLO}",
}


@pytest.mark.parametrize("text", CALLS.values(), ids=CALLS.keys())
def test_a_call_is_read_however_it_is_written(text: str):
    """Label, markup, fences and inventions differ; the call is the same, and no answer comes of it."""
    reading = read(text)
    assert [(action.name, action.input) for action in reading.actions] == [("weather", OSLO)]
    assert reading.answer is None


INPUTS: dict[str, tuple[str, str]] = {
    "several lines": (
        'Action Input: {\n  "a": 1,\n  "b": [\n    2\n  ]\n}\n',
        '{\n  "a": 1,\n  "b": [\n    2\n  ]\n}',
    ),
    "labels in a string": ('Action Input: {"a": "x\\nObservation: y"}', '{"a": "x\\nObservation: y"}'),
    "raw labels in a string": (
        'Action Input: {"a": "x\nObservation: y\nFinal Answer: z"}\nObservation: 1',
        '{"a": "x\nObservation: y\nFinal Answer: z"}',
    ),
    "a label on a line of its own": ('Action Input: {"a":\n"Action: b"}', '{"a":\n"Action: b"}'),
    "a fence in a string": ('Action Input: ```\n{"a": "```"}\n```', '{"a": "```"}'),
    "digits": ('Action Input: {"a": 0.10000000000000000000001}', '{"a": 0.10000000000000000000001}'),
    "braces behind": ('Action Input: {"a": 1} {"b": 2}', '{"a": 1}'),
    "word": ("Action Input: Paris", "Paris"),
    "string": ('Action Input: "Paris"', '"Paris"'),
    "words in a fence": (
        "Action Input:\n```python\nprint(1)\nAction: x\n```\nObservation: 1",
        "print(1)\nAction: x",
    ),
    "list": ("Action Input: [1, 2]", "[1, 2]"),
    "broken": ('Action Input: {"a": }\nObservation: 1', '{"a": }'),
    "cut off": ('Action Input: {"a": "b', '{"a": "b'),
    "not JSON": ("Action Input: {'a': 1}\nThought: hm", "{'a': 1}"),
    "none": ("", ""),
    "empty": ("Action Input:", ""),
    "empty, then a label": ("Action Input:\nObservation: 1", ""),
    "prose instead": ("I am calling the tool now.", ""),
    "nested too deeply": ("Action Input: " + '{"a":' * 100_000, '{"a":' * 100_000),
}


@pytest.mark.parametrize(("text", "expected"), INPUTS.values(), ids=INPUTS.keys())
def test_inputs_are_taken_as_the_model_wrote_them(text: str, expected: str):
    """Whole JSON is taken as it is; what is none goes on as text up to the next label."""
    reading = read(f"Action: f\n{text}")
    assert [(action.name, action.input) for action in reading.actions] == [("f", expected)]


@pytest.mark.parametrize(
    ("line", "name", "text"),
    [
        ('f(city="Oslo")', "f", 'city="Oslo"'),
        ("f()", "f", ""),
        ("f({bad)", "f", "{bad"),
        ("I will use f", "I will use f", ""),
        ("mcp.server-1.f", "mcp.server-1.f", ""),
        ('{"name": "f", "arguments": {"a": 1.50}}', "f", '{"a":1.50}'),
        ('\n```json\n{"action": "f", "action_input": "Oslo"}\n```', "f", "Oslo"),
        ('{"tool": "f"}', "f", ""),
        ('{"tool": "f", "args": NaN}', '{"tool": "f", "args": NaN}', ""),
        ('{"a": 1}', '{"a": 1}', ""),
    ],
)
def test_actions_are_read_in_other_notations(line: str, name: str, text: str):
    """Python's calls, whole objects as other formats have them, and what is no tool's name at all."""
    [action] = read(f"Action: {line}").actions
    assert action[:2] == (name, text)


def test_all_actions_before_the_first_observation_are_read():
    """They are called in their order; what is behind was written without knowing any result."""
    turn = "Action: a\nAction Input: 1\n\nThought: and\nAction: b\nAction: c\nAction Input: {}"
    text = f"{turn}\nObservation: x\nAction: d"
    reading = read(text)
    assert [action[:2] for action in reading.actions] == [("a", "1"), ("b", ""), ("c", "{}")]
    assert text[: reading.end] == turn


ANSWERS: dict[str, tuple[str, str]] = {
    "canonical": ("Thought: I know.\nFinal Answer: 42", "42"),
    "alone": ("Final Answer: 42", "42"),
    "next line": ("Final Answer:\n\n42\n", "42"),
    "bold": ("**Final Answer:** 42", "42"),
    "bold answer": ("Final Answer: **42**", "**42**"),
    "both bold": ("**Final Answer:** **42**", "**42**"),
    "bold line": ("**Final Answer: 42**", "42"),
    "heading": ("## Final Answer\n42", "42"),
    "lower case": ("final answer: 42", "42"),
    "fence round all": ("```\nThought: hm\nFinal Answer: 42\n```", "42"),
    "own fence": ("Final Answer:\n```json\n{}\n```", "```json\n{}\n```"),
    "labels inside": ("Final Answer: a\nAction: b\nObservation: c", "a\nAction: b\nObservation: c"),
    "no action": ("Action: None\nAction Input: none\nFinal Answer: 42", "42"),
    "action without a name": ("Action:\nFinal Answer: 42", "42"),
    "empty": ("Thought: hm\nFinal Answer:", ""),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
def test_final_answers_are_read(text: str, expected: str):
    """All behind the label is the answer, whatever it looks like."""
    reading = read(text)
    assert reading.actions == ()
    assert reading.answer is not None
    assert reading.answer.of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Thought: the Final Answer: 42",
        "Thought: I know.\n42",
        "It is 42.\nThought: sure",
        "Observation: 5\nFinal Answer: 5",
        "Thought: hm\nObservation: 5",
        "Action: None",
    ],
)
def test_thoughts_and_inventions_are_no_answer(text: str):
    """Where a label says what a text is, it is that and not an answer."""
    reading = read(text)
    assert (reading.actions, reading.answer, reading.plain) == ((), None, False)


@pytest.mark.parametrize(
    "text", ["42", "", "My final answer is 42", "- Action: send it\n* Thought: none", "Actions: 1"]
)
def test_text_without_any_label_is_plain(text: str):
    """Small models just answer."""
    assert read(text) == ((), None, True, len(text))


# --- what may be shown ----------------------------------------------------------------------------

LABELS = [
    "Thought:",
    "Action:",
    "Action Input:",
    "Observation:",
    "Final Answer:",
    "Action: None",
    "Action: f",
]
MARKED = [
    "**Final Answer:**",
    "**Final Answer:",
    "**Final Answer**",
    "## Final Answer",
    "final answer :",
    "> **",
]
MARKS = [*'\n *`{}:()"', "\n\n", "**", "```", "```json", '{"a": 1}', '{"a": "', "f", "42", "none"]
FRAGMENTS = st.sampled_from(LABELS) | st.sampled_from(MARKED) | st.sampled_from(MARKS)
TURNS = st.lists(FRAGMENTS | st.text(max_size=5), max_size=25).map("".join)


@st.composite
def cut_turns(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A turn, and its pieces by any cuts."""
    text = draw(TURNS)
    cuts = draw(st.lists(st.integers(0, len(text)), max_size=12))
    bounds = [0, *sorted(cuts), len(text)]
    return text, [text[start:end] for start, end in pairwise(bounds)]


@given(cut_turns())
def test_what_is_shown_is_always_the_beginning_of_the_answer(cut: tuple[str, list[str]]):
    """Whatever the text and wherever it is cut, nothing is shown that would have to be taken back."""
    text, pieces = cut
    passing = AnswerFilter()
    shown = "".join(passing.feed(piece) for piece in pieces)
    answer = read(text).answer
    assert ("" if answer is None else answer.of(text)).startswith(shown)
    assert shown == "".join(passing.shown)


@given(st.text(alphabet="ab *`\n:"), st.sampled_from(["Final Answer: ", "Thought: x\n**Final Answer:**\n"]))
def test_a_labelled_answer_is_shown_as_it_comes(answer: str, label: str):
    """Letter by letter, all but the blanks and markup at its end has come out before the turn is whole."""
    passing = AnswerFilter()
    shown = "".join(map(passing.feed, label + answer))
    whole = read(label + answer).answer
    assert whole is not None
    assert shown.startswith(whole.of(label + answer).rstrip(" *`\n"))


def test_text_without_a_label_is_held_back():
    """It may yet turn out to be a thought."""
    passing = AnswerFilter()
    assert [passing.feed(piece) for piece in ("It is ", "42.", "\n" * 3, "x" * 1000)] == [""] * 4


def test_nothing_is_shown_after_an_action():
    """An answer behind an action is invented, however much of it comes."""
    passing = AnswerFilter()
    assert [
        passing.feed(piece) for piece in ("Action: f\n", "Final Answer: 1", "2\n", "Final Answer: 3")
    ] == [""] * 4


@given(TURNS)
def test_what_counts_of_a_turn_says_the_same_again(text: str):
    """The part that later requests repeat holds the very actions that were called."""
    reading = read(text)
    again = read(text[: reading.end])
    assert [action[:2] for action in again.actions] == [action[:2] for action in reading.actions]


@pytest.mark.parametrize("before", ["Final Answer:", "Final Answer: 5", "Final Answer", "Final Answer: ```5"])
def test_blanks_that_arrive_one_by_one_cost_their_number(before: str) -> None:
    """Counted in characters that are looked at, for n, 2n and 4n blanks."""

    def cost(size: int) -> int:
        looked_at = 0
        passing = AnswerFilter()
        for piece in (before, *[" "] * size, "x"):
            held = len(passing._held)
            passing.feed(piece)
            if len(passing._held) <= held:  # what was held has been joined, and read again
                looked_at += held + len(passing._line)
        return looked_at + size

    once = cost(200)
    assert cost(400) < 2.3 * once and cost(800) < 4.5 * once


def test_an_underlined_name_of_a_tool() -> None:
    """Underscores at the end are markup; an input on the same line needs no line end before its label."""
    for text in ("Action: __look_up__\nAction Input: {}", "Action: look_up Action Input: {}"):
        assert [action.name for action in read(text).actions] == ["look_up"]
