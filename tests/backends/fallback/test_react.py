"""Tools for models that have none: whole calls through ReAct, sync and async."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from kit.ways import every_way

from alloy import (
    AlloyError,
    EmptyAnswerError,
    Image,
    RefusalError,
    TruncatedError,
    UnsupportedError,
    command,
    register_backend,
    require,
    tool,
    use_config,
)
from alloy.backends import memory
from alloy.backends.base import Capabilities
from alloy.backends.fake.backend import FakeBackend
from alloy.backends.fallback.choose import codec_for
from alloy.backends.fallback.react import ReActBackend
from alloy.backends.fallback.react_prompt import rewritten
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.registry import registrations_undone
from alloy.messages import (
    Echo,
    OutputSchema,
    Reply,
    Request,
    ToolCall,
    ToolResult,
    ToolResults,
    ToolSchema,
    Usage,
    User,
)
from alloy.testing import call, replies

OSLO = 'Thought: I must look.\nAction: weather\nAction Input: {"city": "Oslo"}'
COLD = "Thought: I know.\nFinal Answer: It is cold."


@dataclass
class Report:
    city: str
    degrees: int


@tool
@require(lambda city: city != "Atlantis", "there is no weather in Atlantis")
def weather(city: str) -> int:
    """The weather in a city, in degrees."""
    return len(city)


@tool
def add(a: int, b: int = 1) -> int:
    """Add numbers."""
    return a + b


def asking(output: Any = str, **options: Any) -> Any:
    @command(output=output, **{"tools": [weather, add], "tool_mode": "react", **options})
    def question() -> str:
        """A question."""
        return "How cold is Oslo?"

    return question


def said(request: dict[str, Any]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in request["messages"]]


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test registers and what Alloy learns in it is forgotten behind it."""
    with registrations_undone():
        yield
    memory.forget()


# --- whole calls ----------------------------------------------------------------------------------


@every_way
def test_a_tool_is_called_and_the_answer_comes_out(way: Any):
    """The loop is the usual one, and of a stream only the final answer is heard."""
    with replies(OSLO, COLD) as seen:
        result, heard = way(asking())
    assert (result.value, result.text, result.turns) == ("It is cold.", "It is cold.", 2)
    assert [(done.name, done.arguments, done.value) for done in result.tool_calls] == [
        ("weather", {"city": "Oslo"}, 4)
    ]
    assert heard in (None, "It is cold.")
    assert said(seen.requests[1]) == [
        ("user", "How cold is Oslo?"),
        ("assistant", OSLO),
        ("user", "Observation: 4"),
    ]


@every_way
def test_a_typed_answer_is_asked_for_in_words(way: Any):
    """The type stands after the user's last words, and JSON after the label is read as the type."""
    answer = '{"city": "Oslo", "degrees": 4}'
    with replies(OSLO, f"Thought: done\nFinal Answer:\n{answer}\n") as seen:
        result, heard = way(asking(Report))
    assert result.value == Report("Oslo", 4)
    assert heard in (None, answer)
    for request in seen.requests:
        users = [turn["content"] for turn in request["messages"] if turn["role"] == "user"]
        assert ['{ "city": string, "degrees": integer }' in text for text in users] == [
            text is users[-1] for text in users
        ]
        assert not request.keys() & {"tools", "output", "tool_choice"}


@every_way
def test_text_without_a_label_is_the_answer(way: Any):
    """A model that just answers is understood, and a stream says it at its end."""
    with replies("It is cold.\n"):
        result, heard = way(asking())
    assert result.value == "It is cold.\n"
    assert heard in (None, "It is cold.\n")


@every_way
def test_what_the_model_gets_wrong_goes_back_to_it(way: Any):
    """Unknown tools, bad JSON, missing input and broken contracts are observations like any other."""
    wrong = {
        "Action: climate\nAction Input: {}": "the tool 'climate' does not exist; the tools are: weather, add",
        'Action: add\nAction Input: {"a": }': "bad arguments: $: not JSON",
        "Action: weather": "$.city: required, but missing",
        "Action: weather\nAction Input: Atlantis": "there is no weather in Atlantis",
        "Action: I would use the weather!": "the tool 'I_would_use_the_weather_' does not exist",
    }
    with replies(*wrong, COLD) as seen:
        assert way(asking())[0].value == "It is cold."
    for request, problem in zip(seen.requests[1:], wrong.values(), strict=True):
        assert said(request)[-1][0] == "user"
        assert said(request)[-1][1].startswith("Observation: Error: ")
        assert problem in said(request)[-1][1]


@every_way
def test_several_actions_are_parallel_calls(way: Any):
    """All that stand before an invented observation are called; each result comes back under its name."""
    turn = f'{OSLO}\nAction: add\nAction Input: {{"a": 1}}'
    with replies(f"{turn}\nObservation: 99\nFinal Answer: 99", COLD) as seen:
        result, _ = way(asking())
    assert [done.value for done in result.tool_calls] == [4, 2]
    assert said(seen.requests[1])[1:] == [
        ("assistant", turn),
        ("user", "Observation 1 (weather): 4\nObservation 2 (add): 2"),
    ]


def test_one_action_at_a_time_when_parallel_tools_are_off():
    """The first action counts; what was written behind it is not repeated to the model either."""
    with replies(f"{OSLO}\nAction: add\nAction Input: 1", COLD) as seen:
        result = asking(parallel_tools=False).run()
    assert [done.name for done in result.tool_calls] == ["weather"]
    assert said(seen.requests[1])[1] == ("assistant", OSLO)


@pytest.mark.parametrize(
    ("turn", "arguments"),
    [
        ("Action: weather\nAction Input: Paris", {"city": "Paris"}),
        ('Action: weather\nAction Input: "Paris"', {"city": "Paris"}),
        ("Action: weather\nAction Input: 42", {"city": "42"}),
        ("Action: weather\nAction Input: city: Paris", {"city": "Paris"}),
        ('Action: weather(city="Paris")', {"city": "Paris"}),
        ("Action: double\nAction Input: 21", {"number": 21}),
        ('Action: double\nAction Input: "21"', {"number": 21}),
        ("Action: total\nAction Input: [1, 2]", {"numbers": [1, 2]}),
        ("Action: total\nAction Input: None", {"numbers": []}),
        ("Action: now\nAction Input: None", {}),
        ("Action: now()", {}),
    ],
)
def test_an_input_that_is_no_object_is_the_only_argument(turn: str, arguments: dict[str, Any]):
    """Where a tool has one parameter there is no doubt what is meant."""

    @tool
    def double(number: int) -> int:
        """Double."""
        return 2 * number

    @tool
    def total(numbers: list[int] = []) -> int:  # noqa: B006
        """Add up."""
        return sum(numbers)

    @tool
    def now() -> str:
        """The time."""
        return "now"

    with replies(turn, COLD):
        [done] = asking(tools=[weather, double, total, now]).run().tool_calls
    assert done.error is None
    assert {"numbers": [], **done.arguments} == {"numbers": [], **arguments}


@every_way
@pytest.mark.parametrize(
    ("finish", "kind"), [("length", TruncatedError), ("filter", AlloyError), ("refusal", RefusalError)]
)
def test_what_is_cut_off_is_never_called(way: Any, finish: Any, kind: type[AlloyError]):
    """An action whose turn did not end by itself may be half of one."""
    with replies(Reply(OSLO, finish=finish)), pytest.raises(kind) as caught:
        way(asking())
    assert caught.value.transcript[-1].calls == ()


def test_the_usage_of_all_turns_is_added_up():
    """It is the provider's own, turn by turn."""
    with replies(Reply(OSLO, usage=Usage(10, 5)), Reply(COLD, usage=Usage(20, 6))):
        assert asking().run().usage == Usage(30, 11)


@every_way
def test_the_last_try_can_only_answer(way: Any):
    """After a turn without an answer the model is told to answer now, and an action no longer counts."""
    with replies("Thought: hm", OSLO) as seen, pytest.raises(EmptyAnswerError) as caught:
        way(asking())
    assert "Answer now" in seen.requests[1]["system"]
    assert "Action Input" not in seen.requests[1]["system"]
    assert len(caught.value.transcript) == 4
    with replies("Thought: hm", COLD):
        assert way(asking())[0].value == "It is cold."


def test_a_wrong_answer_is_asked_for_again():
    """A typed answer that does not read goes back with what was wrong, as with any model."""
    with replies("Final Answer: 12", 'Final Answer: {"city": "Oslo", "degrees": 4}') as seen:
        assert asking(Report)() == Report("Oslo", 4)
    assert said(seen.requests[1])[1] == ("assistant", "Final Answer: 12")


def test_scripts_that_call_tools_natively_work_as_well():
    """What comes as a call of its own, unasked, is one; and it is repeated in words."""
    with replies(call("weather", city="Oslo"), COLD) as seen:
        result = asking().run()
    assert [done.value for done in result.tool_calls] == [4]
    assert said(seen.requests[1])[1] == ("assistant", 'Action: weather\nAction Input: {"city":"Oslo"}')


def test_ids_are_unique_over_the_conversation():
    """A result is paired with its call by nothing else."""
    with replies(OSLO + "\n" + OSLO, OSLO, COLD):
        ids = [done.call.id for done in asking().run().tool_calls]
    assert ids == ["react_1_1", "react_1_2", "react_2_1"]


# --- when it is used ------------------------------------------------------------------------------


def test_a_model_without_tools_gets_it_by_itself(registry: None):
    """The backend's table says so, and the result tells."""
    register_backend("weak", FakeBackend("weak", capabilities=Capabilities(tools=False)))
    with replies(OSLO, COLD, backend="weak"):
        result = asking(tool_mode="auto").run()
    assert (result.value, result.downgrades) == ("It is cold.", ("tools",))


@every_way
def test_a_model_that_turns_out_to_have_no_tools_gets_it(way: Any, registry: None):
    """The provider's refusal is no failed try, and is remembered for the next call."""
    refusal = UnsupportedError("does not support tools", feature="tools", provider="fake")
    question = asking(tool_mode="auto")
    with replies(refusal, OSLO, COLD, COLD) as seen:
        result, _ = way(question)
        assert (result.value, result.downgrades) == ("It is cold.", ("tools",))
        way(question)
    assert ["tools" in request for request in seen.requests] == [True, False, False, False]


def test_request_shows_what_would_be_sent():
    """The body is the one with the tools in words."""
    with use_config(backend="fake"):
        body = asking().request()
    assert "Action Input:" in body["system"]
    assert "tools" not in body


def test_native_calls_do_not_even_load_it():
    """Whoever needs no stand-in does not pay for one."""
    code = (
        "import sys, alloy; alloy.ask('hi', backend='fake', model='m'); package = 'alloy.backends.fallback.';"
        "sys.exit(any(m.startswith((package + 're', package + 'pr')) for m in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    request = Request("m", (User("hi"),))
    backend = FakeBackend()
    assert codec_for(backend, request) is backend


# --- what is sent ---------------------------------------------------------------------------------

TOOLS = tuple(ToolSchema(box.name, box.signature.description, box.signature.schema) for box in (weather, add))


def encoded(inner: Any = None, **settings: Any) -> dict[str, Any]:
    request = Request(
        "m", settings.pop("messages", (User("hi"),)), tools=TOOLS, tool_mode="react", **settings
    )
    return codec_for(inner or FakeBackend(), request).encode(request)


def test_tools_are_described_in_the_system_prompt():
    """Behind the caller's own words: name, description, and the arguments' types."""
    system = encoded(system="Be brief.")["system"]
    assert system.startswith("Be brief.\n\n")
    assert "weather: The weather in a city, in degrees.\n{ city: string }" in system
    assert "add: Add numbers.\n{\n  a: integer,\n  b?: integer, // default 1\n}" in system


@pytest.mark.parametrize(
    ("settings", "there", "not_there"),
    [
        ({"tool_choice": "required"}, "Call at least one tool", "Answer now"),
        ({"tool_choice": "add"}, "Call the tool add before", "Answer now"),
        ({"tool_choice": "auto"}, "Action Input", "before you answer"),
        ({"tool_choice": "none"}, "Answer now", "Action Input"),
        ({"allowed_tools": ("add",)}, "add: Add", "weather:"),
        ({"parallel_tools": True}, "several pairs of Action", "Answer now"),
        ({}, "Action Input", "several pairs"),
    ],
)
def test_tool_settings_go_into_the_prompt(settings: dict[str, Any], there: str, not_there: str):
    """The provider, who knows of no tools, gets none of them."""
    body = encoded(**settings)
    assert there in body["system"]
    assert not_there not in body["system"]
    assert not body.keys() & {"tool_choice", "tools", "allowed_tools", "parallel_tools"}


class Unstoppable(OpenAIChatBackend):
    """A server whose models take no stop."""

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(drops=frozenset({"stop"}))


def test_the_model_is_stopped_before_it_invents_an_observation():
    """Unless the caller has said where to stop, there is nothing to invent, or the model takes no stop."""
    assert encoded(OpenAIChatBackend())["stop"] == ["\nObservation:"]
    assert encoded(OpenAIChatBackend(), stop=("END",))["stop"] == ["END"]
    assert "stop" not in encoded(OpenAIChatBackend(), tool_choice="none")
    assert "stop" not in encoded(Unstoppable())


def test_earlier_native_turns_are_written_as_text():
    """Before the fallback, or with another provider: all that was said is still known."""
    calls = ToolCall("x1", "weather", '{"city":"Oslo"}'), ToolCall("x2", "add", "")
    messages = (
        User("Hello"),
        Reply("Hi!", echo=Echo("openai", [{"type": "message"}])),
        User("And?"),
        Reply("Let me see.", calls, finish="tool_calls", echo=Echo("openai", [])),
        ToolResults((ToolResult(calls[0], "4"), ToolResult(calls[1], "Error: bad", error="bad"))),
        Reply(""),
        User("Well?"),
    )
    assert said(encoded(messages=messages)) == [
        ("user", "Hello"),
        ("assistant", "Final Answer: Hi!"),
        ("user", "And?"),
        (
            "assistant",
            'Thought: Let me see.\nAction: weather\nAction Input: {"city":"Oslo"}\n'
            "Action: add\nAction Input: {}",
        ),
        ("user", "Observation 1 (weather): 4\nObservation 2 (add): Error: bad\n\nWell?"),
    ]


def test_images_survive_being_joined():
    """The user's words that follow each other are one turn, pictures among them in their place."""
    picture = Image.from_url("https://example.org/a.png")
    request = Request("m", (User("See"), User(("this:", picture)), Reply("")), tools=TOOLS, tool_mode="react")
    [turn] = rewritten(request.messages)
    assert turn == User(("See", "this:", picture))


def test_a_paused_turn_goes_back_as_it_is():
    """It is the provider's own business, and calls nothing."""
    request = Request("m", (User("hi"),), tools=TOOLS, tool_mode="react")
    paused = Reply(OSLO, finish="pause", echo=Echo("fake", {"any": "thing"}))
    reply = ReActBackend(FakeBackend(), request).reread(paused)
    assert (reply.text, reply.calls, reply.finish, reply.echo) == ("", (), "pause", paused.echo)
    assert said(encoded(messages=(User("hi"), paused)))[1] == ("assistant", OSLO)


def test_without_tools_only_the_form_of_earlier_turns_is_left():
    """The last turn of a conversation may be asked for without tools: nothing in it is a call."""
    request = Request("m", (User("hi"),), tool_mode="react", output=OutputSchema("x", {"type": "object"}))
    codec = codec_for(FakeBackend(), request)
    assert "Answer now" in codec.encode(request)["system"]
    assert ReActBackend(FakeBackend(), request).reread(Reply(OSLO)).calls == ()
    assert ReActBackend(FakeBackend(), request).reread(Reply(COLD)).text == "It is cold."
