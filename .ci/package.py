"""Builds the sdist and the wheel, and checks that both work outside the repository.

1. Build the sdist, and the wheel from it.
2. Unpack the sdist: it has every file of the repository, and its tests run.
3. Install the wheel into a fresh environment, and run `smoke.py` there.

The wheels that Alloy requires are kept in .cache/wheels, so only the first run uses the network.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
WHEELS = ROOT / ".cache" / "wheels"
# Tests that take seconds and read files from all over the sdist.
QUICK_TESTS = [f"tests/project/{name}.py" for name in ("test_package", "test_public_names", "test_roadmap")]


def run(*arguments: str | Path, cwd: Path = ROOT, env: Mapping[str, str] = os.environ) -> None:
    """Run a command; when it fails, so does this script, with what the command printed."""
    command = [str(argument) for argument in arguments]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def only(folder: Path, pattern: str) -> Path:
    """The one file in *folder* that matches."""
    [found] = folder.glob(pattern)
    return found


def build(where: Path) -> tuple[Path, Path]:
    """Build the sdist and the wheel in *where*; the build tools of this environment are used."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", where)
    return only(where, "*.tar.gz"), only(where, "*.whl")


def tracked() -> set[str]:
    """The files of the repository; none when this is an unpacked sdist itself."""
    if not (ROOT / ".git").exists():
        return set()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.splitlines())


def check_sdist(sdist: Path, where: Path) -> None:
    """Unpack *sdist*, compare its files, and run its quick tests on its own source."""
    with tarfile.open(sdist) as archive:
        archive.extractall(where, filter="data")
    home = only(where, "alloy_ai-*")
    packed = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    if missing := tracked() - packed:
        raise SystemExit(f"the sdist lacks {', '.join(sorted(missing))}: see [tool.hatch] in pyproject.toml")
    env = {**os.environ, "PYTHONPATH": str(home / "src")}
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    run(*pytest, "--collect-only", "--ignore=tests/suite", cwd=home, env=env)
    run(*pytest, *QUICK_TESTS, cwd=home, env=env)
    print(f"{sdist.name}: {len(packed)} files, its tests run")


def install(wheel: Path, python: Path) -> None:
    """Install *wheel* into the environment of *python*, offline if its requirements are in WHEELS."""
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    offline = [*pip, f"--python={python}", "install", "--no-index", f"--find-links={WHEELS}", str(wheel)]
    if subprocess.run(offline, capture_output=True).returncode:
        run(*pip, "download", "--dest", WHEELS, wheel)
        only(WHEELS, "alloy_ai-*.whl").unlink()  # the next wheel of the same version may differ
        run(*offline)


def check_wheel(wheel: Path, where: Path) -> None:
    """Install *wheel* into a fresh environment and run the smoke test there, outside the repository."""
    run(sys.executable, "-m", "venv", "--without-pip", where)
    python = where / "bin" / "python"
    install(wheel, python)
    run(python, "-I", "-W", "error", ROOT / ".ci" / "smoke.py", cwd=where)
    print(f"{wheel.name}: installed into a fresh environment, where smoke.py passes")


def main() -> None:
    WHEELS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="alloy-package-") as temporary:
        where = Path(temporary)
        sdist, wheel = build(where / "dist")
        check_sdist(sdist, where / "unpacked")
        check_wheel(wheel, where / "environment")


if __name__ == "__main__":
    main()
