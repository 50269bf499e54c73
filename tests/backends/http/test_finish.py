"""The words for the end of an answer are read by their meaning, whichever API they come from."""

from __future__ import annotations

from typing import Any

import pytest

from alloy.backends.http.finish import Ending, is_missing, later, meaning, read_ending
from alloy.errors import BadReplyError, ServerError
from alloy.messages import ToolCall

WHOLE = (ToolCall("a", "add", '{"a": 1}'),)
HALF = (ToolCall("a", "add", '{"a": '),)


def read(word: Any, *, calls: Any = (), complete: bool = True, refused: bool = False) -> Ending:
    return read_ending(
        word, field="finish_reason", provider="p", calls=calls, complete=complete, refused=refused
    )


@pytest.mark.parametrize(
    ("words", "finish"),
    [
        ("stop STOP Stop end_turn end-turn END_TURN endTurn FINISH_REASON_STOP FinishReason.STOP", "stop"),
        ("stop_sequence stopSequence eos eos_token <eos> COMPLETE completed done finished success", "stop"),
        ("tool_calls tool_call tool-calls TOOL_CALLS toolUse tool_use ToolUse function_call", "tool_calls"),
        ("FUNCTION_CALL function_calls FINISH_REASON_TOOL_CALL", "tool_calls"),
        ("pause_turn PAUSE_TURN pause", "pause"),
        ("length LENGTH max_tokens MAX_TOKENS max-tokens maxTokens max_output_tokens model_length", "length"),
        ("FINISH_REASON_MAX_TOKENS model_context_window_exceeded max_tokens_reached truncated", "length"),
        ("context_length_exceeded ERROR_LIMIT output_token_limit", "length"),
        (
            "content_filter CONTENT_FILTER content-filter content_filtered SAFETY FINISH_REASON_SAFETY",
            "filter",
        ),
        ("RECITATION BLOCKLIST PROHIBITED_CONTENT SPII guardrail_intervened sensitive moderated", "filter"),
        ("refusal REFUSAL refused model_refusal declined", "refusal"),
        ("ALL_SAID mystery other unknown", "other"),
    ],
)
def test_words_are_read_by_their_meaning(words: str, finish: str):
    """Without case, prefix, hyphens, camel case and plural."""
    assert {word: meaning(word) for word in words.split()} == dict.fromkeys(words.split(), finish)


@pytest.mark.parametrize("word", [None, "", " ", "null", "None", "FINISH_REASON_UNSPECIFIED", False])
def test_a_missing_word_is_taken_next_to_a_whole_answer_only(word: Any):
    """The end of a JSON body, or an end mark, shows that the answer is whole; half a call is not."""
    assert is_missing(word)
    assert read(word) == Ending("stop", is_stated=False)
    assert read(word, calls=WHOLE) == Ending("tool_calls", is_stated=False)
    for unfinished in ({"complete": False}, {"calls": HALF}):
        with pytest.raises(BadReplyError, match="without a finish_reason") as caught:
            read(word, **unfinished)
        assert caught.value.transient


def test_calls_and_refusals_count_more_than_the_word():
    """A server may send `stop` with calls, and `tool_calls` without."""
    assert read("stop", calls=WHOLE) == read("pause_turn", calls=WHOLE) == Ending("tool_calls")
    assert read("tool_calls") == Ending("stop")
    assert read("stop", refused=True) == Ending("refusal")
    assert read("length", calls=HALF) == Ending("length")


@pytest.mark.parametrize("word", ["ALL_SAID", "mystery", 7, {"type": "odd"}])
def test_an_unknown_word_is_kept(word: Any):
    """With whole calls as well; half of a call cannot be used, and another try would end in the same way."""
    assert read(word) == read(word, calls=WHOLE) == Ending("other", str(word))
    with pytest.raises(BadReplyError) as caught:
        read(word, calls=HALF)
    assert not caught.value.transient


@pytest.mark.parametrize("word", ["error", "abort", "cancelled", "insufficient_system_resource"])
def test_a_word_for_a_failure_is_a_transient_error(word: str):
    """vLLM, OpenRouter and DeepSeek end an answer so when they could not complete it."""
    with pytest.raises(ServerError) as caught:
        read(word)
    assert caught.value.transient
    assert caught.value.code == word


@pytest.mark.parametrize(
    ("words", "last"),
    [
        (["", None, "stop"], "stop"),
        (["stop", "", None, "null"], "stop"),
        (["length", "stop"], "length"),
        (["stop", "content_filter"], "content_filter"),
        (["tool_calls", "stop"], "stop"),
    ],
)
def test_of_several_words_in_a_stream_the_telling_one_counts(words: list[Any], last: str):
    """Empty words never replace one, and `stop` replaces no other end."""
    word: Any = None
    for new in words:
        word = later(word, new)
    assert word == last
