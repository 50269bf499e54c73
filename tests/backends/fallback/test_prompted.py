"""Typed answers for models without native structured output: the shape in words, whole calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from kit.dialects import OPENAI
from kit.ways import every_way

from alloy import (
    ConfigurationError,
    ParseError,
    UnsupportedError,
    command,
    register_backend,
    tool,
    use_config,
)
from alloy._engine import fallbacks
from alloy.backends.base import Capabilities
from alloy.backends.fake.backend import FakeBackend
from alloy.backends.fallback.prompted import PromptedBackend
from alloy.backends.registry import registrations_undone
from alloy.messages import Reply, Request, User
from alloy.testing import call, replies


@dataclass
class Invoice:
    vendor: str
    total: float


@tool
def rate(currency: str) -> float:
    """A rate."""
    return 0.5


def asking(output: Any = Invoice, **options: Any) -> Any:
    @command(output=output, **{"output_mode": "prompted", **options})
    def question() -> str:
        """A question."""
        return "What is it?"

    return question


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test registers and what Alloy learns in it is forgotten behind it."""
    with registrations_undone():
        yield
    fallbacks.forget()


ACME = '{"vendor": "ACME", "total": 1.5}'


@every_way
@pytest.mark.parametrize("answer", [ACME, f"```json\n{ACME}\n```", f"Here it is:\n{ACME}\nAnything else?"])
def test_an_answer_in_words_becomes_the_value(way: Any, answer: str):
    """Fences and prose do not matter; a stream says the text as it comes."""
    with replies(answer) as seen:
        result, heard = way(asking())
    assert result.value == Invoice("ACME", 1.5)
    assert heard in (None, answer)
    [request] = seen.requests
    assert "{ vendor: string, total: number }" in request["system"]
    assert "output" not in request


@pytest.mark.parametrize(
    ("output", "notation", "answer", "value"),
    [
        (int, "{ value: integer }", '{"value": 3}', 3),
        (int, "{ value: integer }", "3", 3),
        (list[int], "{ value: integer[] }", "[1, 2]", [1, 2]),
        (dict[str, float], "{ [key: string]: number }", '{"a": 1.5}', {"a": 1.5}),
        (tuple[int, str], "{ value: [integer, string] }", '{"value": [1, "a"]}', (1, "a")),
        (Literal["a", "b"], '{ value: "a" | "b" }', "b", "b"),
        (bool | None, "{ value: boolean | null }", '{"value": null}', None),
        (list[Invoice], "type Invoice = { vendor: string, ", f"[{ACME}]", [Invoice("ACME", 1.5)]),
    ],
)  # fmt: skip
def test_every_kind_of_output_can_be_prompted(output: Any, notation: str, answer: str, value: Any):
    """The wrapped ones too, with and without the wrapper."""
    with replies(answer) as seen:
        assert asking(output)() == value
    assert notation in seen.requests[0]["system"]


def test_text_needs_no_shape():
    """A command for plain text sends what it always sends."""
    with replies("hi") as seen:
        assert asking(str)() == "hi"
    assert "system" not in seen.requests[0]


def test_the_callers_system_prompt_comes_first():
    """What Alloy has to say stands behind it."""
    with use_config(backend="fake"):
        assert asking(system="Be brief.").request()["system"].startswith("Be brief.\n\nGive your answer")


@every_way
def test_native_tools_go_with_a_prompted_answer(way: Any):
    """Only what the model lacks is stood in for."""
    with replies(call("rate", currency="USD"), ACME) as seen:
        result, _ = way(asking(tools=[rate]))
    assert (result.value, len(result.tool_calls)) == (Invoice("ACME", 1.5), 1)
    assert all("tools" in request for request in seen.requests)


def test_a_wrong_answer_is_asked_for_again():
    """As for native answers, the problems go back first and then to the caller."""
    with replies('{"vendor": "ACME"}', ACME) as seen:
        assert asking()() == Invoice("ACME", 1.5)
    assert "$.total: required, but missing" in seen.requests[1]["messages"][-1]["content"]
    with replies("no idea", "still none"), pytest.raises(ParseError):
        asking()()


def test_a_model_without_structured_output_gets_it_by_itself(registry: None):
    """The backend's table says so, and the result tells."""
    register_backend("weak", FakeBackend("weak", capabilities=Capabilities(structured_output=False)))
    with replies(ACME, backend="weak"):
        result = asking(output_mode="auto").run()
    assert (result.value, result.downgrades) == (Invoice("ACME", 1.5), ("output",))
    with (
        use_config(backend="weak"),
        pytest.raises(ConfigurationError, match="does not support structured output"),
    ):
        asking(output_mode="auto", strict_capabilities=True).request()


@every_way
def test_a_model_that_turns_out_to_lack_it_gets_the_fallback(way: Any, registry: None):
    """The provider's refusal is no failed try, and is remembered for the next call."""
    refusal = UnsupportedError("no response_format", feature="output", provider="fake")
    question = asking(output_mode="auto")
    with replies(refusal, ACME, ACME) as seen:
        assert way(question)[0].downgrades == ("output",)
        way(question)
    assert ["output" in request for request in seen.requests] == [True, False, False]


@every_way
def test_both_can_be_stood_in_for(way: Any, registry: None):
    """A model with neither: one refusal after the other, and each is said once."""
    refusals = [UnsupportedError("no", feature=feature, provider="fake") for feature in ("output", "tools")]
    action = "Action: rate\nAction Input: USD"
    with replies(*refusals, action, f"Final Answer: {ACME}") as seen:
        result, heard = way(asking(tools=[rate], output_mode="auto"))
    assert (result.value, result.downgrades) == (Invoice("ACME", 1.5), ("output", "tools"))
    assert heard in (None, ACME)
    assert seen.requests[-1]["system"].count("{ vendor: string, total: number }") == 1


def test_all_but_the_request_is_the_inner_backends():
    """Name, dialect, capabilities, replies and errors pass through untouched."""
    inner = FakeBackend("inner", OPENAI, Capabilities(tools=False))
    codec = PromptedBackend(inner)
    raw = inner.send(inner.encode(Request("m", (User("hi"),))), None, None)  # type: ignore[arg-type]
    assert (codec.name, codec.dialect, codec.capabilities("m").tools) == ("inner", OPENAI, False)
    assert codec.decode(raw) == inner.decode(raw)
    assert isinstance(codec.decode(raw), Reply)
    assert type(codec.explain(TimeoutError())) is type(inner.explain(TimeoutError()))
