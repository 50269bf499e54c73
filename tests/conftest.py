"""What every test stands on: a clean environment, and a scripted server on loopback."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from kit.cases import FEW, with_each_value
from kit.wire import WireServer

# Timing is never asserted. `make test` finds nothing by chance: `make fuzz` searches on, with `random`.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeated", settings.get_profile("random"), derandomize=True, database=None)
settings.register_profile("quick", settings.get_profile("repeated"), max_examples=15)
settings.load_profile("repeated")

FOREIGN = ("ALLOY_", "OPENAI_", "AZURE_OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "OLLAMA_")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cases",
        choices=["all", "few", "chosen", "others"],
        default="all",
        help="of each table of tests: all, so many that each value of each parameter occurs (chosen), "
        f"at most {FEW} of these (few), or those that are not chosen (others)",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # The workers of pytest-xdist must collect the same names.
    if unstable := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"the address of an object is in the name of a test: {unstable[0]}")
    cases = config.getoption("--cases")
    if cases != "all":
        chosen = with_each_value(items, FEW if cases == "few" else None)
        left_out = [item for item in items if (item in chosen) == (cases == "others")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if (item in chosen) != (cases == "others")]


def pytest_collection_finish() -> None:
    # What has been collected stays: without it, a full collection of garbage is several times as fast.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, address, proxy or setting of the machine's reaches a test."""
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    # A folder without certificates: to read those of the machine takes 25 ms for each HTTP client.
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(Path(__file__).parent))


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of a port at which nobody listens, and nobody else can, as after the end of a server."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def server() -> Iterator[WireServer]:
    """A running server; at the end everything that was scripted must have been asked for, and no more."""
    from alloy.backends.http.clients import CLIENTS
    from alloy.backends.memory import forget

    running = WireServer()
    forget()  # its port may be that of the server of an earlier test
    try:
        yield running
    finally:
        CLIENTS.close()
        running.stop()
    assert not running.unexpected, f"requests that nothing was scripted for: {running.unexpected}"
    assert running.leftovers_allowed or not running.leftovers, (
        f"{running.leftovers} scripted answers were not used"
    )
