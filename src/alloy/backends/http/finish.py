"""Why an answer ended: the words of all APIs for it, by their meaning.

Gateways pass on the words of the API behind them, in its spelling: `FINISH_REASON_STOP`, `tool-calls`,
`toolUse`, `end_turn` from Chat Completions, `stop` from a Messages API. So every codec reads all of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from alloy.errors import BadReplyError, ServerError
from alloy.excerpts import excerpt
from alloy.messages import Finish, ToolCall

__all__ = ["Ending", "is_missing", "later", "meaning", "read_ending"]


class Ending(NamedTuple):
    """How an answer ended: the fields of a `Reply` for that."""

    finish: Finish
    explanation: str = ""
    """The server's own word, when its meaning is unknown (`finish` is "other") or it names a filter."""
    is_stated: bool = True


# Compared without case, prefix, punctuation and plural; those of OpenAI, Anthropic, Gemini, Ollama, Bedrock,
# Cohere, Mistral, Zhipu, llama.cpp, text-generation-inference, and of the gateways before them.
_WORDS: dict[Finish, str] = {
    "stop": (
        "stop stopped stop_sequence stop_token stop_str stop_criteria eos eos_token end_of_sequence "
        "end_of_text end_of_turn end_of_stream eot eom end end_turn ended complete completed completion done "
        "finish finished success succeeded normal natural natural_stop ok"
    ),
    "tool_calls": (
        "tool_call tool_use tool function_call function call_tool call_function tool_required "
        "tool_call_requested requires_action"
    ),
    "pause": "pause paused pause_turn",
    "length": (
        "length max_tokens max_output_tokens max_new_tokens max_completion_tokens max_length model_length "
        "context_length model_context_window_exceeded limit token_limit error_limit continuation truncated "
        "truncation cutoff cut_off incomplete num_predict"
    ),
    "refusal": "refusal refuse refused declined",
    "filter": (
        "content_filter filter filtered safety recitation language spii escalation model_armor guardrail "
        "guardrail_intervened moderation sensitive error_toxic blocked blocklist prohibited_content flagged"
    ),
}
LONGEST = 200  # characters of a word that are looked at
_PREFIX = re.compile(r"^(finish|stop|done|end)reason")


@lru_cache(256)  # servers have few words
def _key(word: str) -> str:
    bare = _PREFIX.sub("", re.sub(r"[^a-z0-9]", "", word[:LONGEST].lower()))
    return bare.removesuffix("s")


_MEANINGS: dict[str, Finish] = {_key(word): finish for finish in _WORDS for word in _WORDS[finish].split()}

# Words of no table, such as `content_policy_violation` and `max_tokens_reached`; the first match counts.
_LIKE: tuple[tuple[Finish, re.Pattern[str]], ...] = (
    ("refusal", re.compile("refus|declin")),
    (
        "filter",
        re.compile("filter|safety|moderat|guardrail|prohibit|sensitive|toxic|block|policy|violat|recitation"),
    ),
    (
        "length",
        re.compile("(max|limit|exceed).*token|token.*(max|limit|exceed)|truncat|length|contextwindow"),
    ),
)
_FAILED = re.compile(
    "error|fail|abort|cancel|interrupt|timeout|overload|insufficient|malformed|unexpectedtool|disconnect"
)
_NOTHING = ("", "null", "none", "unspecified", "undefined")


def is_missing(word: Any) -> bool:
    """Whether *word* says nothing: left out, `null`, empty, or a word for that."""
    return word is None or word is False or (isinstance(word, str) and _key(word) in _NOTHING)


def meaning(word: Any) -> Finish | None:
    """What *word* means; "other" when that is unknown, `None` when it says nothing."""
    if is_missing(word):
        return None
    key = _key(word) if isinstance(word, str) else ""
    if key in _MEANINGS:
        return _MEANINGS[key]
    return next((finish for finish, pattern in _LIKE if pattern.search(key)), "other")


def later(word: Any, new: Any) -> Any:
    """The word that counts when a stream has *new* after *word*: some servers add a `stop` to every end."""
    if is_missing(new) or meaning(word) not in (None, "stop", "tool_calls"):
        return word
    return new


def read_ending(
    word: Any, *, field: str, provider: str, calls: Sequence[ToolCall], complete: bool, refused: bool = False
) -> Ending:
    """How an answer ended that has *word* in its *field*.

    With *calls* a server may send `stop`. *refused* says whether the model refused in another field.
    *complete* says whether the answer is known to be whole and not empty, so that *word* may be missing:
    its body is one JSON value, or its stream has an end mark. Raises `BadReplyError` without a word
    otherwise, and `ServerError` when the word means that the server failed.
    """
    finish = meaning(word)
    if finish is None and not (complete and _are_whole(calls)):
        problem = f"the answer ended without a {field}, so it is not complete"
        raise BadReplyError(problem, provider=provider)
    if finish == "other":
        return _unknown(word, field, provider, calls)
    if finish in (None, "stop", "tool_calls"):
        known: Finish = "refusal" if refused else "tool_calls" if calls else "stop"
        return Ending(known, is_stated=finish is not None)
    return Ending("tool_calls" if finish == "pause" and calls else finish)


def _unknown(word: Any, field: str, provider: str, calls: Sequence[ToolCall]) -> Ending:
    if isinstance(word, str) and _FAILED.search(_key(word)):
        raise ServerError(
            f"the generation failed: its {field} is {excerpt(word, 80)}", provider=provider, code=word
        )
    if not _are_whole(calls):
        problem = f"the answer ended with the {field} {excerpt(word, 80)} in the arguments of a call"
        raise BadReplyError(problem, provider=provider, transient=False)
    return Ending("other", str(word))


def _are_whole(calls: Sequence[ToolCall]) -> bool:
    try:
        for call in calls:
            json.loads(call.arguments or "{}", strict=False)
    except (ValueError, RecursionError):
        return False
    return True
