"""The way to an Ollama server: its address, its connections, what its models can do, and its lines.

The address, the key and the headers are the SDK's, asked of it through its documented keyword
arguments for httpx. The requests go through httpx, the SDK's own HTTP library, and not through its
`chat`, for that would (versions 0.5 and 0.6)

- strip a tool's parameters to `type`, `items`, `description` and `enum`. A subclass of `ollama.Tool` with
  more fields loses them as well, or has pydantic warn at every call, for `ChatRequest` serialises by
  the declared type;
- refuse the keys of `extra` that it does not know, and leave out what is empty, a tool's result too;
- split the answer's lines at U+0085, U+2028 and U+2029, which JSON text may hold as they are;
- drop the ids of tool calls, fail with `AttributeError` on some error bodies, and know no timeout for a
  single request.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncGenerator, Callable, Generator, Hashable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

from alloy.backends.base import BaseBackend, CancelToken, import_sdk
from alloy.backends.http.clients import CLIENTS, CLIENTS_MAX
from alloy.backends.http.exchange import checked_key
from alloy.backends.http.single_flight import Once
from alloy.backends.http.transport import (
    bad_reply,
    cuttable,
    drain,
    drain_async,
    parse_json,
    sendable,
    transport_error,
)
from alloy.backends.ollama.errors import ADDRESS, error_text, not_running, response_error
from alloy.errors import AlloyError, ConfigurationError, UnsupportedError
from alloy.messages import Endpoint

__all__ = ["OllamaDoor", "Settings", "address", "find_host", "read_settings"]

log = logging.getLogger("alloy")

DEFAULT_HOST = "127.0.0.1:11434"
CHAT, SHOW = "/api/chat", "/api/show"
KNOWN_MAX = 1024  # models whose abilities are remembered


_AN_ADDRESS = "write host:port, or a URL that begins with http:// or https://"

# --- settings and clients -----------------------------------------------------------------------------


class Settings(NamedTuple):
    """All that tells one client from another."""

    host: str
    api_key: str
    source: str

    def __repr__(self) -> str:
        return "Settings(…)"  # an address may hold secrets too


def read_settings(endpoint: Endpoint) -> Settings:
    """Where and as whom to call: *endpoint*, else the variables as they are now.

    Raises `ConfigurationError` for a key that no header can carry.
    """
    host, source = find_host(endpoint)
    key = endpoint.api_key or os.environ.get("OLLAMA_API_KEY", "").strip()
    return Settings(host, checked_key("Ollama", key), source)


def find_host(endpoint: Endpoint) -> tuple[str, str]:
    """The address as it was given, and who gave it."""
    if endpoint.base_url:
        return endpoint.base_url, "base_url"
    if host := os.environ.get("OLLAMA_HOST", "").strip():
        return host, "OLLAMA_HOST"
    return DEFAULT_HOST, "the default, as OLLAMA_HOST is not set"


class Client(NamedTuple):
    """A pool of connections with the address and the headers to use it with."""

    pool: Any
    url: str
    headers: dict[str, str]
    source: str

    def request(self, path: str, body: Mapping[str, Any], timeout: float | None) -> Any:
        """The request that posts *body*. Raises `ConfigurationError` for what JSON cannot say."""
        import httpx

        with sendable("ollama", body):
            content = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        # Not by the pool's `build_request`, which merges settings of which this pool has none.
        phases = dict.fromkeys(("connect", "read", "write", "pool"), timeout)
        return httpx.Request(
            "POST", self.url + path, headers=self.headers, content=content, extensions={"timeout": phases}
        )


def _sdk() -> ModuleType:
    """The SDK, imported on first use, for that takes half a second."""
    httpx = import_sdk("httpx", extra="ollama")
    try:
        return import_sdk("ollama", extra="ollama")
    except (ValueError, httpx.InvalidURL) as error:  # it makes a client while it is imported
        raise ConfigurationError(f"OLLAMA_HOST is no address: {_AN_ADDRESS}") from error


@lru_cache(maxsize=CLIENTS_MAX)
def address(settings: Settings) -> tuple[str, dict[str, str]]:
    """The URL and the headers that the SDK would use. Raises `ConfigurationError` for what is no address."""
    sdk = _sdk()
    import httpx

    caught: list[httpx.Request] = []

    def catch(request: httpx.Request) -> httpx.Response:
        caught.append(request)
        return httpx.Response(200, json={"models": []})

    key = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    try:
        # This transport sends nothing: it only shows what the SDK makes of its settings.
        transport = httpx.MockTransport(catch)
        sdk.Client(settings.host, transport=transport, trust_env=False, headers=key).list()
    except (ValueError, httpx.InvalidURL) as error:
        raise ConfigurationError(f"{settings.source} is no address: {_AN_ADDRESS}") from error
    headers = {name: value for name, value in caught[0].headers.items() if name != "host"}
    return str(caught[0].url).removesuffix("/api/tags"), headers


class _Maker:
    def pool_class(self, *, is_async: bool) -> Any:
        _sdk()
        import httpx

        return httpx.AsyncClient if is_async else httpx.Client

    def client(self, settings: Settings, pool: Any, *, is_async: bool) -> Client:
        return Client(pool, *address(settings), settings.source)


OLLAMA = _Maker()


# --- the door -----------------------------------------------------------------------------------------


class OllamaDoor(BaseBackend):
    """The I/O of the native API. What a server said its models can do is remembered for the process."""

    name = "ollama"
    key_variables = ("OLLAMA_API_KEY",)

    def __init__(self) -> None:
        self._abilities: dict[tuple[str, str], frozenset[str] | None] = {}
        self._once = Once()

    def load(self) -> None:
        """Import the SDK. Raises `ConfigurationError` with the install line when it is not there."""
        _sdk()

    def address(self, endpoint: Endpoint) -> str:
        """Where requests would go now."""
        return find_host(endpoint)[0]

    def send(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Any:
        """Send *body*; give back the parsed answer. Raises `BadReplyError` for one that is no JSON object.

        Asks the server first, once per model, when *body* needs what not every model can do.
        Raises `UnsupportedError` for a model without tools, `ConfigurationError` for one that sees no images.
        """
        client = CLIENTS.get(OLLAMA, read_settings(endpoint))
        with _reaching(client), cuttable(cancel):
            response = self._post(client, body, endpoint.timeout)
            try:
                return _whole(response, response.read())
            finally:
                response.close()

    async def send_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> Any:
        """As `send`. Cancelling it closes the connection."""
        client = await CLIENTS.get_async(OLLAMA, read_settings(endpoint))
        with _reaching(client):
            response = await self._post_async(client, body, endpoint.timeout)
            try:
                return _whole(response, await response.aread())
            finally:
                await response.aclose()

    def open(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken
    ) -> Generator[Any, None, None]:
        """Send *body* as a streamed request and yield its lines. Closing it closes the connection."""
        client = CLIENTS.get(OLLAMA, read_settings(endpoint))
        with _reaching(client), cuttable(cancel):
            response = self._post(client, {**body, "stream": True}, endpoint.timeout)
        try:
            lines = _Lines(response)
            chunks = response.iter_bytes()
            for chunk in chunks:
                yield from lines.feed(chunk)
                if lines.done:
                    return drain(response, chunks)
            yield from lines.finish()
        finally:
            response.close()

    async def open_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> AsyncGenerator[Any, None]:
        """As `open`."""
        client = await CLIENTS.get_async(OLLAMA, read_settings(endpoint))
        with _reaching(client):
            response = await self._post_async(client, {**body, "stream": True}, endpoint.timeout)
        try:
            lines = _Lines(response)
            async with aclosing(response.aiter_bytes()) as chunks:
                async for chunk in chunks:
                    for event in lines.feed(chunk):
                        yield event
                    if lines.done:
                        await drain_async(chunks)
                        return
            for event in lines.finish():
                yield event
        finally:
            await response.aclose()

    def explain(self, error: Exception) -> AlloyError | None:
        """*error* in Alloy's terms, or `None` when it does not come from the transport."""
        return transport_error(self.name, error, ADDRESS)

    def _post(self, client: Client, body: Mapping[str, Any], timeout: float | None) -> Any:
        """The response to *body*, unread."""
        wants = _wants(body)
        if wants:
            known, place = self._asked(client, body)

            def ask() -> None:
                answer = client.pool.send(_question(client, body, timeout))
                self._note(client, body, answer)

            self._once.run(place, known, ask, timeout)
        request = client.request(CHAT, self._fitted(client, body, wants), timeout)
        response = client.pool.send(request, stream=True)
        if not response.is_success:
            try:
                content = response.read()
            finally:
                response.close()
            raise response_error(self.name, response, content, client.url)
        return response

    async def _post_async(self, client: Client, body: Mapping[str, Any], timeout: float | None) -> Any:
        wants = _wants(body)
        if wants:
            known, place = self._asked(client, body)

            async def ask() -> None:
                answer = await client.pool.send(_question(client, body, timeout))
                self._note(client, body, answer)

            await self._once.run_async(place, known, ask, timeout)
        request = client.request(CHAT, self._fitted(client, body, wants), timeout)
        response = await client.pool.send(request, stream=True)
        if not response.is_success:
            try:
                content = await response.aread()
            finally:
                await response.aclose()
            raise response_error(self.name, response, content, client.url)
        return response

    def _asked(self, client: Client, body: Mapping[str, Any]) -> tuple[Callable[[], bool], Hashable]:
        """Whether the server has told of the model by now, and where one call asks for all."""
        model = client.url, body["model"]
        return lambda: model in self._abilities, (client.pool, *model)

    def _note(self, client: Client, body: Mapping[str, Any], answer: Any) -> None:
        """Remember what `/api/show` said; `None` where there is no such thing, as on older servers."""
        absent = answer.status_code in (404, 405) and not error_text(answer.content).startswith("model")
        if answer.status_code != 200 and not absent:
            return  # a missing model, a wrong key, a busy server: `/api/chat` tells, and it may change
        if len(self._abilities) >= KNOWN_MAX:
            self._abilities.clear()
        self._abilities[client.url, body["model"]] = _capabilities(answer.content)

    def _fitted(self, client: Client, body: Mapping[str, Any], wants: frozenset[str]) -> Mapping[str, Any]:
        """*body* as its model can take it."""
        model = body["model"]
        can = self._abilities.get((client.url, model))
        lacks = wants - can if can is not None else frozenset()
        if "tools" in lacks:
            raise UnsupportedError(
                f"{model} does not support tools, says the server: it has {', '.join(sorted(can or ()))}",
                feature="tools",
                provider=self.name,
            )
        if "vision" in lacks:
            raise ConfigurationError(
                f"{self.name}:{model} takes no images: choose a model whose `ollama show` lists vision"
            )
        if "thinking" in lacks:
            log.debug("%s:%s does not think; reasoning_effort is left out", self.name, model)
            return {key: value for key, value in body.items() if key != "think"}
        return body


@contextmanager
def _reaching(client: Client) -> Iterator[None]:
    """Say which address was tried and how to start a server there, when nobody listens at it."""
    import httpx

    try:
        yield
    except httpx.ConnectError as error:
        raise not_running("ollama", client.url, error, client.source) from error


# --- what a model can do ------------------------------------------------------------------------------


def _wants(body: Mapping[str, Any]) -> frozenset[str]:
    """What *body* needs that not every model has, in the words of `/api/show`."""
    needs = {
        "tools": bool(body.get("tools")),
        "vision": any(message.get("images") for message in body["messages"]),
        "thinking": bool(body.get("think")),
    }
    return frozenset(name for name, needed in needs.items() if needed)


def _question(client: Client, body: Mapping[str, Any], timeout: float | None) -> Any:
    return client.request(SHOW, {"model": body["model"]}, timeout)


def _capabilities(content: bytes) -> frozenset[str] | None:
    try:
        named = parse_json(content)["capabilities"]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return frozenset(map(str, named)) if isinstance(named, list) and named else None


# --- whole answers and lines ----------------------------------------------------------------------------


def _whole(response: Any, content: bytes) -> Any:
    try:
        raw = parse_json(content)
    except ValueError as error:
        raise bad_reply("ollama", "the answer is no JSON", response, content) from error
    return _checked(raw, response, content)


def _checked(raw: Any, response: Any, content: bytes) -> Any:
    if not isinstance(raw, dict):
        raise bad_reply("ollama", "the answer is no JSON object", response, content)
    if raw.get("error"):
        return {**raw, "error": error_text(content, response.request)}  # it may repeat the key
    return raw


class _Lines:
    """Reads lines of JSON out of a body's bytes, however they are cut. Only a line feed ends a line."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._pieces: list[bytes] = []  # of an unfinished line
        self._some = False
        self.done = False

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """Take the body's next bytes and yield the lines that end in them, parsed."""
        if b"\n" not in chunk:
            self._pieces.append(chunk)  # joined only at a line's end: a long line costs no more than a short
            return
        *whole, rest = b"".join([*self._pieces, chunk]).split(b"\n")
        self._pieces = [rest]
        for line in whole:
            yield from self._read(line)

    def finish(self) -> Iterator[Any]:
        """What the body's end leaves. Raises `BadReplyError` when there was no line at all."""
        yield from self._read(b"".join(self._pieces))
        if not self._some:
            raise bad_reply("ollama", "the answer is no stream", self._response, b"")

    def _read(self, line: bytes) -> Iterator[Any]:
        if self.done or not line.strip():
            return
        self._some = True
        try:
            event = parse_json(line)
        except ValueError as error:
            what = "a line of the stream is no JSON, or not a whole one"
            raise bad_reply("ollama", what, self._response, line) from error
        event = _checked(event, self._response, line)
        self.done = event.get("done") is True
        yield event
