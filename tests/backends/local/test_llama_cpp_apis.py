"""The three APIs of a real llama.cpp server: a small real model, and noise where its form is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kit.patience import PATIENCE
from kit.ways import run, run_async, stream, stream_async
from servers.checks import CHECKS, KINDS, Place, check_text

from alloy import AnswerError, ServerError, TruncatedError, listen, tool
from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.backends.base import Backend, CancelToken
from alloy.backends.http.clients import CLIENTS
from alloy.backends.local.servers import LocalServer
from alloy.backends.memory import forget
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.endpoints import Endpoint
from alloy.events import Event, FallbackTaken, RequestSent
from alloy.messages import Reply, Request, ToolResult, ToolResults, ToolSchema, User

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.local_model

PATHS = {"openai-chat": "/v1", "openai": "/v1", "anthropic": ""}
every_route = pytest.mark.parametrize("api", PATHS)
both_ways = pytest.mark.parametrize("way", [run, stream_async], ids=lambda way: way.__name__)


@pytest.fixture
def place(smollm2_server: LocalServer, api: str) -> Place:
    return Place(api, "smollm2", smollm2_server.address + PATHS[api], smollm2_server.key, writes=True)


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    forget()
    yield
    forget()


# --- the real model -----------------------------------------------------------------------------------


@every_route
@both_ways
def test_a_text_is_shown_as_it_is(place: Place, way: Any) -> None:
    assert check_text(place, way) == "text"


@every_route
@pytest.mark.parametrize("way", [run_async, stream], ids=lambda way: way.__name__)
def test_a_text_that_is_cut_off_is_an_error(place: Place, way: Any) -> None:
    """On the Responses API, which calls it completed, too."""
    with pytest.raises(TruncatedError, match="token limit") as caught:
        way(place.command("Tell a long story.", max_tokens=4))
    assert caught.value.text


@every_route
@both_ways
def test_a_typed_answer_comes_by_schema_or_by_prompt(place: Place, way: Any) -> None:
    """Two of the APIs ignore the schema: the answer proves it, or the name of the model is enough."""
    kind = KINDS["dataclass"]
    assert kind.check(place, way) == ("native" if place.api == "openai-chat" else "prompted")


@pytest.mark.parametrize(("api", "model"), [("openai", "smollm2"), ("anthropic", "claude-haiku-4-5")])
def test_an_ignored_schema_is_proven_once(place: Place, model: str) -> None:
    """By prose, after which a fresh request describes the type; the next call does so at once."""
    seen: list[Event] = []
    ask = place.command(
        "Ada is 36 years old. Who is Ada?", output=KINDS["dataclass"].output, model=model, max_tokens=60
    )
    for requests in (2, 1):
        seen.clear()
        with listen(seen.append):
            result = ask.run()
        assert result.downgrades == ("output",)
        assert isinstance(result.value.age, int)
        assert len([event for event in seen if isinstance(event, RequestSent)]) == requests
        assert [event.feature for event in seen if isinstance(event, FallbackTaken)] == ["output"]


@pytest.mark.parametrize("api", ["openai-chat"])
def test_a_forced_call_that_the_template_has_no_place_for_is_seen(place: Place) -> None:
    """The server leaves the tools out in silence: the answer without a call proves it."""
    seen: list[Event] = []
    ran: list[int] = []

    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        ran.append(a + b)
        return a + b

    with listen(seen.append):
        try:
            place.command("What is 2+3? Use add.", tools=[add], tool_choice="required").run()
        except AnswerError:
            pass  # the model is too small to follow the format reliably
        else:
            assert ran, "an answer without a call, in silence"
    assert [event.feature for event in seen if isinstance(event, FallbackTaken)] == ["tools"]


@every_route
@pytest.mark.parametrize("row", ["wrong key", "wrong path", "too long a prompt"])
@both_ways
def test_an_error_has_its_class(place: Place, row: str, way: Any) -> None:
    """And only another request could succeed."""
    wanted = {"wrong key": "AuthenticationError", "wrong path": "ModelNotFoundError"}
    assert CHECKS[row](place, way) == wanted.get(row, "BadRequestError")


# --- noise --------------------------------------------------------------------------------------------

BACKENDS: dict[str, Backend] = {
    "openai-chat": OpenAIChatBackend(),
    "openai": OpenAIBackend(),
    "anthropic": AnthropicBackend(),
}
PARAMETERS = {"a": {"enum": [1, 2]}, "exact": {"type": "boolean"}}
ADD = ToolSchema(
    "add",
    "Add.",
    {
        "type": "object",
        "properties": PARAMETERS,
        "required": list(PARAMETERS),
        "additionalProperties": False,
    },
)


class Noise:
    """Requests to a model of random weights, by one API."""

    def __init__(self, api: str, server: LocalServer) -> None:
        self.backend: Any = BACKENDS[api]
        self.endpoint = Endpoint(server.address + PATHS[api], server.key, 5 * PATIENCE)

    def ask(self, *messages: Any, **settings: Any) -> tuple[Reply, Reply]:
        """The whole reply, and that of a stream."""
        settings = {"max_tokens": 400, "temperature": 0, **settings}
        body = self.backend.encode(Request("noise", messages, **settings))
        whole = self.backend.decode(self.backend.send(body, self.endpoint, CancelToken()))
        accumulator = self.backend.accumulator()
        for event in self.backend.open(body, self.endpoint, CancelToken()):
            accumulator.feed(event)
        CLIENTS.close()  # the server closes a connection after a stream, without saying so
        return whole, accumulator.reply()


@pytest.fixture
def noise(noise_server: LocalServer, api: str) -> Noise:
    return Noise(api, noise_server)


@every_route
def test_noise_ends_at_its_limit(noise: Noise) -> None:
    """Broken UTF-8 among it; its tokens are counted, and show that it was cut off."""
    whole, streamed = noise.ask(User("Say something."), max_tokens=40)
    assert whole.text and streamed.text
    assert (whole.usage.output_tokens, streamed.usage.output_tokens) == (40, 40)
    assert whole.usage.input_tokens > 0
    assert whole.finish == ("stop" if whole.is_end_stated is False else "length")


@every_route
def test_a_call_by_grammar_goes_there_and_back(noise: Noise) -> None:
    """Even noise obeys the grammar of a tool; the call, its echo and its result pass the server's checks."""
    forced = {"tools": (ADD,), "tool_choice": "required"}
    question = User("Add.")
    whole, streamed = noise.ask(question, **forced)
    for reply in (whole, streamed):
        assert reply.finish == "tool_calls"
        for call in reply.calls:
            arguments = json.loads(call.arguments)
            assert (call.name, set(arguments)) == ("add", {"a", "exact"})
            assert arguments["a"] in (1, 2) and isinstance(arguments["exact"], bool)

    results = ToolResults(tuple(ToolResult(call, "3") for call in whole.calls))
    try:
        after, _ = noise.ask(question, whole, results, **forced)
    except ServerError as error:
        assert "does not match the expected" in str(error), "noise may break the format of calls"
    else:
        assert after.usage.input_tokens > whole.usage.input_tokens
