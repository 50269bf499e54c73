"""The offline backend: no key, no SDK, no network, and always the same answer to the same request.

It is a codec like the others. Its wire format is easy to read: `command.request(...)` shows it under
`ALLOY_BACKEND=fake`. A request is answered by

1. the script of the `alloy.testing.replies` block around the call, if there is one;
2. otherwise the script lines in the prompt, one turn of the model for each:

       fake: call weather {"city": "Oslo"}      calls a tool; the arguments are a JSON object, or left out
       fake: and weather {"city": "Rome"}       one more call in the same turn as the line before
       fake: say Both are cold.                 answers with this text, unchanged

   Only the lines of the last user message that has any are used, and the number of replies since then
   selects the next one: an answer that the model corrects later is two lines. Any other line that begins
   with `fake:` is a `ConfigurationError`. `tool_choice` "none" does not change the script;
3. otherwise, or after the last line, a generated answer: a valid value for an output schema
   (`alloy._typed.schemas.samples`), or a text that repeats the beginning of the last prompt. No tool is
   called then.

Tokens are counted as words, so that there is a usage to add up.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import ContextVar, copy_context
from dataclasses import asdict, replace
from functools import partial
from itertools import cycle
from typing import Any

from alloy._typed.schemas.dialects import Dialect
from alloy.arguments import with_names_checked
from alloy.backends.base import CancelToken, Capabilities
from alloy.backends.batches import ApiCall
from alloy.backends.fake.batches import FakeBatches
from alloy.backends.fake.improvise import improvise
from alloy.backends.http.bodies import given
from alloy.backends.schemas import in_dialect
from alloy.endpoints import Endpoint
from alloy.errors import (
    AlloyError,
    BadReplyError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
)
from alloy.jsontypes import JsonObject
from alloy.media import Media
from alloy.messages import (
    Delta,
    OutputSchema,
    ReasoningDelta,
    Reply,
    Request,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    ToolResults,
    ToolSchema,
    Turn,
    Usage,
    User,
)
from alloy.settings import SENT
from alloy.threads import start_thread

__all__ = ["FakeBackend", "Responder", "responder"]

Responder = Callable[[Mapping[str, Any]], Reply]

# Answers the requests of this context; `alloy.testing` sets it. It may raise the errors of a provider.
responder: ContextVar[Responder] = ContextVar("alloy_fake_responder", default=improvise)

# Uneven on purpose, so that no reader of a stream depends on where it is divided.
PIECES = (1, 7, 3, 12, 5, 2, 20)

# The errors of a transport, for scripts that raise one; subclasses come first.
EXPLAINED: tuple[tuple[type[Exception], type[ProviderError]], ...] = (
    (TimeoutError, ProviderTimeoutError),
    (ConnectionError, ProviderConnectionError),
)


@with_names_checked
class FakeBackend:
    """The backend `fake`.

    Tests may register one with another *name*, and with the *dialect* and the *capabilities* of the
    provider that it replaces.
    """

    may_ignore = False  # what a script answers is meant, prose too

    def __init__(
        self, name: str = "fake", dialect: Dialect | None = None, capabilities: Capabilities | None = None
    ) -> None:
        self.name, self.dialect = name, dialect or Dialect()
        self.batches = FakeBatches(name)
        self._capabilities = capabilities or Capabilities(result_media=True)

    @property
    def is_scripted(self) -> bool:
        """Whether a script answers now: its answers are neither stored in a cache nor taken from there."""
        return responder.get() is not improvise

    def capabilities(self, model: str) -> Capabilities:
        """The same for every model."""
        return self._capabilities

    def encode(self, request: Request) -> JsonObject:
        """*request* as plain JSON data, without the fields that are not set."""
        request = in_dialect(request, self.dialect)
        settings = {
            "system": request.system,
            "messages": [part for message in request.messages for part in _message(message)],
            "tools": [_schema(tool) for tool in request.tools] or None,
            "output": None if request.output is None else _schema(request.output),
            **{name: _plain(getattr(request, name)) for name in SENT},
        }
        return {"model": request.model, **given(settings), **request.extra}

    def decode(self, raw: Any) -> Reply:
        """The reply in an answer of `send`. Raises `BadReplyError` for anything else."""
        try:
            calls = tuple(ToolCall(**call) for call in raw["calls"])
            return Reply(**{**raw, "calls": calls, "usage": Usage(**raw["usage"])})
        except (KeyError, TypeError) as error:
            raise BadReplyError(
                f"not an answer of the fake backend: {raw!r:.200}", provider=self.name
            ) from error

    def accumulator(self) -> _Accumulator:
        """A new accumulator for one stream."""
        return _Accumulator(self)

    def explain(self, error: Exception) -> AlloyError | None:
        """A scripted error unchanged, and the error of a transport as an Alloy error."""
        if isinstance(error, AlloyError):
            return error
        kind = next((kind for raised, kind in EXPLAINED if isinstance(error, raised)), None)
        return None if kind is None else kind(str(error) or type(error).__name__, provider=self.name)

    def send(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> JsonObject:
        """The answer to *body*. Raises the script's errors, and `ConfigurationError` for a bad script."""
        answer = responder.get()
        if not _may_be_late(answer, endpoint):
            return _raw(answer(body), body)
        reply = _in_thread(answer, body)
        cancel.attach(reply.cancel)
        return _raw(reply.result(), body)

    async def send_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> JsonObject:
        """As `send`."""
        answer = responder.get()
        if not _may_be_late(answer, endpoint):
            return _raw(answer(body), body)
        from asyncio import wrap_future

        return _raw(await wrap_future(_in_thread(answer, body)), body)

    def open(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken
    ) -> Generator[JsonObject, None, None]:
        """The answer to *body*, as events."""
        yield from _events(self.send(body, endpoint, cancel))

    async def open_async(
        self, body: Mapping[str, Any], endpoint: Endpoint
    ) -> AsyncGenerator[JsonObject, None]:
        """As `open`."""
        for event in _events(await self.send_async(body, endpoint)):
            yield event

    def entry_body(self, body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, Any]:
        """*body* itself."""
        return body

    def perform(self, call: ApiCall, endpoint: Endpoint, cancel: CancelToken) -> Any:
        """What a batch API would answer to *call*. Raises what a script raises besides provider errors."""
        return self.batches.performed(call, self._batch_answer)

    async def perform_async(self, call: ApiCall, endpoint: Endpoint) -> Any:
        """As `perform`."""
        return self.batches.performed(call, self._batch_answer)

    def _batch_answer(self, body: JsonObject) -> JsonObject:
        try:
            return _raw(responder.get()(body), body)
        except Exception as error:
            if (problem := self.explain(error)) is None:
                raise
            raise problem from error


# --- encoding -------------------------------------------------------------------------------------


def _message(message: Turn) -> list[JsonObject]:
    """The messages for one turn: one for each result of a tool."""
    match message:
        case User(str() as text):
            return [{"role": "user", "content": text}]
        case User():
            return [{"role": "user", "content": [_part(part) for part in message.parts]}]
        case Reply():
            calls = [asdict(call) for call in message.calls]
            return [{"role": "assistant", "content": message.text, **({"calls": calls} if calls else {})}]
        case ToolResults(results):
            return [given(_result(result)) for result in results]


def _result(result: ToolResult) -> JsonObject:
    return {
        "role": "tool",
        "call": result.call.id,
        "name": result.name,
        "content": result.content,
        "error": result.error,
        "parts": [_part(part) for part in result.parts] or None,
    }


def _part(part: str | Media) -> str | JsonObject:
    if isinstance(part, str):
        return part
    fields = {"kind": part.kind, "name": part.name or None, "media_type": part.media_type or None}
    return given({**fields, "url": part.url, "data": None if part.data is None else part.base64})


def _schema(schema: ToolSchema | OutputSchema) -> JsonObject:
    return given({**asdict(schema), "strict": schema.strict or None})


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


# --- answering ------------------------------------------------------------------------------------


def _may_be_late(answer: Responder, endpoint: Endpoint) -> bool:
    """Whether the request has a time limit that a function in a script could miss."""
    return answer is not improvise and endpoint.timeout is not None


def _in_thread(answer: Responder, body: Mapping[str, Any]) -> Future[Reply]:
    """The reply of *answer*, for which nobody has to wait: cancelling it leaves the thread behind."""
    reply: Future[Reply] = Future()

    def work() -> None:
        with suppress(InvalidStateError):  # cancelled
            try:
                reply.set_result(answer(body))
            except Exception as error:  # noqa: BLE001 - raised where the reply is awaited
                reply.set_exception(error)

    run = partial(copy_context().run, work)
    start_thread(threading.Thread(target=run, name="alloy-fake", daemon=True))
    return reply


def _raw(reply: Reply, body: Mapping[str, Any]) -> JsonObject:
    """*reply* in the wire format, completed with ids, usage and the name of the model."""
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
    calls = [part for call in reply.calls for part in (call.name, call.arguments)]
    received = _count([reply.text, reply.reasoning, *calls])
    sent = _count([body.get(part) for part in ("system", "messages", "tools", "output")])
    return Usage(max(1, sent), max(1, received), reasoning_tokens=_count(reply.reasoning))


def _count(part: Any) -> int:
    """The number of words in all texts of *part*."""
    match part:
        case str():
            return len(part.split())
        case Mapping():
            return sum(map(_count, part.values()))
        case list():
            return sum(map(_count, part))
        case _:
            return 0


def _events(raw: Mapping[str, Any]) -> Iterator[JsonObject]:
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
    """Builds from the events of a stream the answer that `send` would have returned."""

    def __init__(self, backend: FakeBackend) -> None:
        self._backend = backend
        self._raw: JsonObject = {}
        self._texts: dict[str, list[str]] = {"text": [], "reasoning": []}
        self._calls: list[tuple[str, str, list[str]]] = []
        self._ended = False

    def feed(self, event: Any) -> Delta | None:
        """Take in one event. Raises `BadReplyError` for an unknown one."""
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
                raise BadReplyError(
                    f"not an event of the fake backend: {event!r:.200}", provider=self._backend.name
                )
        return None

    def reply(self) -> Reply:
        """The whole reply. Raises `BadReplyError` when the end event has not come."""
        texts = {name: "".join(pieces) for name, pieces in self._texts.items()}
        if not self._ended:
            name, text = self._backend.name, texts["text"]
            raise BadReplyError("the stream broke off before its end", provider=name, text=text)
        calls = [{"id": id_, "name": name, "arguments": "".join(pieces)} for id_, name, pieces in self._calls]
        return self._backend.decode({**self._raw, **texts, "calls": calls})
