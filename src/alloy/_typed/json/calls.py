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
_BEFORE = re.compile(rf"(?:\s|{_TOKEN})+", re.IGNORECASE)
_LAST = re.compile(rf"{_TOKEN}\Z", re.IGNORECASE)
_NONE = frozenset(("", "null", "none", "[]"))  # PHP writes an empty object as an empty list
_LONGEST_TOKEN = 64
_MOST_LAYERS = 4  # of JSON inside the string of JSON


def tool_name(written: str, names: Collection[str]) -> str:
    """The only one of *names* that *written* contains, next to control tokens, a prefix or a suffix.

    If there is none, or several: *written* with the characters that every provider accepts in a name.
    """
    if written in names:
        return written
    pieces = [piece.strip() for piece in re.split(_CONTROL, written)]
    found = [
        name
        for name in names
        if any(re.fullmatch(rf"(?:\S*[^\w\s-])?{re.escape(name)}(?:[^\w\s-]\S*)?", piece) for piece in pieces)
    ]
    return found[0] if len(found) == 1 else re.sub(r"[^A-Za-z0-9_-]+", "_", written)[:64]


def object_in(text: str, problem: Unreadable) -> JsonObject:
    """The object in *text*, read as an answer is, also inside of a JSON string; an empty one for `null`.

    Raises *problem* if there is none.
    """
    for _ in range(_MOST_LAYERS):
        text = with_whole_escapes(_without_control_tokens(text))
        if text.lower() in _NONE:
            return {}
        value = _value(text)
        if value is None or value == []:
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
    text = text[begin.end() if begin else 0 :].rstrip()
    while token := _LAST.search(text[-_LONGEST_TOKEN:]):
        text = text[: len(text) - len(token[0])].rstrip()
    return text


def _value(text: str) -> Json:
    repairs: Repairs = {}
    value = value_in(text, repairs, arrays=False)
    # No arguments are a value as any other, so they may not come from prose.
    return NOTHING if value == {} and AROUND in repairs else value
