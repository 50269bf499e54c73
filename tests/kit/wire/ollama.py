"""What an Ollama server says: whole answers, and the same answers as the lines of a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kit.wire.server import Answer, json_answer

Pieces = Callable[[str], Sequence[str]]
Call = tuple[str, Any] | tuple[str, Any, str]  # name, arguments, and the id that newer servers give

STAMP = "2026-11-22T19:31:18.123456789Z"


def words(text: str) -> Sequence[str]:
    """The text in pieces of three characters."""
    return [text[start : start + 3] for start in range(0, len(text), 3)]


def answer(
    *,
    text: str = "",
    calls: Sequence[Call] = (),
    thoughts: str = "",
    reason: str | None = "stop",
    usage: tuple[int, int] | None = (10, 5),
    model: str = "llama3.2",
    stamp: str = STAMP,
) -> dict[str, Any]:
    """A finished answer of `/api/chat`. *usage* counts tokens in and out; `None` leaves it out."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if thoughts:
        message["thinking"] = thoughts
    if calls:
        message["tool_calls"] = [_call(index, *call) for index, call in enumerate(calls)]
    head = {"model": model, "created_at": stamp, "message": message, "done": True}
    ended = {} if reason is None else {"done_reason": reason}
    times = {"total_duration": 3_000_000, "load_duration": 1_000_000, "eval_duration": 1_000_000}
    counted = {} if usage is None else {"prompt_eval_count": usage[0], "eval_count": usage[1]}
    return {**head, **ended, **times, **counted}


def _call(index: int, name: str, arguments: Any, call_id: str = "") -> dict[str, Any]:
    given = {"id": call_id} if call_id else {}
    return {**given, "function": {"index": index, "name": name, "arguments": arguments}}


def events(whole: dict[str, Any], pieces: Pieces = words) -> list[dict[str, Any]]:
    """*whole* as the lines of a stream: thoughts, text, calls, and last what is known at the end."""
    head = {"model": whole["model"], "created_at": whole["created_at"]}
    told = [{**head, "message": said, "done": False} for said in _deltas(whole["message"], pieces)]
    return [*told, {**whole, "message": {"role": "assistant", "content": ""}}]


def _deltas(said: dict[str, Any], pieces: Pieces) -> Iterator[dict[str, Any]]:
    for piece in pieces(said.get("thinking", "")):
        yield {"role": "assistant", "content": "", "thinking": piece}
    for piece in pieces(said["content"]):
        yield {"role": "assistant", "content": piece}
    for call in said.get("tool_calls", ()):
        yield {"role": "assistant", "content": "", "tool_calls": [call]}


def reply(whole: dict[str, Any]) -> Answer:
    """*whole* as an HTTP answer."""
    return json_answer(whole)


def ndjson(values: Sequence[Any]) -> Answer:
    """*values* as lines, their text as it is and not in escapes, each in a chunk of its own."""
    body = [
        json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n" for value in values
    ]
    return Answer(body, 200, {"content-type": "application/x-ndjson"}, "chunked")


def stream(whole: dict[str, Any], pieces: Pieces = words) -> Answer:
    """*whole* as a stream of lines."""
    return ndjson(events(whole, pieces))


def shown(*capabilities: str) -> Answer:
    """What `/api/show` says of a model that can do *capabilities*."""
    details = {"family": "llama", "parameter_size": "3.2B", "quantization_level": "Q4_K_M"}
    return json_answer(
        {"modelfile": "", "details": details, "model_info": {}, "capabilities": list(capabilities)}
    )


def failure(status: int, message: str, **headers: str) -> Answer:
    """An error as an Ollama server says it."""
    return json_answer({"error": message}, status=status, **headers)
