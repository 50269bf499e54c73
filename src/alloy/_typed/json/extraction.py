"""Finds the one answer in a text that has other text around it.

The text is scanned once, from left to right, and JSON is read where it begins, so that a fence, a tag or a
bracket inside a string is not mistaken for a mark. Which text counts:

- After `Final Answer:` at the beginning of a line, or inside `<answer>…</answer>`, only that text counts.
  Without such a mark, the whole text counts.
- Reasoning and quotations never count: `<think>…</think>`, `<input>…</input>` and similar tags, lines
  that begin with `>`, the text after `Thought:` or `Observation:` up to the next such label, and the text
  after `Input:`, `Example:` and similar labels up to an empty line. The text before a lone `</think>` is
  reasoning too: the templates of some models open it in the prompt.
- Code fences and plain tags (`<json>`, `<output>`) are ignored, and their content counts.

There must be one value in the text that counts; repetitions of it are allowed. Two different values are an
error, and so is a value that is broken, that is a part of something else, that has the rest of broken JSON
next to it, or that is cut off: a fence or tag that is opened must be closed, unless there is nothing but
whole JSON at the other end of the fence. A text that is cut off where it could also end is not noticed:
after the value, outside of any fence or tag, or in a bare word or number (`12` of `123`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from alloy._typed.json.repair import CLOSING_QUOTES, Broken, CutOff, Repairs, read_at
from alloy._typed.json.text import Unreadable, decode, decode_at, is_json, with_whole_escapes
from alloy._typed.json.unfinished import NOTHING, read_open
from alloy._typed.json.values import canonical
from alloy.jsontypes import Json

__all__ = ["AROUND", "NOTHING", "NO_JSON", "find", "find_open", "is_prose", "value_in"]

NO_JSON = "$: the answer is not JSON"
AROUND = "text around the answer"

# fmt: off
_REASONING = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "analysis")
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
    rf"(?P<tag><(?P<closing>/)?(?P<name>{_any(*_REASONING, *_QUOTED, *_FINAL, *_PLAIN)})(?:\s[^<>]*)?>)"
    r"|^[ \t]*(?P<quotation>>)[^\n]*"
    rf"|^[ \t#*_-]*(?:(?P<final>{_FINAL_LABEL})[ \t*_]*(?::[*_]*|$)"
    rf"|(?P<label>{_any(*_LONG_LABELS, *_SHORT_LABELS, *_END_LABELS)})[ \t*_]*:[*_]*)"
)
_FLAGS = re.MULTILINE | re.IGNORECASE
_TOKEN = re.compile(
    rf"{_MARK}|(?P<fence>`{{3,}}|^[ \t]*~{{3,}})|(?P<bracket>[{{}}\[\]])|(?P<gap>^[ \t]*\n)", _FLAGS
)
# After a broken value, only a mark at the beginning of a line counts: others may be inside a string.
_RECOVERY = re.compile(
    rf"^[ \t]*<(?=/?(?:{_any(*_REASONING, *_QUOTED, *_FINAL, *_PLAIN)})\b)"
    rf"|^[ \t#*_-]*(?={_FINAL_LABEL})|</(?=(?:{_any(*_REASONING)})\s*>)",
    _FLAGS,
)
_LONG = re.compile(_any(*_LONG_LABELS), re.IGNORECASE)
_SHORT = re.compile(_any(*_SHORT_LABELS), re.IGNORECASE)
_LABEL_OF_FENCE = re.compile(r"[ \t]*+(?:[A-Za-z][\w+#.-]*+[ \t]*+)?+(?=[\n{\[(]|\Z)")
_CLOSING_TAGS = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in (*_REASONING, *_QUOTED)}

_BEGINNING = rf"[{''.join(CLOSING_QUOTES)}]|//|/\*|#|\Z"
_OBJECT = re.compile(rf"\{{[\s\ufeff]*(?:{_BEGINNING}|\}}|(?:[^\W\d]|\$)[\w$-]*\s*(?::|/[/*]|#|\Z))")
_LIST = re.compile(r"\[\s*(?:[\[{]|\Z)")
_ARRAY = re.compile(rf"\[[\s\ufeff]*(?:{_BEGINNING}|[\[\]{{(\d-]|(?:true|false|null|none)\b)", re.IGNORECASE)


# What only JSON has before a closing bracket, and what only JSON has after a value.
_REST = 40  # characters of it that are looked at
_REST_OF_JSON = "next to the JSON in the answer is the rest of JSON that is broken"
_END_OF_JSON = re.compile(r"(?:[\w.\"'”\]}])\s*\Z")
_STRING = r"(?:\"[^\"\n]*\"|'[^'\n]*')"
_LITERAL = rf"(?:{_STRING}|-?\d[\d.eE+-]*|[Tt]rue|[Ff]alse|null|None)"
_MEMBER = rf"(?:{_STRING}\s*:|[\w$-]+\s*:\s*(?=[\"'{{\[\d-]|true|false|null))"
_NEXT = re.compile(rf"\s*,\s*(?:{_MEMBER}|{_LITERAL}[ \t]*(?=[,\n\]}}]|\Z))")
_NEXT_ELEMENTS = re.compile(rf"[^\S\n]*\n\s*{_LITERAL}(?:[^\S\n]*[,\n]\s*{_LITERAL})*\s*\Z")
_PREVIOUS = re.compile(rf"(?:\A|[\n,])\s*{_LITERAL}\s*,\s*\Z")

# Python's decoder is fast, but when it fails it counts the lines from the beginning of the text.
_MAX_EXACT_TRIES = 8


@dataclass(slots=True)
class _Section:
    """A part of the text that counts, or does not.

    *final*: it is marked as the final answer. *pieces*: the text outside of JSON, as start, end and
    whether a fence, tag or mark is around it.
    """

    final: bool = False
    counts: bool = True
    values: list[Json] = field(default_factory=list)
    fault: Broken | None = None
    broken_at: int | None = None  # where the first JSON in it begins that has a fault
    pieces: list[tuple[int, int, bool]] = field(default_factory=list)


def find(text: str, repairs: Repairs, *, arrays: bool, scalar: Callable[[str, Repairs], Json] | None) -> Json:
    """The one answer in *text*: an object, with *arrays* an object or array, or a value that *scalar* reads.

    *scalar* gets the text of a place where only the answer can be, and returns its value or `NOTHING`. The
    removed marks are added to *repairs*. Returns `NOTHING` for a text without content. Raises
    `Unreadable`. Linear in the length of *text*: no part is read more than twice.
    """
    scan = _Scan(text, repairs, arrays=arrays)
    scan.run()
    sections = _counting(scan)
    values = [value for section in sections for value in section.values]
    pieces = list(_pieces(scan, sections))
    if not values and not pieces:
        if scan.has_ignored_text():
            raise Unreadable(NO_JSON)
        return NOTHING
    scalars = [] if scalar is None else _scalars(pieces, scalar, repairs, alone=not values)
    return _only([*values, *scalars], repairs, prose=len(pieces) > len(scalars))


def value_in(text: str, repairs: Repairs, *, arrays: bool) -> Json:
    """The JSON that *text* is, or else the one value that `find` finds in it, or `NOTHING`."""
    try:
        return decode(text)
    except Unreadable:
        pass
    try:
        return find(text, repairs, arrays=arrays, scalar=None)
    except Unreadable:
        return NOTHING


def find_open(text: str, *, arrays: bool) -> Json:
    """The answer in *text* as far as it has arrived (see `read_open`), or `NOTHING`.

    *arrays* is as for `find`. A lone surrogate is U+FFFD. Text that has not arrived may still show that
    the answer is another one.
    """
    start = len(text) - len(text.lstrip(" \t\r\n\ufeff"))
    if text[start : start + 1] in ("{", "["):
        return read_open(text, start)
    scan = _Scan(with_whole_escapes(text), {}, arrays=arrays)
    scan.run()
    final = any(section.final for section in scan.sections)
    for section in reversed(scan.sections):
        if section.counts and section.final >= final:
            if section.broken_at is not None:
                return read_open(text, section.broken_at)
            if section.values:
                return section.values[-1]
    return NOTHING


def is_prose(text: str) -> bool:
    """Whether nothing in *text* is JSON, not even broken or cut-off JSON, or JSON in its reasoning."""
    if not text.strip() or is_json(text.strip()):
        return False
    scan = _Scan(text, {}, arrays=True)
    scan.run()
    return not scan.cut_off and not any(section.values or section.fault for section in scan.sections)


def _counting(scan: _Scan) -> list[_Section]:
    """The sections that may have the answer. Raises `Unreadable` when one of them is broken."""
    if scan.cut_off:
        raise CutOff(len(scan.text))
    final = any(section.final for section in scan.sections)
    chosen = [section for section in scan.sections if section.counts and section.final >= final]
    for section in chosen:
        if section.fault is not None:
            raise section.fault.placed(scan.text)
    return chosen


def _pieces(scan: _Scan, sections: list[_Section]) -> Iterator[tuple[str, bool]]:
    """The text outside of JSON, and whether each piece of it is marked."""
    for section in sections:
        for start, end, marked in section.pieces:
            if piece := scan.text[start:end].strip():
                yield piece, marked


def _scalars(
    pieces: list[tuple[str, bool]], scalar: Callable[[str, Repairs], Json], repairs: Repairs, *, alone: bool
) -> list[Json]:
    """The values of the pieces that are marked, or of the only one there is, *alone* without JSON."""
    alone = alone and len(pieces) == 1
    found = [scalar(piece, repairs) for piece, marked in pieces if marked or alone]
    return [value for value in found if value is not NOTHING]


def _only(values: list[Json], repairs: Repairs, *, prose: bool) -> Json:
    if not values:
        raise Unreadable(NO_JSON)
    if prose:
        repairs[AROUND] = None
    if len(values) > 1 and len(set(map(canonical, values))) > 1:
        raise Unreadable("$: the answer holds two different JSON values: give exactly one")
    return values[0]


class _Scan:
    """Divides *text* into sections, and reads the JSON values in them.

    `run` goes from one mark (`_TOKEN`) to the next, and keeps the text between them as a piece of the
    current section. A bracket that looks like the beginning of JSON is read there, and the scan continues
    after the value; any other bracket only changes `depth`, because a value inside of it is a part of
    something else. A label or a tag of an answer begins a new section; tags of reasoning and quotations
    are skipped up to their end. After a broken value nothing is certain but a mark at the beginning of a
    line (`_RECOVERY`), so the scan continues there. What a section has is judged by `find`, at the end.
    """

    def __init__(self, text: str, repairs: Repairs, *, arrays: bool) -> None:
        self.text, self.repairs = text, repairs
        self.array = _ARRAY if arrays else _LIST
        self.tries = _MAX_EXACT_TRIES
        self.restart()

    def restart(self) -> None:
        """Forget everything up to here: it was reasoning."""
        self.section = _Section()
        self.sections = [self.section]
        self.fence = ""
        self.opened = (0, 0)  # where the mark of the fence begins and where its label ends
        self.last = (0, 0)  # the last JSON value
        self.checked = 0  # up to here, the text next to a value was looked at
        self.tags: list[str] = []
        self.depth = 0
        self.until_gap = self.broken = self.quoted = self.cut_off = False

    def has_ignored_text(self) -> bool:
        """Whether there is a quotation, or reasoning with a label."""
        return self.quoted or any(
            not section.counts and (section.values or section.pieces) for section in self.sections
        )

    def run(self) -> None:
        """Scan the text."""
        position = 0
        while (token := _TOKEN.search(self.text, position)) is not None:
            self._piece(position, token.start())
            position = self._take(token)
            if self.broken:
                self.broken = False
                mark = _RECOVERY.search(self.text, position)
                position = len(self.text) if mark is None else mark.start()
        self._piece(position, len(self.text))
        if self.tags or self.depth or (self.fence and not self._is_whole()):
            self._fail(CutOff(len(self.text)))
        elif self.fence:
            self.repairs["a code fence"] = None

    def _is_whole(self) -> bool:
        """Whether there is only whole JSON on one side of the open fence."""
        (mark, content), (start, end) = self.opened, self.last
        before, after = self.text[:mark], self.text[content:].strip()
        last = self.text[start:end]
        if not before.strip():
            return after != "" and (after == last or _is_whole_scalar(after))
        if mark + len(self.fence) < content or not before.rstrip(" \t").endswith("\n"):
            return False
        before = before.strip()
        return before == last or (not after and (_is_whole_scalar(before) or before.isalnum()))

    def _piece(self, start: int, end: int) -> None:
        if start == end:
            return
        marked = bool(self.fence or self.tags or self.section.final)
        pieces = self.section.pieces
        if pieces and pieces[-1][1:] == (start, marked):  # divided by a bracket
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
        """Process *token*; returns the position after it."""
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
        if name in _CLOSING_TAGS:
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
        """Skip reasoning or a quotation; returns the position after it."""
        self.repairs["thinking" if name in _REASONING else AROUND] = None
        if closing:
            if name in _REASONING:
                self.restart()
            return token.end()
        self.quoted = self.quoted or name in _QUOTED
        closer = _CLOSING_TAGS[name].search(self.text, token.end())
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
        label = _LABEL_OF_FENCE.match(self.text, token.end())
        end = label.end() if label else token.end()
        if not self.fence:  # a shorter fence inside a longer one belongs to its content
            self.fence, self.opened = mark, (token.start(), end)
        return end

    def _bracket(self, start: int) -> int:
        mark = self.text[start]
        if mark in "{[" and (_OBJECT if mark == "{" else self.array).match(self.text, start):
            return self._json(start)
        self._piece(start, start + 1)
        if mark in "}]" and not self.depth:
            self._check_rest(start)
        self.depth = self.depth + 1 if mark in "{[" else max(0, self.depth - 1)
        return start + 1

    def _check_rest(self, closer: int) -> None:
        """Fail if the text before the bracket at *closer*, which nothing opened, is the rest of JSON."""
        rest = self.text[self.checked : closer]
        self.checked = closer + 1
        if rest.strip() and "(" not in rest and _END_OF_JSON.search(rest[-_REST:]):
            self._fail(Broken(f"$: {_REST_OF_JSON}", closer))

    def _json(self, start: int) -> int:
        """Read the value that begins at *start*; returns the position after it, or of its error."""
        try:
            value, end = self._value(start)
        except Broken as error:
            if self.section.broken_at is None:
                self.section.broken_at = start
            self._fail(error)
            self.broken = True
            return error.at
        if self._has_neighbours(value, start, end):
            self._fail(Broken(f"$: {_REST_OF_JSON}", end))
        self.last, self.checked = (start, end), end
        if self.depth:
            self._fail(Broken("$: the JSON in the answer is a part of something that is not JSON", start))
        if _quoted(self.text, start, end):
            self.quoted = True
        else:
            self.section.values.append(value)
        return end

    def _has_neighbours(self, value: Json, start: int, end: int) -> bool:
        """Whether members or elements stand next to *value*, which ended or began too early."""
        if _NEXT.match(self.text, end) or _PREVIOUS.search(self.text[self.checked : start][-_REST:]):
            return True
        return isinstance(value, list) and _NEXT_ELEMENTS.match(self.text, end) is not None

    def _value(self, start: int) -> tuple[Json, int]:
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


def _is_whole_scalar(text: str) -> bool:
    """Whether *text* is a scalar of JSON to which nothing can be added."""
    return text in ("true", "false", "null") or (len(text) > 1 and text[0] == text[-1] == '"')


_QUOTES = {'"': '"', "'": "'", "“": "”", "\u2018": "\u2019", "«": "»"}


def _quoted(text: str, start: int, end: int) -> bool:
    """Whether this part of *text* is between quotation marks: then it is a quotation."""
    return start > 0 and text[end : end + 1] == _QUOTES.get(text[start - 1], NOTHING)
