"""Tools with every provider: calls, results, errors and limits, native and with ReAct."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from kit.ways import every_way

from alloy import ConfigurationError, Image, ToolError, TurnLimitError, Usage, require, tool
from suite.script import ModelTurn, ReceivedRequest
from suite.scripted_provider import ScriptedProvider, Way
from suite.table import proves


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@tool
def describe(city: str) -> dict[str, str]:
    """Describe a city."""
    return {"city": city, "mood": "calm"}


@tool
def now() -> str:
    """The current time."""
    return "noon"


DRAWING = Image.from_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(64)))


@tool
def draw() -> list[str | Image]:
    """Draw a cat."""
    return ["Here it is:", DRAWING]


@tool
@require(lambda amount: amount > 0, "amount must be positive")
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@tool
def broken(a: int) -> int:
    """Fail."""
    raise LookupError(f"no {a} here")


@dataclass
class Answer:
    text: str
    total: int


def paired(request: ReceivedRequest) -> list[tuple[str, Any, Any]]:
    """Each call of the history with its result; raises `AssertionError` if a call has none."""
    found = []
    for index, turn in enumerate(request.turns):
        if not turn.calls:
            continue
        back = request.turns[index + 1]
        assert back.role == "results", request.turns
        assert len(back.results) == len(turn.calls)
        for (id_, name, arguments), result in zip(turn.calls, back.results, strict=True):
            assert result.id == id_
            assert result.name in (None, name)
            found.append((name, arguments, result.content))
    return found


def content(value: Any) -> Any:
    """*value* parsed if it is JSON text, because some providers get JSON instead of text."""
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


@proves("Tools")
@every_way
def test_a_tool_is_called(scripted: ScriptedProvider, way: Way) -> None:
    """The tools are sent, the call runs with converted arguments, and its result is sent."""
    scripted.script(ModelTurn(calls=(("add", {"a": 2, "b": 3}),)), ModelTurn("It is 5."))
    result = scripted.ask(way, "2 + 3?", tools=[add, now], system="Count.")

    assert (result.value, result.turns) == ("It is 5.", 2)
    (made,) = result.tool_calls
    assert (made.name, dict(made.arguments), made.value, made.error) == ("add", {"a": 2, "b": 3}, 5, None)
    first, second = scripted.received
    assert first.tools == second.tools == ("add", "now")
    assert [turn.role for turn in second.turns] == ["user", "assistant", "results"]
    ((name, arguments, given),) = paired(second)
    assert (name, arguments, str(given)) == ("add", {"a": 2, "b": 3}, "5")
    assert second.system.startswith("Count.")


@proves("Tools")
@every_way
def test_tools_follow_each_other(scripted: ScriptedProvider, way: Way) -> None:
    """Several rounds, an object as a result, and a tool without arguments: nothing is lost."""
    scripted.script(
        ModelTurn(calls=(("add", {"a": 2}),)),
        ModelTurn(calls=(("describe", {"city": "Ulm"}),)),
        ModelTurn(calls=(("now", {}),)),
        ModelTurn("Done."),
    )
    result = scripted.ask(way, tools=[add, describe, now])

    assert result.value == "Done."
    assert [made.value for made in result.tool_calls] == [3, {"city": "Ulm", "mood": "calm"}, "noon"]
    pairs = [(name, arguments, content(given)) for name, arguments, given in paired(scripted.received[-1])]
    assert pairs == [
        ("add", {"a": 2}, 3),
        ("describe", {"city": "Ulm"}, {"city": "Ulm", "mood": "calm"}),
        ("now", {}, "noon"),
    ]


@proves("Images in results")
@every_way
def test_images_in_results(scripted: ScriptedProvider, way: Way) -> None:
    """The image that a tool returns is sent once, in the result or after it; or it is described there."""
    scripted.script(ModelTurn(calls=(("draw", {}),)), ModelTurn("A cat."))

    assert scripted.ask(way, tools=[draw]).value == "A cat."
    sent = json.dumps(scripted.received[-1].body)
    taken = scripted.provider.can.images
    assert sent.count(DRAWING.base64) == int(taken)
    assert ("this model does not take it" in sent) == (not taken)


@proves("Tools")
@every_way
def test_usage_of_tool_turns_adds_up(scripted: ScriptedProvider, way: Way) -> None:
    """The usage includes the tokens of turns that call tools."""
    scripted.script(
        ModelTurn(calls=(("now", {}),), usage=(100, 20, 0, 0)), ModelTurn("Noon.", usage=(200, 40, 0, 0))
    )

    assert scripted.ask(way, tools=[now]).usage == Usage(300, 60)


@proves("Parallel tools")
@every_way
def test_parallel_calls(scripted: ScriptedProvider, way: Way) -> None:
    """All calls of a turn run, and their results are sent together, in the order of the calls."""
    scripted.script(
        ModelTurn(calls=(("add", {"a": 1}), ("describe", {"city": "Ulm"}), ("add", {"a": 5, "b": 5}))),
        ModelTurn("Done."),
    )
    result = scripted.ask(way, tools=[add, describe])

    assert [made.value for made in result.tool_calls] == [2, {"city": "Ulm", "mood": "calm"}, 10]
    second = scripted.received[1]
    assert [turn.role for turn in second.turns] == ["user", "assistant", "results"]
    assert [name for name, _, _ in paired(second)] == ["add", "describe", "add"]
    assert [str(given) for name, _, given in paired(second) if name == "add"] == ["2", "10"]


@proves("Errors and contracts go back to the model")
@pytest.mark.parametrize(
    ("call", "text"),
    [
        (("pay", {"amount": -1}), "amount must be positive"),
        (("pay", {"amount": "lots"}), "amount"),
        (("pay", {}), "amount"),
        (("broken", {"a": 7}), "no 7 here"),
        (("unheard_of", {}), "the tool 'unheard_of' does not exist"),
    ],
    ids=["contract", "wrong type", "missing argument", "exception", "unknown tool"],
)
@every_way
def test_errors_are_sent_to_the_model(
    scripted: ScriptedProvider, way: Way, call: tuple[str, Any], text: str
) -> None:
    """An error of the model or of a tool is the result of the call, and the model can correct itself."""
    scripted.script(ModelTurn(calls=(call,)), ModelTurn(calls=(("pay", {"amount": 4}),)), ModelTurn("Paid."))
    result = scripted.ask(way, tools=[pay, broken])

    assert result.value == "Paid."
    wrong, right = result.tool_calls
    assert text in (wrong.error or "")
    assert (right.value, right.error) == ("paid 4", None)
    contents = [str(given) for _, _, given in paired(scripted.received[-1])]
    assert text in contents[0]
    assert contents[1] == "paid 4"


@proves("Errors and contracts go back to the model")
@every_way
def test_one_failure_among_several(scripted: ScriptedProvider, way: Way) -> None:
    """A failed call does not change the results of the others or their order."""
    scripted.script(
        ModelTurn(calls=(("add", {"a": 1}), ("broken", {"a": 1}), ("add", {"a": 3}))), ModelTurn("Done.")
    )
    result = scripted.ask(way, tools=[add, broken])

    assert [made.value for made in result.tool_calls] == [2, None, 4]
    contents = [str(given) for _, _, given in paired(scripted.received[1])]
    assert [contents[0], contents[2]] == ["2", "4"]
    assert "no 1 here" in contents[1]


@proves("Errors and contracts go back to the model")
@every_way
def test_tool_errors_may_end_the_call(scripted: ScriptedProvider, way: Way) -> None:
    """With `tool_errors="raise"` an exception is raised as a `ToolError` that names the tool."""
    scripted.script(ModelTurn(calls=(("broken", {"a": 1}),)))
    with pytest.raises(ToolError, match="broken") as caught:
        scripted.ask(way, tools=[broken], tool_errors="raise")

    assert isinstance(caught.value.__cause__, LookupError)


@proves("Turn limit")
@every_way
def test_endless_tool_calls(scripted: ScriptedProvider, way: Way) -> None:
    """A model that calls tools without end is an error that has the transcript."""
    scripted.script(*[ModelTurn(calls=(("add", {"a": turn}),)) for turn in range(3)])
    with pytest.raises(TurnLimitError, match="add") as caught:
        scripted.ask(way, tools=[add], max_tool_turns=2)

    assert len(scripted.received) == 3
    assert caught.value.transcript is not None
    assert [type(turn).__name__ for turn in caught.value.transcript] == [
        "User",
        *["Reply", "ToolResults"] * 2,
        "Reply",
    ]


@proves("Turn limit")
@every_way
def test_no_tool_turns_at_all(scripted: ScriptedProvider, way: Way) -> None:
    """`max_tool_turns=0` runs no tool."""
    scripted.script(ModelTurn(calls=(("broken", {"a": 1}),)))
    with pytest.raises(TurnLimitError):
        scripted.ask(way, tools=[broken], max_tool_turns=0)


@proves("Missing answers are re-asked")
@every_way
def test_an_answer_missing_after_tools(scripted: ScriptedProvider, way: Way) -> None:
    """After tools and an empty answer the model is asked once more; its tool calls stay in the result."""
    scripted.script(ModelTurn(calls=(("now", {}),)), ModelTurn(""), ModelTurn("Noon."))
    result = scripted.ask(way, tools=[now])

    assert (result.value, len(result.tool_calls)) == ("Noon.", 1)
    assert len(paired(scripted.received[-1])) == 1


@proves("Tools and a typed answer")
@every_way
def test_tools_and_a_typed_answer(scripted: ScriptedProvider, way: Way) -> None:
    """Tools and then a typed answer work, whether or not the model supports both in one request."""
    scripted.script(
        ModelTurn(calls=(("add", {"a": 2}), ("now", {}))),
        ModelTurn(calls=(("describe", {"city": "Ulm"}),)),
        ModelTurn(value={"text": "calm", "total": 3}),
    )
    result = scripted.ask(way, tools=[add, now, describe], output=Answer)

    assert result.value == Answer("calm", 3)
    assert [name for name, _, _ in paired(scripted.received[-1])] == ["add", "now", "describe"]
    native = scripted.provider.can.output_with_tools
    assert result.downgrades == (() if native else ("output_with_tools",))
    assert scripted.received[0].tools == ("add", "now", "describe")


@proves("Tools and a typed answer")
@every_way
def test_a_typed_answer_needs_no_call(scripted: ScriptedProvider, way: Way) -> None:
    """A typed answer without a tool call works too."""
    scripted.script(ModelTurn(value={"text": "calm", "total": 3}))

    assert scripted.ask(way, tools=[add], output=Answer).value == Answer("calm", 3)


@proves("Tools and a typed answer")
@every_way
def test_a_wrong_typed_answer_after_tools(scripted: ScriptedProvider, way: Way) -> None:
    """A re-ask corrects only the answer: no tool runs again."""
    scripted.script(
        ModelTurn(calls=(("add", {"a": 2}),)),
        ModelTurn(value={"text": "calm"}),
        ModelTurn(value={"text": "calm", "total": 3}),
    )
    result = scripted.ask(way, tools=[add], output=Answer, reask=1)

    assert (result.value, len(result.tool_calls)) == (Answer("calm", 3), 1)


@proves("ReAct, when asked for")
@every_way
def test_react_tools(scripted: ScriptedProvider, way: Way) -> None:
    """With `tool_mode="react"` no tools are sent, and calls, results and typed answers work the same."""
    scripted.script(
        ModelTurn(calls=(("add", {"a": 2}), ("describe", {"city": "Ulm"}))),
        ModelTurn(calls=(("broken", {"a": 1}),)),
        ModelTurn(value={"text": "calm", "total": 3}),
    )
    tools = [add, describe, broken]
    result, pieces = scripted.ask_with_text(
        way, tools=tools, output=Answer, tool_mode="react", system="Count."
    )

    assert result.value == Answer("calm", 3)
    assert [made.value for made in result.tool_calls] == [3, {"city": "Ulm", "mood": "calm"}, None]
    assert pieces in (None, result.text)
    last = scripted.received[-1]
    assert last.system.startswith("Count.")
    assert last.tools == ("add", "describe", "broken")
    assert "tools" not in last.body
    assert last.schema is None
    assert [name for name, _, _ in paired(last)] == ["add", "describe", "broken"]


@proves("ReAct, when asked for")
@every_way
def test_endless_react_calls(scripted: ScriptedProvider, way: Way) -> None:
    """The turn limit works with ReAct too."""
    scripted.script(*[ModelTurn(calls=(("add", {"a": turn}),)) for turn in range(3)])
    with pytest.raises(TurnLimitError):
        scripted.ask(way, tools=[add], max_tool_turns=2, tool_mode="react")


@proves("ReAct, when asked for")
@every_way
def test_one_react_tool_at_a_time(scripted: ScriptedProvider, way: Way) -> None:
    """With `parallel_tools=False` only the first of several calls runs, and nothing is sent for it."""
    scripted.script(ModelTurn(calls=(("add", {"a": 2}), ("add", {"a": 5}))), ModelTurn("Three."))
    if "parallel_tools" in scripted.provider.can.refuses:
        with pytest.raises(ConfigurationError, match="does not support parallel_tools"):
            scripted.ask(way, tools=[add], tool_mode="react", parallel_tools=False)
        scripted.leftovers_allowed = True
        return
    result = scripted.ask(way, tools=[add], tool_mode="react", parallel_tools=False)

    assert [made.value for made in result.tool_calls] == [3]


@proves("Streamed text with tools between")
@every_way
def test_streams_continue_after_tools(scripted: ScriptedProvider, way: Way) -> None:
    """A stream returns the whole answer once, however many tools are called before it."""
    text = "It is three, and Ulm is calm 🦊."
    scripted.script(
        ModelTurn(calls=(("add", {"a": 2}),)),
        ModelTurn(calls=(("describe", {"city": "Ulm"}), ("now", {}))),
        ModelTurn(text),
    )
    result, pieces = scripted.ask_with_text(way, tools=[add, describe, now])

    assert result.text == text
    assert pieces in (None, text)
    assert [made.name for made in result.tool_calls] == ["add", "describe", "now"]
