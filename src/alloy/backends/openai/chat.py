"""OpenAI's Chat Completions, as OpenAI and the many compatible servers have it.

These differ in details, so reading is tolerant wherever the meaning is unambiguous. A reply is
complete when it has its `finish_reason`. Facts are from the API reference as the SDK 3.54
ships it, and from the servers' own sources where a comment names one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from alloy.backends.base import CancelToken, Capabilities
from alloy.backends.batches import BatchApi
from alloy.backends.http import formats
from alloy.backends.http.bodies import (
    allowed_tools,
    given,
    merge,
    read_events,
    read_object,
    with_ids,
)
from alloy.backends.http.exchange import HttpExchange
from alloy.backends.openai.address import NO_SAMPLING, SAMPLING, OpenAIHttpBackend, file_name, tool_choice
from alloy.backends.openai.batches import OpenAIBatches
from alloy.backends.openai.chat_calls import rebuilt
from alloy.backends.openai.chat_replies import NAME, REASONING, ChatAccumulator, turn
from alloy.backends.openai.dialect import DIALECT
from alloy.backends.openai.errors import OpenAIErrors
from alloy.backends.openai.limits import limit_name, other_limit, with_limit_name
from alloy.backends.openai.prompt_cache import user_content
from alloy.backends.schemas import in_dialect
from alloy.endpoints import Endpoint
from alloy.errors import ConfigurationError, ProviderError
from alloy.jsontypes import JsonObject
from alloy.media import Media
from alloy.messages import (
    Echo,
    Reply,
    Request,
    ToolResults,
    ToolSchema,
    User,
)

__all__ = ["OpenAIChatBackend"]

_ALL = Capabilities(document_urls=False, json_object=True)
_UNSAMPLED = replace(_ALL, drops=SAMPLING)


class OpenAIChatBackend(OpenAIHttpBackend):
    """Chat Completions, for vLLM, llama.cpp, OpenRouter, DeepSeek and every other compatible server."""

    name = NAME
    dialect = DIALECT
    path = "/chat/completions"
    errors = OpenAIErrors(NAME)
    format = formats.CHAT
    batches: BatchApi | None = OpenAIBatches("/v1/chat/completions", errors)
    keyless = True

    def capabilities(self, model: str) -> Capabilities:
        """Everything except some models' sampling: names do not say what other models support."""
        return _UNSAMPLED if model.startswith(NO_SAMPLING) else _ALL

    def content(self, body: Mapping[str, Any], *, streamed: bool) -> Mapping[str, Any]:
        """A streamed answer has its usage only when that is requested; some gateways stream by default."""
        if not streamed:
            return {"stream": False, **body}
        return {"stream_options": {"include_usage": True}, **body, "stream": True}

    def prepare(
        self, exchange: HttpExchange, body: Mapping[str, Any], cancel: CancelToken
    ) -> Mapping[str, Any]:
        """The limit of tokens by the name that this server wants."""
        return with_limit_name(body, self.address(exchange.endpoint))

    async def prepare_async(self, exchange: HttpExchange, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """As `prepare`."""
        return with_limit_name(body, self.address(exchange.endpoint))

    def adapted(
        self, body: Mapping[str, Any], error: ProviderError, endpoint: Endpoint
    ) -> Mapping[str, Any] | None:
        """*body* with the other name for the limit of tokens, when *error* refuses the one that it has."""
        return other_limit(body, error, self.address(endpoint))

    def entry_body(self, body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, Any]:
        """The body with the limit of tokens by the name that this server wants."""
        return with_limit_name(super().entry_body(body, endpoint), self.address(endpoint))

    def encode(self, request: Request) -> JsonObject:
        """The body of `POST /chat/completions`."""
        request = in_dialect(request, self.dialect)
        body: JsonObject = {"model": request.model, "messages": _messages(request)}
        if tools := allowed_tools(request):
            body["tools"] = [_tool(tool) for tool in tools]
        if (output := request.output) is not None:
            answer = {"name": output.name, "schema": output.schema, "strict": output.strict}
            body["response_format"] = {"type": "json_schema", "json_schema": answer}
        elif request.json_object:
            body["response_format"] = {"type": "json_object"}
        body |= given(
            {
                "temperature": request.temperature,
                "top_p": request.top_p,
                "seed": request.seed,
                "stop": None if request.stop is None else list(request.stop),
                "reasoning_effort": request.reasoning_effort,
                limit_name(request.model): request.max_tokens,
                "tool_choice": tool_choice(request, _named) if tools else None,
                "parallel_tool_calls": request.parallel_tools if tools else None,
            }
        )
        return merge(body, request.extra)

    def decode(self, raw: Any) -> Reply:
        """The reply in a completion. Raises `BadReplyError`, or the error of an error object in it."""
        accumulator = ChatAccumulator(self.name)
        if isinstance(raw, list):
            return read_events(accumulator, raw)
        read_object(self.name, raw, accumulator.feed_whole)
        return accumulator.reply()

    def accumulator(self) -> ChatAccumulator:
        """A new accumulator for one stream."""
        return ChatAccumulator(self.name)


# --- encoding -----------------------------------------------------------------------------------------


def _messages(request: Request) -> list[JsonObject]:
    # "system" and not "developer": OpenAI treats them alike, and compatible servers know only this one.
    system = [] if request.system is None else [{"role": "system", "content": request.system}]
    messages: list[JsonObject] = [*system]
    after_tools = False
    content = user_content(request, _part)
    for index, message in enumerate(request.messages):
        if isinstance(message, User):
            messages.append({"role": "user", "content": content(index, message)})
        else:
            messages += _sent(message, after_tools=after_tools)
        after_tools = isinstance(message, ToolResults)
    return messages


def _sent(message: Reply | ToolResults, *, after_tools: bool) -> Iterable[JsonObject]:
    match message:
        case Reply(calls=(), text=text) if not text.strip():
            return ()  # many chat templates and servers refuse an empty turn
        case Reply(echo=Echo(by="openai-chat", data=data)):
            return (_own(data, message, after_tools=after_tools),)
        case Reply():
            return (turn(message.text, [rebuilt(call) for call in message.calls]),)
        case ToolResults(results):
            return [
                {"role": "tool", "tool_call_id": result.call.id, "content": result.content}
                for result in results
            ]


def _part(part: str | Media) -> JsonObject:
    match part:
        case str():
            return {"type": "text", "text": part}
        case Media(kind="image"):
            return {"type": "image_url", "image_url": {"url": part.data_url}}
        case Media(url=str()):
            raise ConfigurationError(
                "Chat Completions do not accept a document by its address: "
                "read it and use Document.from_bytes"
            )
        case Media():
            return {"type": "file", "file": {"filename": file_name(part), "file_data": part.data_url}}


def _own(data: JsonObject, reply: Reply, *, after_tools: bool) -> JsonObject:
    """The turn *data* as the server sent it, with its reasoning if it calls tools or follows their results.

    Elsewhere the reasoning is not part of the prompt: https://api-docs.deepseek.com/guides/thinking_mode.
    """
    if reply.calls:
        return {**data, "tool_calls": with_ids(data["tool_calls"], reply.calls)}
    if after_tools:
        return data
    return {**{key: data[key] for key in data if key not in REASONING}, "content": reply.text}


def _named(tool: str) -> JsonObject:
    return {"type": "function", "function": {"name": tool}}


def _tool(tool: ToolSchema) -> JsonObject:
    function: JsonObject = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    if tool.strict:
        function["strict"] = True  # false is the default, and some servers refuse the key
    return {"type": "function", "function": function}
