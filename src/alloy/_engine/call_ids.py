"""Ids of tool calls, by which results are paired with their calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from alloy.messages import Reply, Turn

__all__ = ["with_unique_call_ids"]


def with_unique_call_ids(reply: Reply, history: Sequence[Turn]) -> Reply:
    """*reply*, each of whose calls has an id that no other call of the conversation has.

    Some servers give none, or count from 0 in every turn. The echo stays as it came; codecs send it
    with the ids in `Reply.calls`.
    """
    if not reply.calls:
        return reply
    used = {"", *(call.id for turn in history if isinstance(turn, Reply) for call in turn.calls)}
    taken = used | {call.id for call in reply.calls}
    calls = []
    for nth, call in enumerate(reply.calls):
        if call.id in used:
            fresh = f"call_{len(history)}_{nth}"
            while fresh in taken:
                fresh += "_"
            taken.add(fresh)
            call = replace(call, id=fresh)
        used.add(call.id)
        calls.append(call)
    return replace(reply, calls=tuple(calls))
