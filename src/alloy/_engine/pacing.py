"""Rate limits as a handler: a request waits until the pace of its model lets it through."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from alloy._engine.effects import CallModel, Effect, Elapsed, Emit, Handler, Script, Sleep
from alloy._engine.pace import PACES, Limits, Pace, Ticket
from alloy._engine.routes import Route
from alloy.errors import AlloyError, CircuitOpenError, DeadlineError, ProviderError, RateLimitError
from alloy.events import RateLimited
from alloy.media import Media
from alloy.messages import Reply, Request, ToolResults, User
from alloy.quantities import LONGEST_WAIT
from alloy.settings import Config

__all__ = ["estimated_tokens", "limits_of", "paced"]

CHARACTERS = 4  # of a token, about
TOKENS_OF_FILE = 1000  # about, of an image or a page
LONGEST_SLEEP = 1.0  # seconds, or a quarter of the wait: others may leave, and then it is shorter


def limits_of(models: Sequence[tuple[Route, Config]]) -> list[tuple[Route, Limits]]:
    """The limits of each route; empty if there are none."""
    if not any(each.requests_per_minute or each.tokens_per_minute for _, each in models):
        return []
    return [(route, Limits(each.requests_per_minute, each.tokens_per_minute)) for route, each in models]


def paced(limits: Sequence[tuple[Route, Limits]], longest_pause: float, deadline: float | None) -> Handler:
    """The handler that lets the requests of a call wait, whose *deadline* ends the wait.

    *longest_pause* bounds what a server may ask for.
    """
    waited = 0.0  # since the last reply

    def rate_limit(effect: Effect[Any]) -> Script[Any]:
        nonlocal waited
        if not isinstance(effect, CallModel):
            return (yield from effect)
        limit = next((each for route, each in limits if route is effect.route), limits[0][1])
        if limit == Limits():
            return (yield from effect)
        pace = PACES.of(effect.route.address)
        request = effect.request
        prompt = 0 if limit.tokens is None else estimated_tokens(request)
        ticket = pace.reserve(limit, prompt, request.max_tokens)
        try:
            waited += yield from _wait(pace, ticket, effect.route.name, deadline)
        except BaseException:  # the call ends, or is cancelled
            pace.give_up(ticket)
            raise
        try:
            reply: Reply = yield from effect
        except AlloyError as error:
            _take_in(pace, ticket, error, longest_pause)
            raise
        pace.answered(ticket, reply.usage.total_tokens, reply.usage.output_tokens)
        total, waited = waited, 0.0
        return replace(reply, waited=total) if total else reply

    return rate_limit


def _wait(pace: Pace, ticket: Ticket, model: str, deadline: float | None) -> Script[float]:
    """Wait until the request may be sent; the seconds that it took. Raises `DeadlineError` at once."""
    seconds = pace.wait(ticket)
    if not seconds:
        return 0.0
    began = yield from Elapsed()
    yield from Emit(RateLimited(seconds, model))
    now = began
    while seconds:
        if deadline is not None and now + seconds >= deadline:
            raise DeadlineError(
                f"a wait of {seconds:.1f} seconds for its turn by the rate limits of {model} would exceed "
                f"deadline={deadline} seconds"
            )
        yield from Sleep(min(seconds, max(LONGEST_SLEEP, seconds / 4), LONGEST_WAIT))
        now = yield from Elapsed()
        seconds = pace.wait(ticket)
    return now - began


def _take_in(pace: Pace, ticket: Ticket, error: AlloyError, longest_pause: float) -> None:
    """Take in that the request ended with *error*."""
    if isinstance(error, CircuitOpenError):  # it was not sent
        pace.give_up(ticket)
    elif isinstance(error, ProviderError) and error.status is not None and not error.text:
        pace.refused(ticket)
    if _is_overload(error):
        asked = error.retry_after  # type: ignore[attr-defined]
        pace.overloaded(ticket, None if asked is None else min(asked, longest_pause))


def _is_overload(error: AlloyError) -> bool:
    """Whether the server has too many requests: 429, 529 (Anthropic: "overloaded"), 503 with `Retry-After`.

    A quota that is used up is not transient, and slower requests do not help.
    """
    if not isinstance(error, ProviderError) or not error.transient or isinstance(error, CircuitOpenError):
        return False
    if isinstance(error, RateLimitError) or error.status == 529:
        return True
    return error.status == 503 and error.retry_after is not None


def estimated_tokens(request: Request) -> int:
    """About how many tokens the prompt of *request* has: a token for each four characters."""
    size = len(request.system or "") + sum(map(_size_of, request.messages))
    for tool in request.tools:
        size += len(tool.name) + len(tool.description) + len(json.dumps(tool.parameters))
    if request.output is not None:
        size += len(json.dumps(request.output.schema))
    return size // CHARACTERS + 1


def _size_of(turn: Any) -> int:
    match turn:
        case User():
            return sum(map(_part_size, turn.parts))
        case Reply():
            return len(turn.text) + sum(len(call.name) + len(call.arguments) for call in turn.calls)
        case ToolResults(results):
            return sum(sum(map(_part_size, result.parts or (result.content,))) for result in results)
        case _:
            return 0


def _part_size(part: str | Media) -> int:
    if isinstance(part, str):
        return len(part)
    if part.media_type.startswith("text/") and part.data is not None:
        return len(part.data)
    return TOKENS_OF_FILE * CHARACTERS
