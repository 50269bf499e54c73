"""A program for tests: `python in_workers.py KIND URL FILE` maps in an executor, and prints what came of it.

KIND is `threads`, `dask`, or how a pool starts its processes.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import Any

import working

import alloy
from alloy import AsyncMap, Map
from alloy.testing import replies

KIND, URL, FILE = sys.argv[1:]


@contextmanager
def executor() -> Iterator[Executor]:
    """An executor of this kind; of processes there is one, which makes the test fast."""
    if KIND == "threads":
        with ThreadPoolExecutor(2) as pool:
            yield pool
    elif KIND == "dask":
        import dask
        from distributed import Client, LocalCluster

        dask.config.set({"distributed.scheduler.allowed-failures": 0})
        cluster = LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None)
        with cluster, Client(cluster) as client, client.get_executor() as pool:
            yield pool
    else:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(KIND)) as pool:
            yield pool


def read(found: Map[Any, Any] | AsyncMap[Any, Any]) -> list[str]:
    """What came of each input, as text, and the error at the end, if there is one."""
    seen: list[str] = []

    def note(outcome: Any) -> None:
        seen.append(str(outcome.value) if outcome.error is None else type(outcome.error).__name__)

    async def read_async(found: AsyncMap[Any, Any]) -> None:
        async for outcome in found.outcomes():
            note(outcome)

    try:
        if isinstance(found, AsyncMap):
            asyncio.run(read_async(found))
        else:
            for outcome in found.outcomes():
                note(outcome)
    except alloy.AlloyError as error:
        seen.append(f"raised {type(error).__name__}")
    return seen


def errors(found: Map[Any, Any] | AsyncMap[Any, Any]) -> list[str]:
    """The error of each input, with its text."""

    async def read_async(found: AsyncMap[Any, Any]) -> list[Exception | None]:
        return [each.error async for each in found.outcomes()]

    several = (
        asyncio.run(read_async(found))
        if isinstance(found, AsyncMap)
        else [each.error for each in found.outcomes()]
    )
    return [f"{type(error).__name__}: {error}" for error in several]


def main() -> dict[str, Any]:
    """Every case, by its name."""
    alloy.configure(model="openai:gpt-5.6", base_url=URL, retry=0)
    double = working.double.with_options(api_key="sk-of-the-parent")
    seen: dict[str, Any] = {}
    with executor() as pool, alloy.use_config(system="Hi"):
        with alloy.track_usage() as total, alloy.budget(requests=9) as budget:
            found = double.map(range(5), executor=pool, checkpoint=FILE, concurrency=2)
        seen["values"] = read(found)
        seen["summary"] = [found.summary.succeeded, found.summary.failed, found.summary.usage.total_tokens]
        seen["errors"] = list(found.summary.errors)
        seen["total"] = [total.calls, total.requests, total.usage.total_tokens]
        with alloy.budget(budget), alloy.track_usage() as total:
            later = double.map(range(10, 20), executor=pool, concurrency=1)
        seen["budget"] = read(later)
        seen["spent"] = budget.spent.requests
        broken = double.with_options(circuit_breaker=alloy.CircuitBreaker(failures=1))
        with alloy.track_usage() as refused:
            seen["broken"] = read(broken.map([77, 78], executor=pool, concurrency=1))
        seen["sent"] = [total.requests, refused.requests]
        seen["async"] = read(working.double_async.map(range(3), executor=pool))
        seen["tasks"] = read(double.map_async(range(3), executor=pool))
        seen["unusual"] = read(working.unusual.map([1], executor=pool))
        if KIND != "threads":  # it cannot be sent
            parsing = double.with_options(output=bool, parser=Lock().acquire)
            asked = {"wrong": (double, Lock()), "parser": (parsing, 1), "replies": (double, 1)}
            for name, (command, given) in asked.items():
                with replies() if name == "replies" else nullcontext():
                    seen[name] = errors(command.map([given], executor=pool))
                    seen[name] += errors(command.map_async([given], executor=pool))
        if KIND != "threads":  # the worker dies, and with it this process
            inputs = [0, 1, 2, 3, 4, 5, working.DEADLY, 7]
            seen["deadly"] = read(double.map(inputs, executor=pool, checkpoint=FILE, concurrency=1))
        again = double.map([0, 1, 2, 3, 4, 5], checkpoint=FILE)
        seen["resumed"] = [read(again), again.summary.resumed]
    return seen


if __name__ == "__main__":
    print(json.dumps(main()), flush=True)  # noqa: T201
