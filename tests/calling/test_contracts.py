"""`@require` and `@ensure`: what predicates may take, where they may stand, and who hears of them."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import pytest

from alloy import (
    ConfigurationError,
    ToolError,
    ask,
    ensure,
    require,
    tool,
)
from alloy.testing import call, calls, replies
from alloy.tools import as_tool

# --- what a predicate may take --------------------------------------------------------------------


def pay(amount: float, currency: str = "EUR", *, note: str = "") -> str:
    """Pay an amount."""
    return f"{amount:g} {currency}{note}"


HOLDS: dict[str, Callable[..., Any]] = {
    "one argument": lambda amount: amount == 5,
    "two in another order": lambda currency, amount: (currency, amount) == ("EUR", 5),
    "one with its default": lambda currency: currency == "EUR",
    "a keyword-only one": lambda note: note == "!",
    "by keyword only": lambda *, amount: amount == 5,
    "with a default of its own": lambda amount, limit=10: amount < limit,
    "the whole by any other name": lambda bound: bound.arguments["amount"] == 5,
    "the whole by position only": lambda bound, /: bound.args == (5, "EUR"),
    "the whole by *args": lambda *given: isinstance(given[0], inspect.BoundArguments),
    "the whole by a default name": lambda bound=None: bound.arguments["note"] == "!",
    "a builtin": bool,
}


@pytest.mark.parametrize("predicate", HOLDS.values(), ids=HOLDS)
def test_a_precondition_gets_what_it_names(predicate: Callable[..., Any]):
    """Arguments arrive by name, with the function's defaults, or all of them at once."""
    assert require(predicate, "no")(pay)(5, note="!") == "5 EUR!"


@pytest.mark.parametrize(
    "predicate",
    [
        lambda result: result == "5 EUR",
        lambda answer: answer == "5 EUR",
        lambda result, amount: result.startswith(f"{amount:g}"),
        lambda amount: amount == 5,
        lambda text, /: text == "5 EUR",
        len,
        str.isprintable,
    ],
)
def test_a_postcondition_gets_the_result_and_what_it_names(predicate: Callable[..., Any]):
    """`result`, or any one other name, is the result; arguments may be named as well."""
    assert ensure(predicate, "no")(pay)(5) == "5 EUR"


@pytest.mark.parametrize(
    "predicate",
    [
        lambda amount, limit: True,
        lambda: True,
        lambda **given: True,
        lambda *, other: True,
        lambda result, amount: True,
    ],
)
def test_a_predicate_that_cannot_be_called_is_refused(predicate: Callable[..., Any]):
    """The error names the function, what was asked for and what there is."""
    with pytest.raises(ConfigurationError, match=r"@require on pay\(\).*amount, currency, note"):
        require(predicate, "no")(pay)


async def _later(amount: float) -> bool:
    return False


class Later:
    """A callable object that is async."""

    async def __call__(self, amount: float) -> bool:
        """Never."""
        return False


@pytest.mark.parametrize("predicate", [_later, Later()])
def test_an_async_predicate_is_refused(predicate: Any):
    """Its coroutine would count as true, so it may not stand there at all."""
    with pytest.raises(ConfigurationError, match="async"):
        require(predicate, "no")(pay)
    with pytest.raises(ConfigurationError, match="async"):
        ensure(predicate, "no")(pay)


def test_a_predicate_that_turns_out_async_does_not_hold():
    """A lambda that returns a coroutine is an error when it is called, and the coroutine is closed."""
    with pytest.raises(ToolError, match=r"no .*async"):
        require(lambda amount: _later(amount), "no")(pay)(5)


@pytest.mark.parametrize("wrong", [None, "amount > 0", 5])
def test_what_cannot_be_called_is_no_predicate(wrong: Any):
    """The error names the decorator and the function."""
    with pytest.raises(ConfigurationError, match=r"@ensure on pay\(\): the predicate must be callable"):
        ensure(wrong)(pay)


def test_a_message_is_text():
    """A message that is not a str is refused."""
    with pytest.raises(ConfigurationError, match="message must be a str"):
        require(lambda amount: True, 5)(pay)  # type: ignore[arg-type]


def test_a_forgotten_predicate_is_told():
    """`@require` without its arguments is an error at the first call."""
    bare: Any = require(pay)
    with pytest.raises(ConfigurationError, match="@require needs a function, not 5"):
        bare(5)


def test_without_a_message_the_condition_is_named():
    """The reader learns which function it was, and whether before or after."""
    with pytest.raises(ToolError, match="the precondition of pay does not hold"):
        require(lambda amount: False)(pay)(5)
    with pytest.raises(ToolError, match="the postcondition of pay does not hold"):
        ensure(lambda result: False)(pay)(5)


class Unclear:
    """As an array of numpy: neither true nor false."""

    def __bool__(self) -> bool:
        """Refuse."""
        raise ValueError("the truth is ambiguous")


@pytest.mark.parametrize(
    ("predicate", "problem"),
    [(lambda amount: 1 / 0, "ZeroDivisionError"), (lambda amount: Unclear(), "the truth is ambiguous")],
)
def test_a_check_that_fails_itself_does_not_hold(predicate: Callable[..., Any], problem: str):
    """Its own error is shown after the message, and is not raised."""
    with pytest.raises(ToolError, match=f"too much .the check failed: .*{problem}"):
        require(predicate, "too much")(pay)(5)
    with pytest.raises(ToolError, match=f"too much .the check failed: .*{problem}"):
        ensure(predicate, "too much")(pay)(5)


def test_the_first_clause_from_the_top_speaks():
    """Clauses are checked in the order in which they are written; the first failure is reported."""
    seen: list[str] = []

    def note(name: str, holds: bool) -> Callable[[Any], bool]:
        return lambda bound: seen.append(name) or holds

    @require(note("a", True), "a")
    @ensure(note("d", True), "d")
    @require(note("b", False), "b")
    @require(note("c", True), "c")
    def work(x: int) -> int:
        seen.append("work")
        return x

    with pytest.raises(ToolError, match=r"^b$"):
        work(1)
    assert seen == ["a", "b"]


# --- plain functions ------------------------------------------------------------------------------


def test_a_guarded_function_keeps_its_manners():
    """Name, docstring, signature and `__wrapped__` are the function's."""
    guarded = require(lambda amount: amount > 0, "no")(pay)
    assert (guarded.__name__, guarded.__doc__, guarded.__module__) == ("pay", "Pay an amount.", __name__)
    assert inspect.signature(guarded) == inspect.signature(pay)
    assert guarded.__wrapped__ is pay


def test_a_wrong_call_is_the_functions_own_error():
    """A missing argument is a `TypeError`, as without contracts."""
    with pytest.raises(TypeError, match="amount"):
        require(lambda amount: amount > 0, "no")(pay)()


def test_an_async_function_is_guarded_as_one():
    """Before it starts and after it has ended; it stays a coroutine function."""

    @require(lambda x: x > 0, "before")
    @ensure(lambda result: result < 10, "after")
    async def double(x: int) -> int:
        return 2 * x

    assert inspect.iscoroutinefunction(double)
    assert asyncio.run(double(2)) == 4
    with pytest.raises(ToolError, match=r"^before$"):
        asyncio.run(double(-1))
    with pytest.raises(ToolError, match=r"^after$"):
        asyncio.run(double(7))


def test_an_async_callable_object_is_guarded_as_one():
    """A postcondition sees what its coroutine returns."""

    class Doubler:
        async def __call__(self, x: int) -> int:
            return 2 * x

    guarded = ensure(lambda result: result < 10, "after")(Doubler())
    assert asyncio.run(guarded(2)) == 4
    with pytest.raises(ToolError, match=r"^after$"):
        asyncio.run(guarded(7))


@dataclass
class Account:
    """Contracts in every kind of method, in every order."""

    limit: int

    @require(lambda self, amount: amount <= self.limit, "over the limit")
    def plain(self, amount: int) -> int:
        """Pay."""
        return amount

    @tool
    @require(lambda self, amount: amount <= self.limit, "over the limit")
    @ensure(lambda self, result: result != self.limit - 1, "never one below")
    def below(self, amount: int) -> int:
        """Pay."""
        return amount

    @require(lambda self, amount: amount <= self.limit, "over the limit")
    @ensure(lambda self, result: result != self.limit - 1, "never one below")
    @tool
    def above(self, amount: int) -> int:
        """Pay."""
        return amount

    @require(lambda bound: bound.arguments["amount"] <= bound.arguments["self"].limit, "over the limit")
    @tool
    def whole(self, amount: int) -> int:
        """Pay."""
        return amount

    @require(lambda amount: amount <= 3, "over the limit")
    @staticmethod
    def static(amount: int) -> int:
        """Pay."""
        return amount

    @staticmethod
    @require(lambda amount: amount <= 3, "over the limit")
    def static_below(amount: int) -> int:
        """Pay."""
        return amount

    @require(lambda cls, amount: amount <= 3 and cls.__name__, "over the limit")
    @classmethod
    def of_class(cls, amount: int) -> int:
        """Pay."""
        return amount

    @require(lambda cls, amount: amount <= 3 and cls.__name__, "over the limit")
    @tool
    @classmethod
    def of_class_tool(cls, amount: int) -> int:
        """Pay."""
        return amount


METHODS = ["plain", "below", "above", "whole", "static", "static_below", "of_class", "of_class_tool"]


@pytest.mark.parametrize("name", METHODS)
def test_contracts_of_methods_hold_when_called(name: str):
    """They see `self` by name, whatever stands above what."""
    method = getattr(Account(3), name)
    assert method(3) == method(amount=3) == 3
    with pytest.raises(ToolError, match=r"^over the limit$"):
        method(4)


@pytest.mark.parametrize("name", METHODS)
def test_contracts_of_methods_hold_for_a_model(name: str):
    """A bound method in `tools=` shows no `self`, and its contracts speak to the model."""
    method = getattr(Account(3), name)
    with replies(call(name, amount=4), call(name, amount=3), "done") as seen:
        done = ask.run("Pay.", tools=[method])
    assert [made.content for made in done.tool_calls] == ["Error: over the limit", "3"]
    assert list(seen.requests[0]["tools"][0]["parameters"]["properties"]) == ["amount"]


@pytest.mark.parametrize("name", ["below", "above"])
def test_postconditions_of_methods_see_the_instance(name: str):
    """`self` and `result` together."""
    with pytest.raises(ToolError, match=r"^never one below$"):
        getattr(Account(3), name)(2)
    assert getattr(Account(9), name)(2) == 2


# --- tools ----------------------------------------------------------------------------------------


@tool
@require(lambda amount: amount > 0, "amount must be positive")
@ensure(lambda result: result < 100, "never so much")
def below(amount: float) -> float:
    """Double an amount."""
    return 2 * amount


@require(lambda amount: amount > 0, "amount must be positive")
@ensure(lambda result: result < 100, "never so much")
@tool
def above(amount: float) -> float:
    """Double an amount."""
    return 2 * amount


@require(lambda amount: amount > 0, "amount must be positive")
@tool
@ensure(lambda result: result < 100, "never so much")
async def around(amount: float) -> float:
    """Double an amount."""
    return 2 * amount


@require(lambda amount: amount > 0, "amount must be positive")
@ensure(lambda result: result < 100, "never so much")
def untold(amount: float) -> float:
    """Double an amount."""
    return 2 * amount


EVERY_ORDER = [below, above, around, untold]


@pytest.mark.parametrize("given", EVERY_ORDER, ids=lambda given: given.__name__)
@pytest.mark.parametrize("errors", ["return", "raise"])
def test_a_models_call_against_a_contract_gets_the_message(given: Any, errors: str):
    """Before and after, in every order of the decorators, also under `tool_errors="raise"`."""
    name = given.__name__
    turn = calls(call(name, amount=-1), call(name, amount=60), call(name, amount=2))
    with replies(turn, "done") as seen:
        done = ask.run("go", tools=[given], tool_errors=errors)
    contents = ["Error: amount must be positive", "Error: never so much", "4.0"]
    assert [made.content for made in done.tool_calls] == contents
    assert [message["content"] for message in seen.requests[1]["messages"][2:]] == contents
    assert [made.error for made in done.tool_calls] == ["amount must be positive", "never so much", None]


@pytest.mark.parametrize("given", [below, above, untold], ids=lambda given: given.__name__)
def test_a_direct_call_against_a_contract_raises(given: Any):
    """A `ToolError` with the message alone and the tool's name."""
    assert given(2.0) == 4.0
    with pytest.raises(ToolError, match=r"^amount must be positive$") as raised:
        given(-1)
    assert raised.value.tool == given.__name__
    with pytest.raises(ToolError, match=r"^never so much$"):
        given(amount=60)


def test_a_direct_call_of_an_async_tool_raises_when_awaited():
    """Its contracts raise the same errors."""
    with pytest.raises(ToolError, match=r"^amount must be positive$"):
        asyncio.run(around(-1))


def test_a_clause_above_a_tool_leaves_the_tool_as_it_is():
    """Decorating makes a new tool; name and description stay."""
    plain = tool(name="twice", description="Double it.")(lambda_free)
    strict = require(lambda x: x > 0, "no")(plain)
    assert plain(-1) == -2
    with pytest.raises(ToolError):
        strict(-1)
    assert (strict.name, strict.description) == ("twice", "Double it.")


def lambda_free(x: int) -> int:
    """Double."""
    return 2 * x


def test_a_decorator_between_tool_and_contract_is_not_skipped():
    """`functools.wraps` copies the guard's attributes; the wrapper still runs, and the contract too."""
    seen: list[int] = []

    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapper(x: int) -> Any:
            seen.append(x)
            return function(x)

        return wrapper

    @tool
    @logged
    @require(lambda x: x > 0, "no")
    def work(x: int) -> int:
        """Work."""
        return x

    assert work(1) == 1
    with pytest.raises(ToolError, match=r"^no$"):
        work(-1)
    assert seen == [1, -1]


def test_predicates_see_converted_arguments():
    """A contract gets the dataclass that the tool declares, not the model's JSON."""

    @tool
    @require(lambda account: account.limit > 1, "too low")
    def close(account: Account) -> int:
        """Close."""
        return account.limit

    with replies(calls(call("close", account={"limit": 1}), call("close", account={"limit": 2})), "done"):
        done = ask.run("go", tools=[close])
    assert [made.content for made in done.tool_calls] == ["Error: too low", "2"]


def test_a_tool_is_made_of_a_guarded_function_once():
    """A tool in `tools=` is checked once: its predicate runs once for each call."""
    asked: list[int] = []

    @require(lambda x: asked.append(x) or True, "no")
    def work(x: int) -> int:
        """Work."""
        return x

    assert as_tool(work)(1) == 1
    assert asked == [1]
