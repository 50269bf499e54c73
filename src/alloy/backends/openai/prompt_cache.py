"""OpenAI's prompt cache: it caches every prompt, and models from gpt-5.6 take marks, too.

Facts are from https://developers.openai.com/api/docs/guides/prompt-caching, as the SDK 3.54 repeats them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from alloy.backends.cache_points import cache_points
from alloy.jsontypes import JsonObject
from alloy.media import Media
from alloy.messages import Request, User

__all__ = ["cache_options", "user_content"]

MAX_MARKS = 3  # that one request writes, next to the one that OpenAI chooses
_VERSION = re.compile(r"gpt-(\d+)(?:\.(\d+))?(?![\d.])")


def user_content(
    request: Request, part: Callable[[str | Media], JsonObject]
) -> Callable[[int, User], str | list[JsonObject]]:
    """What gives the content of the user's messages, with their index, in the form that *part* gives."""
    points = cache_points(request, MAX_MARKS) if _takes_marks(request.model) else {}

    def content(index: int, message: User) -> str | list[JsonObject]:
        marked: Sequence[int] = points.get(index, ())
        if isinstance(message.content, str) and not marked:
            return message.content
        parts = [part(each) for each in message.parts]
        for count in marked:
            parts[count - 1]["prompt_cache_breakpoint"] = {"mode": "explicit"}
        return parts

    return content


def cache_options(request: Request) -> JsonObject:
    """What the body says of how long a prompt stays in the cache; Chat Completions have one lifetime."""
    if request.prompt_caching != "long" or not _takes_marks(request.model):
        return {}
    return {"prompt_cache_options": {"ttl": "12h"}}


def _takes_marks(model: str) -> bool:
    found = _VERSION.match(model)
    return found is not None and (int(found[1]), int(found[2] or 0)) >= (5, 6)
