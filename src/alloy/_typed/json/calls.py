"""Calls of tools as models write them: a name with more around it, arguments that are not exactly JSON."""

from __future__ import annotations

import re
from collections.abc import Collection

from alloy._typed.json.extraction import AROUND, NOTHING, value_in
from alloy._typed.json.repair import Repairs
from alloy._typed.json.text import Unreadable, check_text, with_whole_escapes
from alloy.jsontypes import Json, JsonObject

__all__ = ["object_in", "tool_name"]

# What the templates of models put around a call: `<|call|>`, `</tool_call>`, `[TOOL_CALLS]`.
_CONTROL = r"<[|\uff5c][^<>\n]{1,60}[|\uff5c]>"
_TOKEN = (
    rf"(?:{_CONTROL}|\[/?TOOL_CALLS?\]"
    r"|</?(?:tool_calls?|function_calls?|function|arguments|parameters|s|bos|eos|(?:start|end)_of_turn)>)"
)
# Around the name of a tool: the words of OpenAI's Harmony format, and the namespaces of servers.
_TEMPLATE_WORDS = frozenset(("assistant", "analysis", "commentary", "final", "json"))
_PREFIX = r"(?:\S*[^\w\s-])?(?:(?i:functions?|tools?|default_api|mcp)[_-]+|[\w-]+__)?"
_LONGEST_NAME = 200  # with what is around it
_BEFORE = re.compile(rf"(?:\s|{_TOKEN})+", re.IGNORECASE)
_LAST = re.compile(rf"{_TOKEN}\Z", re.IGNORECASE)
_NONE = frozenset(("", "null", "none"))
_LONGEST_TOKEN = 64
_MOST_LAYERS = 4  # of JSON inside the string of JSON


def tool_name(written: str, names: Collection[str]) -> str:
    """The only one of *names* that *written* contains, next to control tokens, a prefix or a suffix.

    If there is none, or several: *written* with the characters that every provider accepts in a name.
    """
    if written in names:
        return written
    words = [word for piece in re.split(_CONTROL, written) if (word := _only_word(piece))]
    found = [name for name in names if any(_is_around(word, name, names) for word in words)]
    if len(found) == 1 and not _has_another(written, found[0], names):
        return found[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", written)[:64]


def _only_word(piece: str) -> str:
    """The word that is left without those of templates; an empty one if several are."""
    words = [word for word in piece.split() if word.lower() not in _TEMPLATE_WORDS] or piece.split()
    return words[0] if len(words) == 1 and len(words[0]) <= _LONGEST_NAME else ""


def _is_around(word: str, name: str, names: Collection[str]) -> bool:
    """Whether *word* is *name* with a prefix or a suffix. A number is one if no other name goes on there."""
    goes_on = any(other.startswith(f"{name}_") for other in names)
    end = "" if goes_on else r"|_\d{1,3}"
    return re.fullmatch(rf"{_PREFIX}{re.escape(name)}(?:[^\w\s-]\S*{end})?", word) is not None


def _has_another(written: str, found: str, names: Collection[str]) -> bool:
    """Whether a name other than *found* is around it in *written*."""
    before, _, after = written.rpartition(found)
    return any(
        re.search(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", rest)
        for name in names
        for rest in (before, after)
    )


def object_in(text: str, problem: Unreadable) -> JsonObject:
    """The object in *text*, read as an answer is, also inside of a JSON string; an empty one for `null`.

    Raises *problem* if there is none.
    """
    for _ in range(_MOST_LAYERS):
        text = with_whole_escapes(_without_control_tokens(text))
        if text.lower() in _NONE:
            return {}
        value = _value(text)
        if value is None:
            return {}
        if isinstance(value, dict):
            check_text(value)
            return value
        if not isinstance(value, str):
            break
        text = value
    raise problem


def _without_control_tokens(text: str) -> str:
    begin = _BEFORE.match(text)
    start, end = begin.end() if begin else 0, len(text.rstrip())
    while token := _LAST.search(text, max(start, end - _LONGEST_TOKEN), end):
        end = token.start()
        while end > start and text[end - 1].isspace():
            end -= 1
    return text[start:end]


def _value(text: str) -> Json:
    repairs: Repairs = {}
    value = value_in(text, repairs, arrays=False)
    # No arguments are a value as any other, so they may not come from prose.
    return NOTHING if value == {} and AROUND in repairs else value
