"""Answers of servers that do not say why they ended: one that has all its tokens was cut off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from kit.apis import ANTHROPIC, CHAT, GEMINI, OLLAMA, RESPONSES, Api, every_mode
from kit.talking import MODES, WHOLE
from kit.ways import every_way
from kit.wire import Answer, WireServer, openai

from alloy import TruncatedError, command
from alloy.backends.memory import forget

# llama.cpp's Responses API has no `incomplete_details`, and the status "completed" for every answer.
UNSTATED: dict[Api, Any] = {
    RESPONSES: lambda made: made.pop("incomplete_details"),
    CHAT: lambda made: made["choices"][0].update(finish_reason=None),
    ANTHROPIC: lambda made: made.update(stop_reason=None),
    GEMINI: lambda made: made["candidates"][0].pop("finishReason"),
    OLLAMA: lambda made: made.pop("done_reason"),
}
# The other streams are not complete without their word for the end.
SILENT = [(api, mode) for api in UNSTATED for mode in (MODES if api in (RESPONSES, CHAT) else WHOLE)]


def unstated(api: Api, mode: str) -> Answer:
    made = api.whole("The sea is")  # of 5 tokens
    UNSTATED[api](made)
    return api.stream(api.events(made, lambda text: [text])) if mode.startswith("open") else api.reply(made)


@pytest.mark.parametrize(("api", "mode"), SILENT, ids=repr)
def test_an_answer_with_all_its_tokens_was_cut_off(server: WireServer, api: Api, mode: str) -> None:
    """Half an answer is an error, which has the text; one with tokens left is whole."""
    server.script(unstated(api, mode), unstated(api, mode))
    with pytest.raises(TruncatedError) as caught:
        api.ask(mode, server, max_tokens=5)

    assert caught.value.text == "The sea is"
    assert api.ask(mode, server, max_tokens=6) == "The sea is"


@every_mode
@pytest.mark.parametrize("api", UNSTATED, ids=repr)
def test_the_word_of_a_server_counts_more_than_tokens(server: WireServer, api: Api, mode: str) -> None:
    """An answer may need exactly the tokens that it had."""
    server.script(api.answer(mode, "The sea is"))
    assert api.ask(mode, server, max_tokens=5) == "The sea is"


@dataclass
class Pet:
    name: str


@every_way
def test_prose_with_all_its_tokens_shows_that_the_schema_was_ignored(server: WireServer, way: Any) -> None:
    """The type is described in a fresh request; JSON with all its tokens was cut off."""
    forget()

    def scripted(text: str, tokens: int) -> None:
        made = openai.response(text=text, usage=(10, tokens, 0, 0))
        del made["incomplete_details"]
        is_streamed = way.__name__.startswith("stream")
        server.script(RESPONSES.stream(openai.events(made)) if is_streamed else openai.reply(made))

    @command(**RESPONSES.options(server), output=Pet, max_tokens=5)
    def pet() -> str:
        return "Who is it?"

    scripted("My pet is a cat", 5)
    scripted('{"name": "Tom"}', 4)
    result, _ = way(pet)
    assert (result.value, result.downgrades) == (Pet("Tom"), ("output",))

    scripted('{"name": "To', 5)
    with pytest.raises(TruncatedError):
        way(pet)
    forget()
