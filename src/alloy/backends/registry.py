"""How a backend is found: by `name:model`, by a well-known model name, or by the setting `backend`.

Built-in backends and those of other packages register by an entry point in the group
`alloy.backends`, and programs by `register_backend`.
"""

from __future__ import annotations

import re
import string
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

from alloy.arguments import names_checked
from alloy.backends.base import Backend
from alloy.errors import ConfigurationError
from alloy.logger import log
from alloy.suggestions import did_you_mean, nearest
from alloy.threads import in_forked_child

__all__ = ["register_backend"]

GROUP = "alloy.backends"
PAGE = "https://github.com/lydakis/alloy/blob/main/docs/backends.md"


class _Registration(NamedTuple):
    source: Backend | Callable[[], Backend]
    prefixes: tuple[str, ...]


_registered: dict[str, _Registration] = {}
_backends: dict[str, Backend] = {}  # those in use, by name
_installed: dict[str, tuple[str, ...]] | None = None  # prefixes of entry points, by name; read when needed
_routes: dict[str, str] | None = None  # prefixes of model names with names of backends; read when needed
_lock = threading.RLock()


@names_checked
def register_backend(
    name: str, backend: Backend | Callable[[], Backend], *, prefixes: tuple[str, ...] = ()
) -> None:
    """Make `name:model` reach *backend*, an instance or a function that makes one on first use.

    Model names that start with one of *prefixes*, or of the backend's own `prefixes`, reach it without
    `name:`. A later registration of the same name replaces the earlier one with its prefixes; one that
    replaces an installed backend, such as a built-in one, keeps the prefixes of that backend unless it
    has some. Packages register without code, by an entry point `name = "package.module:backend"` in the
    group `alloy.backends`. Raises `ConfigurationError` for a name with a colon, for what is neither a
    function nor a backend with all parts of `Backend`, and for prefixes that are not a tuple of str.
    """
    global _routes
    if not _is_text(name) or ":" in name:
        raise ConfigurationError(f"the name of a backend must be a word without a colon, not {name!r}")
    if not isinstance(backend, Backend) and not callable(backend):
        raise ConfigurationError(
            f"register_backend({name!r}, …) takes a Backend or a function that makes one, "
            f"not {backend!r:.80}: {_missing_parts(backend)}"
        )
    own = _texts(prefixes, f"register_backend({name!r}, …): prefixes") or _own_prefixes(backend)
    with _lock:
        _registered.pop(name, None)  # so that the new one is the last
        _registered[name] = _Registration(backend, own)
        _backends.pop(name, None)
        _routes = None


def backend_names() -> list[str]:
    """The names of all backends that can be reached, sorted."""
    with _lock:
        return sorted({*_registered, *(point.name for point in _entry_points())})


def check_backend_names(setting: str, names: Iterable[str], known: str) -> None:
    """Raise `ConfigurationError` when one of *names*, keys of *setting*, is not a backend; *known* is one."""
    others = set(names) - {known}
    if others and (unknown := sorted(others - set(backend_names()))):
        guess = did_you_mean(nearest(unknown[0], backend_names()))
        raise ConfigurationError(
            f"{setting} is a dict by backend name, and {', '.join(unknown)} is not a backend{guess}; "
            f"the backends are {', '.join(backend_names())}"
        )


def resolve(model: str | None, backend: str | None = None) -> tuple[Backend, str]:
    """The backend for *model* and the name by which the provider knows the model.

    *backend* overrides the provider in the name. Raises `ConfigurationError` when no backend fits.
    """
    if backend is not None:
        prefix, _, rest = (model or "").partition(":")
        return _backend(backend, model), rest if rest and prefix == backend else model or backend
    if not model:
        raise ConfigurationError(
            'no model: say which with @command(model="gpt-5.6"), configure(model=…) or ALLOY_MODEL, '
            "or run offline with ALLOY_BACKEND=fake"
        )
    # The part before a colon is a provider only if a backend has that name: Ollama's models have colons, too.
    prefix, colon, rest = model.partition(":")
    if colon and rest and (prefix in _backends or prefix in backend_names()):
        return _backend(prefix, model), rest
    if (start := _prefix_of(model)) is not None:
        return _backend(_known_routes()[start], model), model
    raise ConfigurationError(
        f"no backend is known for the model {model!r}{did_you_mean(_meant(model))}: {_how_to_choose()}"
    )


def why_reached(model: str) -> str | None:
    """Why *model*, a name without a provider, reaches its backend; `None` for an unknown name."""
    if (start := _prefix_of(model)) is None:
        return None
    name = _known_routes()[start]
    return f"{model!r} goes to {name}, as it begins with {start!r}; for another provider, {_how_to_choose()}"


def _prefix_of(model: str) -> str | None:
    return max(filter(model.startswith, _known_routes()), key=len, default=None)


def _how_to_choose() -> str:
    return (
        f"write provider:model, where provider is one of {', '.join(backend_names())}; without a provider, "
        f"the name must begin with one of {', '.join(sorted(_known_routes()))}"
    )


def _meant(model: str) -> str | None:
    """The name of a model that was probably meant: with a known provider, or with a known beginning."""
    model = model.strip()
    letters = len(model) - len(model.lstrip(string.ascii_letters))
    tail = model[letters:].removeprefix("-")
    meant = {start.rstrip("-"): start + tail for start in _known_routes()}
    head, rest = model[:letters], ""
    if mark := _AFTER_PROVIDER.search(model):
        head, rest = model[: mark.start()], model[mark.end() :]
    if rest:
        meant.update({name: f"{name}:{rest}" for name in backend_names()})
    found = nearest(head, meant)
    return found and meant[found]


_AFTER_PROVIDER = re.compile("[:/]")  # other libraries write provider/model


@contextmanager
def registrations_undone() -> Iterator[None]:
    """Undo at the end of the block what was registered in it, for tests."""
    global _routes
    with _lock:
        before = dict(_registered), dict(_backends)
    try:
        yield
    finally:
        with _lock:
            _registered.clear()
            _backends.clear()
            _registered.update(before[0])
            _backends.update(before[1])
            _routes = None


# --- backends -----------------------------------------------------------------------------------------


def _backend(name: str, model: str | None) -> Backend:
    if (found := _backends.get(name)) is not None:
        return found
    with _lock:
        if (found := _backends.get(name)) is not None:  # another thread was faster
            return found
        _backends[name] = made = _made(name, _source(name, model))
        return made


def _source(name: str, model: str | None) -> Any:
    if name in _registered:
        return _registered[name].source
    for point in _entry_points():
        if point.name == name:
            return _loaded(point)
    wanted = f" (for the model {model!r})" if model else ""
    guess = did_you_mean(nearest(name, backend_names()))
    raise ConfigurationError(f"no backend {name!r}{guess}{wanted}; there are {', '.join(backend_names())}")


def _made(name: str, source: Any) -> Backend:
    # A class that has its name and dialect in its body looks like an instance of the protocol.
    is_instance = isinstance(source, Backend) and not isinstance(source, type)
    backend: Any = source if is_instance else source()
    if not isinstance(backend, Backend):
        kind = type(backend).__name__
        raise ConfigurationError(
            f"the backend {name!r} is a {kind}, not a Backend: {_missing_parts(backend)}"
        )
    _texts(getattr(backend, "key_variables", ()), f"key_variables of the backend {name!r}")
    return backend


def _missing_parts(backend: object) -> str:
    """What of the protocol *backend* lacks, and where a whole backend is shown."""
    from typing_extensions import get_protocol_members

    parts = sorted(get_protocol_members(Backend))
    lacks = ", ".join(part for part in parts if getattr(backend, part, None) is None)
    return f"it lacks {lacks}; see {PAGE}"


def _loaded(point: Any) -> Any:
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


# --- prefixes of model names --------------------------------------------------------------------------


def _known_routes() -> dict[str, str]:
    """Every prefix with the backend that it leads to; the last registered one, if several claim it."""
    global _routes
    if (found := _routes) is not None:
        return found
    with _lock:
        by_name = dict(_installed_prefixes())
        for name, registration in _registered.items():
            if registration.prefixes or name not in by_name:
                by_name.pop(name, None)
                by_name[name] = registration.prefixes
        _routes = {prefix: name for name, prefixes in by_name.items() for prefix in prefixes}
        return _routes


def _installed_prefixes() -> dict[str, tuple[str, ...]]:
    global _installed
    if _installed is None:  # of equal names the first counts, as in _source
        _installed = {point.name: _listed_prefixes(point) for point in reversed(list(_entry_points()))}
    return _installed


def _listed_prefixes(point: Any) -> tuple[str, ...]:
    """What the package of an entry point lists, so that a backend is not imported for its prefixes only."""
    package, _, _ = point.module.rpartition(".")
    try:
        listed = getattr(import_module(package), "PREFIXES", None) if package else None
        if listed is None:
            return _own_prefixes(_loaded(point))
        return _texts(listed.get(point.name, ()), f"PREFIXES of {package}")
    except Exception as error:  # noqa: BLE001 - one broken package must not break the models of the others
        log.warning("the backend %r is ignored for model names without a provider: %s", point.name, error)
        return ()


def _own_prefixes(source: Any) -> tuple[str, ...]:
    return _texts(getattr(source, "prefixes", ()), f"the prefixes of {source!r:.80}")


def _texts(value: Any, what: str) -> tuple[str, ...]:
    """*value* as a tuple of str. A str in its place would be taken for a list of single characters."""
    if not isinstance(value, tuple | list | set | frozenset) or not all(map(_is_text, value)):
        raise ConfigurationError(f'{what} must be a tuple of str, such as ("name-",), not {value!r:.80}')
    return tuple(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


@in_forked_child
def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
