"""The fake backend: a codec like the others, answered by the prompt's own lines or by valid samples."""

import asyncio
import json
import subprocess
import sys
from typing import Any, Literal

import pytest
from kit.dialects import OPENAI

from alloy import command, tool, use_config
from alloy._typed.schemas.dialects import Dialect
from alloy.backends.base import Backend, CancelToken, Capabilities
from alloy.backends.fake.backend import FakeBackend, responder
from alloy.backends.registry import resolve
from alloy.endpoints import Endpoint
from alloy.errors import (
    AlloyError,
    BadReplyError,
    ConfigurationError,
    ParseError,
    ProviderConnectionError,
    ProviderTimeoutError,
    RateLimitError,
)
from alloy.messages import (
    OutputSchema,
    ReasoningDelta,
    Reply,
    Request,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    ToolResults,
    ToolSchema,
    Usage,
    User,
)

FAKE = FakeBackend()
CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
ADD = ToolCall("call_1_1", "add", '{"a": 1}')

REPLIES = [
    Reply(text="Hello", usage=Usage(3, 1), model="m", id="r1"),
    Reply(),
    Reply(text="Grüße aus 東京 — 👩‍👩‍👧‍👦 🏳️‍🌈! " * 20),
    Reply(calls=(ADD, ToolCall("x", "now", ""))),
    Reply(text="Let me see.", calls=(ADD,), reasoning="First add, then think about it."),
    Reply(text="", finish="refusal", explanation="I would rather not."),
    Reply(text="{", finish="length", usage=Usage(9, 8, 7, 6)),
]


def request(prompt: str, *later: Any, **settings: Any) -> Request:
    return Request("m", (User(prompt), *later), **settings)


def answer(asked: Request) -> Reply:
    return FAKE.decode(FAKE.send(FAKE.encode(asked), Endpoint(), CancelToken()))


def events(asked: Request) -> list[Any]:
    return list(FAKE.open(FAKE.encode(asked), Endpoint(), CancelToken()))


@pytest.fixture
def answered_by():
    """Sets who answers, for one test."""
    tokens = []
    yield lambda reply: tokens.append(responder.set(lambda _: reply))
    for token in reversed(tokens):
        responder.reset(token)


# --- the codec ------------------------------------------------------------------------------------


def test_it_is_a_backend_that_is_found_by_name():
    """The registry reaches it as any other, under any model's name."""
    backend, model = resolve("fake:tiny")

    assert isinstance(backend, Backend)
    assert (backend.name, backend.dialect, model) == ("fake", Dialect(), "tiny")
    assert resolve("gpt-5.6", "fake")[1] == "gpt-5.6"


def test_neither_an_sdk_nor_pydantic_is_needed():
    """A text answer and a filled schema work in an interpreter that has nothing else loaded."""
    program = (
        "import sys; from alloy.backends.fake.backend import FakeBackend;"
        "from alloy._typed.schemas.samples import sample;"
        "from alloy.endpoints import Endpoint; from alloy.messages import *;"
        "from alloy.backends.base import CancelToken; b = FakeBackend();"
        "r = Request('m', (User('Hi'),), output=OutputSchema('x', {'type': 'string', 'format': 'uuid'}));"
        "b.send(b.encode(r), Endpoint(), CancelToken());"
        "print({'pydantic', 'pydantic_core', 'openai', 'httpx', 'asyncio'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_encode_shows_all_that_is_asked_and_nothing_else():
    """The body is plain JSON that reads like the conversation; settings that are not set are not there."""
    result = ToolResult(ADD, "no such number", error="ValueError")
    asked = request(
        "Add",
        Reply(text="Well:", calls=(ADD,)),
        ToolResults((result, ToolResult(ADD, "1"))),
        system="Be brief.",
        tools=(ToolSchema("add", "Adds.", CLOSED),),
        output=OutputSchema("sum", {"type": "integer"}),
        temperature=0,
        tool_choice="none",
        extra={"seed": 7},
    )
    body = FakeBackend("fake", OPENAI).encode(asked)

    assert json.loads(json.dumps(body)) == body
    assert body == {
        "model": "m",
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "Add"},
            {
                "role": "assistant",
                "content": "Well:",
                "calls": [{"id": "call_1_1", "name": "add", "arguments": '{"a": 1}'}],
            },
            {
                "role": "tool",
                "call": "call_1_1",
                "name": "add",
                "content": "no such number",
                "error": "ValueError",
            },
            {"role": "tool", "call": "call_1_1", "name": "add", "content": "1"},
        ],
        "tools": [{"name": "add", "description": "Adds.", "parameters": CLOSED, "strict": True}],
        "tool_choice": "none",
        "output": {"name": "sum", "schema": {"type": "integer"}, "wrapped": False},
        "temperature": 0,
        "seed": 7,
    }
    assert FAKE.encode(request("Hi")) == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize("reply", REPLIES, ids=range(len(REPLIES)))
def test_events_add_up_to_the_whole_answer(answered_by, reply):
    """Feeding a reply's events equals decoding it whole, and the deltas are its text, piece by piece."""
    answered_by(reply)
    accumulator = FAKE.accumulator()
    deltas = [delta for event in events(request("Go")) if (delta := accumulator.feed(event)) is not None]

    assert accumulator.reply() == answer(request("Go"))
    assert "".join(d.text for d in deltas if isinstance(d, TextDelta)) == reply.text
    assert "".join(d.text for d in deltas if isinstance(d, ReasoningDelta)) == reply.reasoning
    assert [d.name for d in deltas if isinstance(d, ToolCallDelta)] == [call.name for call in reply.calls]
    assert all(json.loads(json.dumps(event)) == event for event in events(request("Go")))


def test_pieces_are_of_different_sizes_and_the_same_each_time(answered_by):
    """A stream is cut unevenly, at the same places."""
    answered_by(Reply(text="word " * 40))
    pieces = [event["text"] for event in events(request("Go")) if event["type"] == "text"]

    assert len({len(piece) for piece in pieces}) > 4
    assert pieces == [event["text"] for event in events(request("Go")) if event["type"] == "text"]


def test_the_async_calls_answer_as_the_sync_ones():
    """The same request has the same answer in all four ways of sending it."""
    body = FAKE.encode(request("Hi"))

    async def both() -> tuple[Any, list[Any]]:
        return await FAKE.send_async(body, Endpoint()), [e async for e in FAKE.open_async(body, Endpoint())]

    assert asyncio.run(both()) == (FAKE.send(body, Endpoint(), CancelToken()), events(request("Hi")))


@pytest.mark.parametrize("reply", REPLIES, ids=range(len(REPLIES)))
def test_a_stream_that_breaks_off_is_no_reply(answered_by, reply):
    """Without the end event there is no reply, whatever came before."""
    answered_by(reply)
    accumulator = FAKE.accumulator()
    for event in events(request("Go"))[:-1]:
        accumulator.feed(event)

    with pytest.raises(BadReplyError, match="broke off") as caught:
        accumulator.reply()
    assert caught.value.text == reply.text


@pytest.mark.parametrize(
    "raw", [None, "<html>", [], {}, {"calls": [1], "usage": {}}, {"calls": [], "usage": 1}]
)
def test_what_is_no_answer_is_a_bad_reply(raw):
    """Another shape is an error of the provider's and not a KeyError."""
    with pytest.raises(BadReplyError, match="fake: not an answer of the fake backend"):
        FAKE.decode(raw)


@pytest.mark.parametrize(
    "event", [None, {}, {"type": "ping"}, {"type": "text"}, {"type": "arguments", "text": ""}]
)
def test_what_is_no_event_is_a_bad_reply(event):
    """So is an event of another shape."""
    with pytest.raises(BadReplyError, match="fake: not an event of the fake backend"):
        FAKE.accumulator().feed(event)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (TimeoutError("late"), ProviderTimeoutError),
        (ConnectionResetError("reset"), ProviderConnectionError),
        (RateLimitError("slow down", provider="fake"), RateLimitError),
        (ConfigurationError("bad line"), ConfigurationError),
    ],
)
def test_errors_are_explained(raised, kind):
    """What a transport raises becomes its Alloy error; an Alloy error stays itself."""
    explained = FAKE.explain(raised)

    assert type(explained) is kind
    assert str(raised) in str(explained)
    assert (explained is raised) == isinstance(raised, AlloyError)


def test_a_bug_is_not_explained():
    """An error that no transport raises is not the provider's."""
    assert FAKE.explain(ValueError("a bug")) is None


def test_one_can_stand_for_another_provider():
    """A name, a dialect and capabilities of its own, for tests of what depends on them."""
    stand_in = FakeBackend("bare", OPENAI, Capabilities(tools=False))

    assert (stand_in.name, stand_in.dialect, stand_in.capabilities("any").tools) == ("bare", OPENAI, False)
    assert FAKE.capabilities("any") == Capabilities(result_media=True)


# --- what it says ---------------------------------------------------------------------------------


def test_a_text_answer_names_the_prompts_beginning():
    """Short prompts are repeated, long ones cut, white space is folded."""
    assert answer(request("What  time\nis it?")).text == "[fake] You said: What time is it?"
    assert answer(request("word " * 50)).text == "[fake] You said: " + ("word " * 12).rstrip() + "…"
    assert answer(request("one", Reply(text="x"), User("two"))).text == "[fake] You said: two"
    assert answer(Request("m", ())).text == "[fake] Done."


def test_an_output_schema_is_filled():
    """The answer is JSON of the asked-for shape, with no escapes to read past."""
    schema = {"type": "object", "properties": {"größe": {"type": "integer", "minimum": 5}}}

    assert answer(request("Hi", output=OutputSchema("x", schema))).text == '{"größe": 5}'


def test_the_answer_carries_usage_model_and_id():
    """Words are counted as tokens, and the model's name is the one that was asked for."""
    reply = answer(request("one two three", system="four five"))

    assert (reply.model, reply.id, reply.finish) == ("m", "fake_1", "stop")
    assert reply.usage.output_tokens == len(reply.text.split())
    assert reply.usage.input_tokens == len(["user", "one", "two", "three", "four", "five"])


SCRIPT = """Please compare.
fake: call weather {"city": "Oslo"}
  fake: and weather {"city":"Rome"}
fake: call now
fake: say Both are  cold, {"I": "think"}.
"""


def test_a_prompts_lines_are_the_models_turns():
    """One turn for each line, `and` joins the turn before; then the model speaks for itself."""
    turns, said = [], (User(SCRIPT),)
    for _ in range(4):
        reply = answer(Request("m", said))
        turns.append(reply)
        said = (*said, reply, ToolResults(tuple(ToolResult(call, "ok") for call in reply.calls)))

    assert [(call.id, call.name, call.arguments) for call in turns[0].calls] == [
        ("call_1_1", "weather", '{"city": "Oslo"}'),
        ("call_1_2", "weather", '{"city":"Rome"}'),
    ]
    assert [(call.id, call.name, call.arguments) for call in turns[1].calls] == [("call_2_1", "now", "{}")]
    assert [turn.finish for turn in turns] == ["tool_calls", "tool_calls", "stop", "stop"]
    assert turns[2].text == 'Both are  cold, {"I": "think"}.'
    assert turns[3].text == "[fake] You said: Please compare."


def test_a_script_goes_on_after_a_reask():
    """A later message without lines does not end it; one with lines begins anew."""
    wrong, again = Reply(text="no"), User("That was wrong.")

    assert answer(request("fake: say no\nfake: say 42", wrong, again)).text == "42"
    assert answer(request("fake: say no\nfake: say 42", wrong, User("fake: say new"))).text == "new"
    assert answer(request("fake: say", wrong)).text == "[fake] Done."
    assert answer(request("fake: say")).text == ""


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("fake: shout hello", "say TEXT"),
        ("fake:", "say TEXT"),
        ('fake: and weather {"city": "Rome"}', "directly after a call"),
        ("fake: call", "name of a tool"),
        ("fake: call weather city=Oslo", "as a JSON object"),
        ("fake: call weather [1]", "as a JSON object"),
        ('fake: call weather {"city": }', "as a JSON object"),
    ],
)
def test_a_line_that_is_not_in_the_language_is_named(line, wanted):
    """The error shows the line and what it should have been."""
    with pytest.raises(ConfigurationError, match=wanted) as caught:
        answer(request(f"Hello\n{line}\r\nfake: say hi"))
    assert repr(line) in str(caught.value)


# --- through the engine ---------------------------------------------------------------------------


@tool
def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


@command(output=Literal["spam", "ham"], tools=[double])
def judge(text: str) -> str:
    """Judges a text."""
    return text


def test_a_command_runs_offline_with_any_models_name(monkeypatch):
    """`ALLOY_BACKEND=fake` needs no key, whatever model is configured; the answer has the type."""
    monkeypatch.setenv("ALLOY_BACKEND", "fake")
    run = judge.with_options(model="gpt-5.6").run("Buy now")

    assert (run.value, run.model) == ("spam", "fake:gpt-5.6")
    assert run.usage.input_tokens > 0 < run.usage.output_tokens
    assert judge.request("Buy")["messages"] == [{"role": "user", "content": "Buy"}]


def test_a_prompts_lines_call_real_tools():
    """Calls go through the engine, their results come back, and a wrong answer is asked for again."""
    prompt = 'fake: call double {"number": "4"}\nfake: and nobody\nfake: say eggs\nfake: say ham'
    with use_config(backend="fake"):
        run = judge.run(prompt)

    assert run.value == "ham"
    assert [(result.name, result.value, result.error is None) for result in run.tool_calls] == [
        ("double", 8, True),
        ("nobody", None, False),
    ]
    assert run.turns == 3


def test_an_unparsable_answer_is_an_error():
    """What the script says is not bent to the type."""
    with use_config(backend="fake", reask=0), pytest.raises(ParseError):
        judge("fake: say eggs")


def test_a_command_streams_offline():
    """Text arrives in pieces, in sync and in async code, and adds up to the answer."""

    @command
    def echo(text: str) -> str:
        return text

    async def pieces() -> list[str]:
        return [piece async for piece in echo.stream_async("Hello there, world")]

    with use_config(backend="fake"):
        streamed = list(echo.stream("Hello there, world"))
        assert len(streamed) > 3
        assert streamed == asyncio.run(pieces())
        assert "".join(streamed) == echo("Hello there, world") == "[fake] You said: Hello there, world"
