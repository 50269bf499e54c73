"""Features of classes: arguments of `__post_init__`, free keys, type variables, `use_enum_values`."""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Generic, Literal, NamedTuple

import pytest
import typing_extensions
from pydantic import BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from alloy import parse, register_parser
from alloy._typed.types.compile import compile_type
from alloy.errors import ConfigurationError


class Span(enum.Enum):
    SHORT = (1, 2)
    LONG = (3, 4)


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass(frozen=True)
class Money:
    cents: int


@pytest.fixture(autouse=True)
def _money() -> Iterator[None]:
    with register_parser(Money, wire=int, parse=Money):
        yield


def properties(annotation: Any) -> dict[str, Any]:
    schema = compile_type(annotation).schema
    assert schema is not None
    found: dict[str, Any] = schema["properties"]
    return found


T = typing.TypeVar("T")

# --- arguments of __post_init__ -------------------------------------------------------------------


@dataclasses.dataclass
class Prepared:
    #: What was seen.
    raw: dataclasses.InitVar[bytes]
    money: dataclasses.InitVar[Money | None]
    spans: dataclasses.InitVar[list[Span]]
    size: dataclasses.InitVar[bytes] = b"none"
    seen: list[Any] = dataclasses.field(default_factory=list)

    def __post_init__(self, raw: Any, money: Any, spans: Any, size: Any) -> None:
        self.seen = [raw, money, spans, size]


@pydantic_dataclass(config=ConfigDict(arbitrary_types_allowed=True))
class RichPrepared:
    #: What was seen.
    raw: dataclasses.InitVar[bytes]
    money: dataclasses.InitVar[Money | None]
    spans: dataclasses.InitVar[list[Span]]
    size: dataclasses.InitVar[bytes] = b"none"
    seen: list[Any] = dataclasses.field(default_factory=list)

    def __post_init__(self, raw: Any, money: Any, spans: Any, size: Any) -> None:
        self.seen = [raw, money, spans, size]


@pytest.mark.parametrize("kind", [Prepared, RichPrepared])
def test_arguments_of_post_init_are_converted(kind: Any) -> None:
    """The types in `InitVar` are read as those of fields, and described as they are."""
    text = '{"raw": "aGk=", "money": 3, "spans": ["LONG"]}'

    assert parse(kind, text).seen == [b"hi", Money(3), [Span.LONG], b"none"]
    assert parse(kind, text[:-1] + ', "size": "aGk="}').seen[-1] == b"hi"
    assert properties(kind)["raw"] == {
        "type": "string",
        "format": "base64",
        "description": "What was seen.",
    }


@dataclasses.dataclass
class Sent(Generic[T]):
    raw: dataclasses.InitVar[T]
    seen: Any = None

    def __post_init__(self, raw: T) -> None:
        self.seen = raw


def test_arguments_of_post_init_may_be_generic() -> None:
    """A type variable in `InitVar` has the argument of the class."""
    assert parse(Sent[bytes], '{"raw": "aGk="}').seen == b"hi"
    assert parse(Sent[list[Span]], '{"raw": ["LONG"]}').seen == [Span.LONG]


# --- free keys ------------------------------------------------------------------------------------


class Free(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, bytes] = Field(init=False)

    number: int = 0


class FreeHeir(Free):
    span: Span = Span.SHORT


class FreeMoney(BaseModel):
    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)
    __pydantic_extra__: dict[str, list[Money | Span]] = Field(init=False)


class FreeInner(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Free] = Field(init=False)


class FreeGeneric(BaseModel, Generic[T]):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, list[T]] = Field(init=False)


class FreeGenericHeir(FreeGeneric[bytes]):
    pass


class Closing(typing_extensions.TypedDict, extra_items=bytes):  # type: ignore[call-arg]
    number: int


class ClosingHeir(Closing):
    span: typing_extensions.NotRequired[Span]


class ClosingGeneric(typing_extensions.TypedDict, Generic[T], extra_items=T | None):  # type: ignore[call-arg]
    number: int


def test_values_of_free_keys_are_converted() -> None:
    """Those of models and of TypedDicts (PEP 728), inherited ones too."""
    text = '{"number": 1, "a": "aGk="}'

    assert parse(Free, text).model_extra == {"a": b"hi"}
    assert parse(FreeHeir, text).model_extra == {"a": b"hi"}
    assert parse(FreeMoney, '{"a": [3, "LONG"]}').model_extra == {"a": [Money(3), Span.LONG]}
    assert parse(FreeInner, '{"b": {"a": "aGk="}}').model_extra == {"b": Free(a=b"hi")}  # type: ignore[call-arg]
    for generic in (FreeGeneric[bytes], FreeGenericHeir):
        assert parse(generic, '{"a": ["aGk="]}').model_extra == {"a": [b"hi"]}
    for closing in (Closing, ClosingHeir, ClosingGeneric[bytes]):
        assert parse(closing, text) == {"number": 1, "a": b"hi"}


def test_free_keys_are_shown_as_they_are_read() -> None:
    """The schema of their values is that of a field of the type."""
    for kind in (Free, FreeHeir, Closing):
        schema = compile_type(kind).schema
        assert schema is not None
        assert schema["additionalProperties"] == {"type": "string", "format": "base64"}


# --- generic classes ------------------------------------------------------------------------------


class Node(BaseModel, Generic[T]):
    value: T
    next: Node[T] | None = None
    """The next one."""


class Pair(BaseModel, Generic[T]):
    value: T
    others: list[Other[T]] = []


class Other(BaseModel, Generic[T]):
    pairs: list[Pair[T]] = []


Pair.model_rebuild()


def test_recursive_generic_models_are_read() -> None:
    """Whether only a text or a type is shown otherwise, and through another class."""
    node = parse(Node[int], '{"value": 1, "next": {"value": 2}}')
    assert node == Node[int](value=1, next=Node[int](value=2))
    assert [type(part) for part in (node, node.next)] == [Node[int], Node[int]]
    assert "The next one." in str(compile_type(Node[int]).schema)

    deep = parse(list[Node[bytes]], '[{"value": "aGk=", "next": {"value": "aGk="}}]')
    assert deep[0].next == Node[bytes](value=b"hi")
    pair = parse(Pair[bytes], '{"value": "aGk=", "others": [{"pairs": [{"value": "aGk="}]}]}')
    assert pair.others[0].pairs[0] == Pair[bytes](value=b"hi")
    both = parse(dict[str, Node[bytes] | Node[Span]], '{"a": {"value": "aGk=", "next": {"value": "aGk="}}}')
    assert both["a"].next == Node[bytes](value=b"hi")


D = typing_extensions.TypeVar("D", default=bytes)
B = typing.TypeVar("B", bound=Span)
C = typing.TypeVar("C", Span, Money)


class Model(BaseModel, Generic[B, C, D]):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    default: D
    bound: list[B]
    choice: dict[str, C]


@dataclasses.dataclass
class Data(Generic[B, C, D]):
    default: D
    bound: list[B]
    choice: dict[str, C]


class Dict(typing_extensions.TypedDict, Generic[B, C, D]):
    default: D
    bound: list[B]
    choice: dict[str, C]


class Tuple(NamedTuple, Generic[B, C, D]):
    default: D
    bound: list[B]
    choice: dict[str, C]


Named = typing.TypeVar("Named", bound="list[Span]")
Lost = typing.TypeVar("Lost", bound="Nowhere.there")  # type: ignore[name-defined]  # noqa: F821


@dataclasses.dataclass
class Bound(Generic[Named]):
    bound: Named


@dataclasses.dataclass
class Unbound(Generic[Lost]):
    bound: Lost


class Holder(BaseModel):
    model: Model  # type: ignore[type-arg]


def parts_of(value: Any) -> list[Any]:
    if isinstance(value, tuple):
        return list(value)
    return list((value if isinstance(value, dict) else vars(value)).values())


@pytest.mark.parametrize("kind", [Model, Data, Dict, Tuple])
def test_type_variables_without_an_argument_are_read(kind: Any) -> None:
    """By their default, their bound or their constraints, as pydantic reads them."""
    text = '{"default": "aGk=", "bound": ["LONG"], "choice": {"a": "SHORT", "b": 3}}'
    expected = [b"hi", [Span.LONG], {"a": Span.SHORT, "b": Money(3)}]

    assert parts_of(parse(kind, text)) == expected
    assert parts_of(parse(list[kind], f"[{text}]")[0]) == expected
    assert parse(Bound, '{"bound": ["LONG"]}').bound == [Span.LONG]
    if kind is Model:
        assert parts_of(parse(Holder, f'{{"model": {text}}}').model) == expected


def test_a_bound_that_is_not_defined_is_named() -> None:
    """As any other name."""
    with pytest.raises(ConfigurationError, match="'Nowhere'"):
        compile_type(Unbound)


Alias = typing_extensions.TypeAliasType("Alias", list[D], type_params=(D,))


def test_type_variables_of_an_alias_are_read() -> None:
    """With its argument, and by the default without one."""
    assert parse(Alias, '["aGk="]') == [b"hi"]  # type: ignore[comparison-overlap]
    assert parse(Alias[Span], '["LONG"]') == [Span.LONG]


# --- use_enum_values ------------------------------------------------------------------------------


class Values(BaseModel):
    model_config = ConfigDict(use_enum_values=True)

    span: Span
    size: Size = Size.SMALL
    literal: Literal[Span.SHORT, Size.LARGE, b"raw", "text"] = "text"
    keys: dict[Span, Size] = {}
    access: Access = Access.READ
    left: Annotated[Span | None, Field(description="left")] = Span.SHORT
    blob: bytes = b""


@pydantic_dataclass(config=ConfigDict(use_enum_values=True))
class DataValues:
    span: Span
    size: Size = Size.SMALL
    literal: Literal[Span.SHORT, Size.LARGE, b"raw", "text"] = "text"
    keys: dict[Span, Size] = dataclasses.field(default_factory=dict)
    access: Access = Access.READ
    left: Annotated[Span | None, Field(description="left")] = Span.SHORT
    blob: bytes = b""


class DictValues(typing_extensions.TypedDict, total=False):
    __pydantic_config__ = ConfigDict(use_enum_values=True)  # type: ignore[misc]

    span: Span
    size: Size
    literal: Literal[Span.SHORT, Size.LARGE, b"raw", "text"]
    keys: dict[Span, Size]
    access: Access
    left: Annotated[Span | None, Field(description="left")]
    blob: bytes


@pytest.mark.parametrize("kind", [Values, DataValues, DictValues])
def test_values_of_enums_are_used_where_the_class_says_so(kind: Any) -> None:
    """For members that are given by name, too, and for keys and flags."""
    text = '{"span": "LONG", "size": 2, "literal": "SHORT", "keys": {"LONG": 1}, "access": ["READ", "WRITE"]'
    value = parse(kind, text + ', "left": null, "blob": "aGk="}')

    found = [(type(part), part) for part in parts_of(value)]
    expected = [(3, 4), 2, (1, 2), {(3, 4): 1}, 3, None, b"hi"]
    assert found == [(type(part), part) for part in expected]
    assert parse(kind, text[: text.index('"SHORT"')] + '"raw"}') is not None


class Outside(BaseModel):
    """It holds a class with the configuration, which is not its own."""

    values: Values
    span: Span


def test_members_of_enums_are_used_elsewhere() -> None:
    """The configuration of a class is for its own fields."""
    value = parse(Outside, '{"values": {"span": "LONG"}, "span": "LONG"}')

    assert (value.values.span, value.span) == ((3, 4), Span.LONG)


# --- functions ------------------------------------------------------------------------------------


@dataclasses.dataclass
class Calling:
    number: int
    call: Callable[[int], str] | None = None


@pytest.mark.parametrize(
    ("annotation", "where"),
    [
        (Callable[[], int], r"Callable\[\[\], int\] "),
        (Callable[..., Span] | None, r"\(Callable\[\.\.\., Span\] \| None\): Callable"),
        (list[Callable[[bytes], int]], r"list\[Callable\[\[bytes\], int\]\]\[\]: Callable"),
        (Calling, r"Calling\.call: Callable\[\[int\], str\]"),
        (typing.Callable, "Callable "),
    ],
)
def test_a_function_is_refused_in_plain_words(annotation: Any, where: str) -> None:
    """With its place, and what to do instead."""
    advice = r"because a model cannot give a function: .* or register a parser .*register_parser\(Callable"
    with pytest.raises(ConfigurationError, match=where + ".*" + advice):
        compile_type(annotation)
