"""The four ways to make a command's call, each to its result and to the text that a caller hears.

`Asked` makes such a call of `ask`, `asked_at` at a server whose answers `answer_in` builds.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from alloy import ask, tool


def run(command: Any) -> tuple[Any, str | None]:
    return command.run(), None


def run_async(command: Any) -> tuple[Any, str | None]:
    return asyncio.run(command.run_async()), None


def stream(command: Any) -> tuple[Any, str | None]:
    with command.stream() as pieces:
        heard = "".join(pieces)
        return pieces.run(), heard


def stream_async(command: Any) -> tuple[Any, str | None]:
    async def listen() -> tuple[Any, str]:
        async with command.stream_async() as pieces:
            heard = "".join([piece async for piece in pieces])
            return await pieces.run(), heard

    return asyncio.run(listen())


WAYS = (run, run_async, stream, stream_async)
every_way = pytest.mark.parametrize("way", WAYS, ids=[way.__name__ for way in WAYS])


class Asked:
    """`ask`, as the ways call it."""

    def __init__(self, prompt: Any = "Where?", **options: Any) -> None:
        self._prompt, self._options = prompt, options

    def __getattr__(self, name: str) -> Any:
        return lambda: getattr(ask, name)(self._prompt, **self._options)


def asked_at(api: Any, server: Any, prompt: Any = "Where?", **options: Any) -> Asked:
    """`ask` at *server*, which has the format of *api*."""
    return Asked(prompt, **{**api.options(server), **options})


def answer_in(says: Any, way: Any, made: Any) -> Any:
    """*made*, which *says* has built (a module of `kit.wire`), as *way* gets it: streamed or not."""
    return (says.stream if "stream" in way.__name__ else says.reply)(made)


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"
