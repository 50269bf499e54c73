"""A route: where a request goes, and what is known of the model there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from alloy.backends.base import Backend, Capabilities, address_of
from alloy.messages import Endpoint

__all__ = ["ModelAddress", "Route"]


class ModelAddress(NamedTuple):
    """A model at an address; `None` when only the backend knows the address."""

    backend: str
    address: str | None
    model: str


@dataclass(frozen=True, slots=True)
class Route:
    """A backend, the model's name there, and the endpoint to reach it by."""

    backend: Backend
    model: str
    endpoint: Endpoint = field(default_factory=Endpoint)

    @property
    def name(self) -> str:
        """`provider:model`, as settings and results write it."""
        return f"{self.backend.name}:{self.model}"

    @property
    def capabilities(self) -> Capabilities:
        """What the backend's table says of the model."""
        return self.backend.capabilities(self.model)

    @property
    def address(self) -> ModelAddress:
        """The key under which missing features of the model are remembered."""
        return ModelAddress(self.backend.name, address_of(self.backend, self.endpoint), self.model)
