"""Runs each test with each provider, and collects which tests prove which cells of the support matrix."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from kit.wire import WireServer

from suite.proofs import Proofs
from suite.scripted_provider import PROVIDERS, ScriptedProvider
from suite.table import absent

SEED = 398039

PROOFS = pytest.StashKey[Proofs]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "proves(*rows): the rows of the support matrix that this test proves")
    config.stash[PROOFS] = Proofs()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    given = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "provider" in metafunc.fixturenames and not any("provider" in names for names in given):
        mark = metafunc.definition.get_closest_marker("proves")
        rows = mark.args if mark else ()
        able = [name for name in PROVIDERS if not any(absent(row, name) for row in rows)]
        metafunc.parametrize("provider", able)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # The tests of the page compare it with the results of the other tests, so they run last.
    items.sort(key=lambda item: item.path.name == "test_matrix.py")
    config.stash[PROOFS].collected(items)


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        item.config.stash[PROOFS].deselected(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    report = yield
    item.config.stash[PROOFS].report(item, report)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    proofs = session.config.stash[PROOFS]
    if proofs.whole:
        proofs.write(session.config.rootpath / ".cache" / "matrix.json")


@pytest.fixture
def proofs(request: pytest.FixtureRequest) -> Proofs:
    """The results of this run so far."""
    return request.config.stash[PROOFS]


@pytest.fixture
def no_patience() -> Iterator[None]:
    """After this seed the jitter of the first waits is next to nothing."""
    before = random.getstate()
    random.seed(SEED)
    yield
    random.setstate(before)


@pytest.fixture
def scripted(provider: str, server: WireServer, no_patience: None) -> Iterator[ScriptedProvider]:
    """The *provider* with an empty script; at the end the whole script must be used."""
    made = ScriptedProvider(PROVIDERS[provider], server)
    yield made
    made.finished()
