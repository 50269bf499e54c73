"""Tools for models that have none: ReAct (Yao et al. 2022, https://arxiv.org/abs/2210.03629).

The prompt describes the tools, the model writes `Thought / Action / Action Input`, and that is decoded
to the tool calls of an ordinary `Reply`, so the loop that runs tools does not change. The results are
sent as the user's `Observation`, and `Final Answer` is the answer. A typed answer is always described in
the prompt: native structured output would leave no room for thoughts and actions.

Replies look as if the model had native tools; `Reply.echo` keeps what it wrote, for later turns.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from alloy._typed.json.calls import tool_name
from alloy._typed.json.text import Unreadable, decode
from alloy._typed.json.values import json_type
from alloy._typed.schemas.refs import alternatives
from alloy.backends.base import Accumulator, Backend, CancelToken
from alloy.backends.fallback.prompted import unwrapped, with_instructions
from alloy.backends.fallback.react_prompt import NAME, instructions, rewritten, with_format, written
from alloy.backends.fallback.react_reader import NOTHING, AnswerFilter, Reading, read
from alloy.backends.fallback.turn_form import EnforcesTurns, TurnForm
from alloy.backends.fallback.wrapper import Wrapper
from alloy.backends.http.bodies import allowed_tools
from alloy.backends.schemas import in_dialect
from alloy.endpoints import Endpoint
from alloy.errors import ProviderError
from alloy.jsontypes import JsonObject
from alloy.messages import Delta, Echo, ReasoningDelta, Reply, Request, TextDelta, ToolCall, ToolSchema

__all__ = ["END", "ReActBackend"]

STOP = "\nObservation:"

_WHOLE = ("stop", "tool_calls")
# Replies that end in another way are cut off: their calls are not complete. Of an unknown end, the engine
# takes whole calls.
_READ = (*_WHOLE, "other")


class _End:
    """The last event of a stream, with which text is shown that was held back."""


END: Final = _End()


class ReActBackend(Wrapper):
    """*inner*, asked in the prompt to call tools. Made for one *request*, by whose tools it decodes."""

    def __init__(self, inner: Backend, request: Request) -> None:
        super().__init__(inner)
        request = in_dialect(request, inner.dialect)
        self._tools = {tool.name: tool for tool in request.tools}
        self._may_call = bool(request.tools) and request.tool_choice != "none"
        self._at_once = None if request.parallel_tools is not False else 1
        self._turn = 1 + sum(isinstance(message, Reply) for message in request.messages)

    def encode(self, request: Request) -> JsonObject:
        """The body of *request* with its tools, the type of the answer and the turns so far as text."""
        sent = in_dialect(request, self.dialect)
        enforcing = self.inner if isinstance(self.inner, EnforcesTurns) else None
        format_ = instructions(sent, may_call=self._may_call, decides=enforcing is not None)
        enforced = {} if enforcing is None else enforcing.enforce(self._form(sent))
        return self.inner.encode(
            replace(
                request,
                messages=with_format(tuple(rewritten(request.messages)), sent.output),
                system=with_instructions(request.system, format_),
                extra={**enforced, **request.extra},
                stop=self._stop(request),
                tools=(),
                output=None,
                tool_mode="native",
                output_mode="native",
                json_object=False,
                tool_choice=None,
                allowed_tools=None,
                parallel_tools=None,
            )
        )

    def _form(self, request: Request) -> TurnForm:
        choice = request.tool_choice
        tools = allowed_tools(request) if self._may_call else []
        named = [tool for tool in tools if tool.name == choice]
        return TurnForm(
            tools=tuple(named or tools),
            answer={} if request.output is None else unwrapped(request.output),
            must_call=bool(tools) and choice not in (None, "auto"),
            parallel=self._at_once is None and bool(request.parallel_tools),
        )

    def _stop(self, request: Request) -> tuple[str, ...] | None:
        can = self.inner.capabilities(request.model)
        if request.stop is not None or not self._may_call or "stop" in can.refuses | can.drops:
            return request.stop
        return (STOP,)

    def decode(self, raw: Any) -> Reply:
        """The reply in the provider's parsed answer, with its actions as calls."""
        return self.reread(self.inner.decode(raw))

    def reread(self, reply: Reply) -> Reply:
        """*reply*, whose text is a ReAct turn, as a model with native tools would have given it."""
        reading = read(reply.text)
        text = ""
        if reading.answer is not None:
            text = reading.answer.of(reply.text)
        elif reading.plain and not reply.calls and reply.finish != "pause" and not reply.text.isspace():
            # Next to calls, and in a turn that will be continued, this would be a thought.
            text = reply.text
        if reply.finish == "pause":  # the provider requires its own form of the turn
            return replace(reply, text=text, calls=())
        calls, kept = self._calls(reply, reading)
        finish = reply.finish
        if finish in _WHOLE:
            finish = "tool_calls" if calls else "stop"
        return replace(reply, text=text, calls=calls, finish=finish, echo=Echo(NAME, kept))

    def _calls(self, reply: Reply, reading: Reading) -> tuple[tuple[ToolCall, ...], str]:
        """The calls in *reply*, and the part of its text that counts."""
        if not self._may_call or reply.finish not in _READ:
            return (), reply.text[: reading.end]
        if reply.calls and not reading.actions and reading.answer is None:
            # An unexpected native call: a server may know the format that the model was trained with.
            native = self._numbered((call.name, call.arguments) for call in reply.calls)
            return native, written(reply.text[: reading.end], native)
        actions = reading.actions[: self._at_once]
        calls = self._numbered((self._name(name), self._arguments(name, given)) for name, given, _ in actions)
        return calls, reply.text[: actions[-1].end if actions else reading.end]

    def _name(self, name: str) -> str:
        # The toolbox reports an unknown tool, but providers that get this call later refuse such names:
        # https://platform.openai.com/docs/api-reference/chat/create, "function.name".
        return tool_name(name, self._tools)

    def _arguments(self, name: str, given: str) -> str:
        tool = self._tools.get(name)
        return given if tool is None else _arguments(given, tool)

    def _numbered(self, calls: Iterable[tuple[str, str]]) -> tuple[ToolCall, ...]:
        return tuple(
            ToolCall(f"react_{self._turn}_{nth}", name, arguments)
            for nth, (name, arguments) in enumerate(islice(calls, self._at_once), 1)
        )

    def accumulator(self) -> Accumulator:
        """A new accumulator for one stream."""
        return _Accumulator(self)

    def open(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken
    ) -> Generator[Any, None, None]:
        """The inner backend's events, and `END`."""
        yield from self.inner.open(body, endpoint, cancel)
        yield END

    async def open_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> AsyncGenerator[Any, None]:
        """As `open`."""
        async with aclosing(self.inner.open_async(body, endpoint)) as events:
            async for event in events:
                yield event
        yield END


class _Accumulator:
    """The inner backend's accumulator; only the final answer in its text is shown."""

    def __init__(self, backend: ReActBackend) -> None:
        self._backend = backend
        self._inner = backend.inner.accumulator()
        self._filter = AnswerFilter()
        self._reply: Reply | None = None

    def feed(self, event: Any) -> Delta | None:
        """Take one event in; `END` shows what was held back, and raises as `reply` does."""
        if event is END:
            text = self.reply().text[len("".join(self._filter.shown)) :]
            return TextDelta(text) if text else None
        delta = self._inner.feed(event)
        if isinstance(delta, TextDelta):
            shown = self._filter.feed(delta.text)
            return TextDelta(shown) if shown else None
        return delta if isinstance(delta, ReasoningDelta) else None

    def reply(self) -> Reply:
        """The whole reply. Raises `BadReplyError` when the provider's terminal event has not come."""
        if self._reply is None:
            try:
                self._reply = self._backend.reread(self._inner.reply())
            except ProviderError as error:
                error.text = "".join(self._filter.shown)  # the caller has not seen the thoughts
                raise
        return self._reply


# --- arguments ------------------------------------------------------------------------------------


def _arguments(given: str, tool: ToolSchema) -> str:
    """The input that the model wrote, as the JSON of the arguments where its meaning is unambiguous.

    Anything else stays as it is: the toolbox reports to the model what is wrong with it.
    """
    if given.lower() in NOTHING:
        return ""
    parameters: Mapping[str, Any] = tool.parameters.get("properties", {})
    if len(parameters) != 1 or given.startswith("{"):
        return given
    [(name, schema)] = parameters.items()
    value = _value(re.sub(rf"\A{re.escape(name)}\s*[:=]\s*", "", given), schema, tool.parameters)
    return given if value is None else f"{{{json.dumps(name)}: {value}}}"


def _value(given: str, schema: Any, root: Mapping[str, Any]) -> str | None:
    """*given* as the JSON of a value for *schema*; `None` when it is not one."""
    kinds = {kind for part in alternatives(schema, root.get("$defs", {})) for kind in _kinds(part)}
    text = json.dumps(given, ensure_ascii=False) if kinds & {"string", ANYTHING} else None
    try:
        value = decode(given)
    except Unreadable:
        return text
    # For a tool that accepts only text, 42 is text.
    return given if text is None or kinds & {ANYTHING, *_kinds({"const": value})} else text


def _kinds(schema: Mapping[str, Any]) -> Iterable[str]:
    """The JSON types of *schema*'s values, the integers among the numbers."""
    if "const" in schema or "enum" in schema:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        kinds = {json_type(value) for value in values}
    else:
        wanted = schema.get("type", ANYTHING)
        kinds = {wanted} if isinstance(wanted, str) else set(wanted)
    return {"number" if kind == "integer" else kind for kind in kinds}


ANYTHING = "anything"
