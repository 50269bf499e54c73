"""Commands in classes: methods of every kind with the whole object API, bound as methods are."""

import asyncio
import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import ANY

import pytest

from alloy import ConfigurationError, ask, command, tool
from alloy.testing import call, replies
from alloy.tools import as_tool


@dataclass
class Writer:
    """Commands of every kind."""

    style: str
    log: list[str] = field(default_factory=list)

    @command
    def write(self, text: str, *, end: str = ".") -> str:
        """Write."""
        return f"{self.style}: {text}{end}"

    @command(output=int)
    async def count(self, text: str) -> str:
        """Count."""
        return f"{self.style} {text}"

    @command
    @classmethod
    def of_class(cls, text: str) -> str:
        """Name."""
        return f"{cls.__name__}: {text}"

    @classmethod
    @command
    def of_class_above(cls, text: str) -> str:
        """Name."""
        return f"{cls.__name__}: {text}"

    @command(temperature=1)
    @staticmethod
    def static(text: str) -> str:
        """Give back."""
        return text

    @staticmethod
    @command(temperature=1)
    def static_above(text: str) -> str:
        """Give back."""
        return text


class Poet(Writer):
    """A writer with another way to write."""

    @command
    def write(self, text: str, *, end: str = "!") -> str:
        """Write, better."""
        return f"poem {text}{end}"

    def plainly(self, text: str) -> str:
        """As a writer would."""
        return super().write(text)


def echo(body: Any) -> str:
    """The prompt, given back as the answer."""
    return body["messages"][-1]["content"]


PROMPTS: list[tuple[Callable[[], Any], str]] = [
    (lambda: Writer("dry").write, "dry: x."),
    (lambda: Poet("dry").write, "poem x!"),
    (lambda: Writer("dry").of_class, "Writer: x"),
    (lambda: Poet.of_class, "Poet: x"),
    (lambda: Poet("dry").of_class, "Poet: x"),
    (lambda: Writer.static, "x"),
    (lambda: Poet("dry").static, "x"),
    (lambda: Writer("dry").static_above, "x"),
    (lambda: Writer.static_above, "x"),
]
if sys.version_info < (3, 13):
    PROMPTS += [(lambda: Poet.of_class_above, "Poet: x"), (lambda: Poet("dry").of_class_above, "Poet: x")]


@pytest.mark.parametrize(("given", "prompt"), PROMPTS)
def test_the_whole_api_is_bound(given: Callable[[], Any], prompt: str):
    """Calls, runs, streams, requests, copies: each gets `self`, or the class it was looked up on."""
    bound = given()
    with replies(*[echo] * 7):
        found = [
            bound("x"),
            bound.run("x").value,
            "".join(bound.stream("x")),
            asyncio.run(bound.async_("x")),
            asyncio.run(bound.run_async("x")).value,
            bound.with_options(retry=0)("x"),
            bound.with_options(retry=0).with_options(retry=1).run(text="x").value,
        ]
        assert found == [prompt] * 7
        assert bound.request("x")["messages"][0]["content"] == prompt
    assert "self" not in inspect.signature(bound).parameters
    assert "cls" not in inspect.signature(bound).parameters
    assert "self" not in repr(bound)


def test_async_methods_are_bound_too():
    """By every way to call them."""

    async def main() -> list[Any]:
        count = Writer("dry").count
        return [
            await count("x"),
            (await count.run("x")).value,
            await count.stream("x").result(),
            (await count.request("x"))["messages"][0]["content"],
        ]

    with replies(1, 2, 3):
        assert asyncio.run(main()) == [1, 2, 3, "dry x"]


def test_super_reaches_the_parents_command():
    """With the child's `self`."""
    with replies(echo):
        assert Poet("dry").plainly("x") == "dry: x."


def test_a_method_can_be_called_on_its_class():
    """With the instance as the first argument, as any function."""
    with replies(echo, echo):
        assert Writer.write(Poet("wet"), "x") == "wet: x."
        assert Writer.write.run(Writer("dry"), "x").value == "dry: x."
    assert list(inspect.signature(Writer.write).parameters) == ["self", "text", "end"]


def test_classmethod_above_command_works_or_says_why_not():
    """Plain calls do everywhere; from Python 3.13 on the rest names the order that works."""
    with replies(echo):
        assert Poet.of_class_above("x") == "Poet: x"
    if sys.version_info < (3, 13):
        return
    for way in (
        Poet.of_class_above.run,
        Poet.of_class_above.stream,
        Poet.of_class_above.with_options(retry=0),
    ):
        with replies() as seen, pytest.raises(ConfigurationError, match="@command above @classmethod"):
            way("x")
        assert seen.requests == []


def test_a_parameter_may_be_called_cls():
    """In a plain function that is only a name."""

    @command
    def classify(cls: str) -> str:
        return cls

    with replies(echo, echo):
        assert classify("a") == "a"
        assert classify(cls="b") == "b"


@pytest.mark.parametrize("given", [Poet.of_class, Poet.of_class_above, Poet("dry").write, Writer.static])
def test_methods_of_every_kind_can_be_tools(given: Any):
    """In either order with `@classmethod`, on every Python."""
    assert list(as_tool(given).signature.schema["properties"])[:1] == ["text"]
    name = given.__name__
    with replies(call(name, text="x"), echo, "done"):
        done = ask.run("go", tools=[given])
    assert done.tool_calls[0].value in ("Poet: x", "poem x!", "x")


def test_a_bound_command_is_not_bound_again():
    """A bound command that becomes a class attribute stays with its instance, as a bound method does."""
    bound = Writer("dry").write

    class Other:
        write = bound

    with replies(echo):
        assert Other().write("x") == "dry: x."


def test_an_abstract_command_stays_abstract():
    """Whatever stands above what."""

    class Base(ABC):
        @command
        @abstractmethod
        def one(self) -> str: ...

        @command
        @classmethod
        @abstractmethod
        def two(cls) -> str: ...

    assert Base.__abstractmethods__ == {"one", "two"}


def test_instances_share_no_state():
    """Binding one leaves the other alone."""
    first, second = Writer("a").write, Writer("b").write
    with replies(echo, echo, echo):
        assert [first("x"), second("x"), first("x")] == ["a: x.", "b: x.", "a: x."]


class Slots:
    """A class without a `__dict__`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @command
    def greet(self) -> str:
        """Greet."""
        return f"Hello {self.name}"


def test_slots_are_no_hindrance():
    """Binding stores nothing in the instance."""
    with replies(echo):
        assert Slots("Ada").greet() == "Hello Ada"


class Shop:
    """Everything that binds, and whose instances are all equal, and cannot be hashed."""

    def __eq__(self, other: object) -> bool:
        return True

    @command
    def greet(self) -> str:
        """Greet."""
        return "hello"

    @command
    async def greet_async(self) -> str:
        """Greet."""
        return "hello"

    @tool
    def sell(self) -> str:
        """Sell."""
        return "sold"

    @command
    @classmethod
    def open(cls) -> str:
        """Open."""
        return "opened"


@pytest.mark.parametrize("name", ["greet", "greet_async", "sell"])
def test_two_look_ups_are_equal_as_those_of_methods_are(name: str):
    """Equal for the same instance only, whatever the instances think of themselves."""
    one, two = Shop(), Shop()

    def bound(instance: Shop) -> Any:
        return getattr(instance, name)

    assert bound(one) == bound(one) and hash(bound(one)) == hash(bound(one))
    assert bound(one) != bound(two) and bound(one) != getattr(Shop, name)
    assert len({bound(one), bound(one), bound(two), getattr(Shop, name)}) == 3
    assert one.greet != one.greet_async and one.greet != "greet" and one.greet == ANY


def test_commands_of_a_class_are_compared_by_the_class():
    """As class methods are; a copy with other options is another command."""

    class Market(Shop):
        pass

    assert Shop.open == Shop().open and hash(Shop.open) == hash(Shop().open)
    assert Shop.open != Market.open
    assert Shop.open.with_options(retry=0) != Shop.open
