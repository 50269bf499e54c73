"""What a user's class defines holds wherever the class is used in a type."""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import sys
import typing
from collections.abc import Collection, Iterator
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypeVar

import attrs
import msgspec
import pytest
import typing_extensions
from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    RootModel,
    Tag,
    TypeAdapter,
    ValidationInfo,
    WrapValidator,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic_core import core_schema

from alloy import ParseError, parse, register_parser
from alloy._typed.types.compile import compile_type
from alloy._typed.types.signature import compile_signature
from alloy.errors import ConfigurationError

T = TypeVar("T")


class Span(enum.Enum):
    SHORT = (1, 2)
    LONG = (3, 4)


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and self.cents == other.cents

    __hash__ = None  # type: ignore[assignment]


def properties(annotation: Any) -> dict[str, Any]:
    schema = compile_type(annotation).schema
    assert schema is not None
    found: dict[str, Any] = schema["properties"]
    return found


# --- validators -------------------------------------------------------------------------------------


class Checked(BaseModel):
    """Every kind of validator that a model can have, next to a field that pydantic reads otherwise."""

    span: Span
    name: str
    seen: list[str] = []

    @field_validator("name", mode="before")
    @classmethod
    def _before(cls, value: Any, info: ValidationInfo) -> Any:
        assert cls is Checked
        assert info.field_name == "name"
        assert info.data["span"] in Span
        return f"{value}."

    @field_validator("span", mode="wrap")
    @classmethod
    def _wrap(cls, value: Any, handler: Any) -> Any:
        assert issubclass(cls, Checked)
        return Span.LONG if value == "long" else handler(value)

    @field_validator("seen", mode="plain")
    @classmethod
    def _plain(cls, value: Any) -> list[str]:
        return ["plain", *value]

    @model_validator(mode="before")
    @classmethod
    def _all_before(cls, value: Any) -> Any:
        assert cls is Checked
        return {**value, "name": value["name"] + "!"} if isinstance(value, dict) else value

    @model_validator(mode="wrap")
    @classmethod
    def _all_wrap(cls, value: Any, handler: Any) -> Any:
        found = handler(value)
        assert type(found) is Checked
        return found

    @model_validator(mode="after")
    def _all_after(self) -> Checked:
        assert type(self) is Checked
        if self.name.startswith("bad"):
            raise ValueError("a bad name")
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    def size(self) -> int:
        return len(self.name)


def test_a_models_validators_run() -> None:
    """They see the model's own class, and may refuse a value with its path."""
    found = parse(list[Checked], '[{"span": "SHORT", "name": "a", "seen": ["x"]}]')

    assert found == [Checked.model_construct(span=Span.SHORT, name="a!.", seen=["plain", "x"])]
    assert type(found[0]) is Checked
    assert found[0].model_fields_set == {"span", "name", "seen"}
    assert found[0].size == 3
    with pytest.raises(ParseError, match=r"\$\.value\[0\]: Value error, a bad name"):
        parse(list[Checked], '[{"span": "SHORT", "name": "bad", "seen": []}]')


class Heir(Checked):
    """Inherits fields and validators, and adds one of each."""

    blob: bytes

    @field_validator("name", mode="before")
    @classmethod
    def _before(cls, value: Any, info: ValidationInfo) -> Any:
        assert cls is Heir
        return f"{value}?"

    @field_validator("blob")
    @classmethod
    def _short(cls, value: bytes) -> bytes:
        return value[:2]

    @model_validator(mode="before")
    @classmethod
    def _all_before(cls, value: Any) -> Any:
        assert cls is Heir
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _all_wrap(cls, value: Any, handler: Any) -> Any:
        return handler(value)

    @model_validator(mode="after")
    def _all_after(self) -> Heir:
        assert type(self) is Heir
        return self


def test_inherited_validators_run_too() -> None:
    """With the class that inherits them; a validator of the same name replaces the inherited one."""
    text = '{"span": "LONG", "name": "a", "seen": [], "blob": "aGlqaw=="}'

    assert parse(Heir, text) == Heir.model_construct(span=Span.LONG, name="a?", seen=["plain"], blob=b"hi")


@dataclasses.dataclass
class Plain:
    """A dataclass of the standard library may have pydantic's validators as well."""

    span: Span
    name: str

    @field_validator("name")
    @classmethod
    def _upper(cls, value: str) -> str:
        assert issubclass(cls, Plain)
        return value.upper()

    @model_validator(mode="after")
    def _whole(self) -> Plain:
        assert isinstance(self, Plain)
        if self.name == "BAD":
            raise ValueError("a bad name")
        return self


@pydantic_dataclass
class Rich:
    span: Span
    name: str = Field(alias="theName")
    made: dataclasses.InitVar[int] = 1
    sum: int = dataclasses.field(default=0, init=False)

    @field_validator("name")
    @classmethod
    def _upper(cls, value: str) -> str:
        assert issubclass(cls, Rich)
        return value.upper()

    def __post_init__(self, made: int) -> None:
        self.sum = made + 1


def test_validators_of_dataclasses_run() -> None:
    """Those of pydantic's dataclasses, and those of plain ones."""
    assert parse(Rich, '{"span": "SHORT", "theName": "a", "made": 3}') == Rich(
        Span.SHORT, theName="A", made=3
    )  # type: ignore[call-arg]
    assert parse(Rich, '{"span": "SHORT", "theName": "a"}').sum == 2
    assert parse(list[Plain], '[{"span": "SHORT", "name": "a"}]') == [Plain(Span.SHORT, "A")]
    with pytest.raises(ParseError, match="a bad name"):
        parse(list[Plain], '[{"span": "SHORT", "name": "bad"}]')


def test_validators_of_a_base_run() -> None:
    """Whichever of the two classes pydantic has seen before."""

    @dataclasses.dataclass
    class Sub(Rich):
        more: bytes = b""

        @field_validator("more")
        @classmethod
        def _twice(cls, value: bytes) -> bytes:
            assert cls is Sub
            return value * 2

    @dataclasses.dataclass
    class PlainSub(Plain):
        more: bytes = b""

    TypeAdapter(Plain)
    text = '{"span": "SHORT", "theName": "a", "more": "aGk="}'
    found = parse(Sub, text)

    assert (type(found), found.name, found.more) == (Sub, "A", b"hihi")
    for _ in range(2):
        plain = parse(PlainSub, text.replace("theName", "name"))
        assert (type(plain), plain.name, plain.more) == (PlainSub, "A", b"hi")
        TypeAdapter(PlainSub)


def test_validators_in_annotations_run() -> None:
    """Around types that pydantic reads otherwise, and inside of them."""

    class Around(BaseModel):
        blob: Annotated[bytes, AfterValidator(lambda value: value * 2)]
        span: Annotated[Span, BeforeValidator(str.upper)]
        plain: Annotated[Span, PlainValidator(lambda value: Span[value])]
        wrapped: Annotated[list[Span], WrapValidator(lambda value, handler: handler([*value, "LONG"]))]

    found = parse(Around, '{"blob": "aGk=", "span": "long", "plain": "SHORT", "wrapped": ["SHORT"]}')

    assert found.blob == b"hihi"
    assert (found.span, found.plain) == (Span.LONG, Span.SHORT)
    assert found.wrapped == [Span.SHORT, Span.LONG]


# --- constructors -----------------------------------------------------------------------------------


class Counted(BaseModel):
    span: Span
    _calls: int = 0

    def model_post_init(self, context: Any) -> None:
        assert type(self) is Counted
        self._calls += 1


class Initialised(BaseModel):
    name: str
    other: list[Span] = []

    def __init__(self, **data: Any) -> None:
        super().__init__(**{**data, "name": data["name"] + "!"})


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    span: Span
    more: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        if len(self.more) > 1:
            raise ValueError("too many")


class Pair(NamedTuple):
    low: Span
    high: Span = Span.LONG


class Strict(typing_extensions.TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    span: Span


def test_constructors_run() -> None:
    """`model_post_init`, `__init__`, `__post_init__` and `__new__` are the class's own."""
    assert parse(list[Counted], '[{"span": "SHORT"}]')[0]._calls == 1
    assert parse(list[Initialised], '[{"name": "a"}]')[0].name == "a!"
    assert parse(list[Slotted], '[{"span": "SHORT", "more": ["LONG"]}]') == [
        Slotted(Span.SHORT, (Span.LONG,))
    ]
    with pytest.raises(ParseError, match="too many"):
        parse(Slotted, '{"span": "SHORT", "more": ["LONG", "LONG"]}')
    assert parse(list[Pair], '[["SHORT"], ["LONG", "SHORT"]]') == [
        Pair(Span.SHORT),
        Pair(Span.LONG, Span.SHORT),
    ]
    assert type(parse(Pair, '["SHORT"]')) is Pair


# --- fields -----------------------------------------------------------------------------------------


class Named(BaseModel):
    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=to_camel),
        populate_by_name=True,
        extra="forbid",
        title="A named thing",
        json_schema_extra=lambda schema, model: schema.update({"x-model": model.__name__}),
    )
    first_span: Span
    many_spans: list[Span] = Field(default_factory=lambda: [Span.LONG], min_length=1, title="Spans")
    blob: bytes = Field(default=b"x", max_length=3)


def test_aliases_defaults_and_configuration_are_kept() -> None:
    """With the constraints and titles of fields."""
    found = parse(
        list[Named], '[{"firstSpan": "SHORT"}, {"first_span": "LONG", "manySpans": ["LONG", "SHORT"]}]'
    )
    schema = compile_type(Named).schema
    assert schema is not None

    assert found[0] == Named(first_span=Span.SHORT)
    assert found[1] == Named(first_span=Span.LONG, many_spans=[Span.LONG, Span.SHORT])
    assert (schema["title"], schema["x-model"], schema["additionalProperties"]) == (
        "A named thing",
        "Named",
        False,
    )
    assert schema["required"] == ["firstSpan"]
    assert schema["properties"]["manySpans"]["title"] == "Spans"
    assert schema["properties"]["manySpans"]["minItems"] == 1
    assert schema["properties"]["blob"]["maxLength"] == 4
    with pytest.raises(ParseError, match=r"other: Extra inputs"):
        parse(Named, '{"firstSpan": "SHORT", "other": 1}')
    with pytest.raises(ParseError, match=r"\[0\]\.span|Extra inputs"):
        parse(list[Strict], '[{"span": "SHORT", "more": 1}]')


class Open(BaseModel):
    __pydantic_extra__: dict[str, int] = {}
    model_config = ConfigDict(extra="allow")
    span: Span


class Spans(RootModel[list[Span]]):
    @model_validator(mode="after")
    def _not_empty(self) -> Spans:
        if not self.root:
            raise ValueError("empty")
        return self


class Shelf(BaseModel, Generic[T]):
    best: T
    rest: list[T] = []


class Sizes(BaseModel):
    model_config = ConfigDict(use_enum_values=True, str_to_upper=True)
    blob: bytes
    size: Size
    word: str


def test_models_of_every_kind_are_read() -> None:
    """With free fields, with a root, generic ones, and with a configuration for their values."""
    assert parse(Open, '{"span": "SHORT", "more": 3}').model_extra == {"more": 3}
    with pytest.raises(ParseError, match="more"):
        parse(Open, '{"span": "SHORT", "more": "x"}')
    assert parse(dict[str, Spans], '{"a": ["SHORT"]}') == {"a": Spans([Span.SHORT])}
    with pytest.raises(ParseError, match="empty"):
        parse(Spans, "[]")
    found = parse(list[Shelf[Span]], '[{"best": "SHORT", "rest": ["LONG"]}]')
    assert found == [Shelf[Span](best=Span.SHORT, rest=[Span.LONG])]
    assert type(found[0]) is Shelf[Span]
    found = parse(Sizes, '{"blob": "aGk=", "size": 2, "word": "a"}')
    assert (found.blob, type(found.size), found.size, found.word) == (b"hi", int, 2, "A")


@dataclasses.dataclass
class Box(Generic[T]):
    item: T
    more: dict[str, list[T]] = dataclasses.field(default_factory=dict)
    next: Optional[Box[T]] = None  # noqa: UP045 - the class is not defined yet


class Case(typing_extensions.TypedDict, Generic[T]):
    held: T


class Couple(NamedTuple, Generic[T]):
    one: T
    two: T


def test_generic_classes_are_read_with_their_arguments() -> None:
    """Two uses of one class with different arguments are distinguished, in the schema too."""
    found = parse(
        tuple[Box[Span], Box[bytes], Case[Span], Couple[bytes]],
        '[{"item": "SHORT", "more": {"a": ["LONG"]}, "next": {"item": "LONG"}}, {"item": "aGk="},'
        ' {"held": "SHORT"}, ["aGk=", "aGk="]]',
    )
    box: Box[Span] = Box(Span.SHORT, {"a": [Span.LONG]}, Box(Span.LONG))

    assert found == (box, Box(b"hi"), {"held": Span.SHORT}, Couple(b"hi", b"hi"))
    schema = compile_type(list[Box[Span] | Box[bytes]]).schema
    assert schema is not None
    assert len([name for name in schema["$defs"] if name.startswith("Box")]) == 2


@dataclasses.dataclass
class Circle:
    kind: Literal["circle"]
    span: Span


class Square(BaseModel):
    kind: Literal["square"]
    blob: bytes


class Drawing(BaseModel):
    shapes: list[Annotated[Circle | Square, Field(discriminator="kind")]]
    other: Annotated[
        Annotated[Circle, Tag("round")] | Annotated[Square, Tag("angular")],
        Discriminator(lambda value: "round" if "span" in value else "angular"),
    ]


def test_discriminators_decide() -> None:
    """Named ones and functions; what they choose is shown."""
    found = parse(
        Drawing,
        '{"shapes": [{"kind": "circle", "span": "SHORT"}, {"kind": "square", "blob": "aGk="}],'
        ' "other": {"kind": "circle", "span": "LONG"}}',
    )

    assert found.shapes == [Circle("circle", Span.SHORT), Square(kind="square", blob=b"hi")]
    assert found.other == Circle("circle", Span.LONG)
    items = properties(Drawing)["shapes"]["items"]
    assert set(items["discriminator"]["mapping"]) == {"circle", "square"}


# --- schemas of their own ---------------------------------------------------------------------------


class Coded(BaseModel):
    """Wraps what pydantic builds for it."""

    span: Span

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        assert cls.__name__ == "Coded"
        assert source is cls
        return core_schema.no_info_before_validator_function(lambda v: {"span": v["code"]}, handler(source))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
        return {**handler.resolve_ref_schema(handler(schema)), "x-coded": cls.__name__}


@dataclasses.dataclass
class Parsed:
    """Brings a schema of its own, made from the schema of another class."""

    inner: Slotted

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return core_schema.no_info_after_validator_function(cls, handler.generate_schema(Slotted))


def test_classes_with_a_schema_of_their_own_are_asked_for_it() -> None:
    """What they add to pydantic's is kept, and what they bring instead is used."""

    @dataclasses.dataclass
    class Whole:
        coded: list[Coded]
        parsed: Parsed
        slotted: Slotted

    text = '{"coded": [{"code": "SHORT"}], "parsed": {"span": "LONG"}, "slotted": {"span": "LONG"}}'
    names = {"Coded": Coded, "Parsed": Parsed, "Slotted": Slotted}

    assert compile_type(Whole, names).validator is not None
    found = compile_type(Whole, names).validator.read(text)  # type: ignore[union-attr]
    assert found == Whole(
        [Coded.model_construct(span=Span.SHORT)], Parsed(Slotted(Span.LONG)), Slotted(Span.LONG)
    )
    schema = compile_type(Coded).schema
    assert schema is not None
    assert schema["x-coded"] == "Coded"


# --- names that come late ---------------------------------------------------------------------------


class Late(BaseModel):
    span: Span
    early: Annotated[Optional[Early], Field(alias="theEarly", description="comes late")] = None  # noqa: UP045
    many: list[Early] = Field(default_factory=list, max_length=2)


class Early(BaseModel):
    blob: bytes
    late: Optional[Late] = None  # noqa: UP045


def test_models_that_wait_for_a_name_are_read() -> None:
    """Here the module has it by now."""
    found = parse(list[Late], '[{"span": "SHORT", "theEarly": {"blob": "aGk=", "late": {"span": "LONG"}}}]')

    assert found[0].early is not None
    assert found[0].early.blob == b"hi"
    assert found[0].early.late is not None
    assert found[0].early.late.span is Span.LONG
    assert found[0].many == []


def test_models_of_a_function_are_read_with_its_names() -> None:
    """A model that is not complete stays so: the names are those of one call."""

    class Outer(BaseModel):
        span: Span
        inner: Annotated[Optional[Inner], Field(alias="theInner", description="comes late")] = None  # noqa: UP045
        more: list[Inner] = Field(default_factory=list, max_length=1)

    class Inner(BaseModel):
        blob: bytes

    complete = Outer.__pydantic_complete__
    spec = compile_type(Outer, {"Inner": Inner})
    assert spec.validator is not None
    assert spec.schema is not None

    found = spec.validator.read('{"span": "LONG", "theInner": {"blob": "aGk="}, "more": [{"blob": ""}]}')

    assert (found.span, found.inner.blob, found.more[0].blob) == (Span.LONG, b"hi", b"")
    assert spec.schema["properties"]["theInner"]["description"] == "comes late"
    assert spec.schema["properties"]["more"]["maxItems"] == 1
    assert Outer.__pydantic_complete__ == complete


# --- annotations whose meaning the core schema does not keep -----------------------------------------

Price = NewType("Price", Money)
Cents = NewType("Cents", int)


class Sale(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    price: Price
    cents: Cents
    sizes: Collection[Span]
    each: Iterator[Annotated[int, "with two digits"]]
    order: collections.OrderedDict[Span, Annotated[bytes, Field(max_length=2)]]


def test_what_an_annotation_says_counts_inside_of_models_too() -> None:
    """A parser for a `NewType`, the items of an abstract collection, and texts at any depth."""
    with (
        register_parser(Money, wire=int, parse=Money),
        register_parser(Cents, wire=str, parse=lambda text: int(text.removesuffix("ct"))),
    ):
        found = parse(
            Sale,
            '{"price": 3, "cents": "4ct", "sizes": ["LONG"], "each": [12], "order": {"SHORT": "aGk="}}',
        )
        shown = properties(Sale)

    assert (found.price, found.cents) == (Money(3), 4)
    assert (found.sizes, list(found.each)) == ([Span.LONG], [12])
    assert found.order == {Span.SHORT: b"hi"}
    assert shown["each"]["items"]["description"] == "with two digits"
    assert shown["order"]["propertyNames"] == {"enum": ["SHORT", "LONG"]}


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (collections.OrderedDict[str, bytes], '{"a": "aGk="}', collections.OrderedDict(a=b"hi")),
        (collections.Counter[Span], '{"SHORT": 2}', collections.Counter({Span.SHORT: 2})),
        (collections.defaultdict[Span, list[bytes]], '{"LONG": ["aGk="]}', {Span.LONG: [b"hi"]}),
    ],
    ids=str,
)
def test_mappings_read_their_items_once(annotation: Any, text: str, value: Any) -> None:
    """A second time they would not be JSON any more."""
    found = parse(annotation, text)

    assert found == value
    assert type(found) is typing.get_origin(annotation)
    if type(found) is collections.defaultdict:
        assert found[Span.SHORT] == []


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Rate(enum.Enum):
    LOW = 0.5
    HIGH = 1


@dataclasses.dataclass
class Defaults:
    blob: bytes = b"\xff"
    span: Span = Span.SHORT
    access: Access = Access.READ | Access.WRITE
    rate: Rate = Rate.LOW
    kind: Literal[Span.LONG, "x"] = Span.LONG
    spans: tuple[Span, ...] = (Span.LONG,)
    counts: typing.Mapping[Span, bytes] = dataclasses.field(default_factory=dict)


@attrs.define
class AttrsDefaults:
    span: Span = Span.LONG
    blob: bytes = b"hi"


class StructDefaults(msgspec.Struct):
    span: Span = Span.LONG
    access: Access = Access.WRITE


@pytest.mark.parametrize("kind", [Defaults, AttrsDefaults, StructDefaults])
def test_defaults_are_shown_as_an_answer_gives_them(kind: Any) -> None:
    """What the schema shows as the default is read as the default."""
    shown = {name: part["default"] for name, part in properties(kind).items() if "default" in part}

    assert shown
    assert parse(kind, json.dumps(shown)) == kind()
    if kind is Defaults:
        assert shown["spans"] == ["LONG"]
        assert (shown["blob"], shown["span"], shown["access"]) == ("/w==", "SHORT", ["READ", "WRITE"])


def test_defaults_of_parameters_are_shown_as_a_call_gives_them() -> None:
    """Also in collections and as keys."""

    def find(
        span: Span = Span.LONG, counts: dict[Span, bytes] | None = None, blob: bytes = b"hi"
    ) -> None: ...

    find.__defaults__ = (Span.LONG, {Span.SHORT: b"hi"}, b"hi")
    signature = compile_signature(find)
    shown = {name: part["default"] for name, part in signature.schema["properties"].items()}

    assert shown == {"span": "LONG", "counts": {"SHORT": "aGk="}, "blob": "aGk="}
    assert signature.read(json.dumps(shown)) == {
        "span": Span.LONG,
        "counts": {Span.SHORT: b"hi"},
        "blob": b"hi",
    }


@attrs.define
class Leaf:
    spans: list[Span]


class Tree(typing.TypedDict):
    leaf: Leaf
    below: typing.NotRequired[list[Tree]]


class Forest(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    leaf: Leaf
    boxes: list[Box[Leaf]] = []


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="pydantic.v1 cannot be imported from 3.14 on")
def test_records_of_other_libraries_are_read_inside_of_every_class() -> None:
    """Also where pydantic would warn of a class, or refuse it."""
    from kit.kinds import Gone

    @dataclasses.dataclass
    class Old:
        gone: Gone
        tree: Tree

    spec = compile_type(Old, {"Gone": Gone, "Tree": Tree})
    assert spec.validator is not None

    found = spec.validator.read(
        '{"gone": {"n": 1}, "tree": {"leaf": {"spans": ["SHORT"]}, "below": [{"leaf": {"spans": []}}]}}'
    )
    assert found == Old(Gone(n=1), {"leaf": Leaf([Span.SHORT]), "below": [{"leaf": Leaf([])}]})
    forest = parse(Forest, '{"leaf": {"spans": []}, "boxes": [{"item": {"spans": ["LONG"]}}]}')
    assert forest == Forest(leaf=Leaf([]), boxes=[Box(Leaf([Span.LONG]))])


def test_a_constraint_on_a_type_with_a_parser_is_for_what_the_parser_returns() -> None:
    """As for any validator."""

    @dataclasses.dataclass
    class Budget:
        cents: Annotated[Cents, Field(gt=10)]

    with register_parser(Cents, wire=str, parse=int):
        assert parse(Budget, '{"cents": "11"}') == Budget(Cents(11))
        with pytest.raises(ParseError, match="greater than 10"):
            parse(Budget, '{"cents": "9"}')


def test_fields_of_the_wrong_type_are_named_in_every_class() -> None:
    """The place is that in the user's classes."""

    @pydantic_dataclass(config=ConfigDict(arbitrary_types_allowed=True))
    class Holder:
        money: dict[str, Money]

    @dataclasses.dataclass
    class Around:
        span: Span
        holders: list[Holder]

    with pytest.raises(
        ConfigurationError, match=r"Around\.holders\[\]\.money\[\]: \S*Money has no JSON schema"
    ):
        compile_type(Around, {"Holder": Holder})
