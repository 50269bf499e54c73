"""The models of a call, in the order in which they are asked: the route to each, and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from alloy._engine.routes import Route, endpoint_of
from alloy.backends.registry import resolve
from alloy.errors import ConfigurationError
from alloy.logger import log
from alloy.settings import SENT, Config, ModelEntry

__all__ = ["models"]


def models(settings: Config) -> Sequence[tuple[Route, Config]]:
    """The route to each model that *settings* name, and the settings for it. Raises `ConfigurationError`."""
    if not isinstance(settings.model, tuple):
        return ((_route(settings), settings),)
    found: list[tuple[Route, Config]] = []
    for entry in settings.model:
        chosen = replace(settings, **entry)
        route = _route(chosen)
        if found:  # the first model refuses such a setting with an error
            chosen = _without_refused(chosen, entry, route)
        found.append((route, chosen))
    _check_keys(settings.model, [route for route, _ in found])
    return found


def _route(settings: Config) -> Route:
    assert not isinstance(settings.model, tuple)
    backend, model = resolve(settings.model, settings.backend)
    by_name = settings.backend is None and model == settings.model
    return Route(backend, model, endpoint_of(settings, backend.name), by_name)


def _without_refused(settings: Config, entry: ModelEntry, route: Route) -> Config:
    """*settings* without those for all models that the one of *entry* does not take."""
    refused = route.capabilities.refuses
    dropped = [name for name in SENT if name in refused and name not in entry and getattr(settings, name)]
    if dropped:
        log.debug("%s does not support %s; it is not sent", route.name, ", ".join(dropped))
    nothing: dict[str, Any] = dict.fromkeys(dropped)
    return replace(settings, **nothing)


def _check_keys(entries: Sequence[ModelEntry], routes: Sequence[Route]) -> None:
    """Raise `ConfigurationError` when one server would get the key that was set for another one."""
    if len({route.backend.name for route in routes}) == 1:
        return
    for entry, route in zip(entries, routes, strict=True):
        endpoint = route.endpoint
        if endpoint.api_key is not None and endpoint.base_url is None and "api_key" not in entry:
            raise ConfigurationError(
                "api_key is set for models of several providers, which would all get it: write it for its "
                f'model alone, as in model=[{{"model": {entry["model"]!r}, "api_key": …}}, …]'
            )
    shared = [
        (entry["model"], variables)
        for entry, route in zip(entries, routes, strict=True)
        if "base_url" not in entry and route.endpoint.base_url is not None and route.endpoint.api_key is None
        if (variables := getattr(route.backend, "key_variables", ()))
    ]
    if len({variables for _, variables in shared}) > 1:
        raise ConfigurationError(
            "base_url is set for models of several providers, and the keys of all of them in the environment "
            "would be sent there: write it for its model alone, as in "
            f'model=[{{"model": {shared[0][0]!r}, "base_url": …}}, …], or give the api_key of that server'
        )
