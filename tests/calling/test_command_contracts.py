"""`@require` and `@ensure` on commands: nothing is sent against the one, and the other is asked again."""

import asyncio
from typing import Any

import pytest

from alloy import CommandError, PostconditionError, command, ensure, require
from alloy.testing import replies


@command(output=int)
@require(lambda text: text, "text must not be empty")
@ensure(lambda result: result > 0, "must be positive")
@ensure(lambda result, text: result < len(text), "must be less than the text is long")
def count(text: str) -> str:
    """Count words."""
    return f"Count: {text}"


@require(lambda text: text, "text must not be empty")
@ensure(lambda result: result > 0, "must be positive")
@ensure(lambda result, text: result < len(text), "must be less than the text is long")
@command(output=int)
def count_above(text: str) -> str:
    """Count words."""
    return f"Count: {text}"


@require(lambda text: text, "text must not be empty")
@command(output=int)
@ensure(lambda result: result > 0, "must be positive")
@ensure(lambda result, text: result < len(text), "must be less than the text is long")
async def count_async(text: str) -> str:
    """Count words."""
    return f"Count: {text}"


def asked(given: Any, *args: Any) -> Any:
    """The `Result` of a command, sync or async."""
    return asyncio.run(given.run_async(*args))


COMMANDS = pytest.mark.parametrize(
    "given", [count, count_above, count_async], ids=lambda given: given.__name__
)


@COMMANDS
def test_a_commands_precondition_stops_it_before_anything_is_sent(given: Any):
    """`CommandError`, by every way to call it; the body does not run either."""
    with replies() as seen:
        for start in (lambda: asked(given, ""), lambda: asyncio.run(given.stream_async("").result())):
            with pytest.raises(CommandError, match=rf"^{given.__name__}\(\): text must not be empty$"):
                start()
    assert seen.requests == []


def test_a_sync_commands_precondition_stops_every_way():
    """Calls, runs, streams and requests alike."""
    with replies():
        for way in (count, count.run, count.stream, count.stream_async, count.request):
            with pytest.raises(CommandError):
                way("")


@COMMANDS
def test_a_broken_postcondition_goes_back_to_the_model(given: Any):
    """The model gets the problem and is asked again; its second answer counts."""
    with replies(-3, 2) as seen:
        done = asked(given, "a b")
    assert (done.value, done.turns) == (2, 2)
    assert "must be positive" in seen.requests[1]["messages"][-1]["content"]


@COMMANDS
def test_a_postcondition_that_stays_broken_is_an_error(given: Any):
    """`PostconditionError`, after `reask` further tries, with the answer of the model."""
    with (
        replies(-3, 9),
        pytest.raises(PostconditionError, match="must be less than the text is long") as raised,
    ):
        asked(given, "a b")
    assert raised.value.expected == "int" and '"value":9' in raised.value.text.replace(" ", "")
    with replies(-3), pytest.raises(PostconditionError, match="must be positive"):
        asked(given.with_options(reask=0), "a b")


def test_a_stream_checks_its_answer_too():
    """The value at the end of a stream keeps the postconditions."""
    with replies(-3), pytest.raises(PostconditionError), count.with_options(reask=0).stream("a b") as stream:
        stream.result()


def test_with_options_keeps_the_contracts():
    """A copy with other settings demands the same."""
    with replies(), pytest.raises(CommandError):
        count.with_options(retry=0)("")


def test_a_clause_above_a_command_leaves_the_command_as_it_is():
    """Decorating makes a new command."""
    strict = require(lambda text: len(text) > 5, "too short")(count)
    with replies(1):
        assert count("a b") == 1
    with replies(), pytest.raises(CommandError, match="too short"):
        strict("a b")


class Reader:
    """A command in a class, with contracts that look at the instance."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    @command(output=int)
    @require(lambda self, text: len(text) <= self.limit, "too long")
    @ensure(lambda self, result: result <= self.limit, "too many")
    def count(self, text: str) -> str:
        """Count words."""
        return text

    @require(lambda cls, text: text != cls.__name__, "not that")
    @command(output=int)
    @classmethod
    def of_class(cls, text: str) -> str:
        """Count words."""
        return text


def test_a_commands_contracts_see_the_instance():
    """`self` by name, before and after; `cls` in a classmethod."""
    reader = Reader(3)
    with replies(), pytest.raises(CommandError, match="too long"):
        reader.count("abcd")
    with replies(9, 2):
        assert reader.count("abc") == 2
    with replies(), pytest.raises(CommandError, match="not that"):
        Reader.of_class("Reader")
    with replies(4):
        assert Reader.of_class("abc") == 4
