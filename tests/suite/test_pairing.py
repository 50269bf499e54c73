"""The results of tool calls are never lost, doubled, in the wrong order or under a wrong id."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.ways import every_way

from alloy import tool
from suite.script import ModelTurn
from suite.scripted_provider import ScriptedProvider, Way
from suite.table import proves
from suite.test_tools import paired


@tool
def left(n: int) -> str:
    """Go left."""
    return f"left {n}"


@tool
def right(n: int) -> str:
    """Go right."""
    if n % 3 == 0:
        raise LookupError(f"no way to {n}")
    return f"right {n}"


MISSING = ""
NAMES = st.sampled_from(["left", "right"])
CALLS = st.tuples(
    NAMES, st.integers(0, 5), st.booleans()
)  # the tool, its argument, whether the id is left out
TURNS = st.lists(st.lists(CALLS, min_size=1, max_size=4), min_size=1, max_size=4)


def expected(name: str, n: int) -> str:
    if name == "right" and n % 3 == 0:
        return f"LookupError: no way to {n}"
    return f"{name} {n}"


@proves("Results under the right ids")
@every_way
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(turns=TURNS, repeated=st.booleans())
def test_every_call_gets_its_own_result(
    scripted: ScriptedProvider, way: Way, turns: list[list[tuple[str, int, bool]]], repeated: bool
) -> None:
    """For any calls in any number of turns, with repeated names and arguments, missing or repeated ids."""
    script = []
    for at, calls in enumerate(turns):
        made: list[Any] = []
        for nth, (name, n, without_id) in enumerate(calls):
            id_ = f"call_{nth}" if repeated else f"call_{at}_{nth}"
            missing = without_id and scripted.provider.absent_ids
            made.append((name, {"n": n}, MISSING if missing else id_))
        script.append(ModelTurn(calls=tuple(made)))
    scripted.received.clear()
    scripted.script(*script, ModelTurn("Done."))
    result = scripted.ask(way, tools=[left, right])

    flat = [(name, n) for calls in turns for name, n, _ in calls]
    assert [(made.name, made.arguments["n"]) for made in result.tool_calls] == flat
    for count, request in enumerate(scripted.received):
        so_far = [(name, n) for calls in turns[:count] for name, n, _ in calls]
        pairs = [(name, arguments["n"], content) for name, arguments, content in paired(request)]
        assert [(name, n) for name, n, _ in pairs] == so_far
        for name, n, content in pairs:
            assert str(content).removeprefix("Error: ") == expected(name, n)
        for turn in request.turns:
            ids = [id_ for id_, _, _ in turn.calls if id_ is not None]
            assert len(set(ids)) == len(ids)
