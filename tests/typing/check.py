"""Check the typing suite with mypy, pyright, ty and pyrefly, and the face's stub with stubtest.

Each other file here is code that a user could have written; nothing runs it. `python tests/typing/check.py`
prints a line per check, then the output of those that failed, and exits with 1 when there are any.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SUITE = sorted(str(file) for file in HERE.glob("*.py") if file != Path(__file__).resolve())
VERSIONS = ("3.11", "3.14")  # the oldest and the newest that Alloy runs on


@dataclass(frozen=True)
class Check:
    """One run of one checker."""

    name: str
    arguments: tuple[str, ...]

    def run(self) -> tuple[bool, float, str]:
        """Whether all is well, the seconds it took, and the output of the checker."""
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", *self.arguments],
            cwd=ROOT,
            env={**os.environ, "MYPYPATH": str(ROOT / "src"), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode == 0, time.monotonic() - started, done.stdout


def checks() -> list[Check]:
    """Every check, the slow ones first."""
    allowed = "--ignore-unused-allowlist", "--allowlist", str(HERE / "stubtest.txt")
    mypy = "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml")
    pyright = "pyright", "-p", str(HERE), "--pythonpath", sys.executable
    paths = "--python", sys.executable, "--extra-search-path", str(ROOT / "src")
    ty = "ty", "check", "--config-file", str(HERE / "ty.toml"), *paths
    interpreter = "--python-interpreter-path", sys.executable
    pyrefly = "pyrefly", "check", "--config", str(HERE / "pyrefly.toml"), *interpreter
    return [
        Check("stubtest", ("mypy.stubtest", "alloy", *allowed)),
        *(Check(f"mypy {v}", (*mypy, "--python-version", v, *SUITE)) for v in VERSIONS),
        *(Check(f"pyright {v}", (*pyright, "--pythonversion", v)) for v in VERSIONS),
        *(Check(f"ty {v}", (*ty, "--python-version", v, *SUITE)) for v in VERSIONS),
        *(Check(f"pyrefly {v}", (*pyrefly, "--python-version", v, *SUITE)) for v in VERSIONS),
    ]


def main() -> int:
    """Run all checks, as many at a time as there are cores, and say what came of them."""
    todo = checks()
    failed: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for check, (well, seconds, output) in zip(todo, pool.map(Check.run, todo), strict=True):
            print(f"{check.name:<14} {'ok' if well else 'FAILED':<7}{seconds:5.1f} s", flush=True)  # noqa: T201
            if not well:
                failed.append(f"--- {check.name}\n{output.rstrip()}")
    print(*failed, sep="\n")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
