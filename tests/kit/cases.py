"""Fewer cases of each table of tests: so many that each value of each parameter occurs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from zlib import crc32

import pytest

__all__ = ["FEW", "covering", "with_each_value"]

FEW = 4


def with_each_value(items: Iterable[pytest.Item], most: int | None = None) -> set[pytest.Item]:
    """The tests of *items* to run: of each test function the `covering` cases, the first *most* of them."""
    tables: dict[str, list[pytest.Item]] = {}
    for item in items:
        tables.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept: set[pytest.Item] = set()
    for name, cases in tables.items():
        # Another start for each function: over many functions, most pairs of values occur.
        start = crc32(name.encode()) % len(cases)
        cases = cases[start:] + cases[:start]
        kept |= {cases[place] for place in covering([_values(case) for case in cases])[:most]}
    return kept


def covering(cases: Sequence[Sequence[Hashable]]) -> list[int]:
    """The indices of cases which together have every value that any case has, each at its position.

    The case with the most values that are still missing is next, and of several the first.
    """
    values = [set(enumerate(case)) for case in cases]
    missing: set[tuple[int, Hashable]] = set().union(*values)
    chosen = [] if missing else [0]  # a test without parameters
    while missing:
        best = max(range(len(cases)), key=lambda place: len(values[place] & missing))
        missing -= values[best]
        chosen.append(best)
    return chosen


def _values(item: pytest.Item) -> list[Hashable]:
    """What tells *item* from the other cases: for each `parametrize`, which row it has."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return []
    params = dict(callspec.params)  # by name; cases of one row share its objects
    rows: list[Hashable] = []
    for mark in item.iter_markers("parametrize"):
        names = mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0]
        rows.append(tuple(id(params.pop(name.strip(), None)) for name in names))
    return rows + [id(params[name]) for name in sorted(params)]  # those of hooks and of fixtures
