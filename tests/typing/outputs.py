"""`output=`: every type that Python can write down is the type of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    Optional,
    TypeAlias,
    TypedDict,
    TypeVar,
    Union,
    assert_type,
)

from pydantic import BaseModel, Field
from typing_extensions import TypeForm

from alloy import Result, ask, command

T = TypeVar("T")


@dataclass
class Invoice:
    vendor: str
    total: float


@dataclass
class Page(Generic[T]):
    items: list[T]


class Person(TypedDict):
    name: str


class Point(NamedTuple):
    x: int
    y: int


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    name: str


Rating: TypeAlias = Annotated[int, Field(ge=1, le=5)]
Shape: TypeAlias = Invoice | Person | None


def prompt() -> str:
    return "go"


assert_type(command(output=str)(prompt)(), str)
assert_type(command(output=int)(prompt)(), int)
assert_type(command(output=float)(prompt)(), float)
assert_type(command(output=bool)(prompt)(), bool)
assert_type(command(output=date)(prompt)(), date)
assert_type(command(output=Invoice)(prompt)(), Invoice)
assert_type(command(output=Person)(prompt)(), Person)
assert_type(command(output=Point)(prompt)(), Point)
assert_type(command(output=Colour)(prompt)(), Colour)
assert_type(command(output=Model)(prompt)(), Model)
assert_type(command(output=list[Invoice])(prompt)(), list[Invoice])
assert_type(command(output=dict[str, Invoice])(prompt)(), dict[str, Invoice])
assert_type(command(output=tuple[int, str])(prompt)(), tuple[int, str])
assert_type(command(output=tuple[int, ...])(prompt)(), tuple[int, ...])
assert_type(command(output=set[Colour])(prompt)(), set[Colour])
assert_type(command(output=Sequence[Person])(prompt)(), Sequence[Person])
assert_type(command(output=Page[Invoice])(prompt)(), Page[Invoice])
assert_type(command(output=int | None)(prompt)(), int | None)
assert_type(command(output=Optional[Invoice])(prompt)(), Invoice | None)  # noqa: UP045 - users write it
assert_type(command(output=Union[Invoice, Person])(prompt)(), Invoice | Person)  # noqa: UP007 - as above
assert_type(command(output=Invoice | Person | None)(prompt)(), Invoice | Person | None)
assert_type(command(output=list[int | None])(prompt)(), list[int | None])
assert_type(command(output=Literal["yes", "no"])(prompt)(), Literal["yes", "no"])
assert_type(command(output=Literal[1, 2] | None)(prompt)(), Literal[1, 2] | None)
assert_type(command(output=Annotated[int, Field(ge=0)])(prompt)(), int)
assert_type(command(output=list[Annotated[str, "a name"]])(prompt)(), list[str])
assert_type(command(output=Rating)(prompt)(), int)
assert_type(command(output=Shape)(prompt)(), Invoice | Person | None)
assert_type(command(output=dict[str, list[Invoice | Person]])(prompt)(), dict[str, list[Invoice | Person]])
assert_type(command(output=Any)(prompt).run(), Result[Any])
assert_type(command(output=None)(prompt).run(), Result[None])


# --- a type that comes as an argument


def read_as(kind: type[T], text: str) -> T:
    return ask(text, output=kind)


def read_as_form(form: TypeForm[T], text: str) -> T:
    return ask(text, output=form)


assert_type(read_as(Invoice, "…"), Invoice)
assert_type(read_as_form(int | None, "…"), int | None)
