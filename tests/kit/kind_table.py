"""The table of kinds: an annotation for each, with a strategy for its values."""

from __future__ import annotations

import collections
import datetime as dt
import fractions
import ipaddress
import pathlib
import sys
import uuid
from collections import deque
from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

from hypothesis import strategies as st
from pydantic import Field

from kit.kinds import (
    Base,
    Both,
    Box,
    Case,
    Cat,
    Checked,
    Closed,
    Color,
    Derived,
    Dog,
    Frozen,
    Groups,
    Meters,
    Moon,
    Movie,
    Names,
    Numbers,
    OldCase,
    Partly,
    Permission,
    Person,
    Plant,
    Point,
    Sequel,
    Shelf,
    Size,
    Span,
    Star,
    Stone,
    Tree,
    Word,
    local_class,
)

ints = st.integers(-(2**53), 2**53)
small = st.integers(0, 99)
floats = st.floats(allow_nan=False, allow_infinity=False, width=32)
texts = st.text(st.characters(codec="utf-8"), max_size=8)
words = st.text("abcxyz", min_size=1, max_size=5)
colors = st.sampled_from(Color)
sizes = st.sampled_from(Size)
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=3)
flags = st.sampled_from([Permission(number) for number in range(4)])
moments = st.datetimes(timezones=st.just(dt.UTC) | st.none())
trees = st.recursive(
    st.builds(Tree, ints, st.just([])),
    lambda below: st.builds(Tree, ints, st.lists(below, max_size=2)),
    max_leaves=4,
)
plants = st.recursive(
    st.builds(Plant, words, floats, st.just([]), flags),
    lambda below: st.builds(Plant, words, floats, st.lists(below, max_size=2), flags),
    max_leaves=3,
)
stars = st.builds(Star, colors, st.integers(1, 9))
nested_names = st.recursive(words, lambda below: st.lists(below, max_size=2), max_leaves=4)
groups = st.recursive(small, lambda below: st.dictionaries(sizes, below, max_size=2), max_leaves=4)


class Row(NamedTuple):
    """One kind: *values* come back equal from JSON. *namespace* is for postponed names."""

    name: str
    annotation: Any
    values: st.SearchStrategy[Any]
    namespace: Mapping[str, Any] = {}


ROWS = [
    Row("int", int, ints),
    Row("float", float, floats),
    Row("bool", bool, st.booleans()),
    Row("optional", Optional[int], ints | st.none()),  # noqa: UP045
    Row("union of scalars", Union[int, str, bool, None], ints | texts | st.booleans() | st.none()),  # noqa: UP007
    Row(
        "union of dataclasses",
        Base | Frozen,
        st.builds(Base, texts, ints) | st.builds(Frozen, name=texts, size=sizes),
    ),
    Row(
        "tagged union",
        Annotated[Cat | Dog, Field(discriminator="kind")],
        st.builds(Cat, st.just("cat"), ints) | st.builds(Dog, st.just("dog"), ints),
    ),
    Row(
        "union with literals",
        list[Cat | Dog | Literal["none"] | int],
        st.lists(
            st.builds(Cat, st.just("cat"), ints)
            | st.builds(Dog, st.just("dog"), ints)
            | st.just("none")
            | ints,
            max_size=3,
        ),
    ),
    Row("literal", Literal["a", 1, True, None], st.sampled_from(["a", 1, True, None])),
    Row(
        "literal of enum members",
        Literal[Color.RED, Color.BLUE, "x"],
        st.sampled_from([Color.RED, Color.BLUE, "x"]),
    ),
    Row("enum", Color, colors),
    Row("int enum", Size, sizes),
    Row("str enum", Word, st.sampled_from(Word)),
    Row("enum of tuples", list[Span], st.lists(st.sampled_from(Span), max_size=3)),
    Row("flag", Permission, flags),
    Row("dataclass", Base, st.builds(Base, texts, ints)),
    Row("inherited dataclass", Derived, st.builds(Derived, texts, ints, st.lists(texts, max_size=2))),
    Row("frozen dataclass", Frozen, st.builds(Frozen, name=texts, size=sizes)),
    Row("generic dataclass", Box[Size], st.builds(Box, sizes, st.lists(sizes, max_size=2))),
    Row("generic of a flag", Box[Permission], st.builds(Box, flags, st.lists(flags, max_size=2))),
    Row("recursive dataclass", Tree, trees),
    Row("typing typed dict", Movie, st.fixed_dictionaries({"title": texts}, optional={"year": ints})),
    Row("partial typed dict", Partly, st.fixed_dictionaries({"title": texts}, optional={"rating": floats})),
    Row(
        "inherited typed dict",
        Sequel,
        st.fixed_dictionaries({"title": texts, "part": ints}, optional={"year": ints}),
    ),
    Row("generic typed dict", Case[list[Size]], st.fixed_dictionaries({"held": st.lists(sizes, max_size=2)})),
    Row("typing generic typed dict", OldCase[Size], st.fixed_dictionaries({"held": sizes})),
    Row("named tuple", Point, st.builds(Point, ints, floats, colors)),
    Row("list", list[int], st.lists(ints, max_size=3)),
    Row("bare list", list, st.lists(ints | texts, max_size=3)),
    Row("tuple", tuple[int, Size], st.tuples(ints, sizes)),
    Row("long tuple", tuple[Size, ...], st.lists(sizes, max_size=3).map(tuple)),
    Row("set", set[int], st.sets(ints, max_size=3)),
    Row("frozenset", frozenset[Size], st.frozensets(sizes, max_size=3)),
    Row("deque", deque[Size], st.lists(sizes, max_size=3).map(deque)),
    Row("sequence", Sequence[Permission], st.lists(flags, max_size=3)),
    Row("mutable sequence", MutableSequence[int], st.lists(ints, max_size=3)),
    Row("iterable", Iterable[Size], st.lists(sizes, max_size=3)),
    Row("dict", dict[str, int], st.dictionaries(texts, ints, max_size=3)),
    Row("dict by int", dict[int, str], st.dictionaries(ints, texts, max_size=3)),
    Row("dict by enum", dict[Color, int], st.dictionaries(colors, ints, max_size=3)),
    Row(
        "dict by int enum",
        dict[Size, list[Color]],
        st.dictionaries(sizes, st.lists(colors, max_size=2), max_size=2),
    ),
    Row(
        "dict by literal",
        dict[Literal[2, "a", True], int],
        st.dictionaries(st.sampled_from([2, "a", True]), ints),
    ),
    Row("dict by date", dict[dt.date, int], st.dictionaries(st.dates(), ints, max_size=3)),
    Row("mapping", Mapping[str, Permission], st.dictionaries(texts, flags, max_size=3)),
    Row(
        "ordered dict",
        collections.OrderedDict[str, int],
        st.dictionaries(texts, ints, max_size=3).map(collections.OrderedDict),
    ),
    Row(
        "default dict",
        collections.defaultdict[str, list[int]],
        st.dictionaries(texts, st.lists(ints, max_size=2), max_size=2).map(
            lambda d: collections.defaultdict(list, d)
        ),
    ),
    Row(
        "counter",
        collections.Counter[str],
        st.dictionaries(texts, small, max_size=3).map(collections.Counter),
    ),
    Row(
        "open dict",
        dict[str, Any],
        st.dictionaries(texts, ints | texts | st.none() | st.lists(ints, max_size=2), max_size=3),
    ),
    Row("bare dict", dict, st.dictionaries(texts, ints | texts, max_size=3)),
    Row("any", Any, st.none() | st.booleans() | ints | texts | st.lists(ints, max_size=3)),
    Row("object", object, st.none() | ints | texts),
    Row("datetime", dt.datetime, moments),
    Row("date", dt.date, st.dates()),
    Row("time", dt.time, st.times()),
    Row("timedelta", dt.timedelta, st.integers(0, 10**6).map(lambda seconds: dt.timedelta(seconds=seconds))),
    Row("decimal", Decimal, decimals),
    Row("uuid", uuid.UUID, st.uuids()),
    Row("bytes", bytes, st.binary(max_size=9)),
    Row("bytearray", bytearray, st.binary(max_size=9).map(bytearray)),
    Row("path", pathlib.Path, words.map(pathlib.Path)),
    Row("fraction", fractions.Fraction, st.fractions(max_denominator=99)),
    Row("address", ipaddress.IPv4Address, st.ip_addresses(v=4)),
    Row("constrained", Annotated[int, Field(ge=3, lt=9, multiple_of=2)], st.sampled_from([4, 6, 8])),
    Row(
        "described",
        Annotated[list[Annotated[str, "a word"]], Field(min_length=1, description="words")],
        st.lists(words, min_size=1, max_size=3),
    ),
    Row("new type", Meters, floats),
    Row("recursive alias", Names, nested_names.filter(lambda value: isinstance(value, list))),
    Row("recursive alias with keys", Groups, groups),
    Row("generic alias", Both[Permission], st.tuples(flags, flags)),
    Row(
        "forward reference", list["Base"], st.lists(st.builds(Base, texts, ints), max_size=2), {"Base": Base}
    ),
    Row(
        "model",
        Person,
        st.builds(
            Person.model_construct,
            full_name=words,
            colors=st.dictionaries(colors, ints, max_size=2),
            permission=flags,
            age=small,
        ),
    ),
    Row(
        "recursive model",
        Closed,
        st.builds(
            Closed,
            word=st.sampled_from([Color.RED, Color.BLUE]),
            next=st.none() | st.builds(Closed, word=st.just(Color.RED)),
        ),
    ),
    Row("root model", Numbers, st.builds(Numbers, st.lists(ints, max_size=3))),
    Row("generic model", Shelf[Base], st.builds(Shelf[Base], best=st.builds(Base, texts, ints))),
    Row("pydantic dataclass", Checked, st.builds(Checked, st.lists(flags, max_size=3))),
    Row("attrs class", Plant, plants),
    Row("frozen attrs class", Stone, st.builds(Stone, color=colors, weight=decimals)),
    Row("struct", Star, stars),
    Row("union of structs", Star | Moon, stars | st.builds(Moon, stars, st.lists(ints, max_size=2))),
]

_local = local_class()
ROWS.append(Row("local class", _local, st.builds(_local, ints, sizes, st.none() | st.builds(_local, ints))))

if sys.version_info >= (3, 12):
    _names: dict[str, Any] = {"Size": Size, "__name__": __name__}
    exec("type Deep = list[Deep] | dict[Size, Deep] | int\ntype Two[X] = tuple[X, X]", _names)
    _deep = st.recursive(
        small,
        lambda below: st.lists(below, max_size=2) | st.dictionaries(sizes, below, max_size=2),
        max_leaves=4,
    )
    ROWS.append(Row("type statement", _names["Deep"], _deep))
    ROWS.append(Row("generic type statement", _names["Two"][Size], st.tuples(sizes, sizes)))

if sys.version_info < (3, 14):
    from kit.kinds import Gone

    ROWS.append(
        Row(
            "old model",
            Gone,
            st.builds(Gone, n=st.integers(1, 9), Label=st.none() | words, flags=st.lists(flags, max_size=2)),
        )
    )
