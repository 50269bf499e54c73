"""How answers end, through the real SDK: words of other APIs, no word, and words that nobody knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from kit.apis import CHAT, OLLAMA_CHAT, Api, every_mode
from kit.wire import Answer, WireServer, sse

from alloy import BadReplyError, FilteredError, RefusalError, ServerError, TruncatedError, tool
from alloy.errors import AlloyError

CHATS = pytest.mark.parametrize("api", [CHAT, OLLAMA_CHAT], ids=repr)


@dataclass
class City:
    name: str


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def ended(api: Api, mode: str, word: Any, text: str = "", calls: Any = ()) -> Answer:
    """An answer with *word* at its end, whole or as a stream."""
    made = api.whole(text, calls=calls)
    made["choices"][0]["finish_reason"] = word
    if not mode.startswith("open"):
        return api.reply(made)
    return sse(api.events(made, lambda piece: [piece[:2], piece[2:]]), done=True)


@CHATS
@every_mode
@pytest.mark.parametrize("word", ["STOP", "end_turn", "end-turn", "FINISH_REASON_STOP", "eos", "", None])
def test_a_whole_answer_is_taken(server: WireServer, api: Api, mode: str, word: Any) -> None:
    """Whatever the word of a gateway is, and without one; it is paid once."""
    server.script(ended(api, mode, word, "Oslo."))
    assert api.ask(mode, server, retry=2) == "Oslo."


@every_mode
@pytest.mark.parametrize(
    "word",
    ["tool_call", "TOOL_CALLS", "tool-calls", "tool_use", "FUNCTION_CALL", "stop", "", None, "ALL_SAID"],
)
def test_calls_are_run(server: WireServer, mode: str, word: Any) -> None:
    """With an unknown word, too, because whole calls can be seen to be whole."""
    first = ended(CHAT, mode, word, calls=[("weather", {"city": "Oslo"})])
    server.script(first, CHAT.answer(mode, "Done."))
    assert CHAT.ask(mode, server, tools=[weather]) == "Done."
    assert "sunny in Oslo" in str(server.requests[1].json)


@CHATS
@every_mode
@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("MAX_TOKENS", TruncatedError),
        ("max-tokens", TruncatedError),
        ("SAFETY", FilteredError),
        ("guardrail_intervened", FilteredError),
        ("content_filtered", FilteredError),
        ("refusal", RefusalError),
        ("abort", ServerError),
    ],
)
def test_other_ends_are_their_errors(
    server: WireServer, api: Api, mode: str, word: str, kind: type[AlloyError]
) -> None:
    """By what the word means, in the spelling of any API."""
    server.script(ended(api, mode, word, "Os"))
    with pytest.raises(kind):
        api.ask(mode, server)


@CHATS
@every_mode
def test_an_unknown_word_after_free_text_is_raised_once(server: WireServer, api: Api, mode: str) -> None:
    """It is not tried again, whatever `retry` says: the next answer would end in the same way."""
    server.script(ended(api, mode, "ALL_SAID", "Oslo."))
    with pytest.raises(BadReplyError, match="ALL_SAID") as caught:
        api.ask(mode, server, retry=2)
    assert not caught.value.transient
    assert len(server.requests) == 1
    assert caught.value.usage is not None
    assert caught.value.usage.output_tokens == 5, "what was received was paid"


@every_mode
def test_an_unknown_word_after_a_typed_answer_is_no_matter(server: WireServer, mode: str) -> None:
    """The answer shows itself that it is whole; half of one is not taken."""
    server.script(
        ended(CHAT, mode, "ALL_SAID", '{"name": "Oslo"}'), ended(CHAT, mode, "ALL_SAID", '{"name": "Os')
    )
    value: Any = CHAT.ask(mode, server, output=City)
    assert value in (City("Oslo"), '{"name": "Oslo"}')  # a stream gives the text
    with pytest.raises(AlloyError):
        CHAT.ask(mode, server, output=City, reask=0)
