"""Fuzzes one reader with atheris (libFuzzer), which is led by the coverage of Alloy's code.

`python -m fuzz.by_atheris READER FILE SECONDS SEED`; FILE gets the input that is being read.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["alloy"]):
    from fuzz.readers import READERS


def main(name: str, file: Path, seconds: float, start: int) -> None:
    corpus = Path(__file__).parent / "corpus" / name

    def check(data: bytes) -> None:
        file.write_bytes(data)
        READERS[name](data)  # its steps are not counted: the instrumented code has more of them

    with tempfile.TemporaryDirectory() as grown:  # what covers more, but does not fail, is not kept
        options = [f"-max_total_time={max(1, int(seconds))}", f"-seed={start % 2**31 or 1}", "-max_len=20000"]
        options += ["-timeout=100", "-rss_limit_mb=4096", f"-artifact_prefix={grown}/"]
        atheris.Setup([sys.argv[0], *options, grown, str(corpus)], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
