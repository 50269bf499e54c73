"""A route: where a request goes, and what is known of the model there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from alloy.backends.base import Backend, Capabilities, address_of, secrets_of
from alloy.backends.registry import check_backend_names
from alloy.endpoints import ByBackend, Endpoint
from alloy.messages import RequestUsage, Usage
from alloy.settings import Config

__all__ = ["ModelAddress", "Route", "endpoint_of", "secrets_of_all"]


class ModelAddress(NamedTuple):
    """A model at an address; `None` when only the backend knows the address."""

    backend: str
    address: str | None
    model: str


@dataclass(frozen=True, slots=True)
class Route:
    """A backend, the model's name there, and the endpoint to reach it by.

    *by_name* says that the backend follows from the model's name, because no provider was given, and
    *in_batch* that its requests are paid for as those of batches.
    """

    backend: Backend
    model: str
    endpoint: Endpoint = field(default_factory=Endpoint)
    by_name: bool = field(default=False, compare=False)
    in_batch: bool = field(default=False, compare=False)

    @property
    def name(self) -> str:
        """`provider:model`, as settings and results write it."""
        return f"{self.backend.name}:{self.model}"

    def used(self, usage: Usage) -> RequestUsage:
        """What a request along this route used."""
        return RequestUsage(self.name, usage, address_of(self.backend, self.endpoint), self.in_batch)

    @property
    def may_ignore(self) -> bool:
        """Whether the server there may ignore what a request asks for."""
        return getattr(self.backend, "may_ignore", True)

    @property
    def capabilities(self) -> Capabilities:
        """What the backend's table says of the model."""
        return self.backend.capabilities(self.model)

    @property
    def address(self) -> ModelAddress:
        """The key under which missing features of the model are remembered."""
        return ModelAddress(self.backend.name, address_of(self.backend, self.endpoint), self.model)


def secrets_of_all(routes: Iterable[Route]) -> list[str]:
    """The secrets of all models of a call: any of its servers may repeat those of another."""
    return [secret for route in routes for secret in secrets_of(route.backend, route.endpoint)]


def endpoint_of(settings: Config, backend: str) -> Endpoint:
    """How *settings* say to reach the provider of *backend*.

    Raises `ConfigurationError` for a dict by backend name that has another key.
    """
    chosen: dict[str, Any] = {"max_response_bytes": settings.max_response_bytes}
    for name in ("headers", "http_client", "transport"):
        value: ByBackend[Any] | None = getattr(settings, name)
        if value is not None:
            check_backend_names(name, (key for key in value if key is not None), backend)
            if (found := value.of(backend)) is not None:
                chosen[name] = found
    return Endpoint(settings.base_url, settings.api_key, **chosen)
