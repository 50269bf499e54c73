"""How many requests go to one address at once: `max_connections`."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.apis import CHAT, OLLAMA, TEXT
from kit.patience import PATIENCE, limits
from kit.talking import MODES, Running
from kit.wire import Answer, Gate, Received, WireServer

from alloy import DeadlineError, ProviderTimeoutError, ask
from alloy._engine.runtime import gates as runtime_gates
from alloy._engine.runtime.gates import LoopGate, ThreadGate

every_mode = pytest.mark.parametrize("mode", MODES)
ONE: dict[str, Any] = {"max_connections": 1}


class Calls:
    """Calls in *mode*, in threads or in one event loop: the first gets a place before the others begin."""

    def __init__(self, server: WireServer, mode: str, first: Gate, *options: dict[str, Any]) -> None:
        self._calls = [partial(CHAT.ask, mode, server, **each) for each in options]
        self._tasks = [partial(CHAT.ask_async, mode, server, **each) for each in options]
        if mode.endswith("async"):
            CHAT.backend.load()  # otherwise that is waited for, and the order of the tasks may change
            self._running = [Running(lambda: asyncio.run(self._in_a_loop()))]
            first.wait_reached()
        else:
            self._running = [Running(partial(_outcome, self._calls[0]))]
            first.wait_reached()
            self._running += [Running(partial(_outcome, call)) for call in self._calls[1:]]

    async def _in_a_loop(self) -> list[Any]:
        return await asyncio.gather(*(task() for task in self._tasks), return_exceptions=True)

    def outcomes(self) -> list[Any]:
        """The answers and the errors, in the order of the calls."""
        found = [running.result() for running in self._running]
        return found[0] if isinstance(found[0], list) else found


def _outcome(call: Callable[[], str]) -> str | Exception:
    try:
        return call()
    except (DeadlineError, ProviderTimeoutError) as error:
        return error


def held(mode: str) -> tuple[Gate, Answer]:
    """An answer that comes when its gate is opened."""
    gate, answer = Gate(), CHAT.answer(mode)
    answer.before = gate
    return gate, answer


@every_mode
def test_more_requests_wait_for_a_place(server: WireServer, mode: str) -> None:
    """The third is sent when one of the first two is answered."""
    gates, answers = zip(*[held(mode) for _ in range(3)], strict=True)
    server.script(*answers)
    calls = Calls(server, mode, gates[0], *[{"max_connections": 2}] * 3)
    gates[1].wait_reached()
    assert len(server.requests) == 2
    gates[0].open()
    gates[2].wait_reached()
    for gate in gates:
        gate.open()
    assert calls.outcomes() == [TEXT] * 3
    assert len(server.connections) == 2


@every_mode
def test_the_wait_for_a_place_is_no_part_of_the_timeout(server: WireServer, mode: str) -> None:
    """The second request waits for longer than its `timeout`, which begins when it is sent."""
    server.always = lambda _: CHAT.answer(mode)
    outcomes: list[Any] = []
    for limit in limits(lambda: outcomes == [TEXT, TEXT]):
        gate, answer = held(mode)
        server.script(answer)
        calls = Calls(server, mode, gate, {**ONE, "timeout": PATIENCE}, {**ONE, "timeout": limit})
        Gate().reached.wait(1.5 * limit)
        gate.open()
        outcomes[:] = calls.outcomes()


@every_mode
def test_the_deadline_ends_the_wait_for_a_place(server: WireServer, mode: str) -> None:
    """It says what it waited for, and the place goes to the next."""
    server.always = lambda _: CHAT.answer(mode)
    outcomes: list[Any] = []
    for limit in limits(lambda: "waited for a free place among max_connections=1" in str(outcomes[1])):
        before = len(server.requests)
        gate, answer = held(mode)
        server.script(answer)
        calls = Calls(server, mode, gate, ONE, {**ONE, "deadline": limit}, ONE)
        Gate().reached.wait(3 * limit)  # the deadline passes; the third may come before or after that
        gate.open()
        outcomes[:] = calls.outcomes()
        assert (outcomes[0], outcomes[2]) == (TEXT, TEXT)
    assert isinstance(outcomes[1], DeadlineError)
    assert len(server.requests) == before + 2


def answered_by_letter(request: Received) -> Answer:
    """A stream ends with half a character, which nothing completes."""
    if request.json.get("stream"):
        return CHAT.stream([json.dumps(event) for event in CHAT.events(CHAT.whole("ab\ud83d"), list)])
    return CHAT.answer("send")


def test_a_reader_of_a_stream_may_make_calls_of_its_own(server: WireServer) -> None:
    """The stream does not keep them from the only place, not even with its last characters."""
    server.always = answered_by_letter
    nested = partial(CHAT.ask, "send", server, **ONE, deadline=PATIENCE)
    heard = [(piece, nested()) for piece in ask.stream("Go", **CHAT.options(server), **ONE)]
    assert heard == [("a", TEXT), ("b", TEXT), ("\ufffd", TEXT)]


async def _pieces(server: WireServer) -> AsyncIterator[str]:
    async with aclosing(ask.stream_async("Go", **CHAT.options(server), **ONE)) as pieces:
        async for piece in pieces:
            yield piece


def test_a_reader_of_an_async_stream_may_make_calls_of_its_own(server: WireServer) -> None:
    """As in sync."""
    server.always = answered_by_letter

    async def main() -> list[tuple[str, str]]:
        nested = partial(CHAT.ask_async, "send_async", server, **ONE, deadline=PATIENCE)
        return [(piece, await nested()) async for piece in _pieces(server)]

    assert asyncio.run(main()) == [("a", TEXT), ("b", TEXT), ("\ufffd", TEXT)]


@every_mode
def test_each_address_has_places_of_its_own(server: WireServer, mode: str) -> None:
    """A slow server keeps nobody from another one."""
    gate, answer = held(mode)
    server.script(answer, OLLAMA.answer("send"))
    calls = Calls(server, mode, gate, ONE)
    assert OLLAMA.ask("send", server, **ONE) == TEXT
    gate.open()
    assert calls.outcomes() == [TEXT]


@every_mode
def test_a_stream_that_is_left_gives_its_place_up(server: WireServer, mode: str) -> None:
    """As does a request that failed."""
    server.script(Answer(status=400), CHAT.answer("open"), CHAT.answer(mode))
    with pytest.raises(Exception, match="400"):
        CHAT.ask("send", server, **ONE)
    with ask.stream("Go", **CHAT.options(server), **ONE) as pieces:
        next(iter(pieces))
    assert CHAT.ask(mode, server, **ONE, deadline=PATIENCE) == TEXT


@pytest.mark.slow
def test_a_thousand_calls_at_once(server: WireServer) -> None:
    """They share 64 connections."""
    server.always = lambda _: CHAT.answer("send")

    async def main() -> list[str]:
        return await asyncio.gather(*(CHAT.ask_async("send_async", server) for _ in range(1000)))

    assert asyncio.run(main()) == [TEXT] * 1000
    assert len(server.connections) <= 64


def test_a_gate_lives_as_long_as_it_is_used(server: WireServer) -> None:
    """So many addresses, or many numbers, leave nothing behind."""
    server.always = lambda _: CHAT.answer("send")
    before = set(runtime_gates._of_threads), set(runtime_gates._of_loops)  # of calls that others left behind
    for most in range(1, 5):
        CHAT.ask("send", server, max_connections=most)
        CHAT.ask("send_async", server, max_connections=most)
    gc.collect()
    assert set(runtime_gates._of_threads) <= before[0]
    assert set(runtime_gates._of_loops) <= before[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_all_places() -> None:
    """The threads of the parent that hold them are not in the child."""
    gate = runtime_gates._of_threads["key"] = ThreadGate(1)
    gate.enter(None)
    child = os.fork()
    if not child:
        os._exit(len(runtime_gates._of_threads))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class Places:
    """The places of a loop's gate, as tasks come, go on, pause and leave."""

    def __init__(self, most: int) -> None:
        self.gate, self.most = LoopGate(most), most
        self.inside: list[int] = []
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self._leaving: dict[int, asyncio.Event] = {}

    async def _stay(self, name: int) -> None:
        await self.gate.enter_async()
        self.inside.append(name)
        assert len(self.inside) <= self.most
        try:
            await self._leaving[name].wait()
        finally:
            self.inside.remove(name)
            self.gate.leave()

    async def do(self, step: str, name: int) -> None:
        if step == "come" and name not in self.tasks:
            self._leaving[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._stay(name))
        elif step == "leave" and name in self.tasks:
            self._leaving[name].set()
        elif step == "cancel" and name in self.tasks:
            self.tasks[name].cancel()
        elif step == "rest":
            for _ in range(5):
                await asyncio.sleep(0)
            waiting = [task for task in self.tasks.values() if not task.done()]
            assert len(self.inside) == min(self.most, len(waiting))


STEPS = st.lists(st.tuples(st.sampled_from(["come", "leave", "cancel", "rest"]), st.integers(0, 6)))


@given(st.integers(1, 3), STEPS)
def test_no_place_of_an_event_loop_is_lost(most: int, steps: list[tuple[str, int]]) -> None:
    """They are filled as long as somebody waits, whoever leaves or is cancelled, inside or while waiting."""

    async def main() -> None:
        places = Places(most)
        for step in [*steps, ("rest", 0)]:
            await places.do(*step)
        for task in places.tasks.values():
            task.cancel()
        await asyncio.gather(*places.tasks.values(), return_exceptions=True)
        assert not places.inside
        await asyncio.wait_for(places.gate.enter_async(), PATIENCE)

    asyncio.run(main())
