"""The server of the soak, a process of its own, so that the client's memory is measured alone.

`python -m soak.server CALLS` writes its port, and ends when its input does.
"""

from __future__ import annotations

import sys
import threading
from array import array

from kit.apis import APIS, Api
from kit.wire import Answer, Cut, Gate, Received, WireServer, json_answer, ollama

from soak.plans import SILENCE, Plan, read

NAMED = {api.name: api for api in APIS}
PAGE = b"<html>Bad Gateway</html>"


class Soak:
    """Answers each request with the next step of the plan in its prompt, and counts the tools it asks for."""

    def __init__(self, server: WireServer, calls: int) -> None:
        self._server, self._lock = server, threading.Lock()
        self._steps, self._tools = array("B", bytes(calls)), array("B", bytes(calls))

    def __call__(self, request: Received) -> Answer:
        if request.path == "/api/show":
            return ollama.shown("completion", "tools")
        if request.path == "/report":
            return json_answer(self._tools.tolist())
        plan = read(request.content)
        with self._lock:
            self._server.requests.clear()
            step = plan.steps[min(self._steps[plan.number], len(plan.steps) - 1)]
            self._steps[plan.number] += 1
            asked = int(step.removeprefix("tools")) if step.startswith("tools") else 0
            self._tools[plan.number] += asked
        return self._answer(NAMED[plan.api], plan, step, asked)

    def _answer(self, api: Api, plan: Plan, step: str, asked: int) -> Answer:
        mode = "open" if plan.way.startswith("stream") else "send"
        if step.isdecimal():
            return api.failure(int(step), "That went wrong.", None)
        if step == "html":
            return Answer([PAGE], 200, {"content-type": "text/html"})
        if step == "empty":
            return Answer([], 200, {"content-type": "application/json"})
        if step == "error":
            return json_answer({"error": {"message": "It broke.", "code": "server_error"}})
        if asked:
            tools = [("note" if turn % 2 else "note_async", {"call": plan.number}) for turn in range(asked)]
            return api.answer(mode, "", calls=tools)
        answer = api.answer(mode, f"done {plan.number}")
        if step == SILENCE:
            answer.before = Gate()
        elif step in ("reset", "close"):
            answer.before = Cut(reset=step == "reset")
        elif step == "half":
            first = answer.body[0]
            assert isinstance(first, bytes)
            answer.framing, answer.body = "chunked", [first[: len(first) // 2], Cut()]
        return answer


def main(calls: int) -> None:
    server = WireServer()
    server.always = Soak(server, calls)
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]))
