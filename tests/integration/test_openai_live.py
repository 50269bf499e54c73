"""A real model at OpenAI: types and ranges only, never words. Skipped without OPENAI_API_KEY."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pytest

from alloy import ask, command, ensure, require, tool, use_config

# Read now: the tests themselves run in an environment without keys.
KEY = os.environ.get("OPENAI_API_KEY")
MODEL = os.environ.get("ALLOY_LIVE_OPENAI_MODEL") or "gpt-5.6"
ROUTES = ("openai", "openai-chat")

pytestmark = pytest.mark.skipif(not KEY, reason="OPENAI_API_KEY is not set")


@pytest.fixture(params=ROUTES, autouse=True)
def route(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each test runs on both APIs."""
    with use_config(model=f"{request.param}:{MODEL}", api_key=KEY, deadline=120):
        yield request.param


@dataclass
class City:
    name: str
    country: str
    people: int
    kind: Literal["capital", "other"]


def test_a_dataclass_comes_back() -> None:
    """A typed answer has the type, and a number of a sane size."""
    city = ask("Facts about Paris in France.", output=City)
    assert isinstance(city, City)
    assert city.kind in ("capital", "other")
    assert 500_000 < city.people < 20_000_000


def test_a_tool_loop_ends_with_a_typed_answer() -> None:
    """The model calls the tool with arguments that its contract lets through, and answers."""

    @tool
    @require(lambda a, b: a > 0 and b > 0, "both must be positive")
    @ensure(lambda result: result > 0, "a product of positive numbers is positive")
    def multiply(a: int, b: int) -> int:
        """The exact product."""
        return a * b

    @command(output=int, tools=[multiply])
    def product(a: int, b: int) -> str:
        return f"Use the tool to compute {a} times {b}."

    result = product.run(4711, 815)
    assert isinstance(result.value, int)
    assert result.usage.input_tokens > 0
    assert any(done.value == 4711 * 815 for done in result.tool_calls)


def test_text_streams_in_pieces(route: str) -> None:
    """A stream gives more than one piece, and they are the text of the result."""
    with ask.stream("Count from one to twenty in words.") as stream:
        pieces = list(stream)
        result = stream.run()
    assert len(pieces) > 1
    assert "".join(pieces) == result.text
    assert result.model.startswith(f"{route}:")


def test_a_list_comes_back_as_a_list() -> None:
    """A root that is no object is wrapped for the provider and unwrapped for the caller."""
    primes = ask("The first five prime numbers.", output=list[int])
    assert len(primes) == 5
    assert all(isinstance(prime, int) for prime in primes)
