"""Values in unfinished text: the finished elements of a list, and partials of the answer so far."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import GenericAlias
from typing import Any, TypeAlias, TypeVar

from alloy._typed.answers.parse import read
from alloy._typed.answers.unfinished import UnfinishedAnswer, element_type
from alloy._typed.json.extraction import NOTHING
from alloy._typed.json.text import Unreadable
from alloy._typed.json.unfinished import OpenContainers, without_marks
from alloy._typed.schemas.dialects import Dialect, Wire, to_wire
from alloy._typed.schemas.restore import Restore
from alloy._typed.types.compile import WRAPPER, TypeSpec, compile_type
from alloy.errors import ConfigurationError, ParseError
from alloy.jsontypes import Json
from alloy.partials import Partial

__all__ = ["ElementReader", "Shape", "SnapshotReader", "begun"]

T = TypeVar("T")

Resolve: TypeAlias = Callable[[Callable[[], Any]], Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """The type of a streamed answer, and its form in the provider's dialect."""

    spec: TypeSpec[Any]
    wire: Wire | None
    dialect: Dialect

    def elements(self, resolve: Resolve) -> ElementReader:
        """A reader of single elements. *resolve* reads one, and runs the async parsers in it.

        Raises `ConfigurationError` unless the type is a sequence.
        """
        inner = element_type(self.spec.annotation)
        if inner is None:
            raise ConfigurationError(
                f"items() needs a sequence for output, such as list[Item], not {self.spec.expected}"
            )
        spec = compile_type(GenericAlias(list, (inner,)))
        assert spec.schema is not None
        return ElementReader(spec, to_wire(spec.schema, self.dialect), resolve)

    def snapshots(self, resolve: Resolve) -> SnapshotReader:
        """A reader of growing snapshots. *resolve* is as for `elements`."""
        return SnapshotReader(self.spec, self.wire, resolve)


def begun(spec: TypeSpec[T], text: str, wire: Wire | None, resolve: Resolve) -> Partial[T] | None:
    """What the unfinished *text* has of a value of the type *spec*; `None` if it has nothing of it."""
    answer = UnfinishedAnswer(spec, wire, text, resolve)
    has_begun = bool(text.strip()) if spec.schema is None else answer.value is not NOTHING
    return Partial(answer) if has_begun else None


class ElementReader:
    """Yields the elements of a list one by one, each validated, as soon as its last character arrives.

    An element that was yielded is not taken back: after a re-ask the new answer must begin with the same
    elements.
    """

    def __init__(self, spec: TypeSpec[list[Any]], wire: Wire, resolve: Resolve) -> None:
        self._spec, self._wire, self._resolve = spec, wire, resolve
        self._given: list[Any] = []
        self.restart()

    def use(self, dialect: Dialect) -> None:
        """Read what comes now in another provider's *dialect*."""
        assert self._spec.schema is not None
        self._wire = to_wire(self._spec.schema, dialect)

    def restart(self) -> None:
        """A new answer begins."""
        self._splitter = _Splitter()
        self._position = 0
        self._broken = False

    def feed(self, text: str) -> Iterator[Any]:
        """Take more text of the answer and yield the elements that it completes.

        After an invalid element nothing more is yielded: the whole answer is invalid as well, and leads to
        a re-ask or an error.
        """
        for element in self._splitter.feed(text):
            if self._broken:
                return
            try:
                values = self._resolve(partial(read, self._spec, f'{{"{WRAPPER}":[{element}]}}', self._wire))
            except ParseError:
                self._broken = True
                return
            for value in values:  # none if the text is only a comment
                yield from self._new(value)

    def finish(self, values: Collection[Any]) -> Iterator[Any]:
        """Yield the elements of the whole answer, *values*, that were not yielded before."""
        if isinstance(values, Sequence):
            self._position = 0
            for value in values:
                yield from self._new(value)
        else:  # a set has no order and no duplicates
            given = set(self._given)
            yield from (value for value in values if value not in given)

    def _new(self, value: Any) -> Iterator[Any]:
        if self._position < len(self._given):
            if self._given[self._position] != value:
                problem = "after a re-ask the model changed an element that was already returned"
                raise ParseError(self._spec.expected, (f"$[{self._position}]: {problem}",), repr(value))
            self._position += 1
            return
        self._given.append(value)
        self._position += 1
        yield value


# How a list begins, without blanks: at the root, or under the wrapper's key.
_OPENINGS = ("[", f'{{"{WRAPPER}":[')
_KEY = range(2, len(f'{{"{WRAPPER}"'))  # so many characters of it end inside the key


class _Splitter:
    """Finds the ends of a list's elements in text that arrives in pieces, and looks at each character once.

    Text that does not begin with the list (prose, a code fence) yields nothing: such an answer is read when
    it is complete.
    """

    def __init__(self) -> None:
        self._head = ""
        self._state = "head"  # then "list", and at last "over"
        self._element: list[str] = []
        self._depth = 0
        self._in_string = self._escaped = False

    def feed(self, text: str) -> Iterator[str]:
        for character in text:
            if self._state == "over":
                return
            if self._state == "head":
                self._open(character)
            else:
                yield from self._take(character)

    def _open(self, character: str) -> None:
        if character.isspace() and len(self._head) not in _KEY:
            return
        self._head += character
        if self._head in _OPENINGS:
            self._state = "list"
        elif not _OPENINGS[1].startswith(self._head):
            self._state = "over"

    def _take(self, character: str) -> Iterator[str]:
        if self._in_string:
            self._element.append(character)
            if self._escaped:
                self._escaped = False
            elif character == "\\":
                self._escaped = True
            elif character == '"':
                self._in_string = False
            return
        if self._depth == 0 and character in ",]":
            element = "".join(self._element).strip()
            self._element.clear()
            self._state = "over" if character == "]" else "list"
            if element:
                yield element
            return
        self._element.append(character)
        if character == '"':
            self._in_string = True
        elif character in "[{":
            self._depth += 1
        elif character in "]}":
            self._depth -= 1


_FENCE = re.compile(r"\A\s*```\w*[ \t]*\n")


class SnapshotReader:
    """Yields the answer so far as a `Partial`.

    Each time the text is read from the beginning, so a long answer is only read again when it has grown by a
    fiftieth. The last snapshot is always complete.
    """

    def __init__(self, spec: TypeSpec[Any], wire: Wire | None, resolve: Resolve) -> None:
        self._spec, self._wire, self._resolve = spec, wire, resolve
        self._last: Json = NOTHING
        self.restart()

    def use(self, dialect: Dialect) -> None:
        """Read what comes now in another provider's *dialect*."""
        self._wire = None if self._spec.schema is None else to_wire(self._spec.schema, dialect)

    def restart(self) -> None:
        """A new answer begins."""
        self._text = self._shown = ""
        self._new: list[str] = []  # what came after the text, joined when that is read
        self._length = 0  # of both
        self._containers = OpenContainers()

    def feed(self, text: str) -> Iterator[Partial[Any]]:
        """Take more text of the answer and yield a snapshot, if it is a new one."""
        self._new.append(text)
        self._length += len(text)
        if self._length - len(self._text) < len(self._text) // 50:
            return
        self._join()
        answer = self._answer(self._received())
        if answer.data is not NOTHING and answer.data != self._last:
            self._last, self._shown = answer.data, self._text
            yield Partial(answer)

    def finish(self) -> Iterator[Partial[Any]]:
        """Yield the complete answer, if it was not the last snapshot."""
        self._join()
        answer = UnfinishedAnswer(self._spec, self._wire, self._text, self._resolve, complete=True)
        text = self._text.rstrip()
        certain = self._spec.schema is None or text.endswith(("}", "]"))
        shown = self._shown.rstrip() == text and self._last == answer.data
        if answer.data is not NOTHING and not (shown and certain and self._spec.hook is None):
            yield Partial(answer)

    def _join(self) -> None:
        self._text = "".join([self._text, *self._new])
        self._new.clear()

    def _answer(self, received: Json) -> UnfinishedAnswer:
        data = received
        if self._wire is not None and self._wire.restore is not None and received is not NOTHING:
            data = self._restored(self._wire.restore, received)
        if self._spec.wrapped and isinstance(data, dict):
            data = data.get(WRAPPER, NOTHING)
        return UnfinishedAnswer(self._spec, self._wire, self._text, self._resolve, data=data)

    def _restored(self, restore: Restore, received: Json) -> Json:
        try:
            return without_marks(restore(self._containers.marked(received)))
        except Unreadable:
            return NOTHING

    def _received(self) -> Json:
        """The text, or the JSON so far in the form of the provider; `NOTHING` if it is not exact JSON."""
        if self._spec.schema is None:
            return self._text
        from pydantic_core import from_json

        self._containers.read(self._text)
        if self._containers.repeats_a_key:
            return NOTHING
        try:
            text = _FENCE.sub("", self._text)
            return from_json(text, allow_partial="trailing-strings", allow_inf_nan=False)
        except ValueError:
            return NOTHING
