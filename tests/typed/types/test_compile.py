"""Python types become schemas: what is supported, how it is named, and what a refusal says."""

from __future__ import annotations

import dataclasses
import enum
import re
import socket
import subprocess
import sys
import typing
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypeVar, Union

import pytest
import typing_extensions
from pydantic import BaseModel, Field, TypeAdapter

from alloy._typed.answers.parse import read
from alloy._typed.types.compile import compile_type, type_name
from alloy.errors import ConfigurationError

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = 2


class Old(typing.TypedDict):
    n: int


class OldChild(Old, total=False):
    note: typing.Required[str]
    extra: Annotated[int, Field(gt=0)]


class OldGeneric(typing.TypedDict, Generic[T]):
    one: T
    many: typing.NotRequired[list[T]]


class OldInts(OldGeneric[int]):
    name: str


class New(typing_extensions.TypedDict):
    old: Old
    note: typing_extensions.NotRequired[str]


class Point(NamedTuple):
    x: int
    y: int = 0


@dataclasses.dataclass
class Line:
    sku: str
    price: float


@dataclasses.dataclass
class Invoice:
    vendor: str
    lines: list[Line]
    note: str | None = None


@dataclasses.dataclass
class Node:
    value: int
    children: list[Node] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Holder:
    """Typed dicts of the standard library, at every depth."""

    plain: Old
    child: OldChild
    generic: OldGeneric[int]
    union: Old | None
    inside: dict[str, list[Old]]


@dataclasses.dataclass
class Bad:
    lines: list[BadLine]


@dataclasses.dataclass
class BadLine:
    sku: socket.socket


@dataclasses.dataclass
class Dangling:
    part: Nowhere  # noqa: F821 (that it is not there is the point)


class Model(BaseModel):
    name: str = Field(description="who")
    tags: list[str] = []


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"),
        (None, "None"),
        (Invoice, "Invoice"),
        (list[int], "list[int]"),
        (typing.List[int], "list[int]"),  # noqa: UP006
        (dict[str, Invoice], "dict[str, Invoice]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (tuple[()], "tuple[()]"),
        (int | None, "int | None"),
        (Optional[int], "int | None"),  # noqa: UP045
        (Union[int, str], "int | str"),  # noqa: UP007
        (Literal["a", 1, None], "Literal['a', 1, None]"),
        (Literal[Color.RED], "Literal[Color.RED]"),
        (Annotated[int, Field(gt=1)], "int"),
        (Callable[[int], str], "Callable[[int], str]"),
        (OldGeneric[int], "OldGeneric[int]"),
        (Any, "Any"),
    ],
)
def test_types_are_named_as_a_reader_writes_them(annotation: Any, name: str) -> None:
    """No module names, no `typing.`, unions with a bar."""
    assert type_name(annotation) == name


@pytest.mark.parametrize(
    ("annotation", "wrapped"),
    [
        (Invoice, False),
        (Old, False),
        (Model, False),
        (dict[str, int], False),
        (Node, False),
        (int, True),
        (bool, True),
        (list[Invoice], True),
        (Invoice | None, True),
        (Color, True),
        (Point, True),
        (Literal["a"], True),
        (date, True),
        (Decimal, True),
        (Any, True),
    ],
)
def test_every_root_is_an_object(annotation: Any, wrapped: bool) -> None:
    """A root that is not an object is wrapped in one."""
    spec = compile_type(annotation)

    assert spec.wrapped is wrapped
    assert spec.schema is not None
    assert spec.schema["type"] == "object"
    if wrapped:
        assert list(spec.schema["properties"]) == spec.schema["required"] == ["value"]


@pytest.mark.parametrize("annotation", [str, None, type(None)])
def test_plain_text_and_nothing_have_no_schema(annotation: Any) -> None:
    """`str` and `None` need no JSON."""
    assert compile_type(annotation).schema is None


@pytest.mark.parametrize(
    "annotation", [int, list[int], Invoice | None, OldGeneric[str], dict[str, list[int]], Any]
)
def test_names_are_identifiers_that_providers_take(annotation: Any) -> None:
    """The name obeys the strictest provider's pattern."""
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", compile_type(annotation).name)


def test_long_names_are_cut() -> None:
    """64 characters are the limit."""
    assert len(compile_type(Literal["a" * 200]).name) <= 64


def test_recursive_roots_show_the_object_itself() -> None:
    """Providers require an object at the root, not a `$ref`."""
    schema = compile_type(Node).schema
    assert schema is not None

    assert "$ref" not in schema
    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert "Node" in schema["$defs"]


def test_generated_titles_are_left_out() -> None:
    """A property's title that only repeats its name costs tokens."""
    schema = compile_type(Invoice).schema
    assert schema is not None

    assert "title" not in schema["properties"]["vendor"]


def test_specs_are_cached() -> None:
    """Compiling twice gives the same object."""
    assert compile_type(list[Invoice]) is compile_type(list[Invoice])


def test_equal_literals_of_different_types_are_not_confused_in_the_cache() -> None:
    """`Literal[True] == Literal[1]` for a dict, but not for us."""
    assert read(compile_type(Literal[1]), "1") == 1
    assert read(compile_type(Literal[True]), "true") is True
    assert compile_type(Literal[True]).expected == "Literal[True]"


def test_unhashable_annotations_compile() -> None:
    """They are only not cached."""
    assert read(compile_type(Annotated[int, ["unhashable"]]), "3") == 3


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (Old, '{"n": 1}', {"n": 1}),
        (OldChild, '{"n": 1, "note": "x"}', {"n": 1, "note": "x"}),
        (OldGeneric[str], '{"one": "a", "many": ["b"]}', {"one": "a", "many": ["b"]}),
        (OldInts, '{"one": 1.0, "name": "a"}', {"one": 1, "name": "a"}),
        (New, '{"old": {"n": 1}}', {"old": {"n": 1}}),
        (list[Old], '{"value": [{"n": 1}]}', [{"n": 1}]),
        (Old | None, '{"value": {"n": 1}}', {"n": 1}),
        (
            Holder,
            '{"plain": {"n": 1}, "child": {"n": 2, "note": "x", "extra": 4}, "generic": {"one": 3},'
            ' "union": null, "inside": {"k": [{"n": 4}]}}',
            Holder({"n": 1}, {"n": 2, "note": "x", "extra": 4}, {"one": 3}, None, {"k": [{"n": 4}]}),
        ),
    ],
)
def test_typed_dicts_of_both_modules_work(annotation: Any, text: str, value: Any) -> None:
    """`typing.TypedDict` works on Python 3.11 too, at every depth."""
    assert read(compile_type(annotation), text) == value


def test_typed_dicts_are_left_as_they_were() -> None:
    """Compiling does not change their metaclass."""
    compile_type(list[OldChild])

    assert type(OldChild).__module__ == "typing"
    assert typing_extensions.is_typeddict(OldChild)


def test_typed_dicts_still_check_their_items() -> None:
    """Accepting the class does not loosen it."""
    with pytest.raises(Exception, match=r"\$\.value\[0\]\.note"):
        read(compile_type(list[OldChild]), '[{"n": 1}]')


def test_our_wrapper_does_not_tighten_what_it_holds() -> None:
    """Only the wrapper refuses other keys; a user's TypedDict keeps its own rule."""
    schema = compile_type(list[Old]).schema
    assert schema is not None

    assert "additionalProperties" not in schema["$defs"]["Old"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("annotation", "parts"),
    [
        (socket.socket, ["socket has no JSON schema", "dataclass"]),
        (list[socket.socket], ["list[socket][]: socket"]),
        (Bad, ["Bad.lines[].sku: socket"]),
        (list[Bad] | None, ["(list[Bad] | None)[].lines[].sku: socket"]),
        (dict[str, Callable[[], int]], ["Callable"]),
        (Dangling, ["Dangling", "'Nowhere'", "not defined in its module"]),
    ],
)
def test_types_without_a_schema_are_refused_with_their_place(annotation: Any, parts: list[str]) -> None:
    """The error names the type, its place, and how to fix it."""
    with pytest.raises(ConfigurationError) as caught:
        compile_type(annotation)

    for part in parts:
        assert part in str(caught.value)


def test_local_classes_resolve_through_a_namespace() -> None:
    """A postponed annotation may name a class that only the enclosing function knows."""

    @dataclasses.dataclass
    class Inner:
        n: int

    @dataclasses.dataclass
    class Outer:
        inner: Inner

    with pytest.raises(ConfigurationError, match="Inner"):
        compile_type(Outer)
    spec = compile_type(Outer, {"Inner": Inner})

    assert read(spec, '{"inner": {"n": 1}}') == Outer(Inner(1))
    assert read(compile_type(list["Inner"], {"Inner": Inner}), '[{"n": 1}]') == [Inner(1)]


def test_local_classes_of_one_name_are_distinguished() -> None:
    """A namespace gives the same name another meaning in another function."""

    def make(kind: type) -> Any:
        @dataclasses.dataclass
        class Box:
            part: Part  # noqa: F821 (the namespace has it)

        return read(compile_type(Box, {"Part": kind}), '{"part": 1}').part

    assert (make(int), type(make(float))) == (1, float)


def test_schemas_are_what_pydantic_validates() -> None:
    """The schema of a model keeps descriptions and constraints."""
    schema = compile_type(Model).schema
    assert schema is not None

    assert schema["properties"]["name"] == {"type": "string", "description": "who"}
    assert TypeAdapter(Model).json_schema()["required"] == schema["required"]


def test_type_aliases_and_pending_classes_are_looked_through() -> None:
    """A refusal inside an alias names its place; the names of pending references are their text."""
    alias = typing_extensions.TypeAliasType("Alias", list[socket.socket])

    with pytest.raises(ConfigurationError, match="socket has no JSON schema"):
        compile_type(alias)
    assert type_name(typing.ForwardRef("Later")) == "Later"


def test_importing_the_packages_loads_no_pydantic() -> None:
    """Pydantic costs more than a hundred milliseconds, so only first use pays for it."""
    code = (
        "import sys, alloy._typed.types.compile, alloy._typed.types.signature\n"
        "import alloy._typed.schemas.dialects, alloy._typed.answers.parse\n"
        "print('pydantic' in sys.modules, 'pydantic_core' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]
