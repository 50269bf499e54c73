"""What a prompt function may be annotated with, and what it may return."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from alloy._typed.types.annotations import type_name
from alloy._typed.types.expressions import why_not_a_type
from alloy.errors import CommandError, ConfigurationError
from alloy.functions import generator_kind, return_annotation
from alloy.messages import Reply, Turn, User
from alloy.parts import CachePoint, Document, Image, Message, Part, Prompt

__all__ = ["check_returns_prompt", "read_prompt"]


def read_prompt(prompt: object, where: str) -> tuple[Turn, ...]:
    """*prompt* as messages, the last of them the user's. Raises `CommandError` for an invalid prompt."""
    if isinstance(prompt, str):
        return (User(_not_empty(prompt, where)),)
    if inspect.iscoroutine(prompt):
        prompt.close()
        raise CommandError(f"{where} returned a coroutine as its prompt: make the command `async def`")
    if not isinstance(prompt, list | tuple):
        raise CommandError(
            f"{where} must return its prompt as str, or as a list of str, Image, Document, Message and "
            f"CachePoint, but returned {type(prompt).__name__}: {prompt!r:.80}"
        )
    turns: list[Turn] = []
    pending: list[Part | CachePoint] = []  # of the user's message that is not complete yet
    for part in prompt:
        if not isinstance(part, Message):
            pending.append(_checked(part, where))
            continue
        turns += _user_turn(pending, where)
        pending.clear()
        if part.role == "assistant":
            turns.append(Reply(str(part.content)))
        else:
            content = [part.content] if isinstance(part.content, str) else part.content
            turns += _user_turn([_checked(piece, where) for piece in content], where)
    turns += _user_turn(pending, where)
    if not turns or not isinstance(turns[-1], User):
        raise CommandError(
            f"{where} must end its prompt with a message of the user: add a str, an Image or a Document"
        )
    if all(isinstance(part, str) for part in turns[-1].parts):
        _not_empty(turns[-1].text, where)
    return tuple(turns)


def _not_empty(text: str, where: str) -> str:
    if not text.strip():
        raise CommandError(f"{where} has an empty prompt: return the text to send to the model")
    return text


def _checked(part: object, where: str) -> Part | CachePoint:
    if isinstance(part, str | Image | Document | CachePoint):
        return part
    if part is CachePoint:
        raise CommandError(f"{where} has the class CachePoint in its prompt: write CachePoint()")
    raise CommandError(
        f"{where} has a {type(part).__name__} in its prompt; a prompt holds str, Image, Document, Message "
        "and CachePoint"
    )


def _user_turn(given: Sequence[Part | CachePoint], where: str) -> list[Turn]:
    parts: list[Part] = []
    points: list[int] = []
    for part in given:
        if not isinstance(part, CachePoint):
            parts.append(part)
        elif parts:
            points.append(len(parts))
        else:
            raise CommandError(
                f"{where} has a CachePoint with nothing before it in the message: put it after the str, "
                "Image or Document where the part ends that many calls have in common"
            )
    if not parts:
        return []
    only_text = len(parts) == 1 and isinstance(parts[0], str)
    content: Any = parts[0] if only_text else tuple(parts)
    return [User(content, tuple(dict.fromkeys(points)))]


def check_returns_prompt(function: Callable[..., Any], where: str) -> None:
    """Raise `ConfigurationError` unless *function* is annotated to return a `str` or a list of parts."""
    if (kind := generator_kind(function)) is not None:
        raise ConfigurationError(f"{where} is {kind}: its body must return the prompt, not yield it")
    annotation = return_annotation(function)
    if annotation is inspect.Signature.empty:
        raise ConfigurationError(
            f"{where} has no return annotation: write `-> str`, because its body returns the prompt; "
            "the type of the answer goes into @command(output=…)"
        )
    if _is_text(annotation):
        return
    if why_not_a_type(annotation) is not None:
        shown = inspect.formatannotation(annotation)
        raise ConfigurationError(
            f"{where} is annotated `-> {shown}`, which is not a type: write `-> str`, because its body "
            "returns the prompt; the type of the answer goes into @command(output=…)"
        )
    if not _is_list_of_parts(annotation):
        shown = type_name(annotation)
        raise ConfigurationError(
            f"{where} is annotated `-> {shown}`, but its body returns the prompt: write `-> str` (or a list "
            f"of parts, such as `-> list[str | Image]`) and @command(output={shown})"
        )


def _is_text(annotation: Any) -> bool:
    if annotation in (str, "str"):
        return True
    # Annotated[str, …] and NewType("Prompt", str) are str, and so is LiteralString (PEP 675).
    inner = getattr(annotation, "__origin__", None) or getattr(annotation, "__supertype__", None)
    return (inner is not None and inner is not annotation and _is_text(inner)) or (
        getattr(annotation, "_name", None) == "LiteralString"
    )


def _is_list_of_parts(annotation: Any) -> bool:
    """Whether it is a list that may hold more than text: `list[str]` is an annotation for the answer."""
    if hasattr(annotation, "__metadata__"):
        return _is_list_of_parts(annotation.__origin__)
    if annotation == Prompt:
        return True
    if getattr(annotation, "__origin__", None) not in (list, tuple, Sequence):
        return False
    kinds = [kind for kind in annotation.__args__ if kind is not ...]
    members = {member for kind in kinds for member in getattr(kind, "__args__", (kind,))}
    return members <= {str, Image, Document, CachePoint, Message} and members != {str}
