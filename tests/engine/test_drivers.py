"""The four drivers: time limits, leaving early, and what passes through them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest
from kit.patience import PATIENCE, limits

from alloy._engine.prepare import PreparedCall, prepare
from alloy._engine.runtime import background_loop
from alloy._engine.runtime.drivers import run, run_async, stream, stream_async
from alloy._typed.schemas.dialects import Dialect
from alloy.backends.base import CancelToken, Capabilities
from alloy.backends.registry import register_backend, registrations_undone
from alloy.config import Config
from alloy.endpoints import Endpoint
from alloy.errors import AlloyError, BadReplyError, DeadlineError, ProviderTimeoutError, RateLimitError
from alloy.messages import Delta, Reply, Request, TextDelta, ToolCall
from alloy.result import Result
from alloy.tools import tool

Step = Reply | Exception | str


class Tape:
    """A backend that plays steps: replies, errors, and "hang", which waits until it is cut off.

    Replies are streamed a letter at a time. It is what a package of somebody else's would bring.
    """

    name = "tape"
    dialect = Dialect()

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.open_streams = 0
        self.endpoints: list[Endpoint] = []

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities()

    def encode(self, request: Request) -> dict[str, Any]:
        return {"messages": len(request.messages)}

    def decode(self, raw: Any) -> Reply:
        assert isinstance(raw, Reply)
        return raw

    def accumulator(self) -> Letters:
        return Letters()

    def explain(self, error: Exception) -> AlloyError | None:
        return BadReplyError("garbled", provider=self.name) if isinstance(error, EOFError) else None

    def send(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Any:
        step = self._next(endpoint)
        if step == "hang":
            _hang(cancel)
        return step

    async def send_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> Any:
        step = self._next(endpoint)
        if step == "hang":
            await asyncio.Event().wait()
        return step

    def open(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken
    ) -> Generator[Any, None, None]:
        self.open_streams += 1
        try:
            step = self._next(endpoint)
            if step == "hang":
                yield "…"
                _hang(cancel)
            assert isinstance(step, Reply)
            yield from step.text
            yield step
        finally:
            self.open_streams -= 1

    async def open_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> AsyncGenerator[Any, None]:
        self.open_streams += 1
        try:
            step = self._next(endpoint)
            if step == "hang":
                yield "…"
                await asyncio.Event().wait()
            assert isinstance(step, Reply)
            for letter in step.text:
                yield letter
            yield step
        finally:
            self.open_streams -= 1

    def _next(self, endpoint: Endpoint) -> Step:
        self.endpoints.append(endpoint)
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step


class Letters:
    """Builds the reply of a `Tape`; the letter ! breaks it."""

    def __init__(self) -> None:
        self._reply: Reply | None = None

    def feed(self, event: Any) -> Delta | None:
        if isinstance(event, Reply):
            self._reply = event
            return None
        if event == "!":
            raise EOFError
        return TextDelta(event)

    def reply(self) -> Reply:
        if self._reply is None:
            raise BadReplyError("no end", provider="tape")
        return self._reply


def _hang(cancel: CancelToken) -> None:
    cut = threading.Event()
    cancel.attach(cut.set)
    assert cut.wait(2 * PATIENCE), "nobody cut this request off"
    raise EOFError


@pytest.fixture
def play() -> Iterator[Callable[..., tuple[PreparedCall[Any], Tape]]]:
    """Make a job whose backend plays the given steps."""

    def make(*steps: Step, tools: tuple[Any, ...] = (), **settings: Any) -> tuple[PreparedCall[Any], Tape]:
        tape = Tape(*steps)
        register_backend("tape", tape)
        config = Config(model="tape:m", **settings)
        return prepare("go", output=str, settings=config, tools=tools), tape

    with registrations_undone():
        yield make


def read_all(job: PreparedCall[Any]) -> tuple[Result[Any], str]:
    """Run a stream to its end: the result, and the text that came out."""
    text, deltas = "", stream(job)
    while True:
        try:
            delta = next(deltas)
        except StopIteration as done:
            return done.value, text
        text += delta.text if isinstance(delta, TextDelta) else ""


async def read_all_async(job: PreparedCall[Any]) -> tuple[Any, str]:
    """As `read_all`, in a loop."""
    text, parts = "", stream_async(job)
    async for part in parts:
        text += part.text if isinstance(part, TextDelta) else ""
    return parts.result, text


WAYS: dict[str, Callable[[PreparedCall[Any]], Any]] = {
    "run": run,
    "run_async": lambda job: asyncio.run(run_async(job)),
    "stream": lambda job: read_all(job)[0],
    "stream_async": lambda job: asyncio.run(read_all_async(job))[0],
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


def calling(*names: str) -> Reply:
    """A turn that calls tools."""
    return Reply(
        calls=tuple(ToolCall(str(i), name, "{}") for i, name in enumerate(names)), finish="tool_calls"
    )


@every_way
def test_every_driver_gives_the_same_result(way: Any, play: Any):
    """Colour and streaming change nothing in what a call did."""
    job, _ = play(calling("shout"), Reply("done"), tools=(tool(shout),))
    result = way(job)
    assert (result.value, result.turns, result.tool_calls[0].value) == ("done", 2, "AH")


def shout() -> str:
    """Shout."""
    return "AH"


@pytest.mark.parametrize("read", [read_all, lambda job: asyncio.run(read_all_async(job))])
def test_streams_give_the_text_of_every_turn(read: Any, play: Any):
    """What the model says before it calls a tool comes out as well."""
    job, _ = play(Reply("Let me see. ", calling("shout").calls), Reply("done"), tools=(tool(shout),))
    assert read(job)[1] == "Let me see. done"


@every_way
def test_a_request_that_takes_too_long_is_a_timeout(way: Any, play: Any):
    """The limit is on the whole request, and is tried again like other transient failures."""
    tapes: list[Tape] = []
    for limit in limits(lambda: tapes[-1].endpoints):
        job, tape = play("hang", timeout=limit, retry=0)
        tapes.append(tape)
        with pytest.raises(ProviderTimeoutError, match=f"timeout={limit}"):
            way(job)
        assert tape.open_streams == 0
    assert tapes[-1].endpoints[0].timeout == pytest.approx(limit)


@pytest.mark.parametrize("way", [run, WAYS["run_async"]], ids=["run", "run_async"])
def test_a_timeout_is_tried_again(way: Any, play: Any):
    """A second try that is quick enough gives the answer."""
    attempts: list[int] = []
    for limit in limits(lambda: attempts == [2]):
        job, _ = play("hang", *[Reply("late but here")] * 2, timeout=limit)
        with suppress(ProviderTimeoutError):  # of a machine that was not quick enough
            attempts[:] = [way(job).attempts]


@every_way
def test_the_deadline_bounds_a_request(way: Any, play: Any):
    """Where the deadline is what ran out, it is what the error names, and nothing is tried again."""
    tapes: list[Tape] = []
    for limit in limits(lambda: tapes[-1].endpoints):
        job, tape = play("hang", timeout=2 * PATIENCE, deadline=limit)
        tapes.append(tape)
        with pytest.raises(DeadlineError, match=f"deadline={limit}"):
            way(job)
    assert len(tapes[-1].endpoints) == 1


@every_way
@pytest.mark.parametrize("names", [("stuck",), ("stuck", "shout")], ids=["alone", "beside another"])
def test_the_deadline_bounds_tools(way: Any, names: tuple[str, ...], play: Any):
    """A tool that hangs is left behind."""
    began, release = threading.Event(), threading.Event()

    @tool
    def stuck() -> None:
        """Hang."""
        began.set()
        release.wait(2 * PATIENCE)

    try:
        for limit in limits(began.is_set):
            job, _ = play(calling(*names), tools=(stuck, tool(shout)), deadline=limit)
            with pytest.raises(DeadlineError):
                way(job)
    finally:
        release.set()


@every_way
def test_the_deadline_cancels_async_tools(way: Any, play: Any):
    """An async tool is cancelled, in either colour of driver."""
    began, cancelled = threading.Event(), threading.Event()

    @tool
    async def stuck() -> None:
        """Hang."""
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    for limit in limits(began.is_set):
        job, _ = play(calling("stuck"), tools=(stuck,), deadline=limit)
        with pytest.raises(DeadlineError):
            way(job)
    assert cancelled.wait(PATIENCE)


@every_way
def test_a_wait_that_would_pass_the_deadline_is_not_begun(way: Any, play: Any):
    """The error comes at once, and says behind itself why there was a wait at all."""
    busy = RateLimitError("slow down", provider="tape", retry_after=50.0)
    job, _ = play(busy, deadline=40)
    with pytest.raises(DeadlineError) as caught:
        way(job)
    assert caught.value.transcript is not None


def test_leaving_a_stream_early_ends_the_request(play: Any):
    """The backend's stream is closed at once, not when it is collected."""
    job, tape = play(Reply("a long story"))
    deltas = stream(job)
    next(deltas)
    assert tape.open_streams == 1
    deltas.close()
    assert tape.open_streams == 0


def test_leaving_an_async_stream_early_ends_the_request(play: Any):
    """The same in a loop."""
    job, tape = play(Reply("a long story"))

    async def leave() -> int:
        deltas = stream_async(job)
        await anext(deltas)
        await deltas.aclose()
        return tape.open_streams

    assert asyncio.run(leave()) == 0


@pytest.mark.parametrize("streamed", [False, True])
def test_cancelling_a_task_ends_the_request(streamed: bool, play: Any):
    """A cancelled task leaves nothing open and raises nothing of ours."""
    job, tape = play("hang")

    async def cancel() -> None:
        task = asyncio.create_task(read_all_async(job) if streamed else run_async(job))
        while not tape.endpoints:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert tape.open_streams == 0


def test_cancelling_a_task_cancels_its_tools(play: Any):
    """Async tools do not outlive the call."""
    state: list[str] = []

    @tool
    async def stuck() -> None:
        """Hang."""
        state.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            state.append("ended")

    job, _ = play(calling("stuck", "stuck"), tools=(stuck,))

    async def cancel() -> None:
        task = asyncio.create_task(run_async(job))
        while state.count("began") < 2:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert state.count("ended") == 2

    asyncio.run(cancel())


@every_way
def test_ctrl_c_passes(way: Any, play: Any):
    """What is no `Exception` is nobody's to handle, and nothing stays open."""
    job, tape = play(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        way(job)
    assert tape.open_streams == 0


@pytest.mark.parametrize("way", [WAYS["stream"], WAYS["stream_async"]], ids=["stream", "stream_async"])
def test_a_stream_that_breaks_after_text_is_not_repeated(way: Any, play: Any):
    """The error carries the text so far, and no second request goes out."""
    job, tape = play(Reply("Once!"), Reply("Once upon"))
    with pytest.raises(BadReplyError) as caught:
        way(job)
    assert (caught.value.text, len(tape.steps)) == ("Once", 1)


@pytest.mark.parametrize("way", [WAYS["stream"], WAYS["stream_async"]], ids=["stream", "stream_async"])
def test_a_stream_that_breaks_before_text_is_tried_again(way: Any, play: Any):
    """Nothing was said yet, so nothing is said twice."""
    job, _ = play(Reply("!"), Reply("fine"))
    assert way(job).attempts == 2


@every_way
def test_a_bug_stays_a_bug(way: Any, play: Any):
    """What neither the SDK nor the wire raised is not dressed up as a provider's error."""
    job, _ = play(ZeroDivisionError("mine"))
    with pytest.raises(ZeroDivisionError):
        way(job)


variable: ContextVar[str] = ContextVar("variable", default="unset")


@every_way
@pytest.mark.parametrize("count", [1, 3])
def test_context_variables_reach_the_tools(way: Any, count: int, play: Any):
    """Sync and async tools see what the caller's context holds."""

    @tool
    def sync_look() -> str:
        """Look."""
        return variable.get()

    @tool
    async def async_look() -> str:
        """Look."""
        return variable.get()

    job, _ = play(calling(*["sync_look", "async_look"] * count), Reply("seen"), tools=(sync_look, async_look))
    token = variable.set("here")
    try:
        values = [call.value for call in way(job).tool_calls]
    finally:
        variable.reset(token)
    assert values == ["here"] * (2 * count)


@pytest.fixture
def fresh_portal() -> Iterator[None]:
    """Start and leave without a portal."""
    background_loop.close()
    yield
    background_loop.close()


@pytest.mark.usefixtures("fresh_portal")
def test_async_tools_of_sync_calls_share_one_loop(play: Any):
    """What an async tool keeps open between calls stays usable: its loop lives on."""
    loops = []

    @tool
    async def where() -> None:
        """Look round."""
        loops.append(asyncio.get_running_loop())

    for _ in range(2):
        job, _ = play(calling("where"), Reply("ok"), tools=(where,))
        run(job)
    assert loops[0] is loops[1]
    background_loop.close()
    assert loops[0].is_closed()


def test_sync_calls_with_async_tools_work_inside_a_running_loop(play: Any):
    """A sync call blocks the loop that it is made in, but does not need it."""

    @tool
    async def pause() -> str:
        """Pause."""
        await asyncio.sleep(0)
        return "rested"

    async def inside() -> Any:
        job, _ = play(calling("pause"), Reply("ok"), tools=(pause,))
        return run(job)

    assert asyncio.run(inside()).tool_calls[0].value == "rested"


@pytest.mark.parametrize("read", [read_all, lambda job: asyncio.run(read_all_async(job))])
def test_a_character_that_is_cut_in_two_comes_out_whole(read: Any, play: Any):
    """JSON writes an emoji as two escapes, and a provider may send them in two events."""
    split = "hi \ud83d\ude00 there \ud83d"
    job, _ = play(Reply(split))
    result, text = read(job)
    assert result.value == "hi 😀 there \ufffd"
    assert text == result.value
    text.encode()


@pytest.mark.parametrize("way", [run, WAYS["run_async"]], ids=["run", "run_async"])
def test_text_of_a_whole_reply_can_be_encoded(way: Any, play: Any):
    """Half a character is shown as what it is: unknown."""
    job, _ = play(Reply("hi \ude00"))
    assert way(job).value == "hi \ufffd"
