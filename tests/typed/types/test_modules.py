"""How the modules that read types and answers depend on one another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import alloy

SOURCE = Path(alloy.__file__).parent
PACKAGES = ("_typed/types", "_typed/answers")
FILES = {
    path: ast.parse(path.read_text("utf-8")) for part in PACKAGES for path in (SOURCE / part).glob("*.py")
}


def imported(tree: ast.Module) -> Iterator[str]:
    """Every module that *tree* imports, also inside functions and for type checkers only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def name_of(path: Path) -> str:
    return ".".join(("alloy", *path.relative_to(SOURCE).with_suffix("").parts))


def test_they_import_no_engine_and_no_backend() -> None:
    """The direction is: callers, engine, backends, types, plain data."""
    above = ("alloy._engine", "alloy.backends", "alloy.commands", "alloy.tools", "alloy.contracts")
    found = {
        name_of(path): [m for m in imported(tree) if m.startswith(above)] for path, tree in FILES.items()
    }

    assert {name: modules for name, modules in found.items() if modules} == {}


def test_no_module_imports_itself_through_others() -> None:
    """Neither at run time nor for type checkers."""
    edges = {name_of(path): set(imported(tree)) for path, tree in FILES.items()}
    left = {name: {module for module in modules if module in edges} for name, modules in edges.items()}
    assert any(left.values())
    while free := [name for name, modules in left.items() if not modules & left.keys()]:
        for name in free:
            del left[name]

    assert left == {}
