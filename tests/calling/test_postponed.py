"""A module with postponed annotations: hints are text there until they are needed."""

from __future__ import annotations

import inspect
import sys
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from alloy import ConfigurationError, command, ensure, require, tool
from alloy.testing import call, replies

if TYPE_CHECKING:
    from decimal import Decimal

Text = str


@tool
@require(lambda order: order.lines, "an order needs lines")
def total(order: Order, rate: Annotated[float, "a factor"] = 1) -> float:
    """Total of an order."""
    return rate * sum(line.price for line in order.lines)


@command(output="Order", tools=[total])
@ensure(lambda result: result.lines, "an order needs lines")
def read(text: str) -> Text:
    """Read an order."""
    return text


class Desk:
    """A class with both."""

    @tool
    def price(self, line: Line) -> float:
        """Price of a line."""
        return line.price

    @command(output=list["Line"])
    def lines(self, text: str) -> str:
        """Read lines."""
        return text


@dataclass
class Order:
    """Defined below all that names it."""

    lines: list[Line]


@dataclass
class Line:
    """Defined last."""

    price: float


def test_names_that_come_later_resolve():
    """In outputs, in tool parameters and in the fields of their types."""
    order = Order([Line(2), Line(3)])
    with replies(call("total", order={"lines": [{"price": 2}, {"price": 3}]}, rate=2), order):
        done = read.run("x")
    assert (done.value, done.tool_calls[0].value) == (order, 10)
    with replies(call("price", line={"price": 2}), [Line(1)]):
        done = Desk().lines.with_options(tools=[Desk().price]).run("x")
    assert (done.value, done.tool_calls[0].value) == ([Line(1)], 2)


def test_signatures_and_hints_resolve_too():
    """What comes back and what goes in, of functions and methods; the tools' own hints as ever."""
    assert typing.get_type_hints(read) == {"text": str, "return": Order}
    assert typing.get_type_hints(Desk().lines) == {"text": str, "return": list[Line]}
    assert typing.get_type_hints(Desk.price) == {"line": Line, "return": float}
    signature = inspect.signature(read)
    assert (signature.parameters["text"].annotation, signature.return_annotation) == (str, Order)
    assert inspect.signature(Desk().lines).return_annotation == list[Line]
    assert repr(read) == f"<command read(text: str) -> {__name__}.Order>"


def test_a_parameter_for_type_checkers_only_stays_text():
    """A signature can be read anyway."""

    @command(output=int)
    def pay(amount: Decimal) -> str:
        return str(amount)

    assert inspect.signature(pay).parameters["amount"].annotation == "Decimal"
    assert inspect.signature(pay).return_annotation is int


def test_a_name_for_type_checkers_only_is_named():
    """The error names it, and the command or the tool."""

    @tool
    def pay(amount: Decimal) -> str:
        """Pay."""
        return str(amount)

    with pytest.raises(ConfigurationError, match=r"^read\(\): .*'pay'.*Decimal"), replies():
        read.with_options(tools=[pay])("x")
    with pytest.raises(ConfigurationError, match="is annotated `-> Decimal`"):

        @command
        def wrong() -> Decimal:
            return ""


LATER = """
@command(output=int)
def count(order: Later) -> str:
    return "x"

@tool
def use(order: Later) -> Later:
    return order

class Later(TypedDict):
    n: int
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="before 3.14 annotations are evaluated at once")
def test_annotations_can_name_what_comes_later():
    """From Python 3.14 on they are evaluated when they are read, without the future import."""
    module: dict[str, Any] = {"command": command, "tool": tool, "TypedDict": typing.TypedDict}
    exec(compile(LATER, __file__, "exec", dont_inherit=True), module)
    later, count, use = module["Later"], module["count"], module["use"]

    assert typing.get_type_hints(count) == {"order": later, "return": int}
    assert typing.get_type_hints(use) == {"order": later, "return": later}
    assert inspect.signature(count).parameters["order"].annotation is later
    with replies(call("use", order={"n": 2}), 3):
        assert count.with_options(tools=[use])({"n": 1}) == 3
