"""Images and documents that tools return: what the model is sent of them, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from alloy._engine.tool_texts import cut_text
from alloy._typed.answers.parse import dump
from alloy.backends.base import Capabilities
from alloy.media import Media, media_note
from alloy.messages import ToolResult, ToolResults, Turn, User

__all__ = ["contents_of", "media_parts", "with_media_sent"]


def contents_of(value: Any, limit: int | None) -> tuple[str, str, tuple[str | Media, ...]]:
    """The text of the *value* that a tool returned, whole and cut to *limit* characters, and its parts.

    It has parts if it is an image or a document, or a list of these and of texts. When the text is cut,
    it comes before the others.
    """
    parts = media_parts(value)
    text = "\n".join(part for part in parts if isinstance(part, str)) if parts else dump(value)
    shown = cut_text(text, limit)
    if parts and shown is not text:
        parts = (shown, *(part for part in parts if isinstance(part, Media)))
    return text, shown, parts


def media_parts(value: Any) -> tuple[str | Media, ...]:
    """The parts of *value*, which a tool returned; none unless there is an image or a document among them."""
    if isinstance(value, Media):
        return (value,)
    if not isinstance(value, list | tuple) or not any(isinstance(part, Media) for part in value):
        return ()
    return tuple(part if isinstance(part, Media) else dump(part) for part in value)


def with_media_sent(turns: tuple[Turn, ...], can: Capabilities, *, native: bool) -> tuple[Turn, ...]:
    """*turns* with the images and documents of tools where a model that *can* do this gets them.

    They are in the results where *native* tools may have them there, and else in a message of the user
    after all results of a turn. What the model does not take is described: a tool's result is no reason
    to end a call.
    """
    if not any(isinstance(turn, ToolResults) and turn.has_media for turn in turns):
        return turns
    sent: list[Turn] = []
    moved: User | None = None
    for turn in turns:
        if moved is not None and isinstance(turn, User):
            sent[-1] = moved.followed_by(turn)  # some servers refuse two messages of the user in a row
            moved = None
        elif isinstance(turn, ToolResults):
            results, moved = _sent(turn, can, in_results=native and can.result_media)
            sent += [results] if moved is None else [results, moved]
        else:
            sent.append(turn)
            moved = None
    return tuple(sent)


def _sent(turn: ToolResults, can: Capabilities, *, in_results: bool) -> tuple[ToolResults, User | None]:
    """The results as they are sent, and what of them is moved to a message of the user."""
    sent: list[ToolResult] = []
    moved: list[str | Media] = []
    for result in turn.results:
        parts = [part if _takes(can, part) else _described(part) for part in result.parts]
        media = [part for part in parts if isinstance(part, Media)]
        if media and in_results:
            sent.append(replace(result, parts=tuple(parts)))
            continue
        texts = [part for part in parts if isinstance(part, str)] if parts else [result.content]
        if media:
            texts.append(media_note(media))
            moved += [_heading(result, media), *media]
        sent.append(replace(result, content="\n".join(texts), parts=()) if parts else result)
    return ToolResults(tuple(sent)), User(tuple(moved)) if moved else None


def _takes(can: Capabilities, part: str | Media) -> bool:
    return isinstance(part, str) or can.takes(part)


def _described(part: str | Media) -> str:
    if isinstance(part, str):
        return part
    return f"[{part.described}; it is not shown, because this model does not take it]"


def _heading(result: ToolResult, media: Sequence[Media]) -> str:
    kinds = " and ".join(part.kind for part in media)
    return f"The {kinds} that the tool {result.name} returned:"
