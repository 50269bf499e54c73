"""OpenAI's Chat Completions, as OpenAI and the many compatible servers have it.

These differ in details, so reading is tolerant wherever the meaning is unambiguous. A reply is
complete when it has its `finish_reason`. Facts are from the API reference as the SDK 3.54
ships it, and from the servers' own sources where a comment names one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from alloy.backends.base import Capabilities
from alloy.backends.http.bodies import (
    allowed_tools,
    as_count,
    as_text,
    given,
    merge,
    read_object,
    with_ids,
)
from alloy.backends.http.event_stream import END_MARK
from alloy.backends.http.finish import later, read_ending
from alloy.backends.openai.address import NO_SAMPLING, SAMPLING, OpenAIHttpBackend, file_name, tool_choice
from alloy.backends.openai.dialect import DIALECT
from alloy.backends.openai.errors import OpenAIErrors
from alloy.backends.schemas import in_dialect
from alloy.errors import BadReplyError, ConfigurationError
from alloy.jsontypes import JsonObject
from alloy.media import Media
from alloy.messages import (
    Delta,
    Echo,
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

__all__ = ["OpenAIChatBackend"]

NAME = "openai-chat"

# OpenAI's own models refuse `max_tokens` from o1 on; many other servers know only that.
_OPENAI_MODEL = re.compile(r"(ft:)?(gpt-(?!oss)|chatgpt-|o\d)")

_ALL = Capabilities(document_urls=False, json_object=True)
_UNSAMPLED = replace(_ALL, drops=SAMPLING)

# The keys of the reasoning: in DeepSeek and llama.cpp, and in newer vLLM and OpenRouter.
_REASONING = ("reasoning_content", "reasoning")

_CALL_KEYS = {"index", "id", "type", "function"}


class OpenAIChatBackend(OpenAIHttpBackend):
    """Chat Completions, for vLLM, llama.cpp, OpenRouter, DeepSeek and every other compatible server."""

    name = NAME
    dialect = DIALECT
    path = "/chat/completions"
    errors = OpenAIErrors(NAME)
    keyless = True

    def capabilities(self, model: str) -> Capabilities:
        """Everything except some models' sampling: names do not say what other models support."""
        return _UNSAMPLED if model.startswith(NO_SAMPLING) else _ALL

    def content(self, body: Mapping[str, Any], *, streamed: bool) -> Mapping[str, Any]:
        """A streamed answer has its usage only when that is requested."""
        if not streamed:
            return body
        return {"stream_options": {"include_usage": True}, **body, "stream": True}

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
        limit = "max_completion_tokens" if _OPENAI_MODEL.match(request.model) else "max_tokens"
        body |= given(
            {
                "temperature": request.temperature,
                "top_p": request.top_p,
                "seed": request.seed,
                "stop": None if request.stop is None else list(request.stop),
                "reasoning_effort": request.reasoning_effort,
                limit: request.max_tokens,
                "tool_choice": tool_choice(request, _named) if tools else None,
                "parallel_tool_calls": request.parallel_tools if tools else None,
            }
        )
        return merge(body, request.extra)

    def decode(self, raw: Any) -> Reply:
        """The reply in a completion. Raises `BadReplyError`, or the error of an error object in it."""
        accumulator = ChatAccumulator(self.name)
        read_object(self.name, raw, accumulator.feed_whole)
        return accumulator.reply()

    def accumulator(self) -> ChatAccumulator:
        """A new accumulator for one stream."""
        return ChatAccumulator(self.name)


# --- encoding -----------------------------------------------------------------------------------------


def _messages(request: Request) -> list[JsonObject]:
    # "system" and not "developer": OpenAI treats them alike, and compatible servers know only this one.
    system = [] if request.system is None else [{"role": "system", "content": request.system}]
    return system + [sent for message in request.messages for sent in _sent(message)]


def _sent(message: Turn) -> Iterable[JsonObject]:
    match message:
        case User(str() as text):
            return ({"role": "user", "content": text},)
        case User():
            return ({"role": "user", "content": [_part(part) for part in message.parts]},)
        case Reply(calls=calls, echo=Echo(by="openai-chat", data=turn)):
            return ({**turn, "tool_calls": with_ids(turn["tool_calls"], calls)} if calls else turn,)
        case Reply():
            return (_turn(message.text, [_rebuilt(call) for call in message.calls]),)
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


def _turn(text: str, calls: list[JsonObject]) -> JsonObject:
    if not calls:
        return {"role": "assistant", "content": text}
    return {"role": "assistant", "content": text or None, "tool_calls": calls}


def _rebuilt(call: ToolCall) -> JsonObject:
    function = {"name": call.name, "arguments": call.arguments or "{}"}  # templates parse the arguments
    return {"id": call.id, "type": "function", "function": function}


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


# --- decoding, whole and streamed ---------------------------------------------------------------


class ChatAccumulator:
    """Builds the `Reply` from chunks; a whole completion is read as one chunk. Errors name *provider*."""

    def __init__(self, provider: str = NAME) -> None:
        self._provider = provider
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._reasoning: dict[str, list[str]] = {}  # by the key that the server uses for it
        self._calls = _Calls(provider)
        self._finish: Any = None
        self._complete = False  # known to be at its end, whatever the finish reason says
        self._usage = Usage()
        self._model = self._id = ""

    def feed(self, event: Any) -> Delta | None:
        """Take in one chunk. Raises `ProviderError` when the server reports a failure.

        A chunk with text shows the text; a call that begins in it is shown with the next chunk.
        """
        return read_object(self._provider, event, self._take)

    def _take(self, event: Mapping[str, Any]) -> Delta | None:
        self._complete = self._complete or event == END_MARK
        self._note(event)
        choice = _first_choice(event, self._provider)
        if choice is None:  # as in the last chunk, which has the usage, and in Azure's first
            return self._calls.next_delta()
        self._finish = later(self._finish, choice.get("finish_reason"))
        message = choice.get("delta")
        if not isinstance(message, dict):
            return self._calls.next_delta()
        reasoning = self._take_reasoning(message)
        text = self._take_text(message)
        for piece in message.get("tool_calls") or ():
            self._calls.add(piece)
        if text:
            return TextDelta(text)
        return self._calls.next_delta() or (ReasoningDelta(reasoning) if reasoning else None)

    def feed_whole(self, completion: Mapping[str, Any]) -> None:
        """Take a completion that was not streamed."""
        self._note(completion)
        choice = _first_choice(completion, self._provider)
        message = None if choice is None else choice.get("message")
        if choice is None or not isinstance(message, dict):
            raise self._bad(f"the completion has no message but {completion!r:.120}")
        self._finish, self._complete = choice.get("finish_reason"), True
        self._take_reasoning(message)
        self._take_text(message)
        for piece in message.get("tool_calls") or ():
            self._calls.begin().add(piece)

    def reply(self) -> Reply:
        """The whole reply. Raises `BadReplyError` without a finish reason."""
        calls, text = self._calls.finished(), "".join(self._text)
        finish, word = read_ending(
            self._finish,
            field="finish_reason",
            provider=self._provider,
            calls=calls,
            complete=self._complete and bool(text or calls or self._refusal),
            refused=bool(self._refusal),
        )
        reasoning = {key: "".join(pieces) for key, pieces in self._reasoning.items()}
        return Reply(
            text=text,
            calls=tuple(calls),
            finish=finish,
            usage=self._usage,
            model=self._model,
            id=self._id,
            reasoning=next(iter(reasoning.values()), ""),
            explanation="".join(self._refusal) or word,
            echo=Echo(NAME, _turn(text, self._calls.echo()) | (reasoning if calls else {})),
        )

    def _note(self, event: Mapping[str, Any]) -> None:
        if event.get("error"):
            raise OpenAIErrors(self._provider).in_answer(event["error"])
        self._model = self._model or as_text(event.get("model"))
        self._id = self._id or as_text(event.get("id"))
        if isinstance(event.get("usage"), dict):
            self._usage = _usage(event["usage"])  # some servers count up in every chunk: the last one counts

    def _take_text(self, message: Mapping[str, Any]) -> str:
        text = _content(message.get("content"), "text")
        refusal = as_text(message.get("refusal")) + _content(message.get("content"), "refusal")
        if text:
            self._text.append(text)
        if refusal:
            self._refusal.append(refusal)
        return text

    def _take_reasoning(self, message: Mapping[str, Any]) -> str:
        key = next((key for key in _REASONING if message.get(key)), "")
        text = as_text(message.get(key))
        if text:
            self._reasoning.setdefault(key, []).append(text)
        return text

    def _bad(self, message: str) -> BadReplyError:
        return BadReplyError(message, provider=self._provider)


class _Call:
    """One tool call, to which pieces are added."""

    def __init__(self) -> None:
        self.id = self.name = self.arguments = ""
        self.more: JsonObject = {}  # a gateway's own fields, such as Gemini's thought signatures
        self.shown = False

    def add(self, piece: Mapping[str, Any]) -> None:
        function = piece.get("function") or {}
        self.id = self.id or as_text(piece.get("id"))
        name = as_text(function.get("name"))
        if name != self.name:  # some servers repeat the name in every piece, others send it in parts
            self.name += name
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            self.arguments = json.dumps(arguments, ensure_ascii=False)
        else:
            self.arguments += as_text(arguments)
        self.more |= {key: value for key, value in piece.items() if key not in _CALL_KEYS}


class _Calls:
    """The tool calls of one message, in the order in which they began."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    def begin(self) -> _Call:
        call = _Call()
        self._calls.append(call)
        return call

    def add(self, piece: Mapping[str, Any]) -> None:
        """Add a streamed piece to its call.

        A piece belongs to the call with its index. It begins another call when it has a name and
        another id: Gemini's compatible API gives every parallel call the index 0. An id alone
        means nothing: some versions of vLLM generate a new one for every piece.
        """
        index = piece.get("index")
        call = self._by_index.get(index) if isinstance(index, int) else self._unindexed(piece)
        if call is None or _is_other(call, piece):
            call = self.begin()
        if isinstance(index, int):
            self._by_index[index] = call
        call.add(piece)

    def _unindexed(self, piece: Mapping[str, Any]) -> _Call | None:
        same = [call for call in self._calls if call.id and call.id == piece.get("id")]
        return next(iter(same), self._calls[-1] if self._calls else None)

    def next_delta(self) -> Delta | None:
        """The next call that has not been shown."""
        for call in self._calls:
            if call.name and not call.shown:
                call.shown = True
                return ToolCallDelta(call.id, call.name)
        return None

    def finished(self) -> list[ToolCall]:
        """The calls with unique ids: nothing else pairs a result with its call."""
        seen: set[str] = set()
        for position, call in enumerate(self._calls):
            if not call.name:
                raise BadReplyError("the answer calls a tool without a name", provider=self._provider)
            if not call.id or call.id in seen:
                call.id = f"call_{position}"
            seen.add(call.id)
        return [ToolCall(call.id, call.name, call.arguments) for call in self._calls]

    def echo(self) -> list[JsonObject]:
        return [
            {**call.more, **_rebuilt(ToolCall(call.id, call.name, call.arguments))} for call in self._calls
        ]


def _is_other(call: _Call, piece: Mapping[str, Any]) -> bool:
    named = bool((piece.get("function") or {}).get("name"))
    new_id = bool(piece.get("id")) and bool(call.id) and piece["id"] != call.id
    # Without ids and an index, a name after the arguments have begun can only belong to the next call.
    bare = not piece.get("id") and not isinstance(piece.get("index"), int) and bool(call.arguments)
    return named and (new_id or bare)


def _first_choice(event: Mapping[str, Any], provider: str) -> Mapping[str, Any] | None:
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and not choice.get("index"):
            if choice.get("error"):  # OpenRouter, when the provider fails during the answer
                raise OpenAIErrors(provider).in_answer(choice["error"])
            return choice
    return None


def _content(content: Any, kind: str) -> str:
    """The text of a message's content: a string, or the parts of *kind* in a list."""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == kind]
        return "".join(as_text(part.get(kind)) for part in parts)
    return as_text(content) if kind == "text" else ""


def _usage(usage: Mapping[str, Any]) -> Usage:
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    cached = cached or usage.get("prompt_cache_hit_tokens")  # DeepSeek's name for it
    counts = usage.get("prompt_tokens"), usage.get("completion_tokens"), cached, reasoning
    return Usage(*map(as_count, counts))
