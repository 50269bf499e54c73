"""Keeping keys out of errors: out of what a server repeats, and out of what is raised in the end.

The engine cleans every error once more as it is raised, for events and bodies of a foreign shape are read
by codecs, which know no key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["clean", "redacted", "scrub"]

KEY_MIN = 8  # shorter ones are placeholders such as "ollama", and words that messages need

_KEY_HEADERS = ("authorization", "api-key", "x-api-key", "x-goog-api-key")
_KEY = re.compile(r"\bsk-[\w*.…-]{4,}")  # whole, or with its middle masked, as OpenAI's own 401 shows it


def redacted(text: str, request: Any = None) -> str:
    """*text* without what looks like a key, and without the key that *request* carried."""
    names = () if request is None else _KEY_HEADERS
    return _without(text, [request.headers.get(name, "").removeprefix("Bearer ") for name in names])


def scrub(value: Any, request: Any) -> Any:
    """JSON *value* without the key that *request* carried."""
    return _mapped(value, lambda text: redacted(text, request))


def clean(error: BaseException, secrets: Sequence[str]) -> None:
    """Remove *secrets*, and everything that looks like a key, from *error* and from its causes."""
    for each in _causes(error):
        each.args = tuple(_mapped(part, lambda text: _without(text, secrets)) for part in each.args)
        for name, value in each.__dict__.items():
            each.__dict__[name] = _mapped(value, lambda text: _without(text, secrets))


def _without(text: str, keys: Sequence[str]) -> str:
    for key in sorted(keys, key=len, reverse=True):  # a key may begin with another
        if len(key) >= KEY_MIN:
            text = text.replace(key, "[key]")
    return _KEY.sub("[key]", text)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """JSON *value* with *change* made to every text in it, keys of objects included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_mapped(name, change): _mapped(item, change) for name, item in value.items()}
    return [_mapped(item, change) for item in value] if isinstance(value, list) else value


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        hidden = error.__context__ if error.__suppress_context__ else None  # debuggers show it nevertheless
        error = error.__cause__ or hidden
