"""Ollama: its native `POST /api/chat`, and its copy of OpenAI's Chat Completions.

The server says what its models support (see `address`).
Facts are from Ollama's docs/api.md and server source, and from the SDK 0.6.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
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
    larger_counts,
    merge,
    read_events,
    read_object,
    with_ids,
)
from alloy.backends.http.finish import later, read_ending
from alloy.backends.http.payload import json_problem, parse_json
from alloy.backends.ollama.address import OllamaHttpBackend, find_host, read_settings, server_url, with_scheme
from alloy.backends.ollama.dialect import DIALECT
from alloy.backends.ollama.errors import ERRORS, OllamaChatErrors, not_running
from alloy.backends.openai.address import NO_KEY
from alloy.backends.openai.address import Settings as OpenAISettings
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.schemas import in_dialect
from alloy.endpoints import Endpoint
from alloy.errors import AlloyError, BadReplyError
from alloy.excerpts import excerpt
from alloy.jsontypes import JsonObject
from alloy.messages import (
    Delta,
    Echo,
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

# Where the reasoning is: at Ollama, and at servers that copied its API.
_THINKING = ("thinking", "reasoning", "reasoning_content")
_COUNTS = ("prompt_eval_count", "eval_count")

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
        if isinstance(raw, list):
            return read_events(ChatAccumulator(), raw)
        accumulator = ChatAccumulator()
        accumulator.feed(raw)
        return accumulator.reply(is_whole=True)

    def accumulator(self) -> ChatAccumulator:
        """A new accumulator for one stream."""
        return ChatAccumulator()


def _capabilities(model: str) -> Capabilities:
    return next(can for pattern, can in CAPABILITIES if fnmatchcase(model, pattern))


# --- encoding -----------------------------------------------------------------------------------------


def _messages(request: Request) -> list[JsonObject]:
    messages = [] if request.system is None else [{"role": "system", "content": request.system}]
    after_tools = False
    for turn in request.messages:
        messages += _sent(turn, after_tools=after_tools)
        after_tools = isinstance(turn, ToolResults)
    if request.output is not None:
        _describe(request.output, messages)
    return messages


def _sent(turn: Turn, *, after_tools: bool) -> Sequence[JsonObject]:
    match turn:
        case User():
            # A message has its images next to its text, so their place in the text is lost.
            images = [part.base64 for part in turn.parts if not isinstance(part, str)]
            message = {"role": "user", "content": turn.text}
            return ({**message, "images": images} if images else message,)
        case Reply(calls=(), text=text) if not text.strip():
            return ()  # many chat templates refuse an empty turn
        case Reply(calls=calls, echo=Echo(by="ollama", data=message)):
            return (_own(message, calls, after_tools=after_tools),)
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


def _own(message: JsonObject, calls: Sequence[ToolCall], *, after_tools: bool) -> JsonObject:
    """The *message* of a turn as the server sent it, with its reasoning if it calls tools or follows them.

    A model that thinks continues where it was; the reasoning of other turns is not part of its prompt.
    """
    if calls:
        return {**message, "tool_calls": with_ids(message["tool_calls"], calls)}
    return message if after_tools else {key: message[key] for key in message if key not in _THINKING}


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
    value: Any = arguments or "{}"
    with suppress(ValueError):
        value = parse_json(value)
        value = parse_json(value) if isinstance(value, str) else value  # some models encode it twice
    if json_problem(value) is not None:
        value = arguments  # NaN among them, which is read but cannot be sent
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
        self._thinking = "thinking"  # the field that has the reasoning
        self._calls: list[ToolCall] = []
        self._ids: set[str] = set()
        self._shown = 0
        self._model = ""
        self._has_message = False
        self._done: bool | None = None  # `None` before a line that says it
        self._reason: Any = None  # why the answer ended
        self._usage: JsonObject = {}

    def feed(self, event: Any) -> Delta | None:
        """Take in one line. Raises `ProviderError` when the server reports a failure.

        A line with text shows the text; a call in the same line is shown with the next line.
        """
        return read_object(NAME, event, self._take)

    def reply(self, *, is_whole: bool = False) -> Reply:
        """The whole reply. Raises `BadReplyError` without the line that says `done`.

        *is_whole* says that the answer was not streamed, so that `done` may be missing.
        """
        text, reasoning = "".join(self._text), "".join(self._reasoning)
        has_content = bool(text or self._calls)
        if not (self._done or (is_whole and has_content and self._done is None)):
            raise _bad("the answer ended before its `done`, so it is not complete")
        ending = read_ending(
            self._reason, field="done_reason", provider=NAME, calls=self._calls, complete=True
        )
        if ending.finish == "other" and not (has_content and isinstance(self._reason, str)):
            # "load" and "unload" among them, which come without an answer
            raise _bad(f"the answer ended with the done_reason {self._reason!r}", transient=False)
        message = _assistant(text, self._calls)
        if reasoning:
            message[self._thinking] = reasoning
        return Reply(
            text=text,
            calls=tuple(self._calls),
            finish=ending.finish,
            is_end_stated=ending.is_stated,
            usage=Usage(*(as_count(self._usage.get(name)) for name in _COUNTS)),
            model=self._model,
            reasoning=reasoning,
            explanation=ending.explanation,
            echo=Echo(NAME, message),
        )

    def _take(self, event: Mapping[str, Any]) -> Delta | None:
        if event.get("error"):
            raise ERRORS.in_answer(event)
        self._model = self._model or as_text(event.get("model"))
        message = event.get("message")
        if isinstance(message, dict):
            self._has_message = True
        if not self._has_message:
            raise _bad(f"the answer has no message: {excerpt(event, 120)}", transient=False)
        if event.get("done") is not None:
            self._done = self._done or event["done"] is True
        self._reason = later(self._reason, event.get("done_reason"))
        self._usage = larger_counts(self._usage, {name: event.get(name) for name in _COUNTS})
        return self._next_delta(message or {}, event)

    def _next_delta(self, message: Mapping[str, Any], event: Mapping[str, Any]) -> Delta | None:
        text, reasoning = as_text(message.get("content")), self._reasoning_in(message)
        if text:
            self._text.append(text)
        if reasoning:
            self._reasoning.append(reasoning)
        earlier = frozenset(self._calls if self._done else ())
        for call in message.get("tool_calls") or ():
            made = self._call(call)
            if made not in earlier:  # some servers repeat the calls in the last line
                self._calls.append(self._identified(made, as_text(event.get("created_at"))))
                self._ids.add(self._calls[-1].id)
        if text:
            return TextDelta(text)
        if self._shown < len(self._calls):
            self._shown += 1
            shown = self._calls[self._shown - 1]
            return ToolCallDelta(shown.id, shown.name)
        return ReasoningDelta(reasoning) if reasoning else None

    def _reasoning_in(self, message: Mapping[str, Any]) -> str:
        name = next((name for name in _THINKING if as_text(message.get(name))), None)
        if name is None:
            return ""
        self._thinking = name
        return as_text(message[name])

    def _call(self, call: Mapping[str, Any]) -> ToolCall:
        """The call as the server wrote it, with its id if it has one."""
        function = call.get("function", call)
        name, arguments = function["name"], function.get("arguments")
        if not isinstance(name, str) or not name:
            raise _bad(f"the answer calls a tool without a name: {excerpt(call, 120)}")
        written = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
        return ToolCall(as_text(call.get("id")), name, written)

    def _identified(self, call: ToolCall, stamp: str) -> ToolCall:
        """*call* with an id that no other call has; older servers send none.

        The time in a made id, *stamp*, makes it differ from those of other turns.
        """
        if _ID.fullmatch(call.id) and call.id not in self._ids:
            return call
        seed = f"{stamp} {len(self._calls)} {call.name} {call.arguments}"
        made = f"call_{sha256(seed.encode('utf-8', 'replace')).hexdigest()[:16]}"
        return replace(call, id=made)


def _bad(message: str, *, transient: bool | None = None) -> BadReplyError:
    return BadReplyError(message, provider=NAME, transient=transient)


# --- the copy of OpenAI's API -------------------------------------------------------------------------


class OllamaChatBackend(OpenAIChatBackend):
    """Chat Completions at the same server: `ollama-chat:NAME`.

    `base_url` is the whole address, `/v1` included; without it the server is found as `OllamaBackend`
    finds it. Only the native API can set the size of the context, so prefer that.
    """

    name = "ollama-chat"
    dialect = DIALECT
    errors = OllamaChatErrors("ollama-chat")
    batches = None
    packages = ("openai", "ollama")
    key_variables = ("OLLAMA_API_KEY", "OPENAI_CUSTOM_HEADERS")

    def capabilities(self, model: str) -> Capabilities:
        """As `OllamaBackend.capabilities`: it is the same model, and `/v1` has no tool choice either."""
        return _capabilities(model)

    def address(self, endpoint: Endpoint) -> str:
        """Where requests would go now."""
        return with_scheme(find_host(endpoint)[0])

    def settings(self, endpoint: Endpoint) -> OpenAISettings:
        """Those of the Ollama server, complete, so that nothing is read from OpenAI's variables."""
        own = read_settings(endpoint)
        url = endpoint.base_url or server_url(own, "/v1")
        return super().settings(replace(endpoint, base_url=url, api_key=own.api_key or NO_KEY))

    def unreached(self, error: Exception, server: str, settings: OpenAISettings) -> AlloyError | None:
        """The address that was tried, and how to start a server there."""
        return not_running(self.name, server, error) or self.explain(error)
