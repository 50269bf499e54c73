"""`@tool`: what becomes a tool, what is shown to the model, and what comes of its calls."""

import asyncio
import copy
import functools
import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from alloy import ConfigurationError, Tool, ToolError, ask, command, require, tool
from alloy.testing import call, calls, replies
from alloy.tools import as_tool


@tool
def add(a: int, b: Annotated[int, "the second"] = 2) -> int:
    """Add two numbers.

    Args:
        a: the first
    """
    return a + b


@dataclass
class Point:
    """A point in the plane."""

    x: int
    y: int = 0


def used(given: Any, *turns: Any, **options: Any) -> list[str]:
    """What the model got back from each call of one run with one tool."""
    with replies(*turns, "done"):
        return [made.content for made in ask.run("go", tools=[given], **options).tool_calls]


# --- the object -----------------------------------------------------------------------------------


def test_a_tool_has_the_manners_of_its_function():
    """Name, docstring, module, qualified name, signature, `__wrapped__` and attributes are the function's."""

    def work(x: int, *, flag: bool = False) -> str:
        """Work."""
        return f"{x}{flag}"

    work.mark = "kept"  # type: ignore[attr-defined]
    made = tool(work)
    assert isinstance(made, Tool) and callable(made)
    for name in ("__name__", "__doc__", "__module__", "__qualname__", "__annotations__", "mark"):
        assert getattr(made, name) == getattr(work, name)
    assert made.__wrapped__ is work and inspect.unwrap(made) is work
    assert inspect.signature(made) == inspect.signature(work)
    assert repr(made) == "<tool work(x: int, *, flag: bool = False) -> str>"


def test_calling_a_tool_is_an_ordinary_call():
    """By position, by keyword, with defaults; without any conversion."""
    assert (add(1), add(1, 5), add(b=1, a=1)) == (3, 6, 2)
    assert add("a", "b") == "ab"
    with pytest.raises(TypeError):
        add()


def test_an_async_tool_is_awaited_as_its_function_is():
    """Calling it gives the coroutine."""

    @tool
    async def work(x: int) -> int:
        return x

    assert asyncio.run(work(3)) == 3


def test_what_the_model_is_shown():
    """Name, description and parameters with their own descriptions; only what has no default is required."""
    with replies("done") as seen:
        ask("go", tools=[add])
    shown = seen.requests[0]["tools"][0]
    assert (shown["name"], shown["description"]) == ("add", "Add two numbers.")
    assert shown["parameters"]["required"] == ["a"]
    properties = shown["parameters"]["properties"]
    assert [properties[name]["description"] for name in ("a", "b")] == ["the first", "the second"]


def test_a_given_name_and_description_win():
    """The model sees them and calls the tool by that name; Python's name stays."""
    renamed = tool(name="plus", description="Sum.")(add.__wrapped__)
    with replies(call("plus", a=1, b=1), "done") as seen:
        done = ask.run("go", tools=[renamed])
    shown = seen.requests[0]["tools"][0]
    assert (shown["name"], shown["description"], renamed.description) == ("plus", "Sum.", "Sum.")
    assert (done.tool_calls[0].value, renamed.__name__) == (2, "add")


def test_a_tool_can_be_made_of_a_tool():
    """`tool(other, name=…)` makes a second tool under another name; the rest stays the same."""
    plus = tool(add, name="plus")
    assert (plus.name, plus.description, plus(1)) == ("plus", add.description, 3)
    sum_ = tool(plus, description="Sum.")
    assert (sum_.name, sum_.description) == ("plus", "Sum.")
    assert add.name == "add"


def test_an_attribute_of_the_function_hides_nothing_of_the_tool():
    """A function may carry any attribute, one that is called as a part of a tool is, too."""

    def work(only: str) -> str:
        """Work."""
        return only

    work.__dict__.update(signature="mine", description="mine", mark="mine")
    made = tool(work)
    assert list(made.signature.schema["properties"]) == ["only"]
    assert (made.description, made.mark) == ("Work.", "mine")


# --- what can be a tool ---------------------------------------------------------------------------


class Scaler:
    """Multiply by a factor."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, x: int) -> int:
        """Multiply."""
        return self.factor * x

    def method(self, x: int) -> int:
        """Multiply."""
        return self.factor * x

    @classmethod
    def of_class(cls, x: int) -> str:
        """Name."""
        return f"{cls.__name__} {x}"

    @staticmethod
    def static(x: int) -> int:
        """Give back."""
        return x


async def negate(x: int) -> int:
    """Negate."""
    return -x


class AsyncScaler:
    """Multiply, later."""

    async def __call__(self, x: int) -> int:
        """Multiply."""
        return 3 * x


PLAIN: dict[str, tuple[Any, str, str]] = {
    "function": (add.__wrapped__, "add", "5"),
    "async function": (negate, "negate", "-3"),
    "bound method": (Scaler(2).method, "method", "6"),
    "classmethod": (Scaler.of_class, "of_class", "Scaler 3"),
    "staticmethod": (Scaler.static, "static", "3"),
    "callable object": (Scaler(4), "Scaler", "12"),
    "async callable object": (AsyncScaler(), "AsyncScaler", "9"),
    "partial": (functools.partial(add.__wrapped__, b=10), "add", "13"),
    "partial of a partial": (functools.partial(functools.partial(Scaler(5).method)), "method", "15"),
    "async partial": (functools.partial(negate), "negate", "-3"),
    "named lambda": (tool(Scaler(6).method, name="six"), "six", "18"),
    "class": (Point, "Point", '{"x":3,"y":0}'),
}


@pytest.mark.parametrize(("given", "name", "content"), PLAIN.values(), ids=PLAIN)
def test_any_typed_callable_can_stand_in_tools(given: Any, name: str, content: str):
    """It is converted, called with checked arguments, and its result goes to the model."""
    argument = "a" if name == "add" else "x"
    assert used(given, call(name, **{argument: "3"})) == [content]
    with replies(call(name, **{argument: 3}), "done"):
        done = asyncio.run(ask.run_async("go", tools=[given]))
    assert done.tool_calls[0].content == content
    refused = used(given, call(name, **{argument: "three"}))
    assert refused[0].startswith(f"Error: bad arguments: $.{argument}")


def with_star(*rest: int) -> None: ...


def with_stars(**rest: int) -> None: ...


def by_position(x: int, /) -> None: ...


async def yields_later(x: int) -> Any:
    yield x


def untyped(x: int, y) -> None: ...  # type: ignore[no-untyped-def]


class Unbound:
    """Its method is not a tool before it is bound."""

    @tool
    def pay(self, amount: int) -> int:
        """Pay."""
        return amount


BAD: dict[str, tuple[Any, str]] = {
    "star": (with_star, r"'with_star' takes \*rest"),
    "stars": (with_stars, r"'with_stars' takes \*\*rest"),
    "by position": (by_position, "'by_position' takes x by position only"),
    "async generator": (yields_later, "'yields_later' is an async generator.*return a list"),
    "untyped": (untyped, "'untyped' has no type hint for its parameter 'y'"),
    "lambda": (lambda: 1, "'<lambda>' cannot be the name of a tool.*@tool.name"),
    "builtin": (len, "'len' takes obj by position only"),
    "builtin without a signature": (max, "parameters of the tool 'max' are not known"),
    "text": ("add", "tools has 'add', which is neither a function nor a tool"),
    "number": (5, "tools has 5, which is neither"),
    "None": (None, "tools has None, which is neither"),
    "unbound method": (Unbound.pay, r"'pay' is a method without an instance.*tools=\[thing.pay\]"),
    "unbound plain method": (Scaler.method, "'method' is a method without an instance"),
}


@pytest.mark.parametrize(("given", "problem"), BAD.values(), ids=BAD)
def test_what_cannot_be_a_tool_is_refused_at_decoration(given: Any, problem: str):
    """The error names who asked for it, the tool, the cause and the way out."""

    def work() -> str:
        return "hello"

    with pytest.raises(ConfigurationError, match=rf"^@command .*work\(\): .*{problem}"):
        command(tools=[given])(work)
    with pytest.raises(ConfigurationError, match=rf"^ask\(\): .*{problem}"):
        ask("hello", tools=[given])


@pytest.mark.parametrize("given", [with_star, untyped, by_position, "add", 5, max])
def test_the_decorator_refuses_too(given: Any):
    """`@tool` itself raises where the function stands."""
    with pytest.raises(ConfigurationError):
        tool(name="fine")(given)


@pytest.mark.parametrize("name", ["", "with space", "1st", "naïve", "a" * 65, "dots.and", "x\n", "-x"])
def test_an_illegal_name_is_refused(name: str):
    """What some provider would turn down is turned down here, at decoration."""
    with pytest.raises(ConfigurationError, match="cannot be the name of a tool"):
        tool(name=name)(add.__wrapped__)


@pytest.mark.parametrize("name", ["a", "_private", "snake_case", "kebab-case", "Camel9", "a" * 64])
def test_a_legal_name_is_taken(name: str):
    """Letters, digits, underscore and hyphen, up to 64."""
    assert tool(name=name)(add.__wrapped__).name == name


def test_two_tools_of_one_name_are_refused():
    """The error names the command and the name that stands twice."""
    with pytest.raises(ConfigurationError, match=r"^ask\(\): more than one tool is named add; .*@tool\(name"):
        ask("hello", tools=[add, add.__wrapped__])


@pytest.mark.parametrize("tools", ["add", 5, None, add])
def test_tools_is_a_list(tools: Any):
    """A single tool, a text or `None` instead of a list is an error."""
    with pytest.raises(ConfigurationError, match="tools must be a list of tools"):
        ask("hello", tools=tools)


@pytest.mark.parametrize(
    "kind", [list, tuple, iter, lambda tools: (t for t in tools), lambda tools: dict.fromkeys(tools)]
)
def test_tools_may_come_in_any_row(kind: Callable[[list[Any]], Any]):
    """Lists, tuples, generators and the like; a command keeps them for every call."""
    both = command(tools=kind([add, negate]))(_prompt)
    for _ in range(2):
        with replies(calls(call("add", a=1), call("negate", x=1)), "done"):
            assert [made.content for made in both.run().tool_calls] == ["3", "-1"]


def _prompt() -> str:
    return "hello"


def test_a_type_without_a_schema_names_the_tool():
    """Found when the tool is first shown, with the tool's name and the type."""

    class Strange:
        """No data."""

    @tool(name="odd")
    def work(x: Strange) -> str:
        return ""

    with pytest.raises(ConfigurationError, match=r"ask\(\): .*'odd'.*Strange"):
        ask("hello", tools=[work], backend="fake")


# --- methods --------------------------------------------------------------------------------------


@dataclass
class Shop:
    """Tools in a class."""

    tax: int
    sold: list[int] = field(default_factory=list)

    @tool
    def price(self, net: int) -> int:
        """Price with tax."""
        return net + self.tax

    @tool(name="sell")
    async def sell_one(self, net: int) -> int:
        """Sell."""
        self.sold.append(net)
        return len(self.sold)

    @tool
    @staticmethod
    def round_up(x: float) -> int:
        """Round up."""
        return int(x) + 1

    @staticmethod
    @tool
    def round_down(x: float) -> int:
        """Round down."""
        return int(x)

    @tool
    @classmethod
    def motto(cls, word: str) -> str:
        """Motto."""
        return f"{cls.__name__}: {word}"

    @classmethod
    @tool
    def slogan(cls, word: str) -> str:
        """Slogan."""
        return f"{cls.__name__}! {word}"


class Discount(Shop):
    """A shop with a cheaper price."""

    @tool
    def price(self, net: int) -> int:
        """Price, cheaper."""
        return super().price(net) - 1


def test_methods_of_every_kind_are_tools():
    """Bound to their instance or class, for Python and for the model."""
    shop = Discount(5)
    assert (shop.price(10), shop.round_up(1.5), shop.round_down(1.5)) == (14, 2, 1)
    assert (shop.motto("x"), Discount.motto("x"), Shop.slogan("y")) == (
        "Discount: x",
        "Discount: x",
        "Shop! y",
    )
    tools = [shop.price, shop.sell_one, shop.round_up, shop.round_down, Discount.motto, Shop.slogan]
    turn = calls(
        call("price", net=10),
        call("sell", net=10),
        call("round_up", x=1.5),
        call("round_down", x=1.5),
        call("motto", word="x"),
        call("slogan", word="y"),
    )
    with replies(turn, "done"):
        done = ask.run("go", tools=tools)
    assert [made.content for made in done.tool_calls] == ["14", "1", "2", "1", "Discount: x", "Shop! y"]
    assert shop.sold == [10]


def test_a_bound_tool_is_not_bound_again():
    """A bound tool that becomes a class attribute stays with its instance, as a bound method does."""
    shop = Shop(5)

    class Other:
        price = shop.price

    assert Other().price(1) == 6
    assert inspect.signature(Other().price) == inspect.signature(shop.price)


# --- pickle and copy ------------------------------------------------------------------------------


@require(lambda x: x > 0, "positive")
def guarded(x: int) -> int:
    """Guard."""
    return x


alias = tool(guarded, name="alias")


@pytest.mark.parametrize(
    "given",
    [add, Shop(5).price, Shop.round_up, Shop.round_down, Shop.motto, Discount(2).price, as_tool(negate)],
)
def test_tools_travel_by_pickle(given: Any):
    """Functions, methods of every kind and converted functions come back as they were."""
    for back in (pickle.loads(pickle.dumps(given)), copy.copy(given), copy.deepcopy(given)):
        assert isinstance(back, Tool)
        assert (back.name, back.description, str(inspect.signature(back))) == (
            given.name,
            given.description,
            str(inspect.signature(given)),
        )


def test_a_method_travels_with_its_instance():
    """State goes along, and the copy has its own."""
    shop = Shop(5)
    back = pickle.loads(pickle.dumps(shop.price))
    shop.tax = 7
    assert (back(1), shop.price(1)) == (6, 8)


def test_a_tool_from_a_function_can_be_copied():
    """Deep copies of what is not importable keep their contracts."""

    @tool
    @require(lambda x: x > 0, "positive")
    def local(x: int) -> int:
        return x

    for back in (copy.copy(local), copy.deepcopy(local)):
        assert back(1) == 1
        with pytest.raises(ToolError, match="positive"):
            back(0)
