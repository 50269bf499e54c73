"""An answer of which only the beginning has arrived, as the source of a `Partial`."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args, get_origin

from alloy._typed.answers.parse import candidate, read
from alloy._typed.answers.scalars import Scalars
from alloy._typed.json.extraction import NOTHING, find_open
from alloy._typed.json.text import Unreadable
from alloy._typed.json.unfinished import is_open, plain
from alloy._typed.schemas.coercion import coerce
from alloy._typed.schemas.dialects import Wire
from alloy._typed.types.compile import WRAPPER, TypeSpec, compile_type
from alloy.errors import AnswerError, ConfigurationError
from alloy.jsontypes import Json

if TYPE_CHECKING:
    from alloy._typed.answers.views import Reading
    from alloy._typed.types.parts import Resolve

__all__ = ["UnfinishedAnswer", "element_type"]


class UnfinishedAnswer:
    """The beginning *text* of an answer of the type *spec* in the form of *wire*.

    *resolve* calls a function and runs the async parsers that it asks for. With *complete*, nothing of the
    text is missing. *data* is its plain form, if that is known. Nothing is read before it is asked for.
    """

    def __init__(
        self,
        spec: TypeSpec[Any],
        wire: Wire | None,
        text: str,
        resolve: Resolve | None,
        *,
        complete: bool = False,
        data: Json = NOTHING,
    ) -> None:
        self._spec, self._wire, self._text = spec, wire, text
        self._resolve, self._complete = resolve, complete
        if data is not NOTHING:
            self.data = data

    @cached_property
    def data(self) -> Json:
        """The value so far as plain JSON."""
        return self._text if self._spec.schema is None else plain(self.value)

    @cached_property
    def value(self) -> Json:
        """The value so far, in the shape of the type and with marks of what is unfinished, or `NOTHING`."""
        value = NOTHING
        if self._complete:
            with suppress(Unreadable):
                value = self._decoded(candidate(self._spec, self._text, {}))
        if value is NOTHING:
            value = find_open(self._text, arrays=self._takes_arrays())
        if self._wire is not None and self._wire.restore is not None:
            try:
                value = self._wire.restore(value)
            except Unreadable:
                return NOTHING
        value = _unwrapped(self._spec, value)
        inner = value.get(WRAPPER) if self._complete and isinstance(value, dict) and len(value) == 1 else None
        return inner if isinstance(inner, dict) and not self._is_valid(value) else value

    def _is_valid(self, value: Json) -> bool:
        from alloy._typed.types.parts import NotValid, part_of

        try:
            part_of(self._spec).read(value, self._resolve)
        except NotValid:
            return False
        return True

    def _decoded(self, value: Json) -> Json:
        """*value*; or the object or array in it, if it is text and the type needs one."""
        wrap = self._spec.wrapped and not (isinstance(value, dict) and value.keys() == {WRAPPER})
        whole = {WRAPPER: value} if wrap else value
        if not isinstance(whole[WRAPPER] if self._spec.wrapped else whole, str):
            return value
        wire, validator = self._wire, self._spec.validator
        assert validator is not None
        found = coerce(whole, validator.marked if wire is None or wire.restore is None else wire.schema)
        inner = found[WRAPPER] if self._spec.wrapped else found
        return found if isinstance(inner, dict | list) else value

    def read(self, reader: Callable[[Any], Any], default: Any) -> Any:
        """What *reader* returns for the value, or *default* if it uses what has not arrived."""
        from alloy._typed.answers.views import NotArrived, Reading, holds_view, is_about_a_view

        reading = Reading(self._resolve)
        try:
            found = reader(self._seen(reading))
        except NotArrived:
            return default
        except (TypeError, ValueError) as error:
            if not is_about_a_view(error):
                raise
            return default
        finally:
            reading.over = True
        return default if holds_view(found) else found

    def elements(self) -> list[Any]:
        """The complete elements."""
        if element_type(self._spec.annotation) is None:
            raise ConfigurationError(
                f"elements() needs a sequence for output, such as list[Item], not {self._spec.expected}"
            )
        return list(self._arrived(list))

    def entries(self) -> dict[Any, Any]:
        """The complete entries."""
        bare = _bare(self._spec.annotation)
        kind = get_origin(bare) or bare
        if not isinstance(kind, type) or not issubclass(kind, Mapping):
            raise ConfigurationError(
                f"entries() needs a dict for output, such as dict[str, Item], not {self._spec.expected}"
            )
        return dict(self._arrived(dict))

    def _arrived(self, form: type) -> Any:
        from alloy._typed.types.parts import Fields, Items, Members, part_of

        content = None if self._spec.schema is None else part_of(self._spec).content(self.value)
        if isinstance(content, Items | Members) or (isinstance(content, Fields) and content.keyed):
            return content.arrived(self.value, self._resolve)
        return self.read(form, form())

    def _seen(self, reading: Reading) -> Any:
        from alloy._typed.answers.views import NotArrived, seen
        from alloy._typed.types.parts import part_of

        if self._complete:
            with suppress(AnswerError):
                return (self._resolve or _called)(lambda: read(self._spec, self._text, self._wire))
        if self._spec.schema is not None:
            return seen(part_of(self._spec), self.value, reading)
        if self._spec.hook is not None:
            raise NotArrived
        return self._text if self._spec.annotation is str else None

    def _takes_arrays(self) -> bool:
        if not self._spec.wrapped or self._spec.validator is None:
            return False
        return Scalars.of(self._spec.validator.marked, WRAPPER) is None

    def __reduce__(self) -> tuple[Any, ...]:
        if self._spec.schema is None and self._spec.hook is None:
            return _rebuilt, (self._spec.annotation, self._spec.expected, self._text)
        if self._spec.schema is None or not _pickles(self._spec):
            return Untyped, (self._spec.expected, self.data)
        return _rebuilt, (self._spec.annotation, self._spec.expected, self.value)


class Untyped:
    """An unfinished answer after it was pickled, if its type, *expected*, cannot be pickled."""

    def __init__(self, expected: str, data: Json) -> None:
        self.expected, self.data = expected, data

    def read(self, *_: Any) -> Any:
        """Raises `ConfigurationError`, as the other methods do."""
        raise ConfigurationError(
            f"this partial was pickled, and its type {self.expected} cannot be: only its data is left"
        )

    elements = entries = read


def _rebuilt(annotation: Any, expected: str, value: Json) -> UnfinishedAnswer | Untyped:
    try:
        spec = compile_type(annotation)
    except ConfigurationError:  # a parser that is not registered in this process
        return Untyped(expected, plain(value))
    made = UnfinishedAnswer(spec, None, value if spec.schema is None else "", None)
    made.value = value
    return made


def _pickles(spec: TypeSpec[Any]) -> bool:
    """Whether *spec* can be compiled again from its annotation, in another process."""
    try:
        pickle.dumps(spec.annotation)
    except Exception:  # noqa: BLE001 - whatever its __reduce__ raises
        return False
    return compile_type(spec.annotation) is spec


def _unwrapped(spec: TypeSpec[Any], value: Json) -> Json:
    inner = value[WRAPPER] if isinstance(value, dict) and value.keys() == {WRAPPER} else NOTHING
    if spec.wrapped:
        return NOTHING if value == {} and is_open(value) else value if inner is NOTHING else inner
    names = (spec.schema or {}).get("properties", ())
    return inner if names and WRAPPER not in names and isinstance(inner, dict) else value


def _called(function: Callable[[], Any]) -> Any:
    return function()


def element_type(annotation: Any) -> Any:
    """The type of the elements of a sequence; `None` if *annotation* is another type."""
    annotation = _bare(annotation)
    origin = get_origin(annotation) or (annotation if annotation in _BARE_COLLECTIONS else None)
    if not isinstance(origin, type) or not issubclass(origin, Collection) or issubclass(origin, Mapping):
        return None
    arguments = get_args(annotation)
    if not arguments:
        return None if annotation == tuple[()] else Any
    return None if origin is tuple and arguments[1:] != (...,) else arguments[0]


_BARE_COLLECTIONS = (list, tuple, set, frozenset, deque)


def _bare(annotation: Any) -> Any:
    """*annotation* without metadata, and the type that a `NewType` or an alias is."""
    for name in ("__supertype__", "__value__"):
        if hasattr(annotation, name):
            return _bare(getattr(annotation, name))
    return _bare(annotation.__origin__) if hasattr(annotation, "__metadata__") else annotation
