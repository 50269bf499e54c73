"""What Anthropic's Messages API says: whole messages, and the same messages as the events of a stream.

The builders make what the API reference shows, field by field. `events` takes any whole message and
cuts its texts at will, so that a test can say the same thing both ways.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kit.wire.server import Answer, json_answer, sse

Pieces = Callable[[str], Sequence[str]]
Call = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], str]  # name, input, id


def words(text: str) -> Sequence[str]:
    """The text in pieces of three characters."""
    return [text[start : start + 3] for start in range(0, len(text), 3)]


def text_block(text: str) -> dict[str, Any]:
    """A content block: text."""
    return {"type": "text", "text": text}


def thinking(thought: str, signature: str = "EqQBCg==") -> dict[str, Any]:
    """A content block: thinking, signed."""
    return {"type": "thinking", "thinking": thought, "signature": signature}


def redacted(data: str = "EmwKAhgB") -> dict[str, Any]:
    """A content block: thinking that is not shown."""
    return {"type": "redacted_thinking", "data": data}


def tool_use(name: str, given: dict[str, Any], call_id: str) -> dict[str, Any]:
    """A content block: a call of a tool."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": given}


def server_tool_use(name: str, given: dict[str, Any], call_id: str = "srvtoolu_1") -> dict[str, Any]:
    """A content block: a call of a tool that the provider runs itself."""
    return {"type": "server_tool_use", "id": call_id, "name": name, "input": given}


def message(
    *blocks: dict[str, Any],
    text: str = "",
    calls: Sequence[Call] = (),
    thoughts: Sequence[str] = (),
    stop: str | None = None,
    usage: tuple[int, int, int, int] = (10, 5, 2, 1),
    model: str = "claude-sonnet-4-6",
    **fields: Any,
) -> dict[str, Any]:
    """A message of *blocks* and what the shorter words name; *usage*: in, out, cached, thought.

    Of the *usage* the cached tokens are counted apart from those that were read, as the API does.
    """
    content = [*map(thinking, thoughts), *blocks]
    content += [text_block(text)] if text else []
    for position, (name, given, *call_id) in enumerate(calls):
        content.append(tool_use(name, given, call_id[0] if call_id else f"toolu_{name}_{position}"))
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop or ("tool_use" if calls else "end_turn"),
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            "input_tokens": usage[0] - usage[2],
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": usage[2],
            "output_tokens": usage[1],
            "output_tokens_details": {"thinking_tokens": usage[3]},
            "service_tier": "standard",
        },
        **fields,
    }


def events(answer: dict[str, Any], pieces: Pieces = words) -> list[dict[str, Any]]:
    """*answer* as the events of a stream, in the order that the API sends them."""
    counted = answer["usage"]
    first = {**counted, "output_tokens": min(1, counted["output_tokens"]), "output_tokens_details": None}
    last = {
        **dict.fromkeys(counted),
        **{key: counted[key] for key in ("output_tokens", "output_tokens_details")},
    }
    started = {**answer, "content": [], "stop_reason": None, "stop_details": None, "usage": first}
    told: list[dict[str, Any]] = [{"type": "message_start", "message": started}, {"type": "ping"}]
    for index, block in enumerate(answer["content"]):
        told.append({"type": "content_block_start", "index": index, "content_block": _unfinished(block)})
        deltas = _deltas(block, pieces)
        told += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        told.append({"type": "content_block_stop", "index": index})
    ending = {key: answer[key] for key in ("stop_reason", "stop_sequence", "stop_details")}
    told.append({"type": "message_delta", "delta": ending, "usage": last})
    return [*told, {"type": "message_stop"}]


def _unfinished(block: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {"text": "", "thinking": "", "signature": "", "citations": []}
    empty |= {"input": {}} if "tool_use" in block["type"] else {}
    return {**block, **{key: value for key, value in empty.items() if key in block}}


def _deltas(block: dict[str, Any], pieces: Pieces) -> Iterator[dict[str, Any]]:
    for piece in pieces(block.get("thinking", "")):
        yield {"type": "thinking_delta", "thinking": piece}
    if "signature" in block:
        yield {"type": "signature_delta", "signature": block["signature"]}
    for citation in block.get("citations", ()):
        yield {"type": "citations_delta", "citation": citation}
    for piece in pieces(block.get("text", "")):
        yield {"type": "text_delta", "text": piece}
    if "tool_use" in block["type"]:
        written = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
        for piece in ("", *pieces(written)):  # the first one of them is empty
            yield {"type": "input_json_delta", "partial_json": piece}


def reply(answer: dict[str, Any]) -> Answer:
    """*answer* as a whole HTTP answer."""
    return json_answer(answer, request_id="req_1")


def stream(answer: dict[str, Any], pieces: Pieces = words) -> Answer:
    """*answer* as an event stream."""
    return sse(events(answer, pieces), request_id="req_1")


def error(kind: str, said: str, *, code: str | None = None) -> dict[str, Any]:
    """An error as Anthropic says it, in a body or in a stream."""
    details = {"error_code": code} if code else None
    return {
        "type": "error",
        "error": {"type": kind, "message": said, "details": details},
        "request_id": "req_1",
    }


def failure(
    status: int, said: str, *, kind: str = "invalid_request_error", code: str | None = None, **headers: str
) -> Answer:
    """The same with a status."""
    return json_answer(error(kind, said, code=code), status=status, request_id="req_1", **headers)
