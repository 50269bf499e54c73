"""Exceptions of HTTP libraries as Alloy errors.

The SDKs are built on httpx or on httpx2, depending on the provider and the version. Both are recognised by
the names of their classes, and neither is imported here.
"""

from __future__ import annotations

import os
from contextlib import suppress
from ssl import SSLError
from typing import Any
from urllib.parse import urlsplit

from alloy.errors import (
    BadReplyError,
    ConfigurationError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
)
from alloy.excerpts import beginning
from alloy.threads import late_error

__all__ = [
    "asked_url",
    "content_read",
    "proxy_error",
    "proxy_hint",
    "refused_response",
    "settings_to_check",
    "transport_error",
    "unreached_origin",
]

LONGEST = 500  # characters of a library's own message that ours shows

HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "httpcore2", "anyio")

# From special to general: the first that is among an error's classes counts.
_TRANSPORT: dict[str, type[ProviderError] | type[ConfigurationError]] = {
    "UnsupportedProtocol": ConfigurationError,
    "LocalProtocolError": ConfigurationError,
    "InvalidURL": ConfigurationError,
    "DecodingError": BadReplyError,
    "TimeoutException": ProviderTimeoutError,
    "RequestError": ProviderConnectionError,
    "EndOfStream": ProviderConnectionError,
    "BrokenResourceError": ProviderConnectionError,
    "ClosedResourceError": ProviderConnectionError,
    "StreamError": ProviderConnectionError,
}

TOO_LONG = "Receive buffer too long"  # in the error of h11, which is below the HTTP libraries

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

_NOT_REACHED = ("ConnectError", "ConnectTimeout")

_MEANING: dict[type[Exception], str] = {
    ConfigurationError: "the request cannot be sent; check `base_url` and the key",
    BadReplyError: "the answer's body cannot be decoded",
    ProviderTimeoutError: "no answer in time; a longer `timeout` may help",
    ProviderConnectionError: "no connection, or it broke",
}


def transport_error(
    provider: str, error: BaseException, variable: str = ""
) -> ProviderError | ConfigurationError | None:
    """*error* as an Alloy error when an HTTP library raised it, `None` otherwise.

    *variable* is the environment's name for `base_url`, to be checked when the server was not reached.
    """
    kind = _transport_kind(error)
    if kind is None:
        return late_error(error)
    cause = _named(error)
    meaning = _MEANING[kind]
    if (server := unreached_origin(error)) is not None:
        meaning = f"no connection to {server}: check {settings_to_check(variable)}{proxy_hint()}"
    elif type(error).__name__ == "ProxyError":
        meaning = f"the proxy did not open a connection: check `transport`{proxy_hint()}"
    elif isinstance(error, UnicodeError):
        meaning = f"no host has the name of the server, or of its proxy: check `base_url`{proxy_hint()}"
    if "CERTIFICATE_VERIFY_FAILED" in cause:
        meaning += "; the certificates of a company gateway are trusted by transport=Transport(ca_bundle=…)"
    message = f"{meaning} ({cause})"
    if issubclass(kind, ProviderError):
        # Headers above the limit of the HTTP library; another try would meet them again.
        return kind(message, provider=provider, transient=False if TOO_LONG in cause else None)
    return kind(f"{provider}: {message}")


def _named(error: BaseException) -> str:
    return beginning(f"{type(error).__name__}: {error}".removesuffix(": "), LONGEST)


def proxy_error(provider: str, error: Exception, server: str, proxy: str) -> ProviderConnectionError:
    """The error for a *server* to which no connection could be opened through *proxy*."""
    scheme, host = urlsplit(proxy).scheme, urlsplit(proxy).netloc.rpartition("@")[2]  # without a password
    cause = _named(error)
    return ProviderConnectionError(
        f"no connection to {server} through the proxy {scheme}://{host}: check `transport` ({cause})",
        provider=provider,
    )


def proxy_hint() -> str:
    """What else to check when the environment sets a proxy: the variables, without their values."""
    names = sorted(name for name in os.environ if name.upper() in _PROXIES and os.environ[name])
    return f", and the proxy that {' and '.join(names)} sets (NO_PROXY excludes servers)" if names else ""


def unreached_origin(error: BaseException) -> str | None:
    """Scheme and host of the server to which no connection could be opened, `None` for any other error."""
    if type(error).__name__ in _NOT_REACHED:
        with suppress(RuntimeError):  # raised by an error without its request
            return origin(error.request)  # type: ignore[attr-defined]
    return None


def refused_response(error: BaseException) -> Any:
    """The response of an `HTTPStatusError`, which a hook of the caller's client raises; otherwise `None`."""
    kind = type(error)
    is_of_library = kind.__module__.partition(".")[0] in HTTP_LIBRARIES
    response = error.response if is_of_library and kind.__name__ == "HTTPStatusError" else None  # type: ignore[attr-defined]
    return None if response is None or response.is_success else response


def content_read(response: Any) -> bytes:
    """The body of a response that is closed, if it was read before."""
    with suppress(RuntimeError):  # a ResponseNotRead is one
        content: bytes = response.content
        return content
    return b"its body was not read, because an event hook of http_client raised before"


def _transport_kind(error: BaseException) -> type[ProviderError] | type[ConfigurationError] | None:
    classes = type(error).__mro__
    names = {kind.__name__ for kind in classes if kind.__module__.partition(".")[0] in HTTP_LIBRARIES}
    found = next((kind for name, kind in _TRANSPORT.items() if name in names), None)
    if found is None and isinstance(error, SSLError | ConnectionError):
        return ProviderConnectionError  # asyncio's own, where the library below did not translate it
    if isinstance(error, UnicodeError) and "'idna' codec" in str(error):
        return ConfigurationError  # Python's own, for the host of a proxy, which nobody has checked
    return found


def settings_to_check(variable: str) -> str:
    """What to check when the server was not reached, or not the right one."""
    return f"`base_url` or {variable}" if variable else "`base_url`"


def asked_url(request: Any) -> str:
    """The address of a request, without a name, a password and a query."""
    return f"{origin(request)}{request.url.path}"


def origin(request: Any) -> str:
    """Scheme and host of a request's address, without a name and a password."""
    return f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
