"""What frameworks, editors and `help()` see of a command: its parameters, and the type that it returns."""

import asyncio
import inspect
import pydoc
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import NoneType
from typing import Annotated, Any

import pytest

from alloy import AsyncCommand, Command, command, tool
from alloy.testing import replies


@dataclass
class Rate:
    """A price."""

    per_hour: float


@command(output=int)
def count(text: str, *, limit: int = 3) -> str:
    """Count the words."""
    return text


@command(output=list[Rate])
async def later(text: str) -> str:
    """List the rates."""
    return text


@command(output=None)
def silent() -> str:
    """Say nothing."""
    return "hello"


class Desk:
    """Commands in a class."""

    @command(output=Rate)
    def rate(self, text: str) -> str:
        """Read a rate."""
        return text

    @command(output=Rate)
    async def rate_later(self, text: str) -> str:
        """Read a rate, later."""
        return text

    @command(output=Rate)
    @classmethod
    def of_class(cls, text: str) -> str:
        """Read a rate."""
        return text

    @command(output=Rate)
    @staticmethod
    def static(text: str) -> str:
        """Read a rate."""
        return text


SIGNATURES: list[tuple[Any, str, Any]] = [
    (count, "(text: str, *, limit: int = 3) -> int", int),
    (later, "(text: str) -> list[{}Rate]", list[Rate]),
    (silent, "() -> None", None),
    (Desk.rate, "(self, text: str) -> {}Rate", Rate),
    (Desk().rate, "(text: str) -> {}Rate", Rate),
    (Desk().rate_later, "(text: str) -> {}Rate", Rate),
    (Desk.of_class, "(text: str) -> {}Rate", Rate),
    (Desk().of_class, "(text: str) -> {}Rate", Rate),
    (Desk.static, "(text: str) -> {}Rate", Rate),
    (count.with_options(retry=0), "(text: str, *, limit: int = 3) -> int", int),
    (count.with_options(output=Rate), "(text: str, *, limit: int = 3) -> {}Rate", Rate),
    (Desk().rate.with_options(output=float), "(text: str) -> float", float),
    (count.with_options(output=int | None), "(text: str, *, limit: int = 3) -> int | None", int | None),
]
"""A command, its signature as text, and its return type."""


@pytest.mark.parametrize(
    ("given", "shown", "returned"), SIGNATURES, ids=[repr(case[0]) for case in SIGNATURES]
)
def test_the_signature_has_the_type_that_comes_back(given: Any, shown: str, returned: Any):
    """The function's parameters, and the output type: for every kind of command and every copy."""
    signature = inspect.signature(given)
    assert str(signature) == shown.replace("{}", f"{__name__}.")
    assert repr(given) == f"<command {given.__name__}{signature}>"
    assert signature.return_annotation == returned
    assert typing.get_type_hints(given)["return"] == (NoneType if returned is None else returned)


def test_type_hints_have_the_type_that_comes_back():
    """Parameters are as the function has them, and the function keeps its own."""
    assert typing.get_type_hints(count) == {"text": str, "limit": int, "return": int}
    assert typing.get_type_hints(later.with_options(output=Annotated[int, "many"]), include_extras=True) == {
        "text": str,
        "return": Annotated[int, "many"],
    }
    assert typing.get_type_hints(count.__wrapped__)["return"] is str


def test_a_local_name_resolves_in_the_signature():
    """As it does when the command is called."""

    @dataclass
    class Local:
        size: int

    @command(output=list["Local"])
    def find(text: str) -> str:
        _ = Local
        return text

    assert inspect.signature(find).return_annotation == list[Local]
    with replies([Local(1)]):
        assert find("x") == [Local(1)]


def test_a_name_that_is_not_there_yet_stays_text():
    """Reading a signature never fails for it."""

    @command(output="Unknown")  # type: ignore[name-defined]
    def find(text: str) -> str:
        return text

    assert inspect.signature(find).return_annotation == "Unknown"
    assert repr(find) == "<command find(text: str) -> 'Unknown'>"


@pytest.mark.parametrize("kind", [Command, AsyncCommand])
def test_the_classes_have_signatures_of_their_own(kind: Any):
    """Documentation tools read those as well."""
    assert list(inspect.signature(kind).parameters)[:1] == ["function"]
    assert not hasattr(kind, "__signature__")
    assert typing.get_type_hints(kind)["__name__"] is str


def test_help_shows_the_type_that_comes_back():
    """For a command, and for the class that holds one."""
    assert "count(text: str, *, limit: int = 3) -> int\n    Count the words." in _help(count)
    assert f"rate(self, text: str) -> {__name__}.Rate" in _help(Desk)


def _help(thing: object) -> str:
    return pydoc.plain(pydoc.render_doc(thing))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (lambda: count, False),
        (lambda: later, True),
        (lambda: later.with_options(retry=1), True),
        (lambda: Desk().rate, False),
        (lambda: Desk().rate_later, True),
        (lambda: partial(later, "x"), True),
        (lambda: later.run, True),
        (lambda: count.run_async, True),
        (lambda: AsyncCommand, False),
    ],
)
def test_frameworks_see_which_commands_are_async(given: Callable[[], Any], expected: bool):
    """`inspect` and `asyncio` agree: those that have to be awaited."""
    assert inspect.iscoroutinefunction(given()) is expected
    if sys.version_info < (3, 14):  # deprecated from then on
        assert asyncio.iscoroutinefunction(given()) is expected


def test_tools_return_what_their_functions_return():
    """A tool's signature is that of its function."""

    @tool
    def look(where: str) -> float:
        """Look."""
        return 1.0

    assert str(inspect.signature(look)) == "(where: str) -> float"
    assert typing.get_type_hints(look) == {"where": str, "return": float}
