"""Which codec encodes a request: the provider's own, or one that emulates what the model lacks."""

from __future__ import annotations

from alloy.backends.base import Backend
from alloy.messages import Request

__all__ = ["codec_for"]


def codec_for(backend: Backend, request: Request) -> Backend:
    """*backend* itself for a request in native modes, otherwise *backend* wrapped for this *request*."""
    if request.tool_mode == "native" == request.output_mode:
        return backend
    if request.tool_mode == "react":
        from alloy.backends.fallback.react import ReActBackend

        return ReActBackend(backend, request)
    from alloy.backends.fallback.prompted import PromptedBackend

    return PromptedBackend(backend)
