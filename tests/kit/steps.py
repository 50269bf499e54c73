"""Counts the steps of regular expressions and of Python code, where a test must not measure time.

`regex_steps` runs a pattern, as `re` has parsed it, on a backtracking machine that counts its instructions.
`lines_run` counts the lines of Python that a call runs.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from re import _constants as c  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from types import FrameType
from typing import Any

_Code = list[tuple[Any, ...]]


class TooManySteps(Exception):
    """The limit is passed."""


class _Machine:
    """One pattern as a program.

    `set`: a character that a pattern accepts. `split`: try the first place, later the second. `jump`: go to
    a place. `mark`: note the position. `atomic`, `ahead`, `behind`: a program of its own, without a way back
    into it. `ref`: the text of a group. `if`: whether a group has matched. `at`: an anchor. `empty`: leave a
    repetition that matched nothing.
    """

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        self.binary = isinstance(pattern.pattern, bytes)
        self.flags = pattern.flags
        self.code: _Code = []
        self._sequence(_parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG), self.code)

    def _sequence(self, parsed: Any, code: _Code) -> None:
        for op, value in parsed:
            self._add(op, value, code)

    def _sub(self, parsed: Any) -> _Code:
        code: _Code = []
        self._sequence(parsed, code)
        return code

    def _add(self, op: Any, value: Any, code: _Code) -> None:  # noqa: C901 - one branch per operation
        if op in (c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN):
            code.append(("set", self._accepts(op, value)))
        elif op is c.AT:
            code.append(("at", value))
        elif op is c.SUBPATTERN:
            group, _, _, inner = value
            code.append(("mark", group, 0))
            self._sequence(inner, code)
            code.append(("mark", group, 1))
        elif op is c.BRANCH:
            self._branch(value[1], code)
        elif op in (c.MAX_REPEAT, c.MIN_REPEAT):
            self._repeat(*value, lazy=op is c.MIN_REPEAT, code=code)
        elif op is c.POSSESSIVE_REPEAT:
            inner: _Code = []
            self._repeat(*value, lazy=False, code=inner)
            code.append(("atomic", inner))
        elif op is c.ATOMIC_GROUP:
            code.append(("atomic", self._sub(value)))
        elif op in (c.ASSERT, c.ASSERT_NOT):
            direction, inner_parsed = value
            width = 0 if direction > 0 else inner_parsed.getwidth()[0]
            code.append(("look", self._sub(inner_parsed), width, op is c.ASSERT))
        elif op is c.GROUPREF:
            code.append(("ref", value))
        elif op is c.GROUPREF_EXISTS:
            group, yes, no = value
            at = len(code)
            code.append(())
            self._sequence(yes, code)
            end = len(code)
            code.append(())
            code[at] = ("if", group, len(code))
            self._sequence(no or [], code)
            code[end] = ("jump", len(code))
        else:
            raise NotImplementedError(op)

    def _branch(self, alternatives: Any, code: _Code) -> None:
        ends = []
        for alternative in alternatives:
            at = len(code)
            code.append(())
            self._sequence(alternative, code)
            ends.append(len(code))
            code.append(())
            code[at] = ("split", at + 1, len(code))
        code.append(("fail",))
        for end in ends:
            code[end] = ("jump", len(code))

    def _repeat(self, low: int, high: Any, inner: Any, *, lazy: bool, code: _Code) -> None:
        for _ in range(low):
            self._sequence(inner, code)
        splits = []
        if high is c.MAXREPEAT:
            at = len(code)
            code += [(), ("mark", ("loop", id(inner), at), 0)]
            self._sequence(inner, code)
            code += [("empty", ("loop", id(inner), at)), ("jump", at)]
            splits.append(at)
        else:
            for _ in range(high - low):
                splits.append(len(code))
                code.append(())
                self._sequence(inner, code)
        for at in splits:
            code[at] = ("split", len(code), at + 1) if lazy else ("split", at + 1, len(code))

    def _accepts(self, op: Any, value: Any) -> re.Pattern[Any]:
        """One character of the pattern, for `re` itself: it costs one step, whatever is in it."""
        known = {c.CATEGORY_DIGIT: r"\d", c.CATEGORY_NOT_DIGIT: r"\D", c.CATEGORY_SPACE: r"\s"}
        known |= {c.CATEGORY_NOT_SPACE: r"\S", c.CATEGORY_WORD: r"\w", c.CATEGORY_NOT_WORD: r"\W"}
        if op is c.ANY:
            text = "."
        elif op is c.IN:
            parts = ["^" if kind is c.NEGATE else self._part(kind, what, known) for kind, what in value]
            text = f"[{''.join(parts)}]"
        else:
            text = f"[{'^' if op is c.NOT_LITERAL else ''}{re.escape(chr(value))}]"
        flags = self.flags & (re.IGNORECASE | re.DOTALL | re.ASCII)
        return re.compile(text.encode("latin-1") if self.binary else text, flags)

    @staticmethod
    def _part(kind: Any, what: Any, known: dict[Any, str]) -> str:
        if kind is c.CATEGORY:
            return known[what]
        if kind is c.RANGE:
            return f"{re.escape(chr(what[0]))}-{re.escape(chr(what[1]))}"
        return re.escape(chr(what))

    def match(self, text: Any, start: int, steps: list[int], limit: int) -> int | None:
        self._steps, self._limit, self._text = steps, limit, text
        return self._run(self.code, start, {})

    def _run(self, code: _Code, at: int, marks: dict[Any, int]) -> int | None:  # noqa: C901 - as above
        text, place = self._text, 0
        back: list[tuple[int, int, dict[Any, int]]] = []
        while place < len(code):
            self._steps[0] += 1
            if self._steps[0] > self._limit:
                raise TooManySteps
            op, *of = code[place]
            place += 1
            holds = True
            if op == "set":
                holds = at < len(text) and of[0].match(text, at) is not None
                at += 1
            elif op == "split":
                back.append((of[1], at, dict(marks)))
                place = of[0]
            elif op == "jump":
                place = of[0]
            elif op == "mark":
                marks[(of[0], of[1])] = at
            elif op == "empty":
                holds = at != marks[(of[0], 0)]
            elif op == "if":
                place = place if (of[0], 1) in marks else of[1]
            elif op == "ref":
                holds = (of[0], 1) in marks
                if holds:
                    said = text[marks[(of[0], 0)] : marks[(of[0], 1)]]
                    holds, at = text.startswith(said, at), at + len(said)
            elif op == "atomic":
                end = self._run(of[0], at, marks)
                holds, at = end is not None, at if end is None else end
            elif op == "look":
                found = at >= of[1] and self._run(of[0], at - of[1], dict(marks)) is not None
                holds = found is of[2]
            elif op == "at":
                holds = self._is_at(of[0], at)
            else:
                holds = False
            if not holds:
                if not back:
                    return None
                place, at, saved = back.pop()
                marks.clear()
                marks.update(saved)
        return at

    def _is_at(self, what: Any, at: int) -> bool:
        text, many = self._text, bool(self.flags & re.MULTILINE)
        if what is c.AT_BEGINNING:
            return at == 0 or (many and text[at - 1 : at] in ("\n", b"\n"))
        if what is c.AT_BEGINNING_STRING:
            return at == 0
        if what is c.AT_END_STRING:
            return at == len(text)
        if what is c.AT_END:
            return at == len(text) or (text[at : at + 1] in ("\n", b"\n") and (many or at == len(text) - 1))
        word = re.compile(rb"\w" if self.binary else r"\w")
        is_boundary = (at > 0 and word.match(text, at - 1) is not None) != (word.match(text, at) is not None)
        return is_boundary is (what is c.AT_BOUNDARY)


def regex_steps(pattern: re.Pattern[Any], text: Any, *, search: bool, limit: int) -> int:
    """The steps in which *pattern* finds its first match in *text*, or that there is none.

    With *search* it may begin anywhere. Raises `TooManySteps` above *limit*. The match must be that of `re`.
    """
    machine, steps, found = _Machine(pattern), [0], None
    for start in range(len(text) + 1 if search else 1):
        if (found := machine.match(text, start, steps, limit)) is not None:
            break
    real = pattern.search(text) if search else pattern.match(text)
    assert found == (None if real is None else real.end()), pattern.pattern
    return steps[0]


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """What is called for the garbage of other tests is not counted in the block."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def lines_run(call: Callable[[], Any]) -> int:
    """The lines of Python code that *call* runs."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    with without_garbage_collection():
        sys.settrace(trace)
        try:
            call()
        finally:
            sys.settrace(before)
    return count
