"""Types that hypothesis makes, each with a strategy for its values."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Optional

import attrs
import typing_extensions
from hypothesis import strategies as st
from pydantic import ConfigDict, Field, PydanticUserError, create_model

from kit.kind_table import ROWS
from kit.kinds import said

Made = tuple[Any, st.SearchStrategy[Any]]  # a type and its values

# A union with None needs values that differ from None in JSON, and a name means the same class everywhere.
_LEAVES = [
    (row.annotation, row.values) for row in ROWS if not row.namespace and row.name not in ("any", "object")
]
_NAMES = st.lists(st.sampled_from(["one", "two", "three", "four"]), min_size=1, max_size=3, unique=True)


def made_types() -> st.SearchStrategy[Made]:
    """Kinds inside of kinds: lists, dicts, tuples, optional ones and records of every sort."""
    return st.recursive(st.sampled_from(_LEAVES), _around, max_leaves=5)


def _around(inner: st.SearchStrategy[Made]) -> st.SearchStrategy[Made]:
    return st.one_of(
        inner.map(lambda made: (list[made[0]], st.lists(made[1], max_size=2))),  # type: ignore[name-defined]
        inner.map(
            lambda made: (dict[str, made[0]], st.dictionaries(st.text(max_size=3), made[1], max_size=2))  # type: ignore[name-defined]
        ),
        inner.map(lambda made: (Optional[made[0]], st.none() | made[1].filter(_not_null))),  # noqa: UP045
        inner.map(lambda made: (Annotated[made[0], Field(description="a part")], made[1])),
        st.tuples(inner, inner).map(
            lambda pair: (tuple[pair[0][0], pair[1][0]], st.tuples(*(p[1] for p in pair)))
        ),  # type: ignore[name-defined]
        st.tuples(st.sampled_from([_dataclass, _attrs, _model, _typed_dict]), _NAMES, inner, inner).map(
            _record
        ),
    )


def _not_null(value: Any) -> bool:
    # An enum member whose value is None is null in JSON too, and there null means None.
    return said(value) is not None


def _record(drawn: Any) -> Made:
    make, names, first, *rest = drawn
    parts = {name: (first, *rest)[index % 2] for index, name in enumerate(names)}
    made: Made = make({name: part[0] for name, part in parts.items()}, {n: p[1] for n, p in parts.items()})
    return made


def _dataclass(types: dict[str, Any], values: dict[str, Any]) -> Made:
    made = dataclasses.make_dataclass("Made", types.items(), frozen=True)
    return made, st.builds(made, **values)


def _attrs(types: dict[str, Any], values: dict[str, Any]) -> Made:
    made = attrs.make_class("Made", {name: attrs.field(type=kind) for name, kind in types.items()})
    return made, st.builds(made, **values)


def _model(types: dict[str, Any], values: dict[str, Any]) -> Made:
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in types.items()}
    try:
        made = create_model("Made", __config__=ConfigDict(arbitrary_types_allowed=True), **fields)
    except (PydanticUserError, UserWarning):  # a class that pydantic itself does not let anyone write
        return _dataclass(types, values)
    return made, st.builds(made.model_construct, **values)


def _typed_dict(types: dict[str, Any], values: dict[str, Any]) -> Made:
    make: Any = typing_extensions.TypedDict
    return make("Made", types), st.fixed_dictionaries(values)
