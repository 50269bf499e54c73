"""The offline backend: no key, no SDK, no network, and the same answer to the same request every time.

It is a codec as the others are, with a wire format of its own that is meant to be read:
`command.request(...)` shows it under `ALLOY_BACKEND=fake`. Who answers a request is

1. the script of the `alloy.testing.replies` block around the call, if there is one;
2. else the prompt, in lines of a little language, one turn of the model for each:

       fake: call weather {"city": "Oslo"}      calls a tool; the arguments are a JSON object, or left out
       fake: and weather {"city": "Rome"}       one more call in the same turn as the line before
       fake: say Both are cold.                 answers with this text, as it stands

   The last user message that holds such lines counts, and how far they have got is the number of
   replies since. So what a model gets wrong first and then corrects is two lines. A line that starts
   with `fake:` and is none of these is a `ConfigurationError`. With `tool_choice` "none" the lines count
   all the same: a script is obeyed;
3. else, or when those lines are used up, an output schema is filled with a valid value (`samples.py`) and
   a text answer repeats how the last prompt begins. Tools are then not called.

Tokens are counted as words, so that usage is there to be added up.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import asdict, replace
from itertools import cycle
from typing import Any

from alloy._typed.schemas.dialects import Dialect
from alloy.backends.base import CancelToken, Capabilities
from alloy.backends.fake.improvise import improvise
from alloy.backends.schemas import in_dialect
from alloy.errors import (
    AlloyError,
    BadReplyError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
)
from alloy.media import Media
from alloy.messages import (
    Delta,
    Endpoint,
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
from alloy.settings import SENT

__all__ = ["FakeBackend", "Responder", "responder"]

Responder = Callable[[Mapping[str, Any]], Reply]

# Who answers in this context; `alloy.testing` sets it. A responder may raise what a provider would.
responder: ContextVar[Responder] = ContextVar("alloy_fake_responder", default=improvise)

# Uneven on purpose: a reader of a stream must not come to rely on where it is cut.
PIECES = (1, 7, 3, 12, 5, 2, 20)

# What a transport raises, for scripts that let one fail; the more special first.
EXPLAINED: tuple[tuple[type[Exception], type[ProviderError]], ...] = (
    (TimeoutError, ProviderTimeoutError),
    (ConnectionError, ProviderConnectionError),
)


class FakeBackend:
    """The backend `fake`.

    A third party's tests may register one under another *name*, with the *dialect* or the
    *capabilities* of the provider that it stands for.
    """

    def __init__(
        self, name: str = "fake", dialect: Dialect | None = None, capabilities: Capabilities | None = None
    ) -> None:
        self.name, self.dialect = name, dialect or Dialect()
        self._capabilities = capabilities or Capabilities()

    def capabilities(self, model: str) -> Capabilities:
        """The same for every model."""
        return self._capabilities

    def encode(self, request: Request) -> dict[str, Any]:
        """*request* as plain JSON data; what is not set is not there."""
        request = in_dialect(request, self.dialect)
        settings = {
            "system": request.system,
            "messages": [part for message in request.messages for part in _message(message)],
            "tools": [_tool(tool) for tool in request.tools] or None,
            "output": None if request.output is None else _output(request.output),
            **{name: _plain(getattr(request, name)) for name in SENT},
        }
        return {"model": request.model, **_stated(settings), **request.extra}

    def decode(self, raw: Any) -> Reply:
        """The reply in an answer of `send`. Raises `BadReplyError` when it is none."""
        try:
            calls = tuple(ToolCall(**call) for call in raw["calls"])
            return Reply(**{**raw, "calls": calls, "usage": Usage(**raw["usage"])})
        except (KeyError, TypeError) as error:
            raise BadReplyError(f"this is no answer: {raw!r:.200}", provider=self.name) from error

    def accumulator(self) -> _Accumulator:
        """A fresh accumulator for one stream."""
        return _Accumulator(self)

    def explain(self, error: Exception) -> AlloyError | None:
        """Scripted errors as they are, and what a transport raises as its Alloy error."""
        if isinstance(error, AlloyError):
            return error
        kind = next((kind for raised, kind in EXPLAINED if isinstance(error, raised)), None)
        return None if kind is None else kind(str(error) or type(error).__name__, provider=self.name)

    def send(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> dict[str, Any]:
        """The answer to *body*. Raises what the script raises, and `ConfigurationError` for a bad one."""
        return _raw(responder.get()(body), body)

    async def send_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> dict[str, Any]:
        """As `send`."""
        return self.send(body, endpoint, CancelToken())

    def open(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken
    ) -> Generator[dict[str, Any], None, None]:
        """The answer to *body*, in events."""
        yield from _events(self.send(body, endpoint, cancel))

    async def open_async(
        self, body: Mapping[str, Any], endpoint: Endpoint
    ) -> AsyncGenerator[dict[str, Any], None]:
        """As `open`."""
        for event in _events(await self.send_async(body, endpoint)):
            yield event


# --- the request's way out ------------------------------------------------------------------------


def _message(message: Turn) -> list[dict[str, Any]]:
    match message:
        case User(str() as text):
            return [{"role": "user", "content": text}]
        case User():
            return [{"role": "user", "content": [_part(part) for part in message.parts]}]
        case Reply():
            calls = [asdict(call) for call in message.calls]
            return [{"role": "assistant", "content": message.text, **({"calls": calls} if calls else {})}]
        case ToolResults(results):
            return [
                _stated(
                    {
                        "role": "tool",
                        "call": result.call.id,
                        "name": result.name,
                        "content": result.content,
                        "error": result.error,
                    }
                )
                for result in results
            ]


def _part(part: str | Media) -> str | dict[str, Any]:
    if isinstance(part, str):
        return part
    told = {"kind": part.kind, "name": part.name or None, "media_type": part.media_type or None}
    return _stated({**told, "url": part.url, "data": None if part.data is None else part.base64})


def _tool(tool: ToolSchema) -> dict[str, Any]:
    return _stated(
        {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
            "strict": tool.strict or None,
        }
    )


def _output(output: OutputSchema) -> dict[str, Any]:
    return _stated({"name": output.name, "schema": output.schema, "strict": output.strict or None})


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _stated(settings: Mapping[str, Any]) -> dict[str, Any]:
    """*settings* without those that are not set."""
    return {name: value for name, value in settings.items() if value is not None}


# --- the answer's way back ------------------------------------------------------------------------


def _raw(reply: Reply, body: Mapping[str, Any]) -> dict[str, Any]:
    """*reply* as the wire has it, with what its writer left to the model: ids, usage, the model's name."""
    turn = 1 + sum(message.get("role") == "assistant" for message in body["messages"])
    calls = [
        asdict(replace(call, id=call.id or f"call_{turn}_{nth}")) for nth, call in enumerate(reply.calls, 1)
    ]
    usage = reply.usage if reply.usage != Usage() else _usage(reply, body)
    return {
        "id": reply.id or f"fake_{turn}",
        "model": reply.model or body["model"],
        "text": reply.text,
        "calls": calls,
        "reasoning": reply.reasoning,
        "explanation": reply.explanation,
        "finish": "tool_calls" if calls and reply.finish == "stop" else reply.finish,
        "usage": asdict(usage),
    }


def _usage(reply: Reply, body: Mapping[str, Any]) -> Usage:
    said = [
        reply.text,
        reply.reasoning,
        *(part for call in reply.calls for part in (call.name, call.arguments)),
    ]
    asked = [body.get(part) for part in ("system", "messages", "tools", "output")]
    thought = _count(reply.reasoning)
    return Usage(max(1, _count(asked)), max(1, _count(said)), reasoning_tokens=thought)


def _count(part: Any) -> int:
    """The words in all texts of *part*."""
    match part:
        case str():
            return len(part.split())
        case Mapping():
            return sum(map(_count, part.values()))
        case list():
            return sum(map(_count, part))
        case _:
            return 0


def _events(raw: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "start", "id": raw["id"], "model": raw["model"]}
    yield from ({"type": "reasoning", "text": piece} for piece in _pieces(raw["reasoning"]))
    yield from ({"type": "text", "text": piece} for piece in _pieces(raw["text"]))
    for call in raw["calls"]:
        yield {"type": "call", "id": call["id"], "name": call["name"]}
        yield from ({"type": "arguments", "text": piece} for piece in _pieces(call["arguments"]))
    yield {"type": "end", **{name: raw[name] for name in ("finish", "explanation", "usage")}}


def _pieces(text: str) -> Iterator[str]:
    start = 0
    for size in cycle(PIECES):
        if start >= len(text):
            return
        yield text[start : start + size]
        start += size


class _Accumulator:
    """Puts the events of a stream together to what `send` would have returned."""

    def __init__(self, backend: FakeBackend) -> None:
        self._backend = backend
        self._raw: dict[str, Any] = {}
        self._texts: dict[str, list[str]] = {"text": [], "reasoning": []}
        self._calls: list[tuple[str, str, list[str]]] = []
        self._ended = False

    def feed(self, event: Any) -> Delta | None:
        """Take one event in. Raises `BadReplyError` for one that no answer has."""
        match event:
            case {"type": "text", "text": text}:
                self._texts["text"].append(text)
                return TextDelta(text)
            case {"type": "reasoning", "text": text}:
                self._texts["reasoning"].append(text)
                return ReasoningDelta(text)
            case {"type": "call", "id": id_, "name": name}:
                self._calls.append((id_, name, []))
                return ToolCallDelta(id_, name)
            case {"type": "arguments", "text": text} if self._calls:
                self._calls[-1][2].append(text)
            case {"type": "start", "id": id_, "model": model}:
                self._raw.update(id=id_, model=model)
            case {"type": "end", "finish": finish, "explanation": explanation, "usage": usage}:
                self._raw.update(finish=finish, explanation=explanation, usage=usage)
                self._ended = True
            case _:
                raise BadReplyError(f"this is no event: {event!r:.200}", provider=self._backend.name)
        return None

    def reply(self) -> Reply:
        """The whole reply. Raises `BadReplyError` when the end event has not come."""
        texts = {name: "".join(pieces) for name, pieces in self._texts.items()}
        if not self._ended:
            name, said = self._backend.name, texts["text"]
            raise BadReplyError("the stream broke off before its end", provider=name, text=said)
        calls = [{"id": id_, "name": name, "arguments": "".join(pieces)} for id_, name, pieces in self._calls]
        return self._backend.decode({**self._raw, **texts, "calls": calls})
