"""Measures each cell of the table of faults, and writes what was seen: `make test-faults`.

The results go to `docs/faults.json`, from which `docs/generate.py` makes the page. An argument measures only
the faults with this text in their names. The exit status is 1 when an outcome is not the one of the table.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from kit.apis import APIS

from faults.cells import outcome
from faults.table import FAULTS, GROUPS, expected_row, notes, row

PAGE = Path(__file__).parents[2] / "docs" / "faults.json"
WORKERS = 3  # more than processors, because some faults are only silence
FOREIGN = ("ALLOY_", "OPENAI_", "AZURE_OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "OLLAMA_")


def main(words: list[str]) -> int:
    chosen = [place for place, fault in enumerate(FAULTS) if " ".join(words) in fault.name]
    known = json.loads(PAGE.read_text("utf-8")) if PAGE.exists() else {}
    measured = {fault: cells for group in known.values() for fault, cells in group["faults"].items()}
    wrong = 0
    with ProcessPoolExecutor(WORKERS, initializer=clean) as pool:
        for place, cells in zip(chosen, pool.map(measure, chosen), strict=True):
            fault = FAULTS[place]
            measured[fault.name] = cells
            write(measured)
            wanted = expected_row(fault)
            differs = [
                f"  {name}: {cells[name]}, and not {wanted[name]}"
                for name in cells
                if cells[name] != wanted[name]
            ]
            wrong += len(differs)
            sys.stdout.write("\n".join([fault.name, *differs, ""]))
            sys.stdout.flush()
    cells_made = sum(len(FAULTS[each].ways(api)) for each in chosen for api in APIS)
    sys.stdout.write(f"{len(chosen)} faults in {cells_made} cells; wrong rows: {wrong}\n")
    return 1 if wrong else 0


def clean() -> None:
    """No key, address, proxy or setting of the machine's, and a folder without certificates to read."""
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name.lower().endswith("_proxy") or name == "SSL_CERT_FILE":
            del os.environ[name]
    os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)


def measure(place: int) -> dict[str, str]:
    """The cells of one fault; a promise that was broken stands in its cell."""
    fault = FAULTS[place]

    def seen(api, way):  # type: ignore[no-untyped-def]
        try:
            return outcome(fault, api, way)
        except Exception as error:
            return f"BROKEN: {type(error).__name__}: {error}"

    return row(fault, seen)


def write(measured: dict[str, dict[str, str]]) -> None:
    """Write what is known of the faults of the table, in its order."""
    groups = {
        name: {
            "faults": {fault.name: measured[fault.name] for fault in faults if fault.name in measured},
            "notes": notes(name),
        }
        for name, faults in GROUPS.items()
    }
    PAGE.write_text(json.dumps(groups, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
