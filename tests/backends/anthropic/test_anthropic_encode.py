"""What is said to Anthropic: settings, tools and schemas, without a server."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from alloy.backends.anthropic.messages import CAPABILITIES, AnthropicBackend
from alloy.errors import (
    ConfigurationError,
    UnsupportedError,
)
from alloy.messages import (
    OutputSchema,
    Reply,
    Request,
    ToolCall,
    ToolResult,
    ToolResults,
    ToolSchema,
    Turn,
    User,
)

CLAUDE = AnthropicBackend()
MODEL = "claude-sonnet-4-6"
NEWEST = "claude-opus-5-5"

CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
ADD = ToolSchema("add", "Add two numbers.", CLOSED)
LOOSE = ToolSchema("log", "", {"type": "object"})
CALL = ToolCall("toolu_1", "add", '{"a": 1}')


def encode(*messages: Turn, model: str = MODEL, **settings: Any) -> dict[str, Any]:
    return CLAUDE.encode(Request(model, messages or (User("Hi"),), **settings))


# --- encoding -----------------------------------------------------------------------------------------


def test_a_plain_request_has_only_the_required_fields() -> None:
    """A limit is compulsory; nothing else is said that was not set."""
    assert encode() == {
        "model": MODEL,
        "max_tokens": 21_333,
        "messages": [{"role": "user", "content": "Hi"}],
    }


def test_all_settings_are_sent() -> None:
    """Each setting stands where the Messages API wants it."""
    body = encode(
        system="Be brief.",
        tools=(ADD, LOOSE),
        output=OutputSchema("Answer", CLOSED),
        temperature=0.0,
        top_p=0.5,
        max_tokens=9,
        stop=("END",),
        reasoning_effort="high",
        prompt_caching=True,
    )

    assert body == {
        "model": MODEL,
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Hi"}],
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "tools": [
            {"name": "add", "description": "Add two numbers.", "input_schema": CLOSED, "strict": True},
            {"name": "log", "input_schema": {"type": "object"}},
        ],
        "output_config": {"format": {"type": "json_schema", "schema": CLOSED}, "effort": "high"},
        "temperature": 0.0,
        "top_p": 0.5,
        "stop_sequences": ["END"],
        "cache_control": {"type": "ephemeral"},
    }


@pytest.mark.parametrize(
    ("effort", "said"),
    [
        ("low", {"output_config": {"effort": "low"}}),
        ("minimal", {"output_config": {"effort": "low"}}),
        ("xhigh", {"output_config": {"effort": "xhigh"}}),
        ("none", {"thinking": {"type": "disabled"}}),
    ],
)
def test_efforts_of_other_providers_are_translated(effort: str, said: dict[str, Any]) -> None:
    """The lowest effort has another name here, and none at all is a matter of thinking."""
    body = encode(reasoning_effort=effort)

    assert {key: body[key] for key in body if key in ("output_config", "thinking")} == said


def test_the_newest_models_always_think() -> None:
    """The table knows it, and the error says how to have the least."""
    with pytest.raises(ConfigurationError, match=r'claude-opus-5-5 always thinks.*"low"'):
        encode(model=NEWEST, reasoning_effort="none")


@pytest.mark.parametrize(
    ("settings", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, None),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "add"}, {"type": "tool", "name": "add"}),
        ({"parallel_tools": True}, None),
        ({"parallel_tools": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"parallel_tools": False, "tool_choice": "required"},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
        ({"parallel_tools": False, "tool_choice": "none"}, {"type": "none"}),
    ],
    ids=str,
)
def test_the_tool_choice_is_sent(settings: dict[str, Any], choice: dict[str, Any] | None) -> None:
    """Whether tools may or must be called, and how many at a time."""
    assert encode(tools=(ADD,), **settings).get("tool_choice") == choice


def test_a_tool_choice_without_tools_is_not_sent() -> None:
    """The API refuses one."""
    assert "tool_choice" not in encode(tool_choice="none", parallel_tools=False)


@pytest.mark.parametrize("choice", ["required", "add"])
def test_the_newest_models_cannot_be_made_to_call_a_tool(choice: str) -> None:
    """The table knows it, so nothing is sent; what they do take is sent."""
    with pytest.raises(ConfigurationError, match=f"claude-opus-5-5.*tool_choice='{choice}'"):
        encode(model=NEWEST, tools=(ADD,), tool_choice=choice)

    assert encode(model=NEWEST, tools=(ADD,), tool_choice="none")["tool_choice"] == {"type": "none"}


def test_only_allowed_tools_are_shown() -> None:
    """The API has no list of allowed names, so the others stay away."""
    body = encode(tools=(ADD, LOOSE), allowed_tools=("log",))

    assert [tool["name"] for tool in body["tools"]] == ["log"]


def test_tools_that_were_called_are_declared_without_being_offered() -> None:
    """The API refuses a history with calls when the request has no tools."""
    body = encode(User("Hi"), Reply("", (CALL,)), ToolResults((ToolResult(CALL, "2"),)), User("And?"))

    assert body["tools"] == [{"name": "add", "input_schema": {"type": "object"}}]
    assert body["tool_choice"] == {"type": "none"}


def test_extra_comes_last_and_merges_into_dicts() -> None:
    """A nested dict keeps its other keys; anything else is replaced, and the setting is not changed."""
    extra = {"output_config": {"effort": "max"}, "max_tokens": 3, "metadata": {"user_id": "u"}}
    before = copy.deepcopy(extra)
    body = encode(output=OutputSchema("A", CLOSED), extra=extra)

    assert body["output_config"] == {"format": {"type": "json_schema", "schema": CLOSED}, "effort": "max"}
    assert (body["max_tokens"], body["metadata"]) == (3, {"user_id": "u"})
    assert extra == before


@pytest.mark.parametrize(
    ("model", "extra", "limit"),
    [
        ("claude-3-haiku-20240307", {}, 4_096),
        ("claude-opus-4-1", {}, 8_192),
        ("claude-haiku-4-5", {}, 21_333),
        ("claude-future-9", {}, 21_333),
        ("some-other-model", {}, 8_192),
        (MODEL, {"thinking": {"type": "enabled", "budget_tokens": 30_000}}, 51_333),
        (MODEL, {"thinking": {"type": "enabled", "budget_tokens": 60_000}}, 64_000),
        (MODEL, {"thinking": {"type": "adaptive"}}, 21_333),
    ],
)
def test_the_limit_fits_the_model(model: str, extra: dict[str, Any], limit: int) -> None:
    """Old models write less; a budget for thinking is part of the limit and leaves room for the answer."""
    assert encode(model=model, extra=extra)["max_tokens"] == limit


@pytest.mark.parametrize(
    ("model", "lacks"),
    [
        ("claude-3-haiku-20240307", {"output", "documents", "reasoning_effort"}),
        ("claude-3-7-sonnet-latest", {"output", "reasoning_effort"}),
        ("claude-4-opus-20250514", {"output", "reasoning_effort"}),
        ("claude-opus-4-20250514", {"output", "reasoning_effort"}),
        ("claude-sonnet-4@20250514", {"output", "reasoning_effort"}),
        ("claude-opus-4-1", {"output", "reasoning_effort"}),
        ("claude-haiku-4-5-20251001", {"reasoning_effort"}),
        ("claude-sonnet-4-5", {"reasoning_effort"}),
        ("claude-opus-4-5", set()),
        ("anthropic/claude-sonnet-4.6", set()),
        ("us.anthropic.claude-opus-4-6-v1:0", set()),
        ("claude-opus-4-7", {"temperature", "top_p"}),
        ("claude-fable-5", {"temperature", "top_p"}),
        ("claude-opus-5-5", {"temperature", "top_p", "forced_tools"}),
        ("claude-fable-5-2", {"temperature", "top_p", "forced_tools"}),
        ("claude-future-9", {"temperature", "top_p"}),
        ("glm-5", {"output", "reasoning_effort"}),
    ],
)
def test_what_a_model_can_do_is_known_by_its_name(model: str, lacks: set[str]) -> None:
    """Names with dates, dots and prefixes are the same model; an unknown Claude is like the newest."""
    can = CLAUDE.capabilities(model)
    has = {
        "output": can.structured_output,
        "documents": can.documents,
        "forced_tools": can.forced_tools,
        "tools": can.tools,
    }

    assert {name for name, there in has.items() if not there} | can.drops == lacks
    assert can.refuses == {"seed"}


def test_the_table_answers_for_every_name() -> None:
    """Its last row fits all, and no row stands where an earlier one takes every name from it."""
    assert CAPABILITIES[-1][0] == "*"
    names = [
        pattern.replace("*", "").replace("[57]", "5").replace("[01]", "0") for pattern, _ in CAPABILITIES
    ]
    names = [name.replace("[56]", "6").replace("[1-9]", "3") for name in names]
    for name, (pattern, can) in zip(names, CAPABILITIES, strict=True):
        assert CLAUDE.capabilities(name) == can, pattern


# --- the provider's limits on strict schemas ----------------------------------------------------------


def sized(name: str, *, optional: int = 0, unions: int = 0) -> ToolSchema:
    """A strict tool with so many optional parameters and so many unions."""
    either = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    properties: dict[str, Any] = {f"u{index}": either for index in range(unions)}
    required = list(properties)
    properties |= {f"o{index}": {"type": "string"} for index in range(optional)}
    schema = {**CLOSED, "properties": {"in": {**CLOSED, "properties": properties, "required": required}}}
    return ToolSchema(name, "", {**schema, "required": ["in"]})


def strict_ones(body: dict[str, Any]) -> list[str]:
    return [tool["name"] for tool in body["tools"] if tool.get("strict")]


@pytest.mark.parametrize(
    ("tools", "strict"),
    [
        ([sized(f"t{index}") for index in range(21)], [f"t{index}" for index in range(20)]),
        ([sized("a", optional=14), sized("b", optional=10)], ["a", "b"]),
        ([sized("a", optional=14), sized("b", optional=11), sized("c", optional=10)], ["a", "c"]),
        ([sized("a", unions=10), sized("b", unions=6)], ["a", "b"]),
        ([sized("a", unions=10), sized("b", unions=7), sized("c")], ["a", "c"]),
    ],
    ids=["tools", "optional fit", "optional", "unions fit", "unions"],
)
def test_beyond_the_limits_tools_are_ordinary_ones(tools: list[ToolSchema], strict: list[str]) -> None:
    """20 strict tools, 24 optional parameters, 16 unions in a request; every tool is still shown."""
    body = encode(tools=tuple(tools))

    assert strict_ones(body) == strict
    assert len(body["tools"]) == len(tools)


def test_the_answers_schema_counts_too() -> None:
    """It cannot be anything but strict, so tools make room for it."""
    output = OutputSchema("A", sized("a", unions=10).parameters)

    assert strict_ones(encode(tools=(sized("b", unions=7), sized("c", unions=6)), output=output)) == ["c"]


def test_models_without_structured_output_get_ordinary_tools() -> None:
    """They know no `strict`."""
    assert strict_ones(encode(tools=(ADD,), model="claude-opus-4-1")) == []


def test_an_answer_without_a_strict_form_is_unsupported() -> None:
    """The API has no loose one; Alloy writes the shape into the prompt instead."""
    with pytest.raises(UnsupportedError, match="Tree") as caught:
        encode(output=OutputSchema("Tree", {"type": "object"}))

    assert caught.value.feature == "output"
