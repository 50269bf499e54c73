"""The Gemini codec, without a server: what is encoded, and what models can do."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from kit.wire import gemini as says

from alloy.backends.base import Capabilities
from alloy.backends.gemini.content import CAPABILITIES, UNSIGNED, GeminiBackend
from alloy.errors import (
    ConfigurationError,
)
from alloy.messages import (
    Echo,
    OutputSchema,
    Reply,
    Request,
    ToolCall,
    ToolResult,
    ToolResults,
    ToolSchema,
    User,
)
from alloy.parts import Document, Image

GEMINI = GeminiBackend()
MODEL = "gemini-3-pro"

NUMBERS = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
ADD = ToolSchema("add", "Add two numbers.", NUMBERS)
PING = ToolSchema("ping", "", {"type": "object", "properties": {}, "additionalProperties": False})
PNG = b"\x89PNG\r\n\x1a\n\x00"


def encoded(*turns: Any, model: str = MODEL, **settings: Any) -> dict[str, Any]:
    return GEMINI.encode(Request(model, turns or (User("Hi"),), **settings))


# --- encoding: settings -------------------------------------------------------------------------------


def test_a_plain_request_has_only_what_was_set():
    """Defaults are the provider's: no temperature, no limit, no empty objects."""
    assert encoded() == {"model": MODEL, "contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_all_settings_are_sent():
    """Each setting stands where the REST API wants it, under its name there."""
    body = encoded(
        model="gemini-2.5-flash",
        system="Be brief.",
        tools=(ADD,),
        output=OutputSchema("Answer", NUMBERS),
        temperature=0.0,
        top_p=0.5,
        seed=7,
        stop=("END", "###"),
        max_tokens=9,
        reasoning_effort="low",
    )

    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    declared = {"name": "add", "description": "Add two numbers.", "parametersJsonSchema": NUMBERS}
    assert body["tools"] == [{"functionDeclarations": [declared]}]
    assert body["generationConfig"] == {
        "temperature": 0.0,
        "topP": 0.5,
        "seed": 7,
        "stopSequences": ["END", "###"],
        "maxOutputTokens": 9,
        "thinkingConfig": {"thinkingBudget": 1024},
        "responseMimeType": "application/json",
        "responseJsonSchema": NUMBERS,
    }
    assert json.loads(json.dumps(body)) == body


def test_a_function_without_parameters_declares_none():
    """An object without properties is refused; a description is always wanted."""
    assert encoded(tools=(PING,))["tools"] == [
        {"functionDeclarations": [{"name": "ping", "description": "ping"}]}
    ]


@pytest.mark.parametrize(
    ("settings", "calling"),
    [
        ({}, {"mode": "VALIDATED"}),
        ({"tool_choice": "auto"}, {"mode": "VALIDATED"}),
        ({"strict_tools": False}, None),
        ({"strict_tools": False, "tool_choice": "auto"}, {"mode": "AUTO"}),
        ({"model": "gemini-2.5-flash"}, None),
        ({"model": "gemini-2.5-flash", "tool_choice": "auto"}, {"mode": "AUTO"}),
        ({"model": "tunedModels/mine"}, None),
        ({"model": "gemini-flash-latest"}, {"mode": "VALIDATED"}),
        ({"model": "publishers/google/models/gemini-3.8-pro"}, {"mode": "VALIDATED"}),
        ({"tool_choice": "none"}, {"mode": "NONE"}),
        ({"tool_choice": "required"}, {"mode": "ANY"}),
        ({"tool_choice": "ping"}, {"mode": "ANY", "allowedFunctionNames": ["ping"]}),
        ({"allowed_tools": ("add",)}, {"mode": "VALIDATED", "allowedFunctionNames": ["add"]}),
        (
            {"allowed_tools": ("add",), "tool_choice": "auto"},
            {"mode": "VALIDATED", "allowedFunctionNames": ["add"]},
        ),
        (
            {"allowed_tools": ("add",), "tool_choice": "required"},
            {"mode": "ANY", "allowedFunctionNames": ["add"]},
        ),
        ({"allowed_tools": ("add",), "tool_choice": "none"}, {"mode": "NONE"}),
    ],
)
def test_the_allowed_tools_are_sent(settings: dict[str, Any], calling: Any):
    """The generic words become the modes of function calling; Gemini 3 knows VALIDATED, which takes names."""
    config = encoded(tools=(ADD, PING), **settings).get("toolConfig")

    assert config == (None if calling is None else {"functionCallingConfig": calling})


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "gemini-2.5-flash"},
        {"model": "gemini-2.0-flash"},
        {"model": "gemini-1.5-pro"},
        {"model": "tunedModels/mine"},
        {"strict_tools": False},  # where the server refused VALIDATED
    ],
)
@pytest.mark.parametrize(("choice", "calling"), [(None, None), ("auto", {"mode": "AUTO"})])
def test_without_validated_the_other_tools_are_left_out(
    settings: dict[str, Any], choice: str | None, calling: Any
) -> None:
    """AUTO takes no names."""
    body = encoded(tools=(ADD, PING), allowed_tools=("add",), tool_choice=choice, **settings)

    assert [tool["name"] for tool in body["tools"][0]["functionDeclarations"]] == ["add"]
    assert body.get("toolConfig") == (calling and {"functionCallingConfig": calling})


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        ("gemini-2.5-flash-lite", "high", {"thinkingBudget": 24576}),
        ("gemini-3-pro", "none", {"thinkingLevel": "LOW"}),
        ("gemini-3-flash-preview", "minimal", {"thinkingLevel": "MINIMAL"}),
        ("gemini-3.8-flash", "minimal", {"thinkingLevel": "LOW"}),
        ("gemini-flash-latest", "medium", {"thinkingLevel": "MEDIUM"}),
        ("publishers/google/models/gemini-3-pro", "xhigh", {"thinkingLevel": "XHIGH"}),
    ],
)
def test_effort_is_a_level_or_a_budget(model: str, effort: str, thinking: dict[str, Any]):
    """Each family gets the nearest that it knows."""
    config = encoded(model=model, reasoning_effort=effort)["generationConfig"]

    assert config == {"thinkingConfig": thinking}


def test_an_unknown_effort_is_refused_by_name():
    """The error says which words there are."""
    with pytest.raises(ConfigurationError, match=r"minimal, low, medium.* not 'huge'"):
        encoded(model="gemini-2.5-pro", reasoning_effort="huge")


def test_extra_comes_last_and_merges_into_objects():
    """A nested object keeps its other keys, anything else is replaced, the caller's dict stays as it is."""
    extra = {"generationConfig": {"topK": 5}, "safetySettings": [{"category": "X"}], "contents": []}
    before = copy.deepcopy(extra)
    body = encoded(max_tokens=9, extra=extra)

    assert body["generationConfig"] == {"maxOutputTokens": 9, "topK": 5}
    assert (body["safetySettings"], body["contents"]) == ([{"category": "X"}], [])
    assert extra == before


# --- encoding: what was said --------------------------------------------------------------------------


def test_images_and_documents_are_parts():
    """Data goes inline in base64, an address as a file with the type that its name tells."""
    turn = User(
        (
            "Look:",
            Image.from_bytes(PNG),
            Document.from_bytes(b"%PDF-1.7"),
            Image.from_url("https://host/a.webp?size=1"),
            Document.from_url("https://host/paper"),
        )
    )

    assert encoded(turn)["contents"][0]["parts"] == [
        {"text": "Look:"},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgoA"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0xLjc="}},
        {"fileData": {"fileUri": "https://host/a.webp?size=1", "mimeType": "image/webp"}},
        {"fileData": {"fileUri": "https://host/paper"}},
    ]


def test_a_turn_goes_back_as_it_came():
    """Signatures stay on their parts, unknown parts stay, and thoughts stay thoughts."""
    parts = [
        {"text": "Hm.", "thought": True},
        {"text": "Let me see.", "thoughtSignature": "c2ln"},
        {"executableCode": {"code": "1+1"}, "partMetadata": {"x": 1}},
        says.call_part("add", {"a": 1}, "f1", signature="gA=="),
        says.call_part("add", {"a": 2}, "f2"),
    ]
    reply = GEMINI.decode(says.content(*copy.deepcopy(parts)))
    results = ToolResults(tuple(ToolResult(call, "2") for call in reply.calls))
    _, model, user = encoded(User("Hi"), reply, results)["contents"]

    assert model == {"role": "model", "parts": parts}
    assert [part["functionResponse"]["id"] for part in user["parts"]] == ["f1", "f2"]
    assert reply.echo is not None
    assert model["parts"] is reply.echo.data, "a long history costs no copies"


def test_calls_without_ids_get_answers_without_ids():
    """Local ids pair calls with results here, order pairs them there; no id goes back that did not come."""
    reply = GEMINI.decode(
        says.content(calls=[("add", {"a": 1}), ("add", {"a": 2}, "real"), ("add", {"a": 3})])
    )
    assert len({call.id for call in reply.calls}) == 3
    results = ToolResults(tuple(ToolResult(call, str(n)) for n, call in enumerate(reply.calls)))
    _, user = encoded(reply, results)["contents"]

    assert user["role"] == "user"
    assert [part["functionResponse"] for part in user["parts"]] == [
        {"name": "add", "response": {"output": "0"}},
        {"name": "add", "response": {"output": "1"}, "id": "real"},
        {"name": "add", "response": {"output": "2"}},
    ]


def test_local_ids_are_the_same_every_time_and_of_one_answer():
    """Reading an answer again gives the same ids, another answer's are others, with or without its own id."""
    answer = says.content(calls=[("add", None), ("add", None)])
    other = {**answer, "responseId": "resp-2"}
    nameless = {**answer, "responseId": None}
    first, again = GEMINI.decode(answer), GEMINI.decode(answer)

    assert first.calls == again.calls
    ids = [call.id for raw in (answer, other, nameless, nameless) for call in GEMINI.decode(raw).calls]
    assert len(set(ids)) == 8
    assert GEMINI.decode(nameless).id == ""
    assert all(call_id.replace("-", "").replace("_", "").isalnum() and len(call_id) <= 64 for call_id in ids)


@pytest.mark.parametrize(
    ("content", "error", "response"),
    [
        ("sunny", None, {"output": "sunny"}),
        ("42", None, {"output": "42"}),
        ("", None, {"output": ""}),
        ("null", None, {"output": "null"}),
        ('{"temp": 21}', None, {"temp": 21}),
        ("{}", None, {}),
        ('{"output": 1, "x": 2}', None, {"output": {"output": 1, "x": 2}}),
        ('{"error": "none"}', None, {"output": {"error": "none"}}),
        ("[1, 2]", None, {"output": [1, 2]}),
        ("{broken", None, {"output": "{broken"}),
        ("Error: no such city", "no such city", {"error": "no such city"}),
        ('{"a": 1}', "failed", {"error": "failed"}),
    ],
)
def test_a_result_is_an_object(content: str, error: str | None, response: dict[str, Any]):
    """By Gemini's convention: `output` or `error`; an object that says neither speaks for itself."""
    result = ToolResult(ToolCall("c1", "weather", ""), content, error=error)
    (user,) = encoded(ToolResults((result,)))["contents"]

    said = {"name": "weather", "response": response, "id": "c1"}
    assert user == {"role": "user", "parts": [{"functionResponse": said}]}


def test_a_turn_of_another_provider_is_rebuilt():
    """Text and calls of another provider's reply; where Gemini 3 wants a signature, its word for none."""
    calls = (ToolCall("c1", "add", '{"a": 1}'), ToolCall("c2", "ping", ""), ToolCall("", "odd", "not json"))
    foreign = Reply("Adding.", calls, echo=Echo("openai", [{"type": "message"}]))
    results = ToolResults(tuple(ToolResult(call, "x") for call in calls))

    model, user = encoded(foreign, results)["contents"]
    assert model["parts"] == [
        {"text": "Adding."},
        {
            "functionCall": {"name": "add", "args": {"a": 1}, "id": "c1"},
            "thoughtSignature": UNSIGNED,
        },
        {"functionCall": {"name": "ping", "args": {}, "id": "c2"}},
        {"functionCall": {"name": "odd", "args": {"arguments": "not json"}}},
    ]
    assert [part["functionResponse"].get("id") for part in user["parts"]] == ["c1", "c2", None]
    assert "thoughtSignature" not in str(encoded(foreign, model="gemini-2.5-pro"))


def test_an_unsigned_turn_of_an_older_gemini_is_signed_for_a_newer_one():
    """The reply itself stays as it was."""
    reply = GEMINI.decode(says.content(text="So:", calls=[("add", {"a": 1})]))
    before = copy.deepcopy(reply)
    (newer,) = encoded(reply, model="gemini-3.8-flash")["contents"]
    (older,) = encoded(reply, model="gemini-2.5-flash")["contents"]

    assert [part.get("thoughtSignature") for part in newer["parts"]] == [None, UNSIGNED]
    assert [part.get("thoughtSignature") for part in older["parts"]] == [None, None]
    assert reply == before


def test_an_empty_turn_is_left_out():
    """Gemini refuses a turn without parts, as an answer of no words leaves one."""
    empty = GEMINI.decode(says.content(finish="STOP"))

    assert [turn["parts"] for turn in encoded(User("Hi"), empty, Reply(), User("Go on."))["contents"]] == [
        [{"text": "Hi"}],
        [{"text": "Go on."}],
    ]


def test_a_model_without_system_instructions_reads_them_first():
    """Gemma 3 answers 400 to a system instruction."""
    body = encoded(system="Be brief.", model="models/gemma-3-27b-it")

    assert "systemInstruction" not in body
    assert [turn["parts"][0]["text"] for turn in body["contents"]] == ["Be brief.", "Hi"]


# --- what models can do -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "facts"),
    [
        ("gemini-2.5-flash", {"output_with_tools": False, "tools": True, "drops": frozenset()}),
        ("publishers/google/models/gemini-2.5-pro", {"output_with_tools": False}),
        ("models/gemini-2.0-flash", {"output_with_tools": False, "urls": False}),
        ("gemini-3-pro-preview", {"output_with_tools": True, "drops": frozenset({"temperature", "top_p"})}),
        ("gemini-flash-latest", {"output_with_tools": True, "structured_output": True}),
        ("gemma-3-27b-it", {"tools": False, "structured_output": False, "documents": False}),
        ("tunedModels/mine", {"tools": True, "output_with_tools": True, "drops": frozenset()}),
        ("gemini-9-ultra", {"output_with_tools": True, "refuses": frozenset({"parallel_tools"})}),
    ],
)
def test_what_a_model_can_do_is_known_by_its_name(model: str, facts: Mapping[str, Any]):
    """One table, first match wins, whatever path stands before the name."""
    can = GEMINI.capabilities(model)

    assert {name: getattr(can, name) for name in facts} == dict(facts)


def test_the_table_is_whole():
    """Every model has a line, and none has a word for parallel calls."""
    assert CAPABILITIES[-1][0] == "*"
    assert all(isinstance(can, Capabilities) and "parallel_tools" in can.refuses for _, can in CAPABILITIES)
