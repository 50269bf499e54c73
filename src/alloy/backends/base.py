"""What a backend is, and how a model's name finds one.

A backend is a codec between Alloy's plain data and one provider's wire: everything but `send`,
`send_async`, `open` and `open_async` is pure. All that differs between providers is in that
provider's one file. Built-in backends register through the entry-point group `alloy.backends`, as
third parties do.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

from alloy.errors import (
    AlloyError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ModelNotFoundError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
)
from alloy.messages import Delta, Endpoint, Reply, Request

__all__ = [
    "Accumulator",
    "Backend",
    "CancelToken",
    "Capabilities",
    "address_of",
    "backend_names",
    "import_sdk",
    "register_backend",
    "resolve",
    "status_error",
]

GROUP = "alloy.backends"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do by itself; what it cannot, Alloy stands in for or refuses before it sends.

    *tools* and *structured_output* are native ones, *output_with_tools* both in one request, and
    *loose_output* structured output by a schema that strict mode does not hold. *images*
    and *documents* are taken as data, with *urls* by address too (documents with *document_urls* as
    well). Settings in *drops* are ones that the model rejects and that it can go without: they are left
    out. Settings in *refuses* have no counterpart: using one is a `ConfigurationError`.
    """

    tools: bool = True
    structured_output: bool = True
    output_with_tools: bool = True
    loose_output: bool = True
    images: bool = True
    documents: bool = True
    urls: bool = True
    document_urls: bool = True
    drops: frozenset[str] = frozenset()
    refuses: frozenset[str] = frozenset()


class Accumulator(Protocol):
    """Builds, out of a stream's events, the very `Reply` that `decode` makes of the whole answer."""

    def feed(self, event: Any) -> Delta | None:
        """Take one event in; give back what the caller may see of it."""

    def reply(self) -> Reply:
        """The whole reply. Raises `BadReplyError` when the provider's terminal event has not come."""


class CancelToken:
    """Cuts a blocking request off from another thread.

    The driver fires it when time is up. A backend's synchronous I/O attaches what ends its wait, as
    soon as it has it: normally a function that shuts the response's socket down.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cut: Callable[[], object] | None = None
        self.fired = False

    def attach(self, cut: Callable[[], object]) -> None:
        """Have *cut* called when the token fires; at once if it has fired already."""
        with self._lock:
            self._cut = cut
            late = self.fired
        if late:
            cut()

    def fire(self) -> None:
        """End the wait. Does nothing the second time."""
        with self._lock:
            first, self.fired = not self.fired, True
            cut = self._cut
        if first and cut is not None:
            cut()


@runtime_checkable
class Backend(Protocol):
    """One provider. Instances are shared by threads and event loops, so they hold no call's state.

    A backend may also have `address(endpoint: Endpoint) -> str | None`: see `address_of`.
    """

    # Optional: `load()` imports what takes long, an SDK, before a request's time limit begins to run.

    name: str
    """The provider's name, as in `name:model`, in errors and in `Result.model`."""

    dialect: str
    """Which rules the provider's JSON Schemas obey: a key of `alloy._typed.schemas.dialects.DIALECTS`."""

    def capabilities(self, model: str) -> Capabilities:
        """What *model* can do. No I/O."""

    def encode(self, request: Request) -> dict[str, Any]:
        """The body of a request that is not streamed, ready to be sent."""

    def decode(self, raw: Any) -> Reply:
        """The reply in the provider's parsed answer. Raises `BadReplyError` when it is none."""

    def accumulator(self) -> Accumulator:
        """A fresh accumulator for one stream."""

    def explain(self, error: Exception) -> AlloyError | None:
        """*error* in Alloy's terms, or `None` when it comes from neither the SDK nor its transport."""

    def send(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Any:
        """Send *body* and wait for the answer; the return value goes to `decode`."""

    async def send_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> Any:
        """As `send`. Cancelling it ends the request."""

    def open(
        self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken
    ) -> Generator[Any, None, None]:
        """Send *body* as a streamed request and yield its events. Closing it ends the request."""

    def open_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> AsyncGenerator[Any, None]:
        """As `open`."""


def address_of(backend: Backend, endpoint: Endpoint) -> str | None:
    """Where requests would go now, as *backend* tells by its `address`; `None` for nowhere, or who knows.

    What Alloy learns of a model holds for one address. A backend whose address depends on more than
    *endpoint*, as on the environment, has the method: cheap, without I/O, and raising nothing, whatever
    else may be missing.
    """
    tell: Callable[[Endpoint], str | None] | None = getattr(backend, "address", None)
    return endpoint.base_url if tell is None else tell(endpoint)


# --- the registry ---------------------------------------------------------------------------------

_registered: dict[str, Backend | Callable[[], Backend]] = {}
_loaded: dict[str, Backend] = {}
_lock = threading.RLock()

# Names that are unmistakably one provider's. Everything else is written `provider:model`.
_prefixes: dict[str, str] = {
    "gpt-": "openai",
    "chatgpt-": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "ft:gpt-": "openai",
    "claude-": "anthropic",
    "gemini-": "gemini",
    "fake": "fake",
    # The families in Ollama's library that are nobody else's; its `gpt-oss` is longer than `gpt-`.
    "gpt-oss": "ollama",
    "llama": "ollama",
    "qwen": "ollama",
    "qwq": "ollama",
    "mistral": "ollama",
    "mixtral": "ollama",
    "gemma": "ollama",
    "phi3": "ollama",
    "phi4": "ollama",
    "deepseek-r1": "ollama",
    "codellama": "ollama",
    "granite": "ollama",
    "smollm": "ollama",
    "llava": "ollama",
    "devstral": "ollama",
}


def register_backend(
    name: str, backend: Backend | Callable[[], Backend], *, prefixes: tuple[str, ...] = ()
) -> None:
    """Make `name:model` reach *backend*, an instance or a function that makes one on first use.

    Model names that start with one of *prefixes* reach it without `name:`. A later registration
    of the same name replaces the earlier one, the built-in ones included. Packages register
    without code, by an entry point `name = "package.module:backend"` in the group
    `alloy.backends`. Raises `ConfigurationError` for a name with a colon.
    """
    if not name or ":" in name:
        raise ConfigurationError(f"a backend's name is a word without a colon, not {name!r}")
    with _lock:
        _registered[name] = backend
        _loaded.pop(name, None)
        _prefixes.update(dict.fromkeys(prefixes, name))


def backend_names() -> list[str]:
    """The names of all backends that can be reached, sorted."""
    with _lock:
        return sorted({*_registered, *(point.name for point in _entry_points())})


def resolve(model: str | None, backend: str | None = None) -> tuple[Backend, str]:
    """The backend for *model* and the name that the provider knows the model by.

    *backend* overrides what the name says. Raises `ConfigurationError` when nothing fits.
    """
    if backend is not None:
        prefix, _, rest = (model or "").partition(":")
        return _load(backend, model), rest if rest and prefix == backend else model or backend
    if not model:
        raise ConfigurationError(
            'no model: say which with @command(model="gpt-5.6"), configure(model=…) or ALLOY_MODEL, '
            "or run offline with ALLOY_BACKEND=fake"
        )
    # The part before a colon is a provider only if it is one's name: Ollama's models have colons too.
    prefix, colon, rest = model.partition(":")
    if colon and rest and (prefix in _loaded or prefix in backend_names()):
        return _load(prefix, model), rest
    known = [(start, name) for start, name in list(_prefixes.items()) if model.startswith(start)]
    if known:
        return _load(max(known, key=lambda pair: len(pair[0]))[1], model), model
    raise ConfigurationError(
        f"no backend is known for the model {model!r}: write provider:model, "
        f"where provider is one of {', '.join(backend_names())}"
    )


def _load(name: str, model: str | None) -> Backend:
    if (found := _loaded.get(name)) is not None:
        return found
    with _lock:
        if (found := _loaded.get(name)) is not None:  # by another thread, meanwhile
            return found
        source: Any = _registered.get(name)
        if source is None:
            points = [point for point in _entry_points() if point.name == name]
            if not points:
                asked = f" (for the model {model!r})" if model else ""
                raise ConfigurationError(
                    f"no backend {name!r}{asked}; there are {', '.join(backend_names())}"
                )
            source = _loaded_point(points[0])
        # A class that says its name and dialect in its body looks like an instance of the protocol.
        made = isinstance(source, Backend) and not isinstance(source, type)
        backend = source if made else source()
        if not isinstance(backend, Backend):
            raise ConfigurationError(f"the backend {name!r} is a {type(backend).__name__}, not a Backend")
        _loaded[name] = backend
        return backend


def _loaded_point(point: Any) -> Any:
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        package = f" of {point.dist.name}" if point.dist else ""
        raise ConfigurationError(
            f"the backend {point.name!r}{package} ({point.value}) cannot be loaded: {error}"
        ) from error


def _entry_points() -> Any:
    from importlib.metadata import entry_points  # 15 ms that only the first model call pays

    return entry_points(group=GROUP)


def import_sdk(module: str, *, extra: str) -> ModuleType:
    """Import a provider's SDK on first use. Raises `ConfigurationError` with the install line."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # the SDK is there and one of *its* imports is not
        raise ConfigurationError(
            f"this model needs the package {module!r}: pip install 'alloy-ai[{extra}]'"
        ) from error


# --- what every provider's `explain` shares -------------------------------------------------------


def status_error(
    provider: str,
    status: int,
    message: str,
    *,
    code: str | None = None,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProviderError:
    """The error for an HTTP *status* of 400 or more; *headers* may hold how long to wait."""
    transient: bool | None = None
    if status in (401, 403):
        kind: type[ProviderError] = AuthenticationError
    elif status == 404:
        kind = ModelNotFoundError
    elif status == 408:
        kind = ProviderTimeoutError
    elif status == 429:
        kind = RateLimitError
        # A spent quota has the same status as haste, but no wait of ours will fill it.
        transient = code != "insufficient_quota"
    elif status >= 500:
        kind = ServerError
        transient = status not in (501, 505)
    else:
        kind, transient = BadRequestError, status == 409
    return kind(
        message,
        provider=provider,
        status=status,
        code=code,
        request_id=request_id,
        retry_after=retry_after(headers or {}),
        transient=transient,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, by `retry-after-ms` or `Retry-After` (RFC 9110, 10.2.3: seconds or a date)."""
    value = headers.get("retry-after", "")
    for text, unit in ((headers.get("retry-after-ms", ""), 1000), (value, 1)):
        with suppress(ValueError):
            if (seconds := float(text) / unit) == seconds:  # and so is no NaN
                return max(0.0, seconds)
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    # RFC 9110, 5.6.7: the obsolete form of a date names no zone and means UTC.
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - _now())


def _now() -> float:
    import time

    return time.time()


def _after_fork() -> None:
    # A lock held by another thread at the moment of the fork would stay locked in the child.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
