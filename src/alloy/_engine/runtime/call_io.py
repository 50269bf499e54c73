"""What performing a call shares in sync and async: its clock, its listeners, and how errors are read."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from alloy._engine.effects import (
    CallApi,
    CallModel,
    Effect,
    InThread,
    ParseValues,
    RunTools,
    Sleep,
    not_an_effect,
)
from alloy._engine.ledger import current_ledger
from alloy._engine.logs import log_event
from alloy._engine.prepare import PreparedCall
from alloy._engine.routes import Route, secrets_of_all
from alloy._engine.runtime.deadline import Clock
from alloy._engine.server_words import without_secrets
from alloy._engine.surrogates import StreamedText, with_whole_characters
from alloy._engine.toolbox import ToolEnd, ToolRun, left_behind
from alloy._typed.types.async_parsers import Call
from alloy.backends.batches import ApiCall
from alloy.backends.registry import why_reached
from alloy.endpoints import Carried, Endpoint
from alloy.errors import (
    AlloyError,
    ModelNotFoundError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
)
from alloy.events import (
    CacheHit,
    CallFailed,
    CallStarted,
    Event,
    Final,
    ReasoningDelta,
    ReplyReceived,
    RequestSent,
    TextDelta,
    ToolFinished,
    ToolProgress,
    ToolStarted,
)
from alloy.logger import log
from alloy.messages import Delta, Reply, Request, ToolCall, ToolCallDelta, Turn

if TYPE_CHECKING:
    from alloy.backends.http.redaction import Redactor

__all__ = ["CallIO", "Exchange"]


class Exchange:
    """One model request: when it began, what it has streamed, and what the response's headers said."""

    def __init__(self, route: Route, limit: float | None, io: CallIO) -> None:
        self.route, self.limit, self._io = route, limit, io
        self.text = StreamedText()
        self.status: int | None = None
        self.request_id: str | None = None
        self.waits_for = "the answer"
        self.before = sys.exception()  # that the caller handles: it is not the request's
        self._began = perf_counter()

    @property
    def endpoint(self) -> Endpoint:
        """The route's endpoint, with the time limit of each phase, and this exchange to report to."""
        endpoint = self.route.endpoint
        return replace(
            endpoint,
            timeout=self.limit,
            report=self._report,
            report_wait=self._report_wait,
            carried=self._io.carried,
        )

    @property
    def is_over(self) -> bool:
        """Whether its time limit has passed."""
        return self.limit is not None and perf_counter() - self._began >= self.limit

    def _report(self, status: int, request_id: str | None) -> None:
        self.status, self.request_id = status, request_id
        self.waits_for = "the rest of the answer"

    def _report_wait(self, what: str) -> None:
        self.waits_for = what

    def finished(self, reply: Reply) -> Reply:
        """*reply* with whole characters only, and with what is known of the exchange."""
        if (ledger := current_ledger()) is not None:  # a tool makes this call
            ledger.note(self.route.used(reply.usage))
        return replace(
            self._io.without_secrets(with_whole_characters(reply)),
            status=self.status,
            request_id=self.request_id,
            seconds=perf_counter() - self._began,
        )


class CallIO(ABC):
    """The state of one call while its effects are performed; its clock starts when it is made.

    A subclass adds the seven things that differ between sync and async: sending a request, streaming one,
    calling a batch API, running tools, sleeping, waiting for async parsers, and calling what blocks. In async
    each of them is awaited or iterated with `async for`, so what they return has no common type.
    """

    def __init__(self, call: PreparedCall[Any], *, streamed: bool = False) -> None:
        self.call, self.streamed = call, streamed
        self.clock = Clock(call.settings.timeout, call.settings.deadline)
        self.carried = Carried()  # by the requests of this call
        self._started = self._ended = False  # whether the first and the last event are out
        self._model = ""  # that was asked last
        self._announced: RequestSent | None = None  # not published: a handler may refuse the request
        self._open: dict[str, ToolCall] = {}  # by id, the tools that have started and not ended

    # --- effects ------------------------------------------------------------------------------------

    def observed(self, effect: Effect[Any]) -> Any:
        """The generator that performs *effect* and yields its events; `None` when it has no events."""
        match effect:
            case CallModel(route, request) if self.streamed:
                return self.stream(route, request)
            case RunTools(route, calls):
                return self.run_tools(route, calls)
        return None

    def perform(self, effect: Effect[Any]) -> Any:
        """Perform an *effect* without events: its outcome, which is to be awaited in async."""
        match effect:
            case CallModel(route, request):
                return self.send(route, request)
            case CallApi(route, call):
                return self.call_api(route, call)
            case Sleep(seconds):
                self.clock.check(seconds)
                return self.sleep(seconds)
            case ParseValues(calls):
                return self.gather(calls)
            case InThread(function):
                return self.in_thread(function)
        raise not_an_effect(effect)

    @abstractmethod
    def send(self, route: Route, request: Request) -> Any:
        """Send *request* and wait for the reply."""

    @abstractmethod
    def call_api(self, route: Route, call: ApiCall) -> Any:
        """Send *call* to the batch API of a provider and wait for the parsed answer."""

    @abstractmethod
    def stream(self, route: Route, request: Request) -> Any:
        """Send *request*; yield the deltas of its reply, and end with the reply."""

    @abstractmethod
    def run_tools(self, route: Route, calls: Sequence[ToolCall]) -> Any:
        """Run tools; yield the end of each as it comes, and at last the results in the order of the calls."""

    @abstractmethod
    def sleep(self, seconds: float) -> Any:
        """Wait."""

    @abstractmethod
    def gather(self, calls: Sequence[Call]) -> Any:
        """Run async parsers side by side and wait for their outcomes."""

    @abstractmethod
    def in_thread(self, function: Callable[[], Any]) -> Any:
        """What *function* returns, without blocking an event loop."""

    # --- events -------------------------------------------------------------------------------------

    @cached_property
    def call_id(self) -> str:
        """What the events of this call have in common."""
        return uuid4().hex

    def emit(self, event: Event) -> Iterator[Event]:
        """Publish *event*, and yield it for the reader of a stream.

        A request is published when it reaches the driver (`sending`): a handler may refuse it before.
        What has begun ends once, whatever a handler raises, answers or performs again: the end of a tool that
        has not begun is not published, nor is a second beginning or end. When a call fails, its tools end.
        """
        match event:
            case RequestSent():
                self._announced = event
                return
            case ReplyReceived():  # a handler may have made it
                yield from self.sending()
            case CallStarted() if self._started:
                return
            case ToolStarted(call) if call.id in self._open:
                return
            case ToolFinished(result) if result.call.id not in self._open:
                return
            case Final() | CallFailed() if self._ended:
                return
            case CallFailed(error, command, model):
                if not self._started:  # a handler raised there
                    yield self.publish(CallStarted(command, model))
                for call in tuple(self._open.values()):
                    yield self.publish(ToolFinished(left_behind(call, error)))
        yield self.publish(event)

    def sending(self) -> Iterator[Event]:
        """Publish the request that the script has announced, unless that is done."""
        event, self._announced = self._announced, None
        if event is not None:
            yield self.publish(event)

    def publish(self, event: Event) -> Event:
        """Log *event* and call the listeners with it; returns it with the call's id and duration."""
        if not isinstance(event, TextDelta | ReasoningDelta):
            event = replace(event, call_id=self.call_id)
        match event:
            case CallStarted():
                self._started = True
            case RequestSent(_, model):
                self._model = model
            case CacheHit():  # nothing is sent
                self._announced = None
            case ToolStarted(call):
                self._open[call.id] = call
            case ToolFinished(result):
                self._open.pop(result.call.id, None)
            case CallFailed():
                event = replace(event, seconds=self.clock.elapsed())
        self._ended = isinstance(event, Final | CallFailed)
        log_event(event)
        self._notify(event)
        return event

    def first_chunk(self) -> None:
        """Note that the first event of a streamed reply has arrived."""
        for watcher in self.call.watchers:
            watcher.first_chunk()

    def shown(self, delta: Delta) -> Delta:
        """*delta*, after the listeners were called with it."""
        if self.call.listeners and not isinstance(delta, ToolCallDelta):
            self._notify(delta)
        return delta

    def begun(self, calls: Sequence[ToolCall]) -> Iterator[Event]:
        """Publish the beginning of tools that a handler runs again, or in place of others."""
        if self.call.question.policy.emits:
            for call in calls:
                yield from self.emit(ToolStarted(call))

    def runs_of(self, route: Route, calls: Sequence[ToolCall]) -> list[ToolRun]:
        """The tools of *calls*, which are to run."""
        runs = [ToolRun(self.call.tools, call, route.backend.dialect, self.call.watchers) for call in calls]
        if self.call.listeners:
            for run, call in zip(runs, calls, strict=True):
                run.ledger.report = partial(self._report_progress, call)
        return runs

    def _report_progress(self, call: ToolCall, progress: float, total: float | None, message: str) -> None:
        if call.id in self._open:
            self._notify(ToolProgress(call, progress, total, message, call_id=self.call_id))

    def ended(self, end: ToolEnd) -> Event:
        """Publish that a tool has just ended."""
        return self.publish(ToolFinished(end.result))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Publish the end of a call that its script did not see: Ctrl-C, a cancelled task, a left stream.

        An error that the script itself has raised, from an answer, is cleaned here.
        """
        if isinstance(error, AlloyError):
            self._clean_raised(error)
        unseen = error is not None and not isinstance(error, Exception) and not self._ended
        if error is not None and unseen and self.call.question.policy.emits:
            question = self.call.question
            for _ in self.emit(CallFailed(error, question.name, self._model or question.routes[0].name)):
                pass

    def _notify(self, event: Event) -> None:
        for listener in self.call.listeners:
            try:
                listener(event)
            except Exception:
                log.exception("the listener %r failed; the call continues", listener)

    # --- errors -------------------------------------------------------------------------------------

    def clean(self, exchange: Exchange, error: BaseException, *, is_own: bool = False) -> None:
        """Remove from *error*, and from what led to it, the secrets that a request may have carried.

        Unless it *is_own*, an error of the caller's code, its requests and its bodies are dropped, too.
        """
        from alloy.backends.http.redaction import clean, release  # only errors need it

        if not is_own:
            release(error, exchange.before)
        clean(error, self.redactor(), exchange.before)

    def _clean_raised(self, error: AlloyError) -> None:
        """Remove secrets from what the *error* of a call has of the server's, which the caller may pickle."""
        if isinstance(error, ProviderError):
            redact = self.redactor()
            error.args = tuple(redact(part) if isinstance(part, str) else part for part in error.args)
            error.code = error.code and redact(error.code)
        if error.transcript:
            error.transcript = tuple(map(self._without_secret_echo, error.transcript))

    def _without_secret_echo(self, turn: Turn) -> Turn:
        """*turn*, in its plain form only if the server's own form of it repeats a secret."""
        if not isinstance(turn, Reply) or turn.echo is None or not self._repeats_secret(repr(turn.echo)):
            return turn
        return replace(turn, echo=None)

    def redactor(self) -> Redactor:
        """Removes the secrets of all models of the call, and what its requests carried."""
        from alloy.backends.http.redaction import Redactor

        carried = (each.strip() for each in self.carried.all())
        return Redactor([*secrets_of_all(self.call.question.routes), *carried])

    def without_secrets(self, reply: Reply) -> Reply:
        """*reply* without secrets in the words of the server."""
        known = {*self.call.tools.names, *(route.model for route in self.call.question.routes)}
        return without_secrets(reply, known, self._repeats_secret, lambda text: self.redactor()(text))

    def _repeats_secret(self, text: str) -> bool:
        if not self.carried.headers:  # the backend is not reached over HTTP
            return False
        from alloy.backends.http.redaction import repeats_secret

        return repeats_secret(self.carried, text)

    def explained(self, exchange: Exchange, error: Exception) -> Exception:
        """*error* as an Alloy error, or itself when it comes from neither the SDK nor the transport."""
        route = exchange.route
        problem = error if isinstance(error, AlloyError) else route.backend.explain(error)
        self.clean(exchange, error, is_own=problem is None)  # it may become the cause, which tracebacks show
        if problem is None:
            return error
        self.clean(exchange, problem)
        if isinstance(problem, ProviderTimeoutError) and self.clock.passed():
            return self.clock.deadline_error(exchange.waits_for)
        if _is_timeout(problem, error) and exchange.is_over:
            # The HTTP library's limit of a phase was faster than the limit of the whole.
            problem = self.clock.timeout_error(route.backend.name, exchange.waits_for)
        if isinstance(problem, ProviderError) and exchange.text.value:
            problem.text = exchange.text.value
        if route.by_name and _may_be_elsewhere(problem):
            problem.args = (f"{problem}; {why_reached(route.model)}",)
        return problem


def _is_timeout(problem: AlloyError, error: Exception) -> bool:
    """Whether *problem* is that the server was silent; that of a proxy is a `ProviderConnectionError`."""
    if not isinstance(problem, ProviderConnectionError) or problem.status is not None:
        return False
    origin = problem.__cause__ or error
    return isinstance(problem, ProviderTimeoutError) or type(origin).__name__ == "ConnectTimeout"


def _may_be_elsewhere(problem: AlloyError) -> bool:
    """Whether another provider may have been meant: this one was not reached, or has no such model."""
    if isinstance(problem, ProviderConnectionError):
        return not isinstance(problem, ProviderTimeoutError)
    return isinstance(problem, ModelNotFoundError)
