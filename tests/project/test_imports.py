"""Who imports whom: no circle, one direction, and nothing private in what users are promised.

The imports are read from the source, in three kinds: those that run with the module, those that only
type checkers read (`if TYPE_CHECKING:`), and those inside functions, which run later.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import alloy

SOURCE = Path(alloy.__file__).parent
DOCS = SOURCE.parents[1] / "docs"

AT_ONCE, FOR_CHECKERS, LATER = "at once", "for checkers", "later"
Graph = dict[str, dict[str, str]]
"""By module: the modules that it imports, and when."""


def modules() -> dict[str, Path]:
    """Every module of Alloy, by its dotted name."""
    found = {}
    for path in sorted(SOURCE.glob("**/*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


class Reader(ast.NodeVisitor):
    """Collects the imports of one module, each with when it runs."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._when = AT_ONCE

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            self._add(name.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, "imports name the whole module"
        assert node.module is not None
        for name in node.names:
            inner = f"{node.module}.{name.name}"
            self._add(inner if inner in MODULES else node.module)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            self._within(FOR_CHECKERS, node.body)
            self._within(self._when, node.orelse)
        else:
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._within(LATER, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def _within(self, when: str, nodes: list[ast.stmt]) -> None:
        before, self._when = self._when, when
        for node in nodes:
            self.visit(node)
        self._when = before

    def _add(self, name: str) -> None:
        if name in MODULES:
            order = (AT_ONCE, FOR_CHECKERS, LATER)
            self.found[name] = min(self._when, self.found.get(name, LATER), key=order.index)


def graph() -> Graph:
    """The imports of every module."""
    found = {}
    for name, path in MODULES.items():
        reader = Reader()
        reader.visit(ast.parse(path.read_text("utf-8")))
        found[name] = reader.found
    return found


GRAPH = graph()


def circles(kinds: set[str]) -> list[str]:
    """The circles of imports of *kinds*, each as a path; none twice."""
    found: dict[frozenset[str], str] = {}
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> None:
        if name in path:
            circle = [*path[path.index(name) :], name]
            found.setdefault(frozenset(circle), " -> ".join(circle))
        elif name not in done:
            for target, when in GRAPH[name].items():
                if when in kinds:
                    walk(target, [*path, name])
            done.add(name)

    for name in GRAPH:
        walk(name, [])
    return list(found.values())


def test_no_circle_of_imports() -> None:
    """Neither when modules are loaded nor for type checkers."""
    assert circles({AT_ONCE, FOR_CHECKERS}) == []


def test_no_circle_of_later_imports() -> None:
    """An import inside a function saves time; it does not hide a circle."""
    assert circles({AT_ONCE, FOR_CHECKERS, LATER}) == []


def test_the_reader_of_imports_sees_all_kinds() -> None:
    """Known imports of each kind, so that the tests here cannot pass for an empty graph."""
    assert len(GRAPH) > 90
    assert GRAPH["alloy.tools"]["alloy.contracts"] == AT_ONCE
    assert GRAPH["alloy.errors"]["alloy.messages"] == FOR_CHECKERS
    assert GRAPH["alloy.calls"]["alloy._engine.prepare"] == FOR_CHECKERS
    assert GRAPH["alloy.asking"]["alloy._engine.runtime.drivers"] == LATER


# --- the direction --------------------------------------------------------------------------------

# From the bottom up: a module imports from its own layer and from those below.
LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "alloy.addresses",
        "alloy.jsontypes",
        "alloy.functions",
        "alloy.suggestions",
        "alloy.partials",
        "alloy.excerpts",
    ),
    (
        "alloy.arguments",
        "alloy.media",
        "alloy.messages",
        "alloy.errors",
        "alloy.extras",
        "alloy.prices",
        "alloy.quantities",
        "alloy.result",
        "alloy.events",
        "alloy.parts",
    ),
    (
        "alloy.batch_status",
        "alloy.budgets",
        "alloy.caches",
        "alloy.circuit_breakers",
        "alloy.databases",
        "alloy.endpoints",
        "alloy.tasks",
        "alloy.threads",
        "alloy.watchdog",
        "alloy.logger",
    ),
    (
        "alloy.conversations",
        "alloy.options",
        "alloy.setting_kinds",
        "alloy.settings",
        "alloy.config",
    ),
    ("alloy._typed",),
    ("alloy.backends",),
    ("alloy._engine",),
    (
        "alloy.contracts",
        "alloy.tools",
        "alloy.pickling",
        "alloy.prompts",
        "alloy.calls",
        "alloy.streams",
        "alloy.commands",
        "alloy.maps",
        "alloy.batches",
        "alloy.asking",
        "alloy.parsing",
        "alloy.effects",
        "alloy.usage",
    ),
    ("alloy.testing", "alloy.telemetry", "alloy.mcp", "alloy.checkup"),
    ("alloy.cli", "alloy.__main__"),
)
"""Plain data, types, backends, the engine, what users call, and what surrounds a program."""


def layer(module: str) -> int:
    """The number of *module*'s layer."""
    package = ".".join(module.split(".")[:2])
    return next(number for number, names in enumerate(LAYERS) if package in names)


def test_every_module_has_a_layer() -> None:
    """And each layer names what is there."""
    packages = {".".join(name.split(".")[:2]) for name in MODULES if name != "alloy"}
    assert packages == {name for names in LAYERS for name in names}


def test_imports_point_down() -> None:
    """Callers use the engine, the engine backends, backends types, and all of them plain data."""
    upward = [
        f"{name} -> {target} ({when})"
        for name, targets in GRAPH.items()
        for target, when in targets.items()
        if "alloy" not in (name, target) and layer(target) > layer(name)
    ]
    assert upward == []


# --- what is private, and what is promised --------------------------------------------------------

PRIVATE = re.compile(r"\balloy\._\w+")


def public_names() -> Iterator[tuple[str, str]]:
    """The names that `alloy`, the API page and the blocks of the other pages name, with their modules."""
    stub = ast.parse((SOURCE / "__init__.pyi").read_text("utf-8"))
    for node in stub.body:
        if isinstance(node, ast.ImportFrom):
            yield from ((str(node.module), name.name) for name in node.names)
    for page in DOCS.glob("*.md"):
        text = page.read_text("utf-8")
        if page.name == "api.md":
            for name in re.findall(r"^::: (alloy[\w.]+)$", text, re.MULTILINE):
                if name not in MODULES:
                    module, _, name = name.rpartition(".")
                    yield module, name
        for module, names in re.findall(r"^from (alloy[\w.]+) import (.+)$", text, re.MULTILINE):
            yield from ((module, name.strip()) for name in names.split(","))


PROMISED = sorted(set(public_names()))
# Modules whose whole contents the API page shows.
WHOLE = {
    name
    for name in re.findall(r"^::: (alloy[\w.]+)$", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE)
    if name in MODULES
}


def test_private_packages_are_not_named() -> None:
    """Neither in the stub nor in the pages that show how to use Alloy."""
    readme = DOCS.parent / "README.md"
    pages = [readme, *(page for page in DOCS.glob("*.md") if page.name != "architecture.md")]
    texts = {path.name: path.read_text("utf-8") for path in [SOURCE / "__init__.pyi", *pages]}
    assert {name: found for name, text in texts.items() if (found := PRIVATE.findall(text))} == {}


@pytest.mark.parametrize(("module", "name"), PROMISED)
def test_what_is_promised_is_in_all(module: str, name: str) -> None:
    """Each name that is shown to users is in its module's `__all__`."""
    assert name in import_module(module).__all__


@pytest.mark.parametrize("module", sorted(WHOLE))
def test_a_module_that_is_shown_whole_lists_its_classes(module: str) -> None:
    """Every public class that it defines is in its `__all__`."""
    found = import_module(module)
    own = {
        name for name, value in vars(found).items() if isinstance(value, type) and value.__module__ == module
    }
    assert {name for name in own if not name.startswith("_")} <= set(found.__all__)


@pytest.mark.parametrize("module", sorted({module for module, _ in PROMISED} - WHOLE))
def test_all_is_what_is_promised(module: str) -> None:
    """A public module lists nothing that users are not shown."""
    promised = {name for home, name in PROMISED if home == module}
    assert set(import_module(module).__all__) == promised


def test_typed_packages_point_down() -> None:
    """Answers use types, types use schemas, schemas use JSON; JSON knows none of them."""
    order = ["json", "schemas", "types", "answers"]

    def number(module: str) -> int:
        return order.index(module.split(".")[2])

    inside = [name for name in GRAPH if name.startswith("alloy._typed.")]
    upward = [
        f"{name} -> {target}"
        for name in inside
        for target in GRAPH[name]
        if target.startswith("alloy._typed.") and number(target) > number(name)
    ]
    assert {name.split(".")[2] for name in inside} == set(order)
    assert upward == []
