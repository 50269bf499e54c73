"""What a backend is: the protocol, a base class with its defaults, and what it exchanges with the engine.

A backend is a codec between Alloy's plain data and the wire format of one provider. Everything except
`send`, `send_async`, `open` and `open_async` is pure. Everything that differs between providers is in
the provider's own package. `alloy.backends.registry` finds a backend by its name.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from alloy._typed.schemas.dialects import Dialect
from alloy.arguments import check_flag, with_names_checked
from alloy.endpoints import Endpoint, secret_values, secrets_in_url
from alloy.errors import AlloyError, ConfigurationError
from alloy.extras import import_extra
from alloy.jsontypes import Json, JsonObject
from alloy.media import Media
from alloy.messages import Delta, Reply, Request
from alloy.threads import late_error

__all__ = [
    "Accumulator",
    "Backend",
    "BaseBackend",
    "CancelToken",
    "Capabilities",
    "address_of",
    "import_sdk",
    "is_loaded",
    "is_own_address",
    "load_backend",
    "model_version_of",
    "secrets_of",
]


@with_names_checked
@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model supports. Alloy emulates what is missing, or refuses the call before it sends anything.

    *tools* and *structured_output* are the native ones, *output_with_tools* both in one request, and
    *loose_output* structured output by a schema that strict mode does not support. *json_object* is a mode
    in which an answer is any JSON object: it helps where schemas are refused. *images* and
    *documents* are accepted as data, with *urls* by URL too (documents with *document_urls* as
    well). With *result_media* the results of tools may hold images and documents, too; else these follow in
    a message of the user. Settings in *drops* are rejected by the model, which works without them: they are
    not sent. Settings in *refuses* have no counterpart: using one is a `ConfigurationError`.
    """

    tools: bool = True
    structured_output: bool = True
    output_with_tools: bool = True
    loose_output: bool = True
    json_object: bool = False
    images: bool = True
    documents: bool = True
    urls: bool = True
    document_urls: bool = True
    result_media: bool = False
    drops: frozenset[str] = frozenset()
    refuses: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name in ("drops", "refuses"):
            if isinstance(value := getattr(self, name), str):  # of which every part would count as a name
                raise ConfigurationError(f"Capabilities: {name} must be a set of names, not {value!r}")
        for name, kind in Capabilities.__annotations__.items():
            if kind == "bool":
                check_flag(getattr(self, name), f"Capabilities: {name}")

    def takes(self, part: Media) -> bool:
        """Whether the model takes *part* as it is, with its data or its URL."""
        if not (self.images if part.kind == "image" else self.documents):
            return False
        return part.url is None or (self.urls and (part.kind == "image" or self.document_urls))


class Accumulator(Protocol):
    """Builds from the events of a stream the same `Reply` that `decode` builds from the whole answer."""

    def feed(self, event: Json) -> Delta | None:
        """Take in one event; return the part of it that the caller may see."""

    def reply(self) -> Reply:
        """The whole reply. Raises `BadReplyError` when the provider's terminal event has not come."""


class CancelToken:
    """Ends a blocking request from another thread.

    The driver fires it when the time is up. While a backend's synchronous I/O waits, it has attached a
    function that ends the wait: normally one that shuts the socket down.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._cut: Callable[[], object] | None = None
        self.fired = False

    def attach(self, cut: Callable[[], object]) -> None:
        """Have *cut* called when the token fires; at once if it has fired already."""
        with self._lock:
            self._cut = cut
            if self.fired:
                cut()

    def detach(self) -> None:
        """Forget what was attached, and the response in it: the request is over."""
        with self._lock:
            self._cut = None

    def fire(self) -> None:
        """End the wait. Does nothing the second time."""
        with self._lock:
            first, self.fired = not self.fired, True
            if first and self._cut is not None:
                self._cut()


@runtime_checkable
class Backend(Protocol):
    """One provider. Threads and event loops share an instance, so it holds no state of a call.

    `BaseBackend` has further, optional parts. A class that does not derive from it may have them, too.
    """

    name: str
    """The provider's name, as in `name:model`, in errors and in `Result.model`."""

    dialect: Dialect
    """Which JSON Schemas the provider accepts."""

    def capabilities(self, model: str) -> Capabilities:
        """What *model* supports. No I/O."""

    def encode(self, request: Request) -> JsonObject:
        """The body of a request that is not streamed, ready to be sent."""

    def decode(self, raw: Json) -> Reply:
        """The reply in the provider's parsed answer. Raises `BadReplyError` for an unexpected format."""

    def accumulator(self) -> Accumulator:
        """A new accumulator for one stream."""

    def explain(self, error: Exception) -> AlloyError | None:
        """*error* as an Alloy error, or `None` when the transport did not raise it."""

    def send(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Json:
        """Send *body* and wait for the answer; the return value goes to `decode`."""

    async def send_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> Json:
        """As `send`. Cancelling it ends the request."""

    def open(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken
    ) -> Generator[Json, None, None]:
        """Send *body* as a streamed request and yield its events. Closing it ends the request."""

    def open_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> AsyncGenerator[Json, None]:
        """As `open`."""


class BaseBackend:
    """The defaults for the optional parts of a backend."""

    dialect: Dialect = Dialect()
    """Which JSON Schemas the provider accepts: by default, all of them."""

    prefixes: tuple[str, ...] = ()
    """Model names that begin with one of these reach the backend without `name:`.

    To know them, the module of every installed backend is imported when the first model name without a
    provider is used. A package avoids that with `PREFIXES = {"name": ("prefix-", …)}` in the `__init__.py`
    next to the module that its entry point names.
    """

    packages: tuple[str, ...] = ()
    """The packages that it needs, by their names on the index: `alloy.doctor` looks at their versions."""

    key_variables: tuple[str, ...] = ()
    """The environment variables that hold its keys: their values never appear in an error.

    One whose name ends in `_HEADERS` has a header in each line.
    """

    may_ignore: bool = True
    """Whether its servers may ignore a schema or a forced tool; otherwise prose is an ordinary answer."""

    own_hosts: tuple[str, ...] = ()
    """The hosts of the provider itself, or the first word of `address` where that is not a URL.

    What a request asks for and another server ignores, is not asked of that server again.
    """

    has_connections: bool = False
    """Whether its requests need connections, so that the setting `max_connections` counts them."""

    def load(self) -> None:
        """Import what takes long, such as an SDK: called once, before the time limit of a request starts."""

    def check(self, model: str, endpoint: Endpoint) -> None:
        """Raise `ConfigurationError` for what is missing to ask *model*, such as a key; no request is sent.

        *endpoint* has a key as it is sent, if the settings have one. `alloy.doctor` calls it after `load`.
        """

    def address(self, endpoint: Endpoint) -> str | None:
        """Where requests would go now; `None` if unknown. What Alloy remembers of a model holds there only.

        Cheap, without I/O, and it raises nothing, whatever other settings may be missing. A backend
        overrides it whose address depends on more than *endpoint*, such as the environment.
        """
        return endpoint.base_url

    def model_version(self, model: str) -> str | None:
        """What tells *model* from another one of the same name at the same address, such as its file.

        It is in the key of a response cache. May raise what sending the request would raise.
        """
        return None


# --- the optional parts, of any backend ---------------------------------------------------------------


def address_of(backend: Backend, endpoint: Endpoint) -> str | None:
    """Where requests would go now: see `BaseBackend.address`."""
    address: Callable[[Endpoint], str | None] | None = getattr(backend, "address", None)
    return endpoint.base_url if address is None else address(endpoint)


def model_version_of(backend: Backend, model: str) -> str | None:
    """What tells *model* from others of its name: see `BaseBackend.model_version`."""
    version: Callable[[str], str | None] | None = getattr(backend, "model_version", None)
    return None if version is None else version(model)


def is_own_address(backend: Backend, endpoint: Endpoint) -> bool:
    """Whether requests would go to the provider itself, and not to a compatible server or a gateway."""
    hosts: tuple[str, ...] = getattr(backend, "own_hosts", ())
    address = address_of(backend, endpoint) or ""
    try:
        host = urlsplit(address).hostname
    except ValueError:  # not an address
        return False
    return (host or address.partition(" ")[0]) in hosts


def secrets_of(backend: Backend, endpoint: Endpoint) -> tuple[str, ...]:
    """The keys that a request to *endpoint* may carry: its own, and those of the environment."""
    found = list(endpoint.secrets)
    for name in getattr(backend, "key_variables", ()):
        text = os.environ.get(name, "").strip()
        found.append(text)
        if name.endswith("_HEADERS"):  # one in each line
            lines = (line.partition(":") for line in text.splitlines())
            found += secret_values((header, value) for header, _, value in lines)
    addresses = (text for name, text in os.environ.items() if name.upper().endswith(_ADDRESSES))
    found += [secret for address in addresses for secret in secrets_in_url(address)]
    return tuple(each.strip() for each in found if each.strip())


_ADDRESSES = ("_PROXY", "_BASE_URL", "OLLAMA_HOST")  # of servers and proxies, with a password perhaps


class _Instances:
    """Objects that are remembered for as long as they live; they need be neither hashable nor comparable."""

    def __init__(self) -> None:
        self._by_id: dict[int, Any] = {}

    def __contains__(self, instance: object) -> bool:
        return id(instance) in self._by_id

    def add(self, instance: object) -> None:
        key = id(instance)
        try:
            self._by_id[key] = weakref.ref(instance, lambda _: self._by_id.pop(key, None))
        except TypeError:  # a class with __slots__: kept, so that no other object gets its id
            self._by_id[key] = instance


_loaded = _Instances()


def is_loaded(backend: Backend) -> bool:
    """Whether *backend* has nothing left to load."""
    return backend in _loaded or not hasattr(backend, "load")


def load_backend(backend: Backend) -> None:
    """Call the backend's `load`, once for each instance, before a request's time limit begins."""
    if not is_loaded(backend):
        backend.load()  # type: ignore[attr-defined]
        _loaded.add(backend)


def import_sdk(module: str, *, extra: str) -> ModuleType:
    """Import a provider's SDK on first use. Raises `ConfigurationError` with the install line."""
    try:
        return import_extra(module, extra, f"this model needs the package {module!r}")
    except RuntimeError as error:
        if (late := late_error(error)) is None:
            raise
        raise late from error
