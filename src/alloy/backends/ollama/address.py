"""How an Ollama server is reached: its address, its key, and what its models support.

The address, the key and the headers are the SDK's, asked for through its documented keyword arguments for
httpx. The requests are not sent by its `chat`, because that would (versions 0.5 and 0.6)

- strip a tool's parameters to `type`, `items`, `description` and `enum`. A subclass of `ollama.Tool` with
  more fields loses them as well, or makes pydantic warn at every call, because `ChatRequest` serialises by
  the declared type;
- refuse the keys of `extra` that it does not know, and leave out what is empty, a tool's result too;
- split the answer's lines at U+0085, U+2028 and U+2029, which JSON text may contain;
- drop the ids of tool calls, fail with `AttributeError` on some error bodies, and have no timeout for a
  single request.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

from alloy.addresses import address_problem, split_address
from alloy.backends.base import CancelToken, import_sdk
from alloy.backends.http import formats
from alloy.backends.http.backend import HttpBackend
from alloy.backends.http.body import Body
from alloy.backends.http.cancel import closing_async
from alloy.backends.http.clients import BOOKS_MAX, Address, AddressBook, Sdk
from alloy.backends.http.errors import ErrorBody
from alloy.backends.http.event_stream import JsonLines
from alloy.backends.http.exchange import HttpExchange
from alloy.backends.http.payload import json_or_text, parse_json, written
from alloy.backends.http.received import Received
from alloy.backends.http.settings import (
    checked_key,
    refuse_fragment,
    without_query,
)
from alloy.backends.http.single_flight import SingleFlight
from alloy.backends.memory import Memory
from alloy.backends.ollama.errors import ERRORS, not_running
from alloy.endpoints import Endpoint, without_credentials
from alloy.errors import AlloyError, ConfigurationError, UnsupportedError
from alloy.jsontypes import Json, JsonObject
from alloy.logger import log

__all__ = [
    "OLLAMA",
    "OllamaHttpBackend",
    "Settings",
    "find_host",
    "read_settings",
    "server_url",
    "with_scheme",
]

LOCALHOST, PORT = "127.0.0.1", 11434
DEFAULT_HOST = f"{LOCALHOST}:{PORT}"
CHAT, SHOW = "/api/chat", "/api/show"
SHOWN_MAX = 10_000_000  # bytes of what `/api/show` says

_AN_ADDRESS = "write host:port, or a URL that begins with http:// or https://"

# --- settings -----------------------------------------------------------------------------------------


class Settings(NamedTuple):
    """Everything that decides the address."""

    host: str
    api_key: str
    source: str

    def __repr__(self) -> str:
        return "Settings(…)"  # an address may hold secrets, too


def read_settings(endpoint: Endpoint) -> Settings:
    """The server and the key: what *endpoint* says, or else the variables as they are now.

    Raises `ConfigurationError` for a key that no header can carry, and for what is not an address.
    """
    host, source = find_host(endpoint)
    refuse_fragment(host, source)
    if (problem := address_problem(host, needs_host=False)) is not None:
        raise _not_an_address(source, host, problem)
    key = endpoint.key or os.environ.get("OLLAMA_API_KEY", "").strip()
    return Settings(host, checked_key("Ollama", key), source)


def find_host(endpoint: Endpoint) -> tuple[str, str]:
    """The address as it was given, and where it comes from."""
    if endpoint.base_url:
        return endpoint.base_url, "base_url"
    if host := os.environ.get("OLLAMA_HOST", "").strip():
        return host, "OLLAMA_HOST"
    return DEFAULT_HOST, "the default, as OLLAMA_HOST is not set"


def with_scheme(host: str) -> str:
    """The address *host* as a URL, which the SDK makes of it, if it can be one."""
    if "://" in host or address_problem(host, needs_host=False) is not None:
        return host
    parts = split_address(host)
    name = parts.hostname or LOCALHOST
    place = f"[{name}]" if ":" in name else name
    return f"http://{place}:{parts.port or PORT}{parts.path}"


# --- the SDK ------------------------------------------------------------------------------------------


class OllamaSdk(Sdk):
    """The package ollama, which passes keyword arguments on to httpx."""

    answer = b'{"models": []}'

    def library(self) -> ModuleType:
        """httpx; the SDK is imported with it, on first use because that takes half a second."""
        httpx = import_sdk("httpx", extra="ollama")
        try:
            import_sdk("ollama", extra="ollama")
        except (ValueError, httpx.InvalidURL) as error:  # it makes a client while it is imported
            raise _not_an_address("OLLAMA_HOST", os.environ.get("OLLAMA_HOST", "")) from error
        return httpx

    def pool(self, *, is_async: bool, **options: Any) -> Any:
        """A client of httpx as the SDK makes it."""
        library: Any = self.library()
        return (library.AsyncClient if is_async else library.Client)(**options)

    def client(self, settings: Settings, transport: Any, *, is_async: bool) -> Any:
        """An SDK client, with the key as the header that the SDK would add from its variable."""
        library: Any = self.library()
        sdk = import_sdk("ollama", extra="ollama")
        key = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        make = sdk.AsyncClient if is_async else sdk.Client
        try:
            return make(without_query(settings.host), transport=transport, trust_env=False, headers=key)
        except (ValueError, library.InvalidURL) as error:
            raise _not_an_address(settings.source, settings.host) from error

    def ask(self, client: Any, target: Any) -> object:
        """List the models: the shortest question. All paths have the same address."""
        return client.list()

    async def ask_async(self, client: Any, target: Any) -> object:
        """As `ask`."""
        return await client.list()

    def base_url(self, settings: Settings) -> str:
        """The address as it was given."""
        return settings.host

    def url(self, recorded: Any, target: str) -> Any:
        """The address of the path *target* on the same server."""
        return type(recorded)(str(recorded).removesuffix("/api/tags") + target)


OLLAMA = OllamaSdk()


def _not_an_address(setting: str, value: str, problem: str = "") -> ConfigurationError:
    shown, why = without_credentials(value), f", because {problem}" if problem else ""
    return ConfigurationError(f"{setting} is not an address{why}: {_AN_ADDRESS}, but it is {shown!r}")


@lru_cache(maxsize=BOOKS_MAX)
def server_url(settings: Settings, path: str) -> str:
    """The URL of *path* at the server, as the SDK reads its address.

    Raises `ConfigurationError` when the SDK cannot read it.
    """
    return str(AddressBook(OLLAMA, settings, {}, is_async=False).address(path).url)


# --- the backend --------------------------------------------------------------------------------------


class OllamaHttpBackend(HttpBackend):
    """The I/O of the native API.

    Before a request that not every model supports, the server is asked once for what the model supports
    (`/api/show`); the answer is remembered for the process. Calls that need it at the same time wait for
    one of them.
    """

    name = "ollama"
    sdk = OLLAMA
    packages = ("ollama",)
    path = CHAT
    errors = ERRORS
    format = formats.OLLAMA
    stream_reader = JsonLines
    key_variables = ("OLLAMA_API_KEY",)

    def __init__(self) -> None:
        self._abilities: Memory[tuple[str, str], frozenset[str] | None] = Memory()
        self._asking = SingleFlight(self.name)

    def address(self, endpoint: Endpoint) -> str:
        """Where requests would go now."""
        return with_scheme(find_host(endpoint)[0])

    def settings(self, endpoint: Endpoint) -> Settings:
        """What *endpoint* says, or else what the environment says now. Raises `ConfigurationError`."""
        return read_settings(endpoint)

    def is_last(self, event: Json) -> bool:
        """The last line has the counts."""
        return bool(event.get("done") is True)

    def unreached(self, error: Exception, server: str, settings: Settings) -> AlloyError | None:
        """The address that was tried, where it comes from, and how to start a server there."""
        return not_running(self.name, server, error, settings.source) or self.explain(error)

    # --- what the model supports --------------------------------------------------------------------

    def prepare(
        self, exchange: HttpExchange, body: Mapping[str, Any], cancel: CancelToken
    ) -> Mapping[str, Any]:
        """*body* as its model supports it.

        Raises `UnsupportedError` for a model without tools, `ConfigurationError` for one without vision.
        """
        if not (needs := _needs(body)):
            return body
        address = exchange.connection.book.address(SHOW)
        place = str(address.url), body["model"]

        def ask() -> None:
            response = exchange.send(_question(exchange, address, body), cancel)
            with closing(response):
                self._note(place, response.status_code, _shown(response).read())

        self._asking.run(
            (exchange.connection.pool, *place),
            lambda: place in self._abilities,
            ask,
            exchange.endpoint.timeout,
        )
        return self._fitted(place, body, needs)

    async def prepare_async(self, exchange: HttpExchange, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """As `prepare`."""
        if not (needs := _needs(body)):
            return body
        address = await exchange.connection.book.address_async(SHOW)
        place = str(address.url), body["model"]

        async def ask() -> None:
            response = await exchange.send_async(_question(exchange, address, body))
            async with closing_async(response):
                self._note(place, response.status_code, await _shown(response).read_async())

        await self._asking.run_async(
            (exchange.connection.pool, *place),
            lambda: place in self._abilities,
            ask,
            exchange.endpoint.timeout,
        )
        return self._fitted(place, body, needs)

    def _note(self, place: tuple[str, str], status: int, content: bytes) -> None:
        """Remember what `/api/show` says; `None` where it does not exist, as on older servers."""
        absent = status in (404, 405) and not ErrorBody.read(json_or_text(content)).message.startswith(
            "model"
        )
        if status != 200 and not absent:
            return  # a missing model, a wrong key, a busy server: `/api/chat` says so, and it may change
        self._abilities[place] = _capabilities(content)

    def _fitted(
        self, place: tuple[str, str], body: Mapping[str, Any], needs: frozenset[str]
    ) -> Mapping[str, Any]:
        """*body* without what its model does not support but can do without."""
        model, can = body["model"], self._abilities.get(place)
        lacks = needs - can if can is not None else frozenset()
        if "tools" in lacks:
            raise UnsupportedError(
                f"{model} does not support tools, says the server: it has {', '.join(sorted(can or ()))}",
                feature="tools",
                provider=self.name,
            )
        if "vision" in lacks and "vision" in _needs(body := _without_images_of_tools(body)):
            raise ConfigurationError(
                f"{self.name}:{model} does not accept images: choose a model whose `ollama show` lists vision"
            )
        if "thinking" in lacks:
            log.debug("%s:%s does not support thinking; reasoning_effort is not sent", self.name, model)
            return {key: value for key, value in body.items() if key != "think"}
        return body


def _needs(body: Mapping[str, Any]) -> frozenset[str]:
    """What *body* needs that not every model has, in the words of `/api/show`."""
    needs = {
        "tools": bool(body.get("tools")),
        "vision": any(message.get("images") for message in body["messages"]),
        "thinking": bool(body.get("think")),
    }
    return frozenset(name for name, needed in needs.items() if needed)


def _without_images_of_tools(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """*body* without the images that follow the results of tools: these are no reason to end the call."""
    messages: list[JsonObject] = []
    before = ""
    for message in body["messages"]:
        if before == "tool" and message.get("images"):
            content = f"{message['content']}\n[not shown, because this model does not take images]"
            messages.append({"role": message["role"], "content": content})
        else:
            messages.append(message)
        before = message["role"]
    return {**body, "messages": messages}


def _question(exchange: HttpExchange, address: Address, body: Mapping[str, Any]) -> Any:
    return exchange.request(address, written("ollama", {"model": body["model"]}), {})


def _shown(response: Any) -> Body:
    return Body(Received("ollama", response, max_bytes=SHOWN_MAX), cuts=True)


def _capabilities(content: bytes) -> frozenset[str] | None:
    try:
        named = parse_json(content)["capabilities"]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return frozenset(map(str, named)) if isinstance(named, list) and named else None
