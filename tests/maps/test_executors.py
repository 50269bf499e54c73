"""`executor=`: the calls of a map in threads and processes of a caller, and on a Dask cluster."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kit.mapping import NumberServer, double, read
from kit.patience import PATIENCE
from kit.wire import WireServer, openai

import alloy
from alloy import ConfigurationError, WorkerError

PROGRAM = Path(__file__).with_name("in_workers.py")
STARTS = [each for each in ("fork", "spawn", "forkserver") if each in multiprocessing.get_all_start_methods()]
KINDS = [
    "threads",
    *(pytest.param(each, marks=[pytest.mark.slow] if each != "fork" else []) for each in STARTS),
    pytest.param(
        "dask",
        marks=[
            pytest.mark.slow,
            pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs distributed"),
        ],
    ),
]


KNOWN = ["0", "2", "4", "BadRequestError", "8", "10"]

# By case: how the error begins; it does not say that a worker died.
NOT_SENT = {
    "wrong": "WorkerError: double.map(): the call cannot be pickled for a worker: ",
    "parser": "ConfigurationError: double.map(): a command with the option parser cannot be pickled",
    "replies": "ConfigurationError: double.map(): replies() reaches only the calls of this process",
}


@pytest.fixture
def numbers(server: WireServer) -> NumberServer:
    """A server that doubles numbers, refuses 3, and fails with 77."""
    numbers = NumberServer(server)
    numbers.failures[77] = lambda: openai.failure(503, "not now")
    numbers.failures[3] = lambda: openai.failure(400, "not this one")
    return numbers


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_calls_are_made_by_an_executor(numbers: NumberServer, tmp_path: Path, kind: str):
    """Values, errors, usage and budgets are as without one; a worker that dies is an error."""
    tests = Path(__file__).parents[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tests), str(tests / "maps")]),
        "OPENAI_API_KEY": "sk-of-the-worker",
    }
    arguments = [
        sys.executable,
        str(PROGRAM),
        kind,
        numbers.options["base_url"],
        str(tmp_path / "run.sqlite"),
    ]
    ran = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)

    assert seen["values"] == ["0", "2", "4", "BadRequestError", "8"]
    assert (seen["summary"], seen["errors"]) == ([4, 1, 60], ["BadRequestError"])
    assert seen["total"] == [5, 5, 60]
    assert seen["budget"] == ["20", "22", "24", "26", *["BudgetError"] * 6]
    assert seen["broken"] == ["ServerError", "CircuitOpenError"]
    assert (seen["spent"], seen["sent"]) == (9, [4, 1])
    assert seen["broken"] == ["ServerError", "CircuitOpenError"]
    assert seen["async"] == seen["tasks"] == ["0", "2", "4"]
    in_process, is_pool = kind == "threads", kind in STARTS
    assert seen["unusual"] == ["WorkerError" if is_pool else "Unusual"]  # Dask pickles tracebacks
    for name, words in NOT_SENT.items():
        if in_process:
            assert name not in seen
        else:
            assert [shown.startswith(words) for shown in seen[name]] == [True, True], seen[name]
    if kind == "dask":  # only the input that killed the worker fails
        assert seen["deadly"] == [*KNOWN, "WorkerError", "14"]
    elif is_pool:  # a pool takes no further call
        assert seen["deadly"] == [*KNOWN, "WorkerError", "raised WorkerError"]
    assert seen["resumed"] == [KNOWN, 4 if in_process else 5]

    requests = numbers.server.requests
    keys = {each.headers["authorization"] for each in requests[:5]}
    assert keys == {"Bearer sk-of-the-parent" if in_process else "Bearer sk-of-the-worker"}
    assert {each.json.get("instructions") for each in requests[:5]} == {"Hi"}


def test_a_map_that_is_left_ends_its_calls_in_threads(numbers: NumberServer):
    """The executor stays open, and its threads are free again."""
    numbers.hold(1)
    with ThreadPoolExecutor(2) as pool:
        with double.with_options(**numbers.options).map(range(50), executor=pool, concurrency=2) as found:
            assert next(found) == 0
            numbers.gates[1].wait_reached()
        numbers.connection_of(1).wait_closed()
        assert pool.submit(threading.active_count).result(PATIENCE) > 0
    assert len(numbers.asked()) < 10


def test_an_executor_that_is_shut_down_is_an_error(numbers: NumberServer):
    """In sync and async maps."""
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    asked = double.with_options(**numbers.options)
    with pytest.raises(WorkerError, match=r"double\.map\(\): the executor takes no call \(cannot schedule"):
        list(asked.map([1], executor=pool))
    with pytest.raises(WorkerError, match="the executor takes no call"):
        read(asked.map_async([1], executor=pool))


class Client:
    """What a Dask client looks like."""

    def get_executor(self) -> None:
        """As that of Dask."""


@pytest.mark.parametrize(
    ("wrong", "words"), [("fork", "not 'fork'"), (Client(), r"client\.get_executor\(\)")]
)
def test_an_executor_is_one_of_concurrent_futures(wrong: object, words: str):
    """Anything else is an error where the map is made."""
    with pytest.raises(ConfigurationError, match=f"executor must be a concurrent.futures.Executor.*{words}"):
        double.map([1], executor=wrong)


def test_scopes_reach_the_threads_of_an_executor(numbers: NumberServer):
    """As they reach the map's own threads; nothing is counted twice."""
    with ThreadPoolExecutor(2) as pool, alloy.track_usage() as total:
        assert list(double.with_options(**numbers.options).map([1, 2], executor=pool)) == [2, 4]
    assert (total.calls, total.requests, total.usage.total_tokens) == (2, 2, 30)
