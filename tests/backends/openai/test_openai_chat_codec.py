"""The Chat Completions codec, without a server: what is made of what came back."""

from __future__ import annotations

from typing import Any

import pytest
from kit.codec import feed
from kit.wire import openai as says

from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.errors import (
    BadReplyError,
    ModelNotFoundError,
    ProviderError,
    RateLimitError,
    ServerError,
)
from alloy.messages import (
    Request,
    ToolCall,
    Usage,
)

RESPONSES, CHAT = OpenAIBackend(), OpenAIChatBackend()


# --- Chat: decoding -----------------------------------------------------------------------------------


def test_a_completion_becomes_a_reply():
    """Text, calls, reasoning, usage, model and id are where the engine looks for them."""
    reply = CHAT.decode(says.completion(text="Two.", thoughts="Hm.", usage=(30, 12, 8, 4)))

    assert (reply.text, reply.finish, reply.model) == ("Two.", "stop", "gpt-5.6")
    assert (reply.reasoning, reply.id, reply.usage) == ("Hm.", "chatcmpl-1", Usage(30, 12, 8, 4))


@pytest.mark.parametrize(
    ("said", "finish"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "filter"), ("model_length", "length")],
)
def test_a_finish_reason_is_read(said: str, finish: str):
    """Each server's word for the end becomes one of ours."""
    assert CHAT.decode(says.completion(text="x", finish=said)).finish == finish


def test_calls_count_with_any_finish_reason():
    """Some servers say "stop" when they call tools, and "tool_calls" when they call none."""
    assert CHAT.decode(says.completion(calls=[("add", {})], finish="stop")).finish == "tool_calls"
    assert CHAT.decode(says.completion(text="x", finish="tool_calls")).finish == "stop"


def test_a_cut_off_call_does_not_look_like_a_whole_one():
    """At the token limit the last call's arguments are half: the finish stays "length"."""
    assert CHAT.decode(says.completion(calls=[("add", '{"a":')], finish="length")).finish == "length"


def test_a_chat_refusal_is_no_text():
    """What the model says instead of an answer is the explanation."""
    answer = says.completion(refusal="No.")

    for reply in (CHAT.decode(answer), feed(CHAT, says.chunks(answer))[0]):
        assert (reply.finish, reply.text, reply.explanation) == ("refusal", "", "No.")


def test_content_may_be_a_list_of_parts():
    """Mistral says it in parts: the text parts are the text."""
    answer = says.completion()
    answer["choices"][0]["message"]["content"] = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "For"},
        {"type": "text", "text": "ty"},
    ]

    assert CHAT.decode(answer).text == "Forty"


def test_usage_may_be_absent():
    """A server that does not count costs nothing to read."""
    answer = says.completion(text="x", usage=None)

    assert CHAT.decode(answer).usage == feed(CHAT, says.chunks(answer))[0].usage == Usage()


@pytest.mark.parametrize("word", [None, "", "null"])
def test_a_whole_completion_needs_no_finish_reason(word: str | None):
    """Some gateways leave it out, or empty: the body is JSON, so it has come to its end."""
    answer = says.completion(text="x")
    answer["choices"][0]["finish_reason"] = word
    assert CHAT.decode(answer).finish == "stop"


def test_an_unknown_finish_reason_is_kept():
    """The conversation decides what can be used of such an answer."""
    reply = CHAT.decode(says.completion(text="x", finish="mystery"))
    assert (reply.text, reply.finish, reply.explanation) == ("x", "other", "mystery")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": "text"},
        {**says.completion(), "choices": [{"message": {"content": None}, "finish_reason": None}]},
        says.completion(calls=[("add", '{"a": ')], finish="mystery"),
        says.completion(calls=[("", {})]),
    ],
)
def test_what_is_no_finished_completion_is_a_bad_reply(answer: Any):
    """Nothing of another shape passes for an answer."""
    with pytest.raises(BadReplyError):
        CHAT.decode(answer)


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"message": "It broke.", "code": 429}, RateLimitError, 429),
        ({"message": "It broke.", "code": "404"}, ModelNotFoundError, 404),
        ({"message": "It broke.", "type": "server_error", "code": None}, ServerError, None),
        ("It broke.", ServerError, None),
    ],
)
def test_an_error_among_the_chunks_is_the_error(error: Any, kind: type[ProviderError], status: int | None):
    """Servers put a status, a word or nothing into `code`."""
    chunks = says.chunks(says.completion(text="Half"))
    chunks[2:] = [{"error": error}]
    for attempt in (lambda: feed(CHAT, chunks), lambda: CHAT.decode({"error": error})):
        with pytest.raises(kind, match=r"It broke\.") as caught:
            attempt()
        assert caught.value.status == status


def test_an_error_in_a_choice_is_the_error():
    """OpenRouter says it there when the provider behind it fails."""
    chunk = {"choices": [{"delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "gone"}}]}
    with pytest.raises(ServerError, match="gone"):
        feed(CHAT, [chunk])


def test_a_chat_stream_without_a_finish_reason_is_a_bad_reply():
    """All the text may have come: without the end nobody knows."""
    chunks = says.chunks(says.completion(text="Half an answer", usage=None))
    with pytest.raises(BadReplyError, match="finish_reason"):
        feed(CHAT, chunks[:-1])


def piece(index: int | None = None, call_id: str | None = None, **function: Any) -> dict[str, Any]:
    """A streamed piece of a tool call, with the keys that are said."""
    made: dict[str, Any] = {"function": function}
    made |= {} if index is None else {"index": index}
    return made | ({} if call_id is None else {"id": call_id})


def stream_calls(*pieces: dict[str, Any] | list[dict[str, Any]]) -> tuple[ToolCall, ...]:
    """The calls that a stream of *pieces* makes; a list is one chunk."""
    told = [each if isinstance(each, list) else [each] for each in pieces]
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": each}}]} for each in told]
    reply, deltas = feed(CHAT, [*chunks, {"choices": [{"delta": {}, "finish_reason": "stop"}]}, {}])
    if len(reply.calls) <= len(chunks) + 2:
        shown = [delta.name for delta in deltas]
        assert len(shown) == len(reply.calls)
        assert all(call.name.startswith(name) for call, name in zip(reply.calls, shown, strict=True))
    return reply.calls


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        pytest.param(
            [piece(0, "a", name="f", arguments=""), piece(0, arguments='{"x"'), piece(0, arguments=":1}")],
            [("a", "f", '{"x":1}')],
            id="as OpenAI does",
        ),
        pytest.param(
            [
                piece(0, "a", name="f"),
                piece(1, "b", name="g"),
                piece(1, arguments="2"),
                piece(0, arguments="1"),
            ],
            [("a", "f", "1"), ("b", "g", "2")],
            id="interleaved",
        ),
        pytest.param(
            [piece(None, "a", name="f", arguments="{"), piece(arguments="}"), piece(None, "b", name="f")],
            [("a", "f", "{}"), ("b", "f", "")],
            id="no index",
        ),
        pytest.param(
            [piece(0, "a", name="f", arguments="{"), piece(0, "a", name="f", arguments="}")],
            [("a", "f", "{}")],
            id="id and name repeated",
        ),
        pytest.param(
            [piece(0, "a", name="f", arguments="{"), piece(0, "z", arguments="}")],
            [("a", "f", "{}")],
            id="a new id for every piece",
        ),
        pytest.param(
            [piece(0, "a", name="f", arguments="{}"), piece(0, "b", name="f", arguments="{}")],
            [("a", "f", "{}"), ("b", "f", "{}")],
            id="every call at index 0",
        ),
        pytest.param(
            [[piece(0, "a", name="f", arguments="{}"), piece(1, "b", name="g", arguments="{}")]],
            [("a", "f", "{}"), ("b", "g", "{}")],
            id="two calls in one chunk",
        ),
        pytest.param(
            [piece(None, name="f", arguments="{}"), piece(None, name="g", arguments="{}")],
            [("call_0", "f", "{}"), ("call_1", "g", "{}")],
            id="neither id nor index",
        ),
        pytest.param(
            [piece(0, "", name="f", arguments={"x": 1})],
            [("call_0", "f", '{"x": 1}')],
            id="arguments as dict",
        ),
        pytest.param(
            [piece(0, name="f", arguments='{"x":1}'), piece(0, name="f", arguments='{"x":2}')],
            [("call_0", "f", '{"x":1}'), ("call_1", "f", '{"x":2}')],
            id="two whole calls of one tool at one index, without ids",
        ),
        pytest.param(
            [[piece(0, name="f"), piece(0, name="f")]],
            [("call_0", "f", ""), ("call_1", "f", "")],
            id="two calls without arguments at one index in one chunk",
        ),
        pytest.param(
            [[piece(name="f"), piece(name="g")], [piece(arguments='{"x":1}'), piece(arguments='{"y":2}')]],
            [("call_0", "f", '{"x":1}'), ("call_1", "g", '{"y":2}')],
            id="two calls in each chunk, without index and ids",
        ),
        pytest.param(
            [
                piece(0, name="f", arguments='{"x":'),
                piece(0, arguments="1}"),
                piece(0, name="f", arguments='{"x":'),
                piece(0, arguments="2}"),
            ],
            [("call_0", "f", '{"x":1}'), ("call_1", "f", '{"x":2}')],
            id="the pieces of the next call at the same index",
        ),
        pytest.param(
            [piece(0, "a", name="f", arguments="{}"), piece(0, arguments='{"x":1}')],
            [("a", "f", '{"x":1}')],
            id="an empty object before the arguments",
        ),
        pytest.param(
            [piece(0, "a", name="f", arguments="{}"), piece(0, arguments='{"x"'), piece(0, arguments=":1}")],
            [("a", "f", '{"x":1}')],
            id="an empty object before the pieces of the arguments",
        ),
        pytest.param(
            [piece(0, "a", name="f", arguments='{"x"'), piece(0, arguments=":1}"), piece(0, arguments="{}")],
            [("a", "f", '{"x":1}')],
            id="an empty object after the arguments",
        ),
        pytest.param(
            [
                piece(0, "a", name="f", arguments='{"x"'),
                piece(0, arguments=":1}"),
                piece(0, "a", name="f", arguments='{"x": 1}'),
            ],
            [("a", "f", '{"x": 1}')],
            id="the whole object once more at the end",
        ),
        pytest.param(
            [piece(0, name="f", arguments='{"x":1}'), piece(0, name="f", arguments='{"x": 1}')],
            [("call_0", "f", '{"x": 1}')],
            id="the whole call repeated",
        ),
        pytest.param(
            [
                piece(0, "a", name="f", arguments='{"x'),
                piece(0, arguments='{"x":1'),
                piece(0, arguments='{"x":1}'),
            ],
            [("a", "f", '{"x":1}')],
            id="each piece repeats those before",
        ),
        pytest.param(
            [piece(0, "a", name="f", arguments='{"x":1, "y'), piece(0, arguments='{"x":1, "z":2}')],
            [("a", "f", '{"x":1, "z":2}')],
            id="a restart",
        ),
        pytest.param(
            [
                piece(0, "a", name="f", arguments='{"x":'),
                piece(0, arguments='{"y":1}'),
                piece(0, arguments="}"),
            ],
            [("a", "f", '{"x":{"y":1}}')],
            id="an object inside of the arguments",
        ),
        pytest.param(
            [piece(0, "a", name="f", arguments='{"x": '), piece(0, arguments='{"y":1}')],
            [("a", "f", '{"x": {"y":1}')],
            id="arguments that were cut are not replaced by a part of them",
        ),
        pytest.param(
            [piece(0, "a", name="get_"), piece(0, name="all"), piece(0, arguments="{}")],
            [("a", "get_all", "{}")],
            id="a name in parts",
        ),
        pytest.param(
            [piece(0, "a", name="get_"), piece(0, name="get_all"), piece(0, arguments="{}")],
            [("a", "get_all", "{}")],
            id="a name that grows",
        ),
        pytest.param(
            [piece(0, name="get", arguments="{}"), piece(0, name="get_all", arguments="{}")],
            [("call_0", "get", "{}"), ("call_1", "get_all", "{}")],
            id="a name that begins as the one before",
        ),
        pytest.param(
            [{"index": "0", "id": "a", "function": {"name": "f"}}, piece(0, arguments="{}")],
            [("a", "f", "{}")],
            id="an index as text",
        ),
        pytest.param(
            [
                piece(0, name="f", arguments=""),
                piece(0, arguments='{"x":1}'),
                piece(0, name="f", arguments=""),
                piece(0, arguments='{"x"'),
                piece(0, arguments=":2}"),
            ],
            [("call_0", "f", '{"x":1}'), ("call_1", "f", '{"x":2}')],
            id="the next call begins with its name only",
        ),
        pytest.param(
            [
                piece(name="f", arguments=""),
                piece(arguments='{"x":1}'),
                piece(name="f"),
                piece(arguments='{"x":2}'),
            ],
            [("call_0", "f", '{"x":1}'), ("call_1", "f", '{"x":2}')],
            id="the next call begins with its name only, without an index",
        ),
        pytest.param(
            [piece(0, name="f"), piece(0, arguments='{"x":1}'), piece(0, name="f", arguments="")],
            [("call_0", "f", '{"x":1}')],
            id="the name once more at the end",
        ),
        pytest.param(
            [
                piece(0, "call_0", name="f", arguments='{"x":1}'),
                piece(0, "call_0", name="f", arguments='{"x":2}'),
            ],
            [("call_0", "f", '{"x":1}'), ("call_1", "f", '{"x":2}')],
            id="one id for two whole calls",
        ),
        pytest.param(
            [
                piece(0, "call_0", name="f", arguments='{"x":1}'),
                piece(0, "call_0", name="f", arguments='{"x":'),
                piece(0, "call_0", arguments="2}"),
            ],
            [("call_0", "f", '{"x":1}'), ("call_1", "f", '{"x":2}')],
            id="one id for two calls, of which one is in pieces",
        ),
        pytest.param(
            [piece(0, "a", name="f", arguments='{"x":"O"}'), piece(0, "a", name="f", arguments='{"x":"Os"}')],
            [("a", "f", '{"x":"Os"}')],
            id="arguments that grow, each time repaired to a whole object",
        ),
        pytest.param(
            [piece(0, name="f", arguments=""), piece(0, name="g", arguments=""), piece(0, arguments="{}")],
            [("call_0", "f", ""), ("call_1", "g", "{}")],
            id="a call without arguments before another one",
        ),
        pytest.param(
            [piece(0, name="f", arguments="{}"), piece(0, name="f", arguments="{}")],
            [("call_0", "f", "{}"), ("call_1", "f", "{}")],
            id="two calls without arguments",
        ),
        pytest.param(
            [piece(0, "a", arguments='{"x":'), piece(0, "a", name="f", arguments="1}")],
            [("a", "f", '{"x":1}')],
            id="the name after the arguments",
        ),
        pytest.param(
            [piece(0, "a", arguments='{"x":1}'), piece(0, "a", name="f")],
            [("a", "f", '{"x":1}')],
            id="the name after the whole arguments",
        ),
        pytest.param(
            [
                piece(0, "a", name="f", arguments='{"x":'),
                piece(0, "b", name="f", arguments="1"),
                piece(0, "c", name="f", arguments="}"),
            ],
            [("a", "f", '{"x":1}')],
            id="a new id and the name for every piece",
        ),
        pytest.param(
            [
                piece(0, "a", name="f", arguments='{"x":1}'),
                piece(0, name="f"),
                piece(0, arguments='{"x":1}'),
            ],
            [("a", "f", '{"x":1}')],
            id="the whole call repeated after its name",
        ),
        pytest.param(
            [piece(1, "b", name="g", arguments="{}"), piece(0, "a", name="f", arguments="{}")],
            [("b", "g", "{}"), ("a", "f", "{}")],
            id="in order of arrival",
        ),
    ],
)
def test_pieces_of_calls_find_their_call(pieces: list[Any], calls: list[tuple[str, str, str]]):
    """However a server cuts its calls up, each comes together as it was meant."""
    assert stream_calls(*pieces) == tuple(ToolCall(*call) for call in calls)


def test_calls_of_one_completion_keep_apart():
    """Two calls with one id, or with none, get ids of their own, in the echo as well."""
    reply = CHAT.decode(says.completion(calls=[("f", {}, "x"), ("f", {}, "x"), ("f", {}, "")]))

    assert [call.id for call in reply.calls] == ["x", "call_1", "call_2"]
    (turn,) = CHAT.encode(Request("m", (reply,)))["messages"]
    assert [call["id"] for call in turn["tool_calls"]] == ["x", "call_1", "call_2"]
