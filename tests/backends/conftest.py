"""The llama.cpp servers, which the tests of a session share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kit.local_model import running, write_model

from alloy.backends.http.clients import CLIENTS
from alloy.backends.local.servers import LocalServer


@pytest.fixture(scope="session")
def noise_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A tiny model of random weights, `noise`, with a place for tools in its chat template."""
    file = tmp_path_factory.mktemp("model") / "noise.gguf"
    write_model(file)
    with running(f"{file}?parallel=2&threads=1") as server:
        yield server
        CLIENTS.close()


@pytest.fixture(scope="session")
def smollm2_server() -> Iterator[LocalServer]:
    """A small real model, `smollm2`, without a place for tools in its chat template."""
    with running("smollm2?parallel=2&threads=1&context=2048") as server:
        yield server
        CLIENTS.close()
