"""Tools on every provider: calls, results, errors, limits, and all of it in words too."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from kit.ways import every_way

from alloy import ConfigurationError, ToolError, TurnLimitError, Usage, require, tool
from suite.saying import Heard, Say
from suite.stage import Stage, Way
from suite.table import proves


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@tool
def describe(city: str) -> dict[str, str]:
    """Tell about a city."""
    return {"city": city, "mood": "calm"}


@tool
def now() -> str:
    """Tell the time."""
    return "noon"


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


def paired(heard: Heard) -> list[tuple[str, Any, Any]]:
    """Every call of the history with what was sent back for it; raises unless each has its own."""
    found = []
    for index, told in enumerate(heard.turns):
        if not told.calls:
            continue
        back = heard.turns[index + 1]
        assert back.role == "results", heard.turns
        assert len(back.results) == len(told.calls)
        for (id_, name, arguments), result in zip(told.calls, back.results, strict=True):
            assert result.id == id_
            assert result.name in (None, name)
            found.append((name, arguments, result.content))
    return found


def content(value: Any) -> Any:
    """What a text that holds JSON says, for some providers send it as what it is."""
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


@proves("Tools")
@every_way
def test_a_tool_is_called(stage: Stage, way: Way) -> None:
    """The model is shown the tools, its call runs with converted arguments, and the result goes back."""
    stage.say(Say(calls=(("add", {"a": 2, "b": 3}),)), Say("It is 5."))
    result = stage.ask(way, "2 + 3?", tools=[add, now], system="Count.")

    assert (result.value, result.turns) == ("It is 5.", 2)
    (made,) = result.tool_calls
    assert (made.name, dict(made.arguments), made.value, made.error) == ("add", {"a": 2, "b": 3}, 5, None)
    first, second = stage.heard
    assert first.tools == second.tools == ("add", "now")
    assert [told.role for told in second.turns] == ["user", "assistant", "results"]
    ((name, arguments, given),) = paired(second)
    assert (name, arguments, str(given)) == ("add", {"a": 2, "b": 3}, "5")
    assert second.system.startswith("Count.")


@proves("Tools")
@every_way
def test_tools_follow_each_other(stage: Stage, way: Way) -> None:
    """Several rounds, an object for a result, and a tool without arguments; nothing of it is lost."""
    stage.say(
        Say(calls=(("add", {"a": 2}),)),
        Say(calls=(("describe", {"city": "Ulm"}),)),
        Say(calls=(("now", {}),)),
        Say("Done."),
    )
    result = stage.ask(way, tools=[add, describe, now])

    assert result.value == "Done."
    assert [made.value for made in result.tool_calls] == [3, {"city": "Ulm", "mood": "calm"}, "noon"]
    pairs = [(name, arguments, content(given)) for name, arguments, given in paired(stage.heard[-1])]
    assert pairs == [
        ("add", {"a": 2}, 3),
        ("describe", {"city": "Ulm"}, {"city": "Ulm", "mood": "calm"}),
        ("now", {}, "noon"),
    ]


@proves("Tools")
@every_way
def test_usage_of_tool_turns_adds_up(stage: Stage, way: Way) -> None:
    """Every turn's tokens count, those that call tools too."""
    stage.say(Say(calls=(("now", {}),), usage=(100, 20, 0, 0)), Say("Noon.", usage=(200, 40, 0, 0)))

    assert stage.ask(way, tools=[now]).usage == Usage(300, 60)


@proves("Parallel tools")
@every_way
def test_parallel_calls(stage: Stage, way: Way) -> None:
    """All calls of a turn run, and all results go back together, in the order of the calls."""
    stage.say(
        Say(calls=(("add", {"a": 1}), ("describe", {"city": "Ulm"}), ("add", {"a": 5, "b": 5}))),
        Say("Done."),
    )
    result = stage.ask(way, tools=[add, describe])

    assert [made.value for made in result.tool_calls] == [2, {"city": "Ulm", "mood": "calm"}, 10]
    second = stage.heard[1]
    assert [told.role for told in second.turns] == ["user", "assistant", "results"]
    assert [name for name, _, _ in paired(second)] == ["add", "describe", "add"]
    assert [str(given) for name, _, given in paired(second) if name == "add"] == ["2", "10"]


@proves("Errors and contracts go back to the model")
@pytest.mark.parametrize(
    ("call", "words"),
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
def test_what_goes_wrong_is_told(stage: Stage, way: Way, call: tuple[str, Any], words: str) -> None:
    """Whatever the model or a tool gets wrong is the call's result, and the model may correct itself."""
    stage.say(Say(calls=(call,)), Say(calls=(("pay", {"amount": 4}),)), Say("Paid."))
    result = stage.ask(way, tools=[pay, broken])

    assert result.value == "Paid."
    wrong, right = result.tool_calls
    assert words in (wrong.error or "")
    assert (right.value, right.error) == ("paid 4", None)
    told = [str(given) for _, _, given in paired(stage.heard[-1])]
    assert words in told[0]
    assert told[1] == "paid 4"


@proves("Errors and contracts go back to the model")
@every_way
def test_one_failure_among_several(stage: Stage, way: Way) -> None:
    """A failed call does not take the results of the others with it, nor their order."""
    stage.say(Say(calls=(("add", {"a": 1}), ("broken", {"a": 1}), ("add", {"a": 3}))), Say("Done."))
    result = stage.ask(way, tools=[add, broken])

    assert [made.value for made in result.tool_calls] == [2, None, 4]
    told = [str(given) for _, _, given in paired(stage.heard[1])]
    assert [told[0], told[2]] == ["2", "4"]
    assert "no 1 here" in told[1]


@proves("Errors and contracts go back to the model")
@every_way
def test_tool_errors_may_end_the_call(stage: Stage, way: Way) -> None:
    """With `tool_errors="raise"` an exception is the caller's, and names the tool."""
    stage.say(Say(calls=(("broken", {"a": 1}),)))
    with pytest.raises(ToolError, match="broken") as caught:
        stage.ask(way, tools=[broken], tool_errors="raise")

    assert isinstance(caught.value.__cause__, LookupError)


@proves("Turn limit")
@every_way
def test_tools_without_an_end(stage: Stage, way: Way) -> None:
    """A model that only ever calls tools ends with an error that holds all that was said."""
    stage.say(*[Say(calls=(("add", {"a": turn}),)) for turn in range(3)])
    with pytest.raises(TurnLimitError, match="add") as caught:
        stage.ask(way, tools=[add], max_tool_turns=2)

    assert len(stage.heard) == 3
    assert caught.value.transcript is not None
    assert [type(turn).__name__ for turn in caught.value.transcript] == [
        "User",
        *["Reply", "ToolResults"] * 2,
        "Reply",
    ]


@proves("Turn limit")
@every_way
def test_no_tool_turns_at_all(stage: Stage, way: Way) -> None:
    """`max_tool_turns=0` runs no tool."""
    stage.say(Say(calls=(("broken", {"a": 1}),)))
    with pytest.raises(TurnLimitError):
        stage.ask(way, tools=[broken], max_tool_turns=0)


@proves("Missing answers are re-asked")
@every_way
def test_an_answer_missing_after_tools(stage: Stage, way: Way) -> None:
    """A run of tools that ends in silence is asked for its answer, and the tools called stay called."""
    stage.say(Say(calls=(("now", {}),)), Say(""), Say("Noon."))
    result = stage.ask(way, tools=[now])

    assert (result.value, len(result.tool_calls)) == ("Noon.", 1)
    assert len(paired(stage.heard[-1])) == 1


@proves("Tools and a typed answer")
@every_way
def test_tools_and_a_typed_answer(stage: Stage, way: Way) -> None:
    """Tools first, then the answer as its type, whether or not the model takes both at once."""
    stage.say(
        Say(calls=(("add", {"a": 2}), ("now", {}))),
        Say(calls=(("describe", {"city": "Ulm"}),)),
        Say(value={"text": "calm", "total": 3}),
    )
    result = stage.ask(way, tools=[add, now, describe], output=Answer)

    assert result.value == Answer("calm", 3)
    assert [name for name, _, _ in paired(stage.heard[-1])] == ["add", "now", "describe"]
    native = stage.provider.can.output_with_tools
    assert result.downgrades == (() if native else ("output_with_tools",))
    assert stage.heard[0].tools == ("add", "now", "describe")


@proves("Tools and a typed answer")
@every_way
def test_a_typed_answer_needs_no_call(stage: Stage, way: Way) -> None:
    """A model that calls no tool answers all the same."""
    stage.say(Say(value={"text": "calm", "total": 3}))

    assert stage.ask(way, tools=[add], output=Answer).value == Answer("calm", 3)


@proves("Tools and a typed answer")
@every_way
def test_a_wrong_typed_answer_after_tools(stage: Stage, way: Way) -> None:
    """What a re-ask corrects is the answer alone: no tool runs again."""
    stage.say(
        Say(calls=(("add", {"a": 2}),)),
        Say(value={"text": "calm"}),
        Say(value={"text": "calm", "total": 3}),
    )
    result = stage.ask(way, tools=[add], output=Answer, reask=1)

    assert (result.value, len(result.tool_calls)) == (Answer("calm", 3), 1)


@proves("ReAct, when asked for")
@every_way
def test_tools_in_words(stage: Stage, way: Way) -> None:
    """With `tool_mode="react"` nothing native is sent, and calls, results and typed answers work the same."""
    stage.say(
        Say(calls=(("add", {"a": 2}), ("describe", {"city": "Ulm"}))),
        Say(calls=(("broken", {"a": 1}),)),
        Say(value={"text": "calm", "total": 3}),
    )
    tools = [add, describe, broken]
    result, pieces = stage.listen(way, tools=tools, output=Answer, tool_mode="react", system="Count.")

    assert result.value == Answer("calm", 3)
    assert [made.value for made in result.tool_calls] == [3, {"city": "Ulm", "mood": "calm"}, None]
    assert pieces in (None, result.text)
    last = stage.heard[-1]
    assert last.system.startswith("Count.")
    assert last.tools == ("add", "describe", "broken")
    assert "tools" not in last.body
    assert last.schema is None
    assert [name for name, _, _ in paired(last)] == ["add", "describe", "broken"]


@proves("ReAct, when asked for")
@every_way
def test_tools_in_words_have_an_end(stage: Stage, way: Way) -> None:
    """In words too a model that only ever calls tools comes to an end."""
    stage.say(*[Say(calls=(("add", {"a": turn}),)) for turn in range(3)])
    with pytest.raises(TurnLimitError):
        stage.ask(way, tools=[add], max_tool_turns=2, tool_mode="react")


@proves("ReAct, when asked for")
@every_way
def test_one_tool_at_a_time_in_words(stage: Stage, way: Way) -> None:
    """With `parallel_tools=False` the first of several calls counts, and no provider has to be told."""
    stage.say(Say(calls=(("add", {"a": 2}), ("add", {"a": 5}))), Say("Three."))
    if "parallel_tools" in stage.provider.can.refuses:
        with pytest.raises(ConfigurationError, match="does not support parallel_tools"):
            stage.ask(way, tools=[add], tool_mode="react", parallel_tools=False)
        stage.leftovers_allowed = True
        return
    result = stage.ask(way, tools=[add], tool_mode="react", parallel_tools=False)

    assert [made.value for made in result.tool_calls] == [3]


@proves("Streamed text with tools between")
@every_way
def test_streams_go_on_after_tools(stage: Stage, way: Way) -> None:
    """What a stream says is the answer, whole and once, however many tools are called before it."""
    text = "It is three, and Ulm is calm 🦊."
    stage.say(
        Say(calls=(("add", {"a": 2}),)),
        Say(calls=(("describe", {"city": "Ulm"}), ("now", {}))),
        Say(text),
    )
    result, pieces = stage.listen(way, tools=[add, describe, now])

    assert result.text == text
    assert pieces in (None, text)
    assert [made.name for made in result.tool_calls] == ["add", "describe", "now"]
