"""Maps over many inputs at a loopback server that answers each prompt with its number."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from typing import Any

from kit.wire import Answer, Gate, Received, WireServer, openai

__all__ = ["LEFT", "NumberServer", "double", "double_async", "map_threads", "numbers", "read"]

from alloy import command

LEFT = "alloy-map"  # the names of the threads of maps begin so


@command(output=int)
def double(number: int) -> str:
    """A command whose answer is twice its input."""
    return f"Double {number}"


@command(output=int)
async def double_async(number: int) -> str:
    """The same, async."""
    return f"Double {number}"


def number_in(request: Received) -> int:
    """The input that *request* asks about."""
    return int(re.search(r"Double (\d+)", request.content.decode())[1])  # type: ignore[index]


class NumberServer:
    """Has *server* answer each input with twice its number; those in *gates* when their gate opens.

    *failures* has other answers, by input.
    """

    def __init__(self, server: WireServer) -> None:
        self.server = server
        self.gates: dict[int, Gate] = {}
        self.failures: dict[int, Callable[[], Answer]] = {}
        server.always = self._answer

    @property
    def options(self) -> dict[str, Any]:
        """The options of a command that asks this server."""
        url = f"{self.server.url}/v1"
        return {"model": "openai:gpt-5.6", "base_url": url, "api_key": "sk-none", "retry": 0}

    def hold(self, *inputs: int) -> None:
        """Let the answers to *inputs* wait."""
        self.gates.update({each: Gate() for each in inputs})

    def asked(self) -> list[int]:
        """The inputs of the requests that have arrived, in order."""
        return [number_in(request) for request in self.server.requests]

    def connection_of(self, number: int) -> Any:
        """The connection of the request about the input *number*."""
        return next(each.connection for each in self.server.requests if number_in(each) == number)

    def _answer(self, request: Received) -> Answer:
        number = number_in(request)
        if number in self.failures:
            return self.failures[number]()
        answer = openai.reply(openai.response(openai.message(f'{{"value": {2 * number}}}')))
        answer.before = self.gates.get(number)
        return answer


def numbers(server: WireServer) -> NumberServer:
    """A `NumberServer`."""
    return NumberServer(server)


def read(found: Any) -> list[Any]:
    """Everything that is in a map, or in its outcomes, sync or async."""
    if not hasattr(found, "__aiter__"):
        return list(found)

    async def collect() -> list[Any]:
        return [each async for each in found]

    return asyncio.run(collect())


def map_threads() -> list[threading.Thread]:
    """The threads of maps that are alive."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(LEFT)]
