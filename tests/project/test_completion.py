"""What editors without a type checker (jedi: Jupyter, IPython, python-lsp) complete."""

from __future__ import annotations

from typing import Any

import pytest

jedi = pytest.importorskip("jedi")

PROGRAM = """\
import alloy
from alloy import ask, command, tool, Config, Image, Stream


@command(output=int)
def count(text: str) -> str:
    return text


@command
def bare(text: str) -> str:
    return text


@command(output=int)
async def later(text: str) -> str:
    return text


@tool
def look(where: str) -> str:
    return where


class Desk:
    @command(output=int)
    def size(self, text: str) -> str:
        return text


"""

MEMBERS = {"run", "async_", "run_async", "stream", "stream_async", "request", "with_options"}


def completed(expression: str) -> set[str]:
    """The names that an editor offers after *expression*, private ones left out."""
    lines = (PROGRAM + expression).split("\n")
    found = jedi.Script("\n".join(lines)).complete(len(lines), len(lines[-1]))
    return {one.name for one in found if not one.name.startswith("_")}


def first_quick(*rows: Any) -> list[Any]:
    """The first of *rows*, and the others as slow tests: each takes jedi half a second."""
    return [rows[0], *(pytest.param(*_row(row), marks=pytest.mark.slow) for row in rows[1:])]


def _row(row: Any) -> tuple[Any, ...]:
    return row if isinstance(row, tuple) else (row,)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", first_quick("count", "bare", "later", "Desk().size", "count.with_options(retry=1)")
)
def test_the_members_of_a_command_are_completed(command: str) -> None:
    """Decorated with and without options, sync and async, in classes, and copied."""
    assert completed(f"{command}.") >= MEMBERS


@pytest.mark.parametrize(
    ("expression", "expected"),
    first_quick(
        ("ask.", {"run", "async_", "stream", "request"}),
        ("look.", {"name", "description", "signature"}),
        ('count.run("x").', {"value", "usage", "turns", "tool_calls", "transcript"}),
        ('count.run("x").usage.', {"input_tokens", "output_tokens", "total_tokens"}),
        ('count.stream("x").', {"events", "items", "partials", "result", "close"}),
        ("Config().", {"model", "temperature", "retry", "extra"}),
        ('Image.from_url("x").', {"base64", "data_url", "media_type"}),
        ("alloy.", {"command", "tool", "ask", "configure", "Conversation", "RateLimitError"}),
    ),
)
def test_other_public_names_are_completed(expression: str, expected: set[str]) -> None:
    """Their members are known from the stub and the modules behind it."""
    assert completed(expression) >= expected
