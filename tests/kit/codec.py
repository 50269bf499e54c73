"""How the tests feed a codec."""

from __future__ import annotations

from typing import Any

from alloy.messages import Reply


def feed(backend: Any, events: list[Any]) -> tuple[Reply, list[Any]]:
    """The reply of *events*, and the deltas that came on the way."""
    accumulator = backend.accumulator()
    deltas = [accumulator.feed(event) for event in events]
    return accumulator.reply(), [delta for delta in deltas if delta is not None]


def joined(deltas: list[Any], kind: type[Any]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, kind))
