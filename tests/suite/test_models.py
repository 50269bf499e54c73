"""Differences between models: every line of every backend's capability table is true."""

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
from suite.script import ErrorAnswer, ModelTurn
from suite.scripted_provider import PROVIDERS, ScriptedProvider, Way
from suite.table import EXAMPLES, JSON_MODE, proves
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
    """The fallbacks for a call with a typed output and tools."""
    lacks = [] if can.tools else ["tools"]
    lacks += [] if can.structured_output else ["output"]
    return tuple(lacks) or (() if can.output_with_tools else ("output_with_tools",))


@every_model
@every_way
def test_a_model_works_as_its_table_says(scripted: ScriptedProvider, way: Way, model: str) -> None:
    """Tools and a typed answer are native if the model supports them; otherwise a fallback is named."""
    can = able(model)
    scripted.script(ModelTurn(calls=(("add", {"a": 2}),)), ModelTurn(value={"text": "three", "total": 3}))
    result = scripted.ask(way, "2 + 1?", model=model, tools=[add], output=Answer, system="Count.")

    assert result.value == Answer("three", 3)
    assert result.downgrades == gaps(can)
    first, last = scripted.received[0], scripted.received[-1]
    assert first.tools == ("add",)
    assert "Count." in first.system
    assert ("Final Answer" in first.system) == (not can.tools)
    assert (last.schema is not None) == (can.structured_output and can.tools)
    assert [name for name, _, _ in paired(last)] == ["add"]


@every_model
def test_fallbacks_can_be_forbidden(scripted: ScriptedProvider, model: str) -> None:
    """With `strict_capabilities` a missing feature is an error before anything is sent."""
    lacks = gaps(able(model))
    if not lacks:
        scripted.script(ModelTurn(value={"text": "three", "total": 3}))
        assert (
            scripted.ask(run, model=model, tools=[add], output=Answer, strict_capabilities=True).downgrades
            == ()
        )
        return
    with pytest.raises(ConfigurationError, match="strict_capabilities"):
        scripted.ask(run, model=model, tools=[add], output=Answer, strict_capabilities=True)
    assert scripted.received == []


@every_model
def test_settings_that_a_model_does_not_support(scripted: ScriptedProvider, model: str) -> None:
    """A setting in `drops` is not sent, and one in `refuses` is an error that names it."""
    can = able(model)
    for name in sorted(can.drops):
        scripted.script(ModelTurn("Done."))
        scripted.ask(run, model=model, tools=[add])
        scripted.script(ModelTurn("Done."))
        scripted.ask(run, model=model, tools=[add], **{name: VALUES[name]})
        assert scripted.received[-1].body == scripted.received[-2].body
    count = len(scripted.received)
    for name in sorted(can.refuses):
        with pytest.raises(ConfigurationError, match=f"does not support {name}"):
            scripted.ask(run, model=model, tools=[add], **{name: VALUES[name]})
    assert len(scripted.received) == count


@every_model
def test_images_and_documents_of_a_model(scripted: ScriptedProvider, model: str) -> None:
    """Images and documents are sent only to a model that supports them."""
    can = able(model)
    parts = {
        Image.from_bytes(PNG): can.images,
        Image.from_url("https://example.com/a.png"): can.images and can.urls,
        Document.from_bytes(PDF): can.documents,
        Document.from_url("https://example.com/a.pdf"): can.documents and can.urls and can.document_urls,
    }
    for part, taken in parts.items():
        before = len(scripted.received)
        if taken:
            scripted.script(ModelTurn("A cat."))
            scripted.ask(run, ["What is this?", part], model=model)
            assert len(scripted.received[-1].turns[-1].media) == 1
        else:
            with pytest.raises(ConfigurationError, match=f"not take {part.kind}"):
                scripted.ask(run, ["What is this?", part], model=model)
        assert len(scripted.received) == before + taken


def test_every_line_of_a_table_has_an_example() -> None:
    """Each line of a capability table is the one that applies to an example."""
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


# --- features detected in a call------------------------------------------------------------------------


@proves("Missing tools are detected")
@every_way
def test_missing_tools_are_detected(scripted: ScriptedProvider, way: Way) -> None:
    """After an error such as "does not support tools" this call and the next ones use ReAct."""
    refusal = ErrorAnswer(400, scripted.provider.lacks["tools"], lacks="tools")
    options: dict[str, Any] = {"tools": [add]}
    scripted.script(refusal, ModelTurn(calls=(("add", {"a": 2}),)), ModelTurn("Three."))
    result = scripted.ask(way, **options)

    assert (result.value, result.downgrades) == ("Three.", ("tools",))
    assert [made.value for made in result.tool_calls] == [3]
    scripted.script(ModelTurn("Three again."))
    again = scripted.ask(way, **options)
    assert (again.value, again.downgrades) == ("Three again.", ("tools",))
    assert ["Final Answer" in request.system for request in scripted.received] == [False, True, True, True]


@proves("Missing structured output is detected")
@every_way
def test_missing_structured_output_is_detected(scripted: ScriptedProvider, way: Way) -> None:
    """The same for structured output; with `strict_capabilities` the provider's error is raised."""
    refusal = ErrorAnswer(400, scripted.provider.lacks["output"], lacks="output")
    options: dict[str, Any] = {"output": Point}
    scripted.script(refusal)
    with pytest.raises(UnsupportedError, match=scripted.provider.lacks["output"]):
        scripted.ask(way, strict_capabilities=True, **options)
    scripted.script(refusal, ModelTurn(value={"x": 1, "label": "a"}))
    result = scripted.ask(way, **options)

    assert (result.value, result.downgrades) == (Point(1, "a"), ("output",))
    scripted.script(ModelTurn(value={"x": 2, "label": "b"}))
    assert scripted.ask(way, **options).value == Point(2, "b")
    assert [request.schema is not None for request in scripted.received] == [True, True, False, False]


@proves(JSON_MODE)
@every_way
def test_json_mode_where_schemas_are_refused(scripted: ScriptedProvider, way: Way) -> None:
    """After the provider refused a schema, its mode for any JSON object is used, if it has one."""
    refusal = ErrorAnswer(400, scripted.provider.lacks["output"], lacks="output")
    scripted.script(refusal, ModelTurn(value={"x": 1, "label": "a"}))
    assert scripted.ask(way, output=Point).value == Point(1, "a")

    mode = scripted.received[1].body.get("response_format")
    assert mode == ({"type": "json_object"} if scripted.provider.can.json_object else None)


@proves("Ignored schemas are detected")
@every_way
def test_ignored_schemas_are_detected(scripted: ScriptedProvider, way: Way) -> None:
    """Prose is dropped, and the type is asked for in the prompt; later calls begin with that."""
    scripted.script(ModelTurn("It is a point."), ModelTurn(value={"x": 1, "label": "a"}))
    result = scripted.ask(way, output=Point)

    assert (result.value, result.downgrades) == (Point(1, "a"), ("output",))
    scripted.script(ModelTurn(value={"x": 2, "label": "b"}))
    assert scripted.ask(way, output=Point).value == Point(2, "b")
    assert [request.schema is not None for request in scripted.received] == [True, False, False]
    assert not any("It is a point" in str(request.body) for request in scripted.received)


@proves("Ignored tool choices are detected")
@every_way
def test_ignored_tool_choices_are_detected(scripted: ScriptedProvider, way: Way) -> None:
    """An answer without the call that was required is dropped, and the tools are asked for by ReAct."""
    scripted.script(ModelTurn("It is 5."), ModelTurn(calls=(("add", {"a": 2, "b": 3}),)), ModelTurn("5"))
    result = scripted.ask(way, tools=[add], tool_choice="required")

    assert (result.value, result.downgrades) == ("5", ("tools",))
    assert [done.value for done in result.tool_calls] == [5]
