"""The response cache as a handler: a request that was answered before gets its reply from the file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode

from alloy._engine.effects import CallModel, Effect, Emit, Handler, InThread, RunTools, Script
from alloy._engine.handlers import Counting
from alloy._engine.routes import Route
from alloy.addresses import login_in
from alloy.backends.base import model_version_of, secrets_of
from alloy.backends.fallback.choose import codec_for
from alloy.caches.cache import Cache
from alloy.errors import AnswerError, TurnLimitError
from alloy.events import CacheHit, CallFailed, FallbackTaken, Final, Reask, ReasoningDelta, Retry, TextDelta
from alloy.messages import Reply, Request

__all__ = ["request_key", "with_cache"]

FORMAT = 2  # of the keys

# Keys, what is different in each request, and what an HTTP client says of itself. By these names only: many
# gateways choose a provider or a configuration by a header whose name sounds like a key's.
_KEYS = ("authorization", "proxy-authorization", "x-api-key", "x-goog-api-key", "api-key")
_TRACES = ("traceparent", "tracestate")
_CLIENT = ("accept", "accept-encoding", "connection", "user-agent")
_KEY_PARAMETERS = ("key", "api_key", "api-key", "apikey")


def with_cache(several: Sequence[Handler], cache: Cache, *, streamed: bool) -> tuple[Handler, ...]:
    """The handlers of a scope with that of *cache*: it gets what the others send.

    Those that only count requests come after it, and do not count what was not sent.
    """
    counting = [each for each in several if isinstance(each, Counting)]
    others = [each for each in several if not isinstance(each, Counting)]
    return (*others, _Replies(cache, streamed=streamed).response_cache, *counting)


class _Replies:
    """The replies of one call, from the cache and for it.

    1. A request whose reply is stored is not sent; the reader of a stream gets the stored text.
    2. Other replies wait until the call shows that it can use them: when it runs the tools that the last one
       calls, or ends with a value. An answer that was corrected later is stored with its correction.
    3. A reply that the call could not use is not stored, or removed if it came from the cache. One that is
       re-asked stays if its correction is stored, too.
    """

    def __init__(self, cache: Cache, *, streamed: bool) -> None:
        self._cache, self._streamed = cache, streamed
        self._waiting: list[tuple[bytes, Reply]] = []
        self._secrets: set[str] = set()  # that a server may repeat
        self._last: tuple[bytes, Reply] | None = None  # the one that the call has not judged yet
        self._doubtful: list[bytes] = []  # of the cache, until their corrections are known
        self._found: list[bytes] = []  # all of the cache

    def response_cache(self, effect: Effect[Any]) -> Script[Any]:
        """The handler."""
        match effect:
            case CallModel(route, request) if not getattr(route.backend, "is_scripted", False):
                return (yield from self._answer(effect, route, request))
            case RunTools() | Emit(Final()):
                yield from self._store()
            case Emit(Retry()):
                yield from self._drop()
            case Emit(FallbackTaken()):
                self._waiting.clear()
                yield from self._drop()
            case Emit(Reask()) if self._last is not None and self._last[1].cached:
                self._doubtful.append(self._last[0])
            case Emit(CallFailed(error)) if isinstance(error, AnswerError):
                yield from self._drop()
                yield from self._remove(self._doubtful)
            case Emit(CallFailed(TurnLimitError())):  # the next try would end in the same way
                yield from self._remove(self._found)
        return (yield from effect)

    def _answer(self, effect: CallModel, route: Route, request: Request) -> Script[Reply]:
        self._keep()
        try:
            key = request_key(route, request)
        except Exception:  # noqa: BLE001 - a codec of others; sending the request raises it again
            return (yield from effect)
        found = yield from InThread(partial(self._cache.get, key))
        if found is None:
            yield from self._remove(self._doubtful)
            reply = yield from effect
            self._secrets.update(secrets_of(route.backend, route.endpoint))
        else:
            reply = found.reply
            self._found.append(key)
            yield from Emit(CacheHit(route.name, found.age))
            if self._streamed and reply.reasoning:
                yield from Emit(ReasoningDelta(reply.reasoning))
            if self._streamed and reply.text:
                yield from Emit(TextDelta(reply.text))
        self._last = key, reply
        return reply

    def _keep(self) -> None:
        """The last reply could be used."""
        if self._last is not None and not self._last[1].cached:
            self._waiting.append(self._last)
        self._last = None

    def _drop(self) -> Script[None]:
        """The last reply could not be used."""
        last, self._last = self._last, None
        if last is not None and last[1].cached:
            yield from self._remove([last[0]])

    def _remove(self, keys: list[bytes]) -> Script[None]:
        while keys:
            yield from InThread(partial(self._cache.remove, keys.pop()))

    def _store(self) -> Script[None]:
        self._keep()
        if self._waiting:
            replies, self._waiting = self._waiting, []
            yield from InThread(partial(self._cache.put, replies, self._secrets))


def request_key(route: Route, request: Request) -> bytes:
    """A digest of all that decides the answer to *request* along *route*.

    It is of the body as it is sent, the model, the backend, the address and the headers that are set, without
    keys and without the marks for the provider's own cache. Raises what the codec raises.
    """
    from pydantic_core import to_json

    plain = replace(request, prompt_caching=False)  # sends no marks
    address = route.address.address
    place = [
        *(FORMAT, route.backend.name, request.model, model_version_of(route.backend, request.model)),
        *(address and _without_keys(address), request.tool_mode, request.output_mode, _headers(route)),
        [str(client.params) for client in route.endpoint.http_client if client.params],
    ]
    hashed = sha256(json.dumps(place).encode())
    hashed.update(to_json(codec_for(route.backend, plain).encode(plain)))
    return hashed.digest()


def _without_keys(address: str) -> list[str]:
    """*address* without user, password and key."""
    before, _, after = login_in(address)
    place, _, query = after.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    kept = urlencode([pair for pair in pairs if pair[0].lower() not in _KEY_PARAMETERS])
    return [before, place.rstrip("/"), kept]


def _headers(route: Route) -> list[tuple[str, str]]:
    """The headers of the settings, of the caller's own client and of the environment, without keys."""
    own = [each for client in route.endpoint.http_client for each in client.headers.items()]
    given = [(name, value) for name, value in own if name.lower() not in _CLIENT]
    given += [(name, value) for name, value in route.endpoint.headers]
    for variable in getattr(route.backend, "key_variables", ()):
        if variable.endswith("_HEADERS"):  # one in each line
            lines = (line.partition(":") for line in os.environ.get(variable, "").splitlines())
            given += [(name.strip(), value.strip()) for name, _, value in lines]
    names = {name.lower(): value for name, value in given}
    return [(name, names[name]) for name in sorted(names) if name not in _KEYS and name not in _TRACES]
