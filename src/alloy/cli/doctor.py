"""`alloy doctor`: what a call would need here, and what is missing."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from typing import Any

from alloy.checkup import doctor
from alloy.errors import ConfigurationError
from alloy.settings import SETTINGS

__all__ = ["add_to"]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to *commands*."""
    parser = commands.add_parser(
        "doctor",
        help="check packages, keys, settings and servers",
        description="Check packages, keys, settings and servers. No model is asked, and no key is shown.",
        epilog="Exit status: 0 if a call could be made, 1 if something is missing, 2 for wrong arguments.",
    )
    parser.add_argument("--model", help="check this model, or several with commas, not that of the settings")
    parser.add_argument("--base-url", help="the address of the server")
    parser.add_argument(
        "--connect", action="store_true", help="try servers that are not on this machine, too"
    )
    parser.add_argument("--json", action="store_true", help="write JSON")
    parser.set_defaults(run=_run)


def _run(chosen: argparse.Namespace) -> int:
    model = None if chosen.model is None else SETTINGS["model"].kind.read(chosen.model)
    given: dict[str, Any] = {"model": model, "base_url": chosen.base_url}
    warnings.simplefilter("ignore", RuntimeWarning)  # of variables, which the report has, too
    try:
        found = doctor(
            connect=chosen.connect, **{name: value for name, value in given.items() if value is not None}
        )
    except ConfigurationError as error:
        sys.stderr.write(f"alloy doctor: {error}\n")
        return 2
    text = json.dumps(found.to_dict(), indent=2) if chosen.json else str(found)
    encoding = sys.stdout.encoding or "utf-8"  # of a terminal, which may lack characters
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    return 0 if found.ok else 1
