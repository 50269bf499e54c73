"""Prints pip constraints that pin each requirement of pyproject.toml to the lowest version it allows."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)\s*(?:\[[^]]*\])?\s*>=\s*(?P<floor>[\w.]+)")


def requirements(project: dict[str, Any]) -> Iterator[str]:
    """Everything that users install with Alloy; the extras that only name other extras are left out."""
    own = project["name"]
    for group in (project["dependencies"], *project["optional-dependencies"].values()):
        yield from (line for line in group if not line.startswith(f"{own}["))


def constraint(requirement: str) -> str:
    """`name==version` for a requirement such as `name>=version,<limit`."""
    found = REQUIREMENT.match(requirement)
    if not found:
        raise SystemExit(f"pyproject.toml: {requirement!r} has no lower bound: write it as name>=version")
    return f"{found['name']}=={found['floor']}"


def main() -> None:
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    print(*sorted({constraint(line) for line in requirements(project)}), sep="\n")


if __name__ == "__main__":
    main()
