"""A server that calls a tool which `tool_choice` does not let it call: the tool does not run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kit.apis import CHAT, OLLAMA, OLLAMA_CHAT, Api, apis, every_mode
from kit.talking import MODES
from kit.ways import WAYS, Asked
from kit.wire import WireServer

from alloy import UnsupportedError, ask, listen, tool
from alloy.backends.memory import forget
from alloy.events import ToolFinished, ToolStarted
from alloy.testing import call, replies

ran: list[str] = []

ADD = ("add", {"a": 2, "b": 3}, "c1")
SUB = ("sub", {"a": 2, "b": 3}, "c2")
OTHER = ("nope", {}, "c3")
ACTION = 'Action: add\nAction Input: {"a": 2, "b": 3}'


@tool
def add(a: int, b: int) -> int:
    """Add."""
    ran.append("add")
    return a + b


@tool
def sub(a: int, b: int) -> int:
    """Subtract."""
    ran.append("sub")
    return a - b


TOOL_CHOICE: dict[str, Callable[[Any], Any]] = {
    "gemini": lambda body: body["toolConfig"],
    **dict.fromkeys(("openai", "openai-chat", "anthropic"), lambda body: body.get("tool_choice")),
}
WAY_OF = dict(zip(MODES, WAYS, strict=True))


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    forget()
    ran.clear()
    yield
    forget()


def run(api: Api, mode: str, server: WireServer, choice: str, *answers: Any, **options: Any) -> Any:
    """The result of a call with both tools; *answers* are texts, or lists of calls."""
    for given in answers:
        text, calls = (given, ()) if isinstance(given, str) else ("", given)
        server.script(api.answer(mode, text, calls=calls))
    asking = Asked("2 + 3?", tools=[add, sub], tool_choice=choice, **{**api.options(server), **options})
    return WAY_OF[mode](asking)[0]


def outcomes(result: Any) -> list[tuple[str, str | None]]:
    return [(each.name, each.error and each.error.partition(";")[0]) for each in result.tool_calls]


SUB_REFUSED = ("sub", "the tool 'sub' may not be called now")


@apis(OLLAMA, OLLAMA_CHAT)  # which have no tool choice
@every_mode
def test_the_model_learns_that_another_tool_is_not_the_forced_one(
    server: WireServer, api: Api, mode: str
) -> None:
    """The choice holds until the forced tool has been called."""
    result = run(api, mode, server, "add", [SUB], [ADD], "5.")
    assert (result.value, ran, outcomes(result)) == ("5.", ["add"], [SUB_REFUSED, ("add", None)])
    assert "may not be called now; the tools are: add" in server.requests[1].content.decode()
    chosen = [TOOL_CHOICE[api.name](request.json) for request in server.requests]
    assert chosen[0] == chosen[1] != chosen[2]


@apis(OLLAMA, OLLAMA_CHAT)
@every_mode
def test_no_tool_is_run_that_the_model_may_not_call(server: WireServer, api: Api, mode: str) -> None:
    """Under "none", which providers cannot be relied on to enforce."""
    result = run(api, mode, server, "none", [ADD, SUB], "5.")
    assert (result.value, ran) == ("5.", [])
    assert [error for _, error in outcomes(result)] == [
        f"the tool {name!r} may not be called now" for name in ("add", "sub")
    ]
    assert "the tools are: none" in server.requests[1].content.decode()


@every_mode
@pytest.mark.parametrize("calls", [[SUB, ADD], [ADD, SUB]])
def test_of_several_calls_the_forced_one_is_run(server: WireServer, mode: str, calls: Any) -> None:
    """The results are in the order of the calls."""
    seen: list[Any] = []
    with listen(seen.append):
        result = run(CHAT, mode, server, "add", calls, "5.")
    assert (result.value, ran) == ("5.", ["add"])
    assert [each.call.id for each in result.tool_calls] == [each[2] for each in calls]
    assert dict(outcomes(result)) == {"add": None, "sub": SUB_REFUSED[1]}
    for kind, found in ((ToolStarted, "call"), (ToolFinished, "result")):
        assert len([getattr(event, found) for event in seen if isinstance(event, kind)]) == 2


@every_mode
@pytest.mark.parametrize(
    ("choice", "second"), [("add", [SUB]), ("add", "Done."), ("add", [OTHER]), ("required", [OTHER])]
)
def test_a_forced_choice_that_is_ignored_twice_falls_back_to_react(
    server: WireServer, mode: str, choice: str, second: Any
) -> None:
    """As one that is answered in prose; a call of an unknown tool is no call of a tool either."""
    first = [OTHER if choice == "required" else SUB]
    result = run(CHAT, mode, server, choice, first, second, ACTION, "Final Answer: 5")
    assert (result.value, ran, result.downgrades) == ("5", ["add"], ("tools",))


@every_mode
@pytest.mark.parametrize("second", [[SUB], "Done."])
@pytest.mark.parametrize("options", [{"strict_capabilities": True}, {"tool_mode": "native"}])
def test_without_the_fallback_it_is_an_error(
    server: WireServer, mode: str, second: Any, options: dict[str, Any]
) -> None:
    """That is not tried again."""
    with pytest.raises(UnsupportedError, match="although tool_choice is 'add'") as caught:
        run(CHAT, mode, server, "add", [SUB], second, **options)
    assert not caught.value.transient and ran == []


def test_a_required_call_is_one_of_the_allowed_tools(server: WireServer) -> None:
    """The choice holds until one of them has been called."""
    result = run(CHAT, "send", server, "required", [SUB], [ADD], "5.", allowed_tools=["add"])
    assert (result.value, ran) == ("5.", ["add"])
    assert server.requests[1].json["tool_choice"] == "required"


@pytest.mark.parametrize("name", ["functions.add", "add<|channel|>json"])
def test_a_forced_tool_may_be_called_with_more_around_its_name(server: WireServer, name: str) -> None:
    assert run(CHAT, "send", server, "add", [(name, {"a": 2, "b": 3})], "5.").value == "5."
    assert ran == ["add"]


def test_by_react_another_tool_does_not_run_either() -> None:
    other = ACTION.replace("add", "sub")
    with replies(other, ACTION, "Final Answer: 5"):
        result = ask.run("?", tools=[add, sub], tool_choice="add", tool_mode="react")
    assert (result.value, ran, outcomes(result)) == ("5", ["add"], [SUB_REFUSED, ("add", None)])


def test_the_last_request_for_a_missing_answer_runs_nothing() -> None:
    """It says that no tool may be called."""
    with replies(call("add", a=2, b=3), "", call("sub", a=2, b=3), "5."):
        result = ask.run("?", tools=[add, sub])
    assert (result.value, ran) == ("5.", ["add"])
