"""The cache points of a request, as codecs mark them for the prompt caches of providers."""

from __future__ import annotations

from collections.abc import Mapping

from alloy.messages import Request, User

__all__ = ["cache_points"]


def cache_points(request: Request, most: int) -> Mapping[int, tuple[int, ...]]:
    """The last *most* points: by the index of a message, after how many of its parts each one stands."""
    if request.prompt_caching is False:
        return {}
    found = [
        (index, point)
        for index, message in enumerate(request.messages)
        if isinstance(message, User)
        for point in message.cache_points
    ]
    kept: dict[int, tuple[int, ...]] = {}
    for index, point in found[-most:]:
        kept[index] = (*kept.get(index, ()), point)
    return kept
