"""Tool calls that are not exactly what the API wants: arguments in other forms, more around names."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Any, Literal

import pytest
from kit.apis import (
    ANTHROPIC,
    CHAT,
    GEMINI,
    OLLAMA,
    Api,
    apis,
    every_api,
    every_mode,
    pieces_of,
)
from kit.talking import MODES, WHOLE
from kit.wire import Answer, Received, WireServer, ollama
from pydantic import BaseModel, Field

from alloy import Conversation, Result, ask, tool
from alloy._typed.json.calls import tool_name
from alloy.testing import call, replies

MARK = "MARKED"
effects: list[str] = []
_numbers = count()


@tool
def effect(city: str) -> str:
    """Do something."""
    effects.append(city)
    return f"done in {city}"


@tool
def measure(x: float) -> str:
    """Measure *x*."""
    return f"measured {x}"


def answered(api: Api, mode: str, calls: list[tuple[str, Any]], marked: str = f'"{MARK}"') -> Answer:
    """An answer with *calls*, in which the string MARKED is replaced by *marked*, which need not be JSON."""
    made = api.whole(calls=calls)
    answer = api.reply(made) if mode in WHOLE else api.stream(api.events(made, pieces_of(100_000)))
    inside = json.dumps(marked, ensure_ascii=False)[1:-1]
    for quoted, written in ((rf"\"{MARK}\"", inside), (f'"{MARK}"', marked), (MARK, inside)):
        answer.body = [
            step.replace(quoted.encode(), written.encode()) if isinstance(step, bytes) else step
            for step in answer.body
        ]
    return answer


def script(server: WireServer, api: Api, *answers: Answer) -> None:
    """Script *answers*, after what Ollama is asked about the model."""
    server.script(*([ollama.shown("completion", "tools")] if api is OLLAMA else []), *answers)


def last(server: WireServer) -> Received:
    """The request after the tools have run."""
    return server.requests[-1]


def run(api: Api, mode: str, server: WireServer, **options: Any) -> Result[str]:
    """What a user's call in *mode* gives."""
    # What Ollama says about a model is kept for its address, and another test may have had the same port.
    model = {"model": f"ollama:model-{next(_numbers)}"} if api is OLLAMA else {}
    options = {**api.options(server), **model, **options}
    if mode == "send":
        return ask.run("?", **options)
    if mode == "send_async":
        return asyncio.run(ask.run_async("?", **options))
    if mode == "open":
        with ask.stream("?", **options) as stream:
            return stream.run()

    async def streamed() -> Result[str]:
        async with aclosing(ask.stream_async("?", **options)) as stream:
            return await stream.run()

    return asyncio.run(streamed())


def in_turn(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """*rows* with a mode before each, one after the other: five rows go through all of them."""
    return [(MODES[index % len(MODES)], *row) for index, row in enumerate(rows)]


def outcomes(result: Result[str]) -> list[tuple[str, Any]]:
    return [(call.name, call.value if call.error is None else call.error) for call in result.tool_calls]


# --- what JSON cannot say ---------------------------------------------------------------------------


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def measured(server: WireServer, api: Api, mode: str, marked: str) -> Result[Any]:
    """A call in which the model also calls another tool, next to one whose argument is *marked*."""
    effects.clear()
    calls: list[tuple[str, Any]] = [("effect", {"city": "Oslo"}), ("measure", {"x": MARK})]
    script(server, api, answered(api, mode, calls, marked), api.answer(mode, "Sorry."))

    return run(api, mode, server, tools=[effect, measure])


@every_api
@every_mode
@pytest.mark.parametrize(
    "marked",
    ["NaN", "Infinity", "-Infinity", "1e400", '"\\ud800"', deep(190), deep(240), deep(600)],
    ids=["nan", "inf", "-inf", "1e400", "surrogate", "190", "240", "600"],
)
def test_what_json_cannot_say_is_a_problem_of_its_call(
    server: WireServer, api: Api, mode: str, marked: str
) -> None:
    """The other tools of the turn run, their results are kept, and the turn can be sent back."""
    result = measured(server, api, mode, marked)

    assert result.value == "Sorry."
    assert effects == ["Oslo"]
    assert outcomes(result)[0] == ("effect", "done in Oslo")
    assert result.tool_calls[1].error is not None
    sent = last(server).content
    assert b"done in Oslo" in sent and result.tool_calls[1].error[:20].encode() in sent
    json.loads(sent, parse_constant=pytest.fail)
    sent.decode()


@every_api
@every_mode
@pytest.mark.parametrize(
    "marked", [deep(5_000), "1" + "0" * 5_000, "-1" + "0" * 5_000], ids=["levels", "digits", "minus"]
)
def test_what_no_parser_reads_is_a_problem_of_its_call(
    server: WireServer, api: Api, mode: str, marked: str
) -> None:
    """Also where arguments are not text, but part of the JSON of the answer."""
    result = measured(server, api, mode, marked)

    assert result.value == "Sorry." and effects == ["Oslo"]
    assert outcomes(result)[0] == ("effect", "done in Oslo") and result.tool_calls[1].error is not None


@every_api
@every_mode
@pytest.mark.parametrize("name", ["we\ud800ather", "nö such tool", "a<|b|>c", "x" * 80])
def test_a_name_that_cannot_be_sent_back(server: WireServer, api: Api, mode: str, name: str) -> None:
    """The call is unknown, and goes back under a name that providers take."""
    effects.clear()
    calls: list[tuple[str, Any]] = [("effect", {"city": "Oslo"}), (MARK, {})]
    marked = json.dumps(name)[1:-1]
    answer = answered(api, mode, calls)
    answer.body = [
        step.replace(MARK.encode(), marked.encode()) if isinstance(step, bytes) else step
        for step in answer.body
    ]
    script(server, api, answer, api.answer(mode, "Sorry."))

    result = run(api, mode, server, tools=[effect])

    assert result.value == "Sorry." and outcomes(result)[0] == ("effect", "done in Oslo")
    assert "does not exist" in (result.tool_calls[1].error or "")
    sent = result.tool_calls[1].name
    assert sent.isascii() and len(sent) <= 64 and sent.replace("_", "").isalnum()
    assert f'"{sent}"' in last(server).content.decode()


def test_a_turn_goes_to_another_provider(server: WireServer) -> None:
    """Arguments that one API takes as text are an object in another one."""
    conversation = Conversation()
    script(
        server, CHAT, answered(CHAT, "send", [("measure", {"x": MARK})], "NaN"), CHAT.answer("send", "Sorry.")
    )
    run(CHAT, "send", server, tools=[measure], conversation=conversation)
    for api in (ANTHROPIC, GEMINI, OLLAMA):
        script(server, api, api.answer("send", "Hello."))
        assert run(api, "send", server, tools=[measure], conversation=conversation).value == "Hello."


# --- arguments in other forms -----------------------------------------------------------------------


class View(BaseModel):
    command: Literal["view"]
    path: str


class Make(BaseModel):
    command: Literal["make"]
    path: str


@dataclass
class Point:
    x: int
    labels: dict[str, int] | None = None


@tool
def memory(command: Annotated[View | Make, Field(discriminator="command")]) -> str:
    """Remember."""
    return f"{type(command).__name__} {command.path}"


@tool
def note(text: str, tags: list[str] | None = None, at: Point | None = None) -> str:
    """Note *text*."""
    return repr((text, tags, at))


@tool
def now() -> str:
    """The time."""
    return "12:00"


def noted(text: str, tags: Any = None, at: Any = None) -> tuple[str, str]:
    return ("note", repr((text, tags, at)))


FORMS: list[tuple[str, Any, tuple[str, str]]] = [
    ("memory", {"command": json.dumps({"command": "view", "path": "/a"})}, ("memory", "View /a")),
    ("memory", {"command": '```json\n{"command": "make", "path": "/a"}\n```'}, ("memory", "Make /a")),
    ("note", {"text": "a", "tags": '["x", "y"]'}, noted("a", ["x", "y"])),
    ("note", {"text": "a", "tags": "['x']"}, noted("a", ["x"])),
    ("note", {"text": "a", "tags": "null"}, noted("a")),
    ("note", {"text": "a", "at": '{"x": 1}'}, noted("a", at=Point(1))),
    (
        "note",
        {"text": "a", "at": json.dumps({"x": "1", "labels": '{"k": 2}'})},
        noted("a", at=Point(1, {"k": 2})),
    ),
    ("note", {"text": "a", "tags": ""}, noted("a")),
    ("note", {"text": "a", "at": ""}, noted("a")),
    ("note", {"text": "a", "at": {"x": 1, "labels": ""}}, noted("a", at=Point(1))),
    ("note", {"text": ""}, noted("")),
    ("now", [], ("now", "12:00")),
    ("note", {"text": '{"a": 1}'}, noted('{"a": 1}')),
    ("note", {"text": "null"}, noted("null")),
    ("note", {"text": '""'}, noted('""')),
    ("note", {"text": "<|call|>"}, noted("<|call|>")),
]


@every_api
@pytest.mark.parametrize(("mode", "name", "arguments", "wanted"), in_turn(FORMS))
def test_encoded_parts_are_read_by_the_schema(
    server: WireServer, api: Api, mode: str, name: str, arguments: Any, wanted: tuple[str, str]
) -> None:
    """An object or array inside of a string, and never text for a `str`."""
    script(server, api, answered(api, mode, [(name, arguments)]), api.answer(mode, "Ok."))
    assert outcomes(run(api, mode, server, tools=[memory, note, now])) == [wanted]


TEXTS: list[tuple[str, str, tuple[str, str]]] = [
    *(
        ("now", written, ("now", "12:00"))
        for written in ("", " ", '""', "null", "[]", " [ ]\n", '"[]"',
                        '"{}"', "{}", '"null"', "null<|call|>", "```json\n{}\n```")
    ),
    *(
        ("note", written, noted("a b"))
        for written in (
            '{"text": "a b"}<\uff5ctool\u2581call\u2581end\uff5c>',
            json.dumps(json.dumps({"text": "a b"})), '```json\n{"text": "a b"}\n```', "{'text': 'a b'}",
            '{"text": "a b"}<|call|>', '<|constrain|>json<|message|>{"text": "a b"}', '{"text": "a b",}',
            '<tool_call>{"text": "a b"}</tool_call>', '{"text": "a b"}</s>',
            '```json\n{"text": "a b"}', '{"text": "a b"}{"text": "a b"}',
        )
    ),
    ("note", '{"text": "a\nb"}', noted("a\nb")),
    ("note", '{"text": "it\\\'s"}', noted("it's")),
]  # fmt: skip


@apis(ANTHROPIC, OLLAMA)
@pytest.mark.parametrize(("mode", "name", "written", "wanted"), in_turn(TEXTS))
def test_arguments_as_text_are_read_as_an_answer_is(
    server: WireServer, api: Api, mode: str, name: str, written: str, wanted: tuple[str, str]
) -> None:
    """And the turn goes back with an object, which templates and other servers require."""
    script(server, api, answered(api, mode, [(name, written)]), api.answer(mode, "Ok."))
    assert outcomes(run(api, mode, server, tools=[memory, note, now])) == [wanted]
    for sent in _arguments(last(server).json):
        assert isinstance(json.loads(sent or "{}"), dict)


def _arguments(part: Any) -> list[str]:
    if isinstance(part, list):
        return [found for item in part for found in _arguments(item)]
    if not isinstance(part, dict):
        return []
    own = [part["arguments"]] if isinstance(part.get("arguments"), str) else []
    return own + [found for item in part.values() for found in _arguments(item)]


@pytest.mark.parametrize("api", [ANTHROPIC, OLLAMA], ids=repr)
@every_mode
@pytest.mark.parametrize("given", ["", "null", '{"text": "a b"}', '```json\n{"text": "a b"}\n```'])
def test_text_where_an_object_belongs(server: WireServer, api: Api, mode: str, given: str) -> None:
    """Servers that pass on what the model wrote; the API itself takes only an object back."""
    name, wanted = ("note", noted("a b")) if "text" in given else ("now", ("now", "12:00"))
    script(server, api, answered(api, mode, [(name, given)]), api.answer(mode, "Ok."))
    assert outcomes(run(api, mode, server, tools=[note, now])) == [wanted]
    key = "input" if api is ANTHROPIC else "arguments"
    assert _objects(last(server).json, key)


def _objects(part: Any, key: str) -> bool:
    """Whether what stands under *key* in *part*, apart from schemas, is an object."""
    if isinstance(part, list):
        return all(_objects(item, key) for item in part)
    if not isinstance(part, dict):
        return True
    own = key not in part or isinstance(part[key], dict)
    return own and all(_objects(item, key) for item in part.values())


@apis(ANTHROPIC, GEMINI, OLLAMA)
@pytest.mark.parametrize(
    "written", ['{"text": "a"}{"text": "b"}', '{"text": "a', "Oslo", "[1]", '{"text": NaN}', '"Oslo"', "null"]
)
def test_nothing_is_guessed(server: WireServer, api: Api, written: str) -> None:
    """What has no one meaning goes back to the model."""
    script(server, api, answered(api, "send", [("note", written)]), api.answer("send", "Ok."))
    assert "bad arguments" in (run(api, "send", server, tools=[note]).tool_calls[0].error or "")


# --- names ------------------------------------------------------------------------------------------

NAMES = [
    "effect<|channel|>commentary", "effect<|channel|>commentary json", "<|python_tag|>effect",
    "functions.effect",
    "default_api:effect", "default_api.effect", "functions.effect:0", "effect()", "effect.v1", " effect",
    "effect<\uff5ctool\u2581sep\uff5c>", "tools/effect", "functions.effect<|constrain|>json",
    "<|channel|>commentary to=functions.effect", "assistant to=effect", "effect json", "mcp__x__effect",
    "server-1__effect", "functions-effect", "effect_1", "tool_effect", "functions.tool_effect_12",
]  # fmt: skip


@every_api
@pytest.mark.parametrize(("mode", "name"), in_turn([(name,) for name in NAMES]))
def test_a_name_with_more_around_it(server: WireServer, api: Api, mode: str, name: str) -> None:
    """The only tool that fits is called, and the turn goes back with its name."""
    effects.clear()
    script(server, api, answered(api, mode, [(name, {"city": "Oslo"})]), api.answer(mode, "Ok."))
    assert outcomes(run(api, mode, server, tools=[effect, note])) == [("effect", "done in Oslo")]
    assert effects == ["Oslo"]
    assert f'"name":{json.dumps(name)}' not in last(server).content.decode()


@pytest.mark.parametrize(
    "name",
    [
        *("note.effect", "effects", "my_effect", "effect-2", "do effect now", "effect_v1", "side-effect"),
        *("note__effect", "mcp__note__effect", "effect__note", "note effect", "tool_note_effect", "effect_"),
    ],
)
def test_a_name_that_fits_none_or_two(name: str) -> None:
    """Nothing is called."""
    effects.clear()
    with replies(call(name, city="Oslo"), "Ok."):
        result = ask.run("?", tools=[effect, note])
    assert "does not exist" in (result.tool_calls[0].error or "")
    assert effects == []


@pytest.mark.parametrize(
    ("written", "names", "wanted"),
    [
        ("look_1", ("look", "look_now"), None),  # a number for a word: either may be meant
        ("look_1", ("look", "look_2"), None),
        ("look_1", ("look", "looks"), "look"),
        ("look_1", ("look", "look_1"), "look_1"),
        ("tool_look", ("look", "tool_look"), "tool_look"),
        ("mcp__x__look", ("look", "mcp__x__look"), "mcp__x__look"),
        ("look json", ("look", "json"), None),
        ("functions.look_now", ("look", "look_now"), "look_now"),
        ("mcp__x__look_now", ("look", "look_now", "now"), "look_now"),
        ("tool_now", ("look_now", "now"), "now"),
    ],
)
def test_of_tools_with_similar_names_exactly_one_has_to_fit(
    written: str, names: tuple[str, ...], wanted: str | None
) -> None:
    """A name that is a tool's is never another one's."""
    assert tool_name(written, names) == (wanted or re.sub("[^a-z0-9_]", "_", written))


@pytest.mark.parametrize("name", ["functions.effect", "default_api:effect", "effect<|channel|>commentary"])
@pytest.mark.parametrize(
    "given",
    ['{"city": "Oslo"}', "{'city': 'Oslo'}", '{"city": "Oslo"}<|call|>', '```json\n{"city": "Oslo"}\n```'],
)
def test_react_reads_the_same(name: str, given: str) -> None:
    """In the text of a turn."""
    effects.clear()
    with replies(f"Action: {name}\nAction Input: {given}", "Final Answer: Ok."):
        result = ask.run("?", tools=[effect, note], tool_mode="react")
    assert outcomes(result) == [("effect", "done in Oslo")] and result.value == "Ok."


@pytest.mark.parametrize(
    "given", ["NaN", "1e400", "[" * 5_000, '"\\ud800"', deep(300)], ids=lambda given: given[:9]
)
def test_react_reports_what_json_cannot_say(given: str) -> None:
    """The model gets the problem, and the answer counts."""
    with replies(f'Action: measure\nAction Input: {{"x": {given}}}', "Final Answer: Ok."):
        result = ask.run("?", tools=[effect, measure], tool_mode="react")
    assert result.value == "Ok." and "bad arguments" in (result.tool_calls[0].error or "")


def test_a_tool_that_fits_but_may_not_be_called() -> None:
    """`allowed_tools` is about the tool, whatever is written around its name."""
    effects.clear()
    with replies(call("functions.effect", city="Oslo"), "Ok."):
        result = ask.run("?", tools=[effect, note], allowed_tools=["note"])
    assert "may not be called" in (result.tool_calls[0].error or "") and effects == []
