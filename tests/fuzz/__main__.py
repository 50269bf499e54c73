"""Mutates the corpus for some seconds, and adds what fails to it: `make fuzz`.

Each reader is fuzzed in a child process, by atheris where it is installed and otherwise by hypothesis. The
input that is being read is in `.cache/fuzz`: when a child dies or stops, that input is what did it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from fuzz.readers import READERS

HERE = Path(__file__).parent
CORPUS, CURRENT = HERE / "corpus", HERE.parents[1] / ".cache" / "fuzz"
PATIENCE = 120  # seconds without an end of the child, after its time


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz")
    parser.add_argument("readers", nargs="*", help=", ".join(READERS))
    parser.add_argument("--seconds", type=float, default=120, help="for all readers together")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    default = "atheris" if importlib.util.find_spec("atheris") else "hypothesis"
    parser.add_argument("--engine", choices=["hypothesis", "atheris"], default=default)
    given = parser.parse_args()
    CURRENT.mkdir(parents=True, exist_ok=True)
    names = given.readers or list(READERS)
    seconds = max(1, given.seconds / len(names))
    say(f"{given.engine}, seed {given.seed}, {seconds:.0f} s for each of {len(names)} readers")
    failed = [name for name in names if not fuzz(name, given.engine, seconds, given.seed)]
    say(f"failed: {', '.join(failed)}; see tests/fuzz/corpus" if failed else "nothing found")
    return 1 if failed else 0


def fuzz(name: str, engine: str, seconds: float, seed: int) -> bool:
    """Whether nothing was found; what was found is in the corpus now."""
    current = CURRENT / name
    current.unlink(missing_ok=True)
    command = [sys.executable, "-m", f"fuzz.by_{engine}", name, str(current), str(seconds), str(seed)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + PATIENCE)
        code, output = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        code, output = 1, f"the reader did not end after {PATIENCE} s"
    if code == 0:
        count = [line for line in output.splitlines() if line.endswith(" inputs") or line.startswith("Done ")]
        say(f"{name:24} {count[-1]}")
        return True
    say(f"{name:24} FAILED", output[-3000:])
    if current.exists():
        data = current.read_bytes()
        kept = CORPUS / name / f"found-{hashlib.sha256(data).hexdigest()[:12]}"
        kept.write_bytes(data)
        say(f"kept as {kept.relative_to(HERE.parents[1])}")
    return False


def say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
