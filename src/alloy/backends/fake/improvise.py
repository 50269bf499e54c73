"""The answers of the fake model without a test script. `backend.py` describes the script lines of prompts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from alloy.errors import ConfigurationError
from alloy.messages import Reply, ToolCall

__all__ = ["improvise"]

LINE = re.compile(r"^[ \t]*+fake:[ \t]*+(\w*+)[ \t]*+(.*)$", re.MULTILINE)
CALL = re.compile(r"([^\s{]+)\s*(.*)")

MAX_REPEATED = 60  # characters of the prompt that an answer repeats


def improvise(body: Mapping[str, Any]) -> Reply:
    """The reply to *body*: from the next script line of the prompt, or a generated answer.

    Raises `ConfigurationError` for an invalid script line, and for an output schema without a value.
    """
    at, lines = _script(body["messages"])
    turns = _turns(lines)
    # A backend has no state of a call, so the position in the script follows from the conversation.
    done = sum(message["role"] == "assistant" for message in body["messages"][at:])
    return turns[done] if done < len(turns) else Reply(text=_answer(body))


def _script(messages: Sequence[Mapping[str, Any]]) -> tuple[int, list[re.Match[str]]]:
    """The index of the last user message with script lines, and those lines."""
    for at in reversed(range(len(messages))):
        if messages[at]["role"] == "user" and (lines := list(LINE.finditer(_text(messages[at])))):
            return at, lines
    return len(messages), []


def _turns(lines: Sequence[re.Match[str]]) -> list[Reply]:
    turns: list[Reply] = []
    for line in lines:
        verb, rest = line[1], line[2].rstrip(" \t\r")
        match verb:
            case "say":
                turns.append(Reply(text=rest))
            case "call":
                turns.append(Reply(calls=(_call(line, rest),)))
            case "and" if turns and turns[-1].calls:
                turns[-1] = Reply(calls=(*turns[-1].calls, _call(line, rest)))
            case _:
                raise _bad(line, "say TEXT, call TOOL {…}, and, directly after a call, and TOOL {…}")
    return turns


def _call(line: re.Match[str], rest: str) -> ToolCall:
    written = CALL.fullmatch(rest)
    if written is None:
        raise _bad(line, "the name of a tool and, perhaps, its arguments as a JSON object")
    name, arguments = written.groups()
    try:
        is_object = isinstance(json.loads(arguments or "{}"), dict)
    except ValueError as error:
        raise _bad(line, f"the arguments as a JSON object ({error})") from None
    if not is_object:
        raise _bad(line, "the arguments as a JSON object")
    return ToolCall("", name, arguments or "{}")


def _bad(line: re.Match[str], wanted: str) -> ConfigurationError:
    return ConfigurationError(
        f"the fake backend cannot read the line {line.group().strip()!r} of the prompt: it expects {wanted}"
    )


def _text(message: Mapping[str, Any]) -> str:
    """The text of a user's *message*, without images and documents."""
    content = message["content"]
    return (
        content if isinstance(content, str) else "\n".join(part for part in content if isinstance(part, str))
    )


def _answer(body: Mapping[str, Any]) -> str:
    if (output := body.get("output")) is not None:
        from alloy._typed.schemas.samples import sample

        return json.dumps(sample(output["schema"]), ensure_ascii=False)
    prompts = [_text(message) for message in body["messages"] if message["role"] == "user"]
    prompt = " ".join(LINE.sub("", prompts[-1] if prompts else "").split())
    if not prompt:
        return "[fake] Done."
    beginning = prompt if len(prompt) <= MAX_REPEATED else prompt[:MAX_REPEATED].rstrip() + "…"
    return f"[fake] You said: {beginning}"
