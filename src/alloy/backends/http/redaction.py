"""Removing keys from what a server repeats, and from errors before they are raised to the caller.

The engine cleans every error once more as it is raised, because codecs, which know no key, quote events
and bodies of an unexpected format. What the requests of a call carried is collected in `Endpoint.carried`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from alloy.endpoints import secrets_in
from alloy.jsontypes import Json

__all__ = ["clean", "redacted", "scrub"]

KEY_MIN = 8  # shorter ones are placeholders such as "ollama", and words that messages need

_KEY = re.compile(r"\bsk-[\w*.…-]{4,}")  # whole, or with its middle masked, as OpenAI's own 401 shows it


def redacted(text: str, request: Any = None) -> str:
    """*text* without what looks like a key, and without the secrets that *request* carried."""
    return _without(text, () if request is None else secrets_in(request.headers))


def scrub(value: Json, request: Any) -> Json:
    """JSON *value* without what `redacted` removes."""
    secrets = secrets_in(request.headers)
    return _mapped(value, lambda text: _without(text, secrets))


def clean(error: BaseException, secrets: Sequence[str]) -> None:
    """Remove *secrets*, and everything that looks like a key, from *error* and from its causes."""
    for each in _causes(error):
        each.args = tuple(_mapped(part, lambda text: _without(text, secrets)) for part in each.args)
        for name, value in each.__dict__.items():
            each.__dict__[name] = _mapped(value, lambda text: _without(text, secrets))


def _without(text: str, secrets: Iterable[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):  # one may begin with another
        if len(secret) >= KEY_MIN:
            text = _without_beginning(text.replace(secret, "[key]"), secret)
    return _KEY.sub("[key]", text)


def _without_beginning(text: str, secret: str) -> str:
    """*text* without a beginning of *secret* where the text was cut: at its end, or before an ellipsis."""
    if secret[:KEY_MIN] in text:
        for size in range(len(secret) - 1, KEY_MIN - 1, -1):
            text = text.replace(f"{secret[:size]}…", "[key]…")
            if text.endswith(secret[:size]):
                return f"{text[:-size]}[key]"
    return text


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """JSON *value* with *change* made to every text in it, the keys of objects included."""
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
