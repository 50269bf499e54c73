r"""Decoding a ReAct turn: which tools the model's text calls, or what it answers.

A turn consists of lines under labels: `Thought:`, `Action:`, `Action Input:`, `Observation:`,
`Final Answer:`. A label begins a line; case, markup and a number (`**Action 1:**`) do not matter. The first
of these labels decides what a turn is:

    Final Answer    everything after it is the answer, whatever it looks like
    Action          a call, and so is every further Action; everything from the first Observation or
                    Final Answer on is invented, because the results are not known yet
    Observation     invented: it and everything after it is cut off

A text without any label is an answer, because small models just answer. Thoughts never are.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from alloy._typed.json.text import Unreadable, decode, encode
from alloy.jsontypes import JsonObject

__all__ = ["NOTHING", "Action", "AnswerFilter", "Reading", "Span", "read"]

# How models write that there is no action, or no input.
NOTHING = frozenset(("", "none", "null", "n/a", "nothing", "no action", "no input"))

_LABEL = re.compile(
    r"""
    ^[ \t>]*
    (?P<head>\#+[ \t]*|(?=[*_]))?  (?P<mark>[*_`]{0,3})
    (?P<label>thoughts?|action(?P<input>[ _]?input)?|observations?|final[ _]?answer)
    [ \t]*+\d*+[ \t]*+
    (?:
        (?P=mark)[ \t]*+[:\uff1a]
      | [:\uff1a](?P=mark)
      | [:\uff1a](?P<unclosed>)                # bold that ends with the line or later
      | (?(head)(?P=mark)[ \t]*+$|(?!))        # a heading, or a bold line, needs no colon
    )
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_INPUT = r"action[ _]?input[ \t]*+:"
_NAME = rf"(?:(?!{_INPUT})[\w.-])*+"
# A tool's name, and how its input begins when it is on the same line: name(…), name {…}.
_CALL = re.compile(
    rf"""\s*+[*_`"']*+
    (?P<name> [\w.-] {_NAME} (?::{_NAME})*+ (?:<[|\uff5c][^<>\n]{{2,61}}+(?<=[|\uff5c])>{_NAME})*+ )
    [*_`"']*+ [ \t]*+
    (?: (?P<paren>\() | (?=\{{) | (?P<label>[*_]*+{_INPUT}[*_]*+) | (?=[\n\r]|\Z) )""",
    re.VERBOSE | re.IGNORECASE,
)
_FENCE = re.compile(r"\s*(?P<fence>```(?:[\w+-]*[ \t]*\n|json\b)?|`)?\s*")
_CLOSING = re.compile(r"\s*(?:`{1,3}|\))")
# The keys of a whole call as one object, which other formats use.
_NAME_KEYS = ("action", "name", "tool")
_INPUT_KEYS = ("action_input", "arguments", "parameters", "args", "input")


class Action(NamedTuple):
    """A call as the model wrote it: *input* is JSON, something else, or nothing; *end* is where it ends."""

    name: str
    input: str
    end: int


class Span(NamedTuple):
    """Where a final answer begins, and the markup that was opened before it and may close after it."""

    start: int
    closing: str

    def of(self, text: str) -> str:
        """The answer in *text*, without blanks around it."""
        bare = text[self.start :].rstrip()
        return bare.removesuffix(self.closing).rstrip() if self.closing else bare


class Reading(NamedTuple):
    """The content of a turn: *actions*, or a final *answer*, or neither.

    *plain* says that there is no label at all. The part of the text that counts ends at *end*.
    """

    actions: tuple[Action, ...]
    answer: Span | None
    plain: bool
    end: int


def read(text: str) -> Reading:
    """The content of the turn *text*."""
    actions: list[Action] = []
    position, plain, end = 0, True, len(text)
    while (found := _LABEL.search(text, position)) is not None:
        plain, position = False, found.end()
        kind = _kind(found)
        if kind == "answer" and not actions:
            return Reading((), _answer(text, found), plain, end)
        if kind in ("answer", "observation"):
            end = found.start()
            break
        if kind == "action" and (action := _action(text, position)).name.lower() not in NOTHING:
            actions.append(action)
            position = action.end
    return Reading(tuple(actions), None, plain, actions[-1].end if actions else end)


def _kind(label: re.Match[str]) -> str:
    if label["input"]:
        return "input"
    first = label["label"][0].lower()
    return {"t": "thought", "a": "action", "o": "observation", "f": "answer"}[first]


def _answer(text: str, label: re.Match[str]) -> Span:
    after = text[label.end() :]
    fences = sum(line.lstrip().startswith("```") for line in text[: label.start()].splitlines())
    unclosed = label["mark"] if label["unclosed"] is not None else ""
    return Span(len(text) - len(after.lstrip()), "```" if fences % 2 else unclosed)


# --- actions --------------------------------------------------------------------------------------


def _action(text: str, start: int) -> Action:
    """The action whose label ends at *start*."""
    following = _LABEL.search(text, start)
    stop = len(text) if following is None else following.start()
    if (whole := _whole_call(text, start, stop)) is not None:
        return whole
    call = _CALL.match(text, start)
    if call is None or call.end("name") > stop:
        line = text[start:stop].strip().partition("\n")[0]
        return Action(line.strip("*_`\"' "), *_following_input(text, stop, following))
    end = call.end()
    if call["paren"]:
        given = _input(text, end, ")")
    elif call["label"] or text.startswith("{", end):
        given = _input(text, end)
    else:
        given = _unlabelled(text, end, stop)
    name = call["name"].rstrip("_")
    return Action(name, *(given if given[0] else _following_input(text, given[1], following)))


def _whole_call(text: str, start: int, stop: int) -> Action | None:
    """The call as one object that names the tool, too."""
    begin = _match_end(_FENCE, text, start)
    end = _object_end(text, begin) if begin < stop else None
    if end is None:
        return None
    try:
        call: JsonObject = decode(text[begin:end])
    except Unreadable:
        return None
    name = next((call[key] for key in _NAME_KEYS if isinstance(call.get(key), str)), None)
    if name is None:
        return None
    given = next((call[key] for key in _INPUT_KEYS if key in call), "")
    return Action(name, given if isinstance(given, str) else encode(given), _match_end(_CLOSING, text, end))


def _following_input(text: str, end: int, following: re.Match[str] | None) -> tuple[str, int]:
    """The input under the label that comes next, if that is the one for it, and where the action ends."""
    if following is None or _kind(following) != "input":
        return "", end
    return _input(text, following.end())


def _unlabelled(text: str, start: int, stop: int) -> tuple[str, int]:
    """An object or a fence on the lines after the name; prose there is not part of the input."""
    begins = text[start:stop].lstrip()
    return _input(text, start) if begins.startswith(("{", "```")) else ("", start)


def _input(text: str, start: int, closing: str = "") -> tuple[str, int]:
    """The input at *start*, and where it ends."""
    following = _LABEL.search(text, start)
    stop = len(text) if following is None else following.start()
    opening = _FENCE.match(text, start)
    begin = start if opening is None else opening.end()
    if begin >= stop:
        return "", start
    # The strings of whole JSON may contain anything, labels and fences too.
    if (end := _object_end(text, begin)) is not None:
        return text[begin:end], _match_end(_CLOSING, text, end)
    if opening is not None and not closing:
        closing = (opening["fence"] or "")[:3]
    if closing.startswith("```") and (closed := text.find("```", begin)) != -1:
        return text[begin:closed].strip(), closed + 3
    given = text[begin:stop].strip()
    return given.removesuffix(closing).strip() if closing else given, stop


def _object_end(text: str, start: int) -> int | None:
    """Where the JSON object at *start* ends; `None` without one."""
    if not text.startswith("{", start):
        return None
    try:
        return _scanner.raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return None


# The toolbox reports line ends in strings; here they only must not look like labels.
_scanner = json.JSONDecoder(strict=False, parse_int=str, parse_float=str)


def _match_end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return start if found is None else found.end()


# --- what may be shown before the turn is whole ---------------------------------------------------

# Until something other than blanks and markup follows it, a label may not be complete.
_CERTAIN = re.compile(r"[^\s*_`]")
_LONGEST_LABEL = 200  # characters, with the markup and blanks before it


class AnswerFilter:
    """Passes the text of a final answer on as it arrives, and nothing else.

    What has been passed on is always the beginning of what `read` finds in the whole text. An answer
    without a label is held back, because only the whole turn shows that it is one.
    """

    def __init__(self) -> None:
        self._text: list[str] = []
        self._line = ""  # where a label may be: the last line, and a label that is not certain yet
        self._answer: Span | None = None
        self._silent = False
        self._held: list[str] = []  # the end of the text that may not be part of the answer
        self._found = False  # whether there is a label, which is certain with the next character
        self.shown: list[str] = []

    def feed(self, piece: str) -> str:
        """Take in the next *piece* of the turn; return what may be shown of it."""
        if self._silent:
            return ""
        if self._answer is not None:
            return self._pass(piece)
        self._text.append(piece)
        if self._found and _CERTAIN.search(piece) is None:  # not joined: there may be many such pieces
            self._held.append(piece)
            return ""
        self._line = "".join([self._line, *self._held, piece])
        self._held.clear()
        label = next((found for found in _LABEL.finditer(self._line) if _kind(found) == "answer"), None)
        if label is None:
            self._line, self._found = self._line[self._line.rfind("\n") + 1 :], False
            if len(self._line) > _LONGEST_LABEL:
                self._line = "…"  # this line begins in another way, and need not be searched again
            return ""
        if _CERTAIN.search(self._line, label.end()) is None:
            self._line, self._found = self._line[label.start() :], True
            return ""
        text = "".join(self._text)
        self._answer = read(text).answer
        # Without one, an action or an observation came first, and decides the turn.
        self._silent = self._answer is None
        return "" if self._answer is None else self._pass(text[self._answer.start :])

    def _pass(self, piece: str) -> str:
        """*piece* without an end that may turn out to be the blanks and markup after the answer."""
        assert self._answer is not None
        self._held.append(piece)
        if not piece.strip():
            return ""
        text = "".join(self._held)
        known = _length_without_end(text, self._answer.closing)
        self._held = [text[known:]]
        if known:
            self.shown.append(text[:known])
        return text[:known]


def _length_without_end(text: str, closing: str) -> int:
    bare = text.rstrip()
    for size in range(len(closing), 0, -1):
        if bare.endswith(closing[:size]):
            return len(bare[:-size].rstrip())
    return len(bare)
