"""Checks an installed Alloy from outside the repository: `python -I smoke.py`, with no SDK installed.

`package.py` runs it in a fresh environment that has the wheel and what the wheel requires, nothing else.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from importlib.metadata import distribution, entry_points
from importlib.util import find_spec
from pathlib import Path

import alloy
from alloy import ConfigurationError, ask, command, tool

SDKS = ("openai", "anthropic", "ollama")


@dataclass
class Invoice:
    """What the smoke test's command returns."""

    vendor: str
    total: float
    lines: list[str]


@tool
def in_euros(amount: float) -> float:
    """Convert dollars to euros."""
    return amount * 0.92


@command(output=Invoice, tools=[in_euros], backend="fake")
def read_invoice(text: str) -> str:
    return f"Extract the invoice:\n{text}"


def check_files() -> None:
    """The package comes from this environment, with its types."""
    home = Path(alloy.__file__).parent
    assert home.is_relative_to(sys.prefix), home
    assert (home / "py.typed").exists()
    assert (home / "__init__.pyi").exists()
    assert [name for name in SDKS if find_spec(name)] == []


def check_metadata() -> None:
    """The version, and every backend that the package registers."""
    installed = distribution("alloy-ai")
    assert installed.version == alloy.__version__, installed.version
    assert "dev" not in installed.metadata.get_all("Provides-Extra", [])
    names = {point.name for point in entry_points(group="alloy.backends") if point.load()}
    assert names >= {"anthropic", "fake", "gemini", "ollama", "openai", "openai-chat"}, names


def check_calls() -> None:
    """A typed call in each way of calling, and the error for an SDK that is not installed."""
    assert isinstance(read_invoice("ACME, $100"), Invoice)
    assert isinstance(asyncio.run(read_invoice.async_("ACME, $100")), Invoice)
    assert "".join(read_invoice.stream("ACME, $100"))
    assert isinstance(ask("How many?", output=int, backend="fake"), int)
    try:
        raise AssertionError(ask("Hello", model="gpt-5.6", api_key="none"))
    except ConfigurationError as error:
        message = str(error)
    assert "alloy-ai[openai]" in message, message


def check_command_line() -> None:
    """The script that the wheel installs, and what it says where no SDK is."""
    (script,) = entry_points(group="console_scripts", name="alloy")
    assert script.load()(["doctor", "--model", "fake:any"]) == 0
    assert script.load()(["doctor", "--model", "gpt-5.6"]) == 1


if __name__ == "__main__":
    check_files()
    check_metadata()
    check_calls()
    check_command_line()
    print(f"alloy-ai {alloy.__version__} works on Python {sys.version.split()[0]}")
