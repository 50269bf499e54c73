"""Tries Alloy on servers that others wrote, and writes what was seen: `make test-servers`.

The results go to `docs/servers.json`, from which `docs/generate.py` makes the tables of the page. A server
that cannot be installed or started keeps its results of the last time. The exit status is 1 when a result is
neither right nor in `deviations.py`, the list of what servers do differently.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from servers.checks import CHECKS, outcomes
from servers.deviations import allowed
from servers.targets import MissingServer, Server, aimock, fakellm, litellm, llama_cpp

Start = Callable[[], AbstractContextManager[list[Server]]]
STARTS: dict[str, Start] = {"llama.cpp": llama_cpp, "aimock": aimock, "fakellm": fakellm}
UPSTREAMS = ("llama.cpp", "aimock")
RESULTS = Path(__file__).parents[2] / "docs" / "servers.json"


def main(names: list[str]) -> int:
    """Try the servers of *names*, or all of them."""
    results: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    failures: list[str] = []
    with ExitStack() as stack:
        for server in _servers(stack, names or [*STARTS, "litellm"]):
            results[server.name] = _try(server, failures)
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    _say(*failures)
    return 1 if failures else 0


def _servers(stack: ExitStack, names: list[str]) -> list[Server]:
    """Those of *names* that run now; litellm needs servers behind it, which then run, too."""
    needed = {*names, *(UPSTREAMS if "litellm" in names else ())}
    running = {name: _start(stack, name, start) for name, start in STARTS.items() if name in needed}
    found = [server for name in running if name in names for server in running[name]]
    if "litellm" in names:
        upstreams = [server for name in UPSTREAMS for server in running[name]]
        found += _start(stack, "litellm", lambda: litellm(upstreams))
    return found


def _start(stack: ExitStack, name: str, start: Start) -> list[Server]:
    try:
        return stack.enter_context(start())
    except MissingServer as reason:
        _say(f"{name:24} skipped: {reason}")
        return []


def _try(server: Server, failures: list[str]) -> dict[str, Any]:
    apis: dict[str, dict[str, str]] = {}
    for place in server.places:
        seen = apis[place.api] = {}
        for row in CHECKS:
            if row in place.absent:
                seen[row] = place.absent[row]
                continue
            found = outcomes(row, place)
            seen[row] = " or ".join(sorted({word.partition(":")[0] for word in found.values()}))
            right = allowed(server.name, place.api, row, writes=place.writes)
            wrong = {way: word for way, word in found.items() if word not in right}
            _say(f"{server.name:24} {place.api:12} {row:22} {seen[row]}{'  WRONG' * bool(wrong)}")
            failures += [f"{server.name}, {place.api}, {row}, {way}: {word}" for way, word in wrong.items()]
    return {"version": server.version, "apis": apis}


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
