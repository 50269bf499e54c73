"""How both OpenAI APIs are reached through the SDK, and ways to write a request that they share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from alloy.backends.http.batches import HttpBatchBackend
from alloy.backends.http.settings import checked_key, checked_url, without_query
from alloy.backends.http.stainless import StainlessSdk, timeout_headers
from alloy.endpoints import Endpoint
from alloy.errors import ConfigurationError
from alloy.media import Media
from alloy.messages import Request

__all__ = ["NO_KEY", "NO_SAMPLING", "OPENAI", "SAMPLING", "OpenAIHttpBackend", "file_name", "tool_choice"]

DEFAULT_URL = "https://api.openai.com/v1"
NO_KEY = "none"  # the SDK insists on a key; a local server does not read it
# Reasoning models that never take a temperature; later ones do when their effort is "none".
NO_SAMPLING = ("o1", "o3", "o4")
SAMPLING = frozenset({"temperature", "top_p"})

OPENAI = StainlessSdk("openai", "OpenAIError", "OpenAI", "AsyncOpenAI")


# --- settings -----------------------------------------------------------------------------------------


class Settings(NamedTuple):
    """Everything that decides the address, including what the SDK reads from the environment."""

    api_key: str
    base_url: str
    organization: str | None
    project: str | None
    custom_headers: str | None

    def arguments(self) -> dict[str, Any]:
        """What the SDK's client is told; it reads the rest from the same variables."""
        return {"api_key": self.api_key, "base_url": without_query(self.base_url)}

    def __repr__(self) -> str:
        return "Settings(…)"  # an address and headers may hold secrets, too


def read_settings(endpoint: Endpoint, *, keyless: bool) -> Settings:
    """What *endpoint* says, or else what the environment says now.

    *keyless* allows a custom address without a key. Raises `ConfigurationError` for a missing key, and for
    a key or an address that no request can carry.
    """
    env = os.environ.get
    source = "base_url" if endpoint.base_url else "OPENAI_BASE_URL"
    base_url = checked_url(_base_url(endpoint), "https://host/v1", source)
    key = endpoint.key or env("OPENAI_API_KEY")
    if not key and keyless and base_url != DEFAULT_URL:
        key = NO_KEY
    if not key:
        raise ConfigurationError(
            "no key for OpenAI: set OPENAI_API_KEY or configure(api_key=…), "
            "or run offline with ALLOY_BACKEND=fake"
        )
    headers = env("OPENAI_CUSTOM_HEADERS")
    return Settings(
        checked_key("OpenAI", key), base_url, env("OPENAI_ORG_ID"), env("OPENAI_PROJECT_ID"), headers
    )


def _base_url(endpoint: Endpoint) -> str:
    return endpoint.base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL


# --- the backends -------------------------------------------------------------------------------------


class OpenAIHttpBackend(HttpBatchBackend):
    """The I/O of a backend on OpenAI's SDK.

    Azure is reached by `base_url`, through its v1 address `https://RESOURCE.openai.azure.com/openai/v1/`.
    """

    sdk = OPENAI
    packages: tuple[str, ...] = ("openai",)
    key_variables: tuple[str, ...] = ("OPENAI_API_KEY", "OPENAI_CUSTOM_HEADERS")
    own_hosts = ("api.openai.com",)
    keyless = False  # whether a server at a custom address may be used without a key

    def address(self, endpoint: Endpoint) -> str:
        """Where requests would go now."""
        return _base_url(endpoint)

    def settings(self, endpoint: Endpoint) -> Settings:
        """What *endpoint* says, or else what the environment says now. Raises `ConfigurationError`."""
        return read_settings(endpoint, keyless=self.keyless)

    def headers(self, body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, str]:
        """The time limit, as the SDK tells it."""
        return timeout_headers(endpoint, "x-stainless-read-timeout")


def tool_choice(request: Request, named: Callable[[str], Any]) -> Any:
    """The value of `tool_choice`; *named* writes one tool's name as the API does."""
    choice = request.tool_choice
    return choice if choice in (None, "auto", "none", "required") else named(choice)


def file_name(document: Media) -> str:
    """A name for *document*: the APIs want one, and recognise the kind of file by its suffix."""
    return document.name or f"document.{_SUFFIXES.get(document.media_type, 'txt')}"


_SUFFIXES = {"application/pdf": "pdf", "text/markdown": "md", "text/csv": "csv"}
