"""What both OpenAI APIs share: the settings of the SDK's clients, and ways to write a request."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from alloy.backends.base import import_sdk
from alloy.backends.http.exchange import Door, checked_key, checked_url
from alloy.backends.openai.errors import NO_KEY, explain, generation_error
from alloy.errors import AlloyError, ConfigurationError, ProviderError
from alloy.media import Media
from alloy.messages import Endpoint, Request

__all__ = ["NO_SAMPLING", "SAMPLING", "OpenAIDoor", "file_name", "tool_choice"]

DEFAULT_URL = "https://api.openai.com/v1"
# Reasoning models that never take a temperature; later ones do when their effort is "none".
NO_SAMPLING = ("o1", "o3", "o4")
SAMPLING = frozenset({"temperature", "top_p"})


def openai_sdk() -> ModuleType:
    """The SDK, imported on first use, for that takes a second."""
    return import_sdk("openai", extra="openai")


# --- settings and clients -----------------------------------------------------------------------------


class Settings(NamedTuple):
    """All that tells one SDK client from another, what the SDK reads from the environment included."""

    api_key: str
    base_url: str
    organization: str | None
    project: str | None
    custom_headers: str | None

    def __repr__(self) -> str:
        return "Settings(…)"  # an address and headers may hold secrets too


class _Maker:
    def pool_class(self, *, is_async: bool) -> Any:
        sdk = openai_sdk()
        return sdk.DefaultAsyncHttpxClient if is_async else sdk.DefaultHttpxClient

    def client(self, settings: Settings, pool: Any, *, is_async: bool) -> Any:
        sdk = openai_sdk()
        kind = sdk.AsyncOpenAI if is_async else sdk.OpenAI
        # organization, project and custom headers: the SDK reads the same variables itself
        return kind(api_key=settings.api_key, base_url=settings.base_url, max_retries=0, http_client=pool)


def read_settings(endpoint: Endpoint, *, keyless: bool) -> Settings:
    """What *endpoint* says, else what the environment says now.

    *keyless* allows a custom address to go without a key. Raises `ConfigurationError` for a missing
    key, and for a key or an address that no request can carry.
    """
    env = os.environ.get
    base_url = checked_url(_base_url(endpoint), "https://host/v1")
    key = endpoint.api_key or env("OPENAI_API_KEY")
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


def tool_choice(request: Request, named: Callable[[str], Any]) -> Any:
    """The value of `tool_choice`; *named* writes one tool's name as the API does."""
    choice = request.tool_choice
    return choice if choice in (None, "auto", "none", "required") else named(choice)


def file_name(document: Media) -> str:
    """A name for *document*: the APIs want one, and tell the kind of file by its suffix."""
    return document.name or f"document.{_SUFFIXES.get(document.media_type, 'txt')}"


_SUFFIXES = {"application/pdf": "pdf", "text/markdown": "md", "text/csv": "csv"}


# --- the door -----------------------------------------------------------------------------------------


class OpenAIDoor(Door):
    """The I/O of a backend on OpenAI's SDK. What an API adds is its path and how to ask it for a stream.

    Azure is reached by `base_url`, through its v1 address `https://RESOURCE.openai.azure.com/openai/v1/`.
    """

    module = "openai"
    maker = _Maker()
    key_variables: tuple[str, ...] = ("OPENAI_API_KEY",)
    keyless = False  # whether a server of one's own may go without a key
    variable = "OPENAI_BASE_URL"  # the environment's name for `base_url`
    other_route = ""  # what to do when a server has nothing at the path

    def address(self, endpoint: Endpoint) -> str:
        """Where requests would go now."""
        return _base_url(endpoint)

    def settings(self, endpoint: Endpoint) -> Settings:
        """What *endpoint* says, else what the environment says now. Raises `ConfigurationError`."""
        return read_settings(endpoint, keyless=self.keyless)

    def failure(self, error: Any, request_id: str | None = None) -> ProviderError:
        """The error for an error object in an answer whose status was fine."""
        return generation_error(self.name, error, request_id=request_id)

    def explain(self, error: Exception) -> AlloyError | None:
        """*error* in Alloy's terms, or `None` when it comes from neither the SDK nor its transport."""
        return explain(self.name, error, variable=self.variable, other_route=self.other_route)
