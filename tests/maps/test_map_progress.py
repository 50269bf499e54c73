"""`progress=True`: a bar where somebody watches, otherwise lines in the log."""

from __future__ import annotations

import logging
import sys
from io import StringIO
from typing import Any

import pytest
from kit.mapping import NumberServer, double
from kit.wire import WireServer, openai

from alloy.errors import ConfigurationError
from alloy.maps.outcomes import MapSummary
from alloy.maps.progress import LogLines


class Terminal(StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar(server: WireServer, monkeypatch: pytest.MonkeyPatch):
    """It counts to the number of the inputs, and says how many failed."""
    pytest.importorskip("tqdm")  # a dependency of the SDKs of OpenAI and others
    numbers, shown = NumberServer(server), Terminal()
    numbers.failures[1] = lambda: openai.failure(400, "no")
    monkeypatch.setattr(sys, "stderr", shown)
    found = double.with_options(**numbers.options).map(range(4), on_error="return", progress=True)
    list(found)

    last = shown.getvalue().rstrip().splitlines()[-1]
    assert "double.map(): 100%" in last
    assert "4/4" in last and "failed=1" in last


def test_a_bar_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """Where the map is made."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'alloy-ai\[progress\]'"):
        double.map([1], progress=True)


def test_a_log_gets_a_line_in_each_interval_and_one_at_the_end(caplog: pytest.LogCaptureFixture):
    """Not one for each input."""
    now = [0.0]
    lines = LogLines("double.map()", 1000, interval=10, clock=lambda: now[0])
    summary = MapSummary()
    with caplog.at_level(logging.INFO, "alloy"):
        for second in range(25):
            now[0], summary.succeeded = float(second), 20 * second
            lines.show(summary)
        lines.close(summary)
        lines.close(summary)

    assert [record.getMessage() for record in caplog.records] == [
        "double.map(): 200 of 1,000 inputs: 200 answered, 0 + 0 tokens in 0 s",
        "double.map(): 400 of 1,000 inputs: 400 answered, 0 + 0 tokens in 0 s",
        "double.map(): 480 of 1,000 inputs: 480 answered, 0 + 0 tokens in 0 s",
    ]


@pytest.mark.parametrize("inputs", [[0, 1], iter([0, 1])], ids=["known", "unknown"])
def test_a_map_whose_stderr_is_a_file_logs(
    server: WireServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, inputs: Any
):
    """The number of the inputs is in the line if it is known."""
    numbers = NumberServer(server)
    monkeypatch.setattr(sys, "stderr", StringIO())
    is_known = isinstance(inputs, list)
    with caplog.at_level(logging.INFO, "alloy"):
        list(double.with_options(**numbers.options).map(inputs, progress=True))

    (line,) = [text for record in caplog.records if "inputs" in (text := record.getMessage())]
    assert line.startswith(f"double.map(): 2{' of 2' * is_known} inputs: 2 answered, 20 + 10 tokens")
