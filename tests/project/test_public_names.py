"""The public face: its names, the stub that shows them to checkers, and what importing them costs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import alloy
from alloy.options import AskOptions, CommandOptions, Settings
from alloy.settings import ALIASES, SETTINGS

HEAVY = {"anthropic", "asyncio", "google", "httpx", "ollama", "openai", "pydantic", "pydantic_core"}
MOST_MODULES = 60

STUB = Path(alloy.__file__).with_suffix(".pyi")
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def stub_body() -> list[ast.stmt]:
    """The stub's statements."""
    return ast.parse(STUB.read_text("utf-8")).body


def stub_imports() -> Iterator[tuple[str, str]]:
    """Each name that the stub passes on, after the module that it comes from."""
    for statement in stub_body():
        if isinstance(statement, ast.ImportFrom):
            assert statement.module is not None and statement.level == 0
            for name in statement.names:
                assert name.asname in (None, name.name)
                yield statement.module, name.name


def stub_all() -> list[str]:
    """`__all__` as the stub spells it out."""
    for statement in stub_body():
        match statement:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                names: list[str] = ast.literal_eval(value)
                return names
    raise AssertionError("the stub has no __all__")


def loaded_by(statement: str) -> set[str]:
    """The modules that *statement* adds to those of a bare interpreter."""
    script = f"import sys; bare = set(sys.modules)\n{statement}\nprint(*(set(sys.modules) - bare))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def heavy(modules: set[str]) -> set[str]:
    """Those of *modules* that only a call may load."""
    return {module for module in modules if module.partition(".")[0] in HEAVY}


def test_stub_and_runtime_have_the_same_names():
    """`__all__` is sorted, and the same at run time, in the stub's text and in the stub's declarations."""
    declared = {name for _, name in stub_imports()}
    annotated = {ast.unparse(node.target) for node in stub_body() if isinstance(node, ast.AnnAssign)}

    assert alloy.__all__ == sorted(alloy.__all__) == stub_all()
    assert declared | annotated == set(alloy.__all__)


@pytest.mark.parametrize(("module", "name"), list(stub_imports()))
def test_each_name_is_its_modules_own(module, name):
    """The object that the face gives is the one that the stub names, so its type has one home."""
    assert getattr(alloy, name) is getattr(import_module(module), name)


def test_dir_shows_every_public_name_before_it_is_loaded():
    """Completion in a fresh interpreter offers all names."""
    script = "import alloy, json; print(json.dumps([dir(alloy), alloy.__all__, sorted(vars(alloy))]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    shown, public, loaded = json.loads(done.stdout)

    assert set(public) <= set(shown)
    assert "command" in shown and "command" not in loaded


def test_star_import_gives_all_names():
    """`from alloy import *` binds what `__all__` lists."""
    names: dict[str, object] = {}
    exec("from alloy import *", names)

    assert set(alloy.__all__) <= set(names)


def test_unknown_name_is_an_attribute_error():
    """A misspelt name fails as it does in any module."""
    with pytest.raises(AttributeError, match="module 'alloy' has no attribute 'comand'"):
        alloy.comand  # type: ignore[attr-defined]  # noqa: B018 - looking it up is the test


def test_version_is_the_distributions():
    """`__version__` and pyproject.toml agree."""
    assert alloy.__version__ == tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["version"]


def test_import_alloy_is_light():
    """`import alloy` loads no SDK, no pydantic, no asyncio and no HTTP library, and little else."""
    modules = loaded_by("import alloy")

    assert "alloy" in modules
    assert heavy(modules) == set()
    assert len(modules) <= MOST_MODULES


def test_importing_what_users_write_is_light():
    """What a module full of commands imports loads none of the heavy modules either."""
    modules = loaded_by("from alloy import command, tool, ask, configure, require, ensure")

    assert {"alloy.commands", "alloy.tools", "alloy.asking"} <= modules
    assert heavy(modules) == set()


def test_decorating_is_light():
    """Decorating with every kind of type, tools and contracts waits with the heavy modules for a call."""
    modules = loaded_by(
        "import alloy\n"
        "@alloy.tool\n"
        "@alloy.require(lambda amount: amount > 0)\n"
        "def rate(amount: float) -> float: return amount\n"
        "@alloy.command(output=list[int] | None, tools=[rate], retry=3)\n"
        "def count(text: str) -> str: return text\n"
        "alloy.configure(model='fake:any')"
    )

    assert heavy(modules) == set()


@pytest.mark.parametrize(
    ("options", "more"),
    [
        (Settings, set()),
        (CommandOptions, {"tools", "conversation", "parser"}),
        (AskOptions, {"tools", "conversation", "parser", "context"}),
    ],
)
def test_checkers_know_the_options_that_exist(options, more):
    """The options as checkers see them are the settings that run time accepts, no more and no fewer."""
    assert set(options.__annotations__) == {*SETTINGS, *ALIASES, *more}
    assert options.__required_keys__ == frozenset()
