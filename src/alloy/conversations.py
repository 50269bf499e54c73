"""`Conversation`: what was said, for the next call to go on from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from alloy.errors import CommandError, ConfigurationError
from alloy.media import Media
from alloy.messages import Echo, Reply, ToolCall, ToolResult, ToolResults, Turn, User
from alloy.parts import Document, Image

__all__ = ["Conversation"]

FORMAT = 1


class Conversation:
    """A history that calls continue: `ask("And now?", conversation=chat)`.

    A call that succeeds adds all that was said in it, tools and their results included; one that
    fails adds nothing. It may go on with another model of another provider. Use it for one call at a
    time: of two at once, the one that ends last is what it remembers.
    """

    def __init__(self, turns: tuple[Turn, ...] = ()) -> None:
        self.turns = tuple(turns)

    def __len__(self) -> int:
        return len(self.turns)

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)

    def __repr__(self) -> str:
        return f"<Conversation of {len(self)} turns>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Conversation) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def copy(self) -> Conversation:
        """Another one with the same past, to try a different future."""
        return Conversation(self.turns)

    def to_json(self) -> str:
        """All of it as JSON text, images and the providers' own turns included.

        What a tool returned is kept as the text that the model saw.
        """
        return json.dumps({"alloy": FORMAT, "turns": [_dump_turn(turn) for turn in self.turns]})

    @classmethod
    def from_json(cls, text: str | bytes) -> Conversation:
        """The conversation in what `to_json` wrote. Raises `ConfigurationError` for anything else."""
        try:
            data = json.loads(text)
            if data["alloy"] != FORMAT:
                raise ConfigurationError(
                    f"this conversation was written in format {data['alloy']!r}; this version reads {FORMAT}"
                )
            return cls(tuple(_load_turn(turn) for turn in data["turns"]))
        except (ValueError, KeyError, TypeError, RecursionError, CommandError) as error:
            raise ConfigurationError(f"this is no conversation that to_json() wrote: {error!r}") from error


def _dump_turn(turn: Turn) -> dict[str, Any]:
    match turn:
        case User(content=str(text)):
            return {"user": text}
        case User():
            return {"user": [_dump_part(part) for part in turn.parts]}
        case Reply():
            return {
                "assistant": turn.text,
                "calls": [[call.id, call.name, call.arguments] for call in turn.calls],
                "echo": None if turn.echo is None else list(turn.echo),
            }
        case ToolResults():
            return {
                "results": [
                    [result.call.id, result.name, result.call.arguments, result.content, result.error]
                    for result in turn.results
                ]
            }


def _load_turn(data: dict[str, Any]) -> Turn:
    if "user" in data:
        said = data["user"]
        return User(said if isinstance(said, str) else tuple(_load_part(part) for part in said))
    if "assistant" in data:
        calls = tuple(ToolCall(*map(_text, call)) for call in data["calls"])
        by, echoed = data["echo"] or (None, None)
        echo = None if by is None else Echo(_text(by), echoed)
        return Reply(text=_text(data["assistant"]), calls=calls, echo=echo)
    return ToolResults(
        tuple(
            ToolResult(
                ToolCall(_text(call_id), _text(name), _text(arguments)),
                _text(content),
                error=None if error is None else _text(error),
            )
            for call_id, name, arguments, content, error in data["results"]
        )
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} stands where a text should")
    return value


def _dump_part(part: str | Media) -> str | dict[str, Any]:
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


def _load_part(data: str | dict[str, Any]) -> str | Media:
    if isinstance(data, str):
        return data
    from base64 import b64decode

    kind = Image if data["kind"] == Image.kind else Document
    if data["kind"] != kind.kind:
        raise TypeError(f"there is no part of the kind {data['kind']!r}")
    url, content = data["url"], data["data"]
    if content is None:
        return kind.from_url(_text(url))
    return kind(
        data=b64decode(_text(content), validate=True),
        media_type=_text(data["media_type"]),
        name=_text(data["name"]),
    )
