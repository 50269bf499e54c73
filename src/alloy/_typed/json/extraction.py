"""Finds the one answer in a text that holds more than the answer.

The text is gone through once, from left to right, and JSON in it is read where it stands, so that a
fence, a tag or a bracket inside a string is never taken for a mark. What belongs to the answer:

- `Final Answer:` at the beginning of a line, and `<answer>…</answer>`, say that only what they mark
  counts. Without such a mark all the text counts.
- Thoughts and quotations never count: `<think>…</think>`, `<input>…</input>` and the like, lines that
  begin with `>`, what follows `Thought:` or `Observation:` up to the next such label, and what follows
  `Input:`, `Example:` and the like up to an empty line. What stands before a lone `</think>` is a
  thought too: some models' templates open it in the prompt.
- Code fences and plain tags (`<json>`, `<output>`) count as if they were not there.

Among what counts there must be one value; the same one again is no second one. Two that differ are an
error, and so is one that is broken, that is a part of something else, or that is cut off: a fence or
tag that is opened must be closed. What cannot be seen is that text ends too early where it could end
as well: after the value, outside of any fence or tag, or in a bare word or number (`12` of `123`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from alloy._typed.json.repair import CLOSING_QUOTES, Broken, CutOff, Repairs, read_at
from alloy._typed.json.text import Unreadable, decode_at, encode

__all__ = ["AROUND", "NOTHING", "NO_JSON", "find"]

NO_JSON = "$: there is no JSON in the answer"
AROUND = "text around the answer"
NOTHING: Any = object()

# fmt: off
_THOUGHTS = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "analysis")
_QUOTED = (
    "input", "question", "query", "prompt", "context", "document", "documents", "source", "quote", "example",
    "examples", "observation", "tool_call", "tool_response", "tool_result", "function_results",
)
_FINAL = ("answer", "final", "final_answer", "final-answer")
_PLAIN = ("json", "output", "result", "response")
# fmt: on
_LONG_LABELS = ("thoughts?", "thinking", "reasoning", "analysis", "observation", "action(?: input)?")
_SHORT_LABELS = (
    "input",
    "question",
    "query",
    "prompt",
    "context",
    "source",
    "quote",
    "original",
    "examples?",
)
_FINAL_LABEL = "final (?:answer|output|result|response|json)"
_END_LABELS = ("answer", "output", "result", "response", "json")


def _any(*names: str) -> str:
    return "|".join(names)


_MARK = (
    rf"(?P<tag><(?P<closing>/)?(?P<name>{_any(*_THOUGHTS, *_QUOTED, *_FINAL, *_PLAIN)})(?:\s[^<>]*)?>)"
    r"|^[ \t]*(?P<quotation>>)[^\n]*"
    rf"|^[ \t#*_-]*(?:(?P<final>{_FINAL_LABEL})[ \t*_]*(?::[*_]*|$)"
    rf"|(?P<label>{_any(*_LONG_LABELS, *_SHORT_LABELS, *_END_LABELS)})[ \t*_]*:[*_]*)"
)
_FLAGS = re.MULTILINE | re.IGNORECASE
_TOKEN = re.compile(
    rf"{_MARK}|(?P<fence>`{{3,}}|^[ \t]*~{{3,}})|(?P<bracket>[{{}}\[\]])|(?P<gap>^[ \t]*\n)", _FLAGS
)
# After something broken only a mark at the beginning of a line is believed: others may stand in a string.
_LATER = re.compile(
    rf"^[ \t]*<(?=/?(?:{_any(*_THOUGHTS, *_QUOTED, *_FINAL, *_PLAIN)})\b)"
    rf"|^[ \t#*_-]*(?={_FINAL_LABEL})|</(?=(?:{_any(*_THOUGHTS)})\s*>)",
    _FLAGS,
)
_LONG = re.compile(_any(*_LONG_LABELS), re.IGNORECASE)
_SHORT = re.compile(_any(*_SHORT_LABELS), re.IGNORECASE)
_LABEL_OF_FENCE = re.compile(r"[ \t]*(?:[A-Za-z][\w+#.-]*)?[ \t]*(?=[\n{\[(]|\Z)")
_CLOSERS = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in (*_THOUGHTS, *_QUOTED)}

_BEGINNING = rf"[{''.join(CLOSING_QUOTES)}]|//|/\*|#|\Z"
_OBJECT = re.compile(rf"\{{[\s\ufeff]*(?:{_BEGINNING}|\}}|(?:[^\W\d]|\$)[\w$-]*\s*(?::|/[/*]|#|\Z))")
_LIST = re.compile(r"\[\s*(?:[\[{]|\Z)")
_ARRAY = re.compile(rf"\[[\s\ufeff]*(?:{_BEGINNING}|[\[\]{{(\d-]|(?:true|false|null|none)\b)", re.IGNORECASE)


# Python's own decoder is quick, but when it fails it counts the lines from the beginning of the text.
_EXACT_TRIES = 8


@dataclass(slots=True)
class _Section:
    """A stretch of text that counts, or does not. *pieces*: where its prose is, and if that is marked."""

    final: bool = False
    counts: bool = True
    values: list[Any] = field(default_factory=list)
    fault: Broken | None = None
    pieces: list[tuple[int, int, bool]] = field(default_factory=list)


def find(text: str, repairs: Repairs, *, arrays: bool, scalar: Callable[[str, Repairs], Any] | None) -> Any:
    """The one answer in *text*: an object, with *arrays* an object or array, or what *scalar* takes.

    *scalar* is given the text of a place where nothing but the answer can stand, and returns the value
    or `NOTHING`. *repairs* gets what was removed. Returns `NOTHING` when nothing was said at all. Raises
    `Unreadable`. Linear in the length of *text*: no part is tried more than twice.
    """
    scan = _Scan(text, repairs, arrays=arrays)
    scan.run()
    found = _only(scan, scalar)
    if found is NOTHING and scan.passed_over():
        raise Unreadable(NO_JSON)
    return found


def _only(scan: _Scan, scalar: Callable[[str, Repairs], Any] | None) -> Any:
    repairs, final = scan.repairs, any(section.final for section in scan.sections)
    if scan.cut_off:
        raise CutOff(len(scan.text))
    chosen = [section for section in scan.sections if section.counts and section.final >= final]
    for section in chosen:
        if section.fault is not None:
            raise section.fault.placed(scan.text)
    values = [value for section in chosen for value in section.values]
    spans = [piece for section in chosen for piece in section.pieces]
    pieces = [(piece, marked) for start, end, marked in spans if (piece := scan.text[start:end].strip())]
    if not values and not pieces:
        return NOTHING
    prose = len(pieces)
    if scalar is not None:
        alone = not values and len(pieces) == 1
        found = [scalar(piece, repairs) for piece, marked in pieces if marked or alone]
        found = [value for value in found if value is not NOTHING]
        values += found
        prose -= len(found)
    if not values:
        raise Unreadable(NO_JSON)
    if prose:
        repairs[AROUND] = None
    if len(values) > 1 and len(set(map(_canonical, values))) > 1:
        raise Unreadable("$: the answer holds two different JSON values: give exactly one")
    return values[0]


def _canonical(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode(key)}:{_canonical(value[key])}" for key in sorted(value)) + "}"
    return "[" + ",".join(map(_canonical, value)) + "]" if isinstance(value, list) else encode(value)


class _Scan:
    def __init__(self, text: str, repairs: Repairs, *, arrays: bool) -> None:
        self.text, self.repairs = text, repairs
        self.array = _ARRAY if arrays else _LIST
        self.tries = _EXACT_TRIES
        self.forget()

    def forget(self) -> None:
        """All so far was a thought."""
        self.section = _Section()
        self.sections = [self.section]
        self.fence = ""
        self.tags: list[str] = []
        self.depth = 0
        self.until_gap = self.broken = self.quoted = self.cut_off = False

    def passed_over(self) -> bool:
        """Whether something was said that is quoted, or a thought with a label."""
        return self.quoted or any(
            not section.counts and (section.values or section.pieces) for section in self.sections
        )

    def run(self) -> None:
        """Go through the text."""
        position = 0
        while (token := _TOKEN.search(self.text, position)) is not None:
            self._piece(position, token.start())
            position = self._take(token)
            if self.broken:
                self.broken = False
                later = _LATER.search(self.text, position)
                position = len(self.text) if later is None else later.start()
        self._piece(position, len(self.text))
        if self.fence or self.tags or self.depth:
            self._fail(CutOff(len(self.text)))

    def _piece(self, start: int, end: int) -> None:
        if start == end:
            return
        marked = bool(self.fence or self.tags or self.section.final)
        pieces = self.section.pieces
        if pieces and pieces[-1][1:] == (start, marked):  # a bracket stood between them
            start = pieces.pop()[0]
        pieces.append((start, end, marked))

    def _begin(self, *, final: bool = False, counts: bool = True) -> None:
        self.section = _Section(final=final, counts=counts)
        self.sections.append(self.section)
        self.depth = 0
        self.until_gap = False

    def _fail(self, fault: Broken) -> None:
        self.section.fault = self.section.fault or fault
        self.cut_off = self.cut_off or isinstance(fault, CutOff)

    # --- tokens -----------------------------------------------------------------------------------

    def _take(self, token: re.Match[str]) -> int:
        """Go past *token*; returns where to go on."""
        groups = token.groupdict()
        if groups["bracket"]:
            return self._bracket(token.start())
        if groups["fence"]:
            return self._fence(token)
        if groups["tag"]:
            return self._tag(groups["name"].lower(), token, closing=bool(groups["closing"]))
        if groups["quotation"] and not self.fence:
            self.quoted = True
            return token.end()
        if groups["gap"] and self.until_gap:
            self._begin()
        if groups["final"] and not self.fence:
            self.repairs["Final Answer:"] = None
            self._begin(final=True)
        elif groups["label"] and not self.fence:
            self._label(groups["label"])
        return token.end()

    def _label(self, label: str) -> None:
        if self.tags:
            return
        quoted = _SHORT.fullmatch(label) is not None
        self._begin(counts=not quoted and not _LONG.fullmatch(label))
        self.until_gap = quoted

    def _tag(self, name: str, token: re.Match[str], *, closing: bool) -> int:
        if name in _CLOSERS:
            return self._skip(name, token, closing=closing)
        self.repairs[f"the tag <{name}>"] = None
        if not closing:
            self.tags.append(name)
            if name in _FINAL:
                self._begin(final=True)
        elif name in self.tags:
            while self.tags.pop() != name:
                self._fail(CutOff(token.start()))
            if self.depth:
                self._fail(CutOff(token.start()))
            if name in _FINAL:
                self._begin()
        return token.end()

    def _skip(self, name: str, token: re.Match[str], *, closing: bool) -> int:
        self.repairs["thinking" if name in _THOUGHTS else AROUND] = None
        if closing:
            if name in _THOUGHTS:
                self.forget()
            return token.end()
        self.quoted = self.quoted or name in _QUOTED
        closer = _CLOSERS[name].search(self.text, token.end())
        if closer is None:
            self._fail(CutOff(len(self.text)))
            return len(self.text)
        return closer.end()

    def _fence(self, token: re.Match[str]) -> int:
        mark = token.group("fence").strip()
        if self.fence and mark.startswith(self.fence):
            self.fence = ""
            self.repairs["a code fence"] = None
            return token.end()
        self.fence = self.fence or mark  # a shorter fence inside a longer one is a part of it
        label = _LABEL_OF_FENCE.match(self.text, token.end())
        return label.end() if label else token.end()

    def _bracket(self, start: int) -> int:
        mark = self.text[start]
        if mark in "}]":
            self._piece(start, start + 1)
            self.depth = max(0, self.depth - 1)
            return start + 1
        opening = (_OBJECT if mark == "{" else self.array).match(self.text, start)
        if opening is None:
            self._piece(start, start + 1)
            self.depth += 1
            return start + 1
        try:
            value, end = self._value(start)
        except Broken as error:
            self._fail(error)
            self.broken = True
            return error.at
        if self.depth:
            self._fail(Broken("$: the JSON in the answer is a part of something that is not JSON", start))
        if _quoted(self.text, start, end):
            self.quoted = True
            return end
        self.section.values.append(value)
        return end

    def _value(self, start: int) -> tuple[Any, int]:
        if self.tries:
            try:
                return decode_at(self.text, start)
            except Unreadable:
                self.tries -= 1
        repairs: Repairs = {}
        found = read_at(self.text, start, repairs)
        if self.section.counts:
            self.repairs.update(repairs)
        return found


_QUOTES = {'"': '"', "'": "'", "“": "”", "\u2018": "\u2019", "«": "»"}


def _quoted(text: str, start: int, end: int) -> bool:
    """Whether quotation marks stand round this part of *text*: it is what somebody else said."""
    return start > 0 and text[end : end + 1] == _QUOTES.get(text[start - 1], NOTHING)
