"""`ask`: `str` without *output*, in every way to call it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, assert_type

from alloy import AsyncStream, Result, Stream, Transport, Usage, ask, tool


@dataclass
class City:
    name: str


@tool
def population(city: str) -> int:
    return len(city)


assert_type(ask("hello"), str)
assert_type(ask("hello", model="m", temperature=0.1, context={"a": [1]}), str)
assert_type(ask("hello", tools=[population, len], context=City("Bern")), str)
assert_type(ask("how many", output=int), int)
assert_type(ask("which", output=City, tools=[population], context="Europe"), City)
assert_type(ask("which", output=City | None), City | None)
assert_type(ask("which", output=list[City]), list[City])
assert_type(ask("which", output=Literal["a", "b"]), Literal["a", "b"])
assert_type(ask.run("hello"), Result[str])
assert_type(ask.run("do it", output=None), Result[None])
assert_type(ask.run("how many", output=int, retry=0).value, int)
assert_type(ask.stream("hello"), Stream[str])
assert_type(ask.stream("how many", output=int, timeout=3), Stream[int])
assert_type(ask.stream_async("hello"), AsyncStream[str])
assert_type(ask.stream_async("how many", output=int), AsyncStream[int])
assert_type(ask.request("hello"), dict[str, Any])
assert_type(ask.request("which", output=City | None, tools=[population]), dict[str, Any])
gateway = Transport(proxy="http://proxy:1", ca_bundle="ca.pem", client_certificate=("me.crt", "me.key"))
assert_type(ask("hello", transport=gateway, headers={"x-team": "a"}, api_key=lambda: "key"), str)
assert_type(ask("hello", transport={"openai": gateway}, headers={"openai": {"x": "a"}}), str)
for piece in ask.stream("hello"):
    assert_type(piece, str)
with ask.stream("hello") as pieces:
    assert_type(pieces.run().usage, Usage)


async def awaited() -> None:
    assert_type(await ask.async_("hello", context=None), str)
    assert_type(await ask.async_("which", output=City | None), City | None)
    assert_type(await ask.run_async("hello"), Result[str])
    assert_type(await ask.run_async("which", output=City), Result[City])
    async for piece in ask.stream_async("hello"):
        assert_type(piece, str)
