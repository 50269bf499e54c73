"""A server on loopback that speaks just enough of OpenAI's Responses API, in a process of its own.

It prints its port. What a request asks for decides the answer: a stream of *DELTAS* pieces, as many
tool calls as the prompt says (`turns=3`), or the final JSON.
"""

from __future__ import annotations

import json
import re
import socketserver
import sys
import time
from typing import Any

DELTAS = 400
WAIT = float(sys.argv[1]) if sys.argv[1:] and __name__ == "__main__" else 0.0  # seconds for an answer
ANSWER = {"vendor": "ACME", "total": 92.5, "lines": ["anvil", "freight", "rope"], "paid": False}
USAGE = {
    "input_tokens": 120,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 160,
}


def response(output: list[dict[str, Any]]) -> dict[str, Any]:
    """A response object with the fields that the API sends."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_770_000_000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": "gpt-5.6",
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": USAGE,
        "user": None,
        "metadata": {},
    }


def message(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def call(turn: int) -> dict[str, Any]:
    item = {"type": "function_call", "id": f"fc_{turn}", "call_id": f"call_{turn}", "status": "completed"}
    return {**item, "name": "rate", "arguments": '{"currency":"USD","amount":100}'}


def events() -> list[dict[str, Any]]:
    """The events of a streamed text answer."""
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    texts = [f"word{number} " for number in range(DELTAS)]
    whole = message("".join(texts))
    pieces = [{"type": "response.output_text.delta", **at, "delta": text, "logprobs": []} for text in texts]
    stream = [
        {"type": "response.created", "response": {**response([]), "status": "in_progress", "usage": None}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**message(""), "content": []}},
        *pieces,
        {"type": "response.output_text.done", **at, "text": "".join(texts), "logprobs": []},
        {"type": "response.output_item.done", "output_index": 0, "item": whole},
        {"type": "response.completed", "response": response([whole])},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(stream)]


def http(body: bytes, kind: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def whole(output: list[dict[str, Any]]) -> bytes:
    return http(json.dumps(response(output)).encode(), "application/json")


FINAL = whole([message(json.dumps(ANSWER))])
STREAM = http(
    b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events()),
    "text/event-stream",
)
TURNS = re.compile(r"turns=(\d+)")


def answer(body: bytes) -> bytes:
    """What the API would say to *body*."""
    request = json.loads(body)
    if request.get("stream"):
        return STREAM
    items = request["input"]
    done = sum(item.get("type") == "function_call_output" for item in items)
    wanted = TURNS.search(items[0]["content"])
    return whole([call(done)]) if wanted and done < int(wanted[1]) else FINAL


class Handler(socketserver.StreamRequestHandler):
    """One connection, kept alive."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        while self.rfile.readline():
            size = 0
            while (line := self.rfile.readline().strip()) != b"":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    size = int(value)
            body = self.rfile.read(size)
            time.sleep(WAIT)
            self.wfile.write(answer(body))


class Server(socketserver.ThreadingTCPServer):
    """Threads that die with the process."""

    daemon_threads = True
    request_queue_size = 1024  # connections that wait to be accepted
    allow_reuse_address = True


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
