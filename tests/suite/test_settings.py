"""Generic settings: each arrives on the wire in the provider's own words, or is refused by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from kit.ways import every_way

from alloy import ConfigurationError
from suite.saying import Say
from suite.stage import Stage, Way
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


def setting(stage: Stage, way: Way, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """Ask with the setting *name*; see that it does what the table of its backend says."""
    provider, given = stage.provider, {name: VALUES[name]}
    if name in provider.can.refuses:
        with pytest.raises(ConfigurationError, match=f"does not support {name}"):
            stage.ask(way, tools=[add, describe], **given)
        assert stage.heard == []
        return
    stage.say(Say("Done."))
    with caplog.at_level(logging.DEBUG, "alloy"):
        stage.ask(way, tools=[add, describe])
        assert not any("not sent" in line for line in caplog.messages)
        stage.say(Say("Done."))
        stage.ask(way, tools=[add, describe], **given)
    plain, heard = stage.heard
    if name in provider.can.drops:
        assert heard.body == plain.body
        assert any(f"{name}; it is not sent" in line for line in caplog.messages)
        return
    assert not any(name in line for line in caplog.messages)
    own = provider.keys[name]
    if own is None:  # nothing has to be said for it
        assert heard.body == plain.body
        return
    assert heard.body != plain.body
    assert holds(heard.body, own)
    assert heard.tools == (("add",) if name == "allowed_tools" and not own else ("add", "describe"))


def proof(name: str) -> Any:
    """The test of the setting *name*."""

    @proves(f"`{name}`")
    @every_way
    def test(stage: Stage, way: Way, caplog: pytest.LogCaptureFixture) -> None:
        setting(stage, way, caplog, name)

    test.__doc__ = (
        f"`{name}` is on the wire as the provider has it, refused by name, or left out and said so."
    )
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
def test_extra(stage: Stage, way: Way) -> None:
    """`extra` for this backend is merged into the body verbatim and last; another backend's is not."""
    name = stage.provider.model.partition(":")[0]
    other = "ollama" if name == "gemini" else "gemini"
    extra = {name: {"x_new": {"deep": [1, None, "ü"]}, "model": "another"}, other: {"x_other": 1}}
    stage.say(Say("Done."))
    stage.ask(way, extra=extra)

    body = stage.heard[0].body
    assert body["x_new"] == {"deep": [1, None, "ü"]}
    assert "x_other" not in body
    if "model" in body:  # Gemini has it in the address
        assert body["model"] == "another"


@proves("`extra`")
@every_way
def test_extra_is_merged_into_what_is_there(stage: Stage, way: Way) -> None:
    """A dict goes into the dict that is there; all else stays."""
    name = stage.provider.model.partition(":")[0]
    [(key, own)] = dict(stage.provider.keys["max_tokens"] or {}).items()
    stage.say(Say("Done."))
    nested = isinstance(own, Mapping)
    stage.ask(way, max_tokens=77, extra={name: {key: {"x_new": 1} if nested else 99}})

    assert stage.heard[0].body[key] == ({**own, "x_new": 1} if nested else 99)
