"""Measures `map`: CPU time for each input, over a bare loop of async calls under a semaphore, and memory.

`python benchmarks/maps.py --inputs 20000` prints a line for each way to map. A server in another process
answers. The ways take turns in blocks of 1,000 inputs, and the best block of each counts, because noise only
adds. Memory is the growth of the resident set during one map over all inputs, in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from run import row, served
from scenarios import MODEL, PROMPT, Invoice

from alloy import command, configure

WAIT = 0.05  # seconds that the server takes for an answer when workers are measured
BLOCK = 1000
PLACES = 16  # calls at the same time
RATIO, GROWTH = 1.3, 20.0


@command(output=Invoice)
def read_here(number: int) -> str:
    return f"{PROMPT} {number}"


def commands(url: str) -> tuple[Any, Any]:
    """A sync and an async command that ask the server at *url*."""
    configure(model=f"openai:{MODEL}", base_url=url, api_key="sk-none")

    @command(output=Invoice)
    def read(number: int) -> str:
        return f"{PROMPT} {number}"

    @command(output=Invoice)
    async def read_later(number: int) -> str:
        return f"{PROMPT} {number}"

    return read, read_later


def ways(url: str, count: int) -> dict[str, Callable[[], int]]:
    """Each way to ask about *count* inputs; they return how many answers came."""
    read, read_later = commands(url)

    async def bare() -> int:
        places = asyncio.Semaphore(PLACES)

        async def one(number: int) -> Any:
            async with places:
                return await read_later(number)

        return len(await asyncio.gather(*map(one, range(count))))

    async def tasks(**options: Any) -> int:
        found = read_later.map(range(count), concurrency=PLACES, **options)
        return sum([1 async for _ in found])

    def threads(**options: Any) -> int:
        return sum(1 for _ in read.map(range(count), concurrency=PLACES, **options))

    def stored() -> int:
        with tempfile.TemporaryDirectory() as folder:
            return threads(checkpoint=Path(folder) / "run.sqlite")

    return {
        "bare": lambda: asyncio.run(bare()),
        "map, in threads": threads,
        "map, in tasks": lambda: asyncio.run(tasks()),
        "map, in threads, with a checkpoint": stored,
    }


def cpu_time() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident() -> float:
    """The resident set in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure_cost(url: str, inputs: int) -> None:
    best = dict.fromkeys(ways(url, BLOCK), float("inf"))
    for work in ways(url, 100).values():
        work()  # clients, connections and types are made by the first calls
    for _ in range(max(1, inputs // BLOCK)):
        for name, work in ways(url, BLOCK).items():
            began = cpu_time()
            assert work() == BLOCK
            best[name] = min(best[name], cpu_time() - began)
    row("CPU time for an input: a bare loop", f"{1e6 * best['bare'] / BLOCK:.0f} us", "", True)
    for name, taken in best.items():
        if name != "bare":
            ratio = taken / best["bare"]
            row(f"CPU time for an input: {name} / a bare loop", f"{ratio:.2f}", f"{RATIO}", ratio <= RATIO)


def measure_memory(url: str, inputs: int) -> None:
    for way in ("threads", "tasks"):
        work = [sys.executable, __file__, "--memory", way, "--inputs", str(inputs), "--url", url]
        grown = float(subprocess.run(work, capture_output=True, text=True, check=True).stdout)
        row(
            f"memory growth over {inputs:,} inputs, in {way}",
            f"{grown:.1f} MB",
            f"{GROWTH:.0f} MB",
            grown < GROWTH,
        )


def measure_workers() -> None:
    """How many inputs are answered in a second by pools of processes, each with one call at a time."""
    with served(WAIT) as url:
        configure(model=f"openai:{MODEL}", base_url=url, api_key="sk-none", pickle_secrets=True)
        for workers in (1, 2, 4):
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                list(read_here.map(range(20 * workers), executor=pool, concurrency=workers))  # begin
                count, began = 50 * workers, time.perf_counter()
                assert len(list(read_here.map(range(count), executor=pool, concurrency=workers))) == count
                rate = count / (time.perf_counter() - began)
            row(f"inputs in a second, {workers} processes, {WAIT} s for an answer", f"{rate:.0f}", "", True)


def grow(url: str, way: str, inputs: int) -> float:
    """How many MB the process grows during a map over *inputs*, after the first 1,000 of them."""
    read, read_later = commands(url)
    before, count = 0.0, 0

    def note() -> None:
        nonlocal before, count
        count += 1
        if count == BLOCK:
            gc.collect()
            before = resident()

    async def tasks() -> None:
        async for _ in read_later.map(range(inputs), concurrency=PLACES):
            note()

    if way == "tasks":
        asyncio.run(tasks())
    else:
        for _ in read.map(range(inputs), concurrency=PLACES):
            note()
    gc.collect()
    assert count == inputs
    return resident() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=5000, help="how many, from 2000")
    parser.add_argument("--memory", choices=["threads", "tasks"], help="internal")
    parser.add_argument("--url", help="internal")
    arguments = parser.parse_args()
    if arguments.memory:
        print(grow(arguments.url, arguments.memory, arguments.inputs))
        return
    print(f"  {'':<58} {'measured':>12}  {'at most':>12}")
    with served() as url:
        measure_cost(url, arguments.inputs)
        measure_memory(url, arguments.inputs)
    measure_workers()


if __name__ == "__main__":
    main()
