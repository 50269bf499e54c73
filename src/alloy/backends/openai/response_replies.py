"""The answers of the Responses API as a `Reply`, whole or streamed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from alloy.backends.http.bodies import as_count, as_text, larger_counts, read_object
from alloy.backends.http.event_stream import END_MARK
from alloy.backends.http.finish import Ending, meaning, read_ending
from alloy.backends.openai.errors import OpenAIErrors
from alloy.backends.openai.response_items import StreamedItems, is_answer
from alloy.backends.openai.response_merge import arguments_of, merged
from alloy.errors import BadReplyError
from alloy.excerpts import excerpt
from alloy.jsontypes import JsonObject
from alloy.messages import Delta, Echo, ReasoningDelta, Reply, TextDelta, ToolCall, ToolCallDelta, Usage

__all__ = ["ERRORS", "LAST_EVENTS", "NAME", "ResponsesAccumulator", "read_response"]

NAME = "openai"
ERRORS = OpenAIErrors(
    NAME,
    'the server at `base_url` has no Responses API: use model="openai-chat:NAME" for its Chat Completions',
)

LAST_EVENTS = (
    "response.completed",
    "response.incomplete",
    "response.failed",
    "response.cancelled",
    "response.done",
)

# The parts of items that grow, by their events.
_PARTS = {
    "response.output_text": "output_text",
    "response.refusal": "refusal",
    "response.function_call_arguments": "arguments",
    "response.reasoning_summary_text": "summary_text",
    "response.reasoning_text": "reasoning_text",
}

_ITEM_GAP = "\n\n"  # between the parts of a reasoning summary


def read_response(response: Mapping[str, Any], output: Any) -> Reply:
    """The reply in a *response* object with the items *output*."""
    error = response.get("error")
    if _key(response.get("status")) == "failed" or (
        any(error.values()) if isinstance(error, dict) else error
    ):
        raise ERRORS.in_answer(error or "the generation failed")
    if not _are_items(output):
        shown = dict(response) if output is None else output
        raise _bad(f"the response has no list of output items but {excerpt(shown, 120)}", transient=False)
    if any(isinstance(item.get("arguments"), dict) for item in output):
        output = [_with_written_arguments(item) for item in output]
    texts: list[str] = []
    commentary: list[str] = []
    refusals: list[str] = []
    reasoning: list[str] = []
    calls: list[ToolCall] = []
    for item in output:
        match item.get("type"):
            case "message" if is_answer(item):
                _read_message(item, texts, refusals)
            case "message":
                _read_message(item, commentary, refusals)
            case "function_call":
                texts, commentary = texts + commentary, []  # as in a stream, where it is shown now
                calls.append(_call(item, len(calls)))
            case "reasoning":
                parts = [*(item.get("summary") or ()), *(item.get("content") or ())]
                reasoning += [text for part in parts if (text := as_text(part.get("text")))]
    ending = _ending(response, calls, is_empty=not (texts or calls), refused=bool(refusals))
    return Reply(
        text="".join(texts),
        calls=tuple(calls),
        finish=ending.finish,
        usage=_usage(response.get("usage")),
        model=as_text(response.get("model")),
        id=as_text(response.get("id")),
        reasoning=_ITEM_GAP.join(reasoning),
        explanation="".join(refusals) or ending.explanation,
        echo=Echo(NAME, output),
        # llama.cpp leaves the field out and calls every answer completed.
        is_end_stated=ending.is_stated and "incomplete_details" in response,
    )


def _are_items(output: Any) -> bool:
    return isinstance(output, list) and all(isinstance(item, dict) for item in output)


def _key(status: Any) -> str:
    return as_text(status).lower()


def _status(name: str, response: Mapping[str, Any]) -> Any:
    """How a streamed *response* ended: the worse one of its own status and of the event's *name*.

    Some gateways call every terminal event `completed`, and others leave an earlier status in it.
    """
    status = response.get("status")
    for word in ("failed", "cancelled", "incomplete", "completed"):
        if word in (name, _key(status)):
            return word
    return status


def _ending(
    response: Mapping[str, Any], calls: Sequence[ToolCall], *, is_empty: bool, refused: bool
) -> Ending:
    """How a response ended: by its status, and an incomplete one by the reason for that."""
    word, field = response.get("status"), "status"
    reason = (response.get("incomplete_details") or {}).get("reason")
    if meaning(reason) not in (None, "stop", "tool_calls"):
        word, field = reason, "incomplete_details.reason"  # whatever the status
    elif _key(word) == "incomplete":
        raise _bad(f"the response is incomplete: {reason or 'no reason given'}", transient=False)
    elif _key(word) in ("in_progress", "queued", "cancelled"):
        lasts = None if _key(word) == "cancelled" else False  # the others are answers to `background`
        raise _bad(f"the response has the status {word!r}, so it is not finished", transient=lasts)
    ending = read_ending(
        word, field=field, provider=NAME, calls=calls, complete=not is_empty or refused, refused=refused
    )
    if ending.finish == "other" and is_empty:
        raise _bad(f"the response ended with the {field} {word!r} and without an answer", transient=False)
    return ending


def _read_message(item: Mapping[str, Any], texts: list[str], refusals: list[str]) -> None:
    content = item.get("content")
    if isinstance(content, str):
        texts.append(content)
    for part in content if isinstance(content, list) else ():
        match part.get("type"):
            case "output_text" | "text":
                texts.append(as_text(part.get("text")))
            case "refusal":
                refusals.append(as_text(part.get("refusal")))


def _call(item: JsonObject, position: int) -> ToolCall:
    """The call in *item*; without an id, it gets the one of the item, or its position."""
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise _bad(f"a function call has no name: {excerpt(item, 120)}")
    call_id = as_text(item.get("call_id")) or as_text(item.get("id")) or f"call_{position}"
    return ToolCall(call_id, name, as_text(item.get("arguments")))


def _with_written_arguments(item: JsonObject) -> JsonObject:
    if not isinstance(item.get("arguments"), dict):
        return item
    return {**item, "arguments": arguments_of(item)}


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    details = usage.get("input_tokens_details") or {}
    cached, written = details.get("cached_tokens"), details.get("cache_write_tokens")
    reasoning = (usage.get("output_tokens_details") or {}).get("reasoning_tokens")
    counts = usage.get("input_tokens"), usage.get("output_tokens"), cached, reasoning, written
    return Usage(*map(as_count, counts))


def _bad(message: str, *, transient: bool | None = None) -> BadReplyError:
    return BadReplyError(message, provider=NAME, transient=transient)


class ResponsesAccumulator:
    """Builds the `Reply` from the events of a stream.

    The terminal event has the whole response. Some compatible servers leave its output out, or a part of it,
    or have less in the other events: so its items are merged with those that the other events have built, in
    the order in which they began. Commentary is shown when a call follows it, like all text before calls;
    before the answer it is not a part of that.
    """

    def __init__(self) -> None:
        self._items = StreamedItems()
        self._response: JsonObject | None = None
        self._complete = False  # `[DONE]` has come
        self._begun: JsonObject = {}  # the id and the model, by an earlier event
        self._usage: JsonObject = {}
        self._part: Any = None  # the part of the reasoning that the last delta belonged to
        self._output: Any = None  # the items, when the response has ended
        self._shown: list[str] = []  # of the answer
        self._pending: deque[Delta] = deque()  # an event may show only one

    def feed(self, event: Any) -> Delta | None:
        """Take in one event. Raises `ProviderError` when the provider reports a failure."""
        delta = read_object(NAME, event, self._take)
        if delta is not None and self._pending:
            self._pending.append(delta)
            delta = None
        return self._pending.popleft() if delta is None and self._pending else delta

    def reply(self) -> Reply:
        """The whole reply. Raises `BadReplyError` without a terminal event."""
        response = self._response
        if response is None and self._complete and self._items:
            response, self._output = {}, self._items.built()
        if not isinstance(response, dict):
            raise _bad("the stream ended before the response was complete")
        response = {**self._begun, **response, "usage": self._usage}
        return read_object(NAME, response, lambda whole: read_response(whole, self._output))

    def _take(self, event: Mapping[str, Any]) -> Delta | None:
        kind = as_text(event.get("type"))
        if kind.endswith(".delta"):
            return self._grow(_PARTS.get(kind.removesuffix(".delta")), event)
        self._note(event.get("response"))
        if kind in LAST_EVENTS:
            return self._end(kind, event.get("response"))
        if kind.endswith(".done"):
            return self._finish(kind.removesuffix(".done"), event)
        if kind == "response.output_item.added":
            return self._added(event)
        if kind == "error" or event.get("error"):
            raise ERRORS.in_answer(event.get("error") or event)
        if isinstance(event.get("output"), list):  # the whole answer to a request for a stream
            self._note(event)
            return self._end("", event)
        self._complete = self._complete or event == END_MARK
        return None

    def _note(self, response: Any) -> None:
        if isinstance(response, dict):
            self._begun |= {key: response[key] for key in ("id", "model") if response.get(key)}
            if isinstance(usage := response.get("usage"), dict):
                self._usage = larger_counts(self._usage, usage)

    def _grow(self, part: str | None, event: Mapping[str, Any]) -> Delta | None:
        if part is None:
            return None
        is_shown = self._items.grow(event, part)
        if part == "output_text":
            return self._text(event) if is_shown else None
        return self._reasoning(event) if part in ("summary_text", "reasoning_text") else None

    def _finish(self, kind: str, event: Mapping[str, Any]) -> Delta | None:
        has_text = kind == "response.output_text"
        if kind == "response.output_item":
            self._items.finish(event)
            has_text = event["item"].get("type") == "message"
        elif (part := _PARTS.get(kind)) is not None:
            self._items.complete(event, part)
        return self._rest(self._items.built()) if has_text else None

    def _end(self, kind: str, response: Any) -> Delta | None:
        """Take in the whole *response*, whose terminal event has a status, too."""
        if not isinstance(response, dict):
            return None
        self._response = {**response, "status": _status(kind.removeprefix("response."), response)}
        final = response.get("output") or []
        self._output = merged(self._items.built(), final) if _are_items(final) else final
        return self._rest(self._output) if _are_items(final) else None

    def _added(self, event: Mapping[str, Any]) -> Delta | None:
        item = event.get("item") or {}
        commentary = self._items.take_commentary() if item.get("type") == "function_call" else ""
        self._items.begin(event)
        if commentary:
            self._pending.append(TextDelta(commentary))
        if item.get("type") == "function_call":
            return ToolCallDelta(as_text(item.get("call_id")), as_text(item.get("name")))
        return None

    def _text(self, event: Mapping[str, Any]) -> Delta | None:
        text = as_text(event.get("delta"))
        self._shown.append(text)
        return TextDelta(text) if text else None

    def _rest(self, items: Iterable[JsonObject]) -> Delta | None:
        """What of the answer in *items* came without deltas; nothing, if it is not what was shown."""
        texts: list[str] = []
        for item in items:
            if item.get("type") == "message" and is_answer(item):
                _read_message(item, texts, [])
        text, shown = "".join(texts), "".join(self._shown)
        if len(text) <= len(shown) or not text.startswith(shown):
            return None
        self._shown.append(rest := text[len(shown) :])
        return TextDelta(rest)

    def _reasoning(self, event: Mapping[str, Any]) -> Delta | None:
        place = [event.get(key) for key in ("type", "output_index", "summary_index", "content_index")]
        gap = _ITEM_GAP if self._part not in (None, place) else ""
        self._part = place
        text = as_text(event.get("delta"))
        return ReasoningDelta(gap + text) if text else None
