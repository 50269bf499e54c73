"""The README and the pages say what is true: their blocks run, and print what they show."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("**/*.md"))]

FENCED = re.compile(r"^(`{3,})(\w*)[^\n]*\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^\s*# >(?: (.*))?$", re.MULTILINE)
# How a page says, to its reader and to this test, that a block is not for here.
NEEDS = re.compile(r"^# Needs (?:a |an |the )?.+")


@dataclass(frozen=True)
class Block:
    """A piece of Python in a page."""

    line: int
    code: str

    @property
    def shown(self) -> list[str]:
        return SHOWN.findall(self.code)


def blocks(page: Path, language: str = "python") -> Iterator[Block]:
    text = page.read_text("utf-8")
    for found in FENCED.finditer(text):
        if found[2] == language:
            # The line before the code: tracebacks then name the page's own lines.
            yield Block(text.count("\n", 0, found.start()) + 1, found[3])


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


WITH_PYTHON = [page for page in PAGES if any(blocks(page))]


def run_page(page: Path) -> None:
    """Run a page's blocks one after the other, and compare what each prints with what it shows."""
    module = ModuleType(f"page_{page.stem.replace('-', '_')}")
    sys.modules[module.__name__] = module
    for block in blocks(page):
        code = compile("\n" * block.line + block.code, str(page), "exec", dont_inherit=True)
        if NEEDS.match(block.code):
            continue
        with redirect_stdout(io.StringIO()) as said:
            exec(code, module.__dict__)
        assert said.getvalue().splitlines() == block.shown, f"{page}:{block.line}: {said.getvalue()}"


def run_python(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own, for what sets process-wide things; warnings are errors there too."""
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_blocks_run_and_print_what_they_show(page: Path) -> None:
    """A page is one program, offline: each block runs after the ones before it."""
    ran = run_python(__file__, str(page), ALLOY_BACKEND="fake")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_readme_program_prints_what_the_readme_says(tmp_path: Path) -> None:
    """Its first block, saved under the name it has there and run offline as told, prints that line."""
    text = (ROOT / "README.md").read_text("utf-8")
    program = re.search(r"<!-- file: (\S+) -->\n```python\n(.*?)```", text, re.DOTALL)
    told = re.search(r"^\$ (ALLOY_BACKEND=fake .*)\n(.*)$", text, re.MULTILINE)
    assert program is not None
    assert told is not None
    (tmp_path / program[1]).write_text(program[2], "utf-8")
    setting, python, *arguments = shlex.split(told[1])
    assert python == "python"

    ran = run_python(*arguments, cwd=tmp_path, **dict([setting.split("=")]))

    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, told[2], "")


def test_the_readme_fits_on_a_screen() -> None:
    """One screen to "I want this": 90 lines at most, and both commands are named."""
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 90
    assert "`make demo`" in text
    assert "`make test`" in text


LINK = re.compile(r"(!?)\[[^\]]*\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "ROADMAP.md", ROOT / "CHANGELOG.md"], ids=name)
def test_links_lead_to_files(page: Path) -> None:
    """Relative links and pictures exist, seen from the page; on the site the build checks them again."""
    generated = {"roadmap.md", "changelog.md", "contributing.md"} if page.parent == DOCS else set()
    text = FENCED.sub("", page.read_text("utf-8"))
    wanted = [target for _, target in LINK.findall(text) if target not in generated]
    assert [target for target in wanted if not (page.parent / target).exists()] == []


def test_generated_files_are_current() -> None:
    """`make generate` would change nothing: tables in the docs, outputs in the notebook."""
    ran = run_python(str(DOCS / "generate.py"), "--check")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_prose_has_one_sentence_per_line() -> None:
    """So that a change of one sentence is a change of one line."""
    found = []
    for page in [*PAGES, ROOT / "CHANGELOG.md"]:
        text = FENCED.sub(_blank, page.read_text("utf-8"))
        for number, line in enumerate(text.split("\n"), 1):
            plain = re.sub(r"`[^`]*`", "x", line)
            if not line.startswith(("|", "<")) and re.search(r"[a-z)x][.?!] [A-Z][a-z]+ ", plain):
                found.append(f"{name(page)}:{number}")
    assert found == []


def _blank(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")


if __name__ == "__main__":
    run_page(Path(sys.argv[1]))
