"""Gemini as users meet it: commands and `ask`, sync, async and streamed, through the real SDK."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import pytest
from kit.patience import limits
from kit.talking import KEY
from kit.wire import Answer, Gate, WireServer, dripping, json_answer, sse
from kit.wire import gemini as says

from alloy import (
    ConfigurationError,
    DeadlineError,
    FilteredError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
    TruncatedError,
    Usage,
    ask,
    command,
    tool,
)

MODES = ["sync", "async", "stream", "stream_async"]
every_mode = pytest.mark.parametrize("mode", MODES)
MODEL = "gemini-3-flash-preview"
OLD = "gemini-2.5-flash"


@dataclass
class City:
    name: str
    people: int
    rivers: dict[str, int]
    twin: str | None = None


@tool
def population(city: str) -> int:
    """How many live in *city*."""
    return {"Ulm": 129_000, "Bern": 134_000}[city]


@tool
def describe(city: str) -> dict[str, str]:
    """Say something of *city*."""
    return {"name": city, "mood": "calm"}


@tool
def ping() -> str:
    """Say pong."""
    return "pong"


def run(mode: str, server: WireServer, prompt: Any = "Hello", **options: Any) -> Any:
    """The result of asking in *mode*."""
    options = {"model": MODEL, "base_url": server.url, "api_key": KEY, "retry": 0, **options}

    @command(**options)
    def say() -> str:
        """Say."""
        return prompt

    async def main() -> Any:
        if mode == "async":
            return await say.run_async()
        async with say.stream_async() as stream:
            _ = [piece async for piece in stream]
            return await stream.run()

    if mode == "sync":
        return say.run()
    if mode == "stream":
        with say.stream() as stream:
            _ = list(stream)
            return stream.run()
    return asyncio.run(main())


def answer(mode: str, *parts: dict[str, Any], **fields: Any) -> Answer:
    made = says.content(*parts, **fields)
    return says.stream(made) if mode.startswith("stream") else says.reply(made)


def last_parts(server: WireServer, index: int = -1) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = server.requests[index].json["contents"][-1]["parts"]
    return parts


@every_mode
def test_text(server: WireServer, mode: str) -> None:
    """The simplest call, its usage and the model that answered."""
    server.script(answer(mode, text="Grüße 🦊", usage=(7, 5, 3, 2)))
    result = run(mode, server, system="Be brief.")

    assert (result.value, result.usage) == ("Grüße 🦊", Usage(7, 5, 3, 2))
    assert result.model == f"gemini:{MODEL}"
    assert server.requests[0].json["systemInstruction"] == {"parts": [{"text": "Be brief."}]}


@every_mode
def test_a_typed_answer(server: WireServer, mode: str) -> None:
    """The schema goes as JSON Schema in Gemini's dialect, and the value comes back typed."""
    text = '{"name": "Ulm", "people": 129000, "rivers": {"Danube": 1}}'
    server.script(answer(mode, text=text))
    result = run(mode, server, output=City)

    assert result.value == City("Ulm", 129_000, {"Danube": 1})
    config = server.requests[0].json["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"]["required"] == ["name", "people", "rivers"]


@every_mode
def test_a_list_is_an_answer_too(server: WireServer, mode: str) -> None:
    """What is no object travels in one."""
    server.script(answer(mode, text='{"value": [1, 2]}'))

    assert run(mode, server, output=list[int]).value == [1, 2]


@every_mode
def test_tools_one_after_the_other_and_at_once(server: WireServer, mode: str) -> None:
    """Signatures go back on their parts, results go back as objects, in one turn and in order."""
    first = [
        says.call_part("population", {"city": "Ulm"}, signature="c2ln"),
        says.call_part("population", {"city": "Bern"}),
        says.call_part("population", {"city": "Oz"}),
    ]
    second = [{"text": "Hm.", "thought": True}, says.call_part("describe", {"city": "Ulm"}, "f1", "c2ln")]
    server.script(
        answer(mode, *first),
        answer(mode, *second),
        answer(mode, says.call_part("ping", None, "f2")),
        answer(mode, text="Done."),
    )
    result = run(mode, server, tools=[population, describe, ping])

    assert (result.value, result.turns) == ("Done.", 4)
    assert [call.name for call in result.tool_calls] == ["population"] * 3 + ["describe", "ping"]
    one, two, three = (last_parts(server, index) for index in (1, 2, 3))
    assert [part["functionResponse"]["response"] for part in one[:2]] == [
        {"output": "129000"},
        {"output": "134000"},
    ]
    assert "Oz" in one[2]["functionResponse"]["response"]["error"]
    assert all("id" not in part["functionResponse"] for part in one)
    assert two == [
        {"functionResponse": {"name": "describe", "response": {"name": "Ulm", "mood": "calm"}, "id": "f1"}}
    ]
    assert three == [{"functionResponse": {"name": "ping", "response": {"output": "pong"}, "id": "f2"}}]
    contents = server.requests[3].json["contents"]
    assert [turn["role"] for turn in contents] == ["user", "model", "user", "model", "user", "model", "user"]
    assert [contents[1]["parts"], contents[3]["parts"]] == [first, second]


@every_mode
def test_a_typed_answer_after_tools(server: WireServer, mode: str) -> None:
    """Gemini 3 takes schema and tools in one request."""
    server.script(
        answer(mode, says.call_part("population", {"city": "Ulm"}, "f1", "c2ln")),
        answer(mode, text='{"value": 129000}'),
    )
    result = run(mode, server, output=int, tools=[population])

    assert (result.value, result.downgrades) == (129_000, ())
    assert all("responseJsonSchema" in request.json["generationConfig"] for request in server.requests)
    assert all("tools" in request.json for request in server.requests)


@every_mode
def test_a_typed_answer_apart_from_tools(server: WireServer, mode: str) -> None:
    """Older models refuse both at once: tools first, the typed answer in a last turn without them."""
    server.script(
        answer(mode, calls=[("population", {"city": "Ulm"})]),
        answer(mode, text="It has 129000."),
        answer(mode, text='{"value": 129000}'),
    )
    result = run(mode, server, output=int, tools=[population], model=OLD)

    assert (result.value, result.downgrades) == (129_000, ("output_with_tools",))
    asked = [
        ("tools" in r.json, "responseJsonSchema" in r.json.get("generationConfig", {}))
        for r in server.requests
    ]
    assert asked == [(True, False), (True, False), (False, True)]


@every_mode
def test_what_an_unknown_model_refuses_is_learned(
    server: WireServer, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The provider's 400 says what the model lacks; the call goes on without it."""
    refusal = "Function calling with a response mime type: 'application/json' is unsupported"
    server.script(
        says.failure(400, refusal),
        answer(mode, text="Nine."),
        answer(mode, text='{"value": 9}'),
    )
    with caplog.at_level(logging.WARNING, "alloy"):
        result = run(mode, server, output=int, tools=[ping], model=f"gemini:tunedModels/{mode}")

    assert (result.value, result.downgrades) == (9, ("output_with_tools",))


@every_mode
def test_a_forced_tool(server: WireServer, mode: str) -> None:
    """A tool that is demanded is named in the first request only."""
    server.script(answer(mode, calls=[("ping", None, "f1")]), answer(mode, text="Done."))
    run(mode, server, tools=[ping, describe], tool_choice="ping")

    forced = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["ping"]}}
    free = {"functionCallingConfig": {"mode": "VALIDATED"}}
    assert [request.json.get("toolConfig") for request in server.requests] == [forced, free]


def test_parallel_tools_cannot_be_switched(server: WireServer) -> None:
    """Gemini has no word for it: refused by name, before anything is sent."""
    with pytest.raises(ConfigurationError, match="parallel_tools"):
        run("sync", server, tools=[ping], parallel_tools=False)


def test_sampling_is_dropped_where_it_is_refused(server: WireServer) -> None:
    """Gemini 3 takes no temperature; 2.5 does."""
    server.script(answer("sync", text="x"), answer("sync", text="x"))
    run("sync", server, temperature=0.5, top_p=0.5, seed=3)
    run("sync", server, temperature=0.5, top_p=0.5, seed=3, model=OLD)

    new, old = (request.json["generationConfig"] for request in server.requests)
    assert new == {"seed": 3}
    assert old == {"seed": 3, "temperature": 0.5, "topP": 0.5}


# --- what goes wrong ----------------------------------------------------------------------------------


@every_mode
def test_an_answer_that_is_cut_off(server: WireServer, mode: str) -> None:
    """Truncated text is an error that carries it, never a value."""
    server.script(answer(mode, text='{"value": 1', finish="MAX_TOKENS"))
    with pytest.raises(TruncatedError, match="max_tokens") as caught:
        run(mode, server, output=int)

    assert caught.value.text == '{"value": 1'


@every_mode
@pytest.mark.parametrize("where", ["prompt", "answer"])
def test_what_is_blocked(server: WireServer, mode: str, where: str) -> None:
    """A blocked prompt and a blocked answer are the same error, with the reason."""
    if where == "prompt":
        made = says.blocked("PROHIBITED_CONTENT")
        server.script(says.stream(made) if mode.startswith("stream") else says.reply(made))
    else:
        server.script(answer(mode, text="Half", finish="PROHIBITED_CONTENT"))
    with pytest.raises(FilteredError, match="PROHIBITED_CONTENT") as caught:
        run(mode, server)

    assert caught.value.text == ("" if where == "prompt" else "Half")


@every_mode
def test_a_malformed_call_is_sampled_again(server: WireServer, mode: str) -> None:
    """The next try may be better; nothing of the failed one stays in the conversation."""
    server.script(answer(mode, finish="MALFORMED_FUNCTION_CALL"), answer(mode, text="Fine."))
    result = run(mode, server, retry=1, tools=[ping])

    assert (result.value, result.attempts) == ("Fine.", 2)
    assert server.requests[0].json["contents"] == server.requests[1].json["contents"]


@every_mode
def test_haste_is_retried(server: WireServer, mode: str) -> None:
    """By Alloy alone, after the time that Google names."""
    wait = {"@type": "RetryInfo", "retryDelay": "0.01s"}
    server.script(says.failure(429, "Slow down.", "RESOURCE_EXHAUSTED", wait), answer(mode, text="Hi"))
    result = run(mode, server, retry=1)

    assert (result.value, result.attempts) == ("Hi", 2)
    server.script(says.failure(429, "Slow down.", "RESOURCE_EXHAUSTED"))
    with pytest.raises(RateLimitError, match=r"gemini: Slow down\. \(status 429\)"):
        run(mode, server)


@every_mode
@pytest.mark.parametrize("setting", ["timeout", "deadline"])
def test_a_body_that_drips_is_bounded(server: WireServer, mode: str, setting: str) -> None:
    """No single wait is too long, but all together are."""
    server.always = lambda _: dripping(answer(mode, text="word " * 40))
    kind = ProviderTimeoutError if setting == "timeout" else DeadlineError
    for limit in limits(lambda: server.requests):
        with pytest.raises(kind):
            run(mode, server, **{setting: limit})
    for connection in server.connections:
        connection.wait_closed()


@pytest.mark.parametrize("mode", ["stream", "stream_async"])
def test_a_failure_after_text_has_the_text(server: WireServer, mode: str) -> None:
    """It is not tried again: the caller has read half of it."""
    said = answer(mode, text="one two three")
    said.body = [*said.body[:2], *sse([{"error": {"code": 503, "message": "Overloaded."}}]).body]
    server.script(said)
    with pytest.raises(ServerError, match="Overloaded") as caught:
        run(mode, server, retry=2)

    assert caught.value.text == "one tw"


def test_leaving_a_stream_hangs_up(server: WireServer) -> None:
    """Sync and async, through the user's own `with`."""
    for mode in ("stream", "stream_async"):
        said = answer(mode, text="one two")
        said.body = [said.body[0], Gate()]
        server.script(said)
    options = {"model": MODEL, "base_url": server.url, "api_key": KEY}
    with ask.stream("Hi", **options) as stream:
        assert next(iter(stream)) == "one"
    server.connections[0].wait_closed()

    async def main() -> None:
        async with ask.stream_async("Hi", **options) as stream:
            async for _ in stream:
                break
        await asyncio.to_thread(server.connections[1].wait_closed)

    asyncio.run(main())


def test_a_wrong_address_names_the_setting(server: WireServer) -> None:
    """A page where the API should be, and a path that is none."""
    server.script(Answer([b"<html>hi</html>"], headers={"content-type": "text/html"}))
    with pytest.raises(Exception, match="is `base_url` the address of its API"):
        run("sync", server)
    server.script(json_answer({"detail": "Not Found"}, status=404))
    with pytest.raises(Exception, match="check `base_url`"):
        run("sync", server)


def test_the_request_can_be_seen_without_sending_it() -> None:
    """It is what goes over the wire, and the model."""

    @command(model=MODEL, tools=[ping], max_tokens=5)
    def say() -> str:
        """Say."""
        return "Hi"

    assert say.request() == {
        "model": MODEL,
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "tools": [{"functionDeclarations": [{"name": "ping", "description": "Say pong."}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}},
        "generationConfig": {"maxOutputTokens": 5},
    }
