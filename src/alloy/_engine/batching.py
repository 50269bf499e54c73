"""Batches as scripts: submitting, watching, cancelling and reading one, written once for sync and async.

1. `submit`, `report`, `wait_for_end`, `cancel` and `results` are the operations of a provider's `BatchApi`,
   with every failed call repeated as the settings say, except one that might begin a second batch.
2. `BatchCall` makes a script of these a call that a driver takes to its end.
3. `reading` makes a prepared call one that is answered by a line of the results, and not by a server: the
   conversation reads, checks and publishes it as any other answer. It asks nothing again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from alloy._engine.budgeting import is_budget
from alloy._engine.effects import CallApi, Elapsed, Script, Sleep
from alloy._engine.handlers import current_handlers, current_listeners
from alloy._engine.logs import describe, wants_events
from alloy._engine.prepare import PreparedCall
from alloy._engine.routes import Route
from alloy._engine.state import Question
from alloy.backends.answered import Answered
from alloy.backends.base import Backend
from alloy.backends.batches import (
    ApiCall,
    BatchApi,
    BatchBackend,
    BatchLine,
    BatchReport,
    BatchResults,
    Steps,
)
from alloy.backends.fallback.choose import codec_for
from alloy.errors import AlloyError, DeadlineError, ProviderError
from alloy.logger import log
from alloy.messages import Turn

__all__ = [
    "BatchCall",
    "batch_backend",
    "cancel",
    "reading",
    "report",
    "results",
    "submit",
    "wait_for_end",
]

T = TypeVar("T")

LOOKS = 10  # at a batch that may fail in a row, each with its retries

# The server has read nothing of the request, or has refused it before doing anything.
_NOT_CONNECTED = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol")
_REFUSED = (429, 503, 529)


def batch_backend(backend: Backend) -> BatchBackend | None:
    """*backend*, if its provider has a batch API."""
    return cast("BatchBackend", backend) if getattr(backend, "batches", None) is not None else None


def _api(route: Route) -> BatchApi:
    api: BatchApi = route.backend.batches  # type: ignore[attr-defined]  # see `batch_backend`
    return api


# --- operations ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BatchCall(PreparedCall[T]):
    """A call that takes *steps*, whose outcome is a `T`, and not a conversation. No handler is around it."""

    steps: Callable[[], Script[Any]] | None = None

    def script(self) -> Script[Any]:
        """The steps, started nowhere yet."""
        assert self.steps is not None
        return self.steps()

    @classmethod
    def like(cls, call: PreparedCall[Any], steps: Callable[[], Script[T]]) -> BatchCall[T]:
        """*steps* under the settings of *call*, whose deadline is for a conversation."""
        settings = replace(call.settings, deadline=None)
        return cls(call.question, call.shape, call.tools, settings, steps=steps)


def submit(question: Question[Any], entries: Sequence[bytes], like: Mapping[str, Any]) -> Script[str]:
    """Begin a batch of *entries*; the provider's id of it."""
    return (yield from _performed(question, _api(question.routes[0]).submit(entries, like, question.name)))


def report(question: Question[Any], id: str, requests: int | None) -> Script[BatchReport]:
    """How far the batch is."""
    found: BatchReport = yield from _performed(question, _api(question.routes[0]).report(id, requests))
    return found


def cancel(question: Question[Any], id: str) -> Script[None]:
    """Ask the provider to run no further requests."""
    yield from _performed(question, _api(question.routes[0]).cancel(id))


def wait_for_end(
    question: Question[Any], id: str, requests: int | None, timeout: float | None, poll: float
) -> Script[BatchReport]:
    """Ask every *poll* seconds until the batch has ended. Raises `DeadlineError` after *timeout* seconds.

    A wait of a day outlasts a network that is down for some minutes: the error of a look is raised after
    `LOOKS` of them have failed in a row.
    """
    failed, state = 0, "nothing is known of it"
    while True:
        try:
            found = yield from report(question, id, requests)
        except ProviderError as error:
            failed += 1
            if not error.transient or failed >= LOOKS:
                raise
            text, model = (
                "%s: a look at the batch %s of %s failed (%s); it is repeated",
                question.routes[0].name,
            )
            log.warning(text, question.name, id, model, describe(error))
        else:
            failed, state = 0, str(found.status)
            if found.status.has_ended:
                return found
        pause = poll
        if timeout is not None:
            left = timeout - (yield from Elapsed())
            if left <= 0:
                raise DeadlineError(
                    f"the batch {id} has not ended within timeout={timeout} seconds: {state}; the "
                    "provider works on, and its results can be read later"
                )
            pause = min(poll, left)
        yield from Sleep(pause)


def results(question: Question[Any], id: str, found: BatchReport, requests: int) -> Script[BatchResults]:
    """What came of the requests of a batch that has ended."""
    return (yield from _performed(question, _api(question.routes[0]).results(id, found, requests)))


def _performed(question: Question[Any], steps: Steps[T]) -> Script[T]:
    """What *steps* return, with their calls as effects."""
    advance: Callable[[Any], ApiCall] = steps.send
    value: Any = None
    while True:
        try:
            call = advance(value)
        except StopIteration as done:
            outcome: T = done.value
            return outcome
        try:
            value, advance = (yield from _tried(question, call)), steps.send
        except AlloyError as error:
            value, advance = error, steps.throw


def _tried(question: Question[Any], call: ApiCall) -> Script[Any]:
    """The answer to *call*, with as many tries as the policy allows."""
    route, policy, failures = question.routes[0], question.policy, 0
    while True:
        try:
            return (yield from CallApi(route, call))
        except AlloyError as error:
            failures += 1
            if call.once and not _was_refused(error):
                raise _with_doubt(error) from error.__cause__
            if not question.may_retry(error, failures, route):
                raise
            wait = policy.wait(error, failures)
            _log_failure(question, route, call, error, wait)
        yield from Sleep(wait)


def _log_failure(
    question: Question[Any], route: Route, call: ApiCall, error: AlloyError, wait: float
) -> None:
    text = "%s: %s %s to %s failed (%s); next try in %.1f s"
    log.warning(text, question.name, call.method, call.path, route.name, describe(error), wait)


def _was_refused(error: AlloyError) -> bool:
    """Whether it is certain that the provider has not done what it was asked for."""
    if not isinstance(error, ProviderError):
        return True  # nothing was sent
    if error.status is not None:
        return error.status in _REFUSED or 400 <= error.status < 500
    return type(error.__cause__).__name__ in _NOT_CONNECTED


def _with_doubt(error: AlloyError) -> AlloyError:
    text = (
        "; it is not known whether the provider has begun the batch, so it was not sent again: look at the "
        "provider's list of batches first"
    )
    error.args = (f"{error}{text}",)
    return error


# --- reading ------------------------------------------------------------------------------------------


def reading(
    call: PreparedCall[T],
    line: BatchLine,
    turns: tuple[Turn, ...],
    check: Callable[[Any], str | None] | None,
) -> PreparedCall[T]:
    """*call*, answered by *line*; *turns* is its prompt, and *check* says what is wrong with a value.

    The handlers and listeners are those of the caller's scope. Budgets are not among them: the batch is paid
    for, and a budget that is used up must not keep its answers back.
    """
    question, route = call.question, call.question.routes[0]
    planned = question.plan(route)
    codec = codec_for(route.backend, planned.request)
    request = replace(planned.request, messages=turns, output_mode="native")
    handlers = tuple(each for each in current_handlers() if not is_budget(each))
    listeners = current_listeners(call.settings.on_event)
    answered = replace(route, backend=Answered(codec, line), in_batch=True)
    policy = replace(
        question.policy,
        retry=0,
        reask=0,
        auto_finalize=False,
        fallbacks=frozenset(),
        emits=bool(handlers or listeners) or wants_events(),
    )
    changed = Question(
        routes=(answered,),
        plan=lambda _: replace(planned, request=request),
        expected=question.expected,
        read=question.read,
        begun=question.begun,
        check=check,
        optional=question.optional,
        policy=policy,
        name=question.name,
    )
    settings = replace(call.settings, timeout=None, deadline=None)
    return replace(
        call,
        question=changed,
        settings=settings,
        handlers=handlers,
        listeners=listeners,
        watchers=(),  # there is no request that a trace could time
    )
