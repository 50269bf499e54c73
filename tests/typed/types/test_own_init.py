"""Models with an `__init__` of their own get its arguments as a Python caller would give them."""

from __future__ import annotations

import base64
import dataclasses
import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import pytest
import typing_extensions
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass

from alloy import ParseError, parse, register_parser
from alloy._typed.types.compile import compile_type
from alloy.errors import ConfigurationError

T = TypeVar("T")


class Span(enum.Enum):
    SHORT = (1, 2)
    LONG = (3, 4)


@dataclasses.dataclass(frozen=True)
class Money:
    cents: int


@pytest.fixture(autouse=True)
def _money() -> Iterator[None]:
    with register_parser(Money, wire=int, parse=Money):
        yield


def doubled(value: Any) -> Any:
    return value * 2


class Inner(BaseModel):
    blob: bytes


class Passing(BaseModel):
    """Its `__init__` passes all arguments on."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    blob: bytes
    span: Span = Field(alias="Span")
    money: Money | None = None
    spans: dict[Span, list[bytes]] = {}
    inner: Inner | None = None
    day: date | None = None
    size: Annotated[bytes, AfterValidator(doubled)] = b""

    def __init__(self, **values: Any) -> None:
        assert all(not isinstance(value, str) for key, value in values.items() if key != "day")
        super().__init__(**values)

    @field_validator("blob")
    @classmethod
    def _longer(cls, value: bytes) -> bytes:
        return value + b"!"


def test_each_argument_is_converted() -> None:
    """Once, and validators of the class run once."""
    text = (
        '{"blob": "aGk=", "Span": "LONG", "money": 3, "spans": {"SHORT": ["aGk="]},'
        ' "inner": {"blob": "aGk="}, "day": "2026-01-02", "size": "YQ=="}'
    )
    expected = Passing(
        blob=b"hi",
        Span=Span.LONG,
        money=Money(3),
        spans={Span.SHORT: [b"hi"]},
        inner=Inner(blob=b"hi"),
        day=date(2026, 1, 2),
        size=b"a",
    )

    assert expected.size == b"aa"
    for annotation, answer in [(Passing, text), (list[Passing], f"[{text}]"), (Passing | int, text)]:
        value = parse(annotation, answer)
        value = value[0] if isinstance(value, list) else value
        assert value == expected
        assert type(value) is Passing
        assert value.model_fields_set == expected.model_fields_set


def test_problems_of_an_argument_are_named() -> None:
    """With its path, whether Alloy or the class finds them."""
    for text, problem in [
        ('{"blob": "?", "Span": "LONG"}', r"\$\.blob: "),
        ('{"blob": "", "Span": "WIDE"}', r"\$\.Span: expected 'SHORT' or 'LONG'"),
        ('{"blob": "", "Span": "LONG", "inner": {}}', r"\$\.inner\.blob: required"),
        ('{"Span": "LONG"}', r"\$\.blob: required"),
        ('{"blob": "", "Span": "LONG", "day": "soon"}', r"\$\.day: "),
    ]:
        with pytest.raises(ParseError, match=problem):
            parse(Passing, text)


class Counting(BaseModel):
    """It adds arguments, and names one field only in the text of its annotation."""

    blob: bytes
    name: str = ""
    calls: int = 0

    def __init__(self, blob: bytes | None = None, note: str = "note", **values: Any) -> None:
        super().__init__(blob=(blob or b"") + note.encode(), **values)

    @model_validator(mode="before")
    @classmethod
    def _before(cls, values: Any) -> Any:
        return {**values, "calls": values.get("calls", 0) + 1}


def test_arguments_may_be_added() -> None:
    """The model is shown the fields; an added argument has its default, unless the answer gives it."""
    schema = compile_type(Counting).schema

    assert schema is not None
    assert list(schema["properties"]) == ["blob", "name", "calls"]
    value = parse(Counting, '{"blob": "aGk=", "name": "a"}')
    assert (value.blob, value.name, value.calls) == (b"hinote", "a", 1)
    assert parse(Counting, '{"blob": "aGk=", "note": "b"}').blob == b"hib"


class Renaming(BaseModel):
    blob: bytes

    def __init__(self, raw: bytes) -> None:
        super().__init__(blob=raw)


class OtherType(BaseModel):
    """Its argument is base64, its field is not."""

    blob: bytes

    def __init__(self, blob: str) -> None:
        super().__init__(blob=base64.b64decode(blob))


class Undefined(BaseModel):
    blob: bytes
    money: Money | None = None

    def __init__(self, blob: str, other: Nowhere | None = None, **values: Any) -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(blob=base64.b64decode(blob), **values)


class OtherItems(BaseModel):
    blobs: list[bytes]

    def __init__(self, blobs: list[str]) -> None:
        super().__init__(blobs=[base64.b64decode(blob) for blob in blobs])


class Wider(BaseModel, Generic[T]):
    """Its arguments may be other values, too."""

    blobs: list[bytes]
    counts: dict[Span, list[bytes]] = {}
    value: T
    left: bytes | None = None
    either: bytes | Span = b""
    first: tuple[bytes, Span] | None = None

    def __init__(
        self,
        blobs: Annotated[Iterable[Annotated[bytes, "raw"]], "all"],
        counts: Mapping[Any, Sequence[bytes | str]],
        value: T,
        left: bytes = b"",
        either: Span | str | bytes = b"",
        first: tuple[Any, ...] | list[Any] = (),
    ) -> None:
        super().__init__(blobs=list(blobs), counts=counts, value=value, left=left, either=either, first=first)


def test_parameters_may_take_other_types_too() -> None:
    """A wider type than that of the field is no reason to refuse the class."""
    text = (
        '{"blobs": ["aGk="], "counts": {"LONG": ["aGk="]}, "value": "aGk=", "left": "YQ==", "either": "LONG"'
    )
    value = parse(Wider[bytes], text + ', "first": ["aGk=", "SHORT"]}')

    assert (value.blobs, value.counts, value.value) == ([b"hi"], {Span.LONG: [b"hi"]}, b"hi")
    assert (value.left, value.either, value.first) == (b"a", Span.LONG, (b"hi", Span.SHORT))


class Needing(BaseModel):
    blob: bytes

    def __init__(self, key: int, **values: Any) -> None:
        super().__init__(**values)


class Deep(BaseModel):
    blob: bytes = Field(validation_alias=AliasPath("a", "b"))

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Renaming, r"Renaming\.__init__ has no parameter for the field 'blob'.*register_parser\(Renaming"),
        (OtherType, r"OtherType\.__init__ takes 'blob' as str, and the field is bytes"),
        (Undefined, r"Undefined\.__init__ takes 'blob' as str"),
        (OtherItems, r"OtherItems\.__init__ takes 'blobs' as list\[str\], and the field is list\[bytes\]"),
        (Needing, r"Needing\.__init__ requires 'key', which is not a field"),
        (Deep, r"Deep\.__init__ .* 'blob'.*AliasPath"),
    ],
)
def test_an_init_that_cannot_take_the_fields_is_an_error_of_the_program(kind: Any, message: str) -> None:
    """Before a model is asked, alone and inside of other types."""
    for annotation in (kind, list[kind], dict[str, kind | None]):
        with pytest.raises(ConfigurationError, match=message):
            compile_type(annotation)


class Named(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    blob: bytes = Field(alias="data")
    span: Span = Field(Span.SHORT, validation_alias=AliasChoices("range", "reach"))

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


def test_arguments_have_any_of_their_names() -> None:
    """Aliases, and the name if the class accepts it."""
    for text in (
        '{"data": "aGk=", "range": "LONG"}',
        '{"blob": "aGk=", "reach": "LONG"}',
        '{"data": "aGk=", "span": "LONG"}',
    ):
        value = parse(Named, text)
        assert (value.blob, value.span) == (b"hi", Span.LONG)


class Rest(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, bytes] = Field(init=False)

    number: int

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class Blobs(RootModel[dict[str, bytes]]):
    def __init__(self, root: Any = None, **values: Any) -> None:
        super().__init__(root or values)


class Spans(RootModel[list[Span]]):
    def __init__(self, root: Any) -> None:
        super().__init__(root)


def test_values_without_a_name_are_converted() -> None:
    """Extra keys and roots."""
    assert parse(Rest, '{"number": 1, "a": "aGk="}').model_extra == {"a": b"hi"}
    assert parse(Blobs, '{"a": "aGk="}').root == {"a": b"hi"}
    assert parse(Spans, '["LONG"]').root == [Span.LONG]


class Circle(BaseModel):
    kind: Literal["circle"]
    blob: bytes

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class Square(BaseModel):
    kind: Literal["square"]
    blob: bytes
    inner: Circle | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class Drawing(BaseModel):
    shape: Annotated[Circle | Square, Field(discriminator="kind")]
    others: list[Circle | Square] = []


def test_members_of_unions_are_converted() -> None:
    """With a discriminator and without one, nested too."""
    square = '{"kind": "square", "blob": "aGk=", "inner": {"kind": "circle", "blob": "aGk="}}'
    value = parse(Drawing, f'{{"shape": {square}, "others": [{square}]}}')

    expected = Square(kind="square", blob=b"hi", inner=Circle(kind="circle", blob=b"hi"))
    assert value.shape == expected
    assert value.others == [expected]


class Tree(BaseModel):
    """It holds itself."""

    blob: bytes
    children: list[Tree] = []

    def __init__(self, blob: bytes, **values: Any) -> None:
        super().__init__(blob=blob + b".", **values)


def test_a_recursive_model_is_converted() -> None:
    """Each instance comes out of `__init__`, once."""
    tree = parse(Tree, '{"blob": "YQ==", "children": [{"blob": "Yg==", "children": [{"blob": "Yw=="}]}]}')

    assert tree.children[0].children[0].blob == b"c."
    assert tree == Tree(b"a", children=[Tree(b"b", children=[Tree(b"c")])])


class Step(typing_extensions.TypedDict):
    size: Annotated[bytes, AfterValidator(doubled)]
    next: typing_extensions.NotRequired[Step | None]


class Pair(NamedTuple):
    size: Annotated[bytes, AfterValidator(doubled)]
    number: Annotated[int, AfterValidator(doubled)] = 1


class Doubling(BaseModel):
    size: Annotated[bytes, AfterValidator(doubled)]
    number: int = 1

    @model_validator(mode="after")
    def _double(self) -> Doubling:
        self.number *= 2
        return self


class Careful(BaseModel):
    """Its validators are for what is inside of its fields."""

    spans: list[Annotated[Span, AfterValidator(lambda span: span)]]
    sizes: list[Annotated[bytes, AfterValidator(doubled)]]
    numbers: dict[str, Annotated[int, AfterValidator(doubled)]] = {}
    steps: list[Step] = []
    step: Step | None = None
    pairs: tuple[Pair, Pair] | None = None
    doubling: list[Doubling] = []
    other: Doubling | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


def test_validators_inside_of_arguments_run_once() -> None:
    """In the class: what runs before is only the conversion."""
    value = parse(
        Careful,
        '{"spans": ["LONG"], "sizes": ["aGk="], "numbers": {"a": 2}, "steps": [{"size": "YQ=="}],'
        ' "step": {"size": "YQ==", "next": {"size": "Yg=="}}, "pairs": [["YQ==", 1], ["Yg==", 2]],'
        ' "doubling": [{"size": "YQ=="}], "other": {"size": "YQ==", "number": 2}}',
    )

    assert (value.spans, value.sizes, value.numbers) == ([Span.LONG], [b"hihi"], {"a": 4})
    assert (value.steps, value.step) == ([{"size": b"aa"}], {"size": b"aa", "next": {"size": b"bb"}})
    assert value.pairs == (Pair(b"aa", 2), Pair(b"bb", 4))
    assert [(part.size, part.number) for part in (*value.doubling, value.other) if part] == [
        (b"aa", 2),
        (b"aa", 4),
    ]


@pydantic_dataclass(config=ConfigDict(arbitrary_types_allowed=True))
class Rich:
    blob: bytes
    span: Span
    money: Money

    def __init__(self, **values: Any) -> None:
        raise AssertionError("pydantic replaces this method")


@dataclasses.dataclass
class Plain:
    blob: bytes
    span: Span
    money: Money

    def __init__(self, blob: bytes, span: Span, money: Money) -> None:
        raise AssertionError("pydantic does not call this method")


@pytest.mark.parametrize("kind", [Rich, Plain])
def test_dataclasses_are_built_without_it(kind: Any) -> None:
    """By pydantic, from values that are converted."""
    value = parse(kind, '{"blob": "aGk=", "span": "LONG", "money": 3}')

    assert (value.blob, value.span, value.money) == (b"hi", Span.LONG, Money(3))
