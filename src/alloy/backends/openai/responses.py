"""OpenAI's Responses API: `POST /responses`, stateless.

Nothing is stored at the provider (`store: false`); instead every output item is sent back as it was
received, reasoning with its encrypted content included, because a call that is replayed without its
reasoning is refused. Facts are from the API reference, as the SDK 3.54 ships it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alloy.backends.base import Capabilities
from alloy.backends.http import formats
from alloy.backends.http.bodies import given, merge, read_events, read_object, with_ids
from alloy.backends.openai.address import NO_SAMPLING, SAMPLING, OpenAIHttpBackend, file_name, tool_choice
from alloy.backends.openai.batches import OpenAIBatches
from alloy.backends.openai.dialect import DIALECT
from alloy.backends.openai.prompt_cache import cache_options, user_content
from alloy.backends.openai.response_replies import (
    ERRORS,
    LAST_EVENTS,
    NAME,
    ResponsesAccumulator,
    read_response,
)
from alloy.backends.schemas import in_dialect
from alloy.jsontypes import Json, JsonObject
from alloy.media import Media
from alloy.messages import (
    Echo,
    Reply,
    Request,
    ToolResult,
    ToolResults,
    ToolSchema,
    User,
)

__all__ = ["OpenAIBackend"]

_ALL = Capabilities(result_media=True, refuses=frozenset({"seed", "stop"}))
_UNSAMPLED = replace(_ALL, drops=SAMPLING)


class OpenAIBackend(OpenAIHttpBackend):
    """The Responses API, for OpenAI itself, Azure's v1 address and compatible servers."""

    name = NAME
    dialect = DIALECT
    path = "/responses"
    errors = ERRORS
    format = formats.RESPONSES
    batches = OpenAIBatches("/v1/responses", ERRORS)

    def capabilities(self, model: str) -> Capabilities:
        """Everything except a seed and stop sequences, which this API lacks, and some models' sampling."""
        return _UNSAMPLED if model.startswith(NO_SAMPLING) else _ALL

    def encode(self, request: Request) -> JsonObject:
        """The body of `POST /responses`."""
        request = in_dialect(request, self.dialect)
        body: JsonObject = {
            "model": request.model,
            "input": _input(request),
            "store": False,
        }
        if request.system is not None:
            body["instructions"] = request.system
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
        if (output := request.output) is not None:
            answer = {"name": output.name, "schema": output.schema, "strict": output.strict}
            body["text"] = {"format": {"type": "json_schema", **answer}}
        if request.reasoning_effort is not None:
            body["reasoning"] = {"effort": request.reasoning_effort}
        body |= given(
            {
                "temperature": request.temperature,
                "top_p": request.top_p,
                "max_output_tokens": request.max_tokens,
                "tool_choice": _tool_choice(request),
                "parallel_tool_calls": request.parallel_tools,
            }
        )
        return merge(body | cache_options(request), request.extra)

    def decode(self, raw: Any) -> Reply:
        """The reply in a response object. Raises `BadReplyError`, or the error of a failed generation."""
        if isinstance(raw, list):
            return read_events(self.accumulator(), raw)
        return read_object(NAME, raw, lambda response: read_response(response, response.get("output")))

    def accumulator(self) -> ResponsesAccumulator:
        """A new accumulator for one stream."""
        return ResponsesAccumulator()

    def is_last(self, event: Json) -> bool:
        """Whether *event* ends the stream, which has no end mark; the server may leave the body open."""
        return isinstance(event, dict) and event.get("type") in LAST_EVENTS


# --- encoding -----------------------------------------------------------------------------------------


def _input(request: Request) -> list[Any]:
    items: list[Any] = []
    content = user_content(request, _part)
    for index, message in enumerate(request.messages):
        match message:
            case User():
                items.append({"role": "user", "content": content(index, message)})
            case Reply(calls=calls, echo=Echo(by="openai", data=received)):
                # By reference: a long history costs no copies.
                items += with_ids(_own(received), calls, "call_id", "function_call")
            case Reply():
                items += _rebuilt(message)
            case ToolResults(results):
                items += map(_result, results)
    return items


def _own(received: list[JsonObject]) -> list[JsonObject]:
    """The items of a turn as they go back: as they came, if the server can know them again.

    Nothing is stored there, so reasoning without its encrypted content cannot be found by its id, and neither
    can the items that came with it. A turn without anything else is empty.
    """
    if not any(map(_is_content, received)):
        return []
    if all(item.get("encrypted_content") for item in received if item.get("type") == "reasoning"):
        return received
    kept = [item for item in received if item.get("type") != "reasoning" or item.get("encrypted_content")]
    named = ("message", "function_call")
    return [
        {key: item[key] for key in item if key != "id"} if item.get("type") in named else item
        for item in kept
    ]


def _is_content(item: JsonObject) -> bool:
    """Whether *item* is more than reasoning or an empty message."""
    if item.get("type") != "message":
        return item.get("type") != "reasoning"
    content = item.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    return any(str(part.get("text") or part.get("refusal") or "").strip() for part in parts)


def _result(result: ToolResult) -> JsonObject:
    output = [_part(part) for part in result.parts] if result.parts else result.content
    return {"type": "function_call_output", "call_id": result.call.id, "output": output}


def _part(part: str | Media) -> JsonObject:
    match part:
        case str():
            return {"type": "input_text", "text": part}
        case Media(kind="image"):
            return {"type": "input_image", "image_url": part.data_url, "detail": "auto"}
        case Media(url=str() as url):
            return {"type": "input_file", "file_url": url}
        case Media():
            return {"type": "input_file", "filename": file_name(part), "file_data": part.data_url}


def _rebuilt(reply: Reply) -> list[JsonObject]:
    """A turn that this API did not create: another provider's, or a scripted one."""
    text = [{"role": "assistant", "content": reply.text}] if reply.text.strip() else []
    return text + [
        {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments or "{}"}
        for call in reply.calls
    ]


def _tool_choice(request: Request) -> Any:
    choice = tool_choice(request, _named)
    if request.allowed_tools is None or choice not in (None, "auto", "required"):
        return choice
    # Not by showing fewer tools: the prompt stays the same, so it stays in the provider's cache.
    tools = [_named(name) for name in request.allowed_tools]
    return {"type": "allowed_tools", "mode": choice or "auto", "tools": tools}


def _named(tool: str) -> JsonObject:
    return {"type": "function", "name": tool}


def _tool(tool: ToolSchema) -> JsonObject:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,  # always sent: without it the API turns strict on
    }
