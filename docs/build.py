"""Builds the site into .cache/docs/site, strictly: a broken link or a missing object is an error.

The pages are copied first, because the site also has the changelog, the roadmap and the guide for
contributors, which live at the top of the repository and link to its files from there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
STAGE = ROOT / ".cache" / "docs"
TOP_PAGES = {"CHANGELOG.md": "changelog.md", "ROADMAP.md": "roadmap.md", "CONTRIBUTING.md": "contributing.md"}
LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")


def site_page(text: str) -> str:
    """A top-level page with its links as the site needs them; what is not on the site is only named."""

    def link(found: re.Match[str]) -> str:
        label, target, anchor = found[1], found[2], found[3] or ""
        if target in TOP_PAGES:
            return f"[{label}]({TOP_PAGES[target]}{anchor})"
        if target.startswith("docs/") and target.endswith(".md"):
            return f"[{label}]({target.removeprefix('docs/')}{anchor})"
        return label

    return LINK.sub(link, text)


def stage() -> None:
    """Copy all that the site is made of."""
    shutil.rmtree(STAGE, ignore_errors=True)
    pages = STAGE / "docs"
    shutil.copytree(DOCS, pages, ignore=shutil.ignore_patterns("*.py", "*.toml", "__pycache__"))
    shutil.copy(DOCS / "zensical.toml", STAGE)
    for source, target in TOP_PAGES.items():
        (pages / target).write_text(site_page((ROOT / source).read_text("utf-8")), "utf-8")


def main() -> int:
    stage()
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", "zensical.toml"]
    code = subprocess.run(command, cwd=STAGE).returncode
    if code == 0:
        print(f"the site is in {(STAGE / 'site').relative_to(ROOT)}")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
