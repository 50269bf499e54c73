"""A conversation in the format of Anthropic's Messages API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard

from alloy.backends.cache_points import cache_points
from alloy.backends.http.bodies import as_object, with_ids
from alloy.errors import CommandError
from alloy.jsontypes import JsonObject
from alloy.media import Media
from alloy.messages import Echo, Reply, Request, ToolCall, ToolResult, ToolResults, Turn, User

__all__ = ["INVALID", "cache_mark", "called_tools", "echo", "turns"]

NAME = "anthropic"

# The API's guide to fine-grained tool streaming sends invalid JSON back under this key.
INVALID = "INVALID_JSON"

MAX_MARKS = (
    4  # of the cache, in one request: https://docs.claude.com/en/docs/build-with-claude/prompt-caching
)

_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")  # what the id of a call may not contain

# A family and a version, in either order: `claude-sonnet-4-0` and `claude-4-sonnet-20250522` are one model.
_NUMBER = r"(\d+)(?:[-.](\d{1,2})(?!\d))?"
_MODEL = re.compile(rf"claude-(?:([a-z]+)-{_NUMBER}|{_NUMBER}-([a-z]+))")
_THINKING = ("thinking", "redacted_thinking")


def echo(content: list[JsonObject], model: str) -> Echo:
    """*content* as received, to be sent back untouched, with the *model* that its signatures are for."""
    return Echo(NAME, {"model": model, "content": content})


def turns(request: Request) -> list[JsonObject]:
    """The `messages` of *request*: the user's in a row become one, results before text."""
    history = _History(request)
    # With the setting, the end of the system prompt has a mark, and so has the end of the request.
    points = cache_points(request, MAX_MARKS - 2 if request.prompt_caching else MAX_MARKS)
    mark = cache_mark(request)
    for index, message in enumerate(request.messages):
        match message:
            case User():
                history.add_user(_content(message.content, points.get(index, ()), mark))
            case Reply():
                history.add_reply(message)
            case ToolResults(results):
                history.add_user([history.result(result) for result in results])
    return history.turns


def cache_mark(request: Request) -> JsonObject:
    """The mark of the end of a prefix that is to be cached."""
    lifetime = {"ttl": "1h"} if request.prompt_caching == "long" else {}
    return {"type": "ephemeral", **lifetime}


def called_tools(messages: Iterable[Turn]) -> list[str]:
    """The names of the tools that *messages* call, each once."""
    replies = (message for message in messages if isinstance(message, Reply))
    return list(dict.fromkeys(call.name for reply in replies for call in reply.calls))


class _History:
    """The turns so far, and which call each result belongs to."""

    def __init__(self, request: Request) -> None:
        self.model = request.model
        self.turns: list[JsonObject] = []
        own = (turn for turn in request.messages if isinstance(turn, Reply) and _is_own(turn.echo))
        self._ids = {call.id for reply in own for call in reply.calls}
        self._open: list[tuple[str, str]] = []  # calls without results: the id, and the one that is sent

    def add_user(self, content: str | list[JsonObject]) -> None:
        """Add to the user's turn: unlike this API, not all compatible servers merge turns in a row."""
        if self.turns and self.turns[-1]["role"] == "user":
            content = [*_listed(self.turns.pop()["content"]), *_listed(content)]
        self.turns.append({"role": "user", "content": content})

    def add_reply(self, reply: Reply) -> None:
        """Add a turn of the model: as it was received, or rebuilt if another provider sent it."""
        if _is_own(reply.echo):
            self._open = [(call.id, call.id) for call in reply.calls]
            content = self._kept(reply.echo.data, reply.calls)
        else:
            self._open = [(call.id, self._valid_id(call.id)) for call in reply.calls]
            content = [{"type": "text", "text": reply.text}] if reply.text.strip() else []
            content += map(_tool_use, reply.calls, (sent for _, sent in self._open))
        if any(block.get("type") not in _THINKING for block in content):  # a turn may not be empty
            self.turns.append({"role": "assistant", "content": content})

    def result(self, result: ToolResult) -> JsonObject:
        """A result under the id that its call was sent with."""
        place = next((pair for pair in self._open if pair[0] == result.call.id), None)
        if place is not None:
            self._open.remove(place)
        sent = {"type": "tool_result", "tool_use_id": place[1] if place else result.call.id}
        if result.error is None:
            shown = [part for part in result.parts if not isinstance(part, str) or part.strip()]
            content = list(map(_result_part, shown)) if shown else result.content
            return {**sent, "content": content}
        # With `is_error` the content may not be empty.
        return {**sent, "content": result.content or result.error or "failed", "is_error": True}

    def _kept(self, turn: Mapping[str, Any], calls: Sequence[ToolCall]) -> list[JsonObject]:
        content = with_ids(turn["content"], calls, kind="tool_use")
        # Signatures are valid for the model that made them, which only Claude's names identify.
        from_other = _other_model(self.model, turn["model"])
        if not from_other and not any(map(_is_blank, content)):
            return content  # by reference: a long history costs no copies
        return [
            block
            for block in content
            if not _is_blank(block) and not (from_other and block.get("type") in _THINKING)
        ]

    def _valid_id(self, given: str) -> str:
        """*given* as an id that the API accepts and that no other call of this conversation has."""
        base = _ILLEGAL.sub("_", given)[:48] or "call"
        sent, count = base, 1
        while sent in self._ids:
            count += 1
            sent = f"{base}_{count}"
        self._ids.add(sent)
        return sent


def _is_own(echo: Echo | None) -> TypeGuard[Echo]:
    return echo is not None and echo.by == NAME


def _is_blank(block: Mapping[str, Any]) -> bool:
    return block.get("type") == "text" and not str(block.get("text") or "").strip()


def _other_model(one: str, other: str) -> bool:
    ours, theirs = _identity(one), _identity(other)
    return ours is not None and theirs is not None and ours != theirs


def _identity(model: str) -> tuple[str, int, int] | None:
    """The family and the version of a Claude model; `None` for a name that says neither."""
    if (found := _MODEL.search(model.lower())) is None:
        return None
    family, major, minor, other_major, other_minor, other_family = found.groups()
    return family or other_family, int(major or other_major), int(minor or other_minor or 0)


def _tool_use(call: ToolCall, sent_id: str) -> JsonObject:
    return {"type": "tool_use", "id": sent_id, "name": call.name, "input": as_object(call.arguments, INVALID)}


# --- the user's content -------------------------------------------------------------------------------


def _content(
    content: str | Sequence[str | Media], points: Sequence[int], mark: JsonObject
) -> str | list[JsonObject]:
    if isinstance(content, str) and not points:
        return content
    blocks: list[JsonObject] = []
    for count, part in enumerate((content,) if isinstance(content, str) else content, 1):
        if not isinstance(part, str) or part.strip():
            blocks.append(_part(part))
        if count in points and blocks:
            blocks[-1]["cache_control"] = mark
    return blocks


def _listed(content: str | list[JsonObject]) -> list[JsonObject]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    return content


def _part(part: str | Media) -> JsonObject:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    block: JsonObject = {"type": part.kind, "source": _source(part)}
    if part.kind == "document" and part.name:
        block["title"] = part.name
    return block


def _result_part(part: str | Media) -> JsonObject:
    """As `_part`; a tool's text that is not UTF-8 is no reason to end a call after the tools have run."""
    if isinstance(part, Media) and part.data is not None and part.media_type.startswith("text/"):
        part = replace(part, data=part.data.decode("utf-8-sig", "replace").encode())
    return _part(part)


def _source(part: Media) -> JsonObject:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    if part.data is None or not part.media_type.startswith("text/"):
        return {"type": "base64", "media_type": part.media_type, "data": part.base64}
    try:
        text = part.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"the document {part.name or 'given'!r} is not UTF-8 text: {error}") from None
    return {"type": "text", "media_type": "text/plain", "data": text}
