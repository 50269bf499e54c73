"""`Conversation`: earlier messages that the next call continues."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from alloy.arguments import with_names_checked
from alloy.errors import CommandError, ConfigurationError
from alloy.jsontypes import Json, JsonObject
from alloy.media import Media
from alloy.messages import Echo, Reply, ToolCall, ToolResult, ToolResults, Turn, User
from alloy.parts import Document, Image

__all__ = ["Conversation"]

FORMAT = 1


@with_names_checked
class Conversation:
    """A history that calls continue: `ask("And now?", conversation=chat)`.

    A call that succeeds adds all its messages, tool calls and results included; a call that fails adds
    nothing. The next call may use another model of another provider. Use a conversation for one call at
    a time: of two at once, it keeps the messages of the one that ends last.
    """

    def __init__(self, turns: Iterable[Turn] = ()) -> None:
        """Begin with *turns* of another conversation. Raises `ConfigurationError` for anything else."""
        self.turns = _checked(turns)

    def __len__(self) -> int:
        return len(self.turns)

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)

    def __repr__(self) -> str:
        return f"<Conversation of {len(self)} turn{'s' * (len(self) != 1)}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Conversation) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def copy(self) -> Conversation:
        """A conversation with the same messages, which later calls continue separately."""
        return Conversation(self.turns)

    def to_json(self) -> str:
        """The conversation as JSON text, with its images and the providers' own form of their messages.

        The result of a tool is kept as what the model received.
        """
        return json.dumps({"alloy": FORMAT, "turns": [_dump_turn(turn) for turn in self.turns]})

    @classmethod
    def from_json(cls, text: str | bytes) -> Conversation:
        """The conversation that `to_json` saved. Raises `ConfigurationError` for any other text."""
        try:
            data = _object(_parsed(text), "it")
            if data["alloy"] != FORMAT:
                raise ConfigurationError(
                    f"this conversation was saved in format {data['alloy']!r}, and this version of Alloy "
                    f"reads format {FORMAT}: load it with the version that saved it"
                )
            return cls(tuple(_load_turn(_object(turn, "a turn")) for turn in _list(data["turns"])))
        except (ValueError, KeyError, TypeError, RecursionError, CommandError) as error:
            problem = f'the key "{error.args[0]}" is missing' if isinstance(error, KeyError) else str(error)
            raise ConfigurationError(
                f"not a conversation saved by Conversation.to_json(): {problem}"
            ) from error


def _checked(turns: Any) -> tuple[Turn, ...]:
    found = tuple(turns) if isinstance(turns, Iterable) else (turns,)
    if not all(isinstance(turn, Turn) for turn in found):
        raise ConfigurationError(
            f"Conversation takes the turns of another conversation, not {turns!r:.80}: begin with "
            "Conversation(), or load a saved one with Conversation.from_json(text)"
        )
    return found


def _dump_turn(turn: Turn) -> JsonObject:
    match turn:
        case User():
            text = turn.content
            content = text if isinstance(text, str) else [_dump_part(part) for part in text]
            points = list(turn.cache_points)
            return {"user": content, "cache_points": points} if points else {"user": content}
        case Reply():
            return {
                "assistant": turn.text,
                "calls": [[call.id, call.name, call.arguments] for call in turn.calls],
                "echo": None if turn.echo is None else list(turn.echo),
            }
        case ToolResults():
            return {"results": list(map(_dump_result, turn.results))}


def _dump_result(result: ToolResult) -> list[Any]:
    call = result.call
    parts = [list(map(_dump_part, result.parts))] if result.parts else []
    return [call.id, call.name, call.arguments, result.content, result.error, *parts]


def _load_turn(data: JsonObject) -> Turn:
    if "user" in data:
        content = data["user"]
        parts = content if isinstance(content, str) else tuple(map(_load_part, _list(content)))
        return User(parts, tuple(map(int, _list(data.get("cache_points", [])))))
    if "assistant" in data:
        calls = tuple(ToolCall(*map(_text, call)) for call in _list(data["calls"]))
        by, echoed = data["echo"] or (None, None)
        echo = None if by is None else Echo(_text(by), echoed)
        return Reply(text=_text(data["assistant"]), calls=calls, echo=echo)
    if "results" in data:
        return ToolResults(tuple(map(_load_result, _list(data["results"]))))
    raise ValueError('a turn has none of the keys "user", "assistant" and "results"')


def _load_result(data: Json) -> ToolResult:
    call_id, name, arguments, content, error, *more = data
    parts = tuple(map(_load_part, _list(more[0]))) if more else ()
    call = ToolCall(_text(call_id), _text(name), _text(arguments))
    return ToolResult(call, _text(content), error=None if error is None else _text(error), parts=parts)


def _parsed(text: Any) -> Json:
    if not isinstance(text, str | bytes | bytearray):
        raise TypeError(f"it is {text!r:.40}, and not text")
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from None


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.40} is in the place of a list")
    return value


def _object(value: Json, what: str) -> JsonObject:
    if not isinstance(value, dict):
        raise TypeError(f"{what} is not a JSON object but {value!r:.40}")
    return value


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is in the place of a text")
    return value


def _dump_part(part: str | Media) -> str | JsonObject:
    if isinstance(part, str):
        return part
    data = part.base64 if part.data is not None else None
    return {
        "kind": part.kind,
        "url": part.url,
        "data": data,
        "media_type": part.media_type,
        "name": part.name,
    }


def _load_part(data: str | JsonObject) -> str | Media:
    if isinstance(data, str):
        return data
    from base64 import b64decode

    kind = Image if data["kind"] == Image.kind else Document
    if data["kind"] != kind.kind:
        raise TypeError(f"unknown kind of part {data['kind']!r}")
    url, content = data["url"], data["data"]
    if content is None:
        return kind.from_url(_text(url))
    return kind(
        data=b64decode(_text(content), validate=True),
        media_type=_text(data["media_type"]),
        name=_text(data["name"]),
    )
