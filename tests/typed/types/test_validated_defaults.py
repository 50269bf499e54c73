"""Defaults of classes with `validate_default` are what pydantic makes of them."""

from __future__ import annotations

import dataclasses
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pydantic.dataclasses
import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from alloy import ParseError, parse

CHECKED = ConfigDict(validate_default=True)
here: Any = Field(validate_default=True)


class Color(Enum):
    RED = "red"


class Inner(BaseModel):
    x: int


class Converted(BaseModel):
    model_config = CHECKED
    n: int = "1"
    price: Decimal = "1.5"
    day: date = "2020-01-02"
    color: Color = "red"
    flag: bool = "yes"
    items: list[int] = ["1", "2"]
    pair: tuple[int, int] = [1, "2"]
    names: set[str] = {"a"}
    either: int | bool = "4"
    data: bytes = b"YWJj"
    mapped: dict[int, date] = {"1": "2020-01-02"}
    inner: Inner = {"x": "1"}
    kept: Inner = Inner(x=2)
    made: list[Inner] = Field(default_factory=lambda: [{"x": "3"}])
    later: int = Field(default_factory=lambda data: str(data["n"] + 1))


class OfOneField(BaseModel):
    n: Annotated[int, here] = "1"
    raw: int = "1"
    tree: Annotated[list[OfOneField], here] = [{"tree": []}]


class Changed(BaseModel):
    model_config = CHECKED
    n: int = "1"

    @field_validator("n", mode="before")
    def first(cls, value: Any) -> int:
        return int(value) + 1


class Strict(BaseModel):
    model_config = ConfigDict(validate_default=True, strict=True)
    pair: tuple[int, int] = (1, 2)
    day: date = date(2020, 1, 2)


class OwnInit(BaseModel):
    model_config = CHECKED
    n: int = "1"
    data: bytes = b"ab"

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


@pydantic.dataclasses.dataclass(config=CHECKED)
class Record:
    n: int = "1"
    inner: Inner = dataclasses.field(default_factory=lambda: {"x": "1"})


@pytest.mark.parametrize(
    "kind", [Converted, OfOneField, Changed, Strict, OwnInit, Record], ids=lambda k: k.__name__
)
def test_a_default_is_converted_as_pydantic_does(kind: Any) -> None:
    """Alone, and as a member of another type; each value has its own."""
    expected = TypeAdapter(kind).validate_python({})
    assert parse(kind, "{}") == expected
    first, second = parse(list[kind], "[{}, {}]")
    assert first == second == expected
    if kind is Converted:
        first.items.append(3)
        assert second.items == parse(kind, "{}").items == [1, 2]


def test_what_an_answer_gives_is_read_as_ever() -> None:
    """By the strict rules for JSON."""
    assert parse(Converted, '{"n": 5, "day": "2021-01-01", "data": "YWJj"}').data == b"abc"
    for wrong in ('{"flag": "yes"}', '{"day": "1577923200"}', '{"either": 1.5}'):
        with pytest.raises(ParseError):
            parse(Converted, wrong)


@pytest.mark.parametrize("strict", [False, True])
def test_a_default_that_pydantic_refuses_is_refused(strict: bool) -> None:
    class Wrong(BaseModel):
        model_config = ConfigDict(validate_default=True, strict=strict)
        n: int = "1" if strict else "one"
        kind: Literal["a"] = "a"

    with pytest.raises(ValidationError):
        Wrong()
    with pytest.raises(ParseError, match="integer"):
        parse(Wrong, '{"kind": "a"}')
