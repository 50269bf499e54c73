"""Writes the support matrix into its page, from what the suite has shown: `make matrix`.

The suite leaves in `.cache/matrix.json` what the backends' capability tables claim, as far as its tests have
borne it out. `tests/suite/test_matrix.py` compares the page with the results of that run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
PAGE = DOCS / "support-matrix.md"
RESULTS = DOCS.parent / ".cache" / "matrix.json"

MARKED = re.compile(r"(<!-- proven: support-matrix -->\n).*?(<!-- end -->)", re.DOTALL)


def page(text: str, data: Mapping[str, Any]) -> str:
    """*text* with the matrix of *data* between its marks."""
    if not MARKED.search(text):
        raise SystemExit(f"{PAGE.name} has no place for the matrix: {MARKED.pattern}")
    parts = [*_groups(data), "## Differences between models", _models(data), "## Tests", _tests(data)]
    matrix = "\n\n".join(parts)
    return MARKED.sub(lambda found: f"{found[1]}\n{matrix}\n\n{found[2]}", text)


def _groups(data: Mapping[str, Any]) -> Iterable[str]:
    titles = [f"{title}<br>`{model}`" for title, model in data["columns"].values()]
    for group, rows in groupby(data["rows"], lambda row: row["group"]):
        yield f"## {group}"
        yield _table(("", *titles), ((row["name"], *row["cells"].values()) for row in rows))


def _models(data: Mapping[str, Any]) -> str:
    rows = (
        (
            f"`{row['model']}`",
            *(", ".join(row[key]) or "none" for key in ("fallback_for", "left_out", "refused")),
        )
        for row in data["models"]
    )
    return _table(("Model", "Fallback for", "Left out", "Refused"), rows)


def _tests(data: Mapping[str, Any]) -> str:
    return "\n".join(
        f"- {row['name']}: {', '.join(f'`{test}`' for test in row['tests'])}" for row in data["rows"]
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def main() -> None:
    if not RESULTS.exists():
        raise SystemExit(f"no results: run `make matrix`, whose tests write {RESULTS.name}")
    old = PAGE.read_text("utf-8")
    new = page(old, json.loads(RESULTS.read_text("utf-8")))
    PAGE.write_text(new, "utf-8")
    print(f"{PAGE.name}: {'current' if new == old else 'rewritten'}")


if __name__ == "__main__":
    main()
