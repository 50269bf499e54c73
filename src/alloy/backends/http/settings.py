"""Checks of the settings that decide where a request goes."""

from __future__ import annotations

from urllib.parse import urlsplit

from alloy.errors import ConfigurationError

__all__ = ["checked_key", "checked_url"]


def checked_key(provider: str, key: str) -> str:
    """*key* if a header can carry it. Raises `ConfigurationError`, which does not show it."""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError(
            f"the {provider} key contains a character that no key has: "
            "a space, a line end or a letter beyond ASCII"
        )
    return key


def checked_url(url: str, example: str) -> str:
    """*url* if it is an address. Raises `ConfigurationError` without showing it: it may hold a password."""
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"`base_url` must start with http:// or https://, as in {example}")
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:  # brackets that do not pair, or an invalid port
        valid = False
    if not valid:
        raise ConfigurationError(
            "`base_url` is not an address: its host, its port or one of its characters is not allowed; "
            f"write it as in {example}"
        )
    return url
