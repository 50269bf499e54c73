"""A model without tools of its own calls them by ReAct, and a grammar keeps it to the form of a turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from kit.kind_table import ROWS
from kit.local_model import write_model
from kit.ways import every_way
from pydantic import Field

from alloy import AlloyError, BadRequestError, ConfigurationError, ask, command, tool
from alloy.backends.http.clients import CLIENTS
from alloy.backends.local.servers import SERVERS

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.local_model

SMALL = {"model": "local:smollm2?threads=1", "temperature": 0, "max_tokens": 80}


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The settings of a model that writes noise within the grammar."""
    file = tmp_path_factory.mktemp("models") / "noise.gguf"
    write_model(file, blank=True)
    yield {"model": f"local:{file}", "seed": 1, "max_tokens": 600, "tool_mode": "react", "reask": 0}
    CLIENTS.close()
    SERVERS.close()


@dataclass
class Trip:
    city: Literal["Oslo", "Rome"]
    days: Annotated[int, Field(ge=1, le=9)]
    by_train: bool


@tool
def plan(trip: Trip, priority: Literal["low", "high"]) -> str:
    """Plan a trip."""
    return f"{type(trip).__name__} {priority}"


@tool
def rest() -> str:
    """Do nothing."""
    return "rested"


@every_way
def test_the_grammar_keeps_even_a_random_model_to_typed_calls(way: Any, noise: dict[str, Any]) -> None:
    """With a tool that must be called, each turn of noise is a call whose arguments have their types."""
    ran: list[tuple[str, str]] = []

    @tool
    def book(trip: Trip, priority: Literal["low", "high"]) -> str:
        """Book a trip."""
        ran.append((type(trip).__name__, priority))
        return "booked"

    @command(tools=[book, rest], tool_choice="book", output=bool, **noise)
    def go() -> str:
        return "Go"

    with suppress(AlloyError):  # the noise after the first call may be anything
        way(go)
    assert ran and set(ran) <= {("Trip", "low"), ("Trip", "high")}


@pytest.mark.parametrize("seed", range(4))
def test_each_turn_is_calls_or_a_typed_answer(seed: int, noise: dict[str, Any]) -> None:
    @command(tools=[plan, rest], output=Literal["yes", "no"], **{**noise, "seed": seed}, max_tool_turns=30)
    def go() -> str:
        return "Go"

    result = go.run()
    assert result.value in ("yes", "no")
    assert all(done.error is None for done in result.tool_calls)
    assert {done.value for done in result.tool_calls} <= {"Trip low", "Trip high", "rested"}


def test_one_call_at_a_time_unless_several_are_wanted(noise: dict[str, Any]) -> None:
    @command(tools=[rest], output=bool, **noise, max_tool_turns=40)
    def go() -> str:
        return "Go"

    assert " call_0: " not in go.request()["grammar"].splitlines()[1]
    one, several = (go.with_options(parallel_tools=many).request()["grammar"] for many in (False, True))
    assert 'no" call |' in one and 'no" call+ |' in several


def test_all_kinds_of_types_have_a_grammar(noise: dict[str, Any]) -> None:
    """llama.cpp refuses none of them: what its grammars do not know is left to the validation."""
    refused: list[str] = []
    for row in ROWS:
        with suppress(ConfigurationError):  # a type that cannot be a parameter

            @tool
            def use(value: row.annotation) -> str:  # type: ignore[name-defined]
                """Use it."""
                return ""

            @command(tools=[use], output=row.annotation, **{**noise, "max_tokens": 1})
            def go() -> str:
                return "Go"

            try:
                go()
            except BadRequestError as error:
                refused.append(f"{row.annotation}: {error}")
            except AlloyError:
                pass
    assert refused == []


@every_way
def test_a_small_model_uses_a_tool(way: Any) -> None:
    """SmolLM2, which has 135 million parameters and no tools, calls one, and answers with its result."""
    asked: list[str] = []

    @tool
    def temperature(city: str) -> str:
        """The temperature in a city now, in degrees Celsius."""
        asked.append(city)
        return "21 degrees"

    @command(output=int, tools=[temperature], **SMALL)
    def degrees() -> str:
        return "How many degrees is it in Rome now?"

    result, _ = way(degrees)
    assert asked == ["Rome"]
    assert result.value == 21
    assert result.downgrades == ("tools",)


def test_a_grammar_of_the_user_comes_first(noise: dict[str, Any]) -> None:
    @command(tools=[rest], extra={"local": {"grammar": 'root ::= "Final Answer: 7"'}}, output=int, **noise)
    def go() -> str:
        return "Go"

    assert go() == 7


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux shows an environment")
@pytest.mark.parametrize("policy", [None, "active"])
def test_threads_of_the_server_wait_without_spinning(
    policy: str | None, noise: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama.cpp's threads would take the time of those they wait for; who wants that can still have it."""
    SERVERS.close()
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if policy is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    with suppress(AlloyError):
        ask("Go", output=bool, **noise)
    [server] = SERVERS._running()
    environment = Path(f"/proc/{server.process.pid}/environ").read_bytes()
    assert f"OMP_WAIT_POLICY={policy or 'passive'}".encode() in environment.split(b"\0")
