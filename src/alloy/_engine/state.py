"""What a conversation is about, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from alloy._engine.call_forms import in_plain_form
from alloy._engine.call_ids import with_unique_call_ids
from alloy._engine.effects import HandlerError
from alloy._engine.fallbacks import Plan
from alloy._engine.policy import TYPED_ANSWER, Policy
from alloy._engine.result_media import with_media_sent
from alloy._engine.routes import Route
from alloy.errors import AlloyError, ConfigurationError, DeadlineError, ProviderTimeoutError
from alloy.messages import Reply, Request, RequestUsage, ToolResult, ToolResults, Turn, Usage, User
from alloy.partials import Partial
from alloy.result import Result

__all__ = ["Question", "State"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What is asked, and how the answer is read.

    *routes* are tried in their order: the next one when the policy gives the one before up. *plan* says how
    requests are put along a route, or raises `ConfigurationError`. *name* is the caller's, for events and
    logs. *read* converts the answer's text, which came along a route, into a value or raises an
    `AnswerError`, and *begun* what a text without its end has of a value; *check* returns what is wrong
    with a value, or `None`. *optional* means that an empty answer is a value too. *on_missing_feature* is
    called with a feature that the model there turned out to lack, *on_refused_schema* with one that it
    lacks for the schemas of one request, *on_ignored_feature* with one that the answer shows to have been
    ignored, and *on_used_feature* with one that was used. *take_retry* takes one of the retries that all
    calls have together there, and says whether one was left. *on_success* is called with the history when
    there is a value.
    """

    routes: tuple[Route, ...]
    plan: Callable[[Route], Plan]
    expected: str
    read: Callable[[str, Route], T]
    begun: Callable[[str, Route], Partial[T] | None] = lambda _, __: None
    check: Callable[[T], str | None] | None = None
    optional: bool = False
    policy: Policy = field(default_factory=Policy)
    name: str = "ask()"
    on_missing_feature: Callable[[Route, str], None] = lambda _, __: None
    on_refused_schema: Callable[[Route, str, Request], None] = lambda _, __, ___: None
    on_ignored_feature: Callable[[Route, str], None] = lambda _, __: None
    on_used_feature: Callable[[Route, str], None] = lambda _, __: None
    take_retry: Callable[[Route], bool] = lambda _: True
    on_success: Callable[[tuple[Turn, ...]], None] = lambda _: None

    def may_retry(self, error: AlloyError, failures: int, route: Route) -> bool:
        """Whether to ask again along *route* after *error*, whose text says so if a limit forbids it."""
        if not self.policy.tries_again(error, failures):
            return False
        reason = self.policy.too_long(error)
        if not reason:
            if self.take_retry(route):
                return True
            most = self.policy.retry_budget
            limit = "" if most is None else f": {most} {'retry' if most == 1 else 'retries'} a minute"
            reason = f"retry_budget is used up for {route.backend.name}{limit}"
        suffix = f"; not retried, because {reason}"
        # A handler may raise one error several times.
        error.args = (str(error).removesuffix(suffix) + suffix,)
        return False


class State:
    """What was sent and received so far, what it cost, and how the next request is put.

    `messages` is the transcript; a failed try is cut off it again. Answers in `void` are in it but are not
    sent again. `route` changes when the policy gives one up: then the transcript is cut to the first
    `settled` turns, the prompt and the tools that have run, and `failed` gets the error. `plan` changes with
    the route, and when the model turns out to lack a feature, when the typed answer is asked for in a last
    turn, and when a forced tool was called. `reasks` and `finalize` are what is left of the policy's tries.
    """

    def __init__(self, question: Question[Any]) -> None:
        self.further = list(question.routes)
        self.failed: list[tuple[str, AlloyError]] = []  # the models that were given up, with their errors
        self._reported = 0
        self._ended_with: AlloyError | None = None
        self._has_called = False  # whether the tool that `tool_choice` forces has been called
        self.usage, self.waited = Usage(), 0.0
        self.requests: list[RequestUsage] = []
        self.turns = self.attempts = self.tool_turns = self.cached = 0
        self.tool_calls: list[ToolResult] = []
        self.void: list[Turn] = []
        self.earlier = 0  # how many turns came before the current route
        self.take_route(question)
        self.messages: list[Turn] = list(self.plan.request.messages)
        self.settled = len(self.messages)

    def take_route(self, question: Question[Any]) -> None:
        """Begin with the next route that has what the request needs. Raises `ConfigurationError`."""
        while True:
            self.route = self.further.pop(0)
            try:
                self.plan = question.plan(self.route)
                break
            except ConfigurationError as error:
                if not self.further:
                    raise
                self.failed.append((self.route.name, error))
        self.model = self.paused = ""  # the text of turns that the provider interrupted
        self.reasks, self.finalize = question.policy.reask, question.policy.auto_finalize
        self.ignored_choice = False  # whether the last reply called other tools than `tool_choice` forces
        if self._has_called:
            self.change_request(tool_choice=None)

    def give_up_route(self, question: Question[Any], error: AlloyError) -> None:
        """Continue along the next route after *error*. Raises `ConfigurationError` as `take_route`."""
        self.failed.append((self.route.name, error))
        del self.messages[self.settled :]
        self.earlier = self.settled
        self.take_route(question)

    def add_results(self, results: list[ToolResult]) -> None:
        """Append the results of the tools that the last reply called."""
        self.tool_calls += results
        for result in results:
            if result.requests:  # of commands that the tool called
                self.usage += result.usage
                self.requests += result.requests
        self.messages.append(ToolResults(tuple(results)))
        self.settled = len(self.messages)

    def unreported(self) -> list[tuple[str, AlloyError]]:
        """The models that were given up since this was called last."""
        new, self._reported = self.failed[self._reported :], len(self.failed)
        return new

    @property
    def has_answer_text(self) -> bool:
        """Whether the model has written anything of its answer since the last tools."""
        return any(isinstance(turn, Reply) and turn.text for turn in self.messages[self.settled :])

    def end_forced_choice(self) -> None:
        """A model that is forced to call a tool in every turn would never answer."""
        self._has_called = True
        self.change_request(tool_choice=None)

    def failure_before(self, error: AlloyError) -> AlloyError | None:
        """The failure after which this model was to be asked, if *error* is that it is not set up.

        A model without its key or its package is skipped then: the failure is what the caller has to know.
        """
        if not isinstance(error, ConfigurationError) or isinstance(error, HandlerError):
            return None
        failed = (before for _, before in reversed(self.failed) if not isinstance(before, ConfigurationError))
        return next(failed, None)

    def end_with(self, failure: AlloyError, error: AlloyError) -> None:
        """The call ends with *failure*: the last model, which was to be asked after it, is not set up."""
        self.failed.append((self.route.name, error))
        self._ended_with = failure

    @property
    def ended_at(self) -> str:
        """The model whose error ends the call."""
        return next((model for model, error in self.failed if error is self._ended_with), self.route.name)

    def name_earlier_errors(self, error: AlloyError) -> None:
        """Add the errors of the other models to *error*, which ends the call."""
        others = [(model, other) for model, other in self.failed if other is not self._ended_with]
        for model, other in others:
            what = "could not be asked" if isinstance(other, ConfigurationError) else "was asked before"
            error.add_note(f"{model} {what}: {type(other).__name__}: {other}")
        error.earlier = tuple(other for _, other in others if other is not error)
        before = [other for other in error.earlier if not self._is_after(other)]
        # The cause of an error of a time limit is only that Alloy itself has closed the connection.
        is_limit = isinstance(error, DeadlineError | ProviderTimeoutError)
        if before and (error.__cause__ is None or (is_limit and not isinstance(error.__cause__, AlloyError))):
            error.__cause__ = before[-1]

    def _is_after(self, error: AlloyError) -> bool:
        errors = [each for _, each in self.failed]
        return self._ended_with is not None and errors.index(error) > errors.index(self._ended_with)

    @property
    def history(self) -> tuple[Turn, ...]:
        """The turns that later requests continue."""
        if not self.void:
            return tuple(self.messages)
        return tuple(turn for turn in self.messages if not any(turn is void for void in self.void))

    @property
    def output_is_native(self) -> bool:
        """Whether the current request asks the provider to enforce the answer's type."""
        request = self.plan.request
        return request.output is not None and request.output_mode == "native" == request.tool_mode

    def request(self) -> Request:
        """The next request. What another model wrote is sent in its plain form."""
        turns = self.history
        if self.earlier:
            before = self.messages[: self.earlier]
            turns = tuple(_plain(turn) if any(turn is one for one in before) else turn for turn in turns)
        planned, can = self.plan.request, self.route.capabilities
        return replace(planned, messages=with_media_sent(turns, can, native=planned.tool_mode == "native"))

    def change_request(self, **changes: Any) -> None:
        """Put later requests with *changes*."""
        self.plan = replace(self.plan, request=replace(self.plan.request, **changes))

    def ask_for_awaited_output(self) -> None:
        """Begin the last turn, without tools, in which the typed answer is asked for."""
        self.messages.append(User(TYPED_ANSWER))
        self.change_request(output=self.plan.awaited, tools=(), tool_choice=None, allowed_tools=None)
        self.plan = replace(self.plan, awaited=None)

    def received(self, reply: Reply) -> Reply:
        """Append *reply* to the history and return it with plain calls and unique ids."""
        reply = in_plain_form(with_unique_call_ids(reply, self.messages), self.plan.request.tools)
        self.messages.append(reply)
        if reply.cached:
            self.cached += 1
            self.attempts -= 1  # there was none
        else:
            self.usage += reply.usage
            self.waited += reply.waited
            self.requests.append(self.route.used(reply.usage))
        self.turns += 1
        self.model = reply.model or self.model
        return reply

    def result(self, value: T, text: str, seconds: float) -> Result[T]:
        return Result(
            value=value,
            text=text,
            usage=self.usage,
            turns=self.turns,
            attempts=self.attempts,
            tool_calls=tuple(self.tool_calls),
            model=f"{self.route.backend.name}:{self.model or self.route.model}",
            transcript=tuple(self.messages),
            downgrades=self.plan.fallbacks,
            seconds=seconds,
            requests=tuple(self.requests),
            waited=self.waited,
            cached=self.cached,
        )


def _plain(turn: Turn) -> Turn:
    return replace(turn, echo=None) if isinstance(turn, Reply) and turn.echo is not None else turn
