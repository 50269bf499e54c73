"""`alloy.testing`: scripted replies, what was asked, and that everything is put back."""

import asyncio
import enum
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from kit.dialects import OPENAI
from kit.patience import PATIENCE, limits
from kit.ways import every_way

import alloy.testing
from alloy import (
    ConfigurationError,
    DeadlineError,
    ParseError,
    ProviderConnectionError,
    ProviderTimeoutError,
    RateLimitError,
    RefusalError,
    ask,
    command,
    register_backend,
    tool,
    use_config,
)
from alloy.backends.fake.backend import FakeBackend, responder
from alloy.backends.fake.improvise import improvise
from alloy.config import current
from alloy.messages import Reply
from alloy.testing import Seen, call, calls, replies


class Color(enum.Enum):
    RED = "red"


class Mood(str, enum.Enum):  # noqa: UP042  # the older way to write it is still everywhere
    GOOD = "good"


@dataclass
class Invoice:
    vendor: str
    total: Decimal


@dataclass
class Box:
    value: int


@tool
def rate(currency: str, name: str = "") -> float:
    """A rate."""
    return {"USD": 0.5}[currency]


def asking(output: Any = str, **options: Any) -> Any:
    @command(output=output, **options)
    def question(text: str = "Well?") -> str:
        """A question."""
        return text

    return question


def test_the_public_names():
    """What the docs name is what is there."""
    assert alloy.testing.__all__ == ["FakeBackend", "Seen", "call", "calls", "replies"]


@pytest.mark.parametrize(
    ("item", "output", "value"),
    [
        ("Hello", str, "Hello"),
        ("42", int, 42),
        (42, int, 42),
        (42, str, "42"),
        (True, bool, True),
        (None, int | None, None),
        (["a", "b"], list[str], ["a", "b"]),
        ({"vendor": "ACME", "total": "1.10"}, Invoice, Invoice("ACME", Decimal("1.10"))),
        (Invoice("ACME", Decimal("1.10")), Invoice, Invoice("ACME", Decimal("1.10"))),
        ([Invoice("Ä", Decimal(1))], list[Invoice], [Invoice("Ä", Decimal(1))]),
        (Color.RED, Color, Color.RED),
        (Mood.GOOD, Mood, Mood.GOOD),
        (Box(3), Box, Box(3)),
        ({"value": 3}, int, 3),
        ({"value": 3, "other": 4}, dict[str, int], {"value": 3, "other": 4}),
        (Reply(text="whole"), str, "whole"),
        (lambda body: body["messages"][-1]["content"] + "!", str, "Well?!"),
        (lambda body: Box(len(body["messages"])), Box, Box(1)),
    ],
)
def test_an_item_answers_a_request(item, output, value):
    """Text, values, replies and functions come back as the command's own type."""
    with replies(item):
        assert asking(output)() == value


def test_values_have_the_wrapped_shape_that_the_request_asks_for():
    """An answer is what a model that keeps to the schema would have written."""
    with replies(42, Box(3), Box(3)):
        assert asking(int).run().text == '{"value":42}'
        assert asking(Box).run().text == '{"value":3}'
        assert asking(str).run().text == '{"value":3}'


def test_tool_calls_are_turns():
    """A call alone is a turn, `calls` are one; the tools run and their results are in the next request."""
    with replies(
        call("rate", currency="USD", name="x"), calls(call("rate", currency="USD"), call("rate")), "done"
    ) as seen:
        run = asking(tools=[rate]).run()

    assert (run.value, run.turns, [result.value for result in run.tool_calls]) == (
        "done",
        3,
        [0.5, 0.5, None],
    )
    assert [message["role"] for message in seen.requests[-1]["messages"]] == [
        "user", "assistant", "tool", "assistant", "tool", "tool",
    ]  # fmt: skip
    assert len({result.call.id for result in run.tool_calls}) == 3
    assert run.tool_calls[0].arguments == {"currency": "USD", "name": "x"}


def test_every_request_is_seen_in_order():
    """`seen` holds the encoded bodies, settings and schema included."""
    with replies("1", "2") as seen:
        asking(int, temperature=0.5)("first")
        ask("second", system="Be brief.")

    assert isinstance(seen, Seen)
    assert [body["messages"][0]["content"] for body in seen.requests] == ["first", "second"]
    assert (seen.requests[0]["temperature"], seen.requests[1]["system"]) == (0.5, "Be brief.")
    assert seen.requests[0]["output"]["schema"]["properties"]["value"]["type"] == "integer"


def test_a_stream_is_scripted_too():
    """The text comes in pieces, and then the stream is over."""
    with replies("A sentence of some length, in pieces."):
        pieces = list(asking().stream())

    assert len(pieces) > 3
    assert "".join(pieces) == "A sentence of some length, in pieces."


def test_a_transient_error_is_tried_again():
    """Errors go the way of a provider's: what is transient is retried, as a transport's own is."""
    slow = RateLimitError("slow down", provider="fake", retry_after=0.001)
    with replies(slow, slow, "at last") as seen:
        assert asking(retry=2).run().attempts == 3
    assert len(seen.requests) == 3

    with replies(ConnectionResetError("reset")), pytest.raises(ProviderConnectionError, match="fake: reset"):
        asking(retry=0)()


def test_an_error_in_a_stream_is_the_callers():
    """Streams raise a script's error when it is their turn."""
    with replies(RateLimitError("slow down", provider="fake")), pytest.raises(RateLimitError):
        list(asking(retry=0).stream())


def test_any_other_exception_is_raised_as_it_is():
    """A bug in a backend, or Ctrl-C, can be played as well."""
    with replies(KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        asking()()


def test_a_refusal_and_a_bad_answer_can_be_played():
    """A `Reply` sets how the turn finished; its text is not adapted to the type."""
    refusal = Reply(finish="refusal", explanation="I would rather not.")
    with replies(refusal), pytest.raises(RefusalError, match="rather not"):
        asking()()
    with replies("no number", "nor this") as seen, pytest.raises(ParseError):
        asking(int)()
    assert len(seen.requests) == 2


def test_a_request_after_the_last_item_is_an_error():
    """It has the number of requests, and the last message."""
    with replies("a", "b") as seen:
        assert [ask("first"), ask("second")] == ["a", "b"]
    assert len(seen.requests) == 2

    with (
        pytest.raises(AssertionError, match=r"asked 2 times, and the script has 1 item.*second"),
        replies("a"),
    ):
        assert [ask("first"), ask("second")] == []
    with pytest.raises(AssertionError, match="asked once, and the script has 0 items"), replies():
        ask("Hi")


def test_a_swallowed_overrun_is_raised_at_the_end():
    """Code under test that catches everything does not make the test pass."""
    swallowed: list[str] = []

    def cautious() -> None:
        try:
            ask("Hi")
        except AssertionError as error:
            swallowed.append(str(error))

    with pytest.raises(AssertionError, match="asked once, and the script has 0 items"), replies():
        cautious()
    assert len(swallowed) == 1


def test_items_left_over_are_an_error_that_names_them():
    """A script is used up, or the test does not test what it seems to."""
    with (
        pytest.raises(AssertionError, match=r"asked once, .* 3 items; not used: 'b', .*RateLimitError"),
        replies("a", "b", RateLimitError("slow", provider="fake")),
    ):
        asking()()


def test_an_error_in_the_block_is_not_hidden():
    """Items that are left over then are not reported."""
    with pytest.raises(ZeroDivisionError), replies("a"):
        _ = 1 / 0


def test_everything_is_put_back():
    """After the block, and after an error in it, the script or backend that answered before answers again."""
    with use_config(backend="fake"):
        before = ask("Hi")
        with replies("outer"):
            with pytest.raises(ZeroDivisionError), replies("inner"):
                _ = 1 / 0
            assert ask("Hi") == "outer"
        assert ask("Hi") == before
    assert responder.get() is improvise


def test_a_block_answers_in_place_of_a_real_provider():
    """Neither the model's name nor the configured backend reaches a provider from inside."""
    with use_config(backend="openai", model="gpt-5.6"), replies("offline"):
        assert asking(model="claude-x").run().model == "fake:claude-x"


def test_tools_and_nested_commands_are_answered():
    """A command inside a tool, in a thread of the engine's, takes the next item."""

    @tool
    def inner(nth: int) -> str:
        """Asks too."""
        return ask(f"inner {nth}")

    with replies(calls(call("inner", nth=1), call("inner", nth=2)), "same", "same", "done") as seen:
        run = asking(tools=[inner]).run()

    assert [result.value for result in run.tool_calls] == ["same", "same"]
    assert len(seen.requests) == 4


def test_tasks_started_inside_are_answered():
    """The scope goes along into tasks, and into threads that are given the context."""

    async def gathered() -> list[str]:
        return await asyncio.gather(*(ask.async_(f"{number}") for number in range(20)))

    with replies(*["x"] * 21) as seen:
        assert asyncio.run(gathered()) == ["x"] * 20
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(copy_context().run, ask, "thread").result() == "x"
    assert len({body["messages"][0]["content"] for body in seen.requests}) == 21


def test_it_decorates_a_function_afresh_for_every_call():
    """As a decorator, each call has the whole script."""

    @replies("once")
    def checked() -> str:
        return ask("Hi")

    assert (checked(), checked()) == ("once", "once")


def test_another_fake_can_be_answered_for():
    """`backend=` puts a registered stand-in in scope, and its dialect with it."""
    register_backend("testing-stand-in", lambda: FakeBackend("testing-stand-in", OPENAI))

    with replies(7, backend="testing-stand-in") as seen:
        assert asking(int).run().model.startswith("testing-stand-in:")
    assert seen.requests[0]["output"]["strict"] is True


def test_a_value_without_a_json_form_is_named():
    """A value or an argument without a JSON form is the test's mistake."""
    with (
        pytest.raises(ConfigurationError, match=r"^<object obj.* cannot be written as JSON"),
        replies(object()),
    ):
        asking()()
    with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
        call("rate", currency=object())


# --- what a block refuses -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini", "ollama", "openai-chat"])
def test_a_backend_that_would_send_is_refused(name: str):
    """Before a request can be made, and everything is put back."""
    with (
        pytest.raises(ConfigurationError, match=f"'{name}' is not a FakeBackend and would send the requests"),
        replies("a", backend=name),
    ):
        raise AssertionError("not reached")
    assert responder.get() is improvise


@pytest.mark.parametrize(("name", "problem"), [("opanai", "did you mean 'openai'"), (5, "non-empty str")])
def test_a_backend_that_does_not_exist_is_refused(name: Any, problem: str):
    """At once, and not with the first request."""
    with pytest.raises(ConfigurationError, match=problem), replies("a", backend=name):
        raise AssertionError("not reached")


@pytest.mark.parametrize("finish", ["banana", "Stop", "", None])
def test_a_reply_ends_as_replies_can_end(finish: Any):
    """An item of the script is refused before the block begins, and that of a function when it comes."""
    allowed = "'stop', 'tool_calls', 'pause', 'length', 'refusal', 'filter'"
    with pytest.raises(ConfigurationError, match=rf"finish={finish!r}\): finish must be one of {allowed}"):
        replies("a", Reply(finish=finish)).__enter__()
    assert responder.get() is improvise
    with replies(lambda body: Reply(finish=finish)), pytest.raises(ConfigurationError, match=allowed):
        ask("hello")


def test_a_reply_calls_tools_by_call():
    """A name alone has no arguments."""
    with pytest.raises(ConfigurationError, match=r"calls 'rate': write call\("):
        replies(calls("rate")).__enter__()  # type: ignore[arg-type]


# --- time limits ----------------------------------------------------------------------------------


LIMITS = [("timeout", ProviderTimeoutError), ("deadline", DeadlineError)]


@every_way
@pytest.mark.parametrize(("setting", "error"), LIMITS)
def test_a_time_limit_ends_a_function_that_waits(way: Any, setting: str, error: type[Exception]):
    """As it ends the request of a provider; nobody waits for the function."""
    reached, over, ended = threading.Event(), threading.Event(), threading.Event()

    def wait(body: Any) -> str:
        reached.set()
        over.wait(PATIENCE)
        ended.set()
        return "too late"

    try:
        for limit in limits(reached.is_set):
            # An AssertionError: the limit ran out before the request.
            with suppress(AssertionError), replies(wait), pytest.raises(error) as caught:
                way(asking(retry=0, **{setting: limit}))
            assert f"{setting}={limit}" in str(caught.value)
            assert not ended.is_set()
    finally:
        over.set()


@every_way
def test_a_function_in_time_answers(way: Any):
    """In the context of the call, and what it raises is raised."""
    with use_config(deadline=PATIENCE, max_tokens=5):
        with replies(lambda body: [current().max_tokens, body["max_tokens"]]):
            assert way(asking(list[int]))[0].value == [5, 5]

        def fail(body: Any) -> str:
            raise RefusalError("str", ("no",))

        with replies(fail), pytest.raises(RefusalError):
            way(asking())
        with pytest.raises(AssertionError, match="asked once, and the script has 0 items"), replies():
            way(asking())


def test_a_late_function_does_not_block_the_loop():
    """Other tasks run while an async call waits for it."""
    reached, over = threading.Event(), threading.Event()

    def wait(body: Any) -> str:
        reached.set()
        assert over.wait(PATIENCE)
        return "in time"

    async def both() -> str:
        call = asyncio.create_task(asking(deadline=PATIENCE).async_())
        while not reached.is_set():
            await asyncio.sleep(0.001)
        over.set()
        return await call

    with replies(wait):
        assert asyncio.run(both()) == "in time"
