"""Ollama as users call it, through the real SDK and httpx, against a server that behaves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from kit.talking import MODES, talk
from kit.wire import Answer, WireServer, json_answer
from kit.wire import ollama as says

import alloy
from alloy import Image, ask, command, tool
from alloy.backends.ollama.chat import OllamaBackend
from alloy.backends.registry import register_backend
from alloy.endpoints import Endpoint
from alloy.errors import ConfigurationError, TruncatedError
from alloy.messages import Request, ToolSchema, User

MODEL = "ollama:llama3.2"

every_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(autouse=True)
def fresh() -> None:
    """A backend that has asked no server yet: ports come round again."""
    register_backend("ollama", OllamaBackend())


def at(server: WireServer, **more: Any) -> Endpoint:
    return Endpoint(**{"base_url": server.url, "timeout": 20.0, **more})


def request_body(prompt: str = "Hello", **more: Any) -> dict[str, Any]:
    return OllamaBackend().encode(Request("llama3.2", (User(prompt),), **more))


def good(mode: str, **fields: Any) -> Answer:
    whole = says.answer(**{"text": "Grüße 🦊", **fields})
    return says.reply(whole) if mode.startswith("send") else says.stream(whole)


def asked(mode: str, server: WireServer, prompt: Any = "Hello", **options: Any) -> Any:
    """What the user's call in *mode* gives: the value, or a stream's text."""
    options = {"model": MODEL, "base_url": server.url, "retry": 0, "timeout": 20, **options}

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
    country: str = "DE"


@dataclass
class Trip:
    stops: list[Place]
    note: str | None = None


@tool
def weather(place: Place, days: int = 3) -> str:
    """Say what the weather will be."""
    return f"{place.city}: sun for {days} days"


@tool
def clock() -> str:
    """Say what time it is."""
    return ""


# --- as users call it ---------------------------------------------------------------------------------


@every_mode
def test_text_is_asked_and_answered(server: WireServer, mode: str) -> None:
    """One request to the native API, as the SDK would address it."""
    server.script(good(mode))
    assert asked(mode, server, system="Be brief.", temperature=0.5) == "Grüße 🦊"

    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/api/chat")
    assert request.headers["user-agent"].startswith("ollama-python/")
    assert request.headers["content-type"] == "application/json"
    assert request.json == {
        "model": "llama3.2",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "stream": mode.startswith("open"),
        "options": {"temperature": 0.5},
    }


@every_mode
def test_tools_run_and_their_results_go_back(server: WireServer, mode: str) -> None:
    """Two calls in one turn and one in the next, then the answer; the server is asked once what it can."""
    first = [("weather", {"place": {"city": "Köln"}}), ("clock", {})]
    server.script(
        says.shown("completion", "tools"),
        good(mode, text="", calls=first),
        good(mode, text="", calls=[("weather", {"place": {"city": "Bonn", "country": "DE"}, "days": 1})]),
        good(mode, text="Sunny."),
    )
    assert asked(mode, server, tools=[weather, clock]) == "Sunny."

    assert [request.path for request in server.requests] == ["/api/show", *["/api/chat"] * 3]
    assert server.requests[0].json == {"model": "llama3.2"}
    tools = server.requests[1].json["tools"][0]["function"]["parameters"]["properties"]
    assert tools["place"]["properties"]["city"] == {"type": "string"}
    assert tools["place"]["required"] == ["city"]
    assert tools["days"] == {"type": "integer", "description": "Default: 3."}
    messages = server.requests[3].json["messages"]
    assert [message["role"] for message in messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
        "tool",
    ]
    assert [message["content"] for message in messages if message["role"] == "tool"] == [
        "Köln: sun for 3 days",
        "(no output)",
        "Bonn: sun for 1 days",
    ]
    ids = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    assert ids == [message["tool_call_id"] for message in messages if message["role"] == "tool"]


@pytest.mark.parametrize("mode", ["send", "send_async"])
def test_a_typed_answer_is_asked_for_by_its_schema(server: WireServer, mode: str) -> None:
    """By `format`, and in the prompt."""
    server.script(good(mode, text='{"stops": [{"city": "Köln"}]}'))
    assert asked(mode, server, output=Trip) == Trip([Place("Köln")])

    (request,) = server.requests
    shape = request.json["format"]
    assert shape["properties"]["stops"]["items"]["properties"]["city"] == {"type": "string"}
    assert "$defs" not in shape
    assert "city: string" in request.json["messages"][0]["content"]


def test_a_typed_answer_with_tools_has_a_last_turn_of_its_own(server: WireServer) -> None:
    """With `format` the sampling could produce nothing but the answer, not even a call."""
    server.script(
        says.shown("tools"),
        good("send", text="", calls=[("clock", {})]),
        good("send", text="It is late."),
        good("send", text='{"value": 23}'),
    )
    assert asked("send", server, output=int, tools=[clock]) == 23

    first, second, last = (request.json for request in server.requests[1:])
    assert "tools" in first and "tools" in second and "tools" not in last
    assert "format" not in first and "format" not in second and "format" in last


def test_an_answer_of_the_wrong_shape_is_asked_for_again(server: WireServer) -> None:
    """Small models often ignore what is required; one more try says what was wrong."""
    server.script(good("send", text='{"stops": [{}]}'), good("send", text='{"stops": []}'))
    assert asked("send", server, output=Trip) == Trip([])

    assert "city" in server.requests[1].json["messages"][-1]["content"]


def test_a_cut_off_answer_is_an_error(server: WireServer) -> None:
    """`done_reason: length`, with the text so far."""
    server.script(good("send", text='{"stops"', reason="length"))
    with pytest.raises(TruncatedError, match="max_tokens") as caught:
        asked("send", server, output=Trip)

    assert caught.value.text == '{"stops"'


def test_a_run_tells_usage_and_model(server: WireServer) -> None:
    """Tokens of all turns are added up."""

    @command(model=MODEL, base_url=server.url, tools=[clock])
    def time() -> str:
        return "What time is it?"

    server.script(
        says.shown("tools"),
        good("send", text="", calls=[("clock", {})], usage=(10, 5)),
        good("send", usage=(20, 7), thoughts="Hm"),
    )
    run = time.run()

    assert (run.usage.input_tokens, run.usage.output_tokens) == (30, 12)
    assert (run.model, run.turns) == (MODEL, 2)
    assert run.downgrades == ()


def test_options_reach_the_request(server: WireServer) -> None:
    """The generic ones under Ollama's names, the others by `extra`."""
    server.script(says.shown("thinking"), good("send"))
    options = {"options": {"num_ctx": 8192}, "keep_alive": "10m"}
    asked(
        "send",
        server,
        max_tokens=9,
        seed=7,
        top_p=0.5,
        stop=["END"],
        reasoning_effort="high",
        extra={"ollama": options},
    )

    sent = server.requests[1].json
    assert sent["options"] == {"num_predict": 9, "seed": 7, "top_p": 0.5, "stop": ["END"], "num_ctx": 8192}
    assert (sent["think"], sent["keep_alive"]) == (True, "10m")


@pytest.mark.parametrize("option", [{"tool_choice": "required"}, {"parallel_tools": False}])
def test_unsupported_settings_are_refused_by_name(server: WireServer, option: dict[str, Any]) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        asked("send", server, tools=[clock], **option)


def test_images_are_sent_as_data(server: WireServer) -> None:
    """Base64 beside the text, to a model that sees."""
    picture = Image.from_bytes(b"\x89PNG\r\n\x1a\n0")
    server.script(says.shown("completion", "vision"), good("send"))
    asked("send", server, ["What is it?", picture])

    assert server.requests[1].json["messages"] == [
        {"role": "user", "content": "What is it?", "images": [picture.base64]}
    ]


def test_urls_of_images_are_refused(server: WireServer) -> None:
    """The server fetches nothing; the error says what to do."""
    with pytest.raises(ConfigurationError, match="from_bytes"):
        asked("send", server, ["What is it?", Image.from_url("https://example.com/x.png")])


# --- what a model can do ------------------------------------------------------------------------------


@every_mode
def test_a_model_without_images_gets_no_image(server: WireServer, mode: str) -> None:
    """The server says so before the picture travels."""
    server.script(says.shown("completion", "tools"))
    with pytest.raises(ConfigurationError, match=r"llama3\.2 does not accept images.*vision"):
        asked(mode, server, ["What is it?", Image.from_bytes(b"\x89PNG\r\n\x1a\n0")])

    assert [request.path for request in server.requests] == ["/api/show"]


@every_mode
def test_effort_is_left_out_for_a_model_that_does_not_think(
    server: WireServer, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It would be refused, and the model can go without; one debug line says so."""
    server.script(says.shown("completion"), good(mode))
    with caplog.at_level("DEBUG", "alloy"):
        asked(mode, server, reasoning_effort="high")

    assert "think" not in server.requests[1].json
    assert "reasoning_effort is not sent" in caplog.text


@every_mode
def test_a_model_without_tools_gets_none(server: WireServer, mode: str) -> None:
    """The request with tools is never sent: the fallback takes over, and is reported."""
    backend = OllamaBackend()
    server.script(says.shown("completion"))
    tools = (ToolSchema("clock", "", {"type": "object", "properties": {}}),)
    with pytest.raises(alloy.UnsupportedError, match="does not support tools") as caught:
        talk(backend, mode, at(server), request_body(tools=tools))

    assert (caught.value.feature, caught.value.provider) == ("tools", "ollama")
    assert [request.path for request in server.requests] == ["/api/show"]


@every_mode
def test_tools_are_written_into_the_prompt_of_a_model_that_has_none(server: WireServer, mode: str) -> None:
    """The user's call goes on, and later ones know it."""
    called = good(mode, text="Thought: I look.\nAction: clock\nAction Input: {}")
    server.script(says.shown("completion"), called, good(mode, text="Final Answer: late"))
    address = f"{server.url}/{mode}"  # what is learned is learned of a server and a model
    assert asked(mode, server, tools=[clock], base_url=address).strip() == "late"
    server.script(good(mode, text="Final Answer: later"))
    assert asked(mode, server, tools=[clock], base_url=address).strip() == "later"

    assert [request.path.removeprefix(f"/{mode}") for request in server.requests] == [
        "/api/show",
        *["/api/chat"] * 3,
    ]
    assert all("tools" not in request.json for request in server.requests)


@every_mode
@pytest.mark.parametrize(
    "shown",
    [
        Answer([b"404 page not found"], 404, {"content-type": "text/plain"}),
        json_answer({"modelfile": "", "model_info": {}}),
        json_answer({"capabilities": []}),
        json_answer({"capabilities": "all"}),
        json_answer([]),
        Answer([b"<html>"], 200, {"content-type": "text/html"}),
    ],
    ids=["no such path", "no list", "empty list", "a text", "a list", "html"],
)
def test_an_older_server_is_recognized_by_its_error(server: WireServer, mode: str, shown: Answer) -> None:
    """Where `/api/show` says nothing, the request is sent, and the end of its error message counts."""
    backend = OllamaBackend()
    refusal = says.failure(400, "registry.ollama.ai/library/gemma3:4b does not support tools")
    server.script(shown, refusal, refusal)
    tools = (ToolSchema("clock", "", {"type": "object", "properties": {}}),)
    for _ in range(2):
        with pytest.raises(alloy.UnsupportedError, match="gemma3:4b does not support tools") as caught:
            talk(backend, mode, at(server), request_body(tools=tools))
        assert (caught.value.feature, caught.value.status) == ("tools", 400)

    assert [request.path for request in server.requests] == ["/api/show", "/api/chat", "/api/chat"]


def test_a_server_is_asked_once_for_each_model(server: WireServer) -> None:
    """Also when calls are made in several ways; another model and another server are asked anew."""
    backend = OllamaBackend()
    server.always = lambda request: (
        says.shown("tools")
        if request.path.endswith("/api/show")
        else good("open" if request.json["stream"] else "send")
    )
    tools = (ToolSchema("clock", "", {"type": "object", "properties": {}}),)
    for mode in MODES * 2:
        talk(backend, mode, at(server), request_body(tools=tools))
    talk(backend, "send", at(server), {**request_body(tools=tools), "model": "qwen3"})
    talk(backend, "send", at(server, base_url=f"{server.url}/proxy"), request_body(tools=tools))

    asked = [request for request in server.requests if request.path.endswith("/api/show")]
    assert [request.json["model"] for request in asked] == ["llama3.2", "qwen3", "llama3.2"]


@pytest.mark.parametrize(
    "answer",
    [
        says.failure(404, "model 'llama3.2' not found"),
        says.failure(503, "busy"),
        says.failure(401, "unauthorized"),
    ],
)
def test_a_failed_question_is_asked_again(server: WireServer, answer: Answer) -> None:
    """The model may be there by then, and the server less busy."""
    backend = OllamaBackend()
    tools = (ToolSchema("clock", "", {"type": "object", "properties": {}}),)
    server.script(answer, good("send"), says.shown("tools"), good("send"))
    talk(backend, "send", at(server), request_body(tools=tools))
    talk(backend, "send", at(server), request_body(tools=tools))

    assert [request.path for request in server.requests] == ["/api/show", "/api/chat"] * 2


def test_plain_text_asks_nothing_first(server: WireServer) -> None:
    """Every model can do that, and typed answers too."""
    server.script(good("send", text='{"value": 1}'))
    asked("send", server, output=int)

    assert [request.path for request in server.requests] == ["/api/chat"]
