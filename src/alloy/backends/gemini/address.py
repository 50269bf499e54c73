"""Gemini's door: how a request goes out through Google's SDK, and how its answer is read off the wire.

The SDK addresses the request: host, version, path, key or Google Cloud's token, headers. It hands it to
HTTP clients of ours, which is what its options `httpx_client` and `httpx_async_client` are for. These
keep it as an envelope, whose letter we write, and whose answer we read: so both are converted once,
whatever is newer than the SDK passes through, a wait can be cut short from another thread, and a closed
stream frees its connection at once, which the SDK's own async stream does not do.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import aclosing, closing, contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from importlib import import_module
from math import ceil
from types import ModuleType
from typing import Any, NamedTuple

from alloy.backends.base import BaseBackend, CancelToken, import_sdk
from alloy.backends.gemini.errors import KEYS, NAME, explain, generation_error, response_error
from alloy.backends.gemini.replies import parted
from alloy.backends.http.clients import CLIENTS
from alloy.backends.http.exchange import checked_key, checked_url
from alloy.backends.http.redaction import scrub
from alloy.backends.http.transport import (
    EventStream,
    bad_reply,
    cuttable,
    is_json,
    json_problem,
    parse_json,
)
from alloy.errors import AlloyError, ConfigurationError
from alloy.messages import Endpoint

__all__ = ["GeminiDoor"]


def gemini_sdk() -> ModuleType:
    """The SDK, imported on first use, for that takes a second."""
    return import_sdk("google.genai", extra="gemini")


# --- envelopes ----------------------------------------------------------------------------------------

ENVELOPES_MAX = 64  # per client: bounds what made-up names of models leave behind

_caught: ContextVar[list[Any]] = ContextVar("alloy_gemini_caught")


@lru_cache(maxsize=1)
def _pool_classes() -> tuple[Any, Any]:
    """HTTP clients on the library that the SDK stands on: httpx2 from its version 3 on, else httpx.

    What the SDK sends through them is caught, and answered with nothing; `deliver` really sends.
    """
    name = os.environ.get("GOOGLE_GENAI_HTTP_CLIENT", "").strip().lower()
    if name not in ("httpx", "httpx2"):
        name = "httpx" if gemini_sdk().__version__.startswith(("1.", "2.")) else "httpx2"
    library: Any = import_module(name)
    client, async_client = library.Client, library.AsyncClient
    usual = {
        "limits": library.Limits(max_connections=1000, max_keepalive_connections=100),
    }

    def catch(request: Any) -> Any:
        _caught.get().append(request)
        return library.Response(200, content=b"", request=request)

    class Pool(client):  # type: ignore[misc, valid-type]
        def __init__(self, **options: Any) -> None:
            super().__init__(**{**usual, **options})

        def send(self, request: Any, **_: Any) -> Any:
            return catch(request)

        def deliver(self, envelope: Any, content: bytes, timeout: float | None) -> Any:
            timeouts = library.Timeout(timeout).as_dict()
            return super().send(_filled(envelope, content, timeout, timeouts), stream=True)

    class AsyncPool(async_client):  # type: ignore[misc, valid-type]
        def __init__(self, **options: Any) -> None:
            super().__init__(**{**usual, **options})

        async def send(self, request: Any, **_: Any) -> Any:
            return catch(request)

        async def deliver(self, envelope: Any, content: bytes, timeout: float | None) -> Any:
            timeouts = library.Timeout(timeout).as_dict()
            return await super().send(_filled(envelope, content, timeout, timeouts), stream=True)

    Pool.idle = staticmethod(lambda: Pool(transport=library.BaseTransport(), trust_env=False))
    AsyncPool.idle = staticmethod(lambda: AsyncPool(transport=library.AsyncBaseTransport(), trust_env=False))
    return Pool, AsyncPool


def _filled(envelope: Any, content: bytes, timeout: float | None, timeouts: Mapping[str, Any]) -> Any:
    """A request with the address and headers of *envelope* that says *content*."""
    headers = {**envelope.headers, "content-length": str(len(content))}
    if timeout is not None:
        headers["x-server-timeout"] = str(ceil(timeout))  # as the SDK tells it
    return type(envelope)(
        envelope.method, envelope.url, headers=headers, content=content, extensions={"timeout": timeouts}
    )


class _Client:
    """An SDK client, the pool that it sends through, and the envelopes that it has addressed."""

    def __init__(self, sdk: Any, pool: Any) -> None:
        self._sdk, self.pool = sdk, pool  # both are kept: the SDK's ends with the last who holds it
        self._envelopes: dict[tuple[str, bool], Any] = {}

    def envelope(self, model: str, *, streamed: bool) -> Any:
        """An addressed request to *model*. Raises `ConfigurationError` for a name that fits in no address."""
        found = self._envelopes.get((model, streamed))
        if found is None:
            models = self._sdk.models
            with _catching() as caught:
                if streamed:
                    list(models.generate_content_stream(model=model, **_placeholders(streamed)))
                else:
                    models.generate_content(model=model, **_placeholders(streamed))
            found = self._kept(caught, model, streamed)
        return found

    async def envelope_async(self, model: str, *, streamed: bool) -> Any:
        """As `envelope`."""
        found = self._envelopes.get((model, streamed))
        if found is None:
            models = self._sdk.aio.models
            with _catching() as caught:
                if streamed:
                    chunks = await models.generate_content_stream(model=model, **_placeholders(streamed))
                    _ = [chunk async for chunk in chunks]
                else:
                    await models.generate_content(model=model, **_placeholders(streamed))
            found = self._kept(caught, model, streamed)
        return found

    def _kept(self, caught: list[Any], model: str, streamed: bool) -> Any:
        (envelope,) = caught
        if "authorization" not in envelope.headers:  # a token soon expires, a key is the client's own
            if len(self._envelopes) >= ENVELOPES_MAX:
                self._envelopes.clear()
            self._envelopes[model, streamed] = envelope
        return envelope


@contextmanager
def _catching() -> Iterator[list[Any]]:
    caught: list[Any] = []
    before = _caught.set(caught)
    try:
        yield caught
    except ValueError as error:
        raise ConfigurationError(f"{NAME}: the request cannot be sent: {error}") from error
    finally:
        _caught.reset(before)


@lru_cache(maxsize=2)
def _placeholders(streamed: bool) -> dict[str, Any]:
    """What the SDK is told: nothing of the request, and to do nothing by itself, as far as it would."""
    types = gemini_sdk().types
    off = {"automatic_function_calling": {"disable": True}, "automatic_continuation": False}
    off = {name: value for name, value in off.items() if name in types.GenerateContentConfig.model_fields}
    config = types.GenerateContentConfig(**off, should_return_http_response=not streamed)
    return {"contents": "-", "config": config}


# --- settings and clients -----------------------------------------------------------------------------

# What the SDK reads when a client is made, beside keys.
_ENVIRONMENT = (
    "GOOGLE_GENAI_USE_ENTERPRISE",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_GENAI_API_VERSION",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_VERTEX_BASE_URL",
    "GOOGLE_APPLICATION_CREDENTIALS",
)


class Settings(NamedTuple):
    """All that tells one SDK client from another, what the SDK reads from the environment included."""

    api_key: str | None
    base_url: str | None
    environment: tuple[str | None, ...]

    def __repr__(self) -> str:
        return "Settings(…)"  # a key, and an address that may hold one


class _Maker:
    def pool_class(self, *, is_async: bool) -> Any:
        return _pool_classes()[is_async]

    def client(self, settings: Settings, pool: Any, *, is_async: bool) -> Any:
        # The SDK makes a client of the other colour too, and TLS contexts for it and for web sockets: an
        # idle pool and a placeholder spare them.
        other = _pool_classes()[not is_async].idle()
        options = {
            "base_url": settings.base_url,
            "httpx_client": other if is_async else pool,
            "httpx_async_client": pool if is_async else other,
            "async_client_args": {"ssl": True},
        }
        try:
            sdk = gemini_sdk().Client(api_key=settings.api_key, http_options=options)
        except ValueError as error:
            raise ConfigurationError(f"{NAME}: {error}") from error
        return _Client(sdk, pool)


GEMINI = _Maker()


def read_settings(endpoint: Endpoint) -> Settings:
    """What *endpoint* says, else what the environment says now.

    Raises `ConfigurationError` for a missing key, and for a key or an address that no request can carry.
    """
    env = os.environ.get
    key = endpoint.api_key
    if not _on_cloud():
        key = key or env("GOOGLE_API_KEY") or env("GEMINI_API_KEY")
        if not key:
            raise ConfigurationError(
                f"no key for Gemini: set {KEYS} or configure(api_key=…), use Google Cloud with "
                "GOOGLE_GENAI_USE_ENTERPRISE=true, or run offline with ALLOY_BACKEND=fake"
            )
    base_url = endpoint.base_url or env("GOOGLE_GEMINI_BASE_URL")
    if base_url:
        checked_url(base_url, "https://host, without the API's version")
    cloud_keys = ("GOOGLE_API_KEY", "GEMINI_API_KEY") if key is None else ()
    environment = tuple(env(name) for name in (*_ENVIRONMENT, *cloud_keys))
    return Settings(checked_key("Gemini", key.strip()) if key else None, endpoint.base_url, environment)


def _on_cloud() -> bool:
    """Whether the SDK will go to Google Cloud, where credentials come from elsewhere."""
    for name in ("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI"):
        if (said := os.environ.get(name)) is not None:
            return said.lower() in ("true", "1")
    return False


# --- the door -----------------------------------------------------------------------------------------


class GeminiDoor(BaseBackend):
    """The I/O of the backend."""

    name = NAME
    key_variables = ("GOOGLE_API_KEY", "GEMINI_API_KEY")

    def load(self) -> None:
        """Import the SDK. Raises `ConfigurationError` with the install line when it is not there."""
        gemini_sdk()

    def address(self, endpoint: Endpoint) -> str:
        """Where requests would go now; on Google Cloud by its own variables, as the SDK reads them."""
        env = os.environ.get
        if not _on_cloud():
            return endpoint.base_url or env("GOOGLE_GEMINI_BASE_URL") or "developer"
        place = f"cloud {env('GOOGLE_CLOUD_PROJECT')} {env('GOOGLE_CLOUD_LOCATION')}"
        return endpoint.base_url or env("GOOGLE_VERTEX_BASE_URL") or place

    def send(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Any:
        """Send *body*; give back the parsed answer. Raises `BadReplyError` for one that is no JSON object."""
        with closing(_post(body, endpoint, cancel, streamed=False)) as response:
            return _whole(response, response.read())

    async def send_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> Any:
        """As `send`. Cancelling it closes the connection."""
        async with aclosing(await _post_async(body, endpoint, streamed=False)) as response:
            return _whole(response, await response.aread())

    def open(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken
    ) -> Generator[Any, None, None]:
        """Send *body* as a streamed request and yield its chunks. Closing it closes the connection."""
        with closing(_post(body, endpoint, cancel, streamed=True)) as response:
            if is_json(response):
                _whole(response, response.read(), streamed=True)
            events = EventStream(NAME, response)
            for piece in response.iter_bytes():
                for chunk in events.feed(piece):
                    yield from parted(chunk)
            _finish(events)

    async def open_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> AsyncGenerator[Any, None]:
        """As `open`."""
        async with aclosing(await _post_async(body, endpoint, streamed=True)) as response:
            if is_json(response):
                _whole(response, await response.aread(), streamed=True)
            events = EventStream(NAME, response)
            async with aclosing(response.aiter_bytes()) as pieces:
                async for piece in pieces:
                    for chunk in events.feed(piece):
                        for part in parted(chunk):
                            yield part
            _finish(events)

    def explain(self, error: Exception) -> AlloyError | None:
        """*error* in Alloy's terms, or `None` when it comes from neither the SDK nor its transport."""
        return explain(error)


def _post(body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken, *, streamed: bool) -> Any:
    """The answer to *body*, unread, with status 200. Raises `ProviderError` for any other status."""
    client, content = CLIENTS.get(GEMINI, read_settings(endpoint)), _written(body)
    envelope = client.envelope(str(body.get("model")), streamed=streamed)
    with cuttable(cancel):
        response = client.pool.deliver(envelope, content, endpoint.timeout)
    if response.status_code == 200:
        return response
    with closing(response):
        raise response_error(response, response.read())


async def _post_async(body: Mapping[str, Any], endpoint: Endpoint, *, streamed: bool) -> Any:
    """As `_post`."""
    client, content = await CLIENTS.get_async(GEMINI, read_settings(endpoint)), _written(body)
    envelope = await client.envelope_async(str(body.get("model")), streamed=streamed)
    response = await client.pool.deliver(envelope, content, endpoint.timeout)
    if response.status_code == 200:
        return response
    async with aclosing(response):
        raise response_error(response, await response.aread())


def _written(body: Mapping[str, Any]) -> bytes:
    """*body* without its model, as JSON. Raises `ConfigurationError` that says where it cannot be."""
    from pydantic_core import to_json

    said = {key: value for key, value in body.items() if key != "model"}
    try:
        content, problem = to_json(said), None
    except ValueError as error:
        content, problem = b"", str(error)
    if problem or _NO_NUMBERS.search(content):
        problem = json_problem(said) or problem
    if problem:
        raise ConfigurationError(f"{NAME}: the request cannot be sent: {problem}")
    return content


_NO_NUMBERS = re.compile(rb"NaN|Infinity")  # written although they are no JSON; texts hold them too


def _whole(response: Any, content: bytes, *, streamed: bool = False) -> Any:
    try:
        raw = parse_json(content)
    except ValueError as error:
        raise bad_reply(NAME, "the answer is no JSON", response, content) from error
    if isinstance(raw, list) and len(raw) == 1:
        (raw,) = raw  # as a failed stream has it
    if not isinstance(raw, dict):
        raise bad_reply(NAME, "the answer is no JSON object", response, content)
    if raw.get("error"):
        raise generation_error(scrub(raw["error"], response.request))
    if streamed:
        raise bad_reply(NAME, "the answer is whole, not a stream as asked", response, content)
    return raw


def _finish(events: EventStream) -> None:
    """Raise what the stream says beside its events: Google reports some failures as bare JSON."""
    with suppress(ValueError):
        rest = parse_json(events.rest())
        said = rest[0] if isinstance(rest, list) and rest else rest
        if isinstance(said, dict) and said.get("error"):
            raise generation_error(said["error"])
    events.finish()
