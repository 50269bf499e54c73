"""The recipes of `docs/engines.md`, each in a program of its own, where its engine is installed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest
from kit.pages import Block, blocks
from kit.patience import PATIENCE
from kit.wire import Answer, Received, WireServer, openai

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"
MODULE, *RECIPES = blocks(PAGE)


def packages(recipe: Block) -> set[str]:
    """The packages that *recipe* imports."""
    return set(re.findall(r"^(?:import|from) (\w+)", recipe.code, re.MULTILINE)) - {"reviews"}


def is_installed(recipe: Block) -> bool:
    """Whether everything is there that *recipe* needs; Spark needs Java, too."""
    needs_java = "pyspark" in packages(recipe)
    found = all(importlib.util.find_spec(name) is not None for name in packages(recipe))
    return found and (not needs_java or shutil.which("java") is not None)


def answer(request: Received) -> Answer:
    """The mood of the review in *request*."""
    found = "negative" if b"Broke" in request.content else "positive"
    return openai.reply(openai.response(openai.message(f'{{"value": "{found}"}}')))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: "-".join(sorted(packages(recipe))))
def test_a_recipe_prints_what_the_page_shows(server: WireServer, tmp_path: Path, recipe: Block):
    """With the module of the page in a file, as the page says."""
    if not is_installed(recipe):
        pytest.skip(f"needs {', '.join(sorted(packages(recipe)))}")
    server.always = answer
    (tmp_path / "reviews.py").write_text(MODULE.code, "utf-8")
    program = tmp_path / "program.py"
    program.write_text('if __name__ == "__main__":\n' + indent(recipe.code, "    "), "utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "PYSPARK_PYTHON": sys.executable,
        "OPENAI_API_KEY": "sk-none",
        "ALLOY_MODEL": "openai:gpt-5.6",
        "ALLOY_BASE_URL": f"{server.url}/v1",
    }
    ran = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ran.returncode == 0, ran.stderr
    assert [line for line in ran.stdout.splitlines() if line.startswith("[")] == recipe.shown
    assert len(server.requests) == 3 * len(recipe.shown)
