"""`doctor`: what this process would do with a call, and what is missing for it.

It looks at the installed packages, the keys, the settings and where each came from, the models, and what is
known of servers: circuits that are open, and features that a model turned out to lack.
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from alloy import __version__
from alloy._engine.fallbacks import missing_features
from alloy._engine.models import models
from alloy._engine.routes import Route
from alloy.addresses import address_problem
from alloy.arguments import check_flag
from alloy.backends.base import address_of, load_backend
from alloy.backends.registry import backend_names, resolve
from alloy.caches.cache import CacheInfo
from alloy.circuit_breakers import CircuitState, circuit_states
from alloy.config import check_settings, current, ignored_variables, sources
from alloy.endpoints import without_credentials
from alloy.errors import AlloyError, ConfigurationError
from alloy.excerpts import printable
from alloy.jsontypes import JsonObject
from alloy.settings import MODELS, SETTINGS, Setting

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from alloy.options import Settings

__all__ = ["Checkup", "doctor"]

CONNECT_SECONDS = 3.0
DISTRIBUTION = "alloy-ai"


@dataclass(frozen=True, slots=True)
class PackageFound:
    """An optional package: *installed* is its version, *needs* are those that Alloy takes, *extra* has it."""

    name: str
    installed: str | None
    needs: str
    extra: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class KeyFound:
    """A *variable* with a key of *backends*, and whether it is set; its value is never shown."""

    variable: str
    backends: tuple[str, ...]
    is_set: bool


@dataclass(frozen=True, slots=True)
class SettingFound:
    """A setting that is not the default: its *value* as text, without secrets, and its *source*."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class ModelFound:
    """A model that would be asked, and where.

    *lacks* are the features that are emulated, by the table or because the model turned out to lack them;
    *left_out* are settings that are not sent, *refused* those that are an error. *problem* says why it cannot
    be asked, and is `None` if nothing is known to be missing. *is_reached* is `None` if it was not tried.
    """

    name: str
    backend: str
    address: str | None
    lacks: tuple[str, ...]
    left_out: tuple[str, ...]
    refused: tuple[str, ...]
    problem: str | None
    is_reached: bool | None


@dataclass(frozen=True, slots=True)
class Checkup:
    """What `doctor` found. `str()` is for people, `to_dict()` for programs.

    *problems* are what makes a call fail, *notes* what is ignored or wrong and not needed, each with what to
    do.
    """

    alloy: str
    python: str
    packages: tuple[PackageFound, ...]
    keys: tuple[KeyFound, ...]
    settings: tuple[SettingFound, ...]
    models: tuple[ModelFound, ...]
    circuits: tuple[CircuitState, ...]
    cache: CacheInfo | None
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether a call could be made with these settings, as far as can be known without making it."""
        return not self.problems

    def to_dict(self) -> JsonObject:
        """All of it as plain JSON values."""
        return {"ok": self.ok, **json.loads(json.dumps(asdict(self)))}

    def __str__(self) -> str:
        return printable("\n".join(_lines(self)), lines=True)


def doctor(*, connect: bool = False, **settings: Unpack[Settings]) -> Checkup:
    """Check what a call with *settings* would need, in this process and at this place; no model is asked.

    A server on this machine is connected to for a moment, to see whether it runs; with *connect* the
    provider's server is, too. Circuits are those of all circuit breakers in this process. Raises
    `ConfigurationError` for an unknown setting or an invalid value.
    """
    given = check_settings(settings, "doctor()", ("connect",))
    check_flag(connect, "doctor(): connect")
    chosen = current(given)
    packages = {each.name: each for each in _packages()}
    problems: list[str] = []
    routes: list[Route] = []
    try:
        routes += [route for route, _ in models(chosen)]
    except ConfigurationError as error:
        problems.append(str(error))
    cache: CacheInfo | None = None
    try:
        cache = None if chosen.cache is None else chosen.cache.info()
    except ConfigurationError as error:
        problems.append(str(error))
    needed = {name for route in routes for name in _packages_of(route)}
    found = tuple(_model(route, packages, connect=connect) for route in routes)
    problems += [f"{model.name}: {model.problem}" for model in found if model.problem]
    notes = [why for name in packages.keys() - needed if (why := _wrong_version(packages[name]))]
    where = {**sources(), **dict.fromkeys(given, "an argument")}
    return Checkup(
        alloy=__version__,
        python=f"{platform.python_version()} on {platform.system()}",
        packages=tuple(packages.values()),
        keys=tuple(_keys()),
        settings=tuple(
            SettingFound(name, _shown(row, getattr(chosen, name)), where[name])
            for name, row in SETTINGS.items()
            if name in where
        ),
        models=found,
        circuits=circuit_states(),
        cache=cache,
        problems=tuple(problems),
        notes=(*sorted(notes), *(f"{name} is ignored: {why}" for name, why in ignored_variables())),
    )


def _shown(row: Setting, value: Any) -> str:
    """*value*, which is valid, as text without secrets."""
    if row.is_address and value is not None:
        return repr(without_credentials(value))
    return repr(list(value)) if row.kind is MODELS and isinstance(value, tuple) else row.shown(value)


# --- packages and keys --------------------------------------------------------------------------------

_BOUND = re.compile(r"(>=|<)\s*([\d.]+)")


def _packages() -> Iterator[PackageFound]:
    from importlib.metadata import PackageNotFoundError, requires, version

    listed: Sequence[str] = ()
    with suppress(PackageNotFoundError):  # it runs from a folder, and is not installed
        listed = requires(DISTRIBUTION) or ()
    optional = [found for found in map(_requirement, listed) if found is not None]
    sizes = Counter(extra for _, _, extra in optional)
    # A package of several extras is listed once, with the extra that has the fewest others.
    optional.sort(key=lambda found: sizes[found[2]], reverse=True)
    for name, (needs, extra) in sorted({name: rest for name, *rest in optional}.items()):
        installed = None
        with suppress(PackageNotFoundError):
            installed = version(name)
        is_right = installed is not None and _is_within(installed, needs)
        yield PackageFound(name, installed, needs, extra, is_right)


def _packages_of(route: Route) -> tuple[str, ...]:
    names: tuple[str, ...] = getattr(route.backend, "packages", ())
    return names


def _wrong_version(found: PackageFound) -> str | None:
    """What to do about a package that is installed in a version which Alloy does not take."""
    if found.installed is None or found.is_right:
        return None
    return f"{found.name} {found.installed} is installed, and Alloy needs {found.needs}: {_install(found)}"


def _install(found: PackageFound) -> str:
    return f"pip install '{DISTRIBUTION}[{found.extra}]'"


def _requirement(line: str) -> tuple[str, str, str] | None:
    """The name, the versions and the extra of an optional requirement: `openai<4,>=2; extra == "openai"`."""
    wanted, _, condition = line.partition(";")
    _, _, extra = condition.partition("extra == ")
    if not extra or "[" in wanted:  # an extra of Alloy itself is listed by its packages
        return None
    name = re.match(r"[\w.-]+", wanted)
    if name is None:
        return None
    bounds = sorted(wanted[name.end() :].strip().split(","), reverse=True)  # the lower one first
    return name[0], ",".join(bounds), extra.strip(" '\"")


def _is_within(version: str, bounds: str) -> bool:
    given = _release(version)
    return all(
        (given >= _release(bound)) if sign == ">=" else (given < _release(bound))
        for sign, bound in _BOUND.findall(bounds)
    )


def _release(version: str) -> tuple[int, ...]:
    """The numbers of *version*, without zeros at the end: 2.0 is 2 (PEP 440)."""
    leading = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(number) for number in leading[0].split(".")] if leading else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _keys() -> Iterator[KeyFound]:
    users: dict[str, list[str]] = {}
    for name in backend_names():
        with suppress(AlloyError):  # a package of others that cannot be loaded
            backend, _ = resolve(None, name)
            for variable in getattr(backend, "key_variables", ()):
                users.setdefault(variable, []).append(name)
    for variable, names in users.items():
        yield KeyFound(variable, tuple(names), bool(os.environ.get(variable, "").strip()))


# --- models -------------------------------------------------------------------------------------------


def _model(route: Route, packages: Mapping[str, PackageFound], *, connect: bool) -> ModelFound:
    can, gaps = route.capabilities, missing_features(route.address)
    table = {
        "tools": can.tools,
        "structured output": can.structured_output,
        "tools with structured output": can.output_with_tools,
    }
    remembered = {
        "tools": "tools",
        "output": "structured output",
        "output_with_tools": "tools with structured output",
    }
    lacks = {name for name, there in table.items() if not there} | {remembered.get(gap, gap) for gap in gaps}
    address = address_of(route.backend, route.endpoint)
    wrong = (_wrong_version(packages[name]) for name in _packages_of(route) if name in packages)
    problem, is_reached = next(filter(None, wrong), None) or _why_not_ready(route), None
    if problem is None and address is not None:
        is_reached, problem = _reach(address, connect=connect)
    return ModelFound(
        name=route.name,
        backend=route.backend.name,
        address=address and without_credentials(address),
        lacks=tuple(sorted(lacks)),
        left_out=tuple(sorted(can.drops)),
        refused=tuple(sorted(can.refuses)),
        problem=problem,
        is_reached=is_reached,
    )


def _why_not_ready(route: Route) -> str | None:
    """What is missing to ask the model: its SDK, or a key."""
    try:
        load_backend(route.backend)
        if (check := getattr(route.backend, "check", None)) is not None:
            check(route.model, route.endpoint.with_key())
    except AlloyError as error:
        return str(error)
    return None


def _reach(address: str, *, connect: bool) -> tuple[bool | None, str | None]:
    """Whether something listens at *address*, if that was tried, and the problem otherwise."""
    if not address.lower().startswith(("http://", "https://")):
        return None, None
    if (why := address_problem(address)) is not None:
        return False, f"{without_credentials(address)} is not an address, because {why}"
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if not connect and not _is_here(host):
        return None, None
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return False, f"nothing answers at {host}:{port} ({error}): start the server, or correct base_url"
    return True, None


def _is_here(host: str) -> bool:
    """Whether *host* is this machine, as far as its name says."""
    try:
        ip = ip_address(host)
    except ValueError:
        return host == "localhost"
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_loopback or ip.is_unspecified


# --- as text ------------------------------------------------------------------------------------------


def _lines(found: Checkup) -> Iterator[str]:
    yield f"Alloy {found.alloy}, Python {found.python}"
    yield from _section("Packages", (_package_row(each) for each in found.packages))
    yield from _section("Keys", ((key.variable, "set" if key.is_set else "not set") for key in found.keys))
    yield from _section("Settings", ((each.name, each.value, each.source) for each in found.settings))
    for model in found.models:
        yield from _section(f"Model {model.name}", _model_rows(model))
    if (cache := found.cache) is not None:
        answers = f"{cache.answers} answer{'s' * (cache.answers != 1)}"
        yield from _section("Response cache", [(cache.path, answers, f"{cache.bytes / 1e6:.1f} MB")])
    yield from _section("Circuits", map(_circuit_row, found.circuits))
    for title, texts in (("Notes", found.notes), ("Problems", found.problems)):
        yield from _section(title, ((text,) for text in texts))
    yield ""
    yield "Ready." if found.ok else "Not ready."


def _section(title: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """*rows* as aligned columns under *title*; nothing if there are none."""
    listed = [tuple(row) for row in rows]
    if not listed:
        return
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    yield ""
    yield title
    for row in listed:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def _package_row(found: PackageFound) -> tuple[str, str, str]:
    if found.installed is None:
        return found.name, "-", _install(found)
    fix = "" if found.is_right else f"Alloy needs {found.needs}: {_install(found)}"
    return found.name, found.installed, fix


def _model_rows(model: ModelFound) -> Iterator[tuple[str, str]]:
    if model.address is not None:
        reached = {True: " (reached)", False: " (not reached)", None: ""}[model.is_reached]
        yield "address", f"{model.address}{reached}"
    for title, names in (
        ("emulated", model.lacks),
        ("not sent", model.left_out),
        ("refused", model.refused),
    ):
        if names:
            yield title, ", ".join(names)
    yield "ready", "yes" if model.problem is None else "no: see below"


def _circuit_row(circuit: CircuitState) -> tuple[str, str, str]:
    failures = f"{circuit.failures} failure{'s' * (circuit.failures != 1)}"
    wait = f", next trial in {circuit.seconds:.0f} s" if circuit.state == "open" else ""
    where = circuit.address or "the SDK's address"
    return f"{circuit.backend}:{circuit.model}", where, f"{circuit.state}, {failures}{wait}"
