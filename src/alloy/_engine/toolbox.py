"""The tools of one call: what the model is shown of them, and what happens when it calls one.

A model's mistake goes back to it as the call's result: an unknown tool, bad arguments, a contract that does
not hold.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from time import perf_counter
from types import EllipsisType
from typing import Any, NamedTuple, Protocol

from alloy._engine.effects import Script, parse_values
from alloy._engine.ledger import Ledger
from alloy._engine.result_media import contents_of
from alloy._engine.watching import UNWATCHED, Ended, Watcher, watched
from alloy._typed.schemas.dialects import Dialect, to_wire
from alloy._typed.types.async_parsers import resolving
from alloy._typed.types.signature import ArgumentsError, Signature
from alloy.budgets import Budget
from alloy.errors import ToolError
from alloy.logger import log
from alloy.messages import ToolCall, ToolResult, ToolSchema

__all__ = ["Runnable", "ToolEnd", "ToolRun", "Toolbox", "results_of"]


class Runnable(Protocol):
    """What the engine needs of a tool. Calling it checks its contracts and may raise `ToolError`."""

    name: str
    is_async: bool
    tool_timeout: float | EllipsisType | None  # `...` where the setting of this name applies
    tool_result_max_chars: int | EllipsisType | None

    @property
    def signature(self) -> Signature:
        """The compiled parameters."""

    def __call__(self, **arguments: Any) -> Any:
        """Run the tool; an async tool gives an awaitable."""


class Toolbox:
    """Tools by name; the other arguments are the settings about tools.

    *budgets* are those of the call, which the calls of its tools share. *raises* says whether a tool's
    exception ends the call.
    """

    def __init__(
        self,
        tools: Iterable[Runnable],
        errors: str = "return",
        allowed: Collection[str] | None = None,
        timeout: float | None = None,
        max_chars: int | None = None,
        budgets: tuple[Budget, ...] = (),
    ) -> None:
        self._timeout, self._max_chars = timeout, max_chars
        self._tools = {tool.name: tool for tool in tools}
        self.raises = errors == "raise"
        self.budgets = budgets
        self._allowed = self._tools.keys() if allowed is None else allowed

    @property
    def schemas(self) -> tuple[ToolSchema, ...]:
        """What the model is shown, in plain JSON Schema."""
        return tuple(
            ToolSchema(name, tool.signature.description, tool.signature.schema)
            for name, tool in self._tools.items()
        )

    @property
    def names(self) -> Collection[str]:
        """The names of all tools."""
        return self._tools.keys()

    def is_async(self, call: ToolCall) -> bool:
        """Whether *call* must be awaited."""
        tool = self._tools.get(call.name)
        return tool is not None and tool.is_async

    def timeout(self, call: ToolCall) -> float | None:
        """Seconds that the tool may take: its own limit, or that of all tools."""
        tool = self._tools.get(call.name)
        return self._timeout if tool is None or tool.tool_timeout is ... else tool.tool_timeout

    def max_chars(self, call: ToolCall) -> int | None:
        """How many characters of the result the model reads: the tool's own limit, or that of all tools."""
        tool = self._tools.get(call.name)
        if tool is None or tool.tool_result_max_chars is ...:
            return self._max_chars
        return tool.tool_result_max_chars

    def find(self, call: ToolCall) -> Runnable:
        """The tool that *call* names. Raises `ToolError` with the names that may be called."""
        if call.name in self._tools and call.name in self._allowed:
            return self._tools[call.name]
        # Not every provider can restrict a model to some of its tools, and not every model obeys.
        problem = "may not be called" if call.name in self._tools else "does not exist"
        names = ", ".join(name for name in self._tools if name in self._allowed) or "none"
        raise ToolError(f"the tool {call.name!r} {problem}; the tools are: {names}", tool=call.name)


class ToolEnd(NamedTuple):
    """How a tool ended: its *result*, and the *error* that ends the call under `tool_errors="raise"`."""

    result: ToolResult
    error: ToolError | None = None


def left_behind(call: ToolCall, error: BaseException) -> ToolResult:
    """The result of a tool that had not ended when *error* ended the call that it belongs to."""
    return ToolResult(call, "", error=f"the call ended before the tool did: {type(error).__name__}")


def results_of(ends: Iterable[ToolEnd]) -> list[ToolResult]:
    """The results of tools that have ended. Raises the first error that ends the call."""
    results = []
    for result, error in ends:
        if error is not None:
            raise error
        results.append(result)
    return results


class ToolRun:
    """One call of a tool, while it runs: its arguments, when it began, and what becomes of its end.

    The runtime reads the arguments (`arguments_read`), calls the tool (`begin`), awaits it if it is async,
    and then says how it ended (`succeeded`, `failed`, `timed_out`) and that it no longer runs.
    """

    def __init__(
        self, tools: Toolbox, call: ToolCall, dialect: Dialect, watchers: tuple[Watcher, ...] = ()
    ) -> None:
        self._tools, self._call, self._dialect, self._watchers = tools, call, dialect, watchers
        self._arguments: dict[str, Any] = {}
        self.name, self.is_async, self.timeout = call.name, tools.is_async(call), tools.timeout(call)
        self.is_running = False
        self.end: ToolEnd | None = None
        self.ledger = Ledger(tools.budgets)
        self._began = perf_counter()

    @property
    def is_over(self) -> bool:
        """Whether it has an end; it may still run."""
        return self.end is not None

    def watched(self) -> AbstractContextManager[Ended]:
        """A block around the whole of it; what it gives is called with the result."""
        return watched(self._watchers, self._call) if self._watchers else UNWATCHED

    def arguments_read(self) -> Script[None]:
        """Read the arguments; async parsers of them are awaited by whoever runs this.

        Raises `ArgumentsError`, and `ToolError` for an unknown tool.
        """
        self.is_running, self._began = True, perf_counter()
        self._arguments = yield from resolving(self._read, parse_values)

    def begin(self) -> Any:
        """Call the tool with the arguments that were read; an async tool returns an awaitable."""
        returned = self._tools.find(self._call)(**self._arguments)
        return _read(returned)  # here, where the tool's time and its errors count

    def succeeded(self, value: Any) -> ToolEnd:
        """The end when the tool returned *value*. Raises `TypeError` for a coroutine."""
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError("the tool is not `async def` but returned a coroutine: make its wrapper async")
        self.end = ToolEnd(self._result(_read(value), None))
        return self.end

    def failed(self, error: Exception) -> ToolEnd:
        """The end when *error* was raised."""
        ends_call = None
        if isinstance(error, ArgumentsError):
            problem = "bad arguments: " + "; ".join(error.problems)
        elif isinstance(error, ToolError):
            problem = str(error)
        else:
            problem = f"{type(error).__name__}: {_shown(error, str)}"
            if self._tools.raises:
                name = self._call.name
                ends_call = ToolError(f"the tool {name!r} failed: {_shown(error, repr)}", tool=name)
                ends_call.__cause__ = error
            else:
                log.warning("the tool %r failed; the model gets the error", self._call.name, exc_info=error)
        self.end = ToolEnd(self._result(f"Error: {problem}", problem), ends_call)
        return self.end

    def timed_out(self) -> ToolEnd:
        """The end when it took longer than its `tool_timeout`."""
        still = "; it may still be running" if self.is_running and not self.is_async else ""
        return self.failed(
            TimeoutError(f"the tool took longer than tool_timeout={self.timeout} seconds{still}")
        )

    def _read(self) -> dict[str, Any]:
        signature = self._tools.find(self._call).signature
        return signature.read(self._call.arguments, to_wire(signature.schema, self._dialect))

    def _result(self, value: Any, error: str | None) -> ToolResult:
        seconds = perf_counter() - self._began
        text, shown, parts = contents_of(value, self._tools.max_chars(self._call))
        if shown is not text:
            log.warning("the result of the tool %r is cut: it has %d characters", self.name, len(text))
        requests, kept = tuple(self.ledger.requests), value if error is None else None
        return ToolResult(self._call, shown, kept, self._arguments, error, seconds, requests, parts)


def _read(value: Any) -> Any:
    """*value*, or the items of an iterator, which can be read only once."""
    return list(value) if isinstance(value, Iterator) else value


def _shown(error: Exception, show: Callable[[Exception], str]) -> str:
    try:
        return show(error)
    except Exception as problem:  # noqa: BLE001 - the methods of a tool's own errors may be broken, too
        return f"(no text: {type(problem).__name__})"
