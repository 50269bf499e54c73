"""What servers that copied Ollama's API answer, and what Ollama itself bends, through the real SDK."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from kit.apis import OLLAMA, every_mode, streamed_modes, whole_modes
from kit.talking import WHOLE
from kit.ways import answer_in, asked_at, every_way, weather
from kit.wire import Answer, WireServer, json_answer
from kit.wire import ollama as says

from alloy import (
    AlloyError,
    BadReplyError,
    BadRequestError,
    FilteredError,
    Image,
    ProviderError,
    RateLimitError,
    ServerError,
    TruncatedError,
)
from alloy.backends.ollama.chat import OllamaBackend
from alloy.messages import Reply, Request, ToolCall, ToolResult, ToolResults, Usage, User

BACKEND = OllamaBackend()
ABLE = ("completion", "tools", "vision", "thinking")
PNG = b"\x89PNG\r\n\x1a\n\x00"
asking, answer = partial(asked_at, OLLAMA), partial(answer_in, says)


def serve(server: WireServer, *answers: Answer) -> None:
    """Have *server* send *answers*, and say at any time that the model can do everything.

    What is known of a model holds for its address, and a test may get the port of another one.
    """
    waiting = list(answers)
    server.always = lambda request: (
        says.shown(*ABLE)
        if request.path == "/api/show"
        else waiting.pop(0)
        if waiting
        else Answer(status=418)
    )


def chats(server: WireServer) -> list[Any]:
    """The bodies of the requests that are not about the model's capabilities."""
    return [request.json for request in server.requests if request.path == "/api/chat"]


# --- words for the end --------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("word", ["stop", "STOP", "end_turn", "eos", "completed", "", None])
def test_a_text_ends_in_any_word(server: WireServer, way: Any, word: str | None) -> None:
    """Next to `done`."""
    server.script(answer(way, {**says.answer(text="Oslo."), "done_reason": word}))
    assert way(asking(server))[0].value == "Oslo."


@every_way
@pytest.mark.parametrize("word", ["tool_calls", "TOOL_CALL", "function_call", "stop", None, "hologram"])
def test_whole_calls_are_run_after_any_word(server: WireServer, way: Any, word: str | None) -> None:
    """An unknown word, too."""
    first = says.answer(calls=[("weather", {"city": "Oslo"})], reason=word)
    serve(server, answer(way, first), answer(way, says.answer(text="Done.")))
    result, _ = way(asking(server, tools=[weather]))

    assert (result.value, [call.value for call in result.tool_calls]) == ("Done.", ["sunny in Oslo"])


@every_way
@pytest.mark.parametrize(
    ("word", "kind"),
    [("max_tokens", TruncatedError), ("LENGTH", TruncatedError), ("content_filter", FilteredError)],
)
def test_other_words_for_an_answer_that_is_not_whole(
    server: WireServer, way: Any, word: str, kind: type[AlloyError]
) -> None:
    """They are the errors of Ollama's own words."""
    server.script(answer(way, says.answer(text="Os", reason=word)))
    with pytest.raises(kind):
        way(asking(server))


@every_way
@pytest.mark.parametrize(
    ("text", "word"), [("Oslo.", "hologram"), ("", "hologram"), ("", "load"), ("", "unload")]
)
def test_an_unknown_word_is_not_bought_twice(server: WireServer, way: Any, text: str, word: str) -> None:
    """Nor is the answer to a request that only loads a model."""
    server.script(answer(way, says.answer(text=text, reason=word)))
    with pytest.raises(BadReplyError, match=word) as caught:
        way(asking(server, retry=2))

    assert not caught.value.transient


@whole_modes
def test_a_whole_answer_may_leave_done_out(server: WireServer, mode: str) -> None:
    """Its body is complete JSON; but not one that says that it is not done, or has no content."""
    made = says.answer(text="Oslo.")
    del made["done"], made["done_reason"]
    empty = {**made, "message": {"role": "assistant", "content": ""}}
    server.script(*map(json_answer, (made, {**made, "done": False}, empty)))

    assert OLLAMA.talk(mode, server).text == "Oslo."
    for _ in range(2):
        with pytest.raises(BadReplyError, match="done"):
            OLLAMA.talk(mode, server)


# --- usage --------------------------------------------------------------------------------------------


@streamed_modes
@pytest.mark.parametrize(
    ("first", "last", "usage"),
    [
        ((11, 1), (0, 5), Usage(11, 5)),
        ((11, 5), (0, 0), Usage(11, 5)),
        ((11, 5), (None, None), Usage(11, 5)),
        ((None, None), (11, 5), Usage(11, 5)),
        ((11, 5), ("many", -1), Usage(11, 5)),
    ],
)
def test_of_each_count_the_larger_one_is_the_usage(
    server: WireServer, mode: str, first: Any, last: Any, usage: Usage
) -> None:
    """Some servers count in each line, and end with zeros."""
    lines = says.events(says.answer(text="Some words", usage=None))
    for line, counts in ((lines[0], first), (lines[-1], last)):
        line |= dict(zip(("prompt_eval_count", "eval_count"), counts, strict=True))
    server.script(says.ndjson(lines))

    assert OLLAMA.talk(mode, server).usage == usage


# --- calls --------------------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize(
    "call",
    [
        {"function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}},
        {"id": "c1", "name": "weather", "arguments": {"city": "Oslo"}},
    ],
)
def test_calls_in_the_forms_of_other_servers_are_run(
    server: WireServer, way: Any, call: dict[str, Any]
) -> None:
    """Arguments as text, and no `function` around them; an object goes back."""
    first = says.answer()
    first["message"]["tool_calls"] = [call]
    serve(server, answer(way, first), answer(way, says.answer(text="Done.")))
    result, _ = way(asking(server, tools=[weather]))

    assert [each.value for each in result.tool_calls] == ["sunny in Oslo"]
    (sent,) = chats(server)[1]["messages"][1]["tool_calls"]
    assert sent["function"] == {"name": "weather", "arguments": {"city": "Oslo"}}


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ('"{\\"city\\": \\"Oslo\\"}"', {"city": "Oslo"}),
        ("", {}),
        ("Oslo", {"arguments": "Oslo"}),
        ('["Oslo"]', {"arguments": ["Oslo"]}),
        ('{"city"', {"arguments": '{"city"'}),
    ],
)
def test_an_object_is_sent_whatever_the_arguments_were(written: str, sent: Any) -> None:
    """Which is all that the server accepts."""
    reply = BACKEND.decode(says.answer(calls=[("weather", written)]))
    (call,) = BACKEND.encode(Request("llama3.2", (User("Hi"), reply)))["messages"][1]["tool_calls"]

    assert reply.calls[0].arguments == written
    assert call["function"]["arguments"] == sent


@streamed_modes
def test_calls_that_the_last_line_repeats_are_made_once(server: WireServer, mode: str) -> None:
    """Calls with an id; two equal calls of one line are two."""
    oslo = {"city": "Oslo"}
    whole = says.answer(calls=[("weather", oslo, "c1"), ("weather", oslo, "c2"), ("weather", oslo, "c2")])
    server.script(says.ndjson([{**whole, "done": False}, whole]))

    assert len(OLLAMA.talk(mode, server).calls) == 3


# --- turns that go back -------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize(("text", "thoughts"), [("", ""), (" \n", ""), ("", "Hm.")])
def test_an_empty_turn_is_not_sent_back(server: WireServer, way: Any, text: str, thoughts: str) -> None:
    """Chat templates refuse it, or the model goes on with nothing."""
    server.script(
        answer(way, says.answer(text=text, thoughts=thoughts)), answer(way, says.answer(text="Oslo."))
    )

    assert way(asking(server))[0].value == "Oslo."
    assert [turn["role"] for turn in chats(server)[1]["messages"]] == ["user", "user"]


def test_an_empty_turn_of_another_provider_is_not_sent() -> None:
    """A call is not empty."""
    call = ToolCall("c1", "weather", '{"city": "Oslo"}')
    turns = (User("Hi"), Reply(" "), User("Well?"), Reply("", (call,)), ToolResults((ToolResult(call, "1"),)))
    messages = BACKEND.encode(Request("llama3.2", turns))["messages"]

    assert [message["role"] for message in messages] == ["user", "user", "assistant", "tool"]


@every_way
@pytest.mark.parametrize("field", ["thinking", "reasoning", "reasoning_content"])
def test_thoughts_go_back_on_calls_and_on_the_text_after_them(
    server: WireServer, way: Any, field: str
) -> None:
    """As they came; those of an ordinary turn are not part of a prompt."""
    from alloy import Conversation

    def thinks(thought: str, **fields: Any) -> Answer:
        made = says.answer(**fields)
        made["message"][field] = thought
        lines = [{**made, "done": False}, {**made, "message": {"role": "assistant", "content": ""}}]
        return says.ndjson(lines) if "stream" in way.__name__ else says.reply(made)

    conversation = Conversation()
    serve(
        server,
        thinks("a", calls=[("weather", {"city": "Oslo"})]),
        thinks("b", text="Sunny."),
        thinks("c", text="Yes."),
        thinks("d", text="No."),
    )
    for _ in range(3):
        way(asking(server, tools=[weather], conversation=conversation))

    turns = [turn for turn in chats(server)[-1]["messages"] if turn["role"] == "assistant"]
    assert [turn.get(field) for turn in turns] == ["a", "b", None]


# --- the form of the body -----------------------------------------------------------------------------


@streamed_modes
def test_a_whole_answer_to_a_streamed_request_is_one_piece(server: WireServer, mode: str) -> None:
    """In one line."""
    server.script(json_answer(says.answer(text="Oslo.", calls=[("weather", {"city": "Oslo"})])))
    reply = OLLAMA.talk(mode, server)

    assert (reply.text, len(reply.calls)) == ("Oslo.", 1)


# --- errors -------------------------------------------------------------------------------------------


def failing(mode: str, error: Any) -> Answer:
    """An answer with status 200 that is *error*, or a stream that ends in it."""
    if mode in WHOLE:
        return json_answer(error)
    return says.ndjson([*says.events(says.answer(text="Half an answer"))[:2], error])


@every_mode
@pytest.mark.parametrize(
    ("error", "kind", "status", "transient"),
    [
        ({"error": "an unknown error was encountered while running the model"}, ServerError, None, True),
        ({"error": {"message": "no such thing", "code": 400}}, BadRequestError, 400, False),
        ({"error": "model 'llama9' not found"}, BadRequestError, None, False),
        ({"error": '"llama3.2" does not support thinking'}, BadRequestError, None, False),
        (
            {"error": "model requires more system memory (9 GiB) than is available (4 GiB)"},
            ServerError,
            None,
            False,
        ),
        ({"error": "unable to load model: /models/sha256-1"}, ServerError, None, False),
        ({"error": "the request exceeds the available context size"}, ServerError, None, False),
        ({"error": "template: :3:12: executing: nil pointer"}, ServerError, None, False),
        ({"error": "this model is missing data required for image input"}, BadRequestError, None, False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_error_in_a_good_response(
    server: WireServer, mode: str, error: Any, kind: type[ProviderError], status: int | None, transient: bool
) -> None:
    """It keeps its words and its status, and what lasts is not transient."""
    server.script(failing(mode, error))
    words = error["error"] if isinstance(error["error"], str) else error["error"]["message"]
    with pytest.raises(kind) as caught:
        OLLAMA.talk(mode, server)

    assert words in str(caught.value)
    assert (caught.value.status, caught.value.transient) == (status, transient)


@streamed_modes
@pytest.mark.parametrize("key", ["status_code", "StatusCode", "status", "code"])
def test_a_status_next_to_an_error_in_a_stream_counts(server: WireServer, mode: str, key: str) -> None:
    """Ollama's cloud sends it there."""
    for status, kind in ((429, RateLimitError), (503, ServerError), (400, BadRequestError)):
        server.script(failing(mode, {"error": "it broke", key: status}))
        with pytest.raises(kind, match="it broke") as caught:
            OLLAMA.talk(mode, server)
        assert caught.value.status == status


@every_way
@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize(
    "message",
    [
        "failed to process inputs: this model is missing data required for image input",
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
    ],
)
def test_an_image_for_a_model_without_vision_is_sent_once(
    server: WireServer, way: Any, status: int, message: str
) -> None:
    """Whatever the status is, and whatever `/api/show` said."""
    serve(server, says.failure(status, message))
    with pytest.raises(BadRequestError, match="vision") as caught:
        way(asking(server, ["What is it?", Image.from_bytes(PNG, "image/png")], retry=2))

    assert not caught.value.transient
    assert len(chats(server)) == 1


@every_mode
@pytest.mark.parametrize("status", [500, 200])
def test_the_second_route_to_the_server_shares_what_lasts(server: WireServer, mode: str, status: int) -> None:
    """`ollama-chat`."""
    from kit.apis import OLLAMA_CHAT

    message = "model requires more system memory (9 GiB) than is available (4 GiB)"
    error = {"error": {"message": message, "type": "api_error", "param": None, "code": None}}
    server.script(json_answer(error, status=status))
    with pytest.raises(ServerError, match="more system memory") as caught:
        OLLAMA_CHAT.talk(mode, server)

    assert not caught.value.transient
    assert json.loads(server.requests[0].content)["model"] == "llama3.2"
