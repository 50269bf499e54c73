"""The answers of Gemini as a `Reply`: a whole answer is a stream of one chunk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from alloy.backends.gemini.errors import ERRORS, NAME, finish_error
from alloy.backends.http.bodies import FORMAT_ERRORS, as_count, as_text, read_object
from alloy.errors import BadReplyError
from alloy.jsontypes import JsonObject
from alloy.messages import (
    Delta,
    Echo,
    Finish,
    ReasoningDelta,
    Reply,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

__all__ = ["ContentAccumulator", "parted", "read_content"]

_FINISH: dict[Any, Finish] = {
    "STOP": "stop",  # also when functions are called
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",  # the limit of one request, not that of the caller
    "SAFETY": "filter",
    "RECITATION": "filter",
    "LANGUAGE": "filter",
    "BLOCKLIST": "filter",
    "PROHIBITED_CONTENT": "filter",
    "SPII": "filter",
    "ESCALATION": "filter",
    "MODEL_ARMOR": "filter",
    "IMAGE_SAFETY": "filter",
    "IMAGE_PROHIBITED_CONTENT": "filter",
    "IMAGE_RECITATION": "filter",
}


def read_content(raw: Any) -> Reply:
    """The reply in a whole answer. Raises `BadReplyError`, or the error of a failed generation."""
    accumulator = ContentAccumulator()
    accumulator.feed(raw)
    return accumulator.reply()


def parted(chunk: Any) -> Iterator[Any]:
    """*chunk* as chunks of one part each, so that none of its deltas is lost: `feed` gives back one."""
    try:
        (candidate,) = chunk["candidates"]
        *parts, last = candidate["content"]["parts"]
    except FORMAT_ERRORS:
        yield chunk
        return
    of = {"index": candidate.get("index")}
    for part in parts:
        yield {"responseId": chunk.get("responseId"), "candidates": [{**of, "content": {"parts": [part]}}]}
    yield {**chunk, "candidates": [{**candidate, "content": {"parts": [last]}}]} if parts else chunk


class ContentAccumulator:
    """Builds the `Reply` from chunks, each an answer with some more parts."""

    def __init__(self) -> None:
        self._parts: list[JsonObject] = []
        self._run: list[str] = []  # the pieces of the text of the echo's last part
        self._run_thought = False
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCall] = []
        self._reason: Any = None  # why the answer ended
        self._message = ""  # what the server says about the end
        self._block: Mapping[str, Any] = {}  # why the prompt was blocked
        self._usage = Usage()
        self._model = self._id = self._seed = ""

    def feed(self, event: Any) -> Delta | None:
        """Take in one chunk. Raises `ProviderError` when Gemini reports a failure.

        Of several parts the text is shown, or else the first call, or else the reasoning; `parted`
        makes a chunk of each part.
        """
        return read_object(NAME, event, self._take)

    def reply(self) -> Reply:
        """The whole reply. Raises `BadReplyError` without a finish reason or a blocked prompt."""
        if self._reason is None and not self._block:
            raise _bad("the answer ended without a finishReason, so it is not complete")
        self._end_run()
        return Reply(
            text="".join(self._text),
            calls=tuple(self._calls),
            finish=self._finish(),
            usage=self._usage,
            model=self._model,
            id=self._id,
            reasoning="".join(self._reasoning),
            explanation=self._explanation(),
            echo=Echo(NAME, self._parts),
        )

    def _finish(self) -> Finish:
        if self._reason is None:
            return "filter"
        if not isinstance(self._reason, str) or self._reason not in _FINISH:
            raise finish_error(self._reason, self._message)
        finish = _FINISH[self._reason]
        return "tool_calls" if finish == "stop" and self._calls else finish

    def _explanation(self) -> str:
        if self._reason is None:
            message = as_text(self._block.get("blockReasonMessage"))
            return f"the prompt was blocked ({self._block.get('blockReason')})" + (
                f": {message}" if message else ""
            )
        if _FINISH.get(self._reason) != "filter":
            return ""
        return f"{self._reason}: {self._message}" if self._message else str(self._reason)

    # --- one chunk --------------------------------------------------------------------------------------

    def _take(self, event: Mapping[str, Any]) -> Delta | None:
        if event.get("error"):
            raise ERRORS.in_answer(event["error"])
        self._model = self._model or as_text(event.get("modelVersion"))
        self._id = self._id or as_text(event.get("responseId"))
        if isinstance(event.get("usageMetadata"), dict):
            self._usage = _usage(event["usageMetadata"])  # counts up from chunk to chunk: the last one counts
        feedback = event.get("promptFeedback") or {}
        if feedback.get("blockReason"):
            self._block = feedback
        candidate = _first(event.get("candidates") or ())
        self._reason = candidate.get("finishReason") or self._reason
        self._message = _end_message(candidate) or self._message
        deltas = [self._take_part(part) for part in (candidate.get("content") or {}).get("parts") or ()]
        return _most_important([delta for delta in deltas if delta is not None])

    def _take_part(self, part: JsonObject) -> Delta | None:
        self._keep(part)
        if call := part.get("functionCall"):
            return self._call(call)
        text = as_text(part.get("text"))
        if not text:
            return None
        if part.get("thought"):
            self._reasoning.append(text)
            return ReasoningDelta(text)
        self._text.append(text)
        return TextDelta(text)

    def _keep(self, part: JsonObject) -> None:
        """Add *part* to the echo; pieces of one text are joined, except those with a signature.

        https://ai.google.dev/gemini-api/docs/thought-signatures forbids merging signed parts.
        """
        thought = bool(part.get("thought"))
        plain = part.keys() <= {"text", "thought"} and isinstance(part.get("text"), str)
        if not plain or thought != self._run_thought:
            self._end_run()
        if plain:
            self._run.append(part["text"])
            self._run_thought = thought
        else:
            self._parts.append(part)

    def _end_run(self) -> None:
        if text := "".join(self._run):  # Gemini refuses a part of no text
            self._parts.append({"text": text, **({"thought": True} if self._run_thought else {})})
        self._run = []

    def _call(self, call: Mapping[str, Any]) -> Delta:
        name, arguments, given = call.get("name"), call.get("args"), as_text(call.get("id"))
        if not isinstance(name, str) or not name:
            raise _bad(f"the answer calls a function without a name: {call!r:.120}")
        if arguments is not None and not isinstance(arguments, dict):
            raise _bad(f"the arguments of {name!r} are not an object but {arguments!r:.80}")
        if not given or any(other.id == given for other in self._calls):
            given = self._local_id()
        written = "" if arguments is None else json.dumps(arguments, ensure_ascii=False)
        self._calls.append(ToolCall(given, name, written))
        return ToolCallDelta(given, name)

    def _local_id(self) -> str:
        """An id for a call without one: always the same for this answer, and different in other answers."""
        self._seed = self._seed or self._id or uuid4().hex
        return f"call_{self._seed}_{len(self._calls)}"


def _first(candidates: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any]
    for found in candidates:
        if not found.get("index"):
            return found
    return {}


def _end_message(candidate: Mapping[str, Any]) -> str:
    ratings = [rating for rating in candidate.get("safetyRatings") or () if rating.get("blocked")]
    kinds = ", ".join(as_text(rating.get("category")) for rating in ratings)
    return ", ".join(filter(None, (as_text(candidate.get("finishMessage")), kinds)))


def _most_important(deltas: list[Delta]) -> Delta | None:
    if len(deltas) == 1:
        return deltas[0]
    if text := "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)):
        return TextDelta(text)
    if calls := [delta for delta in deltas if isinstance(delta, ToolCallDelta)]:
        return calls[0]
    reasoning = "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta))
    return ReasoningDelta(reasoning) if reasoning else None


def _usage(usage: Mapping[str, Any]) -> Usage:
    def count(name: str) -> int:
        return as_count(usage.get(f"{name}TokenCount"))

    reasoning = count("thoughts")
    return Usage(
        input_tokens=count("prompt") + count("toolUsePrompt"),
        output_tokens=count("candidates") + reasoning,
        cached_tokens=count("cachedContent"),
        reasoning_tokens=reasoning,
    )


def _bad(message: str) -> BadReplyError:
    return BadReplyError(message, provider=NAME)
