"""Failed requests: errors by status, retries, time limits, and answers that are not valid."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from kit.patience import limits
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
from suite.script import ChangedAnswer, ErrorAnswer, ModelTurn, RawAnswer
from suite.scripted_provider import ScriptedProvider, Way
from suite.table import proves
from suite.test_tools import add

STATUSES: dict[int, tuple[type[ProviderError], bool]] = {  # the error, and whether it is transient
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
def test_errors_by_status(scripted: ScriptedProvider, way: Way, status: int) -> None:
    """Each status has its class; the error has the provider's message, the request id and the wait."""
    kind, transient = STATUSES[status]
    scripted.script(ErrorAnswer(status, "out of luck today", wait="7"))
    with pytest.raises(ProviderError) as caught:
        scripted.ask(way)

    error = caught.value
    assert type(error) is kind
    assert "out of luck today" in str(error)
    assert (error.status, error.transient, error.retry_after) == (status, transient, 7.0)
    assert error.request_id == scripted.provider.request_id
    assert error.provider == scripted.provider.model.partition(":")[0]
    assert error.text == ""


@proves("Retries")
@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
@every_way
def test_a_retry_succeeds(scripted: ScriptedProvider, way: Way, status: int) -> None:
    """A transient error is retried with the same request, and tools do not run again."""
    scripted.script(
        ErrorAnswer(status, wait="0"),
        ModelTurn(calls=(("add", {"a": 2}),)),
        ErrorAnswer(status, wait="0"),
        ModelTurn("Done."),
    )
    result = scripted.ask(way, tools=[add], retry=1)

    assert (result.value, result.turns, result.attempts) == ("Done.", 2, 4)
    assert len(result.tool_calls) == 1
    bodies = [request.body for request in scripted.received]
    assert bodies[0] == bodies[1]
    assert bodies[2] == bodies[3]


@proves("Retries")
@every_way
def test_retries_are_limited(scripted: ScriptedProvider, way: Way) -> None:
    """After `retry` retries the last error is raised."""
    scripted.script(
        ErrorAnswer(500, wait="0"), ErrorAnswer(503, wait="0"), ErrorAnswer(529, "the last", wait="0")
    )
    with pytest.raises(ServerError, match="the last"):
        scripted.ask(way, retry=2)


@proves("Retries")
@pytest.mark.parametrize("status", [400, 401, 403, 404])
@every_way
def test_permanent_errors_are_not_retried(scripted: ScriptedProvider, way: Way, status: int) -> None:
    """A request with an error in the request, the key or the model is sent once."""
    scripted.script(ErrorAnswer(status, wait="0"))
    with pytest.raises(ProviderError):
        scripted.ask(way, retry=5)

    assert len(scripted.received) == 1


# --- time ---------------------------------------------------------------------------------------------


def before_head(answer: Answer) -> Answer:
    """*answer*, of which nothing is sent."""
    return replace(answer, before=Gate())


def in_body(answer: Answer) -> Answer:
    """*answer*, of which only the beginning of the body is sent."""
    half = len(answer.body) // 2
    first = answer.body[0]
    kept = answer.body[:half] or [first[:5] if isinstance(first, bytes) else first]
    return replace(answer, framing="chunked", body=[*kept, Gate()])


def all_closed(scripted: ScriptedProvider) -> None:
    """Wait until the client has closed every connection; if the time was over before, there is none."""
    for connection in scripted.server.connections:
        connection.wait_closed()


stalls = pytest.mark.parametrize("stall", [before_head, in_body])


@proves("Timeouts and deadlines")
@stalls
@every_way
def test_a_timeout(scripted: ScriptedProvider, way: Way, stall: Callable[[Answer], Answer]) -> None:
    """`timeout` ends a request that hangs, before or in its body, and closes its connection."""
    scripted.leftovers_allowed = True  # on a slow machine the time may be over before the request arrives
    for limit in limits(lambda: scripted.received):
        scripted.script(ChangedAnswer(ModelTurn("Hello, this is long enough"), stall))
        with pytest.raises(ProviderTimeoutError) as caught:
            scripted.ask(way, timeout=limit)

    assert caught.value.transient
    all_closed(scripted)


@proves("Timeouts and deadlines")
@stalls
@every_way
def test_a_deadline(scripted: ScriptedProvider, way: Way, stall: Callable[[Answer], Answer]) -> None:
    """`deadline` ends the whole call, also in a later turn; the error is not a provider's error."""
    stalled = ChangedAnswer(ModelTurn("Hello, this is long enough"), stall)
    scripted.leftovers_allowed = True  # on a slow machine the time may be over before the second turn
    for limit in limits(lambda: len(scripted.received) > 1):
        scripted.script(ModelTurn(calls=(("add", {"a": 1}),)), stalled)
        with pytest.raises(DeadlineError):
            scripted.ask(way, tools=[add], deadline=limit, retry=3)

    all_closed(scripted)


@proves("Timeouts and deadlines")
@every_way
def test_no_wait_beyond_the_deadline(scripted: ScriptedProvider, way: Way) -> None:
    """If a wait would end after the deadline, the call fails at once."""
    scripted.script(ErrorAnswer(429, wait="50"))
    with pytest.raises(DeadlineError):
        scripted.ask(way, deadline=40, retry=3)


# --- unexpected answers -------------------------------------------------------------------------------

HTML = Answer([b"<html><body>Sign in to the proxy</body></html>"], 200, {"content-type": "text/html"})
EMPTY = Answer([], 200, {"content-type": "application/json"})
UNEXPECTED: dict[str, Answer] = {
    "html": HTML,
    "empty": EMPTY,
    "object": json_answer({"hello": "world"}),
    "list": json_answer([1, 2, 3]),
    "null": json_answer(None),
    "no json": Answer([b'{"a": '], 200, {"content-type": "application/json"}),
}


@proves("Unexpected and broken answers")
@pytest.mark.parametrize("unexpected", UNEXPECTED)
@every_way
def test_unexpected_answers(scripted: ScriptedProvider, way: Way, unexpected: str) -> None:
    """A body with status 200 and an unexpected format is an error, never an empty answer."""
    scripted.script(RawAnswer(UNEXPECTED[unexpected]))
    with pytest.raises(BadReplyError) as caught:
        scripted.ask(way, output=None)

    assert caught.value.provider == scripted.provider.model.partition(":")[0]


def reset(answer: Answer) -> Answer:
    """*answer*, with a connection that is reset in the middle."""
    return replace(answer, body=_half(answer, Cut(reset=True)), framing="chunked")


def closed(answer: Answer) -> Answer:
    """*answer*, with a connection that is closed before the end of the body."""
    return replace(answer, body=_half(answer, Cut()), framing="chunked")


def _half(answer: Answer, end: Any) -> list[Any]:
    pieces = [step for step in answer.body if isinstance(step, bytes)]
    if len(pieces) == 1:
        return [pieces[0][: len(pieces[0]) // 2], end]
    return [*pieces[: len(pieces) // 2], end]


def refused(answer: Answer) -> Answer:
    """*answer*, with a connection that is reset before it."""
    return replace(answer, before=Cut(reset=True))


@proves("Unexpected and broken answers")
@pytest.mark.parametrize("cut", [refused, reset, closed])
@every_way
def test_a_broken_connection(scripted: ScriptedProvider, way: Way, cut: Callable[[Answer], Answer]) -> None:
    """A broken connection is a transient error; a part of an answer is never returned."""
    scripted.script(ChangedAnswer(ModelTurn("Hello, this is long enough to be cut"), cut))
    with pytest.raises(ProviderConnectionError) as caught:
        scripted.ask(way)

    assert caught.value.transient


@proves("Unexpected and broken answers")
@pytest.mark.parametrize("cut", [refused, reset, closed])
@every_way
def test_a_broken_connection_is_retried(
    scripted: ScriptedProvider, way: Way, cut: Callable[[Answer], Answer]
) -> None:
    """If the caller has received no text yet, the request is retried, and the text is received once."""
    scripted.script(
        ChangedAnswer(ModelTurn(calls=(("add", {"a": 2}),)), cut),
        ModelTurn(calls=(("add", {"a": 2}),)),
        ModelTurn("Done."),
    )
    result, pieces = scripted.ask_with_text(way, tools=[add], retry=1)

    # Of Ollama's server Alloy has asked something before, and a kept connection that is closed costs no try.
    was_kept = scripted.provider.name == "ollama" and cut is refused
    assert (result.value, result.attempts, len(result.tool_calls)) == ("Done.", 3 - was_kept, 1)
    assert len(scripted.received) == 3
    assert pieces in (None, "Done.")


@proves("Unexpected and broken answers")
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.8])
@every_way
def test_an_answer_that_ends_early(scripted: ScriptedProvider, way: Way, kept: float) -> None:
    """A body that ends normally but too early is an error, because the end mark is missing."""

    def short(answer: Answer) -> Answer:
        pieces = [step for step in answer.body if isinstance(step, bytes)]
        if len(pieces) == 1:
            return replace(answer, body=[pieces[0][: int(len(pieces[0]) * kept)]])
        return replace(answer, body=pieces[: max(1, int(len(pieces) * kept))])

    scripted.script(ChangedAnswer(ModelTurn("Hello, this is long enough to end too soon"), short))
    with pytest.raises(BadReplyError):
        scripted.ask(way)


# --- closing early ------------------------------------------------------------------------------------


@proves("Closing early frees the connection")
@every_way
def test_closing_early(scripted: ScriptedProvider, way: Way) -> None:
    """A stream that is closed early and a task that is cancelled close their connection."""
    gate = Gate()
    scripted.leftovers_allowed = way.__name__ == "run"  # its time may be over before the request arrives
    endless = ChangedAnswer(
        ModelTurn("Hello, this is long enough to leave"), lambda answer: _open(answer, gate)
    )
    scripted.script(*[endless] * (4 if scripted.leftovers_allowed else 1))
    asked = scripted.command()
    CLOSE_EARLY[way.__name__](asked, gate)

    all_closed(scripted)


def _open(answer: Answer, gate: Gate) -> Answer:
    """*answer*, which sends its text and then does not end."""
    return replace(answer, framing="chunked", body=[*answer.body[:-1], gate])


def _stream(asked: Any, gate: Gate) -> None:
    with asked.stream() as pieces:
        assert next(pieces)


def _stream_async(asked: Any, gate: Gate) -> None:
    async def close_early() -> None:
        async with asked.stream_async() as pieces:
            assert await anext(pieces)

    asyncio.run(close_early())


def _run_async(asked: Any, gate: Gate) -> None:
    async def close_early() -> None:
        task = asyncio.create_task(asked.async_())
        await asyncio.to_thread(gate.wait_reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(close_early())


def _run(asked: Any, gate: Gate) -> None:
    # Only a time limit can end a plain call early.
    for limit in limits(gate.reached.is_set):
        with pytest.raises(ProviderTimeoutError):
            asked.with_options(timeout=limit)()


CLOSE_EARLY = {"run": _run, "run_async": _run_async, "stream": _stream, "stream_async": _stream_async}
