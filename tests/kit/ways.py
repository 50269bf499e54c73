"""The four ways to make a command's call, each to its result and to the text that a caller hears."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest


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
