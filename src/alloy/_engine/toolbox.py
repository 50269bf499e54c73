"""The tools of one call: what the model is shown of them, and what happens when it calls one.

Whatever the model gets wrong goes back to it as the call's result: an unknown tool, bad arguments,
a contract that does not hold.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Collection, Iterable
from functools import partial
from time import perf_counter
from typing import Any, Protocol

from alloy._engine.effects import parse_values
from alloy._typed.answers.parse import dump
from alloy._typed.schemas.dialects import Wire, to_wire
from alloy._typed.types.parsers import gathered, resolving
from alloy._typed.types.signature import ArgumentsError, Signature
from alloy.errors import ToolError
from alloy.messages import ToolCall, ToolResult, ToolSchema

__all__ = ["Runnable", "Toolbox"]

log = logging.getLogger("alloy")


class Runnable(Protocol):
    """What the engine needs of a tool. Calling it checks its contracts and may raise `ToolError`."""

    name: str
    is_async: bool

    @property
    def signature(self) -> Signature:
        """The compiled parameters."""

    def __call__(self, **arguments: Any) -> Any:
        """Run the tool; an async tool gives an awaitable."""


class Toolbox:
    """Tools by name, in one backend's dialect; *errors* and *allowed* are settings."""

    def __init__(
        self,
        tools: Iterable[Runnable],
        dialect: str,
        errors: str = "return",
        allowed: Collection[str] | None = None,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._wires: dict[str, Wire] = {
            name: to_wire(tool.signature.schema, dialect) for name, tool in self._tools.items()
        }
        self._raises = errors == "raise"
        self._allowed = self._tools.keys() if allowed is None else allowed

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tools."""
        return tuple(self._tools)

    @property
    def schemas(self) -> tuple[ToolSchema, ...]:
        """What the model is shown."""
        return tuple(
            ToolSchema(name, tool.signature.description, self._wires[name].schema, self._wires[name].strict)
            for name, tool in self._tools.items()
        )

    def is_async(self, call: ToolCall) -> bool:
        """Whether *call* must be awaited."""
        tool = self._tools.get(call.name)
        return tool is not None and tool.is_async

    def run(self, call: ToolCall) -> ToolResult:
        """Run a tool that is not async. Raises `ToolError` only under `tool_errors="raise"`."""
        step = _Step(self, call)
        try:
            return step.succeeded(_no_coroutine(step.begin()))
        except Exception as error:  # noqa: BLE001 - whatever a tool raises is its result
            return step.failed(error)

    async def run_async(self, call: ToolCall) -> ToolResult:
        """As `run`, for an async tool."""
        import asyncio

        step = _Step(self, call)
        try:
            return step.succeeded(await step.begin_async())
        except Exception as error:  # noqa: BLE001 - as above
            return step.failed(error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the whole call is being cancelled
            return step.failed(RuntimeError(f"the tool was cancelled: {error}"))

    def find(self, call: ToolCall) -> tuple[Runnable, Wire]:
        """The tool that *call* names. Raises `ToolError` with the names that may be called."""
        if call.name in self._tools and call.name in self._allowed:
            return self._tools[call.name], self._wires[call.name]
        # Not every provider can restrict a model to some of its tools, and no model need obey.
        problem = "may not be called" if call.name in self._tools else "does not exist"
        names = ", ".join(name for name in self._tools if name in self._allowed) or "none"
        raise ToolError(f"the tool {call.name!r} {problem}; there are: {names}", tool=call.name)

    @property
    def raises(self) -> bool:
        """Whether a tool's exception ends the call."""
        return self._raises


def _no_coroutine(value: Any) -> Any:
    if inspect.iscoroutine(value):
        value.close()
        raise TypeError("the tool is not `async def` but returned a coroutine: make its wrapper async")
    return value


class _Step:
    """One call on its way through: what it was given, and when it began."""

    def __init__(self, box: Toolbox, call: ToolCall) -> None:
        self.box, self.call = box, call
        self.arguments: dict[str, Any] = {}
        self.began = perf_counter()

    def begin(self) -> Any:
        """Call the tool."""
        tool, wire = self.box.find(self.call)
        self.arguments = tool.signature.read(self.call.arguments, wire)
        return tool(**self.arguments)

    async def begin_async(self) -> Any:
        """Call an async tool and await it, and the async parsers of its arguments."""
        tool, wire = self.box.find(self.call)
        reading = resolving(partial(tool.signature.read, self.call.arguments, wire), parse_values)
        outcomes = None
        try:
            while True:
                outcomes = await gathered(reading.send(outcomes).calls)
        except StopIteration as done:
            self.arguments = done.value
        return await tool(**self.arguments)

    def succeeded(self, value: Any) -> ToolResult:
        return self._result(dump(value), value, None)

    def failed(self, error: Exception) -> ToolResult:
        if isinstance(error, ArgumentsError):
            problem = "bad arguments: " + "; ".join(error.problems)
        elif isinstance(error, ToolError):
            problem = str(error)
        elif self.box.raises:
            raise ToolError(f"the tool {self.call.name!r} failed: {error!r}", tool=self.call.name) from error
        else:
            log.warning("the tool %r failed; the model is told", self.call.name, exc_info=error)
            problem = f"{type(error).__name__}: {error}"
        return self._result(f"Error: {problem}", None, problem)

    def _result(self, content: str, value: Any, error: str | None) -> ToolResult:
        took = perf_counter() - self.began
        return ToolResult(self.call, content, value, self.arguments, error, took)
