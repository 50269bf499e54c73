"""What OpenAI's two APIs say: whole answers, and the same answers as the events of a stream.

The builders make what the API reference shows, field by field. The renderers `events` and `chunks`
take any whole answer and cut its texts at will, so that a test can say the same thing both ways.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kit.wire.server import Answer, json_answer, sse

Pieces = Callable[[str], Sequence[str]]
Call = tuple[str, Any] | tuple[str, Any, str]  # name, arguments (a dict, or JSON text), id


def whole(text: str) -> Sequence[str]:
    """The text in one piece."""
    return [text]


def words(text: str) -> Sequence[str]:
    """The text in pieces of three characters."""
    return [text[start : start + 3] for start in range(0, len(text), 3)]


def _named(calls: Sequence[Call]) -> Iterator[tuple[str, str, str]]:
    for position, (name, arguments, *call_id) in enumerate(calls):
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        yield name, text, call_id[0] if call_id else f"call_{name}_{position}"


# --- Responses ----------------------------------------------------------------------------------------


def message(text: str, *, phase: str | None = None, refusal: str = "") -> dict[str, Any]:
    """An output item: a message of the model."""
    content: list[dict[str, Any]] = []
    if text:
        content.append({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
    if refusal:
        content.append({"type": "refusal", "refusal": refusal})
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}
    return item if phase is None else {**item, "phase": phase}


def reasoning(*summaries: str, encrypted: str = "gAAAA==") -> dict[str, Any]:
    """An output item: reasoning with its summaries."""
    summary = [{"type": "summary_text", "text": text} for text in summaries]
    return {"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": encrypted}


def function_call(name: str, arguments: str, call_id: str) -> dict[str, Any]:
    """An output item: a call of a tool."""
    item = {"id": f"fc_{call_id}", "type": "function_call", "status": "completed"}
    return {**item, "call_id": call_id, "name": name, "arguments": arguments}


def response(
    *items: dict[str, Any],
    text: str = "",
    calls: Sequence[Call] = (),
    thoughts: Sequence[str] = (),
    status: str = "completed",
    usage: tuple[int, int, int, int] = (10, 5, 2, 1),
    model: str = "gpt-5.6",
    **fields: Any,
) -> dict[str, Any]:
    """A response object of *items* and what the shorter words name; *usage*: in, out, cached, thought."""
    output = [*items]
    output += [reasoning(*thoughts)] if thoughts else []
    output += [message(text)] if text else []
    output += [function_call(*call) for call in _named(calls)]
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1795000000,
        "status": status,
        "model": model,
        "output": output,
        "error": None,
        "incomplete_details": None,
        "usage": {
            "input_tokens": usage[0],
            "input_tokens_details": {"cached_tokens": usage[2]},
            "output_tokens": usage[1],
            "output_tokens_details": {"reasoning_tokens": usage[3]},
            "total_tokens": usage[0] + usage[1],
        },
        **fields,
    }


def events(answer: dict[str, Any], pieces: Pieces = words) -> list[dict[str, Any]]:
    """*answer* as the events of a stream, in the order that the API sends them."""
    started = {**answer, "status": "in_progress", "output": [], "usage": None}
    told: list[dict[str, Any]] = [
        {"type": "response.created", "response": started},
        {"type": "response.in_progress", "response": started},
    ]
    for index, item in enumerate(answer["output"]):
        told += _item_events(index, item, pieces)
    told.append({"type": f"response.{answer['status']}", "response": answer})
    return [{**event, "sequence_number": number} for number, event in enumerate(told)]


def _item_events(index: int, item: dict[str, Any], pieces: Pieces) -> Iterator[dict[str, Any]]:
    place = {"output_index": index, "item_id": item.get("id")}
    empty = {"content": [], "summary": [], "arguments": ""}
    unfinished = {**item, **{key: value for key, value in empty.items() if key in item}}
    yield {"type": "response.output_item.added", "output_index": index, "item": unfinished}
    for number, part in enumerate(item.get("summary", ())):
        at = {**place, "summary_index": number}
        yield {"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}}
        yield from _deltas("response.reasoning_summary_text", at, "text", part["text"], pieces)
        yield {"type": "response.reasoning_summary_part.done", **at, "part": part}
    for number, part in enumerate(item.get("content", ())):
        at = {**place, "content_index": number}
        kind = {"output_text": "output_text", "refusal": "refusal", "reasoning_text": "reasoning_text"}
        field = "refusal" if part["type"] == "refusal" else "text"
        yield {"type": "response.content_part.added", **at, "part": {**part, field: ""}}
        yield from _deltas(f"response.{kind[part['type']]}", at, field, part[field], pieces)
        yield {"type": "response.content_part.done", **at, "part": part}
    if "arguments" in item:
        kind_name = "response.function_call_arguments"
        yield from _deltas(kind_name, place, "arguments", item["arguments"], pieces)
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _deltas(kind: str, at: dict[str, Any], field: str, text: str, pieces: Pieces) -> Iterator[dict[str, Any]]:
    for piece in pieces(text):
        yield {"type": f"{kind}.delta", **at, "delta": piece}
    yield {"type": f"{kind}.done", **at, field: text}


def reply(answer: dict[str, Any]) -> Answer:
    """*answer*, a response or a completion, as a whole HTTP answer."""
    return json_answer(answer, x_request_id="req_1")


def stream(answer: dict[str, Any], pieces: Pieces = words) -> Answer:
    """*answer*, a response, as an event stream."""
    return sse(events(answer, pieces), x_request_id="req_1")


def failure(status: int, message: str, *, code: str | None = None, param: str | None = None) -> Answer:
    """An error as OpenAI says it."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return json_answer({"error": error}, status=status, x_request_id="req_1")


# --- Chat Completions ---------------------------------------------------------------------------------


def completion(
    *,
    text: str | None = "",
    calls: Sequence[Call] = (),
    thoughts: str = "",
    refusal: str | None = None,
    finish: str | None = None,
    usage: tuple[int, int, int, int] | None = (10, 5, 2, 1),
    model: str = "gpt-5.6",
) -> dict[str, Any]:
    """A chat completion. *usage* counts in, out, cached and thought tokens; `None` leaves it out."""
    said: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": refusal}
    if thoughts:
        said["reasoning_content"] = thoughts
    if calls:
        said["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for name, arguments, call_id in _named(calls)
        ]
    choice = {
        "index": 0,
        "message": said,
        "logprobs": None,
        "finish_reason": finish or ("tool_calls" if calls else "stop"),
    }
    made = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1795000000, "model": model}
    counted = {} if usage is None else {"usage": _chat_usage(*usage)}
    return {**made, "choices": [choice], **counted}


def _chat_usage(read: int, written: int, cached: int, thought: int) -> dict[str, Any]:
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def chunks(answer: dict[str, Any], pieces: Pieces = words) -> list[dict[str, Any]]:
    """*answer*, a completion, as the chunks of a stream."""
    (choice,) = answer["choices"]
    head = {**{key: answer[key] for key in ("id", "created", "model")}, "object": "chat.completion.chunk"}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None}

    told = [chunk({"role": "assistant", "content": "", "refusal": None})]
    told += [chunk(delta) for delta in _chat_deltas(choice["message"], pieces)]
    told.append(chunk({}, choice["finish_reason"]))
    if "usage" in answer:
        told.append({**head, "choices": [], "usage": answer["usage"]})
    return told


def _chat_deltas(said: dict[str, Any], pieces: Pieces) -> Iterator[dict[str, Any]]:
    for key in ("reasoning_content", "content", "refusal"):
        yield from ({key: piece} for piece in pieces(said.get(key) or ""))
    for index, call in enumerate(said.get("tool_calls", ())):
        function = call["function"]
        first = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
        yield {"tool_calls": [first]}
        for piece in pieces(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def chat_stream(answer: dict[str, Any], pieces: Pieces = words) -> Answer:
    """*answer*, a completion, as an event stream that ends with `[DONE]`."""
    return sse(chunks(answer, pieces), done=True, x_request_id="req_1")
