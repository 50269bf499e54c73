"""The short form of `make test-faults`: each fault in two of its cells, and the page as the table says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kit.apis import APIS

from faults.cells import WAYS, Fault, outcome
from faults.table import FAULTS, GROUPS, expected_row, notes

RESULTS = json.loads((Path(__file__).parents[2] / "docs" / "faults.json").read_text("utf-8"))


def cell(fault: Fault, turn: int) -> tuple[str, str]:
    """Another provider and way for each fault, so that all of them occur."""
    place = FAULTS.index(fault)
    api = APIS[(place + 3 * turn) % len(APIS)]
    ways = fault.ways(api) or list(WAYS)
    return api.name, ways[(place // len(APIS) + turn * len(ways) // 2) % len(ways)]


@pytest.mark.slow
@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.encode("ascii", "replace").decode())
def test_a_fault_has_the_outcome_of_the_table(fault: Fault, turn: int) -> None:
    """Never another exception, a second run of a tool, lost tokens, a task or thread left, or stderr."""
    name, way = cell(fault, turn)
    api = next(api for api in APIS if api.name == name)
    if way not in fault.ways(api):
        pytest.skip(fault.expected(api, way))
    assert outcome(fault, api, way) == fault.expected(api, way)


def test_the_names_of_faults_are_unique() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("group", GROUPS)
def test_the_page_shows_what_the_table_says(group: str) -> None:
    """`make test-faults` has measured every fault, and nothing but what the table expects."""
    assert RESULTS[group]["notes"] == notes(group)
    assert RESULTS[group]["faults"] == {fault.name: expected_row(fault) for fault in GROUPS[group]}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.encode("ascii", "replace").decode())
def test_no_cell_is_empty(fault: Fault) -> None:
    """An outcome, or the reason why there is none; and a reason for each provider that differs."""
    cells = expected_row(fault)
    assert list(cells) == [api.name for api in APIS]
    assert all(cells.values())
    assert all(but.why.endswith(".") for but in fault.but.values())
