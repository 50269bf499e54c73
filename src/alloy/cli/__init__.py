"""The command line: `alloy` and `python -m alloy`. Each command is a module of this package."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from alloy import __version__
from alloy.cli import doctor

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, with the *arguments* of the process by default.

    Returns 0, or 1 for a problem. Raises `SystemExit` with 2 for wrong arguments, and with 0 after `--help`.
    """
    parser = argparse.ArgumentParser("alloy", description="Model calls as typed function calls.")
    parser.add_argument("--version", action="version", version=f"alloy {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    doctor.add_to(commands)
    chosen = parser.parse_args(arguments)
    status: int = chosen.run(chosen)
    return status
