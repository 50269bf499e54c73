"""Copies of the user's classes, which pydantic reads in their place.

pydantic takes the types of fields from the class itself. Where it has to see another type, it is shown
a copy of the class: a class of ours that is the same but for the types of its fields. Then
`alloy._typed.types.core_schema` puts the user's class into the core schema that pydantic has built, so
the values are instances of the user's class. The user's class itself is only read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from alloy._typed.types.annotations import class_of, type_name
from alloy._typed.types.class_fields import Fields, fields_of
from alloy._typed.types.replacements import Replacements

__all__ = ["Shown", "as_shown"]


@dataclass(frozen=True, slots=True)
class Shown:
    """What pydantic is shown: *annotation*, with copies whose originals are the values of *originals*.

    *names* is what names inside it mean that are given as text.
    """

    annotation: Any
    originals: Mapping[Any, Any]
    names: Mapping[str, Any]


def as_shown(annotation: Any, namespace: Mapping[str, Any] | None) -> Shown:
    """What pydantic is shown for *annotation*. Raises `Unsuited` for a type that JSON cannot hold."""
    survey = _Survey(namespace)
    changes = survey.look(annotation)
    needed = survey.classes_to_copy()
    if not changes and not needed:
        return Shown(annotation, {}, namespace or {})
    copies = _Copies(needed, namespace)
    shown = copies.replaced(annotation)
    return Shown(shown, copies.originals, {**(namespace or {}), **copies.names})


class _Survey:
    """Finds the classes inside an annotation, and those among them that pydantic must not see as they are.

    A class needs a copy if one of its fields changes when classes are left alone, or if it holds a class
    that needs a copy. So every class is looked at once by itself, with a note of the classes that it
    holds, and the need is then passed on to their holders.
    """

    def __init__(self, namespace: Mapping[str, Any] | None) -> None:
        self._namespace = namespace
        self._fields: dict[Any, Fields] = {}
        self._holders: dict[Any, set[Any]] = {}
        self._changing: list[Any] = []

    def look(self, annotation: Any) -> bool:
        """Look at *annotation* and at the classes inside it. Whether it changes, its classes left alone."""
        todo: list[Any] = []
        changes = self._replacements(None, todo)(annotation) is not annotation
        while todo:
            self._look_at_class(todo.pop(), todo)
        return changes

    def _replacements(self, holder: Any, todo: list[Any]) -> Replacements:
        def met(annotation: Any) -> Any:
            key = _key(annotation)
            if key not in self._holders:
                self._holders[key] = set()
                todo.append(annotation)
            self._holders[key].add(holder)
            return annotation

        return Replacements(met, self._namespace)

    def _look_at_class(self, annotation: Any, todo: list[Any]) -> None:
        key = _key(annotation)
        try:
            fields = fields_of(annotation, self._namespace)
        except (NameError, TypeError, AttributeError):
            return  # pydantic reports which name is missing
        self._fields[key] = fields
        fields.check()
        if fields.change(self._replacements(key, todo)):
            self._changing.append(key)

    def classes_to_copy(self) -> dict[Any, Fields]:
        """The fields of the classes that need a copy."""
        needed: dict[Any, Fields] = {}
        todo = list(self._changing)
        while todo:
            key = todo.pop()
            if key is not None and key not in needed and key in self._fields:
                needed[key] = self._fields[key]
                todo += self._holders[key]
        return needed


class _Copies:
    """Copies of the classes that *needed* lists by their keys, made when they are met."""

    def __init__(self, needed: Mapping[Any, Fields], namespace: Mapping[str, Any] | None) -> None:
        self.originals: dict[Any, Any] = {}
        self._needed = needed
        self._made: dict[Any, Any] = {}
        self._empty: list[tuple[Any, Fields]] = []
        self._replacements = Replacements(self._copy_of, namespace)

    @property
    def names(self) -> Mapping[str, Any]:
        return self._replacements.names

    def replaced(self, annotation: Any) -> Any:
        """The replacement for *annotation*, with copies in it."""
        shown = self._replacements(annotation)
        self._fill()
        return shown

    def _fill(self) -> None:
        while self._empty:
            made, fields = self._empty.pop()
            fields.fill(made, self._replacements)

    def _shown_later(self, annotation: Any) -> Any:
        made = self._copy_of(annotation)
        self._fill()
        return made

    def _copy_of(self, annotation: Any) -> Any:
        key = _key(annotation)
        fields = self._needed.get(key)
        if fields is None:
            return annotation
        if key not in self._made:
            made = self._made[key] = fields.empty_copy(annotation)
            self.originals[made] = fields.subject
            self._empty.append((made, fields))  # filled later, because its fields may hold the class itself
            _keep_own_schema(made, annotation, self._shown_later)
        return self._made[key]


def _key(annotation: Any) -> Any:
    try:
        hash(annotation)
    except TypeError:
        return repr(annotation)
    # By name as well, because Literal[True] == Literal[1] and so Box[Literal[True]] == Box[Literal[1]].
    return annotation if isinstance(annotation, type) else (annotation, type_name(annotation))


# --- schemas that a class brings itself -----------------------------------------------------------


def _keep_own_schema(made: Any, annotation: Any, copy_of: Callable[[Any], Any]) -> None:
    """Let the copy *made* ask the user's class for its schema, if that class has a method for it."""
    subject = class_of(annotation)
    if hasattr(subject, "__get_pydantic_json_schema__"):
        made.__get_pydantic_json_schema__ = subject.__get_pydantic_json_schema__
    own = getattr(subject, "__get_pydantic_core_schema__", None)
    if own is None or _function(own) is _function(BaseModel.__get_pydantic_core_schema__):
        return

    def core_schema(source: Any, handler: Any) -> Any:
        return own(annotation, _Handler(handler, copy_of))

    made.__get_pydantic_core_schema__ = staticmethod(core_schema)


def _function(method: Any) -> Any:
    return getattr(method, "__func__", None)


class _Handler:
    """pydantic's handler, for a method of the user's class: classes that have a copy are read by that."""

    def __init__(self, handler: Any, copy_of: Callable[[Any], Any]) -> None:
        self._handler, self._copy_of = handler, copy_of

    def __call__(self, source: Any) -> Any:
        return self._handler(self._copy_of(source))

    def generate_schema(self, source: Any) -> Any:
        """The core schema of *source*."""
        return self._handler.generate_schema(self._copy_of(source))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)
