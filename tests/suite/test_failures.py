"""What goes wrong between us and the model: errors by status, retries, time, and answers that are none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from kit.ways import every_way
from kit.wire import Answer, Cut, Gate, json_answer

from alloy import (
    AuthenticationError,
    BadReplyError,
    BadRequestError,
    DeadlineError,
    ModelNotFoundError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
)
from suite.saying import Bent, Fail, Odd, Say
from suite.stage import Stage, Way
from suite.table import proves
from suite.test_tools import add

STATUSES: dict[int, tuple[type[ProviderError], bool]] = {  # the error, and whether trying again can help
    400: (BadRequestError, False),
    401: (AuthenticationError, False),
    403: (AuthenticationError, False),
    404: (ModelNotFoundError, False),
    408: (ProviderTimeoutError, True),
    409: (BadRequestError, True),
    429: (RateLimitError, True),
    500: (ServerError, True),
    503: (ServerError, True),
    529: (ServerError, True),
}


@proves("Errors by status")
@pytest.mark.parametrize("status", STATUSES)
@every_way
def test_errors_by_status(stage: Stage, way: Way, status: int) -> None:
    """Each status has its class; the error has the provider's words, its request's id and the wait."""
    kind, transient = STATUSES[status]
    stage.say(Fail(status, "out of luck today", wait="7"))
    with pytest.raises(ProviderError) as caught:
        stage.ask(way)

    error = caught.value
    assert type(error) is kind
    assert "out of luck today" in str(error)
    assert (error.status, error.transient, error.retry_after) == (status, transient, 7.0)
    assert error.request_id == stage.provider.request_id
    assert error.provider == stage.provider.model.partition(":")[0]
    assert error.text == ""


@proves("Retries")
@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
@every_way
def test_a_retry_succeeds(stage: Stage, way: Way, status: int) -> None:
    """What may pass is tried again, with the same request, and tools that ran do not run again."""
    stage.say(
        Fail(status, wait="0"),
        Say(calls=(("add", {"a": 2}),)),
        Fail(status, wait="0"),
        Say("Done."),
    )
    result = stage.ask(way, tools=[add], retry=1)

    assert (result.value, result.turns, result.attempts) == ("Done.", 2, 4)
    assert len(result.tool_calls) == 1
    bodies = [heard.body for heard in stage.heard]
    assert bodies[0] == bodies[1]
    assert bodies[2] == bodies[3]


@proves("Retries")
@every_way
def test_retries_come_to_an_end(stage: Stage, way: Way) -> None:
    """After `retry` more tries the last error is the caller's."""
    stage.say(Fail(500, wait="0"), Fail(503, wait="0"), Fail(529, "the last", wait="0"))
    with pytest.raises(ServerError, match="the last"):
        stage.ask(way, retry=2)


@proves("Retries")
@pytest.mark.parametrize("status", [400, 401, 403, 404])
@every_way
def test_what_will_not_pass_is_not_tried_again(stage: Stage, way: Way, status: int) -> None:
    """A wrong request, key or model is asked once."""
    stage.say(Fail(status, wait="0"))
    with pytest.raises(ProviderError):
        stage.ask(way, retry=5)

    assert len(stage.heard) == 1


# --- time ---------------------------------------------------------------------------------------------


def before_head(answer: Answer) -> Answer:
    """*answer*, of which nothing ever comes."""
    return replace(answer, before=Gate())


def in_body(answer: Answer) -> Answer:
    """*answer*, of whose body only the beginning ever comes."""
    half = len(answer.body) // 2
    first = answer.body[0]
    kept = answer.body[:half] or [first[:5] if isinstance(first, bytes) else first]
    return replace(answer, framing="chunked", body=[*kept, Gate()])


def all_closed(stage: Stage) -> None:
    """Wait until the client has left every connection; there is none when the time was up before."""
    for connection in stage.server.connections:
        connection.wait_closed()


SOON = 0.06  # seconds
stalls = pytest.mark.parametrize("stall", [before_head, in_body])


@proves("Timeouts and deadlines")
@stalls
@every_way
def test_a_timeout(stage: Stage, way: Way, stall: Callable[[Answer], Answer]) -> None:
    """`timeout` ends a request that hangs, wherever it does, and closes its connection."""
    stage.leftovers_allowed = True  # on a slow machine the time is up before the request is there
    stage.say(Bent(Say("Hello, this is long enough"), stall))
    with pytest.raises(ProviderTimeoutError) as caught:
        stage.ask(way, timeout=SOON)

    assert caught.value.transient
    all_closed(stage)


@proves("Timeouts and deadlines")
@stalls
@every_way
def test_a_deadline(stage: Stage, way: Way, stall: Callable[[Answer], Answer]) -> None:
    """`deadline` ends the whole call, in a later turn too, and is no provider's error."""
    stage.leftovers_allowed = True  # on a slow machine the time is up before the second turn
    stage.say(Say(calls=(("add", {"a": 1}),)), Bent(Say("Hello, this is long enough"), stall))
    with pytest.raises(DeadlineError):
        stage.ask(way, tools=[add], deadline=2 * SOON, retry=3)

    all_closed(stage)


@proves("Timeouts and deadlines")
@every_way
def test_a_deadline_is_not_slept_over(stage: Stage, way: Way) -> None:
    """A wait that would end after the deadline is not begun."""
    stage.say(Fail(429, wait="50"))
    with pytest.raises(DeadlineError):
        stage.ask(way, deadline=40, retry=3)


# --- answers that are none ----------------------------------------------------------------------------

HTML = Answer([b"<html><body>Sign in to the proxy</body></html>"], 200, {"content-type": "text/html"})
EMPTY = Answer([], 200, {"content-type": "application/json"})
FOREIGN: dict[str, Answer] = {
    "html": HTML,
    "empty": EMPTY,
    "object": json_answer({"hello": "world"}),
    "list": json_answer([1, 2, 3]),
    "null": json_answer(None),
    "no json": Answer([b'{"a": '], 200, {"content-type": "application/json"}),
}


@proves("Unexpected and broken answers")
@pytest.mark.parametrize("foreign", FOREIGN)
@every_way
def test_foreign_answers(stage: Stage, way: Way, foreign: str) -> None:
    """Status 200 with something that is no answer is an error, never an empty answer."""
    stage.say(Odd(FOREIGN[foreign]))
    with pytest.raises(BadReplyError) as caught:
        stage.ask(way, output=None)

    assert caught.value.provider == stage.provider.model.partition(":")[0]


def reset(answer: Answer) -> Answer:
    """*answer*, whose connection is reset in the middle."""
    return replace(answer, body=_half(answer, Cut(reset=True)), framing="chunked")


def hung_up(answer: Answer) -> Answer:
    """*answer*, whose connection ends before its body does."""
    return replace(answer, body=_half(answer, Cut()), framing="chunked")


def _half(answer: Answer, end: Any) -> list[Any]:
    pieces = [step for step in answer.body if isinstance(step, bytes)]
    if len(pieces) == 1:
        return [pieces[0][: len(pieces[0]) // 2], end]
    return [*pieces[: len(pieces) // 2], end]


def refused(answer: Answer) -> Answer:
    """*answer*, before which the connection ends."""
    return replace(answer, before=Cut(reset=True))


@proves("Unexpected and broken answers")
@pytest.mark.parametrize("cut", [refused, reset, hung_up])
@every_way
def test_a_cut_connection(stage: Stage, way: Way, cut: Callable[[Answer], Answer]) -> None:
    """A connection that breaks is an error that may pass, and no part of an answer is one."""
    stage.say(Bent(Say("Hello, this is long enough to be cut"), cut))
    with pytest.raises(ProviderConnectionError) as caught:
        stage.ask(way)

    assert caught.value.transient


@proves("Unexpected and broken answers")
@pytest.mark.parametrize("cut", [refused, reset, hung_up])
@every_way
def test_a_cut_connection_is_tried_again(stage: Stage, way: Way, cut: Callable[[Answer], Answer]) -> None:
    """As long as nothing was said to the caller, the next try's answer counts, whole and once."""
    stage.say(Bent(Say(calls=(("add", {"a": 2}),)), cut), Say(calls=(("add", {"a": 2}),)), Say("Done."))
    result, pieces = stage.listen(way, tools=[add], retry=1)

    assert (result.value, result.attempts, len(result.tool_calls)) == ("Done.", 3, 1)
    assert pieces in (None, "Done.")


@proves("Unexpected and broken answers")
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.8])
@every_way
def test_an_answer_that_ends_early(stage: Stage, way: Way, kept: float) -> None:
    """A body that ends in good order but too soon is an error too, for only its last word makes it whole."""

    def short(answer: Answer) -> Answer:
        pieces = [step for step in answer.body if isinstance(step, bytes)]
        if len(pieces) == 1:
            return replace(answer, body=[pieces[0][: int(len(pieces[0]) * kept)]])
        return replace(answer, body=pieces[: max(1, int(len(pieces) * kept))])

    stage.say(Bent(Say("Hello, this is long enough to end too soon"), short))
    with pytest.raises(BadReplyError):
        stage.ask(way)


# --- leaving ------------------------------------------------------------------------------------------


@proves("Closing early frees the connection")
@every_way
def test_leaving_early(stage: Stage, way: Way) -> None:
    """Who stops reading a stream, or is cancelled, leaves no connection behind."""
    gate = Gate()
    stage.leftovers_allowed = way.__name__ == "run"  # which its time may end before the request is there
    stage.say(Bent(Say("Hello, this is long enough to leave"), lambda answer: _open(answer, gate)))
    asked = stage.command()
    LEAVING[way.__name__](asked, gate)

    all_closed(stage)


def _open(answer: Answer, gate: Gate) -> Answer:
    """*answer*, that says its text and then does not end."""
    return replace(answer, framing="chunked", body=[*answer.body[:-1], gate])


def _stream(asked: Any, gate: Gate) -> None:
    with asked.stream() as pieces:
        assert next(pieces)


def _stream_async(asked: Any, gate: Gate) -> None:
    async def leave() -> None:
        async with asked.stream_async() as pieces:
            assert await anext(pieces)

    asyncio.run(leave())


def _run_async(asked: Any, gate: Gate) -> None:
    async def leave() -> None:
        task = asyncio.create_task(asked.async_())
        await asyncio.to_thread(gate.wait_reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())


def _run(asked: Any, gate: Gate) -> None:
    # Nobody can leave a plain call but by its time.
    with pytest.raises(ProviderTimeoutError):
        asked.with_options(timeout=SOON)()


LEAVING = {"run": _run, "run_async": _run_async, "stream": _stream, "stream_async": _stream_async}
