"""Ids of calls: every call of a conversation has its own, and its result goes back under it."""

from __future__ import annotations

from typing import Any

import pytest
from kit.scripted import Driven, question
from kit.wire import Answer, WireServer, anthropic, ollama, openai
from kit.wire.server import Received

from alloy import Conversation, ask, tool
from alloy._engine.effects import RunTools
from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.backends.gemini.content import GeminiBackend
from alloy.backends.ollama.chat import OllamaBackend
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.messages import Reply, Request, ToolCall, ToolResult, ToolResults, ToolSchema, User

ARGUMENTS = '{"id": "same"}'  # an argument that looks like an id stays what it is
TOOL = ToolSchema("add", "Add.", {"type": "object", "properties": {}})


@tool
def add(a: int) -> int:
    """Add one."""
    return a + 1


def chat(calls: list[Any]) -> Answer:
    return openai.reply(openai.completion(text="" if calls else "ok", calls=calls, thoughts="Hm"))


def native(calls: list[Any]) -> Answer:
    whole = ollama.answer(text="" if calls else "ok", calls=[call[:2] for call in calls], thoughts="Hm")
    return ollama.reply(whole)


@pytest.mark.parametrize("ids", [("", ""), ("same", "same"), ("call_3_0", "x")])
@pytest.mark.parametrize(("model", "say"), [("openai-chat:local", chat), ("ollama:qwen3", native)])
def test_the_same_calls_in_later_turns_have_ids_of_their_own(
    server: WireServer, model: str, say: Any, ids: tuple[str, str]
) -> None:
    """Whatever the server calls them: two turns of one run and two runs of one conversation."""
    calls = [("add", {"a": 1}, ids[0]), ("add", {"a": 2}, ids[1])]
    turns = iter([calls, calls, [], calls, []])
    server.always = lambda request: (
        ollama.shown("tools") if request.path.endswith("/api/show") else say(next(turns))
    )
    settings: dict[str, Any] = {"model": model, "tools": [add], "api_key": "k", "base_url": server.url}
    talk = Conversation()
    ask("x", conversation=talk, **settings)
    ask("y", conversation=talk, **settings)

    said = [request for request in server.requests if not request.path.endswith("/api/show")]
    asked, answered = _paired(said[-1])
    assert len(set(asked)) == 6
    assert answered == asked
    thoughts = [message for message in said[-1].json["messages"] if "Hm" in message.values()]
    assert len(thoughts) == 4  # of calls, and of the text after them


def _paired(request: Received) -> tuple[list[str], list[str]]:
    """The ids of the calls in *request*, and those of the results."""
    messages = request.json["messages"]
    asked = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    return asked, [message["tool_call_id"] for message in messages if message["role"] == "tool"]


def _anthropic(ids: list[str]) -> Any:
    blocks = [anthropic.tool_use("add", {"id": "same"}, call_id) for call_id in ids]
    return anthropic.message(anthropic.text_block("Hm"), *blocks)


def _responses(ids: list[str]) -> Any:
    return openai.response(text="Hm", calls=[("add", ARGUMENTS, call_id) for call_id in ids])


def _gemini(ids: list[str]) -> Any:
    made = [{"functionCall": {"name": "add", "args": {"id": "same"}, "id": call_id}} for call_id in ids]
    content = {"role": "model", "parts": [{"text": "Hm"}, *made]}
    return {"responseId": "r", "candidates": [{"content": content, "finishReason": "STOP"}]}


def _found(value: Any, keys: tuple[str, ...]) -> list[str]:
    """What stands under *keys* in JSON, in order, without what is in arguments."""
    if isinstance(value, list):
        return [found for item in value for found in _found(item, keys)]
    if not isinstance(value, dict):
        return []
    here = [value[key] for key in keys if key in value]
    inner = [item for key, item in value.items() if key not in ("input", "args", "arguments")]
    return here + _found(inner, keys)


@pytest.mark.parametrize(
    ("backend", "say", "calls", "results"),
    [
        (AnthropicBackend(), _anthropic, "id", "tool_use_id"),
        (OpenAIBackend(), _responses, "call_id", "call_id"),
    ],
)
def test_a_turn_sent_back_as_it_came_has_the_new_ids(
    backend: Any, say: Any, calls: str, results: str
) -> None:
    """Only the ids change: thoughts, text and arguments stay untouched, and so does the kept turn."""
    first, second = (backend.decode(say(["same", "same"])) for _ in range(2))
    talk = _run([first, second])
    body = backend.encode(Request("m", tuple(talk), tools=(TOOL,)))
    ids = [call.id for turn in talk if isinstance(turn, Reply) for call in turn.calls]

    assert len(set(ids)) == 4
    turns = body.get("messages") or body["input"]
    if calls == results:
        assert sorted(_found(turns, (calls,))) == sorted(ids * 2)
    else:
        assert (_found(turns, (calls,)), _found(turns, (results,))) == (ids, ids)
    assert str(turns).count("same") >= 4
    assert second.echo == backend.decode(say(["same", "same"])).echo


def test_gemini_pairs_by_place_what_has_a_new_id() -> None:
    """Its turns go back untouched, and a result has the id that Gemini itself gave the call at its place."""
    backend = GeminiBackend()
    talk = _run([backend.decode(_gemini(["one"])), backend.decode(_gemini(["one"]))])
    contents = backend.encode(Request("m", tuple(talk), tools=(TOOL,)))["contents"]

    calls = [
        part["functionCall"]["id"] for turn in contents for part in turn["parts"] if "functionCall" in part
    ]
    responses = [
        part["functionResponse"].get("id")
        for turn in contents
        for part in turn["parts"]
        if "functionResponse" in part
    ]
    assert (calls, responses) == (["one", "one"], ["one", "one"])


def test_ids_that_are_unique_stay() -> None:
    """The provider's own id is the one in its logs."""
    talk = _run([Reply(calls=(ToolCall("a", "add", "{}"), ToolCall("b", "add", "{}")))])
    assert [call.id for turn in talk if isinstance(turn, Reply) for call in turn.calls] == ["a", "b"]


@pytest.mark.parametrize(
    "backend", [OpenAIChatBackend(), OllamaBackend(), OpenAIBackend(), AnthropicBackend()]
)
def test_a_call_of_a_new_id_is_sent_with_it_from_elsewhere_too(backend: Any) -> None:
    """A reply without an echo is rebuilt from its calls."""
    talk = _run([Reply(calls=(ToolCall("", "add", "{}"), ToolCall("", "add", "{}"))) for _ in range(2)])
    body = str(backend.encode(Request("m", tuple(talk), tools=(TOOL,))))
    ids = [call.id for turn in talk if isinstance(turn, Reply) for call in turn.calls]
    assert [body.count(f"'{call_id}'") for call_id in ids] == [2] * 4


def _run(replies: list[Reply]) -> list[Any]:
    """The turns of a conversation in which the model gives *replies*, each answered, and then says 1."""
    request = Request("m", (User("x"),), tools=(TOOL,))
    script = Driven(question(request))
    for reply in replies:
        script.resume(reply)
        assert isinstance(script.pending, RunTools)
        script.resume([ToolResult(call, "3", 3) for call in script.pending.calls])
    script.resume(Reply("1"))
    transcript = list(script.result.transcript)
    assert sum(isinstance(turn, ToolResults) for turn in transcript) == len(replies)
    return transcript
