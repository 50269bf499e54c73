"""Connections through a company gateway: a `Transport` for HTTP libraries, and HTTP clients of the caller."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alloy.endpoints import Endpoint, Transport, client_kind, secret_values
from alloy.errors import ConfigurationError

__all__ = [
    "own_client",
    "own_secrets",
    "own_timeouts",
    "pool_limits",
    "pool_options",
    "proxies_of",
    "tls_context",
]


# Longer than a minute, so that a call every minute needs no new connection and no new handshake, and shorter
# than the 4 minutes after which the first of the big clouds forget an idle connection without a word:
# https://learn.microsoft.com/azure/load-balancer/load-balancer-tcp-reset
KEPT = 120.0  # seconds


def tls_context(library: Any, transport: Transport | None) -> ssl.SSLContext:
    """What decides whom to trust, and who we are. Raises `ConfigurationError` for a file that cannot be used.

    Without a `ca_bundle` the library makes it: it finds the root certificates, and reads SSL_CERT_FILE and
    SSL_CERT_DIR.
    """
    if transport is None or transport.ca_bundle is None:
        context: ssl.SSLContext = library.create_ssl_context()
    else:
        context = _trusting(os.fspath(transport.ca_bundle))
    if transport is not None and transport.client_certificate is not None:
        _identify(context, transport.client_certificate)
    return context


def _trusting(bundle: str) -> ssl.SSLContext:
    try:
        if os.path.isdir(bundle):
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:  # an ssl.SSLError is one, too
        raise ConfigurationError(f"transport: ca_bundle {bundle!r} cannot be used: {error}") from error


def _identify(context: ssl.SSLContext, certificate: Any) -> None:
    try:
        context.load_cert_chain(*certificate)
    except OSError as error:
        path = certificate[0]
        raise ConfigurationError(f"transport: client_certificate {path!r} cannot be used: {error}") from error


def pool_limits(library: Any) -> Any:
    """As many connections as `max_connections` lets in, and those that nobody uses kept for a while."""
    return library.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=KEPT)


def pool_options(
    library: Any, transport: Transport | None, context: ssl.SSLContext, *, is_async: bool
) -> dict[str, Any]:
    """The options of an HTTP client for *transport*, which trusts whom *context* says."""
    if transport is None or transport.proxy is None:
        return {"verify": context, "limits": pool_limits(library)}
    tls = {"ssl_context": context} if transport.proxy.startswith("https") else {}
    proxy = library.Proxy(transport.proxy, **tls)
    # Not as the option `proxy`: before anthropic 2.14 the proxies of the environment would replace that.
    make = library.AsyncHTTPTransport if is_async else library.HTTPTransport
    return {"transport": make(verify=context, proxy=proxy, limits=pool_limits(library))}


@contextmanager
def proxies_of(library: Any, transport: Transport | None) -> Iterator[None]:
    """Raise `ConfigurationError` for a proxy, of *transport* or of the environment, that cannot be used."""
    where = (
        "in transport" if transport is not None and transport.proxy else f"of the environment ({_VARIABLES})"
    )
    try:
        yield
    except ImportError as error:
        if "socks" not in str(error):
            raise
        name = library.__name__
        raise ConfigurationError(
            f"the SOCKS proxy {where} needs another package: pip install '{name}[socks]'"
        ) from error
    except (ValueError, library.InvalidURL) as error:  # not as the cause: it shows the password
        raise ConfigurationError(
            f"the proxy {where} is not an address such as http://proxy.example:3128 ({type(error).__name__})"
        ) from None


_VARIABLES = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY"


def own_client(endpoint: Endpoint, *, is_async: bool) -> Any:
    """The caller's HTTP client. Raises `ConfigurationError` when none can be used."""
    if endpoint.transport is not None:
        raise ConfigurationError(
            "http_client and transport exclude each other: set the proxy and the certificates in the client, "
            "or set one of the two to None"
        )
    kind = "AsyncClient" if is_async else "Client"
    found = next((client for client in endpoint.http_client if client_kind(client) == kind), None)
    if found is None:
        wanted = "an async call needs an" if is_async else "a sync call needs a"
        raise ConfigurationError(f"http_client: {wanted} {kind}; a tuple with one of each serves both")
    if found.is_closed:
        raise ConfigurationError("http_client: the client is closed")
    return found


def own_timeouts(client: Any, usual: Any) -> Any:
    """The time limits of a caller's *client*, or the *usual* ones if it has only the library's default."""
    chosen: Any = client.timeout
    return usual if chosen == type(chosen)(5.0) else chosen.as_dict()


def own_secrets(client: Any) -> list[str]:
    """The values of the headers that a caller's *client* adds: nobody but the caller knows what they are."""
    return secret_values(client.headers.items())
