"""What watches the calls of a process from outside, such as traces: a watcher for each call.

A watcher has a handler, which sees the effects that are performed, and a block around each tool, in the
thread or task of that tool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Protocol

from alloy._engine.effects import Handler
from alloy.messages import ToolCall, ToolResult

__all__ = ["UNWATCHED", "Ended", "Watcher", "new_watchers", "set_watchers", "watched"]

Ended = Callable[[ToolResult], object]


class Watcher(Protocol):
    """Watches one call. Nothing that it does may raise."""

    @property
    def handler(self) -> Handler:
        """Sees the effects of the call, after all other handlers."""

    def first_chunk(self) -> None:
        """The first event of a streamed reply has arrived."""

    def around_tool(self, call: ToolCall) -> AbstractContextManager[Ended]:
        """A block around one tool; what it gives is called with the tool's result."""


Maker = Callable[[bool], Watcher]
_makers: tuple[Maker, ...] = ()


def set_watchers(*makers: Maker) -> None:
    """Have each call watched by what *makers* make when it is prepared, and by nothing else.

    They are called with whether the call is streamed.
    """
    global _makers
    _makers = makers


def new_watchers(*, streamed: bool = False) -> tuple[Watcher, ...]:
    """The watchers of one call."""
    return tuple(make(streamed) for make in _makers)


UNWATCHED: AbstractContextManager[Ended] = nullcontext(lambda _: None)


@contextmanager
def watched(watchers: Sequence[Watcher], call: ToolCall) -> Iterator[Ended]:
    """The blocks of all *watchers* around the tool of *call*."""
    with ExitStack() as stack:
        ends = [stack.enter_context(watcher.around_tool(call)) for watcher in watchers]
        yield lambda result: [end(result) for end in ends]
