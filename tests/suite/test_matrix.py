"""The support matrix has exactly the results of this run. These tests run last."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from suite.proofs import Proofs, cell
from suite.scripted_provider import PROVIDERS
from suite.table import ABSENT, READ, ROWS, WAYS, absent, fields_without_row

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def matrix(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module that writes the page."""
    monkeypatch.syspath_prepend(str(DOCS))
    yield import_module("matrix")
    del sys.modules["matrix"]


@pytest.fixture
def results(proofs: Proofs) -> Proofs:
    """The results of the whole suite."""
    if not proofs.whole:
        pytest.skip("only a run of the whole suite has all results")
    return proofs


def test_the_page_is_current(results: Proofs, matrix: ModuleType) -> None:
    """The page has what the tables claim and this run has proven; otherwise run `make matrix`."""
    text = matrix.PAGE.read_text("utf-8")
    assert text == matrix.page(text, results.data()), "run `make matrix`"


def test_every_claim_is_proven(results: Proofs) -> None:
    """Each cell with a claim has tests that pass, in each of the four ways to call."""
    outcomes = results.outcomes()
    unproven = [
        (row.name, provider, way)
        for row in ROWS
        for provider in PROVIDERS
        for way in WAYS
        if not absent(row.name, provider) and not outcomes.get((row.name, provider), {}).get(way)
    ]
    assert unproven == []


def test_every_capability_has_a_row() -> None:
    """Each field of `Capabilities` has a row, and so needs a proof."""
    assert fields_without_row() == []
    assert {name for rows in READ.values() for name in rows} <= {row.name for row in ROWS}


def test_absences_name_rows_and_providers() -> None:
    """Each entry of `ABSENT` names a row and providers that exist, with a reason."""
    assert set(ABSENT) <= {row.name for row in ROWS}
    for reasons in ABSENT.values():
        assert set(reasons) <= set(PROVIDERS)
        assert all(reasons.values())


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (dict.fromkeys(WAYS, True), "yes"),
        ({**dict.fromkeys(WAYS, True), "stream": False}, "fails in stream"),
        ({"run": True, "run_async": True}, "fails in stream, stream_async"),
        (None, "not proven"),
    ],
    ids=["all pass", "one fails", "some missing", "no test"],
)
def test_a_claim_without_a_test_is_not_yes(outcome: dict[str, bool] | None, text: str) -> None:
    """A cell shows the claim only if every way to call has a test that passed."""
    assert cell("yes", outcome) == text


def test_a_page_without_marks_is_an_error(results: Proofs, matrix: ModuleType) -> None:
    """A page without its marks is an error."""
    with pytest.raises(SystemExit, match="no place"):
        matrix.page("# Support matrix", results.data())
