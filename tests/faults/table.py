"""All faults by group, and the cells of the page, as they are expected or as they were measured."""

from __future__ import annotations

from collections.abc import Callable

from kit.apis import APIS, Api

from faults.bodies import BODIES
from faults.cells import Fault
from faults.connections import CONNECTIONS
from faults.heads import HEADS
from faults.statuses import ERRORS
from faults.streams import STREAMS

GROUPS: dict[str, list[Fault]] = {
    "Connections": CONNECTIONS,
    "Status lines, headers and encodings": HEADS,
    "Errors that a server reports": ERRORS,
    "Bodies": BODIES,
    "Streams": STREAMS,
}
FAULTS = [fault for group in GROUPS.values() for fault in group]


def row(fault: Fault, outcome: Callable[[Api, str], str]) -> dict[str, str]:
    """The cells of *fault* by provider: plain and streamed calls together where they are the same.

    *outcome* gives that of a provider and a way to call; sync and async must have the same.
    """
    return {api.name: _cell(fault, api, outcome) for api in APIS}


def _cell(fault: Fault, api: Api, outcome: Callable[[Api, str], str]) -> str:
    possible = fault.ways(api)
    found = {way: outcome(api, way) if way in possible else fault.expected(api, way) for way in WAYS_IN_ORDER}
    calls, streams = ({found[way] for way in pair} for pair in (WAYS_IN_ORDER[:2], WAYS_IN_ORDER[2:]))
    plain, streamed = (" or ".join(sorted(words)).replace("- ", "none, ") for words in (calls, streams))
    return plain if plain == streamed else f"call: {plain}; stream: {streamed}"


WAYS_IN_ORDER = ("call", "async", "stream", "async stream")


def expected_row(fault: Fault) -> dict[str, str]:
    """The cells of *fault* as they must be."""
    return row(fault, fault.expected)


def notes(group: str) -> list[str]:
    """Why single providers differ."""
    return [
        f"{fault.name}, `{name}`: {but.why}" for fault in GROUPS[group] for name, but in fault.but.items()
    ]
