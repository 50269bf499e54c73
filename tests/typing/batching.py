"""Batches keep the types of their command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_type

from alloy import Batch, BatchStatus, Outcome, Result, command


@dataclass
class Invoice:
    total: float


@command(output=Invoice)
def read_invoice(text: str, page: int = 1) -> str:
    return text


@command(output=int)
async def count(text: str) -> str:
    return text


batch = read_invoice.batch(["a", "b"])
assert_type(batch, Batch[Invoice])
assert_type(read_invoice.batch(["a"], [1]), Batch[Invoice])
assert_type(batch.id, str)
assert_type(batch.status(), BatchStatus)
assert_type(batch.wait(timeout=5, poll=1), BatchStatus)
assert_type(batch.outcomes(), list[Outcome[Invoice]])
for outcome in batch.outcomes():
    assert_type(outcome.value, Invoice | None)
    assert_type(outcome.result, Result[Invoice] | None)
    assert_type(outcome.error, Exception | None)

assert_type(Batch.load("openai:batch_1", read_invoice), Batch[Invoice])
assert_type(Batch.load("openai:batch_1", read_invoice, ["a"], strict=False), Batch[Invoice])
assert_type(Batch.load("openai:batch_1", count), Batch[int])


async def main() -> None:
    """The same in async code."""
    assert_type(await count.batch(["a"]), Batch[int])
    assert_type(await count.batch_async(["a"]), Batch[int])
    assert_type(await read_invoice.batch_async(["a"]), Batch[Invoice])
    assert_type(await batch.outcomes_async(), list[Outcome[Invoice]])
    assert_type(await batch.wait_async(), BatchStatus)
    assert_type(await Batch.load_async("openai:batch_1", count, ["a"]), Batch[int])
