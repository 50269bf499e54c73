"""What an Ollama server is asked about a model, when many calls want to know at once."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest
from kit.patience import PATIENCE
from kit.talking import talk, talk_async
from kit.wire import Answer, Gate, WireServer
from kit.wire import ollama as says
from kit.wire.server import Received

from alloy.backends.ollama.chat import OllamaBackend
from alloy.endpoints import Endpoint
from alloy.errors import ProviderTimeoutError
from alloy.messages import Request, ToolSchema, User

TOOL = ToolSchema("clock", "", {"type": "object", "properties": {}})
BODY = OllamaBackend().encode(Request("llama3.2", (User("Hello"),), tools=(TOOL,)))
MANY = 12


def at(server: WireServer, timeout: float = 20.0) -> Endpoint:
    return Endpoint(base_url=server.url, timeout=timeout)


def shows(server: WireServer) -> int:
    return sum(request.path.endswith("/api/show") for request in server.requests)


def answering(server: WireServer, *first: Answer) -> None:
    """Have *server* answer /api/show by *first*, then well; and everything else."""
    ahead = iter(first)

    def answer(request: Received) -> Answer:
        if request.path.endswith("/api/show"):
            return next(ahead, says.shown("tools"))
        return says.reply(says.answer(text="hi"))

    server.always = answer


def held(whole: Answer) -> tuple[Answer, Gate]:
    """*whole*, and the gate that it stands behind."""
    gate = Gate()
    return Answer(whole.body, whole.status, whole.headers, whole.framing, before=gate), gate


def wait_inside(module: str, count: int) -> None:
    """Wait until *count* threads are in a function of *module*."""

    def inside(frame: FrameType | None) -> bool:
        return frame is not None and (frame.f_globals.get("__name__") == module or inside(frame.f_back))

    for _ in range(int(PATIENCE / 0.01)):
        if sum(map(inside, sys._current_frames().values())) == count:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"not all of {count} threads came to {module}")


def threads(server: WireServer, backend: OllamaBackend, first: Gate, endpoint: Endpoint) -> list[Any]:
    """What MANY threads hear that ask while an answer is held back."""
    ready = threading.Barrier(MANY + 1)

    def one() -> str:
        ready.wait()
        return talk(backend, "send", endpoint, BODY).text

    with ThreadPoolExecutor(MANY) as pool:
        runs = [pool.submit(one) for _ in range(MANY)]
        ready.wait()
        first.wait_reached()
        wait_inside("alloy.backends.http.single_flight", MANY)
        first.open()
        return [run.result() for run in runs]


def test_threads_that_need_the_same_answer_share_one_request(server: WireServer) -> None:
    """A burst of cold calls costs the server one question."""
    answer, gate = held(says.shown("tools"))
    answering(server, answer)
    assert threads(server, OllamaBackend(), gate, at(server)) == ["hi"] * MANY
    assert shows(server) == 1


@pytest.mark.parametrize("mode", ["send_async", "open_async"])
def test_tasks_that_need_the_same_answer_share_one_request(server: WireServer, mode: str) -> None:
    """And so in an event loop; every model has a question of its own."""
    backend = OllamaBackend()

    def answer(request: Received) -> Answer:
        if request.path.endswith("/api/show"):
            return says.shown("tools")
        whole = says.answer(text="hi")
        return says.stream(whole) if request.json["stream"] else says.reply(whole)

    server.always = answer

    async def burst() -> list[str]:
        bodies = [{**BODY, "model": model} for model in ("llama3.2", "qwen3")] * MANY
        replies = await asyncio.gather(*(talk_async(backend, mode, at(server), body) for body in bodies))
        return [reply.text for reply in replies]

    assert asyncio.run(burst()) == ["hi"] * 2 * MANY
    assert shows(server) == 2


def test_a_cancelled_question_is_asked_by_the_next(server: WireServer) -> None:
    """Whoever waited for its answer does not go down with it, and asks once."""
    backend = OllamaBackend()
    answer, gate = held(says.shown("tools"))
    answering(server, answer)

    async def main() -> list[str]:
        leader = asyncio.create_task(backend.send_async(BODY, at(server)))
        await asyncio.to_thread(gate.wait_reached)
        others = [
            asyncio.create_task(talk_async(backend, "send_async", at(server), BODY)) for _ in range(MANY)
        ]
        for _ in range(5):
            await asyncio.sleep(0)
        others.pop().cancel()
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        return [reply.text for reply in await asyncio.gather(*others)]

    assert asyncio.run(main()) == ["hi"] * (MANY - 1)
    gate.open()
    assert shows(server) == 2


def test_a_question_that_failed_is_not_remembered(server: WireServer) -> None:
    """Those who waited go on without an answer, as whoever asked; the next call asks again."""
    backend = OllamaBackend()
    answer, gate = held(says.failure(503, "busy"))
    answering(server, answer)
    assert threads(server, backend, gate, at(server)) == ["hi"] * MANY
    assert shows(server) == 1
    talk(backend, "send", at(server), BODY)
    talk(backend, "send_async", at(server), BODY)
    assert shows(server) == 2


def test_no_call_waits_longer_than_its_timeout(server: WireServer) -> None:
    """The one who asks may have more time."""
    backend = OllamaBackend()
    answer, gate = held(says.shown("tools"))
    answering(server, answer)
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(talk, backend, "send", at(server), BODY)
        gate.wait_reached()
        with pytest.raises(ProviderTimeoutError):
            talk(backend, "send", at(server, timeout=0.1), BODY)
        gate.open()
        assert leader.result().text == "hi"
    assert shows(server) == 1
