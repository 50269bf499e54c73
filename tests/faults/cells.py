"""One cell of the table: a fault, a provider and a way to call; what comes out, and what must always hold.

The fault comes after a turn with a tool, so a cell also shows whether the tool ran again, and whether its
result and the tokens that were paid for are kept. It comes as often as it is asked for, with `retry=1`.
Afterwards the same client makes one more call, which a connection that was not released would hinder.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from kit.apis import TEXT, Api
from kit.patience import PATIENCE, limits
from kit.wire import Answer, Received, WireServer, ollama

from alloy import AlloyError, ask, tool
from alloy.backends.http.clients import CLIENTS
from alloy.events import Retry
from alloy.messages import ToolResults
from alloy.result import Result
from faults.quiet import left_over, noticed, tasks_left, threads

WHOLE, STREAMED = "call", "stream"
WAYS = {"call": WHOLE, "async": WHOLE, "stream": STREAMED, "async stream": STREAMED}
USAGE = 15  # the tokens of the turn with the tool, in all formats of the kit


@dataclass(frozen=True)
class Scene:
    """What a fault is built from: the provider's format, and whether the answer is streamed."""

    api: Api
    form: str
    server: WireServer

    @property
    def mode(self) -> str:
        return "send" if self.form == WHOLE else "open"

    def answer(self, text: str = TEXT, **fields: Any) -> Answer:
        """The answer without the fault."""
        return self.api.answer(self.mode, text, **fields)

    def events(self, text: str = TEXT, **fields: Any) -> list[Any]:
        """The events of the stream without the fault."""
        return self.api.events(self.api.whole(text, **fields), lambda said: [said[:3], said[3:]])

    def whole(self, text: str = TEXT, **fields: Any) -> Any:
        """The JSON of a plain answer without the fault."""
        return self.api.whole(text, **fields)


@dataclass(frozen=True)
class Fault:
    """A fault, and what it must lead to.

    *call* and *stream* are the outcomes of plain and of streamed calls, the same in sync and async: or why
    there is none, as `"- the reason"`. *but* has the outcomes of single providers that differ, and why.
    *text* is the value of a call that succeeds. A fault that is *endless* is met with a short `timeout`.
    *site* replaces the server: the fault is then in the first request, and the tool never runs.
    """

    name: str
    answer: Callable[[Scene], Answer] | None
    call: str
    stream: str
    but: Mapping[str, But] = field(default_factory=dict)
    text: str = TEXT
    endless: bool = False
    site: Callable[[], AbstractContextManager[Site]] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def expected(self, api: Api, way: str) -> str:
        """The outcome of a cell, or why there is none."""
        row = self.but.get(api.name, self)
        return row.call if WAYS[way] == WHOLE else row.stream

    def ways(self, api: Api) -> list[str]:
        """The ways to call in which the fault can happen."""
        return [way for way in WAYS if not self.expected(api, way).startswith("- ")]


@dataclass(frozen=True)
class But:
    """The outcomes at a provider that differs, and why it does."""

    call: str
    stream: str
    why: str


@dataclass(frozen=True)
class Site:
    """An address that is not a `WireServer`; *reached* says whether the client has come so far."""

    url: str
    reached: Callable[[], object] = lambda: True


class BrokenPromise(AssertionError):
    """What must hold in every cell does not."""


def outcome(fault: Fault, api: Api, way: str) -> str:
    """What comes of *fault*. Raises `BrokenPromise` for what must never happen."""
    before = threads()
    with noticed() as seen:
        found = _at_site(fault, api, way) if fault.site else _at_server(fault, api, way)
    _hold(not seen, f"nobody could catch this: {seen}")
    _hold(not (left := left_over(before)), f"threads are left: {left}")
    return found


def _hold(holds: object, problem: str) -> None:
    if not holds:
        raise BrokenPromise(problem)


# --- the server ---------------------------------------------------------------------------------------


class Script:
    """What a server says: a call of the tool, then the fault, and a good answer in the call after that."""

    def __init__(self, fault: Fault, scene: Scene) -> None:
        self._fault, self._scene = fault, scene
        self.asked_for_tool = self.asked_for_fault = 0
        self.after = False

    def end_fault(self) -> None:
        """From now on the answers are good."""
        self.after = True

    def __call__(self, request: Received) -> Answer:
        if request.path == "/api/show":
            return ollama.shown("completion", "tools")
        if self.after:
            return self._scene.answer()
        if not self.asked_for_fault and b"2 pens" not in request.content:
            self.asked_for_tool += 1
            answer = self._scene.answer("", calls=[("stock", {"item": "pens"})])
            answer.headers["connection"] = "close"  # so that the fault meets a new connection
            return answer
        self.asked_for_fault += 1
        assert self._fault.answer is not None
        return self._fault.answer(self._scene)


def _at_server(fault: Fault, api: Api, way: str) -> str:
    came_so_far = []
    for limit in limits(lambda: came_so_far[-1]) if fault.endless else [PATIENCE]:
        with serving() as server:
            script = server.always = Script(fault, Scene(api, WAYS[way], server))
            call = Call(fault, api, way, api.options(server))
            call.make(limit, script.end_fault)
            _check_connections(server)
        came_so_far.append(script.asked_for_tool == 1 and script.asked_for_fault > 0)
    _hold(script.asked_for_tool == 1, "the first turn was asked for again")
    _hold(call.tool_runs == 1, f"the tool ran {call.tool_runs} times")
    _hold(call.value_after == TEXT, f"the call after it gave {call.value_after!r}")
    if not fault.endless:
        _hold(script.asked_for_fault == 1 + call.retries, f"{script.asked_for_fault} requests")
    _check_kept(call.ended_with)
    return call.words(fault)


@contextmanager
def serving() -> Iterator[WireServer]:
    server = WireServer()
    try:
        yield server
    finally:
        CLIENTS.close()
        server.stop()


def _check_connections(server: WireServer) -> None:
    """All but the last one are closed, which the client may keep for more calls."""
    for connection in server.connections[:-1]:
        connection.wait_closed()


def _check_kept(ended_with: Any) -> None:
    """The first turn has been paid for, and its tool has run: both are in the result or in the error."""
    usage, transcript = ended_with.usage, ended_with.transcript
    _hold(usage is not None and usage.total_tokens >= USAGE, f"the tokens are lost: {usage}")
    results = [
        result for turn in transcript or () if isinstance(turn, ToolResults) for result in turn.results
    ]
    _hold([result.value for result in results] == ["2 pens"], f"the tool's result is lost: {results}")


def _at_site(fault: Fault, api: Api, way: str) -> str:
    assert fault.site is not None
    came_so_far = []
    for limit in limits(lambda: came_so_far[-1]) if fault.endless else [PATIENCE]:
        with fault.site() as site:
            options = {"model": f"{api.name}:{api.model}", "api_key": "k", "base_url": site.url + api.base}
            call = Call(fault, api, way, options)
            call.make(limit, None)
            came_so_far.append(site.reached())
            CLIENTS.close()
    _hold(call.tool_runs == 0, "the tool ran")
    return call.words(fault)


# --- the call -----------------------------------------------------------------------------------------


class Call:
    """A call in one of the four ways, what its reader saw, and the call after it."""

    def __init__(self, fault: Fault, api: Api, way: str, options: Mapping[str, Any]) -> None:
        self.way, self.heard = way, ""
        self.retries = self.tool_runs = 0
        self.ended_with: Any = None
        self.value_after: str | None = None
        self._lock = threading.Lock()
        self._options = {**options, "backoff": 0, "retry": 1, **fault.options}
        self._options |= {"tools": [self._tool()], "on_event": self._listen}

    def _tool(self) -> Any:
        @tool
        def stock(item: str) -> str:
            """How many there are."""
            with self._lock:
                self.tool_runs += 1
            return f"2 {item}"

        return stock

    def _listen(self, event: Any) -> None:
        self.retries += isinstance(event, Retry)

    def make(self, timeout: float, before_next: Callable[[], None] | None) -> None:
        """Make the call, and then another one unless *before_next* is `None`."""
        options = {**self._options, "timeout": timeout}
        if "async" in self.way:
            asyncio.run(self._make_async(options, before_next))
            return
        try:
            self.ended_with = self._run(options) if self.way == "call" else self._stream(options)
        except AlloyError as error:
            self.ended_with = error
        if before_next is not None:
            before_next()
            self.value_after = ask("Next?", **{**options, "tools": [], "timeout": PATIENCE})

    async def _make_async(self, options: dict[str, Any], before_next: Callable[[], None] | None) -> None:
        try:
            whole = self.way == "async"
            self.ended_with = await (self._run_async(options) if whole else self._stream_async(options))
        except AlloyError as error:
            self.ended_with = error
        left = await tasks_left()
        _hold(not left, f"tasks are left: {left}")
        if before_next is not None:
            before_next()
            self.value_after = await ask.async_("Next?", **{**options, "tools": [], "timeout": PATIENCE})

    def _run(self, options: dict[str, Any]) -> Result[str]:
        return ask.run("How many pens?", **options)

    async def _run_async(self, options: dict[str, Any]) -> Result[str]:
        return await ask.run_async("How many pens?", **options)

    def _stream(self, options: dict[str, Any]) -> Result[str]:
        with ask.stream("How many pens?", **options) as pieces:
            for piece in pieces:
                self.heard += piece
            return pieces.run()

    async def _stream_async(self, options: dict[str, Any]) -> Result[str]:
        async with ask.stream_async("How many pens?", **options) as pieces:
            async for piece in pieces:
                self.heard += piece
            return await pieces.run()

    def words(self, fault: Fault) -> str:
        """The outcome in words: a value or the class of the error, whether it was retried, what is kept."""
        ended_with = self.ended_with
        if isinstance(ended_with, Result):
            words = ["value" if ended_with.value == fault.text else f"another value: {ended_with.value!r}"]
        else:
            words = [f"`{type(ended_with).__name__}`"]
        words += ["retried"] * bool(self.retries)
        if self.heard:
            kept = ended_with.text
            _hold(kept == self.heard, f"the reader got {self.heard!r}, and {kept!r} is kept")
            words += ["text kept"] * isinstance(ended_with, AlloyError)
        return ", ".join(words)
