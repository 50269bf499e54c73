"""What is not a type is named, with the type that was probably meant, wherever a type is wanted."""

import math
import typing
from collections.abc import Callable
from dataclasses import InitVar, dataclass
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    NewType,
    NotRequired,
    Optional,
    ParamSpec,
    Protocol,
    Required,
    Self,
    TypeVar,
    Union,
)

import pytest
from typing_extensions import ReadOnly, TypeAliasType

from alloy import ConfigurationError, ask, command, parse, tool
from alloy._typed.types.expressions import why_not_a_type
from alloy.testing import replies

T = TypeVar("T")


@dataclass
class Person:
    """Somebody."""

    name: str


def function() -> int:
    """Not a type."""
    return 1


NOT_TYPES: list[tuple[Any, str]] = [
    (5, "5 is an int: write int"),
    (2.5, "2.5 is a float: write float"),
    (True, "True is a bool: write bool"),
    (b"x", "b'x' is a bytes: write bytes"),
    (Person("Ada"), "Person(name='Ada') is a Person: write Person"),
    ([int], "[int] is a list: write list[int]"),
    ([int, str], "[int, str] is a list: write list[int | str]"),
    ([], "[] is a list: write list[…]"),
    ([5], "[5] is a list: write list[…]"),
    ((int, str), "(int, str) is a tuple: write tuple[int, str]"),
    ({int}, "{int} is a set: write set[int]"),
    ({str: int}, "{str: int} is a dict: write dict[str, int]"),
    ({"a": int}, "{'a': int} is a dict: write a TypedDict or a dataclass with these fields"),
    ({}, "{} is a dict: write dict[…]"),
    (Final[int], "Final[…] qualifies a field of a class: write int without it"),
    (ClassVar[list[int]], "ClassVar[…] qualifies a field of a class: write list[int] without it"),
    (Required[int], "Required[…] qualifies"),
    (NotRequired[int], "NotRequired[…] qualifies"),
    (ReadOnly[int], "ReadOnly[…] qualifies"),
    (InitVar[int], "is an InitVar"),
    (function, "function is a function: write the class that it returns"),
    (lambda: 1, "<lambda> is a function"),
    (print, "print is a function"),
    (Person.__init__, "__init__ is a function"),
    (math, "math is a module: write a class that it has"),
    (..., "... alone is not one"),
    (Final, "Final alone is not one"),
    (Union, "Union alone is not one"),
    (Optional, "Optional alone is not one"),
    (Literal, "Literal alone is not one"),
    (Annotated, "Annotated alone is not one"),
    (Generic, "Generic alone is not one"),
    (Protocol, "Protocol alone is not one"),
    (Self, "Self alone is not one"),
    (ParamSpec("P"), "P alone is not one"),
    ("1 +", "'1 +' is not a Python expression"),
    ("", "'' is not a Python expression"),
    ("a\0", "is not a Python expression"),
    (object(), "is not one: write a class"),
    # inside a type
    (list[5], "5 is an int: write int"),  # type: ignore[valid-type]
    (dict[str, [int]], "[int] is a list: write list[int]"),  # type: ignore[misc]
    (list[Final[int]], "Final[…] qualifies"),
    (Annotated[Final[int], "x"], "Final[…] qualifies"),
    (Optional[function], "function is a function"),  # type: ignore[valid-type]  # noqa: UP045
    (tuple[int, "1 +"], "'1 +' is not a Python expression"),  # type: ignore[syntax]  # noqa: F722
]

TYPES: list[Any] = [
    None,
    type(None),
    int,
    Person,
    "Person",
    " list[Person] ",
    Any,
    T,
    NewType("Name", str),
    TypeAliasType("Names", list[str]),
    list,
    list[int],
    dict[str, "Person"],
    int | None,
    Optional[int],  # noqa: UP045
    Literal[5, "a", None],
    Annotated[int, [1]],
    tuple[int, ...],
    tuple[()],
    type[int],
    typing.List,  # noqa: UP006
    typing.Pattern[str],
    Callable[[int], str],
]


@pytest.mark.parametrize(("value", "problem"), NOT_TYPES, ids=lambda value: None)
def test_what_is_not_a_type_is_refused_as_an_output_when_it_is_written(value: Any, problem: str):
    """By `@command`, by `with_options`, by `ask` and by `parse`; nothing is sent."""

    def body() -> str:
        return "hello"

    for where, use in {
        r"@command .*body(): output": lambda: command(output=value)(body),
        r"body.with_options(): output": lambda: command(body).with_options(output=value),
        r"ask(): output": lambda: ask("hello", output=value),
        r"parse(): output": lambda: parse(value, "1"),
    }.items():
        with replies(), pytest.raises(ConfigurationError) as caught:
            use()
        text = str(caught.value)
        assert where.rpartition(".*")[2] in text
        assert " must be a type, and " in text
        assert problem in text


@pytest.mark.parametrize(("value", "problem"), NOT_TYPES, ids=lambda value: None)
def test_what_is_not_a_type_is_refused_as_a_hint_when_the_tool_is_made(value: Any, problem: str):
    """The error names the tool and the parameter."""

    def work(x: Any) -> int:
        return 1

    work.__annotations__["x"] = value
    with pytest.raises(ConfigurationError) as caught:
        tool(work)
    assert "the tool 'work': the type hint of its parameter 'x' must be a type, and " in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize(("value", "problem"), NOT_TYPES, ids=lambda value: None)
def test_what_is_not_a_type_is_refused_as_the_return_annotation_of_a_command(value: Any, problem: str):
    """The error says that the body returns the prompt."""

    def body():
        return "hello"

    body.__annotations__["return"] = value
    with pytest.raises(ConfigurationError, match=r"which is not a type: write `-> str`.*@command\(output="):
        command(body)


@pytest.mark.parametrize("annotation", TYPES)
def test_what_is_a_type_has_no_problem(annotation: Any):
    """Even one that has no schema: that is another error."""
    assert why_not_a_type(annotation) is None


def test_text_that_resolves_to_something_else_is_refused():
    """When the command is called, and when the tool is compiled, because the name may be defined later."""

    @command(output="function")
    def body() -> str:
        return "hello"

    @tool
    def work(x: "function") -> int:  # type: ignore[valid-type]
        return 1

    with replies(), pytest.raises(ConfigurationError, match=r"body\(\): output must be a type, and function"):
        body()
    with (
        replies(),
        pytest.raises(ConfigurationError, match=r"the tool 'work': .* 'x' must be a type, and fun"),
    ):
        ask("hello", tools=[work])


@pytest.mark.parametrize("text", ["Nowhere", "list[Nowhere]"])
def test_text_that_names_nothing_is_refused(text: str):
    """`ask` and `parse` have no module in which a name could be looked up."""
    for use in (lambda: ask("hello", output=text), lambda: parse(text, "1")):
        with replies(), pytest.raises(ConfigurationError, match=r"'Nowhere'.*: write the type itself"):
            use()


def test_a_parser_may_not_take_what_is_not_a_type():
    """The type of its parameter is what the model is shown."""

    def read(value: [int]) -> int:  # type: ignore[valid-type]
        return 1

    with replies(), pytest.raises(ConfigurationError, match=r"\[int\] is a list: write list\[int\]"):
        ask("hello", output=int, parser=read)
