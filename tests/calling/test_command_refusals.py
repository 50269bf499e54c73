"""`@command` refuses what cannot work: at decoration where it can be known, else before anything is sent."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, LiteralString, NewType

import pytest

from alloy import CommandError, ConfigurationError, command
from alloy.testing import replies


@dataclass
class Item:
    """A thing."""

    name: str


@command
def bare(text: str) -> str:
    """A command without options."""
    return text


Prompt = NewType("Prompt", str)
Text = str


def returns_str() -> str:
    return "hello"


def returns_prompt() -> Prompt:
    return Prompt("hello")


def returns_alias() -> Text:
    return "hello"


def returns_annotated() -> Annotated[str, "prompt"]:
    return "hello"


def returns_literal() -> LiteralString:
    return "hello"


def returns_quoted() -> "str":
    return "hello"


@pytest.mark.parametrize(
    "function",
    [returns_str, returns_prompt, returns_alias, returns_annotated, returns_literal, returns_quoted],
)
def test_whatever_is_a_str_is_a_prompt(function: Any):
    """Aliases, `NewType`, `Annotated` and `LiteralString` of it."""
    with replies("a"):
        assert command(function)() == "a"


def unannotated():
    return "hello"


def returns_int() -> int:
    return 5


def returns_list() -> list[int]:
    return []


def returns_union() -> str | None:
    return None


def returns_nothing() -> None: ...


def returns_missing() -> "Missing":  # type: ignore[name-defined]  # noqa: F821
    return ""


def yields() -> str:  # type: ignore[misc]
    yield "hello"


async def yields_later() -> str:  # type: ignore[misc]
    yield "hello"


BAD: list[tuple[Any, str]] = [
    (unannotated, "has no return annotation: write `-> str`"),
    (returns_int, r"`-> int`, but its body returns the prompt: write `-> str` .*@command\(output=int\)"),
    (returns_list, r"write `-> str` .*@command\(output=list\[int\]\)"),
    (returns_union, r"`-> str \| None`"),
    (returns_nothing, r"@command\(output=None\)"),
    (returns_missing, "`-> Missing`"),
    (yields, "is a generator: its body must return the prompt, not yield it"),
    (yields_later, "is an async generator"),
]


@pytest.mark.parametrize(("function", "problem"), BAD, ids=[function.__name__ for function, _ in BAD])
def test_a_function_that_returns_no_prompt_is_refused(function: Any, problem: str):
    """At decoration, with its name, the cause and the way out."""
    with pytest.raises(ConfigurationError, match=rf"^@command {function.__name__}\(\) .*{problem}"):
        command(function)
    with pytest.raises(ConfigurationError, match=problem):
        command(output=int)(function)


@pytest.mark.parametrize("wrong", ["gpt-5", 5, [bare]])
def test_what_is_no_function_is_refused(wrong: Any):
    """A model's name in the place of the function, for one."""
    with pytest.raises(ConfigurationError, match="@command needs a function"):
        command(wrong)


@pytest.mark.parametrize("prompt", [None, 5, b"bytes", {"a": 1}, Item("a")])
def test_a_prompt_that_is_no_str_is_a_command_error(prompt: Any):
    """With the command, the type and what it was; nothing is sent."""

    @command
    def work() -> str:
        return prompt

    @command
    async def work_async() -> str:
        return prompt

    with replies():
        with pytest.raises(
            CommandError, match=rf"^work\(\) must return its prompt as str.*{type(prompt).__name__}"
        ):
            work()
        with pytest.raises(CommandError, match=r"^work_async\(\)"):
            asyncio.run(work_async())


def test_a_forgotten_await_is_named():
    """The error for a sync command that returns a coroutine names the fix; the coroutine is closed."""

    async def prompt() -> str:
        return "hello"

    @command
    def work() -> str:
        return prompt()  # type: ignore[return-value]

    with replies(), pytest.raises(CommandError, match=r"coroutine.*async def"):
        work()


def test_an_error_in_the_body_is_the_callers():
    """What the function raises comes out as it is."""

    @command
    def work() -> str:
        raise LookupError("mine")

    with replies(), pytest.raises(LookupError, match="mine"):
        work()


def test_no_model_names_the_command():
    """The error says how to fix it, and nothing is sent."""
    with pytest.raises(ConfigurationError, match=r"^bare\(\): no model: .*ALLOY_MODEL"):
        bare("x")
