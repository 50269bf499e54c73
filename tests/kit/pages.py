"""The code blocks of a page. As a script it runs those of one page, and imports little besides."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

__all__ = ["FENCED", "blocks", "run_page"]

FENCED = re.compile(r"^(`{3,})(\w*)[^\n]*\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^\s*# >(?: (.*))?$", re.MULTILINE)
# Marks, for the reader and for this test, a block that needs a key or a server.
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


def run_page(page: Path) -> None:
    """Run a page's blocks one after the other, and compare what each prints with what it shows."""
    logging.getLogger("alloy").addHandler(logging.NullHandler())  # warnings are not for stderr here
    module = ModuleType(f"page_{page.stem.replace('-', '_')}")
    sys.modules[module.__name__] = module
    for block in blocks(page):
        code = compile("\n" * block.line + block.code, str(page), "exec", dont_inherit=True)
        if NEEDS.match(block.code):
            continue
        with redirect_stdout(io.StringIO()) as printed:
            exec(code, module.__dict__)
        assert printed.getvalue().splitlines() == block.shown, f"{page}:{block.line}: {printed.getvalue()}"


if __name__ == "__main__":
    run_page(Path(sys.argv[1]))
