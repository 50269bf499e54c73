"""What can be read from functions, also from those that are wrapped, bound, partial or written later."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from alloy import ConfigurationError, command
from alloy.functions import (
    adopt,
    copy_of,
    evaluated,
    hints_of,
    is_async,
    method_of,
    name_of,
    namespace_of,
    plain_function,
    resolved,
    return_annotation,
    signature_of,
)

if TYPE_CHECKING:
    from decimal import Decimal

Text = str


def read(text: Text, later: Later, amount: Annotated[int, "how many"] = 1) -> Decimal:
    """Read."""
    raise NotImplementedError


class Later:
    """Defined below the function that names it."""


async def wait(seconds: float) -> None:
    """Wait."""


class Waiter:
    """Callable, and async."""

    async def __call__(self, seconds: float) -> None: ...

    def method(self, seconds: float) -> Text:
        return ""


@functools.wraps(read)
def wrapper(*args: Any) -> Any:
    """Wraps `read`."""


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (read, "read"),
        (functools.partial(functools.partial(read, "x"), later=None), "read"),
        (Waiter().method, "method"),
        (Waiter(), "Waiter"),
        (functools.partial(Waiter()), "Waiter"),
    ],
)
def test_everything_callable_has_a_name(function: Any, name: str):
    """Its own, that of the function in it, or that of its class."""
    assert name_of(function) == name


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (wait, True),
        (functools.partial(wait, 1), True),
        (Waiter(), True),
        (Waiter, False),
        (Waiter().method, False),
        (read, False),
        (len, False),
        ("text", False),
    ],
)
def test_async_functions_are_known(function: Any, expected: bool):
    """Also partials of them, and objects whose `__call__` is one."""
    assert is_async(function) is expected


@pytest.mark.parametrize(
    "function", [read, wrapper, functools.partial(wrapper, "x"), functools.partial(read)]
)
def test_the_function_inside_is_found(function: Any):
    """Through wrappers and partials."""
    assert plain_function(function) is read


def test_the_function_inside_methods_and_objects_is_found():
    """A method's function, and a callable object's `__call__`."""
    assert plain_function(Waiter().method) is Waiter.method
    assert plain_function(Waiter()) is Waiter.__call__
    assert plain_function(len) is len


def test_hints_resolve_what_the_module_knows_by_now():
    """Names that come later do, metadata stays, and what the function returns is not asked for."""
    assert hints_of(read, {}) == {"text": str, "later": Later, "amount": Annotated[int, "how many"]}


def test_hints_take_names_from_the_closure():
    """A class that only the enclosing function knows is found through the cell of a variable."""

    class Local:
        """Known here only."""

    def use(local: Local) -> Any:
        return Local

    assert namespace_of(use) == {"Local": Local}
    assert hints_of(use, namespace_of(use)) == {"local": Local}
    assert evaluated("list[Local]", use) == list[Local]


def test_a_variable_without_a_value_yet_is_left_out():
    """It may get one before the annotation is needed."""

    def use(local: Any) -> Any:
        return Unset

    assert namespace_of(use, {"more": 1}) == {"more": 1}
    Unset = 2
    assert namespace_of(use) == {"Unset": 2}


def test_text_that_does_not_resolve_stays():
    """`evaluated` raises, `resolved` gives the text back."""
    with pytest.raises(NameError, match="Decimal"):
        evaluated("Decimal", read)
    assert resolved("Decimal", read) == "Decimal"
    assert resolved("1 +", read) == "1 +"
    assert resolved(list["Later"], wrapper) == list[Later]
    assert return_annotation(read) == "Decimal"
    assert return_annotation(Waiter().method) is str
    assert return_annotation(len) is inspect.Signature.empty


def test_a_signature_may_name_what_is_not_there():
    """Reading it evaluates nothing."""
    assert list(signature_of(read).parameters) == ["text", "later", "amount"]


def test_a_method_is_made_once():
    """Neither without an instance nor of what is bound already."""
    waiter = Waiter()
    made = method_of(read, waiter)
    assert made is not None
    assert made.__self__ is waiter
    assert method_of(read, None) is None
    assert method_of(made, waiter) is None


class Wrapped:
    """An object with a function's name."""

    name = "the class's"


def test_a_functions_attribute_hides_none_of_the_class():
    """What the class of the wrapper defines wins; other attributes are adopted."""

    def function() -> None: ...

    function.name, function.other = "the function's", 1  # type: ignore[attr-defined]
    made = Wrapped()
    adopt(made, function)
    assert (made.name, made.other, made.__name__) == ("the class's", 1, "function")  # type: ignore[attr-defined]
    copy = copy_of(made)
    assert copy is not made
    assert vars(copy) == vars(made)


def test_a_postponed_none_is_shown_as_it_is_written():
    """The error for a body that returns nothing names `None`."""
    with pytest.raises(ConfigurationError, match=r"is annotated `-> None`.*@command\(output=None\)"):

        @command  # type: ignore[arg-type]
        def wrong() -> None: ...
