"""Tool functions: the checks at decoration, the schema, and the arguments of a call."""

from __future__ import annotations

import enum
import functools
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, TypedDict

import pytest
from kit.dialects import DIALECTS, OPENAI
from pydantic import Field

from alloy._typed.schemas.dialects import to_wire
from alloy._typed.types.docstrings import read_docstring
from alloy._typed.types.signature import ArgumentsError, check_signature, compile_signature
from alloy.errors import ConfigurationError


class Unit(enum.Enum):
    CELSIUS = "c"
    KELVIN = "k"


@dataclass
class Place:
    city: str
    country: str = "DE"


class Range(TypedDict):
    low: int
    high: int


def weather(
    place: Place,
    when: datetime,
    unit: Unit = Unit.CELSIUS,
    *,
    span: Range | None = None,
    limit: Annotated[int, "how many"] = 3,
    exact: Annotated[bool, Field(description="no rounding")] = False,
) -> str:
    """Tell the weather.

    It asks the stations.

    Args:
        place: Where.
        when (datetime): Day and
            hour.
        limit: never shown, the annotation says it.

    Returns:
        A sentence.
    """
    return f"{place} {when} {unit} {span} {limit} {exact}"


def test_the_schema_lists_required_parameters() -> None:
    """Parameters without a default are required, the others show it."""
    schema = compile_signature(weather).schema

    assert schema["required"] == ["place", "when"]
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == ["place", "when", "unit", "span", "limit", "exact"]
    assert schema["properties"]["unit"]["default"] == "c"
    assert schema["properties"]["limit"] == {"type": "integer", "description": "how many", "default": 3}


def test_descriptions_come_from_annotations_and_docstrings() -> None:
    """The annotation wins over the docstring."""
    found = compile_signature(weather)
    described = {name: part.get("description") for name, part in found.schema["properties"].items()}

    assert found.description == "Tell the weather.\n\nIt asks the stations."
    assert described == {
        "place": "Where.",
        "when": "Day and hour.",
        "unit": None,
        "span": None,
        "limit": "how many",
        "exact": "no rounding",
    }


@pytest.mark.parametrize("dialect", ["plain", "openai"])
def test_arguments_arrive_as_their_types(dialect: str) -> None:
    """A dataclass parameter is that dataclass, an enum its member, a datetime a datetime."""
    found = compile_signature(weather)
    given = (
        '{"place": {"city": "Bonn", "country": null}, "when": "2026-01-02T03:04:05", "unit": "k",'
        ' "span": {"low": 1, "high": 2}, "limit": null, "exact": null}'
        if dialect == "openai"
        else '{"place": {"city": "Bonn"}, "when": "2026-01-02T03:04:05", "unit": "k",'
        ' "span": {"low": 1, "high": 2}}'
    )

    assert found.read(given, to_wire(found.schema, DIALECTS[dialect])) == {
        "place": Place("Bonn"),
        "when": datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001
        "unit": Unit.KELVIN,
        "span": {"low": 1, "high": 2},
    }


def scalars(
    i: int = 0, f: float = 0.0, b: bool = False, s: str = "", d: Decimal = Decimal(0), u: int | str = 0
) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ('{"i": 3}', {"i": 3}),
        ('{"i": 3.0}', {"i": 3}),
        ('{"i": "3"}', {"i": 3}),
        ('{"f": 3}', {"f": 3.0}),
        ('{"f": "3.5"}', {"f": 3.5}),
        ('{"b": "True"}', {"b": True}),
        ('{"s": "02134"}', {"s": "02134"}),
        ('{"s": "true"}', {"s": "true"}),
        ('{"u": "02134"}', {"u": "02134"}),
        ('{"u": "7"}', {"u": "7"}),
        ('{"d": 0.1234567890123456789012345}', {"d": Decimal("0.1234567890123456789012345")}),
        ('{"d": 10}', {"d": Decimal(10)}),
        ("", {}),
        ("  ", {}),
        ("{}", {}),
    ],
)
def test_harmless_conversions(arguments: str, value: dict[str, Any]) -> None:
    """What cannot be mistaken is converted, and strings stay strings."""
    found = compile_signature(scalars).read(arguments, None)

    assert found == value
    assert {name: type(part) for name, part in found.items()} == {n: type(p) for n, p in value.items()}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ('{"i": true}', "$.i: expected an integer, got true"),
        ('{"i": 3.7}', "$.i: expected an integer, got 3.7"),
        ('{"i": "03"}', '$.i: expected an integer, got "03"'),
        ('{"i": "3 apples"}', '$.i: expected an integer, got "3 apples"'),
        ('{"f": true}', "$.f: expected a number, got true"),
        ('{"f": "12%"}', '$.f: expected a number, got "12%"'),
        ('{"b": 1}', "$.b: expected a boolean, got 1"),
        ('{"b": "yes"}', '$.b: expected a boolean, got "yes"'),
        ('{"s": 5}', "$.s: expected a string, got 5"),
        ('{"f": NaN}', "$: NaN is not JSON"),
        ('{"f": -Infinity}', "$: -Infinity is not JSON"),
        ('{"f": 1e999}', "$: the number 1e999 is too large"),
        ('{"zz": 1}', "$.zz: unknown argument; the arguments are: i, f, b, s, d, u"),
        ("[]", "$: expected an object, got []"),
        ('{"i": 1', "$: the JSON ends too early: it is cut off"),
        ('{"s": "\\ud800"}', "$: Invalid JSON"),
        ("[" * 100_000, "$: nested too deeply"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: str, problem: str) -> None:
    """One line per problem, with its path, for a model to read."""
    with pytest.raises(ArgumentsError) as caught:
        compile_signature(scalars).read(arguments, None)

    assert caught.value.problems[0].startswith(problem)


def test_all_problems_are_reported_at_once() -> None:
    """A model should not need one turn per mistake."""
    with pytest.raises(ArgumentsError) as caught:
        compile_signature(weather).read('{"place": {}, "unit": "x"}', None)

    assert caught.value.problems == (
        "$.place.city: required, but missing",
        "$.when: required, but missing",
        """$.unit: expected 'c' or 'k', got "x\"""",
    )


def test_argument_errors_can_be_pickled() -> None:
    """Process pools carry them."""
    error = pickle.loads(pickle.dumps(ArgumentsError(("$.a: b", "$.c: d"))))

    assert error.problems == ("$.a: b", "$.c: d")


def variadic(*names: str) -> None: ...
def keywords(**names: str) -> None: ...
def positional(name: str, /) -> None: ...
def unhinted(name) -> None: ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize(
    ("fn", "parts"),
    [
        (variadic, ["'lookup'", "*names"]),
        (keywords, ["'lookup'", "**names"]),
        (positional, ["'lookup'", "name by position only"]),
        (unhinted, ["'lookup'", "'name'", "type hint"]),
        (dict.get, ["'lookup'"]),
    ],
)
def test_functions_that_no_model_can_call_are_refused_at_decoration(
    fn: Callable[..., Any], parts: list[str]
) -> None:
    """The error names the tool, the parameter and the way out."""
    with pytest.raises(ConfigurationError) as caught:
        check_signature(fn, "lookup")

    assert all(part in str(caught.value) for part in parts)


def later(part: Later) -> Missing: ...  # noqa: F821 (defined below, and never)


class Later(TypedDict):
    n: int


def test_names_that_come_later_are_no_trouble() -> None:
    """Neither at decoration nor, once they are there, at first use; the result's name is not asked for."""
    check_signature(later, "later")

    assert compile_signature(later).read('{"part": {"n": 1}}', None) == {"part": {"n": 1}}


def test_names_that_never_come_are_reported() -> None:
    """The error names the tool and the name."""

    def lost(part: Nowhere) -> None: ...  # noqa: F821 (that it is not there is the point)

    check_signature(lost, "lost")
    with pytest.raises(ConfigurationError, match=r"'lost'.*Nowhere"):
        compile_signature(lost)


def test_local_classes_come_from_the_closure_or_the_namespace() -> None:
    """Postponed annotations may name what only the enclosing function knows."""

    @dataclass
    class Local:
        n: int

    def closing(part: Local) -> Local:
        return Local(part.n)

    def plain(part: Local) -> None: ...

    assert compile_signature(closing).read('{"part": {"n": 1}}', None) == {"part": Local(1)}
    assert compile_signature(plain, namespace={"Local": Local}).read('{"part": {"n": 1}}', None) == {
        "part": Local(1)
    }


def test_a_parameter_without_a_schema_is_named() -> None:
    """The path begins with the tool and its parameter."""

    class Opaque: ...

    def take(parts: list[Opaque]) -> None: ...

    with pytest.raises(ConfigurationError, match=r"'take'.*take\.parts\[\]: Opaque"):
        compile_signature(take, namespace={"Opaque": Opaque})


class Service:
    def find(self, key: str, limit: int = 1) -> str:
        """Find it."""
        return key * limit

    @classmethod
    def make(cls, key: str) -> Service:
        """Make one."""
        return cls()

    def __call__(self, key: str) -> str:
        """Call it."""
        return key


def test_methods_leave_out_what_they_are_bound_to() -> None:
    """A bound method by itself, a function that is going to be a method with `bound`."""
    assert list(compile_signature(Service().find).schema["properties"]) == ["key", "limit"]
    assert list(compile_signature(Service.make).schema["properties"]) == ["key"]
    assert list(compile_signature(Service.find, bound=True).schema["properties"]) == ["key", "limit"]
    check_signature(Service.find, "find")


def test_callables_of_every_kind() -> None:
    """Objects with `__call__`, partials and wrapped functions."""

    @functools.wraps(weather)
    def wrapper(*args: Any, **kwargs: Any) -> str:
        return weather(*args, **kwargs)

    assert compile_signature(Service()).schema["required"] == ["key"]
    assert (
        compile_signature(functools.partial(weather, limit=5)).schema["properties"]["limit"]["default"] == 5
    )
    assert compile_signature(wrapper).description.startswith("Tell the weather.")


def test_a_function_without_parameters() -> None:
    """Its schema is an object without properties, in every dialect."""

    def now() -> str:
        """Tell the time."""
        return ""

    found = compile_signature(now)
    wire = to_wire(found.schema, OPENAI)

    assert found.schema["properties"] == {}
    assert wire.strict
    assert found.read("{}", wire) == {}
    with pytest.raises(ArgumentsError, match="arguments are: none"):
        found.read('{"x": 1}', wire)


def test_defaults_without_a_json_form_stay_in_python() -> None:
    """They are left out of the schema; the parameter is optional all the same."""
    marker = object()

    def take(key: Any = marker) -> None: ...

    schema = compile_signature(take).schema

    assert schema["properties"] == {"key": {}}
    assert "required" not in schema


GOOGLE = """Summary.

Body: with a colon.

Args:
    a: First
        goes on.
    b (dict[str, int], optional): Second: with a colon.
    *rest: More.

Example:
    >>> f(1)

Raises:
    ValueError: never.
"""
NUMPY = """Summary.

Body: with a colon.

Parameters
----------
a : int
    First
    goes on.
b : dict[str, int], optional
    Second: with a colon.
*rest
    More.

Example
-------
>>> f(1)

Returns
-------
int
    Nothing of use.
"""
SPHINX = """Summary.

Body: with a colon.

:param a: First
    goes on.
:type a: int
:param dict b: Second: with a colon.
:param rest: More.
:returns: nothing.
:raises ValueError: never.
"""


@pytest.mark.parametrize("doc", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_docstrings_of_the_three_styles(doc: str) -> None:
    """All say the same about the parameters."""
    found = read_docstring(doc)

    assert found.parameters == {"a": "First goes on.", "b": "Second: with a colon.", "rest": "More."}
    assert found.text.startswith("Summary.\n\nBody: with a colon.")
    for gone in ("First", "never", "Returns", "Raises", "Nothing of use", "----\na"):
        assert gone not in found.text


@pytest.mark.parametrize("doc", [GOOGLE, NUMPY], ids=["google", "numpy"])
def test_sections_that_are_not_about_parameters_stay(doc: str) -> None:
    """An example tells the model how to call."""
    assert ">>> f(1)" in read_docstring(doc).text


@pytest.mark.parametrize("doc", [None, "", "One line.", "Args: a and b are read.", "Note:\nkept", "Args:\n"])
def test_docstrings_without_sections_stay_as_they_are(doc: str | None) -> None:
    """Anything that is not a section stays text."""
    found = read_docstring(doc)

    assert found.text == (doc or "").strip()
    assert found.parameters == {}
