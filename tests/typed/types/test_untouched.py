"""Compiling a type only reads the user's classes: other code never sees a change."""

from __future__ import annotations

import dataclasses
import enum
import gc
import sys
import threading
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import attrs
import msgspec
import pytest
import typing_extensions
from pydantic import BaseModel, Field, RootModel, TypeAdapter, field_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from alloy import parse
from alloy._typed.types.compile import compile_type

T = TypeVar("T")


class Span(enum.Enum):
    SHORT = (1, 2)
    LONG = (3, 4)


@dataclasses.dataclass
class Row:
    #: In base64, when a model writes it.
    blob: bytes
    spans: list[Span] = dataclasses.field(default_factory=list)
    size: bytes = Field(b"", max_length=3)  # type: ignore[assignment]

    @field_validator("spans")
    @classmethod
    def _sorted(cls, value: list[Span]) -> list[Span]:
        return value


class Movie(typing_extensions.TypedDict):
    poster: bytes
    year: typing_extensions.NotRequired[typing_extensions.ReadOnly[int]]


class OldMovie(typing.TypedDict, total=False):
    poster: typing.Required[bytes]


class Point(NamedTuple):
    x: Span
    y: bytes = b""


class Inner(BaseModel):
    blob: bytes
    spans: dict[Span, int] = {}
    """How many of each."""


class Outer(BaseModel):
    inner: Inner
    size: Annotated[bytes, Field(max_length=3, description="small")] = b""
    next: Outer | None = None

    @field_validator("size")
    @classmethod
    def _same(cls, value: bytes) -> bytes:
        return value


class Blobs(RootModel[list[bytes]]):
    pass


class Shelf(BaseModel, Generic[T]):
    best: T


@pydantic_dataclass
class Rich:
    blob: bytes
    inner: Inner | None = None


@attrs.define
class Leaf:
    blob: bytes


class Star(msgspec.Struct):
    blob: bytes


CLASSES: list[Any] = [
    *(Span, Row, Movie, OldMovie, Point, Inner, Outer, Blobs, Shelf, Shelf[bytes], Rich, Leaf, Star),
]


class Probe:
    """Looks at the other classes in the middle of a compilation: pydantic asks it for its schema."""

    look: Any = None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        Probe.look()
        return handler.generate_schema(int)


@dataclasses.dataclass
class Whole:
    """Everything, with a probe in the middle and at the end."""

    row: list[Row]
    movie: dict[str, Movie]
    old: OldMovie | None
    point: Point
    probe: Probe
    outer: Outer
    blobs: Blobs
    shelf: Shelf[bytes]
    rich: Rich
    leaf: Leaf
    star: Star
    last: Probe


TEXT = (
    '{"row": [{"blob": "aGk=", "spans": ["SHORT"]}], "movie": {"a": {"poster": "aGk="}},'
    ' "old": {"poster": ""}, "point": ["LONG"], "probe": 1, "outer": {"inner": {"blob": "aGk="}},'
    ' "blobs": ["aGk="], "shelf": {"best": "aGk="}, "rich": {"blob": "aGk="}, "leaf": {"blob": ""},'
    ' "star": {"blob": ""}, "last": 1}'
)


def pieces(value: Any) -> Iterator[Any]:
    """*value* by identity, and what it consists of where that could be changed in place."""
    yield id(value)
    if isinstance(value, dict):
        yield from ((key, id(item)) for key, item in value.items())
        for item in value.values():
            if not isinstance(item, dict | type):
                yield from pieces(item)
    elif isinstance(value, list):
        yield from map(id, value)
    elif "pydantic" in type(value).__module__ or type(value) is dataclasses.Field:
        for name in getattr(type(value), "__slots__", ()):
            if hasattr(value, name):
                yield name, *pieces(getattr(value, name))


def state(kind: Any) -> list[Any]:
    """What there is to see of a class, object by object."""
    seen = [(name, *pieces(value)) for name, value in vars(kind).items() if not name.startswith("_abc")]
    annotations = typing_extensions.get_annotations(kind, format=typing_extensions.Format.FORWARDREF)
    return [
        id(type(kind)),
        sorted(annotations.items(), key=str),
        kind.__bases__,
        kind.__subclasses__(),
        *seen,
    ]


def test_nothing_changes_before_during_and_after_a_compilation() -> None:
    """Neither attributes, nor fields, nor annotations, nor metaclasses, nor the lists of subclasses."""
    found: list[list[Any]] = []
    Probe.look = lambda: found.append([state(kind) for kind in CLASSES])
    before = [state(kind) for kind in CLASSES]

    for annotation in (Whole, list[Whole], Whole | int):
        compile_type(annotation)

    assert len(found) >= 6
    for during in (*found, [state(kind) for kind in CLASSES]):
        for kind, expected, seen in zip(CLASSES, before, during, strict=True):
            assert seen == expected, kind


def test_nothing_is_left_of_a_compilation() -> None:
    """Only the user's classes are among the subclasses of `BaseModel`."""

    class Fleeting(BaseModel):
        blob: bytes
        inner: list[Inner]

    spec = compile_type(Fleeting)
    gc.collect()

    assert spec.validator is not None
    assert spec.validator.read('{"blob": "aGk=", "inner": []}') == Fleeting(blob=b"hi", inner=[])
    assert [kind for kind in BaseModel.__subclasses__() if kind.__name__ == "Fleeting"] == [Fleeting]


def use_the_classes() -> None:
    """Everything that a program does with its classes, in pydantic's own terms."""
    assert TypeAdapter(Row).validate_json('{"blob": "aGk="}').blob == b"aGk="
    assert TypeAdapter(Movie).validate_python({"poster": b"x"}) == {"poster": b"x"}
    assert TypeAdapter(Point).validate_python((Span.LONG,)).x is Span.LONG
    assert TypeAdapter(Span).validate_python((1, 2)) is Span.SHORT
    assert Outer.model_validate_json('{"inner": {"blob": "aGk="}}').inner.blob == b"aGk="
    assert TypeAdapter(list[Outer]).validate_json('[{"inner": {"blob": "aGk="}}]')[0].inner.blob == b"aGk="
    assert Outer(inner=Inner(blob=b"a"), size=b"abc").model_dump()["size"] == b"abc"
    assert Outer.model_json_schema()["$defs"]["Inner"]["properties"]["blob"]["format"] == "binary"

    class Sub(Outer):
        more: bytes

    assert Sub.model_fields["inner"].annotation is Inner
    assert Sub.model_validate_json('{"inner": {"blob": "aGk="}, "more": "b"}').inner.blob == b"aGk="

    @dataclasses.dataclass
    class SubRow(Row):
        more: bytes = b""

    assert dataclasses.fields(SubRow)[0].type in ("bytes", bytes)
    assert TypeAdapter(SubRow).validate_json('{"blob": "aGk="}').blob == b"aGk="

    class SubMovie(OldMovie):
        more: int

    assert type(SubMovie).__module__ == "typing"
    assert typing.get_type_hints(SubMovie)["poster"] is bytes


@pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning")
def test_the_classes_work_as_always_in_the_middle_of_a_compilation() -> None:
    """For other threads, which may come at any moment."""
    failures: list[BaseException] = []

    def elsewhere() -> None:
        try:
            use_the_classes()
        except BaseException as error:
            failures.append(error)

    def look() -> None:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    Probe.look = look
    compile_type(dict[str, Whole])

    assert failures == []


@pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning")
def test_other_threads_build_adapters_and_subclasses_at_the_same_time() -> None:
    """One thread compiles type after type; the others use the classes in them."""
    failures: list[BaseException] = []
    stop = threading.Event()
    Probe.look = lambda: None

    def use() -> None:
        try:
            while not stop.is_set():
                use_the_classes()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(2)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for number in range(15):
            spec = compile_type(dataclasses.make_dataclass(f"Made{number}", [("whole", Whole)]))
            assert spec.validator is not None
            assert spec.validator.read(f'{{"whole": {TEXT}}}').whole.row[0].blob == b"hi"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)

    assert failures == []


def test_many_threads_compile_the_same_classes() -> None:
    """Each gets a reader of its own, or the same one; all of them read right."""
    found: list[Any] = []
    Probe.look = lambda: None

    def read() -> None:
        kind = dataclasses.make_dataclass("Mine", [("whole", Whole)])
        found.append(parse(kind, f'{{"whole": {TEXT}}}').whole)  # type: ignore[attr-defined]

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 4
    for whole in found:
        assert whole == found[0]
        assert [type(part) for part in (whole.outer, whole.outer.inner, whole.rich)] == [Outer, Inner, Rich]
