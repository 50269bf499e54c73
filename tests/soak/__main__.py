"""Runs the soak and checks what is left of it: `make soak`.

The exit status is 1 when a call ended with anything but its value or an `AlloyError`, when a tool ran more or
less often than the server asked, or when memory, threads, sockets or tasks grew after the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import logging
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from faults.quiet import left_over, noticed, tasks_left

from alloy._engine.runtime import background_loop
from alloy.backends.http.clients import CLIENTS
from soak.client import LEFT, Soak

GROWTH_MAX = 10.0  # MB after the warm-up
WARM_UP = 2000
PROGRESS = 5000
FOREIGN = ("ALLOY_", "OPENAI_", "AZURE_OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "OLLAMA_")


class Left(NamedTuple):
    """What the process holds while no call runs."""

    megabytes: float
    threads: int
    descriptors: int

    @classmethod
    def now(cls) -> Left:
        CLIENTS.close()
        background_loop.close()  # there are more of them after a moment in which one did not answer
        left_over({threading.main_thread()})
        gc.collect()
        _give_back()
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        size = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        return cls(size, threading.active_count(), len(os.listdir("/proc/self/fd")))


def _give_back() -> None:
    """Have the C library give free memory back, which otherwise looks like memory in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m soak")
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="how many of them come before measuring")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after this time")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    given = parser.parse_args()
    clean()
    say(f"seed {given.seed}, {given.calls} calls")
    end = time.monotonic() + 60 * given.minutes
    with serving(given.calls) as url, noticed(collect=False) as seen:
        soak = Soak(url, given.seed, given.calls)
        asyncio.run(soak.make(range(given.warm_up), lambda: True))
        before, began = Left.now(), time.monotonic()
        say(f"after the warm-up: {before.megabytes:.1f} MB, {before.threads} threads")
        tasks = asyncio.run(soaking(soak, range(given.warm_up, given.calls), end))
        seconds, after = time.monotonic() - began, Left.now()
        with urllib.request.urlopen(f"{url}/report") as answer:
            asked = json.load(answer)
    problems = (
        soak.failures
        + [f"not caught: {line}" for line in seen]
        + [f"a task is left: {each}" for each in tasks]
    )
    problems += tool_problems(soak, asked) + growth(before, after)
    made = sum(soak.outcomes.values())
    report = {
        "seed": given.seed,
        "calls": made,
        "calls a second": round((made - given.warm_up) / seconds, 1),
        "outcomes": dict(soak.outcomes.most_common()),
        "tool runs": sum(soak.runs),
        "before": before._asdict(),
        "after": after._asdict(),
        "problems": problems[:50],
    }
    say(json.dumps(report, indent=1, ensure_ascii=False))
    return 1 if problems else 0


async def soaking(soak: Soak, numbers: range, end: float) -> list[str]:
    """Make the calls, and say from time to time how many there were. Returns the tasks that are left."""

    async def progress() -> None:
        while True:
            await asyncio.sleep(30)
            say(f"{soak.made} calls, {sum(soak.runs)} tool runs, {len(soak.failures)} failures")

    telling = asyncio.create_task(progress())
    await soak.make(numbers, lambda: time.monotonic() < end)
    telling.cancel()
    return await tasks_left()


def tool_problems(soak: Soak, asked: list[int]) -> list[str]:
    """The calls whose tools did not run as often as the server asked; calls that were left may run fewer."""
    return [
        f"call {number} ({soak.outcome(number)}): {wanted} tools were asked for, {runs} ran"
        for number, (wanted, runs) in enumerate(zip(asked, soak.runs, strict=True))
        if runs > wanted or (runs < wanted and soak.outcome(number) != LEFT)
    ]


def growth(before: Left, after: Left) -> list[str]:
    problems = []
    if after.megabytes - before.megabytes > GROWTH_MAX:
        problems.append(f"memory grew from {before.megabytes:.1f} to {after.megabytes:.1f} MB")
    if after.threads > before.threads:
        problems.append(f"threads: {[thread.name for thread in threading.enumerate()]}")
    if after.descriptors > before.descriptors:
        problems.append(f"open files and sockets: {before.descriptors}, and then {after.descriptors}")
    return problems


@contextmanager
def serving(calls: int) -> Iterator[str]:
    """The address of the server, which runs as long as the block."""
    command = [sys.executable, "-m", "soak.server", str(calls)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.stdin.close()


def clean() -> None:
    """No key, address, proxy or setting of the machine's; no log lines of the retries."""
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name.lower().endswith("_proxy"):
            del os.environ[name]
    logging.getLogger("alloy").setLevel(logging.CRITICAL)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
