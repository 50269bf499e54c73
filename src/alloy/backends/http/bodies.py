"""Small things that every codec needs: writing only what is set, and reading what may have any type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from alloy._typed.json.text import with_whole_escapes
from alloy.backends.base import Accumulator
from alloy.backends.http.payload import json_problem, parse_json
from alloy.errors import BadReplyError
from alloy.excerpts import beginning, excerpt
from alloy.jsontypes import Json, JsonObject
from alloy.messages import Reply, Request, ToolCall, ToolSchema

__all__ = [
    "FORMAT_ERRORS",
    "allowed_tools",
    "as_count",
    "as_object",
    "as_text",
    "given",
    "larger_counts",
    "merge",
    "read_events",
    "read_object",
    "with_ids",
]

T = TypeVar("T")

# --- writing a request ------------------------------------------------------------------------------


def given(fields: Mapping[str, Any]) -> JsonObject:
    """*fields* without those that are `None`: what was not set is not sent."""
    return {name: value for name, value in fields.items() if value is not None}


def merge(body: JsonObject, extra: Mapping[str, Any]) -> JsonObject:
    """*body* with *extra* over it: dicts are merged, everything else replaces what was there."""
    for key, value in extra.items():
        old = body.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping):
            value = merge(dict(old), value)
        body[key] = value
    return body


def allowed_tools(request: Request) -> list[ToolSchema]:
    """The tools of *request* that may be called: most APIs can only be told by leaving the others out."""
    names = request.allowed_tools
    return [tool for tool in request.tools if names is None or tool.name in names]


def as_object(arguments: str, key: str) -> JsonObject:
    """The *arguments* of a call as an object, which some models encode twice; other text, under *key*.

    Servers write `null`, an empty text or an empty list for none.
    """
    value: Json = arguments
    with suppress(ValueError):
        for _ in range(2):
            value = (
                parse_json(with_whole_escapes(value)) if isinstance(value, str) and value.strip() else value
            )
    if value is None or value == [] or (isinstance(value, str) and not value.strip()):
        return {}
    if not isinstance(value, dict) or json_problem(value) is not None:
        return {key: arguments}  # NaN among them, which is read but cannot be sent
    return value


def with_ids(
    made: list[JsonObject], calls: Sequence[ToolCall], key: str = "id", kind: str | None = None
) -> list[JsonObject]:
    """The items *made* from an echo, with the ids of *calls* under *key*; only those of *kind* are calls.

    The engine renames a call whose id another call has. If it did not, *made* itself is returned.
    """
    places = [place for place, item in enumerate(made) if kind is None or item.get("type") == kind]
    renamed = {
        place: call.id for place, call in zip(places, calls, strict=False) if made[place].get(key) != call.id
    }
    if not renamed:
        return made
    return [{**item, key: renamed[place]} if place in renamed else item for place, item in enumerate(made)]


# --- reading what came back -------------------------------------------------------------------------

# What an answer in an unexpected format raises when it is read: a list for an object, a number for a text.
FORMAT_ERRORS = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)


def read_object(provider: str, raw: Json, read: Callable[[JsonObject], T]) -> T:
    """What *read* returns for *raw*, an answer or an event of a stream.

    Raises `BadReplyError` when *raw* is not an object, or does not have the format that *read* expects.
    """
    if not isinstance(raw, dict):
        raise BadReplyError(
            f"the answer is not an object but {excerpt(raw, 80)}", provider=provider, transient=False
        )
    try:
        return read(raw)
    except FORMAT_ERRORS as error:
        problem = f"{type(error).__name__}: {beginning(str(error), 200)}"
        raise BadReplyError(
            f"the answer has an unexpected format ({problem}): {excerpt(raw, 200)}",
            provider=provider,
            transient=False,  # it was whole
        ) from error


def read_events(accumulator: Accumulator, events: Iterable[Json]) -> Reply:
    """The reply in the *events* of a stream that has arrived: some servers answer plain requests so."""
    for event in events:
        accumulator.feed(event)
    return accumulator.reply()


def as_text(value: Any) -> str:
    """*value* if it is a string, otherwise an empty one."""
    return value if isinstance(value, str) else ""


def as_count(value: Any) -> int:
    """*value* if it can be a number of tokens, otherwise 0; some gateways write a float, or text."""
    is_written = isinstance(value, str) and value.isdecimal() and len(value) < 19
    if is_written or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    return value if isinstance(value, int) and value > 0 else 0


def larger_counts(counts: Mapping[str, Any], new: Mapping[str, Any]) -> JsonObject:
    """Usage that a stream has sent so far, with the *new* one: of each number the larger one.

    Counts go up in a stream, and some servers end it with zeros.
    """
    merged = dict(counts)
    for key, value in new.items():
        old = merged.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            merged[key] = larger_counts(old, value)
        elif value is not None and as_count(value) >= as_count(old):
            merged[key] = value
    return merged
