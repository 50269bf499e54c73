"""Ollama: its native `POST /api/chat`, and its copy of OpenAI's Chat Completions.

The server says what its models support (see `address`).
Facts are from Ollama's docs/api.md and server source, and from the SDK 0.6.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any

from alloy.backends.base import Capabilities
from alloy.backends.fallback.prompted import description
from alloy.backends.http.bodies import (
    allowed_tools,
    as_count,
    as_text,
    given,
    merge,
    read_object,
    with_ids,
)
from alloy.backends.http.payload import parse_json
from alloy.backends.ollama.address import OllamaHttpBackend, find_host, read_settings, server_url
from alloy.backends.ollama.dialect import DIALECT
from alloy.backends.ollama.errors import ERRORS, OllamaChatErrors, not_running
from alloy.backends.openai.address import NO_KEY
from alloy.backends.openai.address import Settings as OpenAISettings
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.schemas import in_dialect
from alloy.endpoints import Endpoint
from alloy.errors import AlloyError, BadReplyError
from alloy.jsontypes import JsonObject
from alloy.messages import (
    Delta,
    Echo,
    Finish,
    OutputSchema,
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

__all__ = ["CAPABILITIES", "OllamaBackend", "OllamaChatBackend"]

NAME = "ollama"

# With a grammar for the answer the model cannot call a tool, so the typed answer gets a request of its own.
# The server is asked about tools, images and thinking. It caches prompts without being asked.
_LOCAL = Capabilities(
    output_with_tools=False,
    documents=False,
    urls=False,
    drops=frozenset(("prompt_caching",)),
    refuses=frozenset(("tool_choice", "parallel_tools")),
)

# By the model's name, a pattern as in fnmatch; the first that matches counts.
CAPABILITIES: tuple[tuple[str, Capabilities], ...] = (
    ("*[:-]cloud", replace(_LOCAL, structured_output=False)),  # docs: structured outputs are local only
    ("*", _LOCAL),
)

# Models whose `think` is a level; the others accept true or false, and answer 400 to a level.
_THINK_LEVELS = ("gpt-oss",)
_LEVELS = {"minimal": "low", "xhigh": "max"}  # the values of other providers

_FINISH: dict[Any, Finish] = {None: "stop", "stop": "stop", "length": "length"}

_ID = re.compile(
    r"[A-Za-z0-9_-]{1,64}"
)  # what every provider accepts, for conversations that continue at another one


class OllamaBackend(OllamaHttpBackend):
    """The native API.

    The address is `base_url`, else `OLLAMA_HOST`, else port 11434 here. The size of the context is the
    server's, often 4096 tokens, and the server drops what is longer without a sign; this sets it, and how
    long a model stays loaded: `extra={"ollama": {"options": {"num_ctx": 8192}, "keep_alive": "10m"}}`. The
    first request loads the model, so set `timeout` high enough for that.
    """

    name = NAME
    dialect = DIALECT

    def capabilities(self, model: str) -> Capabilities:
        """What is known without asking the server: the first row of `CAPABILITIES` that matches."""
        return _capabilities(model)

    def encode(self, request: Request) -> JsonObject:
        """The body of `POST /api/chat`."""
        request = in_dialect(request, self.dialect)
        body: JsonObject = {
            "model": request.model,
            "messages": _messages(request),
            "stream": False,  # the server's default is true
        }
        tools = allowed_tools(request)
        if tools and request.tool_choice != "none":  # leaving tools out is the only way to forbid them
            body["tools"] = [_tool(tool) for tool in tools]
        if request.output is not None:
            body["format"] = request.output.schema
        options = given(
            {
                "temperature": request.temperature,
                "num_predict": request.max_tokens,
                "top_p": request.top_p,
                "seed": request.seed,
                "stop": None if request.stop is None else list(request.stop),
            }
        )
        if options:
            body["options"] = options
        if request.reasoning_effort is not None:
            body["think"] = _think(request.model, request.reasoning_effort)
        return merge(body, request.extra)

    def decode(self, raw: Any) -> Reply:
        """The reply in an answer, which is read as a stream of one line."""
        accumulator = ChatAccumulator()
        accumulator.feed(raw)
        return accumulator.reply()

    def accumulator(self) -> ChatAccumulator:
        """A new accumulator for one stream."""
        return ChatAccumulator()


def _capabilities(model: str) -> Capabilities:
    return next(can for pattern, can in CAPABILITIES if fnmatchcase(model, pattern))


# --- encoding -----------------------------------------------------------------------------------------


def _messages(request: Request) -> list[JsonObject]:
    messages = [] if request.system is None else [{"role": "system", "content": request.system}]
    for turn in request.messages:
        messages += _sent(turn)
    if request.output is not None:
        _describe(request.output, messages)
    return messages


def _sent(turn: Turn) -> Sequence[JsonObject]:
    match turn:
        case User():
            # A message has its images next to its text, so their place in the text is lost.
            images = [part.base64 for part in turn.parts if not isinstance(part, str)]
            message = {"role": "user", "content": turn.text}
            return ({**message, "images": images} if images else message,)
        case Reply(calls=calls, echo=Echo(by="ollama", data=message)):
            return ({**message, "tool_calls": with_ids(message["tool_calls"], calls)} if calls else message,)
        case Reply():
            return (_assistant(turn.text, turn.calls),)
        case ToolResults(results):
            # Paired by their order and name; newer servers and some templates use the id, too.
            return [
                {
                    "role": "tool",
                    "tool_name": result.name,
                    "tool_call_id": result.call.id,
                    "content": result.content or "(no output)",  # templates leave an empty one out
                }
                for result in results
            ]


def _assistant(text: str, calls: Sequence[ToolCall]) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {"id": call.id, "function": {"name": call.name, "arguments": _as_object(call.arguments)}}
            for call in calls
        ]
    return message


def _as_object(arguments: str) -> JsonObject:
    """*arguments* as the object that the server requires, also when a model wrote something else."""
    try:
        value = parse_json(arguments or "{}")
    except ValueError:
        value = arguments
    return value if isinstance(value, dict) else {"arguments": value}


def _describe(output: OutputSchema, messages: list[JsonObject]) -> None:
    """Add the type of *output* to the user's last message, because the model does not see `format`.

    Not to a system message, because that would replace the one that the model comes with.
    """
    at = max(index for index, message in enumerate(messages) if message["role"] == "user")
    text = f"{messages[at]['content']}\n\nGive your answer as {description(output)}"
    messages[at] = {**messages[at], "content": text.lstrip()}


def _tool(tool: ToolSchema) -> JsonObject:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _think(model: str, effort: str) -> bool | str:
    if effort == "none":
        return False
    if model.rpartition("/")[2].startswith(_THINK_LEVELS):
        return _LEVELS.get(effort, effort)
    return True


# --- decoding, whole and streamed ---------------------------------------------------------------


class ChatAccumulator:
    """Builds the `Reply` from the lines of a stream."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCall] = []
        self._shown = 0
        self._model = ""
        self._has_message = False
        self._last: Mapping[str, Any] | None = None

    def feed(self, event: Any) -> Delta | None:
        """Take in one line. Raises `ProviderError` when the server reports a failure.

        A line with text shows the text; a call in the same line is shown with the next line.
        """
        return read_object(NAME, event, self._take)

    def reply(self) -> Reply:
        """The whole reply. Raises `BadReplyError` without the line that says `done`."""
        if self._last is None:
            raise _bad("the answer ended before its `done`, so it is not complete")
        reason = self._last.get("done_reason")  # older servers do not send one
        if reason is not None and not (isinstance(reason, str) and reason in _FINISH):
            raise _bad(f"the answer ended with the done_reason {reason!r}")
        finish = _FINISH[reason]
        text, reasoning = "".join(self._text), "".join(self._reasoning)
        message = _assistant(text, self._calls)
        if self._calls and reasoning:
            message["thinking"] = reasoning  # a model that thinks continues where it was
        counts = self._last.get("prompt_eval_count"), self._last.get("eval_count")
        return Reply(
            text=text,
            calls=tuple(self._calls),
            finish="tool_calls" if finish == "stop" and self._calls else finish,
            usage=Usage(*map(as_count, counts)),
            model=self._model,
            reasoning=reasoning,
            echo=Echo(NAME, message),
        )

    def _take(self, event: Mapping[str, Any]) -> Delta | None:
        if event.get("error"):
            raise ERRORS.in_answer(event["error"])
        self._model = self._model or as_text(event.get("model"))
        message = event.get("message")
        if isinstance(message, dict):
            self._has_message = True
        if not self._has_message:
            raise _bad(f"the answer has no message: {event!r:.120}")
        if event.get("done") is True:
            self._last = event
        return self._next_delta(message or {}, event)

    def _next_delta(self, message: Mapping[str, Any], event: Mapping[str, Any]) -> Delta | None:
        text, reasoning = as_text(message.get("content")), as_text(message.get("thinking"))
        if text:
            self._text.append(text)
        if reasoning:
            self._reasoning.append(reasoning)
        for call in message.get("tool_calls") or ():
            self._calls.append(self._call(call, as_text(event.get("created_at"))))
        if text:
            return TextDelta(text)
        if self._shown < len(self._calls):
            self._shown += 1
            call = self._calls[self._shown - 1]
            return ToolCallDelta(call.id, call.name)
        return ReasoningDelta(reasoning) if reasoning else None

    def _call(self, call: Mapping[str, Any], stamp: str) -> ToolCall:
        function = call["function"]
        name, arguments = function["name"], function.get("arguments")
        if not isinstance(name, str) or not name:
            raise _bad(f"the answer calls a tool without a name: {call!r:.120}")
        written = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
        found = as_text(call.get("id"))
        if not _ID.fullmatch(found) or any(found == other.id for other in self._calls):
            # Older servers send no ids. The time in it makes the id differ from those of other turns.
            seed = f"{stamp} {len(self._calls)} {name} {written}"
            found = f"call_{sha256(seed.encode('utf-8', 'replace')).hexdigest()[:16]}"
        return ToolCall(found, name, written)


def _bad(message: str) -> BadReplyError:
    return BadReplyError(message, provider=NAME)


# --- the copy of OpenAI's API -------------------------------------------------------------------------


class OllamaChatBackend(OpenAIChatBackend):
    """Chat Completions at the same server: `ollama-chat:NAME`.

    `base_url` is the whole address, `/v1` included; without it the server is found as `OllamaBackend`
    finds it. Only the native API can set the size of the context, so prefer that.
    """

    name = "ollama-chat"
    dialect = DIALECT
    errors = OllamaChatErrors("ollama-chat")
    key_variables = ("OLLAMA_API_KEY",)

    def capabilities(self, model: str) -> Capabilities:
        """As `OllamaBackend.capabilities`: it is the same model, and `/v1` has no tool choice either."""
        return _capabilities(model)

    def address(self, endpoint: Endpoint) -> str:
        """Where requests would go now."""
        return find_host(endpoint)[0]

    def settings(self, endpoint: Endpoint) -> OpenAISettings:
        """Those of the Ollama server, complete, so that nothing is read from OpenAI's variables."""
        own = read_settings(endpoint)
        url = endpoint.base_url or f"{server_url(own)}/v1"
        return super().settings(replace(endpoint, base_url=url, api_key=own.api_key or NO_KEY))

    def unreached(self, error: Exception, server: str, settings: OpenAISettings) -> AlloyError | None:
        """The address that was tried, and how to start a server there."""
        return not_running(self.name, server, error) or self.explain(error)
