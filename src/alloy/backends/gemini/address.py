"""How Gemini is reached through Google's SDK: its host, version and path, and the key or the token."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from math import ceil
from types import ModuleType
from typing import Any, NamedTuple

from alloy.backends.base import import_sdk
from alloy.backends.batches import ApiCall
from alloy.backends.gemini.batches import GeminiBatches
from alloy.backends.gemini.errors import ERRORS, KEYS, NAME, sign_in_error
from alloy.backends.gemini.replies import ends, is_chunk, parted
from alloy.backends.http import formats
from alloy.backends.http.batches import HttpBatchBackend
from alloy.backends.http.clients import Address, Sdk
from alloy.backends.http.settings import checked_key, checked_url
from alloy.endpoints import Endpoint
from alloy.errors import AlloyError, ConfigurationError
from alloy.jsontypes import Json

__all__ = ["GEMINI", "GeminiHttpBackend", "read_settings"]


# --- the SDK ------------------------------------------------------------------------------------------


class Target(NamedTuple):
    """What the SDK builds a path from; *path* replaces the one to generate content, after the version."""

    model: str
    streamed: bool
    path: str | None = None


class GeminiSdk(Sdk):
    """google-genai, which accepts HTTP clients as its options `httpx_client` and `httpx_async_client`."""

    def sdk(self) -> ModuleType:
        """The SDK, imported on first use because that takes a second."""
        return import_sdk("google.genai", extra="gemini")

    def library(self) -> ModuleType:
        """The library that the SDK is built on: httpx2 from its version 3 on, or what its variable says."""
        version = self.sdk().__version__
        name = os.environ.get("GOOGLE_GENAI_HTTP_CLIENT", "").strip().lower()
        if name not in ("httpx", "httpx2"):
            name = "httpx" if version.startswith(("1.", "2.")) else "httpx2"
        return import_module(name)

    def pool(self, *, is_async: bool, **options: Any) -> Any:
        """A client of the library as the SDK makes it."""
        library: Any = self.library()
        return (library.AsyncClient if is_async else library.Client)(**options)

    def client(self, settings: Settings, transport: Any, *, is_async: bool) -> Any:
        """An SDK client with both HTTP clients, so that it creates none with TLS contexts of its own."""
        library: Any = self.library()
        options = {
            "base_url": settings.base_url,
            "api_version": settings.version,
            "httpx_client": library.Client(transport=transport, trust_env=False),
            "httpx_async_client": library.AsyncClient(transport=transport, trust_env=False),
            "async_client_args": {"ssl": True},  # otherwise it makes a context for web sockets
        }
        try:
            return self.sdk().Client(api_key=settings.api_key, http_options=options)
        except ValueError as error:
            raise ConfigurationError(f"{NAME}: {error}") from error

    def ask(self, client: Any, target: Target) -> object:
        """Generate content, with as little of a request as the SDK allows."""
        with _refusing():
            return client.models.generate_content(model=target.model, contents="-", config=self._config())

    async def ask_async(self, client: Any, target: Target) -> object:
        """As `ask`."""
        make = client.aio.models.generate_content
        with _refusing():
            return await make(model=target.model, contents="-", config=self._config())

    def url(self, recorded: Any, target: Target) -> Any:
        """The SDK's URL; a streamed request has another method: https://ai.google.dev/api/generate-content."""
        if target.path is not None:
            return type(recorded)(
                str(recorded).replace(f"models/{target.model}:generateContent", target.path)
            )
        if not target.streamed:
            return recorded
        streamed = str(recorded).replace(":generateContent", ":streamGenerateContent")
        return type(recorded)(streamed).copy_merge_params({"alt": "sse"})

    def base_url(self, settings: Settings) -> str:
        """Nothing to add: the SDK keeps the query itself."""
        return ""

    def signs_in(self, settings: Settings) -> bool:
        """Without a key the SDK gets tokens from Google Cloud."""
        return settings.api_key is None

    def lasts(self, address: Address) -> bool:
        """A token of Google Cloud expires soon; the SDK refreshes it when it is asked again."""
        return "authorization" not in address.headers

    @lru_cache(maxsize=1)  # noqa: B019 - there is one instance
    def _config(self) -> Any:
        types = self.sdk().types
        off = {"automatic_function_calling": {"disable": True}, "automatic_continuation": False}
        known = types.GenerateContentConfig.model_fields  # not every version has both
        off = {name: value for name, value in off.items() if name in known}
        return types.GenerateContentConfig(**off, should_return_http_response=True)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigurationError(f"{NAME}: the request cannot be sent: {error}") from error


GEMINI = GeminiSdk()

# --- settings -----------------------------------------------------------------------------------------

# An address that ends in a version, as the examples of Google's REST API show it: with /models, too.
_VERSIONED = re.compile(r"(https?://.+?)/(v\d+[a-z0-9]*)(?:/models)?/*([?].*)?")

# What the SDK reads when a client is made, in addition to keys.
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
    """Everything that decides the address, including what the SDK reads from the environment."""

    api_key: str | None
    base_url: str | None
    version: str | None
    environment: tuple[str | None, ...]

    def __repr__(self) -> str:
        return "Settings(…)"  # a key, and an address that may hold one


def read_settings(endpoint: Endpoint) -> Settings:
    """What *endpoint* says, or else what the environment says now.

    Raises `ConfigurationError` for a missing key, and for a key or an address that no request can carry.
    """
    env = os.environ.get
    key = endpoint.key
    if not _on_cloud():
        key = key or env("GOOGLE_API_KEY") or env("GEMINI_API_KEY")
        if not key:
            raise ConfigurationError(
                f"no key for Gemini: set {KEYS} or configure(api_key=…), use Google Cloud with "
                "GOOGLE_GENAI_USE_ENTERPRISE=true, or run offline with ALLOY_BACKEND=fake"
            )
    variable = _address_variable()
    if base_url := endpoint.base_url or env(variable):
        example = "https://host, with the API's version at its end or without it"
        checked_url(base_url, example, "base_url" if endpoint.base_url else variable)
    cloud_keys = ("GOOGLE_API_KEY", "GEMINI_API_KEY") if key is None else ()
    environment = tuple(env(name) for name in (*_ENVIRONMENT, *cloud_keys))
    key = checked_key("Gemini", key.strip()) if key else None
    return Settings(key, *_split_version(endpoint.base_url, key), environment)


def _split_version(base_url: str | None, key: str | None) -> tuple[str | None, str | None]:
    """The address and the API's version that the SDK is given; it adds its own version to every address.

    `None` is what the SDK finds out by itself: so is an address of the environment, unless it ends in a
    version. The SDK sends requests exactly to a custom address on Google Cloud without key and project.
    """
    env = os.environ.get
    on_cloud = _on_cloud()
    if on_cloud and not key and not (env("GOOGLE_CLOUD_PROJECT") and env("GOOGLE_CLOUD_LOCATION")):
        return base_url, None
    address = base_url or env(_address_variable()) or ""
    found = _VERSIONED.fullmatch(address)
    return (found[1] + (found[3] or ""), found[2]) if found else (base_url, None)


def _address_variable() -> str:
    return "GOOGLE_VERTEX_BASE_URL" if _on_cloud() else "GOOGLE_GEMINI_BASE_URL"


def _on_cloud() -> bool:
    """Whether the SDK will go to Google Cloud, where credentials come from elsewhere."""
    for name in ("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI"):
        if (value := os.environ.get(name)) is not None:
            return value.lower() in ("true", "1")
    return False


# --- the backend --------------------------------------------------------------------------------------


class GeminiHttpBackend(HttpBatchBackend):
    """The I/O of the backend."""

    name = NAME
    sdk = GEMINI
    packages = ("google-genai",)
    errors = ERRORS
    format = formats.GEMINI
    batches = GeminiBatches()
    key_variables = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
    own_hosts = ("developer", "cloud", "generativelanguage.googleapis.com", "aiplatform.googleapis.com")
    split = staticmethod(parted)  # a chunk may have several parts, of which only one would be shown

    def address(self, endpoint: Endpoint) -> str:
        """Where requests would go now; on Google Cloud by its own variables, as the SDK reads them."""
        env = os.environ.get
        if not _on_cloud():
            return endpoint.base_url or env("GOOGLE_GEMINI_BASE_URL") or "developer"
        place = f"cloud {env('GOOGLE_CLOUD_PROJECT')} {env('GOOGLE_CLOUD_LOCATION')}"
        return endpoint.base_url or env("GOOGLE_VERTEX_BASE_URL") or place

    def settings(self, endpoint: Endpoint) -> Settings:
        """What *endpoint* says, or else what the environment says now. Raises `ConfigurationError`."""
        return read_settings(endpoint)

    def target(self, body: Mapping[str, Any], *, streamed: bool) -> Hashable:
        """The model is in the path, and so is whether the answer is streamed."""
        return Target(str(body.get("model")), streamed)

    def content(self, body: Mapping[str, Any], *, streamed: bool) -> Mapping[str, Any]:
        """The body without the model, which is in the path."""
        return {key: value for key, value in body.items() if key != "model"}

    def headers(self, body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, str]:
        """The time limit in whole seconds, as the SDK tells it."""
        return {} if endpoint.timeout is None else {"x-server-timeout": str(ceil(endpoint.timeout))}

    def api_target(self, call: ApiCall) -> Hashable:
        """A path after the version of the API."""
        return Target("any", streamed=False, path=call.path)

    def entry_body(self, body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, Any]:
        """The body without the model. Raises `ConfigurationError` on Google Cloud."""
        if _on_cloud():
            raise ConfigurationError(
                f"{NAME}: Google Cloud reads batches from its storage, which Alloy does not write to: use a "
                "key of the Gemini API for batches"
            )
        return super().entry_body(body, endpoint)

    def is_list_of_chunks(self, found: Json) -> bool:
        """Whether *found* is a stream without `alt=sse`: only its last chunk ends an answer."""
        return (
            isinstance(found, list)
            and len(found) > 1
            and all(map(is_chunk, found))
            and not any(map(ends, found[:-1]))
        )

    def explain(self, error: Exception) -> AlloyError | None:
        """*error* as an Alloy error, or `None` when neither the transport nor Google's sign-in raised it."""
        return sign_in_error(error) or super().explain(error)
