"""The answers of Gemini as a `Reply`: a whole answer is a stream of one chunk."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from alloy.backends.gemini.errors import ERRORS, NAME, finish_error, unknown_end
from alloy.backends.http.bodies import (
    FORMAT_ERRORS,
    as_count,
    as_object,
    as_text,
    larger_counts,
    read_object,
)
from alloy.backends.http.event_stream import END_MARK
from alloy.backends.http.finish import Ending, is_missing, later, meaning, read_ending
from alloy.errors import BadReplyError
from alloy.excerpts import excerpt
from alloy.jsontypes import JsonObject
from alloy.messages import (
    Delta,
    Echo,
    ReasoningDelta,
    Reply,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

__all__ = ["ContentAccumulator", "ends", "is_chunk", "parted", "read_content"]

_CHUNK = ("candidates", "usageMetadata", "promptFeedback", "error")
_NO_ARGUMENTS = frozenset(("", "{}"))
TEXT = "arguments"  # the key for arguments that are not an object


def read_content(raw: Any) -> Reply:
    """The reply in a whole answer. Raises `BadReplyError`, or the error of a failed generation."""
    if isinstance(raw, dict) and not any(raw.get(key) for key in _CHUNK):
        raise _bad(f"the answer has no candidates: {excerpt(raw, 120)}", transient=False)
    accumulator = ContentAccumulator()
    accumulator.feed(raw)
    return accumulator.reply(is_whole=True)


def parted(chunk: Any) -> Iterator[Any]:
    """*chunk* as chunks of one part each, so that none of its deltas is lost: `feed` gives back one."""
    try:
        (candidate,) = chunk["candidates"]
        *parts, last = _parts(candidate)
    except FORMAT_ERRORS:
        yield chunk
        return
    of = {"index": candidate.get("index")}
    for part in parts:
        yield {"responseId": chunk.get("responseId"), "candidates": [{**of, "content": {"parts": [part]}}]}
    yield {**chunk, "candidates": [{**candidate, "content": {"parts": [last]}}]} if parts else chunk


def _parts(candidate: Mapping[str, Any]) -> list[JsonObject]:
    """The parts of *candidate*. Raises `BadReplyError` when they are not objects."""
    found = (candidate.get("content") or {}).get("parts") or []
    listed = found if isinstance(found, list) else [found]
    parts = [part for part in listed if part is not None]
    if not all(isinstance(part, dict) for part in parts):
        raise _bad(
            f"the parts of the answer are not a list of objects but {excerpt(found, 80)}", transient=False
        )
    return parts


def is_chunk(found: Any) -> bool:
    """Whether *found* is an object with a part of an answer, or an error."""
    return isinstance(found, dict) and not found.keys().isdisjoint(_CHUNK)


def ends(chunk: JsonObject) -> bool:
    """Whether *chunk* has a finish reason."""
    found = chunk.get("candidates")
    return isinstance(found, list) and any(
        isinstance(each, dict) and each.get("finishReason") for each in found
    )


class ContentAccumulator:
    """Builds the `Reply` from chunks, each an answer with some more parts."""

    def __init__(self) -> None:
        self._parts: list[JsonObject] = []
        self._run: list[str] = []  # the pieces of the text of the echo's last part
        self._run_thought = False
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCall] = []
        self._places: defaultdict[str, list[int]] = defaultdict(list)  # of the calls, by their ids
        self._index: Any = None  # of the candidate that is read: the first one
        self._ended = False  # by `END_MARK`, which some servers send
        self._reason: Any = None  # why the answer ended
        self._message = ""  # what the server says about the end
        self._block: Mapping[str, Any] = {}  # why the prompt was blocked
        self._usage: JsonObject = {}
        self._model = self._id = self._seed = ""

    def feed(self, event: Any) -> Delta | None:
        """Take in one chunk. Raises `ProviderError` when Gemini reports a failure.

        Of several parts the text is shown, or else the first call, or else the reasoning; `parted`
        makes a chunk of each part.
        """
        return read_object(NAME, event, self._take)

    def reply(self, *, is_whole: bool = False) -> Reply:
        """The whole reply. Raises `BadReplyError` without a finish reason or a blocked prompt.

        *is_whole* says that the answer was not streamed, so that a finish reason may be missing.
        """
        self._end_run()
        ending = self._ending(is_whole=is_whole or self._ended)
        return Reply(
            text="".join(self._text),
            calls=tuple(self._calls),
            finish=ending.finish,
            is_end_stated=ending.is_stated,
            usage=_usage(self._usage),
            model=self._model,
            id=self._id,
            reasoning="".join(self._reasoning),
            explanation=ending.explanation,
            echo=Echo(NAME, self._parts),
        )

    def _ending(self, *, is_whole: bool) -> Ending:
        reason, has_content = self._reason, bool(self._text or self._calls)
        if is_missing(reason) and self._block:
            return Ending("filter", self._explanation())
        if (failed := finish_error(reason, self._message)) is not None:
            raise failed
        if reason is not None and not has_content and meaning(reason) in (None, "other"):
            raise unknown_end(reason, self._message)
        ending = read_ending(
            reason,
            field="finishReason",
            provider=NAME,
            calls=self._calls,
            complete=is_whole and has_content,
        )
        return Ending("filter", self._explanation()) if ending.finish == "filter" else ending

    def _explanation(self) -> str:
        if is_missing(self._reason):
            message = as_text(self._block.get("blockReasonMessage"))
            return f"the prompt was blocked ({self._block.get('blockReason')})" + (
                f": {message}" if message else ""
            )
        return f"{self._reason}: {self._message}" if self._message else str(self._reason)

    # --- one chunk --------------------------------------------------------------------------------------

    def _take(self, event: Mapping[str, Any]) -> Delta | None:
        if event.get("error"):
            raise ERRORS.in_answer(event)
        self._model = self._model or as_text(event.get("modelVersion"))
        self._id = self._id or as_text(event.get("responseId"))
        if isinstance(event.get("usageMetadata"), dict):
            self._usage = larger_counts(self._usage, event["usageMetadata"])
        feedback = event.get("promptFeedback") or {}
        if not is_missing(feedback.get("blockReason")):
            self._block = feedback
        if event == END_MARK:
            self._ended = True
        candidate = self._candidate(event.get("candidates") or ())
        reason = candidate.get("finishReason")
        self._reason = later(self._reason, reason) or reason
        self._message = _end_message(candidate) or self._message
        deltas = [self._take_part(part) for part in _parts(candidate)]
        return _most_important([delta for delta in deltas if delta is not None])

    def _candidate(self, candidates: Any) -> Mapping[str, Any]:
        """The first candidate, which is the only one unless `extra` asks for more."""
        found: Mapping[str, Any]
        for found in candidates:
            place = found.get("index") or 0
            if self._index is None:
                self._index = place
            if place == self._index:
                return found
        return {}

    def _take_part(self, part: JsonObject) -> Delta | None:
        if "function_call" in part:
            part = {**part, "functionCall": part["function_call"]}
            del part["function_call"]
        if call := part.get("functionCall"):
            return self._call(call, part)
        self._keep(part)
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

    def _call(self, call: Mapping[str, Any], part: JsonObject) -> Delta | None:
        name, given = call.get("name"), as_text(call.get("id"))
        if not isinstance(name, str) or not name:
            raise _bad(f"the answer calls a function without a name: {excerpt(call, 120)}")
        arguments, written = _arguments(call.get("args"))
        part = (
            part if arguments is call.get("args") else {**part, "functionCall": {**call, "args": arguments}}
        )
        if self._is_repeated(ToolCall(given, name, written), part):
            return None
        if not given or given in self._places:
            given = self._local_id()
        self._keep(part)
        self._places[given].append(len(self._calls))
        self._calls.append(ToolCall(given, name, written))
        return ToolCallDelta(given, name)

    def _is_repeated(self, call: ToolCall, part: JsonObject) -> bool:
        """Whether *call* came before, under its id; what is new in its *part* is added to that."""
        for place in self._places.get(call.id, ()):
            other = self._calls[place]
            if not call.id or other.name != call.name:
                continue
            if other.arguments in _NO_ARGUMENTS:
                self._calls[place], new = call, part
            elif call.arguments in (other.arguments, *_NO_ARGUMENTS):
                new = {key: value for key, value in part.items() if key != "functionCall"}
            else:
                continue
            at = [index for index, kept in enumerate(self._parts) if "functionCall" in kept][place]
            self._parts[at] = {**self._parts[at], **new}
            return True
        return False

    def _local_id(self) -> str:
        """An id for a call without one: always the same for this answer, and different in other answers."""
        self._seed = self._seed or self._id or uuid4().hex
        return f"call_{self._seed}_{len(self._calls)}"


def _arguments(given: Any) -> tuple[JsonObject | None, str]:
    """The arguments of a call as the object that can go back, and as JSON; some servers send no object."""
    if given is None:
        return None, ""
    if not isinstance(given, dict):
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        given = as_object(text, TEXT)
        if given == {TEXT: text}:
            if not any(mark in text for mark in "{[<"):  # prose; `<` begins a control token
                raise _bad(
                    f"the arguments of a call are not an object but {excerpt(text, 80)}", transient=False
                )
            return given, text
    return given, json.dumps(given, ensure_ascii=False)


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


def _bad(message: str, *, transient: bool | None = None) -> BadReplyError:
    return BadReplyError(message, provider=NAME, transient=transient)
