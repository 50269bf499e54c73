"""Checks of the settings that decide where a request goes."""

from __future__ import annotations

from typing import Any

from alloy.addresses import address_problem
from alloy.endpoints import without_credentials
from alloy.errors import ConfigurationError

__all__ = [
    "checked_key",
    "checked_url",
    "refuse_fragment",
    "with_query",
    "without_query",
]


def checked_key(provider: str, key: str) -> str:
    """*key* if a header can carry it. Raises `ConfigurationError`, which does not show it."""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError(
            f"the {provider} key contains a character that no key has: "
            "a space, a line end or a letter beyond ASCII"
        )
    return key


def checked_url(url: str, example: str, source: str) -> str:
    """*url*, which *source* sets, if it is an address.

    Raises `ConfigurationError`, which shows it without a password.
    """
    shown = without_credentials(url)
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"`{source}` must start with http:// or https://, as in {example}, but it is {shown!r}"
        )
    refuse_fragment(url, source)
    if (problem := address_problem(url)) is not None:
        raise ConfigurationError(
            f"`{source}` is not an address, because {problem}; write it as in {example}, but it is {shown!r}"
        )
    return url


def refuse_fragment(url: str, source: str) -> None:
    """Raise `ConfigurationError` for a *url* with a fragment, which no request carries."""
    if "#" in url:
        raise ConfigurationError(
            f"the address in {source} has a fragment (#…), which no request carries: remove it from "
            f"{without_credentials(url)!r}, or write %23 for a # in a password"
        )


def without_query(url: str) -> str:
    """*url* for an SDK, which would append its paths to the query."""
    return url.partition("?")[0]


def with_query(url: Any, base_url: str) -> Any:
    """*url*, an object of an HTTP library, with the query of *base_url*."""
    query = base_url.partition("?")[2]
    if not query:
        return url
    return type(url)(f"{url}{'&' if url.query else '?'}{query}")
