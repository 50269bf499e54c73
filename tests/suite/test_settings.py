"""Generic settings: each is sent under the provider's name, or is an error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from kit.ways import every_way

from alloy import ConfigurationError
from suite.script import ModelTurn
from suite.scripted_provider import ScriptedProvider, Way
from suite.table import proves
from suite.test_tools import add, describe

VALUES: dict[str, Any] = {
    "temperature": 0.5,
    "max_tokens": 77,
    "top_p": 0.25,
    "seed": 7,
    "stop": "END",
    "tool_choice": "add",
    "allowed_tools": ["add"],
    "parallel_tools": False,
    "reasoning_effort": "low",
    "prompt_caching": True,
}


def holds(body: Any, part: Any) -> bool:
    """Whether *part* is a part of *body*."""
    if isinstance(part, Mapping):
        return isinstance(body, Mapping) and all(key in body and holds(body[key], part[key]) for key in part)
    return bool(body == part)


def setting(scripted: ScriptedProvider, way: Way, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """Ask with the setting *name*, and check that the request is what the backend's table says."""
    provider, given = scripted.provider, {name: VALUES[name]}
    if name in provider.can.refuses:
        with pytest.raises(ConfigurationError, match=f"does not support {name}"):
            scripted.ask(way, tools=[add, describe], **given)
        assert scripted.received == []
        return
    scripted.script(ModelTurn("Done."))
    with caplog.at_level(logging.DEBUG, "alloy"):
        scripted.ask(way, tools=[add, describe])
        assert not any("not sent" in line for line in caplog.messages)
        called = ModelTurn(calls=(("add", {"a": 2}),))
        scripted.script(*[called] * (name == "tool_choice"), ModelTurn("Done."))
        scripted.ask(way, tools=[add, describe], **given)
    plain, request, *_ = scripted.received
    if name in provider.can.drops:
        assert request.body == plain.body
        assert any(f"{name}; it is not sent" in line for line in caplog.messages)
        return
    assert not any(name in line for line in caplog.messages)
    own = provider.keys[name]
    if own is None:  # nothing is sent for it
        assert request.body == plain.body
        return
    assert request.body != plain.body
    assert holds(request.body, own)
    assert request.tools == (("add",) if name == "allowed_tools" and not own else ("add", "describe"))


def proof(name: str) -> Any:
    """The test of the setting *name*."""

    @proves(f"`{name}`")
    @every_way
    def test(scripted: ScriptedProvider, way: Way, caplog: pytest.LogCaptureFixture) -> None:
        setting(scripted, way, caplog, name)

    test.__doc__ = f"`{name}` is sent under the provider's name, is an error, or is left out and logged."
    return test


test_temperature = proof("temperature")
test_max_tokens = proof("max_tokens")
test_top_p = proof("top_p")
test_seed = proof("seed")
test_stop = proof("stop")
test_tool_choice = proof("tool_choice")
test_allowed_tools = proof("allowed_tools")
test_parallel_tools = proof("parallel_tools")
test_reasoning_effort = proof("reasoning_effort")
test_prompt_caching = proof("prompt_caching")


@proves("`extra`")
@every_way
def test_extra(scripted: ScriptedProvider, way: Way) -> None:
    """The `extra` of this backend is merged into the body unchanged; the one of another backend is not."""
    name = scripted.provider.model.partition(":")[0]
    other = "ollama" if name == "gemini" else "gemini"
    extra = {name: {"x_new": {"deep": [1, None, "ü"]}, "model": "another"}, other: {"x_other": 1}}
    scripted.script(ModelTurn("Done."))
    scripted.ask(way, extra=extra)

    body = scripted.received[0].body
    assert body["x_new"] == {"deep": [1, None, "ü"]}
    assert "x_other" not in body
    if "model" in body:  # Gemini has it in the address
        assert body["model"] == "another"


@proves("`extra`")
@every_way
def test_extra_is_merged_into_the_body(scripted: ScriptedProvider, way: Way) -> None:
    """A dict is merged into the dict of the body; other values of the body stay."""
    name = scripted.provider.model.partition(":")[0]
    [(key, own)] = dict(scripted.provider.keys["max_tokens"] or {}).items()
    scripted.script(ModelTurn("Done."))
    nested = isinstance(own, Mapping)
    scripted.ask(way, max_tokens=77, extra={name: {key: {"x_new": 1} if nested else 99}})

    assert scripted.received[0].body[key] == ({**own, "x_new": 1} if nested else 99)
