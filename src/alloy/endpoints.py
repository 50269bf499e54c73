"""How a provider is reached: the endpoint of a request, and the settings that it is made from.

Headers, HTTP clients and `Transport` can be set for all backends or by backend name; `ByBackend` is the form
in which such settings are kept.
"""

from __future__ import annotations

import inspect
import os
import re
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode
from weakref import WeakValueDictionary

from alloy.addresses import address_problem, login_in
from alloy.arguments import with_names_checked
from alloy.errors import ConfigurationError
from alloy.functions import is_async
from alloy.tasks import in_task
from alloy.threads import in_thread

__all__ = ["Endpoint", "Transport"]

T = TypeVar("T")


class ByBackend(dict[str | None, T]):
    """Checked values by backend name; the value under `None` is for all backends."""

    def of(self, backend: str) -> T | None:
        """The value for *backend*, if there is one."""
        return self.get(backend, self.get(None))


Headers: TypeAlias = tuple[tuple[str, str], ...]
HttpClients: TypeAlias = tuple[Any, ...]
KEY_FUNCTION = "the function in api_key"


# --- keys ---------------------------------------------------------------------------------------------


class Carried:
    """What the requests of one call carried: no error may show the secrets in it."""

    def __init__(self) -> None:
        self.secrets: list[str] = []
        self.headers: list[Mapping[str, str]] = []  # and URLs: searched when there is an error
        self.urls: list[Any] = []

    def all(self) -> list[str]:
        """Every secret in it."""
        found = [secret for headers in self.headers for secret in secrets_in(headers)]
        found += [secret for url in set(map(str, self.urls)) for secret in secrets_in_url(url)]
        return [*self.secrets, *found]


class KeyFunction:
    """A function that returns the API key, called before each request because keys may expire.

    A key is remembered, so that it can be removed from error messages, for as long as a call runs that it was
    returned to; and so are the last few keys.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self._last: deque[str] = deque(maxlen=8)
        self._running: WeakValueDictionary[int, Carried] = WeakValueDictionary()

    @property
    def seen(self) -> tuple[str, ...]:
        """The keys of running calls, and the last ones."""
        running = (carried for each in self._running.valuerefs() if (carried := each()) is not None)
        return tuple({*self._last, *(secret for carried in running for secret in tuple(carried.secrets))})

    def key(self, carried: Carried | None = None) -> str:
        """The key now, *carried* by a call. Raises `ConfigurationError` when the function returns no key."""
        return self._checked(self._called(), carried)

    async def key_async(self, carried: Carried | None = None) -> str:
        """As `key`, without blocking the event loop."""
        if is_async(self.function):
            return self._checked(await in_task(self.function(), KEY_FUNCTION), carried)
        key = await in_thread(self._called, "alloy-key", KEY_FUNCTION)
        return self._checked(await in_task(key, KEY_FUNCTION) if inspect.isawaitable(key) else key, carried)

    def _called(self) -> Any:
        try:
            return self.function()
        except StopIteration as error:  # the generators that it would pass through take it for their end
            raise ConfigurationError(f"{KEY_FUNCTION} raised StopIteration") from error

    def _checked(self, key: Any, carried: Carried | None) -> str:
        if inspect.isawaitable(key):
            if inspect.iscoroutine(key):
                key.close()  # otherwise Python warns that it was never awaited
            raise ConfigurationError("api_key is an async function: it works in async calls only")
        if not isinstance(key, str) or not key.strip():
            raise ConfigurationError(f"{KEY_FUNCTION} must return a non-empty str, not {type(key).__name__}")
        if key not in self._last:
            self._last.append(key)
        if carried is not None:
            carried.secrets.append(key)
            self._running[id(carried)] = carried
        return key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyFunction) and other.function == self.function

    def __hash__(self) -> int:
        return hash(self.function)

    def __repr__(self) -> str:
        return f"KeyFunction({self.function!r})"

    def __reduce__(self) -> Any:
        return KeyFunction, (self.function,)  # without the keys


def check_key(value: Any) -> str | KeyFunction:
    """*value* as an API key. Raises `ValueError` with a description of what is accepted."""
    if isinstance(value, KeyFunction):
        return value
    if callable(value):
        if not _callable_without_arguments(value):
            raise ValueError("a non-empty str, or a function without parameters that returns one")
        return KeyFunction(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a non-empty str, or a function that returns one")
    return value


def _callable_without_arguments(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return False
    except ValueError:  # some builtins have no signature
        pass
    return True


# --- connections --------------------------------------------------------------------------------------

PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


@with_names_checked
@dataclass(frozen=True, slots=True)
class Transport:
    """How connections are opened, for a network with a gateway of its own.

    *proxy* is a URL, such as `"http://proxy.example:3128"`, with a name and a password if needed; it replaces
    `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`. *ca_bundle* is a file of certificates, or a directory of them,
    that are trusted instead of the usual root certificates. *client_certificate* is the path of a PEM file
    with a certificate and its key, or a tuple: certificate, key, and the key's password if it has one. Files
    are read when the first connection is opened. Raises `ConfigurationError` for values of a wrong type.
    """

    proxy: str | None = field(default=None, repr=False)  # may contain a password
    ca_bundle: str | os.PathLike[str] | None = None
    client_certificate: str | os.PathLike[str] | tuple[str | os.PathLike[str], ...] | None = field(
        default=None, repr=False
    )

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the class is frozen
        if self.proxy is not None:
            _check_proxy(self.proxy)
        if self.ca_bundle is not None:
            set_field(self, "ca_bundle", _path(self.ca_bundle, "ca_bundle", "a path"))
        if self.client_certificate is not None:
            set_field(self, "client_certificate", _certificate(self.client_certificate))

    @property
    def secrets(self) -> list[str]:
        """The name and the password of the proxy, and the password of the certificate's key."""
        given = self.client_certificate
        return [*secrets_in_url(self.proxy), *(map(str, given[2:]) if isinstance(given, tuple) else ())]


def _check_proxy(proxy: Any) -> None:
    text = proxy if isinstance(proxy, str) else ""
    problem = address_problem(text)
    scheme, mark, _ = text.partition("://")
    if not mark or scheme.lower() not in PROXY_SCHEMES:
        problem = f"its scheme is one of {', '.join(PROXY_SCHEMES)}"
    if problem is not None:  # without showing it, because it may contain a password
        raise ConfigurationError(
            f'Transport: proxy must be a URL such as "http://proxy.example:3128"; {problem}'
        )


def _path(value: Any, name: str, wanted: str) -> str:
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigurationError(f"Transport: {name} must be {wanted}, not {value!r}")
    return path


def _certificate(value: Any) -> tuple[str, ...]:
    wanted = "a path, or a tuple of the paths of certificate and key, and the key's password"
    parts = value if isinstance(value, tuple) else (value,)
    if not 1 <= len(parts) <= 3:
        raise ConfigurationError(f"Transport: client_certificate must be {wanted}")
    return tuple(_path(part, "client_certificate", wanted) for part in parts)


def check_transport(value: Any) -> ByBackend[Transport]:
    """*value* by backend name. Raises `ValueError` with a description of what is accepted."""

    def check(one: Any) -> Transport:
        if not isinstance(one, Transport):
            raise ValueError("a Transport, or a dict of them by backend name")
        return one

    return _by_backend(value, check)


# --- headers ------------------------------------------------------------------------------------------

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token
_OURS = frozenset(("content-length", "transfer-encoding"))  # of the body, which only we know


def check_headers(value: Any) -> ByBackend[Headers]:
    """*value* by backend name. Raises `ValueError` with a description of what is accepted."""
    if isinstance(value, ByBackend):
        return value
    if isinstance(value, Mapping) and all(isinstance(part, str) for part in value.values()):
        return ByBackend({None: _headers(value)})
    if isinstance(value, Mapping):
        for name, part in value.items():
            if not isinstance(part, str | Mapping):
                found = f"; the value of {_name_shown(name)} is {type(part).__name__}"
                raise ValueError(
                    f'a dict of headers, such as {{"x-team": "search"}}, whose values are str{found}'
                )
    if not isinstance(value, Mapping) or not all(isinstance(part, Mapping) for part in value.values()):
        raise ValueError('a dict of headers, such as {"x-team": "search"}, or a dict of them by backend name')
    return _by_backend(value, _headers)


def _headers(value: Mapping[Any, Any]) -> Headers:
    for name, text in value.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name) or name.lower() in _OURS:
            raise ValueError(f"a dict of headers; {_name_shown(name)} is not a name that may be set")
        if not isinstance(text, str) or not (text.isascii() and text.isprintable()):
            raise ValueError(
                f"a dict of headers; the value of {_name_shown(name)} must be printable ASCII text"
            )
    return tuple(value.items())


def _name_shown(name: Any) -> str:
    """The *name* of a header for an error, unless it may be a key in the wrong place."""
    is_name = isinstance(name, str) and len(name) <= NAME_MAX and not re.search(r"\d", name)
    return repr(name) if is_name else f"one of them, a {type(name).__name__},"


NAME_MAX = 32  # characters; the names of headers are short and have no digits


# --- HTTP clients -------------------------------------------------------------------------------------


def check_http_client(value: Any) -> ByBackend[HttpClients]:
    """*value* by backend name. Raises `ValueError` with a description of what is accepted."""
    return _by_backend(value, _http_clients)


def _http_clients(value: Any) -> HttpClients:
    clients = value if isinstance(value, tuple | list) else (value,)
    kinds = [client_kind(client) for client in clients]
    if not clients or None in kinds or len(set(kinds)) < len(kinds):
        raise ValueError(
            "a Client or an AsyncClient of httpx or httpx2, or both in a tuple, or a dict by backend name"
        )
    return tuple(clients)


def client_kind(client: Any) -> str | None:
    """`"Client"` or `"AsyncClient"` for an HTTP client, recognised without an import of its library."""
    for kind in type(client).__mro__:
        if kind.__module__.partition(".")[0] in ("httpx", "httpx2") and kind.__name__ in _CLIENTS:
            return kind.__name__
    return None


_CLIENTS = ("Client", "AsyncClient")


def _by_backend(value: Any, check: Callable[[Any], T]) -> ByBackend[T]:
    if isinstance(value, ByBackend):
        return value
    if not isinstance(value, Mapping):
        return ByBackend({None: check(value)})
    if not all(isinstance(name, str) for name in value):
        raise ValueError("a dict by backend name")
    return ByBackend({name: check(one) for name, one in value.items()})


# --- the endpoint -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """Where and how to reach a provider. `None` leaves it to the SDK and its environment variables.

    *timeout* is in seconds and bounds each phase of one request; the drivers bound the whole. A backend
    calls *report* with the HTTP status and the request id as soon as the response's headers are there, and
    *report_wait* with what it waits for, before that.
    *headers* are added to those of the request. *http_client* holds a client of the caller for sync calls,
    for async calls, or for both; *transport* says how to open connections without one. A backend adds to
    *carried* what its requests carry, so that errors do not show the secrets in it. *max_response_bytes*
    limits the body of one response, after decompression.
    """

    base_url: str | None = None
    api_key: str | KeyFunction | None = None
    timeout: float | None = None
    report: Callable[[int, str | None], object] | None = field(default=None, compare=False)
    report_wait: Callable[[str], object] | None = field(default=None, compare=False)
    headers: Headers = ()
    http_client: HttpClients = ()
    transport: Transport | None = None
    carried: Carried | None = field(default=None, compare=False)
    max_response_bytes: int | None = None

    @property
    def key(self) -> str | None:
        """The API key; `None` without one, and for a function that has not been called: see `with_key`."""
        return self.api_key if isinstance(self.api_key, str) else None

    def with_key(self) -> Endpoint:
        """This endpoint with the key that its function returns now."""
        if not isinstance(self.api_key, KeyFunction):
            return self
        return replace(self, api_key=self.api_key.key(self.carried))

    async def with_key_async(self) -> Endpoint:
        """As `with_key`, without blocking the event loop."""
        if not isinstance(self.api_key, KeyFunction):
            return self
        return replace(self, api_key=await self.api_key.key_async(self.carried))

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values in it, and in what requests to it carried, that must not appear in an error."""
        keys = self.api_key.seen if isinstance(self.api_key, KeyFunction) else (self.api_key or "",)
        own = () if self.transport is None else self.transport.secrets
        carried = self.carried.all() if self.carried is not None else ()
        headers = (*secrets_in(dict(self.headers)), *secret_values(self.headers))
        return (*keys, *headers, *secrets_in_url(self.base_url), *own, *carried)

    def __repr__(self) -> str:
        url = None if self.base_url is None else without_credentials(self.base_url)
        return f"Endpoint(base_url={url!r}, timeout={self.timeout!r})"


# --- what is a secret ---------------------------------------------------------------------------------


def secrets_in_url(url: str | None) -> list[str]:
    """The name, the password and the keys in the query of *url*."""
    _, login, rest = login_in(url or "")
    name, _, password = login.partition(":")
    query = rest.partition("#")[0].partition("?")[2]
    found = [*secrets_in(dict(parse_qsl(query))), name, password]
    return [form for each in found for form in {each, unquote(each)}]


def safe_url(url: str) -> str:
    """*url*, which need not be valid, without what sounds like a secret in it."""
    before, _, after = login_in(url)
    place, mark, _ = after.partition("#")  # what follows is never sent
    place, _, query = place.partition("?")
    kept = [pair for pair in parse_qsl(query, keep_blank_values=True) if not is_secret_name(pair[0])]
    return f"{before}{place}{'?' * bool(kept)}{urlencode(kept)}{mark}"


def without_credentials(url: str) -> str:
    """*url*, which need not be valid, without what may be a name, a password or a key in the query."""
    before, _, rest = url.rpartition("@")
    scheme, mark, _ = before.partition("://")
    address = f"{scheme}{mark}{rest}" if mark else rest
    address = re.split("[?#]", address, maxsplit=1)[0]
    # What is in the place of a port and is not one may be a password that lacks its @.
    return re.sub(r"((?:^|/)\[[\da-fA-F:.]*)|:(?!//|\d+(?:/|$)).*", lambda found: found[1] or ":…", address)


# Headers that say what a request is; the values of all others are nobody's business.
_PUBLIC = re.compile(
    r"(?i)(accept|content|x-stainless)(-.*)?|user-agent|connection|host|.*-(beta|version|model)|http-referer"
    r"|x-title|traceparent"
)


def is_public(header: str) -> bool:
    """Whether the value of a custom *header* may be shown."""
    return _PUBLIC.fullmatch(header) is not None


def secret_values(headers: Iterable[tuple[str, str]]) -> list[str]:
    """The values of custom *headers*, whatever they are called, except those that say what a request is."""
    return [value for name, value in headers if not is_public(name)]


_SECRET_NAME = re.compile(
    r"auth|key|token|secret|cookie|passw|pwd|credential|signature|^(sig|code|sas)$", re.IGNORECASE
)
_SCHEME = re.compile(r"^(Bearer|Basic|Token|ApiKey) +", re.IGNORECASE)


def secrets_in(fields: Mapping[str, str]) -> list[str]:
    """The secrets in headers or parameters whose names sound like one.

    Of an authorization that is what follows its scheme, and the password in that; of cookies each value, too.
    """
    found: list[str] = []
    for name, value in fields.items():
        if _SECRET_NAME.search(name):
            secret = _SCHEME.sub("", value)
            found.append(secret)
            if value[:6].lower() == "basic ":
                found += _basic_credentials(secret)
            if name.lower() == "cookie":
                found += [cookie.partition("=")[2].strip() for cookie in value.split(";")]
    return found


def _basic_credentials(encoded: str) -> list[str]:
    """The name and the password in the credentials of RFC 7617."""
    try:
        name, _, password = b64decode(encoded).decode().partition(":")
    except ValueError:
        return []
    return [name, password]


def is_secret_name(name: str) -> bool:
    """Whether a header, a parameter or a field of this *name* sounds like one that has a secret."""
    return _SECRET_NAME.search(name) is not None
