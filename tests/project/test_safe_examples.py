"""No page, example or notebook shows how to run what a model wrote, and the library itself does not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*.*")),
]
RUNS_TEXT = re.compile(
    r"(?<![\w.])(eval|exec|compile)\(|\b(pickle|marshal|cloudpickle|dill)\.loads?\(|shell\s*=\s*True"
    r"|\bos\.(system|popen)\(|yaml\.(unsafe_)?load\(|\b__import__\(|verify\s*=\s*False"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_runs_text(page: Path) -> None:
    """Not even where it would be safe there, because pages are copied from."""
    assert [line for line in page.read_text("utf-8").splitlines() if RUNS_TEXT.search(line)] == []


def calls(source: str) -> Iterator[str]:
    """What *source* calls, by the names that it uses."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)
            yield from (f"{word.arg}={ast.unparse(word.value)}" for word in node.keywords if word.arg)


FORBIDDEN = frozenset(
    (
        "eval",
        "exec",
        "__import__",
        "os.system",
        "os.popen",
        "pickle.loads",
        "pickle.load",
        "marshal.loads",
    )
) | {"shell=True", "verify=False", "yaml.load"}


def test_the_library_runs_no_text() -> None:
    """Nor does it unpickle anything, start a shell, or trust any certificate. It compiles annotations."""
    found = {
        f"{path.name}: {call}"
        for path in (ROOT / "src").rglob("*.py")
        for call in calls(path.read_text("utf-8"))
        if call in FORBIDDEN
    }
    assert found == set()
