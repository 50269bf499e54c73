"""`map` and `map_async`: the values of many inputs, at a loopback server through the real SDK."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from kit.mapping import NumberServer, double, double_async, map_threads, read
from kit.patience import PATIENCE
from kit.wire import Answer, Gate, WireServer, openai

import alloy
from alloy import BudgetError, Conversation, ProviderError, command, require
from alloy.effects import Effect, Script
from alloy.errors import BadRequestError, ConfigurationError
from alloy.events import ReplyReceived, RequestSent, Retry

# By name: from a command with options to a map.
WAYS: dict[str, Callable[[dict[str, Any]], Callable[..., Any]]] = {
    "threads": lambda options: double.with_options(**options).map,
    "tasks": lambda options: double.with_options(**options).map_async,
    "async command": lambda options: double_async.with_options(**options).map,
}
every_map = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.fixture
def numbers(server: WireServer) -> NumberServer:
    """A server that doubles numbers."""
    return NumberServer(server)


@every_map
def test_the_values_are_in_the_order_of_the_inputs(numbers: NumberServer, way: Any):
    """Also when the first answer comes last."""
    numbers.hold(0)

    def inputs() -> Iterator[int]:
        yield from range(10)
        numbers.server.wait_requests(8)
        numbers.gates[0].open()

    assert read(way(numbers.options)(inputs(), concurrency=4)) == [2 * number for number in range(10)]
    assert sorted(numbers.asked()) == list(range(10))


def test_unordered_values_come_as_the_calls_finish(numbers: NumberServer):
    """The slow first input keeps nobody waiting."""
    numbers.hold(0)
    found = double.with_options(**numbers.options).map(range(10), concurrency=2, ordered=False)
    first = list(itertools.islice(found, 9))
    numbers.gates[0].open()

    assert (sorted(first), list(found)) == ([2 * number for number in range(1, 10)], [0])


def test_unordered_tasks_come_as_the_calls_finish(numbers: NumberServer):
    """The same in an event loop."""
    numbers.hold(0)

    async def collect() -> list[int]:
        values = []
        async for value in double.with_options(**numbers.options).map_async(
            range(10), concurrency=2, ordered=False
        ):
            values.append(value)
            if len(values) == 9:
                numbers.gates[0].open()
        return values

    values = asyncio.run(collect())
    assert (sorted(values[:9]), values[9:]) == ([2 * number for number in range(1, 10)], [0])


@every_map
def test_nothing_is_read_or_asked_before_the_first_value(numbers: NumberServer, way: Any):
    """A map that nobody reads does nothing."""

    def inputs() -> Iterator[int]:
        raise AssertionError("the inputs were read")
        yield 0

    way(numbers.options)(inputs())
    assert numbers.asked() == []


def test_endless_inputs_are_read_as_they_are_needed(numbers: NumberServer):
    """At most four inputs for each place of a call are ahead of the reader."""
    pulled = itertools.count()
    found = double.with_options(**numbers.options).map(pulled, concurrency=3)
    with found:
        assert list(itertools.islice(found, 50)) == [2 * number for number in range(50)]
        assert next(pulled) <= 50 + 4 * 3


def test_endless_inputs_of_tasks_are_read_as_they_are_needed(numbers: NumberServer):
    """The same in an event loop, with an async iterable."""
    pulled = itertools.count()

    async def inputs() -> AsyncIterator[int]:
        try:
            for number in pulled:
                yield number
        finally:
            closed.set()

    async def collect() -> list[int]:
        values: list[int] = []
        async with double_async.with_options(**numbers.options).map(inputs(), concurrency=3) as found:
            async for value in found:
                values.append(value)
                if len(values) == 50:
                    break
        return values

    closed = threading.Event()
    assert asyncio.run(collect()) == [2 * number for number in range(50)]
    assert next(pulled) <= 50 + 4 * 3
    assert closed.is_set()


@every_map
@pytest.mark.parametrize("ordered", [True, False])
def test_no_more_calls_run_than_allowed(numbers: NumberServer, way: Any, ordered: bool):
    """*concurrency* is the most that run at the same time."""
    lock, running, most = threading.Lock(), 0, 0

    def count(event: object) -> None:
        nonlocal running, most
        with lock:
            running += isinstance(event, RequestSent) - isinstance(event, ReplyReceived)
            most = max(most, running)

    values = read(way({**numbers.options, "on_event": count})(range(40), concurrency=3, ordered=ordered))
    assert sorted(values) == [2 * number for number in range(40)]
    assert 1 <= most <= 3


class After(Gate):
    """A gate that opens when another one is reached."""

    def __init__(self, other: Gate) -> None:
        super().__init__()
        self._other = other

    @property
    def is_open(self) -> bool:
        return self._other.reached.is_set()


def after(gate: Gate, answer: Answer) -> Answer:
    """*answer*, which waits until another one is at *gate*."""
    answer.before = After(gate)
    return answer


@every_map
def test_the_first_error_ends_the_map_and_names_its_input(numbers: NumberServer, way: Any):
    """The values before it have arrived, and what still ran is ended, with its connection."""
    numbers.hold(4)
    numbers.failures[3] = lambda: after(numbers.gates[4], openai.failure(400, "no such number"))
    values: list[int] = []
    found = way(numbers.options)(range(100), concurrency=2)
    with pytest.raises(BadRequestError, match=r"double\w*\.map\(\): input 3"):
        read(found if hasattr(found, "__aiter__") else map(values.append, found))
    numbers.connection_of(4).wait_closed()
    assert values in ([], [0, 2, 4])
    assert len(numbers.asked()) < 20


@every_map
def test_no_input_begins_after_an_error_that_will_be_raised(numbers: NumberServer, way: Any):
    """While the values before it are waited for; a reader of outcomes goes on."""
    numbers.hold(0)
    numbers.failures[1] = lambda: openai.failure(400, "no such number")
    found = way(numbers.options)(range(100), concurrency=2)
    most = 3 if hasattr(found, "__aiter__") else 4  # threads have two inputs each

    def let_go() -> None:
        numbers.server.wait_requests(most - 1)
        numbers.gates[0].open()

    threading.Thread(target=let_go).start()
    with pytest.raises(BadRequestError, match="input 1"):
        read(found)
    assert set(numbers.asked()) <= set(range(most))


@every_map
def test_errors_can_be_returned(numbers: NumberServer, way: Any):
    """`on_error="return"` gives the error in place of the value, and the map continues."""
    numbers.failures = dict.fromkeys([1, 4], lambda: openai.failure(400, "no such number"))
    found = way(numbers.options)(range(6), on_error="return")
    values = read(found)

    assert [type(value) for value in values] == [int, BadRequestError, int, int, BadRequestError, int]
    summary = found.summary
    assert (summary.finished, summary.succeeded, summary.failed) == (6, 4, 2)
    assert summary.errors == {"BadRequestError": 2}
    assert (summary.requests, summary.usage.total_tokens) == (6, 4 * 15)
    assert str(summary).startswith("4 answered, 2 failed (2 BadRequestError), 40 + 20 tokens in")


@every_map
def test_outcomes_have_values_and_errors_with_their_inputs(numbers: NumberServer, way: Any):
    """Whatever *on_error* says."""
    numbers.failures[1] = lambda: openai.failure(400, "no such number")
    outcomes = read(way(numbers.options)(range(3)).outcomes())

    assert [(each.index, each.args, each.value, type(each.error)) for each in outcomes] == [
        (0, (0,), 0, type(None)),
        (1, (1,), None, BadRequestError),
        (2, (2,), 4, type(None)),
    ]
    assert [each.result and each.result.value for each in outcomes] == [0, None, 4]


def test_errors_of_the_function_are_those_of_its_input(numbers: NumberServer):
    """A bug in the body is no reason to lose the other inputs."""

    @command(output=int)
    def half(number: int) -> str:
        return f"Double {10 // number}"

    found = half.with_options(**numbers.options).map([5, 0, 2], on_error="return")
    assert [type(value) for value in found] == [int, ZeroDivisionError, int]


def test_a_stop_iteration_of_a_call_does_not_end_the_loop(numbers: NumberServer):
    """As an error of its input it would be taken for the end of the map."""

    @command(output=int)
    def first_word(number: int) -> str:
        return f"Double {number} {next(iter(())) if number == 1 else ''}"

    found = first_word.with_options(**numbers.options).map([0, 1, 2])
    assert next(found) == 0
    with pytest.raises(RuntimeError, match="input 1 raised StopIteration"):
        next(found)


@every_map
def test_an_error_of_the_inputs_comes_after_what_has_begun(numbers: NumberServer, way: Any):
    """The values of the inputs before it are paid for, so they are not lost."""

    def inputs() -> Iterator[int]:
        yield from range(3)
        raise LookupError("the file is gone")

    found = way(numbers.options)(inputs())
    with pytest.raises(LookupError, match="the file is gone"):
        read(found)
    assert found.summary.succeeded == 3
    assert map_threads() == []


LEAVINGS: dict[str, Callable[[Any], None]] = {
    "close": lambda found: found.close(),
    "with": lambda found: found.__exit__(None, None, None),
    "dropped": lambda found: None,
}


@pytest.mark.parametrize("leave", LEAVINGS.values(), ids=LEAVINGS)
def test_a_map_that_is_left_ends_its_calls(numbers: NumberServer, leave: Any):
    """The connection of a call that runs is closed, and no thread stays."""
    numbers.hold(1, 2)
    found = double.with_options(**numbers.options).map(itertools.count(), concurrency=3)
    assert next(found) == 0
    numbers.gates[1].wait_reached()
    numbers.gates[2].wait_reached()
    threads = map_threads()
    leave(found)
    del found

    numbers.connection_of(1).wait_closed()
    numbers.connection_of(2).wait_closed()
    for thread in threads:
        thread.join(PATIENCE)
    assert [thread for thread in threads if thread.is_alive()] == []


def test_a_closed_map_is_at_its_end(numbers: NumberServer):
    """Reading it gives nothing more, and closing it again does nothing."""
    found = double.with_options(**numbers.options).map(range(9))
    assert next(found) == 0
    found.close()
    found.close()
    assert (list(found), list(found.outcomes())) == ([], [])


@pytest.mark.parametrize("what", ["value", "outcome", "close"])
def test_an_async_map_belongs_to_its_event_loop(numbers: NumberServer, what: str):
    """Another loop is told so, also when the first one has ended; what is whole is at its end everywhere."""
    found = double_async.with_options(**numbers.options).map(range(9), concurrency=2)
    elsewhere = {
        "value": lambda: anext(found),
        "outcome": lambda: anext(found.outcomes()),
        "close": found.aclose,
    }

    async def first() -> int:
        return await anext(found)

    async def read() -> Any:
        return await elsewhere[what]()

    assert asyncio.run(first()) == 0
    with pytest.raises(ConfigurationError, match="belongs to the event loop in which its reading began"):
        asyncio.run(read())

    found = double_async.with_options(**numbers.options).map(range(2))

    async def rest() -> list[int]:
        return [value async for value in found]

    assert (asyncio.run(rest()), asyncio.run(rest())) == ([0, 2], [])


@pytest.mark.parametrize("is_closed", [True, False])
def test_tasks_that_are_left_end_their_calls(numbers: NumberServer, is_closed: bool):
    """By a `break` without a word, or by `aclose`."""
    numbers.hold(1, 2)

    async def leave() -> None:
        before = asyncio.all_tasks()
        found = double_async.with_options(**numbers.options).map(itertools.count(), concurrency=3)
        async for value in found:
            assert value == 0
            break
        await asyncio.to_thread(numbers.gates[1].wait_reached)
        await asyncio.to_thread(numbers.gates[2].wait_reached)
        if is_closed:
            await found.aclose()
        del found
        await asyncio.to_thread(numbers.connection_of(1).wait_closed)
        await asyncio.to_thread(numbers.connection_of(2).wait_closed)
        while asyncio.all_tasks() != before:  # the last steps of the tasks that were cancelled
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(leave(), PATIENCE))


def test_a_wait_before_a_retry_ends_with_the_map(numbers: NumberServer):
    """Nobody waits an hour for a map that was left."""
    numbers.failures[0] = lambda: openai.failure(500, "later")
    waits = threading.Event()

    def listen(event: object) -> None:
        if isinstance(event, Retry):
            waits.set()

    options = {**numbers.options, "retry": 1, "backoff": 1e6, "backoff_max": 1e6, "on_event": listen}

    def inputs() -> Iterator[int]:
        yield 0
        yield 1

    with double.with_options(**options).map(inputs(), ordered=False) as found:
        assert next(found) == 2
        assert waits.wait(PATIENCE)
        threads = map_threads()
    for thread in threads:
        thread.join(PATIENCE)
    assert [thread for thread in threads if thread.is_alive()] == []


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name == "nt", reason="needs signals of POSIX")
def test_ctrl_c_ends_the_calls(numbers: NumberServer, request: pytest.FixtureRequest):
    """The main thread waits for a call, and the signal comes; background jobs of a shell would ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    numbers.hold(0)
    found = double.with_options(**numbers.options).map(range(5))

    def interrupt() -> None:
        numbers.gates[0].wait_reached()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        next(found)
    numbers.connection_of(0).wait_closed()
    assert list(found) == []


SEEN: ContextVar[str] = ContextVar("seen", default="nothing")


@every_map
def test_every_call_is_in_the_scopes_around_the_map(numbers: NumberServer, way: Any):
    """Usage, budgets, handlers, listeners, settings and context variables, where `map` was called."""
    handled, heard, bodies = [], [], set()

    def note(effect: Effect[Any]) -> Script[Any]:
        handled.append(effect)
        return (yield from effect)

    options = dict(numbers.options)
    model = options.pop("model")
    SEEN.set("outside")
    with (
        alloy.track_usage() as total,
        alloy.budget(requests=100) as spent,
        alloy.handlers(note),
        alloy.listen(heard.append),
        alloy.use_config(model=model, system="Be brief"),
    ):
        found = way({**options, "on_event": lambda _: bodies.add(SEEN.get())})(range(5))
    SEEN.set("later")
    assert read(found) == [0, 2, 4, 6, 8]

    assert (total.calls, total.requests, total.usage) == (5, 5, found.summary.usage)
    assert spent.spent.requests == 5
    assert len(handled) >= 5 and len(heard) >= 5
    assert {request.json["instructions"] for request in numbers.server.requests} == {"Be brief"}
    assert bodies == {"outside"}


@every_map
def test_a_budget_is_shared_by_the_inputs(numbers: NumberServer, way: Any):
    """When it is used up, the others fail, and nothing is sent for them."""
    with alloy.budget(requests=3):
        values = read(way(numbers.options)(range(6), concurrency=1, on_error="return"))
    assert [type(value) for value in values] == [int] * 3 + [BudgetError] * 3
    assert numbers.asked() == [0, 1, 2]


@every_map
def test_calls_do_not_see_the_context_of_each_other(numbers: NumberServer, way: Any):
    """Each runs in a copy of its own."""
    seen = []

    def listen(event: object) -> None:
        if isinstance(event, RequestSent):
            seen.append(SEEN.get())
            SEEN.set("changed by a call")

    SEEN.set("at the beginning")
    read(way({**numbers.options, "on_event": listen})(range(5), concurrency=2))
    assert seen == ["at the beginning"] * 5


def test_several_iterables_are_read_side_by_side(numbers: NumberServer):
    """The shortest ends the map, as with Python's `map`; async iterables may be among them."""

    @command(output=int)
    def add(left: int, right: int = 0) -> str:
        return f"Double {left + right}"

    async def right() -> AsyncIterator[int]:
        for number in (10, 20, 30):
            yield number

    asked = add.with_options(**numbers.options)
    assert list(asked.map(itertools.count(), [1, 2])) == [2, 6]
    assert read(asked.map_async([1, 2], right())) == [22, 44]
    assert read(asked.map_async(itertools.count(1), right())) == [22, 44, 66]


def test_methods_and_contracts(numbers: NumberServer):
    """A bound command maps over what is left of its parameters, and `@require` is checked for each input."""

    class Doubler:
        @command(output=int)
        @require(lambda number: number < 2, "number must be small")
        def double(self, number: int) -> str:
            return f"Double {number}"

    asked = Doubler().double.with_options(**numbers.options)
    assert [type(value).__name__ for value in asked.map(range(3), on_error="return")] == [
        "int",
        "int",
        "CommandError",
    ]


def test_an_exit_in_a_call_is_raised_to_the_reader(numbers: NumberServer):
    """`sys.exit()` in the body of a command ends the program, not a thread."""

    @command(output=int)
    def leave(number: int) -> str:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        list(leave.with_options(**numbers.options).map([1]))
    assert map_threads() == []


def test_a_map_can_be_read_by_several_threads(numbers: NumberServer):
    """Each value goes to one of them."""
    found = double.with_options(**numbers.options).map(range(60), concurrency=4)
    values: list[int] = []
    readers = [threading.Thread(target=lambda: values.extend(found)) for _ in range(3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(PATIENCE)
    assert sorted(values) == [2 * number for number in range(60)]


def test_maps_inside_of_maps(numbers: NumberServer):
    """A command may map over others in its body; the outer map counts their usage."""
    asked = double.with_options(**numbers.options)

    @command(output=int)
    def sum_up(number: int) -> str:
        return f"Double {sum(asked.map(range(number)))}"

    found = sum_up.with_options(**numbers.options).map([2, 3])
    assert list(found) == [4, 12]
    assert found.summary.usage.total_tokens == 7 * 15


async def arriving() -> AsyncIterator[int]:
    """Inputs that arrive one by one."""
    yield 0


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "no iterable": (lambda: double.map(), r"double\.map\(\) takes one iterable for each parameter"),
    "too many": (lambda: double.map([1], [2]), "and got 2: too many positional arguments"),
    "a text": (lambda: double.map("123"), "a str would be read character by character: put it into a list"),
    "a number": (lambda: double.map(3), "takes iterables, not int"),
    "async": (lambda: double.map(arriving()), r"map_async\(\) takes async iterables"),
    "concurrency": (
        lambda: double.map([1], concurrency=0),
        "concurrency must be an int of at least 1",
    ),
    "a bool": (lambda: double.map([1], concurrency=True), "concurrency must be an int"),
    "ordered": (lambda: double.map([1], ordered="yes"), "ordered must be a bool, not 'yes'"),
    "on_error": (
        lambda: double.map([1], on_error="skip"),
        "on_error must be 'raise' or 'return'",
    ),
    "progress": (lambda: double.map([1], progress=7), "progress must be True or None, not 7"),
    "requests": (
        lambda: double.map([1], requests_per_minute=0),
        r"^double\.map\(\): requests_per_minute must be an int of at least 1, not 0",
    ),
    "tokens": (lambda: double.map_async([1], tokens_per_minute="9"), r"^double\.map\(\): tokens_per_minute"),
    "a folder": (
        lambda: double.map([1], checkpoint=Path(__file__).parent),
        r"is a folder: name a file in it, such as '.*run\.sqlite'",
    ),
    "unknown": (lambda: double.map([1], workers=7), r"double\.map\(\): no option 'workers'.* concurrency, "),
    "a conversation": (
        lambda: double.with_options(conversation=Conversation()).map([1]),
        "a conversation is for one at a time",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_uses_say_what_to_do(name: str):
    """They are errors where the map is made, not where it is read."""
    make, words = WRONG[name]
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_a_cancelled_reader_can_go_on(numbers: NumberServer):
    """A time limit of one read takes nothing from the map."""
    numbers.hold(0)

    async def collect() -> list[int]:
        found = double_async.with_options(**numbers.options).map(range(3))
        reading = asyncio.ensure_future(anext(found))
        await asyncio.to_thread(numbers.gates[0].wait_reached)
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled()
        numbers.gates[0].open()
        return [value async for value in found]

    assert asyncio.run(collect()) == [0, 2, 4]


def test_a_call_that_something_else_cancels_ends_the_map(numbers: NumberServer):
    """Its reader does not wait forever."""

    @command(output=int)
    async def cancelled(number: int) -> str:
        raise asyncio.CancelledError

    async def collect() -> None:
        with pytest.raises(asyncio.CancelledError):
            await anext(cancelled.with_options(**numbers.options).map([1]))

    asyncio.run(asyncio.wait_for(collect(), PATIENCE))


def test_provider_errors_are_counted_by_kind(numbers: NumberServer):
    """Retries count as requests."""
    numbers.failures[0] = lambda: openai.failure(500, "later")
    options = {**numbers.options, "retry": 2, "backoff": 0.0}
    found = double.with_options(**options).map([0, 1], on_error="return")

    assert [isinstance(value, ProviderError) for value in found] == [True, False]
    assert (found.summary.errors, found.summary.requests) == ({"ServerError": 1}, 4)


@every_map
def test_the_summary_has_the_cost_of_all_requests(numbers: NumberServer, way: Any):
    """As the results together; a model without a price is named."""
    pytest.importorskip("genai_prices")
    priced = way({**numbers.options, "model": "openai:gpt-4.1"})(range(3))
    costs = [outcome.result.cost for outcome in read(priced.outcomes())]
    unpriced = way({**numbers.options, "model": "openai:of-our-own"})(range(3))
    read(unpriced)

    assert priced.summary.cost == sum(costs) > 0
    assert (unpriced.summary.cost, unpriced.summary.unpriced) == (None, ("openai:of-our-own",))
