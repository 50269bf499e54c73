"""Chat Completions with noise from a real llama.cpp server: its HTTP, templates and JSON grammar."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from kit.patience import PATIENCE
from pydantic import TypeAdapter

from alloy.backends.base import CancelToken
from alloy.backends.http.clients import CLIENTS
from alloy.backends.local.servers import LocalServer
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.endpoints import Endpoint
from alloy.errors import BadRequestError
from alloy.messages import OutputSchema, Reply, Request, TextDelta, ToolResult, ToolResults, ToolSchema, User

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.local_model

CHAT = OpenAIChatBackend()


def closed(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


SCHEMAS = {
    "enum and boolean": closed(kind={"enum": ["cat", "dog"]}, tame={"type": "boolean"}),
    "list": closed(
        items={"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "maxItems": 4}
    ),
    "nested": closed(inner=closed(text={"type": "string", "pattern": "^[a-z]{0,6}$"}), none={"type": "null"}),
    "union": closed(value={"anyOf": [{"enum": ["a"]}, {"type": "boolean"}, {"type": "null"}]}),
    "reference": {
        **closed(one={"$ref": "#/$defs/pet"}, two={"$ref": "#/$defs/pet"}),
        "$defs": {"pet": closed(age={"type": "integer", "minimum": 0, "maximum": 30})},
    },
}

ADD = ToolSchema("add", "Add.", closed(a={"enum": [1, 2]}, exact={"type": "boolean"}))


@pytest.fixture
def endpoint(noise_server: LocalServer) -> Endpoint:
    return Endpoint(f"{noise_server.address}/v1", noise_server.key, 5 * PATIENCE)


def request(*messages: Any, seed: int = 1, **settings: Any) -> dict[str, Any]:
    settings = {"max_tokens": 400, "temperature": 1.0, **settings}
    settings["extra"] = {"seed": seed, **settings.get("extra", {})}
    return CHAT.encode(Request("noise", messages or (User("Say something."),), **settings))


def ask(endpoint: Endpoint, body: dict[str, Any]) -> Reply:
    return CHAT.decode(CHAT.send(body, endpoint, CancelToken()))


def listen(endpoint: Endpoint, body: dict[str, Any]) -> tuple[Reply, str]:
    accumulator = CHAT.accumulator()
    said = [accumulator.feed(event) for event in CHAT.open(body, endpoint, CancelToken())]
    CLIENTS.close()  # the server closes a connection after a stream, without saying so
    text = "".join(delta.text for delta in said if isinstance(delta, TextDelta))
    return accumulator.reply(), text


def test_text_is_cut_at_the_token_limit_and_counted(endpoint: Endpoint) -> None:
    """`max_tokens` reaches the server, and its usage reaches the reply."""
    reply = ask(endpoint, request(max_tokens=7, extra={"logit_bias": [[2, False]]}))

    assert (reply.finish, reply.usage.output_tokens, reply.model) == ("length", 7, "noise")
    assert reply.usage.input_tokens > 0
    assert reply.text


def test_streamed_text_is_the_text(endpoint: Endpoint) -> None:
    """With one seed the stream's deltas, its reply and the whole reply say the same."""
    body = request(max_tokens=60)
    reply, heard = listen(endpoint, body)
    whole = ask(endpoint, body)

    assert reply.text == heard == whole.text
    assert reply.usage.output_tokens == whole.usage.output_tokens
    assert reply.finish == whole.finish


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_grammar_makes_a_random_model_answer_in_shape(endpoint: Endpoint, name: str, seed: int) -> None:
    """The schema arrives where the server builds its grammar from it: even noise comes out valid."""
    output = OutputSchema("answer", SCHEMAS[name])
    body = request(output=output, seed=seed, max_tokens=3000)
    reply = ask(endpoint, body)

    assert reply.finish == "stop"
    value = json.loads(reply.text)
    assert set(value) == set(SCHEMAS[name]["required"])
    if name == "list":
        assert all(item in range(10) for item in TypeAdapter(list[int]).validate_python(value["items"]))
    assert listen(endpoint, body)[0].text == reply.text


def test_a_tool_is_called_and_its_result_goes_back(endpoint: Endpoint) -> None:
    """Tools, a call, its echo and its result all pass the server's own checks and template."""
    body = request(User("Add."), tools=(ADD,), extra={"tool_choice": "required"})
    reply = ask(endpoint, body)
    (call,) = reply.calls
    arguments = json.loads(call.arguments)

    assert (reply.finish, call.name) == ("tool_calls", "add")
    assert arguments["a"] in (1, 2)
    assert isinstance(arguments["exact"], bool)

    results = ToolResults((ToolResult(call, "3"),))
    again = request(User("Add."), reply, results, tools=(ADD,), extra={"tool_choice": "required"})
    after = ask(endpoint, again)
    assert after.finish == "tool_calls"
    assert after.usage.input_tokens > reply.usage.input_tokens


def test_a_streamed_call_is_the_call(endpoint: Endpoint) -> None:
    """A call that arrives in pieces is put together to the one that arrives whole."""
    body = request(tools=(ADD,), extra={"tool_choice": "required"}, seed=5)
    streamed, _ = listen(endpoint, body)
    whole = ask(endpoint, body)

    assert [(call.name, call.arguments) for call in streamed.calls] == [
        (call.name, call.arguments) for call in whole.calls
    ]
    assert streamed.finish == "tool_calls"


def test_async_calls_run_side_by_side(endpoint: Endpoint) -> None:
    """Two async requests on one loop get the two answers of their seeds."""

    async def both() -> list[Reply]:
        bodies = [request(seed=seed, max_tokens=20) for seed in (1, 2)]
        raws = await asyncio.gather(*(CHAT.send_async(body, endpoint) for body in bodies))
        return [CHAT.decode(raw) for raw in raws]

    one, two = asyncio.run(both())

    assert one.text != two.text


def test_the_servers_refusal_of_a_request_is_ours(endpoint: Endpoint) -> None:
    """What the server says about a bad request is in the `BadRequestError`."""
    body = request(extra={"messages": "not a list"})
    with pytest.raises(BadRequestError, match="messages") as caught:
        CHAT.send(body, endpoint, CancelToken())

    assert caught.value.status == 400
