"""Maps over many inputs: what checkers infer. Never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, assert_type

from alloy import AsyncMap, Map, MapSummary, Outcome, Result, command


@dataclass
class Invoice:
    """A value."""

    total: float


@command(output=Invoice)
def read_invoice(text: str, pages: int = 1) -> str:
    """Read."""
    return text


@command(output=Invoice)
async def read_later(text: str) -> str:
    """Read."""
    return text


@command(output=int)
def four(a: str, b: int, c: bytes, d: float) -> str:
    """Count."""
    return a


class Reader:
    """Commands in a class."""

    @command(output=int)
    def count(self, text: str) -> str:
        """Count."""
        return text


scans = ["a", "b"]

found = read_invoice.map(scans, concurrency=32, ordered=False, progress=True, checkpoint="run.sqlite")
assert_type(found, Map[Invoice])
assert_type(next(found), Invoice)
assert_type(list(found), list[Invoice])
assert_type(found.outcomes(), Iterator[Outcome[Invoice]])
assert_type(found.summary, MapSummary)
for outcome in found.outcomes():
    assert_type(outcome.value, Invoice | None)
    assert_type(outcome.error, Exception | None)
    assert_type(outcome.result, Result[Invoice] | None)
    assert_type(outcome.args, tuple[Any, ...])

either = read_invoice.map(scans, [1, 2], on_error="return")
assert_type(next(either), Invoice | Exception)
assert_type(either.outcomes(), Iterator[Outcome[Invoice]])
assert_type(four.map(scans, [1], [b""], [0.5]), Map[int])
assert_type(four.map(scans, [1], [b""], [0.5], on_error="raise"), Map[int])
assert_type(Reader().count.map(scans), Map[int])
assert_type(read_invoice.map(scans, executor=ThreadPoolExecutor(2)), Map[Invoice])
assert_type(read_invoice.with_options(output=int).map(scans), Map[int])


async def texts() -> AsyncIterator[str]:
    """Inputs that arrive."""
    yield "a"


async def read_all() -> None:
    """Every kind of async map."""
    assert_type(read_later.map(scans), AsyncMap[Invoice])
    assert_type(read_later.map_async(texts(), concurrency=2), AsyncMap[Invoice])
    assert_type(read_invoice.map_async(texts()), AsyncMap[Invoice])
    async for value in read_later.map(scans, on_error="return"):
        assert_type(value, Invoice | Exception)
    async for each in read_later.map(scans).outcomes():
        assert_type(each, Outcome[Invoice])
