"""What is said, in the JSON form that the conventions have for messages.

See `gen_ai.input.messages` at https://github.com/open-telemetry/semantic-conventions-genai.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from alloy.endpoints import safe_url
from alloy.jsontypes import JsonObject
from alloy.media import Media
from alloy.messages import Reply, ToolResult, ToolResults, ToolSchema, Turn, User

__all__ = ["LONGEST", "cut", "definitions", "input_messages", "instructions", "output_messages"]

LONGEST = 16_384  # characters of one text


def cut(text: str) -> str:
    """*text*, or its beginning with an ellipsis."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def instructions(system: str) -> str:
    """The system prompt."""
    return _json([_text(system)])


def definitions(tools: Iterable[ToolSchema]) -> str:
    """The tools that the model is shown."""
    return _json(
        [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            }
            for tool in tools
        ]
    )


def input_messages(turns: Sequence[Turn]) -> str:
    """The conversation so far. Of images and documents only the kind and the address are recorded."""
    return _json(list(map(_message, turns)))


def output_messages(reply: Reply) -> str:
    """The answer."""
    return _json([{**_message(reply), "finish_reason": reply.finish}])


def _message(turn: Turn) -> JsonObject:
    match turn:
        case User():
            return {"role": "user", "parts": list(map(_part, turn.parts))}
        case Reply():
            return {"role": "assistant", "parts": list(_reply_parts(turn))}
        case ToolResults(results):
            answers = [
                {"type": "tool_call_response", "id": result.call.id, "response": _response(result)}
                for result in results
            ]
            return {"role": "tool", "parts": answers}


def _response(result: ToolResult) -> str | list[JsonObject]:
    return list(map(_part, result.parts)) if result.parts else cut(result.content)


def _reply_parts(reply: Reply) -> Iterator[JsonObject]:
    if reply.reasoning:
        yield {"type": "reasoning", "content": cut(reply.reasoning)}
    if reply.text:
        yield _text(reply.text)
    for call in reply.calls:
        yield {"type": "tool_call", "id": call.id, "name": call.name, "arguments": cut(call.arguments)}


def _part(part: str | Media) -> JsonObject:
    if isinstance(part, str):
        return _text(part)
    if part.url is not None:
        return {"type": "uri", "modality": part.kind, "uri": cut(safe_url(part.url))}
    return {"type": "blob", "modality": part.kind, "mime_type": part.media_type}


def _text(text: str) -> JsonObject:
    return {"type": "text", "content": cut(text)}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
