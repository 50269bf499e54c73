"""`pytest --cases=chosen`: which cases of a table of tests it runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.cases import covering

TABLES = st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc"), st.booleans()), min_size=1)


@given(TABLES)
def test_each_value_of_a_table_occurs(table: list[tuple[int, str, bool]]) -> None:
    """At each position, whatever cases the table has; no case is chosen twice."""
    chosen = covering(table)
    kept = [table[place] for place in chosen]
    for position in range(3):
        assert {case[position] for case in kept} == {case[position] for case in table}
    assert len(set(chosen)) == len(chosen)


def test_a_product_needs_only_as_many_cases_as_its_longest_row() -> None:
    table = list(product(range(17), "abcdef", range(4)))
    assert len(covering(table)) == 17


def test_tests_without_parameters_run() -> None:
    assert covering([()]) == [0]


TABLE = """
import pytest

@pytest.mark.parametrize("number", range(6))
def test_six(number): pass

@pytest.mark.parametrize("api", ["a", "b", "c"])
@pytest.mark.parametrize(("status", "kind"), [(400, "x"), (400, "y"), (500, "x"), (500, "y")])
def test_rows(api, status, kind): pass

def test_one(): pass
"""


@pytest.mark.slow
def test_the_rows_of_parametrize_are_values(tmp_path: Path) -> None:
    """A row of several parameters is one value: each of the four is chosen, and each of the three APIs."""
    (tmp_path / "test_table.py").write_text(TABLE, "utf-8")
    chosen, others, few = (collected(tmp_path, cases) for cases in ("chosen", "others", "few"))
    rows = [re.search(r"test_rows\[(\w+-\w)-(\w)\]", name) for name in chosen if "rows" in name]
    assert sorted(row[1] for row in rows if row) == ["400-x", "400-y", "500-x", "500-y"]
    assert {row[2] for row in rows if row} == {"a", "b", "c"}
    assert "test_table.py::test_one" in chosen
    assert (len(chosen), len(others), len({*chosen, *others})) == (11, 8, 19)
    assert few == [name for name in chosen if "six" not in name or name in few]
    assert sum("six" in name for name in few) == 4


def collected(folder: Path, cases: str) -> list[str]:
    """The names of the tests in *folder* that a run with the option `--cases` has."""
    line = [sys.executable, "-m", "pytest", "-p", "conftest", "--collect-only", "-q", f"--cases={cases}"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True)
    found = re.findall(r"^test_table.py::.*$", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return found
