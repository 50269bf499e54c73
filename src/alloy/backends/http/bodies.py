"""Small things that every codec needs: writing only what is set, and reading what may be anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alloy.errors import BadReplyError
from alloy.messages import ToolCall

__all__ = ["SHAPE_ERRORS", "as_count", "as_text", "foreign_shape", "given", "merge", "with_ids"]

# --- writing a request ------------------------------------------------------------------------------


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """*fields* without those that are `None`: what was not set is not sent."""
    return {name: value for name, value in fields.items() if value is not None}


def merge(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """*body* with *extra* over it: dicts are merged, everything else replaces what was there."""
    for key, value in extra.items():
        old = body.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping):
            value = merge(dict(old), value)
        body[key] = value
    return body


def with_ids(
    made: list[dict[str, Any]], calls: Sequence[ToolCall], key: str = "id", kind: str | None = None
) -> list[dict[str, Any]]:
    """The items *made* of an echo, with the ids of *calls* under *key*; only those of *kind* are calls.

    The engine renames a call whose id another call has. Where it did not, *made* itself comes back.
    """
    places = [place for place, item in enumerate(made) if kind is None or item.get("type") == kind]
    renamed = {
        place: call.id for place, call in zip(places, calls, strict=False) if made[place].get(key) != call.id
    }
    if not renamed:
        return made
    return [{**item, key: renamed[place]} if place in renamed else item for place, item in enumerate(made)]


# --- reading what came back -------------------------------------------------------------------------

# What reading an answer of a foreign shape runs into: a list for an object, a number for a text.
SHAPE_ERRORS = (AttributeError, IndexError, KeyError, TypeError, ValueError)


def foreign_shape(provider: str, raw: Any, error: Exception) -> BadReplyError:
    """The error for JSON that is not what the API says."""
    return BadReplyError(
        f"the answer is not of the API's shape ({type(error).__name__}: {error}): {raw!r:.200}",
        provider=provider,
    )


def as_text(value: Any) -> str:
    """*value* if it is a string; null and nonsense are none."""
    return value if isinstance(value, str) else ""


def as_count(value: Any) -> int:
    """*value* if it can be a number of tokens; null and nonsense are 0."""
    return value if isinstance(value, int) and value > 0 else 0
