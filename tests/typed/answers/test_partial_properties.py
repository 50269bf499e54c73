"""Whatever has arrived of an answer, what a `Partial` gives of it is what the whole value has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.dialects import DIALECTS, written
from kit.kind_table import ROWS
from kit.kinds import said
from kit.made_types import made_types
from pydantic import BaseModel, RootModel

from alloy import Partial
from alloy._engine.runtime.await_parsers import resolved
from alloy._typed.answers.parse import read
from alloy._typed.answers.partial import begun
from alloy._typed.schemas.dialects import Dialect, to_wire
from alloy._typed.types.compile import TypeSpec, compile_type

pytestmark = pytest.mark.slow
Reader = Callable[[Any], Any]
ABSENT: Any = object()


def readers(value: Any, reader: Reader = lambda value: value) -> Iterator[Reader]:
    """Functions that read *value*, and each part of it."""
    yield reader
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from readers(item, lambda whole, key=key: reader(whole)[key])  # type: ignore[misc]
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from readers(item, lambda whole, index=index: reader(whole)[index])  # type: ignore[misc]
    for name in names(value):
        yield from readers(getattr(value, name), lambda whole, name=name: getattr(reader(whole), name))  # type: ignore[misc]


def names(value: Any) -> Collection[str]:
    """The fields of a record that are arguments of its class."""
    if isinstance(value, BaseModel) and not isinstance(value, RootModel):
        return type(value).model_fields
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    if attrs.has(type(value)):
        return [field.name for field in attrs.fields(type(value)) if field.init]
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    return getattr(value, "_fields", ()) if isinstance(value, tuple) else ()


def agree(found: Any, final: Any) -> bool:
    """Whether *found* is *final*, or the beginning of its text."""
    return bool(found == final) or (type(found) is type(final) is str and final.startswith(found))


def check(spec: TypeSpec[Any], text: str, dialect: Dialect) -> None:
    """Every prefix of *text* agrees with the whole value, and nothing that was there vanishes."""
    assert spec.schema is not None
    wire = to_wire(spec.schema, dialect)
    final = read(spec, text, wire)
    parts = [*readers(final)]
    wanted = [part(final) for part in parts]
    before = [ABSENT] * len(parts)
    for end in range(len(text) + 1):
        partial: Partial[Any] | None = begun(spec, text[:end], wire, resolved)
        if partial is None:
            assert before == [ABSENT] * len(parts)
            continue
        found = [partial.get(part, ABSENT) for part in parts]
        for new, old, last in zip(found, before, wanted, strict=True):
            assert new is ABSENT or agree(new, last), (text[:end], new, last)
            assert old is ABSENT or agree(old, new), (text[:end], old, new)
        before = found
    assert before == wanted


quick = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
dialects = st.sampled_from([*DIALECTS.values()])


@quick
@given(row=st.sampled_from(ROWS), dialect=dialects, data=st.data())
def test_parts_of_every_kind_agree_with_the_whole(row: Any, dialect: Dialect, data: st.DataObject) -> None:
    """In every dialect, in which objects, dicts and tuples may travel in another form."""
    spec = compile_type(row.annotation, row.namespace)
    check_value(spec, data.draw(row.values), dialect)


@quick
@given(made=made_types(), dialect=dialects, data=st.data())
def test_parts_of_made_up_types_agree_with_the_whole(
    made: Any, dialect: Dialect, data: st.DataObject
) -> None:
    """Kinds inside of kinds."""
    annotation, values = made
    check_value(compile_type(annotation), data.draw(values), dialect)


def check_value(spec: TypeSpec[Any], value: Any, dialect: Dialect) -> None:
    assert spec.schema is not None
    plain = {"value": said(value)} if spec.wrapped else said(value)
    check(spec, written(plain, spec.schema, dialect), dialect)


@quick
@given(made=made_types(), dialect=dialects, data=st.data())
def test_arrived_elements_are_the_first_ones(made: Any, dialect: Dialect, data: st.DataObject) -> None:
    """Of a list, and the entries of a dict; none of them vanishes."""
    inner, values = made
    spec: TypeSpec[list[Any]] = compile_type(list[inner])
    final = data.draw(st.lists(values, max_size=3))
    assert spec.schema is not None
    text = written({"value": said(final)}, spec.schema, dialect)
    wire = to_wire(spec.schema, dialect)
    final, count = read(spec, text, wire), 0
    for end in range(len(text) + 1):
        partial = begun(spec, text[:end], wire, resolved)
        found = [] if partial is None else partial.elements()
        assert found == final[: len(found)]
        assert len(found) >= count
        count = len(found)
    assert count == len(final)
