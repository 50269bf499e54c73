"""Values in unfinished text: the finished elements of a list, and snapshots of the answer so far."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import GenericAlias
from typing import Any, TypeAlias, get_args, get_origin

from alloy._typed.answers.parse import read
from alloy._typed.schemas.dialects import Dialect, Wire, to_wire
from alloy._typed.types.compile import WRAPPER, TypeSpec, compile_type
from alloy.errors import ConfigurationError, ParseError

__all__ = ["ElementReader", "Shape", "SnapshotReader"]

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
        inner = _element_type(self.spec.annotation)
        if inner is None:
            raise ConfigurationError(
                f"items() needs a sequence for output, such as list[Item], not {self.spec.expected}"
            )
        spec = compile_type(GenericAlias(list, (inner,)))
        assert spec.schema is not None
        return ElementReader(spec, to_wire(spec.schema, self.dialect), resolve)

    def snapshots(self) -> SnapshotReader:
        """A reader of growing snapshots."""
        return SnapshotReader(self.spec, self.wire)


def _element_type(annotation: Any) -> Any:
    origin = get_origin(annotation)
    if hasattr(annotation, "__metadata__"):
        return _element_type(annotation.__origin__)
    if not isinstance(origin, type) or not issubclass(origin, Collection) or issubclass(origin, Mapping):
        return None
    arguments = get_args(annotation)
    if origin is tuple and arguments[1:] != (...,):
        return None
    return arguments[0]


class ElementReader:
    """Yields the elements of a list one by one, each validated, as soon as its last character arrives.

    An element that was yielded is not taken back: after a re-ask the new answer must begin with the same
    elements.
    """

    def __init__(self, spec: TypeSpec[list[Any]], wire: Wire, resolve: Resolve) -> None:
        self._spec, self._wire, self._resolve = spec, wire, resolve
        self._given: list[Any] = []
        self.restart()

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
                value = self._resolve(partial(read, self._spec, f'{{"{WRAPPER}":[{element}]}}', self._wire))[
                    0
                ]
            except ParseError:
                self._broken = True
                return
            yield from self._new(value)

    def finish(self, values: Collection[Any]) -> Iterator[Any]:
        """Yield the elements of the whole answer, *values*, that were not yielded before."""
        if isinstance(values, Sequence):
            self._position = 0
            for value in values:
                yield from self._new(value)
        else:  # a set has no order and no duplicates
            yield from (value for value in values if value not in self._given)

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


# Where a list may begin: at the root, or under the wrapper's key.
_OPENING = re.compile(r'\s*(?:\{\s*"value"\s*:\s*)?\[')
_BEGINNING = re.compile(r'\s*(?:\{\s*(?:"(?:v(?:a(?:l(?:u(?:e(?:"\s*:?\s*)?)?)?)?)?)?)?)?\Z')


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
        if self._state == "head":
            self._head += text
            opening = _OPENING.match(self._head)
            if opening is None:
                self._state = "head" if _BEGINNING.match(self._head) else "over"
                return
            self._state, text = "list", self._head[opening.end() :]
        for character in text:
            if self._state == "over":
                return
            yield from self._take(character)

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


class SnapshotReader:
    """Yields the answer so far as plain JSON data: dicts, lists and strings (the last may be unfinished).

    Nothing is validated. Each time the text is read from the beginning, so a long answer is only read
    again when it has grown by a fiftieth. The last snapshot is always complete.
    """

    def __init__(self, spec: TypeSpec[Any], wire: Wire | None) -> None:
        self._spec, self._wire = spec, wire
        self._last: Any = _NOTHING
        self.restart()

    def restart(self) -> None:
        """A new answer begins."""
        self._text = ""
        self._read = 0

    def feed(self, text: str) -> Iterator[Any]:
        """Take more text of the answer and yield a snapshot, if it is a new one."""
        self._text += text
        if len(self._text) - self._read >= self._read // 50:
            yield from self._snapshot()

    def finish(self) -> Iterator[Any]:
        """Yield the complete answer, if it was not the last snapshot."""
        if self._read < len(self._text):
            yield from self._snapshot()

    def _snapshot(self) -> Iterator[Any]:
        self._read = len(self._text)
        value = self._value()
        if value is not _NOTHING and value != self._last:
            self._last = value
            yield value

    def _value(self) -> Any:
        if self._spec.schema is None:
            return self._text
        from pydantic_core import from_json

        try:
            value = from_json(self._text, allow_partial="trailing-strings", allow_inf_nan=False)
            if self._wire is not None and self._wire.restore is not None:
                value = self._wire.restore(value)
        except ValueError:  # no JSON yet, or text around it
            return _NOTHING
        if not self._spec.wrapped:
            return value
        return value.get(WRAPPER, _NOTHING) if isinstance(value, dict) else value


_NOTHING: Any = object()
