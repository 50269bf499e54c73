"""Measures what the design promises, and prints it beside the promise: `make bench`.

A ratio is Alloy's client CPU time (user mode, of this process only: the server is another one) over
the plain SDK's for the same work in the same run. Both sides take turns, and the best of many
samples counts, because noise only ever adds. `--instructions` counts user-mode instructions instead,
with valgrind, which is slow and repeats; `--quick` takes few samples, to see that it runs.
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scenarios import SIDES
from server import DELTAS

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Ratio:
    """A scenario, what it promises, and how often it runs in one sample and in all."""

    name: str
    title: str
    promise: float
    calls: int
    samples: int


RATIOS = (
    Ratio("typed", "typed call / responses.create", 0.45, calls=40, samples=15),
    Ratio("tool", "one-tool loop / the same loop", 0.30, calls=20, samples=15),
    Ratio("stream", f"streamed delta ({DELTAS} of them) / the SDK's typed stream", 0.25, calls=3, samples=15),
    Ratio("tools", "50-turn tool loop / the same loop", 0.05, calls=1, samples=3),
)


def row(title: str, measured: str, promise: str, kept: bool) -> None:
    print(f"  {title:<58} {measured:>12}  {promise:>12}  {'ok' if kept else 'OVER'}")


# --- import and decoration --------------------------------------------------------------------------


def child(code: str) -> tuple[float, str]:
    """Seconds that a fresh interpreter takes for *code*, and what it prints."""
    began = time.perf_counter()
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return time.perf_counter() - began, ran.stdout


def measure_import(samples: int) -> None:
    count = "import sys; print(len(sys.modules))"
    bare, loaded = [], []
    for _ in range(samples):
        bare.append(child(count))
        loaded.append(child(f"import alloy; {count}"))
    cost = 1000 * (min(loaded)[0] - min(bare)[0])
    modules = int(loaded[0][1]) - int(bare[0][1])
    row("import alloy, over a bare interpreter", f"{cost:.1f} ms", "30 ms", cost <= 30)
    row("modules loaded by it", f"{modules}", "60", modules <= 60)


DECORATE = """
import sys, time, tracemalloc
from alloy import command
source = "".join(f"def f{n}(text: str, limit: int = {n}) -> str:\\n    return text\\n" for n in range(5000))
namespace = {}
exec(source, namespace)
functions = [namespace[f"f{n}"] for n in range(5000)]
if sys.argv[1:]:
    tracemalloc.start()
began = time.perf_counter()
made = [command(output=int, temperature=0)(function) for function in functions]
took = time.perf_counter() - began
print(tracemalloc.get_traced_memory()[0] if sys.argv[1:] else took)
"""


def measure_decoration(samples: int) -> None:
    def decorate(*arguments: str) -> float:
        command = [sys.executable, "-c", DECORATE, *arguments]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    took = min(decorate() for _ in range(samples))
    size = decorate("memory") / 1e6
    row("decorating 5,000 commands", f"{took:.3f} s", "0.25 s", took < 0.25)
    row("memory that they take", f"{size:.1f} MB", "15 MB", size < 15)


# --- ratios -----------------------------------------------------------------------------------------


@contextmanager
def served(wait: float = 0.0) -> Iterator[str]:
    """The address of a server in a process of its own, which takes *wait* seconds for an answer."""
    command = [sys.executable, str(HERE / "server.py"), str(wait)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.terminate()


def user_time() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def by_time(url: str, quick: bool) -> Iterator[tuple[Ratio, float]]:
    sides = {side: make(url) for side, make in SIDES.items()}
    for ratio in RATIOS:
        best = dict.fromkeys(sides, float("inf"))
        for scenarios in sides.values():
            scenarios[ratio.name]()  # clients, connections and types are made by the first call
        for _ in range(1 if quick else ratio.samples):
            for side, scenarios in sides.items():
                work = scenarios[ratio.name]
                began = user_time()
                for _ in range(ratio.calls):
                    work()
                best[side] = min(best[side], user_time() - began)
        yield ratio, best["alloy"] / best["plain"] if best["plain"] else float("nan")


def by_instructions(url: str, quick: bool) -> Iterator[tuple[Ratio, float]]:
    for ratio in RATIOS:
        few, many = (1, 2) if quick or ratio.name == "tools" else (2, 12)
        counts = {
            side: instructions(side, ratio.name, many, url) - instructions(side, ratio.name, few, url)
            for side in SIDES
        }
        yield ratio, counts["alloy"] / counts["plain"]


def instructions(side: str, scenario: str, calls: int, url: str) -> int:
    """User-mode instructions of a process that makes *calls* calls."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        work = [sys.executable, __file__, "--work", side, scenario, str(calls), url]
        ran = subprocess.run([*command, *work], capture_output=True, text=True, check=True)
    found = re.search(r"Collected : (\d+)", ran.stderr)
    assert found is not None, ran.stderr
    return int(found[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few samples")
    parser.add_argument("--instructions", action="store_true", help="count instructions with valgrind")
    parser.add_argument("--work", nargs=4, metavar=("SIDE", "SCENARIO", "CALLS", "URL"), help="internal")
    arguments = parser.parse_args()
    if arguments.work:
        side, scenario, calls, url = arguments.work
        work = SIDES[side](url)[scenario]
        for _ in range(int(calls)):
            work()
        return 0
    if arguments.instructions and shutil.which("valgrind") is None:
        parser.error("--instructions needs valgrind")
    print(f"  {'':<58} {'measured':>12}  {'at most':>12}")
    measure_import(2 if arguments.quick else 20)
    measure_decoration(1 if arguments.quick else 5)
    unit = "instructions" if arguments.instructions else "CPU"
    with served() as url:
        ratios = by_instructions if arguments.instructions else by_time
        for ratio, measured in ratios(url, arguments.quick):
            kept = measured <= ratio.promise
            row(f"{unit}: {ratio.title}", f"{measured:.2f}", f"{ratio.promise:.2f}", kept)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
