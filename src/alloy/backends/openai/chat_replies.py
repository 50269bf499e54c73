"""The answers of Chat Completions as a `Reply`, whole or streamed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alloy.backends.http.bodies import as_count, as_text, larger_counts, read_object
from alloy.backends.http.event_stream import END_MARK
from alloy.backends.http.finish import later, read_ending
from alloy.backends.openai.chat_calls import Calls, call_pieces
from alloy.backends.openai.errors import OpenAIErrors
from alloy.errors import BadReplyError
from alloy.excerpts import excerpt
from alloy.jsontypes import JsonObject
from alloy.messages import Delta, Echo, ReasoningDelta, Reply, TextDelta, Usage

__all__ = ["NAME", "REASONING", "ChatAccumulator", "turn"]

NAME = "openai-chat"

# The keys of the reasoning: in DeepSeek and llama.cpp, in newer vLLM and OpenRouter, and in others.
_TEXTS = ("reasoning_content", "reasoning", "reasoning_text", "thinking")
# What gateways add to it: OpenRouter's, litellm's, Copilot's, Gemini's thought signatures.
_BLOCKS = ("reasoning_details", "thinking_blocks", "reasoning_opaque", "extra_content")
_PLAIN = ("text", "output_text")  # the types of the parts of a content that are the answer
REASONING = (*_TEXTS, *_BLOCKS)
"""The fields of a turn that go back as they came, where the model has to see its reasoning again."""


def turn(text: str, calls: list[JsonObject]) -> JsonObject:
    """A turn of the assistant."""
    if not calls:
        return {"role": "assistant", "content": text}
    return {"role": "assistant", "content": text or None, "tool_calls": calls}


class ChatAccumulator:
    """Builds the `Reply` from chunks; a whole completion is read as one chunk. Errors name *provider*.

    The pieces of the text, of a refusal, of the reasoning and of the calls are collected, each where it
    stands. Of each count of the usage the largest counts. The finish reason is read at the end, when it is
    known whether there are calls, and whether the server has said that this is the end.
    """

    def __init__(self, provider: str = NAME) -> None:
        self._provider = provider
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._reasoning: list[str] = []
        self._texts: dict[str, list[str]] = {}  # the pieces of each field of the reasoning that is a text
        self._fields: JsonObject = {}  # its other fields
        self._others: list[JsonObject] = []  # parts of the content that are not text
        self._has_deltas = False  # with text
        self._calls = Calls(provider)
        self._finish: Any = None
        self._complete = False  # known to be at its end, whatever the finish reason says
        self._usage: JsonObject = {}
        self._model = self._id = ""

    def feed(self, event: Any) -> Delta | None:
        """Take in one chunk. Raises `ProviderError` when the server reports a failure.

        A chunk with text shows the text; a call that begins in it is shown with the next chunk.
        """
        return read_object(self._provider, event, self._take)

    def feed_whole(self, completion: Mapping[str, Any]) -> None:
        """Take a completion that was not streamed."""
        self._note(completion)
        choice = self._first_choice(completion)
        message = None if choice is None else choice.get("message") or _legacy(choice)
        if choice is None or not isinstance(message, dict):
            problem = f"the completion has no message but {excerpt(completion, 120)}"
            nothing = "choices" in completion and not completion["choices"]  # a gateway whose provider failed
            raise BadReplyError(problem, provider=self._provider, transient=nothing)
        self._finish = choice.get("finish_reason")
        self._take_rest(message)

    def reply(self) -> Reply:
        """The whole reply. Raises `BadReplyError` when nothing shows that it is whole."""
        calls, text = self._calls.finished(), "".join(self._text)
        ending = read_ending(
            self._finish,
            field="finish_reason",
            provider=self._provider,
            calls=calls,
            complete=self._complete and bool(text or calls or self._refusal),
            refused=bool(self._refusal),
        )
        return Reply(
            text=text,
            calls=tuple(calls),
            finish=ending.finish,
            usage=_usage(self._usage),
            model=self._model,
            id=self._id,
            reasoning="".join(self._reasoning),
            explanation="".join(self._refusal) or ending.explanation,
            is_end_stated=ending.is_stated,
            echo=Echo(NAME, turn(text, self._calls.echo(calls)) | self._as_it_came() | self._content(text)),
        )

    # --- one chunk ----------------------------------------------------------------------------------

    def _take(self, event: Mapping[str, Any]) -> Delta | None:
        self._complete = self._complete or event == END_MARK
        self._note(event)
        choice = self._first_choice(event)
        if choice is None:  # as in the last chunk, which has the usage, and in Azure's first
            return self._calls.next_delta()
        self._finish = later(self._finish, choice.get("finish_reason"))
        delta, message = choice.get("delta"), choice.get("message")
        text = reasoning = ""
        if isinstance(delta := delta or (None if message else _legacy(choice)), dict):
            reasoning, text = self._take_reasoning(delta), self._take_text(delta)
            self._calls.add(call_pieces(delta))
            self._has_deltas = self._has_deltas or bool(text)
        if isinstance(message, dict):
            text += self._take_rest(message)
        if text:
            return TextDelta(text)
        return self._calls.next_delta() or (ReasoningDelta(reasoning) if reasoning else None)

    def _take_rest(self, message: Mapping[str, Any]) -> str:
        """Take what the deltas before a whole *message* did not have, and return the text of it."""
        self._complete = True
        rest, fields = dict(message), self._as_it_came()
        for key in REASONING:
            old, new = fields.get(key), message.get(key)
            rest[key] = _rest(old, new) if isinstance(old, str) else None if old else new
        if self._others:
            rest["content"] = _content(message.get("content"), *_PLAIN)
        self._take_reasoning(rest)
        self._calls.add_rest(call_pieces(message))
        return self._take_text(rest, is_rest=True)

    def _note(self, event: Mapping[str, Any]) -> None:
        if event.get("error"):
            raise OpenAIErrors(self._provider).in_answer(event)
        self._model = self._model or as_text(event.get("model"))
        self._id = self._id or as_text(event.get("id"))
        self._count(event.get("usage"))

    def _first_choice(self, event: Mapping[str, Any]) -> Mapping[str, Any] | None:
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and not choice.get("index"):
                if choice.get("error"):  # OpenRouter, when the provider fails during the answer
                    raise OpenAIErrors(self._provider).in_answer(choice["error"])
                self._count(choice.get("usage"))  # Moonshot's place for it
                return choice
        return None

    def _count(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self._usage = larger_counts(self._usage, usage)

    def _take_text(self, message: Mapping[str, Any], *, is_rest: bool = False) -> str:
        content = message.get("content")
        text = _content(content, *_PLAIN)
        refusal = as_text(message.get("refusal")) + _content(content, "refusal")
        if is_rest:  # without deltas, messages that do not repeat the text before are its pieces
            text = _rest("".join(self._text), text, otherwise="" if self._has_deltas else text)
            refusal = _rest("".join(self._refusal), refusal)
        if text:
            self._text.append(text)
        if refusal:
            self._refusal.append(refusal)
        return text

    def _take_reasoning(self, message: Mapping[str, Any]) -> str:
        parts = _other_parts(message.get("content"))
        self._others = _joined(self._others, parts)
        found = [text for key in _TEXTS if (text := as_text(message.get(key)))]
        found += [text] if (text := "".join(map(_thinking, parts))) else []
        for key in REASONING:
            if isinstance(piece := message.get(key), str):
                self._texts.setdefault(key, []).append(piece)
            elif piece is not None:
                self._fields[key] = _joined(self._fields.get(key), piece)
        if found:
            self._reasoning.append(found[0])
        return found[0] if found else ""

    def _as_it_came(self) -> JsonObject:
        """The fields of the reasoning."""
        return {key: "".join(pieces) for key, pieces in self._texts.items()} | self._fields

    def _content(self, text: str) -> JsonObject:
        """The content as it goes back, when it had other parts than text."""
        if not self._others:
            return {}
        return {"content": [*self._others, *([{"type": "text", "text": text}] if text else [])]}


def _legacy(choice: Mapping[str, Any]) -> JsonObject | None:
    """The message in a *choice* of the older Completions API, which some servers answer with."""
    text = choice.get("text")
    return {"content": text} if isinstance(text, str) else None


def _rest(old: str, new: Any, otherwise: str = "") -> str:
    """What *new*, the whole of something, has after *old*, which has come; else *otherwise*."""
    new = as_text(new)
    return new[len(old) :] if new.startswith(old) else otherwise


def _thinking(part: Any) -> str:
    """The reasoning in a *part* of a content: a text, or text parts (Mistral's)."""
    thinking = part.get("thinking")
    return _content(thinking, *_PLAIN) if isinstance(thinking, list) else as_text(thinking)


def _other_parts(content: Any) -> list[JsonObject]:
    """The parts of a *content* that are not the answer, such as Mistral's reasoning."""
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return [part for part in parts if part.get("type") not in (*_PLAIN, "refusal")]


def _joined(old: Any, piece: Any) -> Any:
    """A field of the reasoning that grows by *piece*."""
    if not piece:
        return piece if old is None else old
    if isinstance(old, str) and isinstance(piece, str):
        return old + piece
    if isinstance(old, list) and isinstance(piece, list):
        blocks = list(old)
        for block in piece:
            if blocks and _continues(blocks[-1], block):
                blocks[-1] = _grown(blocks[-1], block)
            else:
                blocks.append(block)
        return blocks
    if isinstance(old, dict) and isinstance(piece, dict):
        return {**old, **piece}
    return piece


_GROWING = ("text", "thinking", "summary")


def _continues(block: Any, new: Any) -> bool:
    """Whether *new* is a further piece of *block*: https://openrouter.ai/docs/use-cases/reasoning-tokens."""
    if not (isinstance(block, dict) and isinstance(new, dict)) or block.get("signature"):
        return False
    grows = any(key in block or key in new for key in _GROWING) and "data" not in block and "data" not in new
    return grows and all(
        block.get(key) == new.get(key) or (key == "id" and None in (block.get(key), new.get(key)))
        for key in ("type", "index", "id")
    )


def _grown(block: Mapping[str, Any], new: Mapping[str, Any]) -> JsonObject:
    grown = {**block, **{key: value for key, value in new.items() if value is not None}}
    for key in _GROWING:
        if key in block and new.get(key) is not None:
            grown[key] = _joined(block[key], new[key])
    return grown


def _content(content: Any, *kinds: str) -> str:
    """The text of a message's content: a string, or the parts of *kinds* in a list."""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict) and part.get("type") in kinds]
        return "".join(as_text(part.get("refusal" if "refusal" in kinds else "text")) for part in parts)
    return as_text(content) if "text" in kinds else ""


def _usage(usage: Mapping[str, Any]) -> Usage:
    details = _within(usage, "prompt_tokens_details")
    cached, written = details.get("cached_tokens"), details.get("cache_write_tokens")
    reasoning = _within(usage, "completion_tokens_details").get("reasoning_tokens")
    cached = cached or usage.get("prompt_cache_hit_tokens")  # DeepSeek's name for it
    counts = usage.get("prompt_tokens"), usage.get("completion_tokens"), cached, reasoning, written
    return Usage(*map(as_count, counts))


def _within(usage: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = usage.get(key)
    return found if isinstance(found, dict) else {}
