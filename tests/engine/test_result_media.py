"""Images and documents that tools return: every provider gets them where it takes them."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.apis import ANTHROPIC, CHAT, GEMINI, OLLAMA, OLLAMA_CHAT, RESPONSES, Api, every_api, every_mode
from kit.wire import WireServer
from kit.wire.ollama import shown

from alloy import CommandError, Conversation, Document, Image, ToolError, ToolResult, ask
from alloy._engine.result_media import contents_of, with_media_sent
from alloy.backends.base import Capabilities
from alloy.messages import Reply, ToolCall, ToolResults, User
from alloy.testing import call, calls, replies

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
PICTURE = Image.from_bytes(PNG)
NOTES = Document.from_bytes(b"%PDF-1.7", name="notes.pdf")
LINKED = Image.from_url("https://example.com/a.png")
DATA = f"data:image/png;base64,{PICTURE.base64}"


def photo() -> Image:
    """A photo."""
    return PICTURE


def page() -> list[str | Image]:
    """A page with a picture."""
    return ["above", PICTURE, "below"]


IN_RESULT: dict[str, Any] = {
    RESPONSES.name: [
        {"type": "input_text", "text": "above"},
        {"type": "input_image", "image_url": DATA, "detail": "auto"},
        {"type": "input_text", "text": "below"},
    ],
    ANTHROPIC.name: [
        {"type": "text", "text": "above"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE.base64}},
        {"type": "text", "text": "below"},
    ],
    GEMINI.name: [{"inlineData": {"mimeType": "image/png", "data": PICTURE.base64}}],
}
NOTE = "above\nbelow\n[the next message has the image]"
HEADING = "The image that the tool page returned:"
AFTER: dict[str, Any] = {
    "text": {"type": "text", "text": HEADING},
    "image": {"type": "image_url", "image_url": {"url": DATA}},
}


@every_mode
@every_api
def test_an_image_of_a_tool_reaches_the_model(server: WireServer, api: Api, mode: str) -> None:
    """In the result where the provider takes it, with texts around it in order; else right after it."""
    if api is OLLAMA:
        server.script(shown("tools", "vision"))
    server.script(api.answer(mode, "", calls=[("page", {})]), api.answer(mode, "a cat"))
    assert api.ask(mode, server, tools=[page]) == "a cat"
    body = server.requests[-1].json
    turns = body.get("input") or body.get("contents") or body["messages"]
    if api is RESPONSES:
        assert turns[-1]["output"] == IN_RESULT[api.name]
    elif api is ANTHROPIC:
        assert turns[-1]["content"][0]["content"] == IN_RESULT[api.name]
    elif api is GEMINI:
        response = turns[-1]["parts"][0]["functionResponse"]
        assert response["response"] == {"output": "above\nbelow"}
        assert response["parts"] == IN_RESULT[api.name]
    elif api is OLLAMA:
        assert (turns[-2]["role"], turns[-2]["content"]) == ("tool", NOTE)
        assert turns[-1] == {"role": "user", "content": HEADING, "images": [PICTURE.base64]}
    else:
        assert api in (CHAT, OLLAMA_CHAT)
        assert (turns[-2]["role"], turns[-2]["content"]) == ("tool", NOTE)
        assert turns[-1] == {"role": "user", "content": [AFTER["text"], AFTER["image"]]}


@every_api
def test_several_tools_in_a_turn_have_all_results_before_the_images(server: WireServer, api: Api) -> None:
    """Providers refuse a result that does not follow its call."""
    answer = api.answer("send", "", calls=[("photo", {}, "c1"), ("page", {}, "c2")])
    server.script(*([shown("tools", "vision")] if api is OLLAMA else []), answer, api.answer("send", "two"))
    assert api.ask("send", server, tools=[photo, page]) == "two"
    assert str(server.requests[-1].json).count(PICTURE.base64) == 2


@every_mode
def test_a_model_of_ollama_without_vision_is_told(server: WireServer, mode: str) -> None:
    """Its images are those of a tool, so the call goes on; those of the user are an error as before."""
    server.script(shown("tools"), OLLAMA.answer(mode, "", calls=[("page", {})]), OLLAMA.answer(mode, "what?"))
    assert OLLAMA.ask(mode, server, tools=[page]) == "what?"
    last = server.requests[-1].json["messages"][-1]
    assert last["content"] == f"{HEADING}\n[not shown, because this model does not take images]"
    assert "images" not in last


# --- what is sent of it -----------------------------------------------------------------------------------


ASKED = (User("Look"), Reply(calls=(ToolCall("c1", "photo", "{}"),)))


def result(*parts: Any, name: str = "photo") -> ToolResult:
    """What came of a tool that returned *parts*."""
    _, shown, kept = contents_of(list(parts), None)
    return ToolResult(ToolCall("c1", name, "{}"), shown, parts=kept)


def test_a_model_without_images_gets_a_description() -> None:
    """A tool's image is no reason to end the call."""
    turns = (
        User("Look"),
        Reply(calls=(ToolCall("c1", "photo", "{}"),)),
        ToolResults((result("a", PICTURE),)),
    )
    for can in (Capabilities(images=False), Capabilities(images=False, result_media=True)):
        (sent,) = with_media_sent(turns, can, native=True)[2:]
        assert isinstance(sent, ToolResults)
        assert sent.results[0].parts == ()
        assert sent.results[0].content == (
            "a\n[image: image/png, 16 bytes; it is not shown, because this model does not take it]"
        )


@pytest.mark.parametrize(
    ("can", "media", "taken"),
    [
        (Capabilities(documents=False), NOTES, False),
        (Capabilities(images=False), NOTES, True),
        (Capabilities(urls=False), LINKED, False),
        (Capabilities(urls=False), PICTURE, True),
        (Capabilities(document_urls=False), Document.from_url("https://example.com/a.pdf"), False),
        (Capabilities(document_urls=False), LINKED, True),
    ],
)
def test_each_kind_is_sent_where_it_is_taken(can: Capabilities, media: Any, taken: bool) -> None:
    sent = with_media_sent((ToolResults((result(media),)),), can, native=True)
    assert (len(sent) == 2) == taken
    assert (media in sent[-1].parts if isinstance(sent[-1], User) else False) == taken


def test_the_next_words_of_the_user_join_the_images() -> None:
    """Some servers refuse two messages of the user in a row; those that were there are left alone."""
    turns = (ToolResults((result(PICTURE),)), User("And now?", cache_points=(1,)), User("Well?"))
    moved, last = with_media_sent(turns, Capabilities(), native=True)[1:]
    assert isinstance(moved, User)
    assert moved == User(("The image that the tool photo returned:", PICTURE, "And now?"), (3,))
    assert last is turns[2]


def test_without_media_nothing_changes() -> None:
    turns = (User("Hi"), ToolResults((ToolResult(ToolCall("c1", "f", "{}"), "3"),)), User("Well?"))
    assert with_media_sent(turns, Capabilities(), native=True) is turns


def test_gemini_gets_files_by_address_after_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its results hold data only."""
    turns = (*ASKED, ToolResults((result(LINKED),)))
    monkeypatch.setenv("GEMINI_API_KEY", "test")
    body = ask.request(
        "Well?", model=f"gemini:{GEMINI.model}", conversation=Conversation(turns), tools=[photo]
    )
    answer, linked, question = body["contents"][2:]
    response = {"output": "[the next message has the image]"}
    assert answer["parts"][0]["functionResponse"] == {"name": "photo", "response": response, "id": "c1"}
    assert linked["parts"] == [{"fileData": {"fileUri": LINKED.url, "mimeType": "image/png"}}]
    assert question["parts"] == [{"text": "Well?"}]


def test_older_gemini_models_get_them_after_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = (*ASKED, ToolResults((result(PICTURE),)))
    monkeypatch.setenv("GEMINI_API_KEY", "test")
    body = ask.request("Well?", model="gemini:gemini-2.5-flash", conversation=Conversation(turns))
    answer, user = body["contents"][2:]
    assert answer["parts"][0]["functionResponse"]["response"] == {
        "output": "[the next message has the image]"
    }
    assert [next(iter(part)) for part in user["parts"]] == ["text", "inlineData", "text"]


def test_react_has_the_image_with_the_observation(server: WireServer) -> None:
    """Without native tools all results are messages of the user."""
    first = CHAT.answer("send", "Thought: look\nAction: photo\nAction Input: {}")
    server.script(first, CHAT.answer("send", "Thought: I see\nFinal Answer: a cat"))
    assert CHAT.ask("send", server, tools=[photo], tool_mode="react") == "a cat"
    last = server.requests[1].json["messages"][-1]
    assert last["role"] == "user"
    assert [part["type"] for part in last["content"]] == ["text", "text", "image_url"]
    assert last["content"][0]["text"] == "Observation: [the next message has the image]"


# --- what tools return ------------------------------------------------------------------------------------


@given(st.lists(st.one_of(st.text(max_size=5), st.integers(), st.just(PICTURE), st.just(NOTES)), max_size=6))
def test_a_list_with_media_is_parts_and_any_other_is_json(value: list[Any]) -> None:
    text, shown, parts = contents_of(value, None)
    assert shown == text
    if any(isinstance(part, Image | Document) for part in value):
        assert len(parts) == len(value)
        assert [part for part in parts if not isinstance(part, str)] == [
            part for part in value if isinstance(part, Image | Document)
        ]
    else:
        assert parts == ()
        assert text.startswith("[")


def test_a_long_text_is_cut_and_the_image_is_kept() -> None:
    text, shown, parts = contents_of(["x" * 500, PICTURE, "y" * 500], 100)
    assert len(text) == 1001
    assert "characters cut" in shown
    assert parts == (shown, PICTURE)


def test_the_result_keeps_the_value_and_travels() -> None:
    """Through pickle, and through a saved conversation to another provider."""
    chat = Conversation()
    with replies(call("page"), "a cat") as seen:
        result = ask.run("What is it?", tools=[page], conversation=chat)
    (done,) = result.tool_calls
    assert done.value == ["above", PICTURE, "below"]
    assert done.parts == ("above", PICTURE, "below")
    assert pickle.loads(pickle.dumps(result)).tool_calls == result.tool_calls
    shown = [message for message in seen.requests[1]["messages"] if message["role"] == "tool"]
    assert [part if isinstance(part, str) else part["kind"] for part in shown[0]["parts"]] == [
        "above",
        "image",
        "below",
    ]
    loaded = Conversation.from_json(chat.to_json())
    assert loaded == chat
    body = ask.request("Well?", model="anthropic:claude-sonnet-4-6", conversation=loaded, api_key="test")
    assert PICTURE.base64 in str(body)


def test_an_async_tool_returns_images_too() -> None:
    async def camera() -> Image:
        return PICTURE

    with replies(call("camera"), "a cat"):
        result = asyncio.run(ask.run_async("What is it?", tools=[camera]))
    assert result.tool_calls[0].parts == (PICTURE,)


def nothing_is_there() -> Image:
    """A wrong one."""
    return Image()


def test_an_image_without_data_is_an_error_of_the_tool() -> None:
    """Where it is made; and a file name that is not UTF-8 is escaped."""
    with pytest.raises(CommandError, match=r"Image\(…\) has neither data nor a URL: make it with from_path"):
        Image("https://example.com/a.png")  # type: ignore[arg-type]
    with replies(call("nothing_is_there"), "done"):
        (done,) = ask.run("go", tools=[nothing_is_there]).tool_calls
    assert done.error is not None
    assert "neither data nor a URL" in done.error
    assert Document.from_bytes(b"%PDF-1.7", name="a\udce9.pdf").name == "a\\udce9.pdf"


@every_api
def test_text_that_is_not_utf_8_does_not_end_the_call(server: WireServer, api: Api) -> None:
    """The tool has run, and its result is in the history of later calls."""
    latin = Document.from_bytes("é".encode("latin-1"), "text/plain", name="a.txt")
    answer = api.answer("send", "", calls=[("read", {})])
    server.script(*([shown("tools", "vision")] if api is OLLAMA else []), answer, api.answer("send", "done"))

    def read() -> list[str | Document]:
        """Read."""
        return [" ", latin]

    assert api.ask("send", server, tools=[read]) == "done"


def rows(fails: bool) -> Any:
    """Rows one by one."""
    yield {"a": 1}
    if fails:
        raise ValueError("in the middle")
    yield PICTURE


def lazy(fails: bool) -> Any:
    """Rows."""
    return rows(fails)


async def lazy_async(fails: bool) -> Any:
    """Rows."""
    return map(str, [1, 2, 1 / (1 - fails)])


@pytest.mark.parametrize("function", [lazy, lazy_async])
def test_an_iterator_is_read_once_and_its_errors_are_the_tools(function: Any) -> None:
    """Where the time of the tool counts; images in it are images."""
    name = function.__name__
    with replies(calls(call(name, fails=False), call(name, fails=True)), "done"):
        good, bad = ask.run("go", tools=[function]).tool_calls
    assert good.parts == (('{"a":1}', PICTURE) if function is lazy else ())
    assert good.content == ('{"a":1}' if function is lazy else '["1","2","1.0"]')
    assert bad.error in ("ValueError: in the middle", "ZeroDivisionError: division by zero")
    with replies(call(name, fails=True)), pytest.raises(ToolError, match="failed"):
        ask.run("go", tools=[function], tool_errors="raise")
