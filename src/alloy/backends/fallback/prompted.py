"""Typed answers for models without native structured output: the prompt describes the type.

The description stands after the user's last words. A small model (SmolLM2 135M) followed it there in 18 of 20
requests, and in 1 of 20 where it stood in the system prompt.

Decoding is the same as for native answers: `alloy._typed.answers.parse.read` ignores fences and prose.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from alloy._typed.schemas.notation import notation
from alloy._typed.schemas.refs import Schema, alternatives
from alloy.backends.fallback.wrapper import Wrapper
from alloy.backends.schemas import in_dialect
from alloy.jsontypes import Json, JsonObject
from alloy.messages import OutputSchema, Request, Turn, User

__all__ = [
    "PromptedBackend",
    "after_last_words",
    "answer_format",
    "description",
    "unwrapped",
    "with_instructions",
]


class PromptedBackend(Wrapper):
    """*inner*, asked in the prompt for an answer of the type."""

    def encode(self, request: Request) -> JsonObject:
        """The body of *request*, with the type of the answer after the user's last words."""
        messages, output = request.messages, in_dialect(request, self.dialect).output
        if output is not None:
            messages = after_last_words(messages, f"Answer {answer_format(output)}")
        return self.inner.encode(replace(request, messages=messages, output=None, output_mode="native"))


# --- the description of a type ------------------------------------------------------------------------


def answer_format(output: OutputSchema) -> str:
    """How to write an answer of the type *output*, to be continued from "Answer": with words, or in JSON.

    A scalar is asked for as it is, without the wrapper that providers with structured output need. The keys
    of an object are listed, and quoted where they stand on one line, because small models follow that best.
    """
    schema = unwrapped(output)
    if words := _words(schema):
        return f"with exactly one of these words and nothing else: {', '.join(words)}"
    if keys := _keys(schema):
        listed = ", ".join(f"{name} ({kind})" if kind else name for name, kind in keys.items())
        flat = ", ".join(f"{json.dumps(name)}: {kind}" for name, kind in keys.items())
        shown = f"{{ {flat} }}" if all(keys.values()) else notation(schema)
        return f"in JSON with these keys and nothing else: {listed}.\n\n{shown}"
    return f"in JSON of this type, in TypeScript notation, and with nothing else:\n\n{notation(schema)}"


def description(output: OutputSchema) -> str:
    """*output* in words and type notation, as a schema enforces it, to be continued from "as" or "is"."""
    return (
        "JSON only: no code fence, and no text before or after it. It has this type, in TypeScript notation, "
        f"and no keys that the type does not name:\n\n{notation(output.schema)}"
    )


SHORT = 40  # characters of a type that is shown next to its key


def _keys(schema: Schema) -> dict[str, str]:
    """The keys of an object, each with its type if that is short, or with an empty text."""
    properties: Mapping[str, Json] = schema.get("properties", {})
    if schema.get("type") != "object" or schema.get("additionalProperties", False) is not False:
        return {}
    return {name: _short_type(name, part, schema) for name, part in properties.items()}


def _short_type(name: str, part: Json, schema: Schema) -> str:
    if not isinstance(part, Mapping) or name not in schema.get("required", ()):
        return ""
    text = notation({**part, "$defs": schema.get("$defs", {})})
    return text if len(text) <= SHORT and "\n" not in text and "//" not in text else ""


def unwrapped(output: OutputSchema) -> Schema:
    """The schema of *output* without the wrapper that providers with structured output need."""
    if not output.wrapped:
        return output.schema
    [inner] = output.schema["properties"].values()
    definitions = output.schema.get("$defs")
    return inner if definitions is None or not isinstance(inner, dict) else {**inner, "$defs": definitions}


def _words(schema: Schema) -> Sequence[str]:
    """The values of *schema* as words, if there are only a few of them and each word means one."""
    parts = alternatives(schema, schema.get("$defs", {}))
    values = [value for part in parts for value in _values(part)]
    if any(value is ... for value in values):
        return ()
    words = [value if isinstance(value, str) else json.dumps(value) for value in values]
    is_clear = len(set(words)) == len(words) and all(map(_is_word, words))
    return words if is_clear else ()


def _values(part: Json) -> Sequence[Json]:
    """The values of one alternative; an ellipsis where there are too many to list."""
    if not isinstance(part, Mapping):
        return [...]
    if "enum" in part:
        return [value if isinstance(value, str | int | float | None) else ... for value in part["enum"]]
    if "const" in part:
        return _values({"enum": [part["const"]]})
    kind = part.get("type")
    return [True, False] if kind == "boolean" else [None if kind == "null" else ...]


def _is_word(word: str) -> bool:
    """Whether *word* can be told from its neighbours in a list."""
    return word != "" and word == word.strip() and word.isprintable() and "," not in word


# --- its place in the prompt --------------------------------------------------------------------------


def after_last_words(messages: Sequence[Turn], text: str) -> tuple[Turn, ...]:
    """*messages* with *text* at the end of the last one of the user."""
    at = max((index for index, turn in enumerate(messages) if isinstance(turn, User)), default=None)
    if at is None:
        return (*messages, User(text))
    last = messages[at]
    assert isinstance(last, User)
    if isinstance(last.content, str):
        points = last.cache_points
        # After a cache point the text is a part of its own: the part before it stays the same in every call.
        joined = f"{last.content}\n\n{text}".lstrip()
        extended = User((last.content, text), points) if points else User(joined)
    else:
        extended = replace(last, content=(*last.content, text))
    return (*messages[:at], extended, *messages[at + 1 :])


def with_instructions(system: str | None, instructions: str) -> str:
    """The system prompt *system*, if there is one, followed by *instructions*."""
    return f"{system}\n\n{instructions}" if system else instructions
