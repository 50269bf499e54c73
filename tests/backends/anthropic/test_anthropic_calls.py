"""Anthropic as users call it: `ask` and `command` through the real SDK, against a scripted server."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
from kit.talking import KEY, MODES
from kit.wire import Answer, Gate, WireServer
from kit.wire import anthropic as says
from kit.wire import openai as openai_says

from alloy import Conversation, Image, ask, command, require, tool
from alloy.backends.memory import forget
from alloy.errors import (
    ConfigurationError,
    RefusalError,
    TruncatedError,
    TurnLimitError,
)
from alloy.messages import Usage

MODEL = "claude-sonnet-4-6"
NEWEST = "claude-opus-5-5"

every_mode = pytest.mark.parametrize("mode", MODES)
whole = pytest.mark.parametrize("mode", ["send", "send_async"])


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Nothing is remembered of a server that had this one's port."""
    forget()


def good(mode: str, *blocks: dict[str, Any], **fields: Any) -> Answer:
    made = says.message(*blocks, **fields)
    return says.reply(made) if mode.startswith("send") else says.stream(made)


def asked(mode: str, server: WireServer, prompt: Any = "Hello", **options: Any) -> Any:
    """What the user's call in *mode* gives: the value, or a stream's text."""
    defaults = {"model": MODEL, "base_url": server.url, "api_key": KEY, "retry": 0, "timeout": 20}
    options = {**defaults, **options}

    async def heard() -> str:
        async with ask.stream_async(prompt, **options) as stream:
            return "".join([piece async for piece in stream])

    match mode:
        case "send":
            return ask(prompt, **options)
        case "send_async":
            return asyncio.run(ask.async_(prompt, **options))
        case "open":
            return "".join(ask.stream(prompt, **options))
    return asyncio.run(heard())


@dataclass
class Place:
    city: str
    country: str | None = None


@dataclass
class Trip:
    stops: list[Place]
    days: int = 3


@dataclass
class Tree:
    name: str
    kids: list[Tree] = field(default_factory=list)


@tool
@require(lambda days: days < 10, "days must be below 10")
def weather(place: Place, days: int = 3) -> str:
    """Tell the weather."""
    return f"{place.city}: sun for {days} days"


@tool
async def clock() -> str:
    """Tell the time."""
    return "noon"


# --- answers ------------------------------------------------------------------------------------------


@every_mode
def test_text_is_asked_and_answered(server: WireServer, mode: str) -> None:
    """The plainest call, with a system prompt and a picture."""
    server.script(good(mode, text="Grüße 🦊"))
    prompt = ["What is this?", Image.from_bytes(b"GIF89a")]

    assert asked(mode, server, prompt, system="Be brief.") == "Grüße 🦊"
    (request,) = server.requests
    assert request.json["system"] == "Be brief."
    text, image = request.json["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is this?"}
    assert image["source"] == {"type": "base64", "media_type": "image/gif", "data": "R0lGODlh"}


@whole
def test_a_typed_answer_is_asked_for_by_its_schema(server: WireServer, mode: str) -> None:
    """By `output_config.format`; the answer may come after thinking, and leave out what has a default."""
    server.script(good(mode, text='{"stops": [{"city": "Köln"}]}', thoughts=["Hm."]))

    assert asked(mode, server, output=Trip) == Trip([Place("Köln")])
    shape = server.requests[0].json["output_config"]["format"]
    assert shape["type"] == "json_schema"
    assert shape["schema"]["required"] == ["stops"]
    assert shape["schema"]["additionalProperties"] is False


def test_a_command_has_its_typed_answer(server: WireServer) -> None:
    """The same through a decorated function, tools and all, with the usage of every turn added up."""

    @command(output=Trip, tools=[weather], model=MODEL, base_url=server.url, api_key=KEY)
    def plan(region: str) -> str:
        """Plan a trip."""
        return f"Plan a trip through {region}."

    server.script(
        good("send", calls=[("weather", {"place": {"city": "Bonn"}})], usage=(10, 5, 4, 2)),
        good("send", text='{"stops": [{"city": "Bonn", "country": "DE"}], "days": 1}', usage=(20, 7, 8, 0)),
    )
    run = plan.run("Germany")

    assert run.value == Trip([Place("Bonn", "DE")], 1)
    assert run.usage == Usage(30, 12, 12, 2)
    assert (run.turns, run.model, run.downgrades) == (2, f"anthropic:{MODEL}", ())


@whole
def test_an_answer_without_a_strict_form_is_asked_for_in_the_prompt(server: WireServer, mode: str) -> None:
    """Anthropic's strict mode has no recursion, so the prompt describes the type."""
    server.script(good(mode, text='{"name": "a", "kids": [{"name": "b"}]}'))

    assert asked(mode, server, output=Tree) == Tree("a", [Tree("b")])
    (request,) = server.requests
    assert "output_config" not in request.json
    assert "kids" in str(request.json)


@whole
def test_an_old_model_is_asked_for_json_in_the_prompt(server: WireServer, mode: str) -> None:
    """The table says that it has no structured output; nothing is tried in vain."""
    server.script(good(mode, text='{"city": "Köln"}'))

    assert asked(mode, server, model="claude-opus-4-1", output=Place) == Place("Köln")
    assert "output_config" not in server.requests[0].json


@every_mode
def test_a_refusal_is_its_error(server: WireServer, mode: str) -> None:
    """With the provider's explanation and what had been said."""
    details = {"type": "refusal", "category": "bio", "explanation": "Not that."}
    server.script(good(mode, text="Well", stop="refusal", stop_details=details))
    with pytest.raises(RefusalError, match=r"bio: Not that\.") as caught:
        asked(mode, server)

    assert caught.value.text == "Well"


@every_mode
@pytest.mark.parametrize("stop", ["max_tokens", "model_context_window_exceeded"])
def test_a_cut_off_answer_is_an_error(server: WireServer, mode: str, stop: str) -> None:
    """Also when thinking used up the limit and there is no text at all."""
    server.script(good(mode, thoughts=["Hm, "], stop=stop))
    with pytest.raises(TruncatedError, match="max_tokens"):
        asked(mode, server)


# --- tools --------------------------------------------------------------------------------------------


@every_mode
def test_tools_run_and_their_results_go_back(server: WireServer, mode: str) -> None:
    """In parallel and in turn; results in one user turn, the failed one marked, thoughts echoed."""
    first = [
        ("weather", {"place": {"city": "Köln"}}),
        ("clock", {}),
        ("weather", {"place": {"city": "x"}, "days": 99}),
    ]
    server.script(
        good(mode, thoughts=["I need facts."], text="Let me see. ", calls=first),
        good(mode, calls=[("weather", {"place": {"city": "Bonn"}, "days": 1}, "toolu_last")]),
        good(mode, text="Sunny."),
    )
    answer = asked(mode, server, tools=[weather, clock])

    assert answer == ("Let me see. Sunny." if mode.startswith("open") else "Sunny.")
    sent = server.requests[2].json["messages"]
    assert [turn["role"] for turn in sent] == ["user", "assistant", "user", "assistant", "user"]
    assert (
        sent[1]["content"]
        == says.message(thoughts=["I need facts."], text="Let me see. ", calls=first)["content"]
    )
    assert sent[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_weather_0", "content": "Köln: sun for 3 days"},
        {"type": "tool_result", "tool_use_id": "toolu_clock_1", "content": "noon"},
        {
            "type": "tool_result",
            "tool_use_id": "toolu_weather_2",
            "content": "Error: days must be below 10",
            "is_error": True,
        },
    ]
    assert sent[4]["content"][0]["content"] == "Bonn: sun for 1 days"
    shown = {tool["name"]: tool for tool in server.requests[0].json["tools"]}
    assert shown["weather"]["strict"] is True
    assert shown["weather"]["input_schema"]["required"] == ["place"]


@every_mode
def test_a_paused_turn_goes_on(server: WireServer, mode: str) -> None:
    """The provider's own tools can take long: what it has so far goes back, and the model continues."""
    paused = says.server_tool_use("web_search", {"query": "x"})
    server.script(good(mode, paused, stop="pause_turn"), good(mode, text="Found."))
    search = {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}

    assert asked(mode, server, extra={"anthropic": search}) == "Found."
    assert server.requests[1].json["messages"] == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [paused]},
    ]
    assert server.requests[1].json["tools"] == search["tools"]


@every_mode
def test_endless_pauses_end(server: WireServer, mode: str) -> None:
    """A pause counts as a turn of tools, which it is."""
    server.always = lambda _: good(mode, says.server_tool_use("web_search", {}), stop="pause_turn")
    with pytest.raises(TurnLimitError):
        asked(mode, server, max_tool_turns=2)

    assert len(server.requests) == 3


@whole
def test_an_empty_turn_after_tools_is_asked_for_its_answer(server: WireServer, mode: str) -> None:
    """Claude may end its turn in silence after results; the silent turn is not sent back."""
    server.script(
        good(mode, calls=[("clock", {})]),
        good(mode, says.text_block("")),
        good(mode, text="Noon."),
    )

    assert asked(mode, server, tools=[clock]) == "Noon."
    last = server.requests[2].json
    assert last["tool_choice"] == {"type": "none"}
    assert [turn["role"] for turn in last["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in last["messages"][-1]["content"]] == ["tool_result", "text"]


@whole
def test_a_conversation_moves_here_from_another_provider(server: WireServer, mode: str) -> None:
    """Its calls and results are rebuilt, saved and loaded again or not."""
    past = Conversation()
    server.script(
        openai_says.reply(openai_says.response(calls=[("clock", {}, "call:1")])),
        openai_says.reply(openai_says.response(text="Noon.")),
        good(mode, text="Still noon."),
        good(mode, text="Yes."),
    )
    options: dict[str, Any] = {"conversation": past, "tools": [clock], "api_key": KEY}
    ask("When?", model="openai:gpt-5.6", base_url=f"{server.url}/v1", **options)
    assert asked(mode, server, "And now?", **options) == "Still noon."
    again = Conversation.from_json(past.to_json())
    assert asked(mode, server, "Sure?", conversation=again) == "Yes."

    sent = server.requests[3].json
    assert sent["messages"][1]["content"] == [says.tool_use("clock", {}, "call_1")]
    assert sent["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "noon"}
    ]
    assert sent["messages"][5]["content"] == [says.text_block("Still noon.")]
    assert sent["tool_choice"] == {"type": "none"}


# --- settings -----------------------------------------------------------------------------------------


def test_sampling_is_left_out_where_a_model_rejects_it(
    server: WireServer, caplog: pytest.LogCaptureFixture
) -> None:
    """One debug line says so; a model that takes it gets it."""
    server.script(good("send", text="a"), good("send", text="b"))
    with caplog.at_level(logging.DEBUG, "alloy"):
        asked("send", server, model=NEWEST, temperature=0.5)
        asked("send", server, temperature=0.5)

    newest, older = (request.json.get("temperature") for request in server.requests)
    assert (newest, older) == (None, 0.5)
    assert [line for line in caplog.messages if "temperature" in line] == [
        f"anthropic:{NEWEST} does not support temperature; it is not sent"
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, "does not support seed"),
        ({"tool_choice": "required", "tools": [clock], "model": NEWEST}, "tool_choice='required'"),
    ],
    ids=["seed", "forced tool"],
)
def test_unsupported_settings_are_refused_by_name(
    server: WireServer, options: dict[str, Any], message: str
) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match=message):
        asked("send", server, **options)

    assert server.requests == []


@every_mode
def test_a_wrong_address_names_the_setting(server: WireServer, mode: str) -> None:
    """A base URL that ends in /v1, as OpenAI's does, leads nowhere."""
    server.script(says.failure(404, "Not Found", kind="not_found_error"))
    with pytest.raises(Exception, match=r"check `base_url`, which ends without /v1"):
        asked(mode, server, base_url=f"{server.url}/v1")

    assert server.requests[0].path == "/v1/v1/messages"


# --- trouble ------------------------------------------------------------------------------------------


@every_mode
def test_an_overloaded_provider_is_tried_again(server: WireServer, mode: str) -> None:
    """By Alloy, as its policy says, and not by the SDK."""
    busy = says.failure(529, "Overloaded.", kind="overloaded_error", retry_after_ms="1")
    server.script(busy, busy, good(mode, text="Hello"))

    assert asked(mode, server, retry=2) == "Hello"
    retries = [request.headers.get("x-stainless-retry-count", "0") for request in server.requests]
    assert retries == ["0"] * 3


def test_leaving_a_stream_early_closes_its_connection(server: WireServer) -> None:
    """The provider need not go on."""
    answer = good("open", text="Hello")
    answer.body = [*answer.body[:4], Gate()]
    server.script(answer)
    with ask.stream("Hello", model=MODEL, base_url=server.url, api_key=KEY) as stream:
        assert next(iter(stream)) == "Hel"

    server.connections[0].wait_closed()


def test_a_shape_that_strict_mode_cannot_hold_is_described_and_not_held_against_the_model():
    """The next, flatter answer is native again."""
    body = ask.request("go", model="claude-sonnet-4-6", output=Tree)
    assert "output_config" not in body
    assert "kids" in str(body["messages"][-1])
    assert "output_config" in ask.request("go", model="claude-sonnet-4-6", output=int)
