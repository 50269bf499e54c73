"""Which name a server has for the limit of tokens: `max_tokens`, or the newer `max_completion_tokens`.

OpenAI's models refuse the old name from o1 on, and many other servers know only that. Behind the name of an
Azure deployment, or of a gateway, may be either, so what a server refused is remembered for the process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from alloy.backends.memory import Memory
from alloy.errors import ProviderError
from alloy.jsontypes import JsonObject

__all__ = ["limit_name", "other_limit", "with_limit_name"]

OLD, NEW = "max_tokens", "max_completion_tokens"

_OPENAI_MODEL = re.compile(r"(ft:)?(gpt-(?!oss)|chatgpt-|o\d)")
_REFUSED = re.compile(
    r"unsupported|not supported|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|extra"
    r"|deprecated|invalid (parameter|field|argument)|use '?max_",
    re.IGNORECASE,
)

_wanted: Memory[tuple[str, str], str] = Memory()  # by address and model


def limit_name(model: str) -> str:
    """The name by which the limit is encoded for *model*."""
    return NEW if _OPENAI_MODEL.match(model) else OLD


def with_limit_name(body: Mapping[str, Any], address: str) -> Mapping[str, Any]:
    """*body* with the name that the server at *address* is known to want for its model."""
    wanted = _wanted.get((address, str(body.get("model"))))
    return body if wanted is None else _renamed(body, wanted)


def other_limit(body: Mapping[str, Any], error: ProviderError, address: str) -> Mapping[str, Any] | None:
    """*body* with the other name, when *error* refuses the one that it has; remembers that."""
    used = next((name for name in (OLD, NEW) if name in with_limit_name(body, address)), None)
    text = str(error)
    if used is None or error.status not in (400, 404, 422) or not re.search(rf"\b{used}\b", text):
        return None
    if not _REFUSED.search(text):
        return None
    wanted = OLD if used == NEW else NEW
    _wanted[address, str(body.get("model"))] = wanted
    return _renamed(body, wanted)


def _renamed(body: Mapping[str, Any], wanted: str) -> JsonObject:
    other = OLD if wanted == NEW else NEW
    if wanted in body or other not in body:
        return dict(body)
    return {wanted if key == other else key: value for key, value in body.items()}
