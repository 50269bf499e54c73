"""What every test stands on: a clean environment, and a scripted server on loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from kit.wire import WireServer

# Timing is never asserted. In CI hypothesis takes a profile of its own, which repeats.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if not os.environ.get("CI"):
    settings.load_profile("dev")

FOREIGN = ("ALLOY_", "OPENAI_", "AZURE_OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "OLLAMA_")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, address, proxy or setting of the machine's reaches a test."""
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[WireServer]:
    """A running server; at the end everything that was scripted must have been asked for, and no more."""
    running = WireServer()
    try:
        yield running
    finally:
        from alloy.backends.http.clients import CLIENTS

        CLIENTS.close()
        running.stop()
    assert not running.unexpected, f"requests that nothing was scripted for: {running.unexpected}"
    assert running.leftovers_allowed or not running.leftovers, (
        f"{running.leftovers} scripted answers were not used"
    )
