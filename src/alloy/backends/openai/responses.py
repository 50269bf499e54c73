"""OpenAI's Responses API: `POST /responses`, stateless.

Nothing is stored at the provider (`store: false`); instead every output item is sent back as it was
received, reasoning with its encrypted content included, because a call that is replayed without its
reasoning is refused. Facts are from the API reference, as the SDK 3.54 ships it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from alloy.backends.base import Capabilities
from alloy.backends.http.bodies import (
    as_count,
    as_text,
    given,
    merge,
    read_object,
    with_ids,
)
from alloy.backends.openai.address import NO_SAMPLING, SAMPLING, OpenAIHttpBackend, file_name, tool_choice
from alloy.backends.openai.dialect import DIALECT
from alloy.backends.openai.errors import OpenAIErrors
from alloy.backends.schemas import in_dialect
from alloy.errors import BadReplyError
from alloy.jsontypes import Json, JsonObject
from alloy.media import Media
from alloy.messages import (
    Delta,
    Echo,
    Finish,
    ReasoningDelta,
    Reply,
    Request,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResults,
    ToolSchema,
    Turn,
    Usage,
    User,
)

__all__ = ["OpenAIBackend"]

NAME = "openai"
ERRORS = OpenAIErrors(
    NAME,
    'the server at `base_url` has no Responses API: use model="openai-chat:NAME" for its Chat Completions',
)

_ALL = Capabilities(refuses=frozenset({"seed", "stop"}))
_UNSAMPLED = replace(_ALL, drops=SAMPLING)

# incomplete_details.reason; the others ("max_messages", "steered") leave nothing that can be used
_INCOMPLETE: dict[Any, Finish] = {"max_output_tokens": "length", "content_filter": "filter"}

_LAST_EVENTS = ("response.completed", "response.incomplete", "response.failed")

_ITEM_GAP = "\n\n"  # between the parts of a reasoning summary


class OpenAIBackend(OpenAIHttpBackend):
    """The Responses API, for OpenAI itself, Azure's v1 address and compatible servers."""

    name = NAME
    dialect = DIALECT
    path = "/responses"
    errors = ERRORS

    def capabilities(self, model: str) -> Capabilities:
        """Everything except a seed and stop sequences, which this API lacks, and some models' sampling."""
        return _UNSAMPLED if model.startswith(NO_SAMPLING) else _ALL

    def encode(self, request: Request) -> JsonObject:
        """The body of `POST /responses`."""
        request = in_dialect(request, self.dialect)
        body: JsonObject = {
            "model": request.model,
            "input": _input(request.messages),
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
        return merge(body, request.extra)

    def decode(self, raw: Any) -> Reply:
        """The reply in a response object. Raises `BadReplyError`, or the error of a failed generation."""
        return read_object(NAME, raw, lambda response: _reply(response, response.get("output")))

    def accumulator(self) -> ResponsesAccumulator:
        """A new accumulator for one stream."""
        return ResponsesAccumulator()

    def is_last(self, event: Json) -> bool:
        """Whether *event* ends the stream, which has no end mark; the server may leave the body open."""
        return isinstance(event, dict) and event.get("type") in _LAST_EVENTS


# --- encoding -----------------------------------------------------------------------------------------


def _input(messages: Iterable[Turn]) -> list[Any]:
    items: list[Any] = []
    for message in messages:
        match message:
            case User(str() as text):
                items.append({"role": "user", "content": text})
            case User():
                items.append({"role": "user", "content": [_part(part) for part in message.parts]})
            case Reply(calls=calls, echo=Echo(by="openai", data=received)):
                # By reference: a long history costs no copies.
                items += with_ids(received, calls, "call_id", "function_call")
            case Reply():
                items += _rebuilt(message)
            case ToolResults(results):
                items += [
                    {"type": "function_call_output", "call_id": result.call.id, "output": result.content}
                    for result in results
                ]
    return items


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
    text = [{"role": "assistant", "content": reply.text}] if reply.text else []
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


# --- decoding -----------------------------------------------------------------------------------------


def _reply(response: Mapping[str, Any], output: Any) -> Reply:
    finish = _finish(response)
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
        raise _bad(f"the response has no list of output items but {output!r:.80}")
    texts: list[str] = []
    refusals: list[str] = []
    reasoning: list[str] = []
    calls: list[ToolCall] = []
    for item in output:
        match item.get("type"):
            case "message":
                _read_message(item, texts, refusals)
            case "function_call":
                calls.append(_call(item))
            case "reasoning":
                parts = [*(item.get("summary") or ()), *(item.get("content") or ())]
                reasoning += [text for part in parts if (text := as_text(part.get("text")))]
    if finish == "stop":
        finish = "refusal" if refusals else "tool_calls" if calls else "stop"
    return Reply(
        text="".join(texts),
        calls=tuple(calls),
        finish=finish,
        usage=_usage(response.get("usage")),
        model=as_text(response.get("model")),
        id=as_text(response.get("id")),
        reasoning=_ITEM_GAP.join(reasoning),
        explanation="".join(refusals),
        echo=Echo(NAME, output),
    )


def _finish(response: Mapping[str, Any]) -> Finish:
    match response.get("status"):
        case "completed":
            return "stop"
        case "incomplete":
            reason = (response.get("incomplete_details") or {}).get("reason")
            if reason in _INCOMPLETE:
                return _INCOMPLETE[reason]
            raise _bad(f"the response is incomplete: {reason or 'no reason given'}")
        case "failed":
            raise ERRORS.in_answer(response.get("error") or "the generation failed")
        case status:
            if response.get("error"):
                raise ERRORS.in_answer(response["error"])
            raise _bad(f"the response has the status {status!r}, so it is not finished")


def _read_message(item: Mapping[str, Any], texts: list[str], refusals: list[str]) -> None:
    content = item.get("content")
    for part in content if isinstance(content, list) else ():
        match part.get("type"):
            case "output_text" if _is_answer(item):
                texts.append(as_text(part.get("text")))
            case "refusal":
                refusals.append(as_text(part.get("refusal")))


def _is_answer(message: Mapping[str, Any]) -> bool:
    """Whether *message* is the answer; the other phase, `commentary`, comes between tool calls."""
    return message.get("phase") in (None, "final_answer")


def _call(item: Mapping[str, Any]) -> ToolCall:
    call_id, name = item.get("call_id"), item.get("name")
    if not isinstance(call_id, str) or not isinstance(name, str):
        raise _bad(f"a function call has no call_id or no name: {item!r:.120}")
    return ToolCall(call_id, name, as_text(item.get("arguments")))


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    cached = (usage.get("input_tokens_details") or {}).get("cached_tokens")
    reasoning = (usage.get("output_tokens_details") or {}).get("reasoning_tokens")
    counts = usage.get("input_tokens"), usage.get("output_tokens"), cached, reasoning
    return Usage(*map(as_count, counts))


def _bad(message: str) -> BadReplyError:
    return BadReplyError(message, provider=NAME)


# --- streaming ----------------------------------------------------------------------------------------


class ResponsesAccumulator:
    """Builds the `Reply` from the events of a stream.

    The terminal event has the whole response. The events before it are for the reader of the stream, and
    replace the output that some compatible servers leave out of the terminal event.
    """

    def __init__(self) -> None:
        self._done: dict[int, JsonObject] = {}
        self._commentary: set[Any] = set()
        self._response: JsonObject | None = None
        self._part: Any = None  # the part of the reasoning that the last delta belonged to

    def feed(self, event: Any) -> Delta | None:
        """Take in one event. Raises `ProviderError` when the provider reports a failure."""
        return read_object(NAME, event, self._take)

    def reply(self) -> Reply:
        """The whole reply. Raises `BadReplyError` without a terminal event."""
        response = self._response
        if not isinstance(response, dict):
            raise _bad("the stream ended before the response was complete")
        output = response.get("output") or [self._done[index] for index in sorted(self._done)]
        return read_object(NAME, response, lambda whole: _reply(whole, output))

    def _take(self, event: Mapping[str, Any]) -> Delta | None:
        match event.get("type"):
            case "response.output_text.delta":
                text = as_text(event.get("delta"))
                return TextDelta(text) if text and event.get("output_index") not in self._commentary else None
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return self._reasoning(event)
            case "response.output_item.added":
                return self._added(event)
            case "response.output_item.done":
                self._done[event.get("output_index", len(self._done))] = event["item"]
            case "response.completed" | "response.incomplete" | "response.failed":
                self._response = event.get("response")
            case "error":
                raise ERRORS.in_answer(event.get("error") or event)
            case _ if event.get("error"):
                raise ERRORS.in_answer(event["error"])
        return None

    def _added(self, event: Mapping[str, Any]) -> Delta | None:
        item = event.get("item") or {}
        if item.get("type") == "function_call":
            return ToolCallDelta(as_text(item.get("call_id")), as_text(item.get("name")))
        if item.get("type") == "message" and not _is_answer(item):
            self._commentary.add(event.get("output_index"))
        return None

    def _reasoning(self, event: Mapping[str, Any]) -> Delta | None:
        place = [event.get(key) for key in ("type", "output_index", "summary_index", "content_index")]
        gap = _ITEM_GAP if self._part not in (None, place) else ""
        self._part = place
        text = as_text(event.get("delta"))
        return ReasoningDelta(gap + text) if text else None
