"""Batches without a provider, and what does not depend on one: kinds of commands, scopes, the package."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

import alloy
from alloy import (
    Batch,
    BatchStatus,
    CommandError,
    ConfigurationError,
    Image,
    Outcome,
    Prompt,
    RateLimitError,
    ask,
    command,
    require,
)
from alloy.testing import Seen, replies


@command(output=int)
def add(a: int, b: int) -> str:
    return f"{a} + {b}"


@command(output=int)
async def double(a: int) -> str:
    await asyncio.sleep(0)
    return f"2 * {a}"


class Shelf:
    name = "top"

    @command(output=str)
    def find(self, title: str) -> str:
        return f"{title} on {self.name}"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOY_BACKEND", "fake")


def test_a_script_answers_a_batch_in_the_order_of_its_inputs() -> None:
    limited = RateLimitError("too many", provider="fake")
    with replies(4, limited, "none") as seen:
        batch = add.batch([1, 2, 3], [3, 4, 5])
    assert [body["messages"][0]["content"] for body in seen.requests] == ["1 + 3", "2 + 4", "3 + 5"]
    assert batch.status() == BatchStatus("completed", 3, succeeded=2, failed=1)
    first, second, third = batch.outcomes()
    assert first == Outcome(0, (1, 3), 4, None, first.result)
    assert second.error is not None
    assert "too many" in str(second.error)
    assert type(third.error).__name__ == "ParseError"


def test_a_script_that_is_too_short_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="asked 2 times"), replies(4):
        add.batch([1, 2], [3, 4])


@pytest.mark.usefixtures("fake")
def test_the_shortest_iterable_ends_a_batch() -> None:
    assert [outcome.args for outcome in add.batch([1, 2, 3], iter([3, 4])).outcomes()] == [(1, 3), (2, 4)]


def test_async_commands_are_awaited() -> None:
    async def main(seen: Seen) -> None:
        batch = await double.batch([1, 2])
        assert [body["messages"][0]["content"] for body in seen.requests] == ["2 * 1", "2 * 2"]
        assert [each.value for each in await batch.outcomes_async()] == [2, 4]
        with pytest.raises(ConfigurationError, match="load_async"):
            Batch.load(batch.id, double, [1, 2])
        again = await Batch.load_async(batch.id, double, [1, 2])
        assert [each.args for each in await again.outcomes_async()] == [(1,), (2,)]
        assert [each.value for each in await Batch.load(batch.id, double).outcomes_async()] == [2, 4]

    with replies(2, 4) as seen:
        asyncio.run(main(seen))


def test_bound_commands_are_batched_with_their_instance() -> None:
    with replies("left", "right") as seen:
        batch = Shelf().find.batch(["Emma", "Ulysses"])
    assert [body["messages"][0]["content"] for body in seen.requests] == ["Emma on top", "Ulysses on top"]
    assert [each.args for each in batch.outcomes()] == [("Emma",), ("Ulysses",)]


@pytest.mark.usefixtures("fake")
def test_a_contract_that_does_not_hold_ends_it_before_anything_is_sent() -> None:
    @command(output=int)
    @require(lambda a: a > 0, "a must be positive")
    def root(a: int) -> str:
        return f"root of {a}"

    with replies(), pytest.raises(CommandError, match="a must be positive") as caught:
        root.batch([4, -1])
    assert caught.value.__notes__ == ["root.batch(): input 1"]


@pytest.mark.usefixtures("fake")
def test_a_prompt_that_no_request_can_carry_is_an_error_of_its_input() -> None:
    with pytest.raises(ConfigurationError, match="surrogate") as caught:
        Shelf().find.batch(["Emma", "half \ud83d"])
    assert caught.value.__notes__ == ["find.batch(): input 1"]


@pytest.mark.usefixtures("fake")
def test_images_are_part_of_what_is_compared() -> None:
    @command(output=str)
    def describe(data: bytes) -> Prompt:
        return ["What is this?", Image.from_bytes(data, "image/png")]

    first, second = b"\x89PNG\r\n\x1a\n1", b"\x89PNG\r\n\x1a\n2"
    batch = describe.batch([first, second])
    assert [each.args for each in Batch.load(batch.id, describe, [first, second]).outcomes()] == [
        (first,),
        (second,),
    ]
    with pytest.raises(ConfigurationError, match="the prompt of input 1 differs"):
        Batch.load(batch.id, describe, [first, first]).outcomes()


@pytest.mark.usefixtures("fake")
def test_a_batch_of_another_process_is_unknown_offline() -> None:
    with pytest.raises(alloy.BadRequestError, match="batch_999999 is not known in this process"):
        Batch.load("fake:batch_999999", add).outcomes()


@pytest.mark.usefixtures("fake")
def test_reading_is_seen_by_the_scopes_around_it() -> None:
    seen: list[str] = []
    with alloy.listen(lambda event: seen.append(type(event).__name__)):
        batch = add.batch([1], [2])
    assert seen == []  # nothing was answered to anybody yet
    with alloy.listen(lambda event: seen.append(type(event).__name__)), alloy.track_usage() as total:
        batch.outcomes()
    assert seen == ["CallStarted", "RequestSent", "ReplyReceived", "UsageReport", "Final"]
    assert (total.calls, total.requests) == (1, 1)


@pytest.mark.usefixtures("fake")
def test_a_batch_shows_what_is_known_of_it() -> None:
    batch = add.batch([1], [2])
    assert repr(batch) == f"<Batch {batch.id}>"
    batch.cancel()
    batch.wait()
    assert repr(batch) == f"<Batch {batch.id}: completed (1 succeeded of 1)>"


def test_ask_has_no_batches() -> None:
    assert not hasattr(ask, "batch")


def test_commands_load_nothing_for_batches() -> None:
    code = """
import sys, alloy
@alloy.command
def echo(text: str) -> str:
    return text
assert not {"alloy.batches.batch", "alloy._engine.batching"} & set(sys.modules)
assert alloy.Batch
"""
    subprocess.run([sys.executable, "-c", code], check=True)
