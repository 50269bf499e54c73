"""Which tests have proven which cells of the support matrix, in which of the four ways."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from alloy.backends.registry import resolve
from suite.scripted_provider import PROVIDERS
from suite.table import EXAMPLES, ROWS, WAYS, claims

HERE = Path(__file__).parent

Cell = tuple[str, str]  # a row, a provider


class Proofs:
    """Collects the reports of tests; *whole* is true if the whole suite has run."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._left_out = False
        self._awaited: set[str] = set()
        self._failed: dict[str, bool] = {}
        self._cells: dict[str, list[tuple[str, str, str]]] = {}
        self._tests: dict[str, list[str]] = {}

    def collected(self, items: Iterable[pytest.Item]) -> None:
        """Record all tests that will run."""
        for item in items:
            if not (mark := item.get_closest_marker("proves")):
                continue
            self._files.add(item.path.name)
            self._awaited.add(item.nodeid)
            given: Any = getattr(item, "callspec").params  # noqa: B009 - only functions have one
            ways = [given["way"].__name__] if "way" in given else WAYS
            self._cells[item.nodeid] = [(row, given["provider"], way) for row in mark.args for way in ways]
            name = f"{item.path.name}::{getattr(item, 'originalname', item.name)}"
            for row in mark.args:
                if name not in self._tests.setdefault(row, []):
                    self._tests[row].append(name)

    def deselected(self, item: pytest.Item) -> None:
        """Record a test that was deselected."""
        self._left_out |= item.get_closest_marker("proves") is not None

    def report(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Record an outcome; set-up and teardown count as part of the test."""
        if item.nodeid in self._cells:
            failed = self._failed.get(item.nodeid, False) or not report.passed
            self._failed[item.nodeid] = failed
            if report.when == "teardown":
                self._awaited.discard(item.nodeid)

    @property
    def whole(self) -> bool:
        """Whether the whole suite has run."""
        return bool(self._cells) and not self._left_out and not self._awaited and self._files == _proving()

    def outcomes(self) -> dict[Cell, dict[str, bool]]:
        """For each cell, whether all tests of each way have passed; a way without a test is left out."""
        found: dict[Cell, dict[str, bool]] = {}
        for test, cells in self._cells.items():
            for row, provider, way in cells:
                ways = found.setdefault((row, provider), {})
                ways[way] = ways.get(way, True) and not self._failed.get(test, True)
        return found

    def data(self) -> dict[str, Any]:
        """The content of the support matrix."""
        outcomes, claimed = self.outcomes(), claims()
        rows = [
            {
                "group": row.group,
                "name": row.name,
                "cells": {
                    name: cell(claimed[row.name][name], outcomes.get((row.name, name))) for name in PROVIDERS
                },
                "tests": sorted(self._tests.get(row.name, ())),
            }
            for row in ROWS
        ]
        columns = {name: [provider.title, provider.model] for name, provider in PROVIDERS.items()}
        return {"columns": columns, "rows": rows, "models": models()}

    def write(self, path: Path) -> None:
        """Write `data` to *path*, for `docs/matrix.py`."""
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(self.data(), indent=1), "utf-8")


def cell(claim: str, outcome: dict[str, bool] | None) -> str:
    """The text of a cell: the claim, if tests prove it."""
    if outcome is None:
        return claim if claim.startswith("no: ") else "not proven"
    failed = [way for way in WAYS if not outcome.get(way)]
    return f"fails in {', '.join(failed)}" if failed else claim


def models() -> list[dict[str, Any]]:
    """For a model of each line of the capability tables, what the line says; `test_models` proves it."""
    found = []
    for name, examples in EXAMPLES.items():
        for example in examples:
            backend, model = resolve(f"{name}:{example}")
            can = backend.capabilities(model)
            gaps = {
                "tools": can.tools,
                "structured output": can.structured_output,
                "tools with structured output": can.output_with_tools,
            }
            parts = {"images": can.images, "documents": can.documents}
            by_url = [part for part, taken in parts.items() if taken]
            if can.urls:
                by_url = [part for part in by_url if part == "documents" and not can.document_urls]
            found.append(
                {
                    "model": f"{name}:{example}",
                    "fallback_for": [gap for gap, there in gaps.items() if not there],
                    "left_out": [f"`{setting}`" for setting in sorted(can.drops)],
                    "refused": [
                        *[part for part, taken in parts.items() if not taken],
                        *[f"{part} by URL" for part in by_url],
                        *[f"`{setting}`" for setting in sorted(can.refuses)],
                    ],
                }
            )
    return found


def _proving() -> set[str]:
    """The names of the files of the suite that contain proofs."""
    return {path.name for path in HERE.glob("test_*.py") if "@proves(" in path.read_text("utf-8")}
