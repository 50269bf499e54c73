"""The support matrix says what this run has shown, no more and no less. These tests run last."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from suite.proofs import Proofs, cell
from suite.stage import PROVIDERS
from suite.table import ABSENT, READ, ROWS, WAYS, absent, fields_without_row

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def matrix(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script that writes the page."""
    monkeypatch.syspath_prepend(str(DOCS))
    yield import_module("matrix")
    del sys.modules["matrix"]


@pytest.fixture
def shown(proofs: Proofs) -> Proofs:
    """What the whole suite has shown."""
    if not proofs.whole:
        pytest.skip("only a run of the whole suite can judge the matrix")
    return proofs


def test_the_page_is_current(shown: Proofs, matrix: ModuleType) -> None:
    """The committed page is what the tables claim and this run has proven; else run `make matrix`."""
    text = matrix.PAGE.read_text("utf-8")
    assert text == matrix.page(text, shown.data()), "run `make matrix`"


def test_every_claim_is_proven(shown: Proofs) -> None:
    """Each cell that the tables claim something for has tests that pass, in each of the four ways."""
    outcomes = shown.outcomes()
    unproven = [
        (row.name, provider, way)
        for row in ROWS
        for provider in PROVIDERS
        for way in WAYS
        if not absent(row.name, provider) and not outcomes.get((row.name, provider), {}).get(way)
    ]
    assert unproven == []


def test_every_capability_has_a_row() -> None:
    """A new field of `Capabilities` needs a row, and with it a proof."""
    assert fields_without_row() == []
    assert {name for rows in READ.values() for name in rows} <= {row.name for row in ROWS}


def test_absences_are_of_this_table() -> None:
    """What is declared absent is a row and a provider that there are, with a reason."""
    assert set(ABSENT) <= {row.name for row in ROWS}
    for reasons in ABSENT.values():
        assert set(reasons) <= set(PROVIDERS)
        assert all(reasons.values())


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (dict.fromkeys(WAYS, True), "yes"),
        ({**dict.fromkeys(WAYS, True), "stream": False}, "fails in stream"),
        ({"run": True, "run_async": True}, "fails in stream, stream_async"),
        (None, "not proven"),
    ],
    ids=["all pass", "one fails", "some missing", "no test"],
)
def test_a_claim_alone_is_no_yes(outcome: dict[str, bool] | None, said: str) -> None:
    """A cell says what was claimed only when every way has a test that passed."""
    assert cell("yes", outcome) == said


def test_a_page_without_a_place_is_an_error(shown: Proofs, matrix: ModuleType) -> None:
    """A page that lost its marks is not taken for a current one."""
    with pytest.raises(SystemExit, match="no place"):
        matrix.page("# Support matrix", shown.data())
