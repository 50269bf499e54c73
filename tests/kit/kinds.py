"""Every kind of type that Alloy takes, with values of it and how a model says them.

Written without Alloy, so that it can judge what Alloy does.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import fractions
import sys
import typing
from collections import deque
from collections.abc import Callable, Mapping, Set
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypeVar

import attrs
import msgspec
import typing_extensions as te
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, RootModel, field_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = 2
    NONE = None


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Word(enum.StrEnum):
    YES = "yes"
    NO = "no"


class Span(enum.Enum):
    """JSON has no form of these values, so their names are said."""

    SHORT = (1, 2)
    LONG = (3, 4)


class Permission(enum.Flag):
    READ = 1
    WRITE = 2
    BOTH = 3


@dataclasses.dataclass
class Base:
    name: str
    count: int = 1


@dataclasses.dataclass
class Derived(Base):
    tags: list[str] = dataclasses.field(default_factory=list)
    hidden: int = dataclasses.field(default=7, init=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    size: Size = Size.SMALL
    name: str


@dataclasses.dataclass
class Box(Generic[T]):
    item: T
    more: list[T] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Tree:
    value: int
    kids: list[Tree] = dataclasses.field(default_factory=list)


class Movie(typing.TypedDict):
    title: str
    year: typing.NotRequired[int]


class Partly(te.TypedDict, total=False):
    title: te.Required[str]
    rating: te.ReadOnly[float]


class Sequel(Movie):
    part: int


class Case(te.TypedDict, Generic[T]):
    held: T


class OldCase(typing.TypedDict, Generic[T]):
    held: T


class Point(NamedTuple):
    x: int
    y: float = 0.5
    color: Color = Color.RED


@dataclasses.dataclass
class Cat:
    kind: Literal["cat"]
    lives: int


@dataclasses.dataclass
class Dog:
    kind: Literal["dog"]
    lives: int


class Person(BaseModel):
    """By its alias, never by its Python name."""

    full_name: str = Field(alias="fullName", min_length=1)
    colors: dict[Color, int] = {}
    permission: Permission = Permission.READ
    age: int = Field(0, validation_alias=AliasChoices("age", "years"))

    @field_validator("full_name")
    @classmethod
    def _no_digits(cls, value: str) -> str:
        if any(mark.isdigit() for mark in value):
            raise ValueError("a name has no digits")
        return value


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    word: Literal[Color.RED, Color.BLUE]
    next: Closed | None = None


class Numbers(RootModel[list[int]]):
    pass


class Shelf(BaseModel, Generic[T]):
    best: T


@pydantic_dataclass
class Checked:
    items: list[Permission]


@attrs.define
class Plant:
    name: str = attrs.field(validator=attrs.validators.min_len(1))
    _height: float = 0.5
    parts: list[Plant] = attrs.field(factory=list)
    permission: Permission = Permission.READ


@attrs.frozen(kw_only=True)
class Stone:
    color: Color
    weight: Decimal = Decimal(1)


class Star(msgspec.Struct, rename="camel", tag="star"):
    main_color: Color
    size: Annotated[int, msgspec.Meta(ge=1)] = 1


class Moon(msgspec.Struct, tag="moon", frozen=True):
    around: Star
    craters: list[int] = []


Meters = NewType("Meters", float)
Names = te.TypeAliasType("Names", "list[str | Names]")
Groups = te.TypeAliasType("Groups", "dict[Size, Groups] | int")
Both = te.TypeAliasType("Both", tuple[T, T], type_params=(T,))


def local_class() -> Any:
    """A class that only a function knows, and that refers to itself."""

    @dataclasses.dataclass
    class Local:
        n: int
        size: Size = Size.SMALL
        next: Local | None = None

    return Local


# --- how a model says a value ----------------------------------------------------------------------


def said(value: Any) -> Any:
    """*value* as the JSON that a model gives for it."""
    for kinds, say in SAYS:
        if isinstance(value, kinds):
            return say(value)
    if attrs.has(type(value)):
        return {field.alias: said(getattr(value, field.name)) for field in attrs.fields(type(value))}
    if dataclasses.is_dataclass(value):
        return {f.name: said(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    return str(value)


def said_enum(member: enum.Enum) -> Any:
    return member.value if isinstance(member.value, str | int | float | None) else member.name


def said_struct(struct: Any) -> Any:
    config = struct.__struct_config__
    fields = msgspec.structs.fields(struct)
    tag = {config.tag_field: config.tag} if config.tag else {}
    return {**tag, **{field.encode_name: said(getattr(struct, field.name)) for field in fields}}


def said_model(model: BaseModel) -> Any:
    if isinstance(model, RootModel):
        return said(model.root)
    fields = type(model).model_fields
    return {field.alias or name: said(getattr(model, name)) for name, field in fields.items()}


def said_key(key: Any) -> str:
    plain = said(key)
    if plain is None or isinstance(plain, bool):
        return "null" if plain is None else str(plain).lower()
    return str(plain)


SAYS: list[tuple[Any, Callable[[Any], Any]]] = [
    (enum.Flag, lambda flag: [member.name for member in flag]),
    (enum.Enum, said_enum),
    ((bool, int, float, str, type(None)), lambda value: value),
    ((bytes, bytearray), lambda value: base64.b64encode(value).decode()),
    (dt.timedelta, lambda value: f"PT{value // dt.timedelta(seconds=1)}S"),
    ((dt.datetime, dt.date, dt.time), lambda value: value.isoformat()),
    (fractions.Fraction, str),
    (msgspec.Struct, said_struct),
    (BaseModel, said_model),
    (Mapping, lambda value: {said_key(key): said(item) for key, item in value.items()}),
    ((list, tuple, Set, deque), lambda value: [said(item) for item in value]),
]


if sys.version_info < (3, 14):  # from then on pydantic.v1 cannot be imported
    from pydantic import v1

    class Gone(v1.BaseModel):
        n: v1.conint(gt=0)  # type: ignore[valid-type]
        label: Optional[str] = v1.Field(None, alias="Label", max_length=9)  # noqa: UP045
        flags: list[Permission] = []

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Gone) and self.dict() == other.dict()

    SAYS.insert(
        0, (v1.BaseModel, lambda m: {f.alias: said(getattr(m, n)) for n, f in type(m).__fields__.items()})
    )
