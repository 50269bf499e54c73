"""What the design says of the packages is true: who awaits, who starts threads, and who sleeps."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import alloy

SOURCE = Path(alloy.__file__).parent
# The packages that perform nothing: the runtime is the only part of the engine that does.
PURE = sorted(
    path
    for package in ("_engine", "_typed")
    for path in (SOURCE / package).rglob("*.py")
    if "runtime" not in path.parts
)
IMPURE_MODULES = {"asyncio", "concurrent.futures", "socket", "subprocess"}
IMPURE_CALLS = {"sleep", "Thread", "Timer", "ThreadPoolExecutor", "run_coroutine_threadsafe"}


def impurities(tree: ast.AST) -> Iterator[str]:
    """What in *tree* waits, starts threads or imports what does."""
    for node in ast.walk(tree):
        match node:
            case ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield f"line {node.lineno}: {type(node).__name__}"
            case ast.Import(names=names):
                yield from (
                    f"line {node.lineno}: {each.name}" for each in names if each.name in IMPURE_MODULES
                )
            case ast.ImportFrom(module=module) if module in IMPURE_MODULES:
                yield f"line {node.lineno}: {module}"
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in IMPURE_CALLS:
                yield f"line {node.lineno}: {name}()"


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(SOURCE)))
def test_only_the_runtime_awaits_sleeps_and_starts_threads(path: Path):
    """The conversation and the typed packages are pure: data in, data out."""
    assert list(impurities(ast.parse(path.read_text("utf-8")))) == []


def test_the_rule_would_find_a_breach():
    """Each kind of breach, on source that has it."""
    for breach in (
        "async def f():\n    await g()",
        "import asyncio",
        "from concurrent.futures import ThreadPoolExecutor",
        "time.sleep(1)",
        "threading.Thread(target=f)",
    ):
        assert list(impurities(ast.parse(breach)))
