"""`ask`: the same machine without a decorated function."""

import asyncio
import copy
import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from alloy import CommandError, ConfigurationError, Result, ask, command, tool
from alloy.testing import call, replies


@dataclass
class Item:
    """A thing with a price."""

    name: str
    price: float


@tool
def look(where: str) -> str:
    """Look."""
    return f"seen {where}"


WAYS: dict[str, Any] = {
    "call": lambda *a, **o: ask(*a, **o),
    "run": lambda *a, **o: ask.run(*a, **o).value,
    "async_": lambda *a, **o: asyncio.run(ask.async_(*a, **o)),
    "run_async": lambda *a, **o: asyncio.run(ask.run_async(*a, **o)).value,
    "stream": lambda *a, **o: ask.stream(*a, **o).result(),
    "stream_async": lambda *a, **o: asyncio.run(_streamed(*a, **o)).value,
}
EVERY_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


async def _streamed(*args: Any, **options: Any) -> Result[Any]:
    return await ask.stream_async(*args, **options).run()


@EVERY_WAY
def test_a_question_is_answered_with_text(way: Any):
    """The prompt goes out as it stands, the answer comes back so."""
    with replies("Paris.") as seen:
        assert way("Capital of France?") == "Paris."
    assert seen.requests == [
        {"model": "fake", "messages": [{"role": "user", "content": "Capital of France?"}]}
    ]


@EVERY_WAY
def test_outputs_tools_and_settings(way: Any):
    """All that a command takes, `ask` takes."""
    with replies(call("look", where="x"), [Item("a", 1)]) as seen:
        found = way(
            "Find", output=list[Item], tools=[look], model="fake:m", system="Be brief.", temperature=0.5
        )
    assert found == [Item("a", 1)]
    first, second = seen.requests
    assert (first["model"], first["system"], first["temperature"]) == ("m", "Be brief.", 0.5)
    assert second["messages"][-1]["content"] == "seen x"


@pytest.mark.parametrize(
    ("context", "shown"),
    [
        ("some text\nin lines", "some text\nin lines"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (Item("a", 1.5), '{"name":"a","price":1.5}'),
        ([Item("a", 1.5)], '[{"name":"a","price":1.5}]'),
        (0, "0"),
    ],
)
@EVERY_WAY
def test_context_follows_the_prompt(way: Any, context: Any, shown: str):
    """Text as it stands, everything else as JSON."""
    with replies("ok") as seen:
        way("What?", context=context)
    assert seen.requests[0]["messages"][0]["content"] == f"What?\n\nContext:\n{shown}"


def test_no_context_leaves_the_prompt_alone():
    """`None` is the same as nothing."""
    with replies("a", "b") as seen:
        ask("What?", context=None)
        ask("What?")
    assert seen.requests[0] == seen.requests[1]


@EVERY_WAY
@pytest.mark.parametrize("prompt", [None, 5, b"x", {"x": 1}])
def test_a_prompt_is_a_str(way: Any, prompt: Any):
    """Or a list of parts; anything else is a `CommandError`, and nothing is sent."""
    with replies(), pytest.raises(CommandError, match=rf"^ask\(\).*{type(prompt).__name__}"):
        way(prompt)


@EVERY_WAY
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"contex": "x"}, "no option 'contex' .did you mean 'context'.*output, tools, .*context, model"),
        ({"output": object()}, "output must be a type, and <object object"),
        ({"output": [int]}, r"output must be a type, and .*: write list.int."),
        ({"output": "Item"}, "the name 'Item' in the text 'Item' is not known here: write the type itself"),
        ({"tools": [5]}, "tools has 5, which is neither a function nor a tool"),
        ({"parser": 5}, "parser must be a function, not 5"),
        ({"conversation": "x"}, "conversation must be a Conversation, not 'x'"),
        ({"retry": -1}, "retry must be"),
        ({"model": "unknown-model", "backend": None}, "write provider:model"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_sent(way: Any, options: dict[str, Any], problem: str):
    """The error names `ask`, the option and how to fix it."""
    with replies() as seen, pytest.raises(ConfigurationError, match=rf"^ask\(\): .*{problem}"):
        way("What?", **options)
    assert seen.requests == []


def test_ask_shows_its_request():
    """Nothing is sent, and it is the same body that would be."""
    with replies(3) as seen:
        shown = ask.request("How many?", output=int, context="x", seed=7)
        assert seen.requests == []
        assert ask("How many?", output=int, context="x", seed=7) == 3
    assert seen.requests == [shown]


def test_ask_takes_what_is_said_about_none():
    """`output=None` is for the effects: no answer is read."""
    with replies(call("look", where="x"), ""):
        done = ask.run("Look", output=None, tools=[look])
    assert done.value is None and done.tool_calls[0].value == "seen x"


def test_commands_are_tools_of_ask():
    """A command answers inside another question."""

    @command(output=int)
    def count(text: str) -> str:
        """Count."""
        return f"count {text}"

    with replies(call("count", text="a"), 4, "four"):
        done = ask.run("How many?", tools=[count])
    assert (done.value, done.tool_calls[0].value) == ("four", 4)


def test_ask_is_one_object():
    """It prints as what it is and travels as itself."""
    assert repr(ask) == "<alloy.ask>"
    assert pickle.loads(pickle.dumps(ask)) is copy.deepcopy(ask) is ask
