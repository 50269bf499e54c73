"""What a model reads about a field: from `Annotated`, `Field`, docstrings and `#:` comments."""

from __future__ import annotations

import dataclasses
import gc
import sys
import threading
import typing
from typing import Annotated, Any, Generic, NamedTuple, NotRequired, TypeVar

import attrs
import msgspec
import pytest
from kit.dialects import every_dialect
from pydantic import BaseModel, Field
from typing_extensions import Doc, ReadOnly, TypedDict

from alloy._typed.schemas.dialects import Dialect, to_wire
from alloy._typed.types import descriptions
from alloy._typed.types.compile import compile_type
from alloy._typed.types.signature import compile_signature

T = TypeVar("T")


@dataclasses.dataclass
class Invoice:
    """An invoice.

    Attributes are described below.
    """

    #: Who sent it,
    #: in full.
    vendor: str
    total: Annotated[float, "In euros."]  #: the annotation says it better
    lines: list[str]
    """One for each thing
    that was bought."""
    tax: float = Field(0.2, description="As a rate.")
    paid: bool = False  #: Whether money came.
    note: Annotated[str | None, Field(description="By hand.")] = None
    "Field says it better."
    plain: int = 0
    # An ordinary comment says nothing.
    also_plain: int = 0

    def method(self) -> str:
        #: no field
        local: str = ""
        """No field either."""
        return local


@dataclasses.dataclass
class Receipt(Invoice):
    number: int = 0
    """Of this receipt."""
    paid: bool = True
    """Always."""


class Movie(TypedDict):
    title: str
    """As it was released."""
    year: NotRequired[ReadOnly[int]]  #: Of the release.
    rating: NotRequired[Annotated[float, Doc("From 0 to 10.")]]


class OldMovie(typing.TypedDict, total=False):
    title: typing.Required[str]  #: As it was released.


class Point(NamedTuple):
    x: int
    """To the right."""
    y: int = 0  #: Up.


class Person(BaseModel):
    name: str = Field(alias="fullName")
    """In full."""
    age: int = Field(0, description="In years.")
    """Field says it better."""


@attrs.define
class Plant:
    height: float
    """In metres."""
    _age: int = 0  #: In years.


class Star(msgspec.Struct, rename="camel"):
    main_color: str  #: Seen from Earth.
    size: Annotated[int, msgspec.Meta(description="In suns.")] = 1


@dataclasses.dataclass
class Box(Generic[T]):
    item: T
    """What is in it."""


def described(annotation: Any) -> dict[str, str | None]:
    schema = compile_type(annotation).schema
    assert schema is not None
    properties = schema["properties"]
    return {name: part.get("description") for name, part in properties.items()}


def test_the_source_of_a_dataclass_describes_its_fields() -> None:
    """`Annotated` and `Field` come before the source; other strings are left out."""
    assert described(Invoice) == {
        "vendor": "Who sent it, in full.",
        "total": "In euros.",
        "lines": "One for each thing\nthat was bought.",
        "tax": "As a rate.",
        "paid": "Whether money came.",
        "note": "By hand.",
        "plain": None,
        "also_plain": None,
    }


def test_descriptions_are_inherited_and_replaced() -> None:
    """The description in the derived class counts."""
    found = described(Receipt)

    assert found["vendor"] == "Who sent it, in full."
    assert found["number"] == "Of this receipt."
    assert found["paid"] == "Always."


@pytest.mark.parametrize(
    ("annotation", "texts"),
    [
        (Movie, ["As it was released.", "Of the release.", "From 0 to 10."]),
        (OldMovie, ["As it was released."]),
        (Person, ["In full.", "In years."]),
        (Plant, ["In metres.", "In years."]),
        (Star, ["Seen from Earth.", "In suns."]),
        (Box[int], ["What is in it."]),
    ],
)
def test_every_kind_of_record_is_described(annotation: Any, texts: list[str]) -> None:
    """Under the names that the model sees."""
    assert list(described(annotation).values()) == texts


def test_positions_are_described() -> None:
    """Those of a named tuple."""
    schema = compile_type(Point).schema
    assert schema is not None

    assert [part["description"] for part in schema["$defs"]["Point"]["prefixItems"]] == [
        "To the right.",
        "Up.",
    ]


@every_dialect
def test_every_dialect_keeps_the_descriptions(dialect: Dialect) -> None:
    """A provider that holds a constraint only in words adds to them."""
    schema = compile_type(list[Invoice]).schema
    assert schema is not None

    shown = str(to_wire(schema, dialect).schema)

    for text in ("Who sent it, in full.", "In euros.", "One for each thing", "As a rate.", "By hand."):
        assert text in shown


def test_parts_of_a_type_are_described() -> None:
    """Text in `Annotated` counts at every depth, in outputs and in parameters."""

    def find(years: list[Annotated[int, "with four digits"]], where: Movie) -> None:
        """Find.

        Args:
            years: When.
        """

    schema = compile_signature(find).schema

    assert schema["properties"]["years"]["items"]["description"] == "with four digits"
    assert schema["properties"]["years"]["description"] == "When."
    assert schema["$defs"]["Movie"]["properties"]["title"]["description"] == "As it was released."


def test_local_classes_are_described() -> None:
    """Two of one name are distinguished."""

    def one() -> Any:
        @dataclasses.dataclass
        class Local:
            n: int  #: first

        return Local

    def two() -> tuple[Any, Any]:
        @dataclasses.dataclass
        class Local:
            n: int  #: second

        first = Local

        @dataclasses.dataclass
        class Local:  # type: ignore[no-redef]
            m: int  #: third

        return first, Local

    assert described(one()) == {"n": "first"}
    assert [described(kind) for kind in two()] == [{"n": "second"}, {"m": "third"}]


def test_a_class_without_source_has_no_descriptions() -> None:
    """Made by a call, or by code that is nowhere in a file."""
    made = dataclasses.make_dataclass("Made", [("n", int)])
    names: dict[str, Any] = {"__name__": __name__, "dataclasses": dataclasses}
    exec("@dataclasses.dataclass\nclass Shown:\n    n: int\n    'text'\n", names)

    assert described(made) == {"n": None}
    assert described(names["Shown"]) == {"n": None}


def test_a_file_that_does_not_parse_says_nothing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have changed since it was imported."""
    file = tmp_path / "changed.py"
    file.write_text("import dataclasses\n@dataclasses.dataclass\nclass Here:\n    n: int  #: text\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "changed", raising=False)
    import changed  # type: ignore[import-not-found]

    file.write_text("class Here: (")

    assert described(changed.Here) == {"n": None}
    monkeypatch.delitem(sys.modules, "changed")


def test_threads_can_read_descriptions_at_the_same_time() -> None:
    """In Python 3.11.7, `ast.parse` can fail when another thread calls it at the same time."""
    lines = tuple(f"class C{i}:\n    x: int = {i}\n    y: object = [{i}, (1, [2])]\n" for i in range(100))
    found: list[object] = []

    def work(depth: int) -> None:
        if depth:
            work(depth - 1)
        else:
            found.extend(descriptions._classes(f"{threading.get_ident()} {n}", lines) for n in range(20))

    def callback(*_: object) -> None:
        """Give the interpreter a place to switch threads, in the middle of parsing."""
        sum(range(200))

    gc.callbacks.append(callback)
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(50, 2, 10_000)
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(7 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.callbacks.remove(callback)
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)
    assert len(found) == 80
