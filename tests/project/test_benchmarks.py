"""The benchmarks run; what they measure is never asserted, for a busy machine would fail then."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "benchmarks" / "run.py"


@pytest.mark.slow
def test_every_promise_is_measured() -> None:
    """Each number of the design gets a line with what was measured and what was promised."""
    # Coverage would be measured as well.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    ran = subprocess.run([sys.executable, str(RUN), "--quick"], env=env, capture_output=True, text=True)

    assert (ran.returncode, ran.stderr) == (0, "")
    rows = re.findall(
        r"^  (\S.*?) {2,}(-?[\d.]+|nan)(?: m?s| MB)? +([\d.]+)(?: m?s| MB)?  (?:ok|OVER)$",
        ran.stdout,
        re.MULTILINE,
    )
    assert len(rows) == 8
    # The others are differences and quotients of times, which noise can make zero or less.
    counted = {"modules loaded by it", "memory that they take"}
    assert [float(measured) > 0 for title, measured, _ in rows if title in counted] == [True, True]
