"""Loopback servers that speak the providers' protocols, scripted by the test, able to misbehave.

`server` knows HTTP only. Beside it stands one module for each provider, with builders for what that
provider says: whole answers, and the same answers as the events of a stream.
"""

from kit.wire.server import (
    Answer,
    Connection,
    Cut,
    Gate,
    Received,
    WireServer,
    dripping,
    each_byte,
    json_answer,
    lines,
    sse,
)

__all__ = [
    "Answer",
    "Connection",
    "Cut",
    "Gate",
    "Received",
    "WireServer",
    "dripping",
    "each_byte",
    "json_answer",
    "lines",
    "sse",
]
