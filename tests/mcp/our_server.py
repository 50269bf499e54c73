"""Commands and tools served by Alloy; `python our_server.py` speaks on stdin and stdout."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

import alloy.mcp
from alloy import Document, Image, command, tool


@dataclass
class City:
    """A city."""

    name: str
    people: int


@command(output=City, backend="fake")
def describe(name: str) -> str:
    """Describe a city."""
    return f"Describe {name}"


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    print("a line on stdout")  # noqa: T201 - it must not disturb the protocol
    return a + b


@tool
async def hang() -> str:
    """Wait forever."""
    await asyncio.Event().wait()
    return ""


@tool
def broken(a: int) -> str:
    """Break."""
    raise LookupError(f"no {a}")


@command(output=bool, backend="fake", tools=[add])
async def check(order: str) -> str:
    """Check an order."""
    return f"Check {order}"


@tool
def draw(kind: str) -> list[str | Image | Document]:
    """Draw."""
    picture = Image.from_bytes(b"\x89PNG\r\n\x1a\n", name="a.png")
    files = [
        picture,
        Document.from_bytes(b"%PDF-1.7", name="b c.pdf"),
        Image.from_url("https://example.com/d.png"),
    ]
    return [kind, *files]


@tool
def sketch() -> list[object]:
    """Sketch."""
    return [Image.from_bytes(b"\x89PNG\r\n\x1a\n")]


TOOLS = (describe, add, hang, broken, check, draw, sketch)

if __name__ == "__main__":
    alloy.mcp.serve(*TOOLS, name=sys.argv[1] if len(sys.argv) > 1 else "ours")
