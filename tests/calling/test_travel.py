"""Commands and tools that are pickled, copied, and sent to another process."""

import asyncio
import copy
import multiprocessing
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from alloy import (
    CommandError,
    ConfigurationError,
    PostconditionError,
    ToolError,
    command,
    ensure,
    require,
    tool,
)
from alloy.testing import replies
from alloy.tools import as_tool


@command(output=int, backend="fake")
@require(lambda text: text, "no text")
def count(text: str) -> str:
    """Count."""
    return f"Count: {text}"


@command(backend="fake")
async def later(text: str) -> str:
    """Repeat, later."""
    return f"Later: {text}"


@tool
@require(lambda a: a > 0, "positive")
@ensure(lambda result: result < 100, "small")
def double(a: int) -> int:
    """Double."""
    return 2 * a


def plain(a: int) -> int:
    """Give back."""
    return a


@dataclass
class Desk:
    """State with commands."""

    name: str

    @command(backend="fake", tools=[double])
    def greet(self, text: str) -> str:
        """Greet."""
        return f"{self.name}: {text}"

    @command(backend="fake")
    @classmethod
    def of_class(cls, text: str) -> str:
        """Name."""
        return f"{cls.__name__}: {text}"

    @command(backend="fake")
    @staticmethod
    def static(text: str) -> str:
        """Static."""
        return f"static: {text}"


class Sub(Desk):
    """A child with another greeting."""

    @command(backend="fake")
    def greet(self, text: str) -> str:
        """Greet."""
        return f"sub: {text}"

    def parents(self) -> Any:
        """The parent's command."""
        return super().greet


fast = count.with_options(temperature=0.5, tools=[double, plain, Desk("d").greet, later])

GIVEN: list[Any] = [
    count,
    later,
    fast,
    fast.with_options(max_tokens=9),
    Desk("d").greet,
    Desk("d").greet.with_options(temperature=1),
    Desk.of_class,
    Sub.of_class,
    Sub.of_class.with_options(temperature=1),
    Desk.static,
    Sub("s").greet,
    Sub("s").parents(),
]


def request_of(given: Any) -> dict[str, Any]:
    """What a command would send."""
    shown = given.request("hello")
    return shown if isinstance(shown, dict) else asyncio.run(shown)


@pytest.mark.parametrize("given", GIVEN, ids=repr)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_command_survives_pickling(given: Any, protocol: int):
    """Whatever it is bound to and whatever was changed: it asks the same."""
    back = pickle.loads(pickle.dumps(given, protocol))
    assert type(back) is type(given) and repr(back) == repr(given)
    assert request_of(back) == request_of(given)


@pytest.mark.parametrize("given", GIVEN, ids=repr)
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
def test_a_command_can_be_copied(given: Any, way: Any):
    """By `copy` as well."""
    back = way(given)
    assert type(back) is type(given) and repr(back) == repr(given)
    assert request_of(back) == request_of(given)


def test_what_has_a_name_is_the_same_object():
    """As with functions, pickle carries the name only."""
    assert pickle.loads(pickle.dumps(count)) is count
    assert pickle.loads(pickle.dumps(double)) is double
    assert copy.copy(count) is copy.deepcopy(count) is count


@pytest.mark.parametrize("given", [count, later, fast, Desk("d").greet, Desk.of_class], ids=repr)
def test_a_command_as_a_tool_travels(given: Any):
    """And is the same tool there."""
    made = as_tool(given)
    for back in (pickle.loads(pickle.dumps(made)), copy.copy(made), copy.deepcopy(made)):
        assert (back.name, back.signature.schema) == (made.name, made.signature.schema)
        assert (back.description, back.is_async) == (made.description, made.is_async)


def test_the_instance_goes_along():
    """A bound command's copy has an instance of its own; `super()`'s command stays the parent's."""
    desk = Desk("old")
    back = pickle.loads(pickle.dumps(desk.greet))
    desk.name = "new"
    assert request_of(back)["messages"][0]["content"] == "old: hello"
    back = pickle.loads(pickle.dumps(Sub("s").parents()))
    assert request_of(back)["messages"][0]["content"] == "s: hello"


def test_a_command_from_a_function_can_be_copied():
    """What pickle cannot find by name `copy` can copy, contracts included."""

    @command(output=int, backend="fake")
    @require(lambda text: text, "no text")
    def local(text: str) -> str:
        return text

    for back in (copy.copy(local), copy.deepcopy(local), copy.copy(local.with_options(temperature=1))):
        assert isinstance(back("x"), int)
        with pytest.raises(CommandError, match="no text"):
            back("")


def test_a_strengthened_copy_never_loses_its_clause():
    """A contract that cannot be pickled is an error; it is not left out."""
    strict = require(lambda text: len(text) > 3, "too short")(count.with_options(temperature=1))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(strict)


# --- another process ------------------------------------------------------------------------------


def in_child(given: Any, *args: Any) -> Any:
    """Run in the child: what comes of a call, or its error."""
    return given(*args)


def answered_in_child(given: Any, text: str) -> Any:
    """Run in the child: the whole result."""
    return given.run(text)


def refused_in_child() -> None:
    """Run in the child: an error with a transcript."""
    with replies(-5):
        command(output=int, reask=0)(ensure(lambda result: result > 0, "positive")(count.__wrapped__))("x")


@pytest.mark.slow
def test_a_process_pool_carries_commands_tools_results_and_errors():
    """Through a spawned process and back; the same call gives the same answer there."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        desk = Desk("d")
        assert pool.submit(in_child, count, "x").result() == count("x")
        assert pool.submit(count, "x").result() == count("x")
        assert pool.submit(in_child, desk.greet, "x").result() == desk.greet("x")
        assert pool.submit(in_child, Sub.of_class, "x").result() == Sub.of_class("x")
        assert pool.submit(answered_in_child, fast, "x").result() == fast.run("x")
        assert pool.submit(in_child, double, 4).result() == 8
        with pytest.raises(ToolError, match=r"^positive$") as failed:
            pool.submit(double, -1).result()
        assert failed.value.tool == "double"
        with pytest.raises(CommandError, match="no text"):
            pool.submit(count, "").result()
        with pytest.raises(PostconditionError, match="positive") as raised:
            pool.submit(refused_in_child).result()
        assert raised.value.usage is not None and raised.value.transcript


def identity(value: Any) -> Any:
    """Give back."""
    return value


STUCK: dict[str, Any] = {
    "http_client": httpx.Client(),
    "parser": lambda value: value,
    "on_event": lambda event: None,
    "model": [{"model": "openai:a", "http_client": httpx.Client()}, "fake:b"],
    "extra": {"openai": {"a": threading.Lock()}},
    "tools": [tool(name="local")(lambda: None)],
}


@pytest.mark.parametrize("name", STUCK)
def test_what_cannot_be_pickled_is_named(name: str):
    """With the option, and with what to do; a copy in the process has it."""
    given = count.with_options(**{name: STUCK[name]})
    match = rf"the option {name} cannot be pickled \(.*\): use what"
    with pytest.raises(ConfigurationError, match=match) as caught:
        pickle.dumps(given)
    where = "with_options(…)" if name in ("parser", "tools") else f"configure({name}=…)"
    assert str(caught.value).endswith(f"set it where the command runs, as in {where}")
    assert copy.copy(given).request("x") == given.request("x")


@pytest.mark.parametrize("name", ["parser", "on_event"])
def test_functions_are_copied_with_a_command(name: str):
    """As Python's `deepcopy` takes them."""
    given = count.with_options(**{name: STUCK[name]})
    assert copy.deepcopy(given).request("x") == given.request("x")
    named = count.with_options(**{name: identity})
    assert pickle.loads(pickle.dumps(named)).request("x") == named.request("x")


def test_cloudpickle_takes_more():
    """Distributed engines use it, and functions without a name are no problem then."""
    cloudpickle = pytest.importorskip("cloudpickle")  # comes with Dask
    given = count.with_options(parser=lambda value: value)
    assert pickle.loads(cloudpickle.dumps(given)).request("x") == given.request("x")


def test_a_command_that_is_pickled_by_its_parts_names_the_option_too():
    """Its function has a name, and another object has it."""
    given = command(parser=STUCK["parser"], backend="fake")(identity_prompt)
    with pytest.raises(ConfigurationError, match="the option parser cannot be pickled"):
        pickle.dumps(given)
    assert copy.deepcopy(given).request("x") == given.request("x")


def identity_prompt(text: str) -> str:
    """Give back."""
    return text
