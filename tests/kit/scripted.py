"""A conversation driven by hand: a test answers its requests, tools and waits, one after the other."""

from __future__ import annotations

from typing import Any

from alloy._engine.conversation import Question, converse
from alloy._engine.effects import Effect, Elapsed, Emit, RunningScript
from alloy._engine.fallbacks import Plan
from alloy._engine.routes import Route
from alloy.backends.fake.backend import FakeBackend
from alloy.events import Notice
from alloy.messages import OutputSchema, Request

__all__ = ["ROUTE", "Driven", "question"]

ROUTE = Route(FakeBackend("p"), "m")


def question(request: Request, *, awaited: OutputSchema | None = None, **changes: Any) -> Question[Any]:
    """A question that is put as *request* along a route to `p:m`."""
    plan = Plan(request, awaited, ("output_with_tools",) if awaited else ())
    return Question(
        **{
            "routes": (ROUTE,),
            "plan": lambda _: plan,
            "expected": "int",
            "read": lambda text, _: text,
            **changes,
        }
    )


class Driven:
    """The script of a question; its events are collected in `events`, and its clock always shows 0."""

    def __init__(self, question: Question[Any]) -> None:
        self.events: list[Notice] = []
        self._running: RunningScript[Any] = RunningScript(converse(question))
        self._skip()

    @property
    def pending(self) -> Effect[Any] | None:
        """The effect that the test has to answer; `None` at the end."""
        return self._running.pending

    @property
    def result(self) -> Any:
        """The script's result."""
        return self._running.result

    def resume(self, outcome: object) -> None:
        """Answer the pending effect with *outcome*."""
        self._running.resume(outcome)
        self._skip()

    def fail(self, error: Exception) -> None:
        """Let the pending effect fail with *error*."""
        try:
            self._running.fail(error)
        finally:
            self._skip()

    def close(self) -> None:
        """Abandon the script."""
        self._running.close()

    def _skip(self) -> None:
        while isinstance(pending := self._running.pending, Emit | Elapsed):
            if isinstance(pending, Emit):
                self.events.append(pending.event)
            self._running.resume(0.0)
