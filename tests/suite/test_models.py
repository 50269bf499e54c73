"""Models that differ: every line of every backend's capability table does what it says."""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from typing import Any

import pytest
from kit.ways import every_way, run

from alloy import ConfigurationError, Document, Image
from alloy.backends.base import Capabilities
from alloy.backends.registry import resolve
from alloy.errors import UnsupportedError
from suite.saying import Fail, Say
from suite.stage import PROVIDERS, Stage, Way
from suite.table import EXAMPLES, proves
from suite.test_answers import Point
from suite.test_prompts import PDF, PNG
from suite.test_settings import VALUES
from suite.test_tools import Answer, add, paired

MODELS = [(name, f"{name}:{model}") for name, models in EXAMPLES.items() for model in models]
every_model = pytest.mark.parametrize(("provider", "model"), MODELS, ids=[model for _, model in MODELS])


def able(model: str) -> Capabilities:
    backend, name = resolve(model)
    return backend.capabilities(name)


def gaps(can: Capabilities) -> tuple[str, ...]:
    """What Alloy stands in for when a typed answer is wanted and there are tools."""
    lacks = [] if can.tools else ["tools"]
    lacks += [] if can.structured_output else ["output"]
    return tuple(lacks) or (() if can.output_with_tools else ("output_with_tools",))


@every_model
@every_way
def test_a_model_does_what_its_line_says(stage: Stage, way: Way, model: str) -> None:
    """Tools and a typed answer: native where the model can, else in words, and the result says so."""
    can = able(model)
    stage.say(Say(calls=(("add", {"a": 2}),)), Say(value={"text": "three", "total": 3}))
    result = stage.ask(way, "2 + 1?", model=model, tools=[add], output=Answer, system="Count.")

    assert result.value == Answer("three", 3)
    assert result.downgrades == gaps(can)
    first, last = stage.heard[0], stage.heard[-1]
    assert first.tools == ("add",)
    assert "Count." in first.system
    assert ("Final Answer" in first.system) == (not can.tools)
    assert (last.schema is not None) == (can.structured_output and can.tools)
    assert [name for name, _, _ in paired(last)] == ["add"]


@every_model
def test_stand_ins_can_be_forbidden(stage: Stage, model: str) -> None:
    """With `strict_capabilities` a model that lacks something is refused before anything is sent."""
    lacks = gaps(able(model))
    if not lacks:
        stage.say(Say(value={"text": "three", "total": 3}))
        assert (
            stage.ask(run, model=model, tools=[add], output=Answer, strict_capabilities=True).downgrades == ()
        )
        return
    with pytest.raises(ConfigurationError, match="strict_capabilities"):
        stage.ask(run, model=model, tools=[add], output=Answer, strict_capabilities=True)
    assert stage.heard == []


@every_model
def test_settings_that_a_model_does_not_take(stage: Stage, model: str) -> None:
    """What its line drops is not sent, and what it refuses is refused by name."""
    can = able(model)
    for name in sorted(can.drops):
        stage.say(Say("Done."))
        stage.ask(run, model=model, tools=[add])
        stage.say(Say("Done."))
        stage.ask(run, model=model, tools=[add], **{name: VALUES[name]})
        assert stage.heard[-1].body == stage.heard[-2].body
    count = len(stage.heard)
    for name in sorted(can.refuses):
        with pytest.raises(ConfigurationError, match=f"does not support {name}"):
            stage.ask(run, model=model, tools=[add], **{name: VALUES[name]})
    assert len(stage.heard) == count


@every_model
def test_what_a_model_can_look_at(stage: Stage, model: str) -> None:
    """Images and documents reach a model whose line has them, and no other."""
    can = able(model)
    parts = {
        Image.from_bytes(PNG): can.images,
        Image.from_url("https://example.com/a.png"): can.images and can.urls,
        Document.from_bytes(PDF): can.documents,
        Document.from_url("https://example.com/a.pdf"): can.documents and can.urls and can.document_urls,
    }
    for part, taken in parts.items():
        before = len(stage.heard)
        if taken:
            stage.say(Say("A cat."))
            stage.ask(run, ["What is this?", part], model=model)
            assert len(stage.heard[-1].turns[-1].media) == 1
        else:
            with pytest.raises(ConfigurationError, match=f"not take {part.kind}"):
                stage.ask(run, ["What is this?", part], model=model)
        assert len(stage.heard) == before + taken


def test_every_line_has_an_example() -> None:
    """Each line of a capability table is the first that fits one of the examples."""
    for name in {provider.model.partition(":")[0] for provider in PROVIDERS.values()}:
        backend = resolve(f"{name}:x")[0]
        lines: Any = getattr(sys.modules[type(backend).__module__], "CAPABILITIES", ())
        models = [
            model.lower().replace(".", "-") if name == "anthropic" else model for model in EXAMPLES[name]
        ]
        first = [
            next((i for i, (line, _) in enumerate(lines) if fnmatchcase(model, line)), 0) for model in models
        ]
        untested = {line for i, (line, _) in enumerate(lines) if i not in first}
        assert untested == set(), f"{name}: add an example to EXAMPLES"


# --- what no table knows ------------------------------------------------------------------------------


@proves("Missing tools are detected")
@every_way
def test_missing_tools_are_learned_of(stage: Stage, way: Way) -> None:
    """A provider's "does not support tools" has the call go on in words; the next one begins so."""
    refusal = Fail(400, stage.provider.lacks["tools"], lacks="tools")
    options: dict[str, Any] = {"tools": [add]}
    stage.say(refusal, Say(calls=(("add", {"a": 2}),)), Say("Three."))
    result = stage.ask(way, **options)

    assert (result.value, result.downgrades) == ("Three.", ("tools",))
    assert [made.value for made in result.tool_calls] == [3]
    stage.say(Say("Three again."))
    again = stage.ask(way, **options)
    assert (again.value, again.downgrades) == ("Three again.", ("tools",))
    assert ["Final Answer" in heard.system for heard in stage.heard] == [False, True, True, True]


@proves("Missing structured output is detected")
@every_way
def test_missing_structured_output_is_learned_of(stage: Stage, way: Way) -> None:
    """The same for structured output; with `strict_capabilities` the refusal is the caller's error."""
    refusal = Fail(400, stage.provider.lacks["output"], lacks="output")
    options: dict[str, Any] = {"output": Point}
    stage.say(refusal)
    with pytest.raises(UnsupportedError, match=stage.provider.lacks["output"]):
        stage.ask(way, strict_capabilities=True, **options)
    stage.say(refusal, Say(value={"x": 1, "label": "a"}))
    result = stage.ask(way, **options)

    assert (result.value, result.downgrades) == (Point(1, "a"), ("output",))
    stage.say(Say(value={"x": 2, "label": "b"}))
    assert stage.ask(way, **options).value == Point(2, "b")
    assert [heard.schema is not None for heard in stage.heard] == [True, True, False, False]
