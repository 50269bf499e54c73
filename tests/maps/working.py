"""Commands that workers import."""

from __future__ import annotations

import os

from alloy import command

DEADLY = 99


@command(output=int)
def double(number: int) -> str:
    if number == DEADLY:
        os._exit(3)
    return f"Double {number}"


@command(output=int)
async def double_async(number: int) -> str:
    return f"Double {number}"


class Unusual(Exception):
    """An error that cannot be pickled."""

    def __init__(self, number: int, word: str) -> None:
        super().__init__(f"{number} {word}")


@command(output=int)
def unusual(number: int) -> str:
    raise Unusual(number, "of them")
