"""What the package says of itself: its links, its ranges, and the Pythons that it is tested on.

`make package` builds it and tests what was built.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
README = (ROOT / "README.md").read_text("utf-8")
FILE_LINK = re.compile(re.escape(PROJECT["urls"]["Repository"]) + r"/(blob|tree)/main/([^)#\s]+)")


def test_the_readme_has_no_relative_links() -> None:
    """A package index shows the README too, and there a relative link leads nowhere."""
    targets = re.findall(r"\]\(([^)]+)\)", README)
    assert targets
    assert [target for target in targets if not target.startswith("https://")] == []


@pytest.mark.parametrize("text", [README, "\n".join(PROJECT["urls"].values())], ids=["readme", "urls"])
def test_links_to_the_repository_name_files(text: str) -> None:
    """Each link to a file or folder of the repository names one that exists, by the right kind of link."""
    links = FILE_LINK.findall(text)
    assert links
    wrong = [path for kind, path in links if not (ROOT / path).exists()]
    wrong += [path for kind, path in links if (ROOT / path).is_dir() != (kind == "tree")]
    assert wrong == []


def test_every_requirement_has_a_lowest_version_to_test() -> None:
    """`make lowest` gets one pin for each package that users install with Alloy."""
    script = [sys.executable, str(ROOT / ".ci" / "lowest.py")]
    pins = subprocess.run(script, capture_output=True, text=True, check=True).stdout.split()
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    names = {re.split(r"[\[<>=]", line)[0] for group in groups for line in group} - {PROJECT["name"]}
    assert {pin.partition("==")[0] for pin in pins} == names
    assert len(pins) == len(names)


def test_tools_of_development_are_not_an_extra() -> None:
    """Users can install providers; what only a contributor needs is in dependency groups."""
    assert {"dev", "test", "docs"} & set(PROJECT["optional-dependencies"]) == set()
    assert "dev" in PYPROJECT["dependency-groups"]


def test_each_python_that_the_package_names_is_tested() -> None:
    """The classifiers are the versions of the CI matrix, from the oldest that may install it."""
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert PROJECT["requires-python"] == f">={classified[0]}"
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    assert re.findall(r'- python: "(3\.\d+)"', workflow) == classified


def test_the_changelog_begins_with_this_version() -> None:
    """The first section is the version of pyproject.toml, dated or not yet."""
    found = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert found is not None
    assert found[1] == PROJECT["version"]
