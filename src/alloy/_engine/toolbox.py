"""The tools of one call: what the model is shown of them, and what happens when it calls one.

A model's mistake goes back to it as the call's result: an unknown tool, bad arguments, a contract that does
not hold.
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
from alloy._typed.schemas.dialects import to_wire
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
    """Tools by name; *errors* and *allowed* are the settings `tool_errors` and `allowed_tools`."""

    def __init__(
        self, tools: Iterable[Runnable], errors: str = "return", allowed: Collection[str] | None = None
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._raises = errors == "raise"
        self._allowed = self._tools.keys() if allowed is None else allowed

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tools."""
        return tuple(self._tools)

    @property
    def schemas(self) -> tuple[ToolSchema, ...]:
        """What the model is shown, in plain JSON Schema."""
        return tuple(
            ToolSchema(name, tool.signature.description, tool.signature.schema)
            for name, tool in self._tools.items()
        )

    def is_async(self, call: ToolCall) -> bool:
        """Whether *call* must be awaited."""
        tool = self._tools.get(call.name)
        return tool is not None and tool.is_async

    def run(self, call: ToolCall, dialect: str) -> ToolResult:
        """Run a tool that is not async; the arguments of *call* are in *dialect*.

        Raises `ToolError` only under `tool_errors="raise"`.
        """
        step = _Step(self, call, dialect)
        try:
            return step.succeeded(_no_coroutine(step.begin()))
        except Exception as error:  # noqa: BLE001 - whatever a tool raises is its result
            return step.failed(error)

    async def run_async(self, call: ToolCall, dialect: str) -> ToolResult:
        """As `run`, for an async tool."""
        import asyncio

        step = _Step(self, call, dialect)
        try:
            return step.succeeded(await step.begin_async())
        except Exception as error:  # noqa: BLE001 - as above
            return step.failed(error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the whole call is being cancelled
            return step.failed(RuntimeError(f"the tool was cancelled: {error}"))

    def find(self, call: ToolCall) -> Runnable:
        """The tool that *call* names. Raises `ToolError` with the names that may be called."""
        if call.name in self._tools and call.name in self._allowed:
            return self._tools[call.name]
        # Not every provider can restrict a model to some of its tools, and not every model obeys.
        problem = "may not be called" if call.name in self._tools else "does not exist"
        names = ", ".join(name for name in self._tools if name in self._allowed) or "none"
        raise ToolError(f"the tool {call.name!r} {problem}; the tools are: {names}", tool=call.name)

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
    """One call in progress: its arguments, and when it began."""

    def __init__(self, box: Toolbox, call: ToolCall, dialect: str) -> None:
        self.box, self.call, self.dialect = box, call, dialect
        self.arguments: dict[str, Any] = {}
        self.began = perf_counter()

    def begin(self) -> Any:
        """Call the tool."""
        tool = self.box.find(self.call)
        self.arguments = self.read(tool)
        return tool(**self.arguments)

    def read(self, tool: Runnable) -> dict[str, Any]:
        """The arguments by name. Raises `ArgumentsError`."""
        signature = tool.signature
        return signature.read(self.call.arguments, to_wire(signature.schema, self.dialect))

    async def begin_async(self) -> Any:
        """Call an async tool and await it, and the async parsers of its arguments."""
        tool = self.box.find(self.call)
        reading = resolving(partial(self.read, tool), parse_values)
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
