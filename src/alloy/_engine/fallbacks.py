"""What models have turned out not to do by themselves: remembered for the process, said once."""

from __future__ import annotations

import logging
from typing import NamedTuple

__all__ = ["Place", "forget", "lacking", "learn"]

log = logging.getLogger("alloy")


class Place(NamedTuple):
    """A model at an address, which `None` leaves to the backend."""

    backend: str
    address: str | None
    model: str


_lacking: dict[Place, frozenset[str]] = {}


def lacking(place: Place) -> frozenset[str]:
    """The features that the model there is known to lack."""
    return _lacking.get(place, frozenset())


def learn(place: Place, feature: str) -> None:
    """Remember that the model there lacks *feature*."""
    known = lacking(place)
    if feature not in known:
        _lacking[place] = known | {feature}
        log.warning("%s:%s has no native %s; Alloy stands in", place.backend, place.model, feature)


def forget() -> None:
    """Forget everything learned, as for a server that has been updated."""
    _lacking.clear()
