"""A backend that sends nothing: its answer is a line of a batch's results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alloy.backends.base import Backend, CancelToken
from alloy.backends.batches import BatchLine
from alloy.backends.fallback.wrapper import Wrapper
from alloy.endpoints import Endpoint
from alloy.errors import BadReplyError, BadRequestError, ProviderError, UnsupportedError
from alloy.jsontypes import JsonObject
from alloy.messages import Request

__all__ = ["Answered"]


class Answered(Wrapper):
    """A backend that sends nothing: its answer is *line*, which `inner` decodes."""

    may_ignore = False
    has_connections = False

    def __init__(self, inner: Backend, line: BatchLine) -> None:
        super().__init__(inner)
        self._line = line
        self._was_asked = False

    def __getattr__(self, name: str) -> Any:
        if name == "load":  # there is nothing to load
            raise AttributeError(name)
        return getattr(self.inner, name)

    def encode(self, request: Request) -> JsonObject:
        """Nothing: the request was sent long ago."""
        return {}

    def send(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Any:
        """The answer, once. Raises the error of the line."""
        if self._was_asked:  # after a call of a tool, or a turn that the provider paused
            raise BadReplyError(
                "the model asked for another turn, which a batch does not have: make a single call",
                provider=self.name,
                transient=False,
            )
        self._was_asked, error = True, self._line.error
        if isinstance(error, UnsupportedError):  # after which a conversation would ask in another way
            text = f'{error}; a batch cannot ask again: use output_mode="prompted", or single calls'
            raise _copied(BadRequestError, error, text) from error
        if error is not None:
            raise error
        return self._line.answer

    async def send_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> Any:
        """As `send`."""
        return self.send(body, endpoint, CancelToken())


def _copied(kind: type[ProviderError], error: ProviderError, text: str) -> ProviderError:
    made = kind(text, provider=error.provider, status=error.status, code=error.code)
    made.args = (text,)  # which begins with the provider
    return made
