"""Classes as pydantic is to see them, for the moment in which it looks.

The fields of the user's own classes are not ours to change for good. While a schema is built, the types
of the fields are their stand-ins, each with what the source says about it; then all is as it was. One
build at a time: the lock is held for as long.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import typing_extensions
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from alloy._typed.types.annotations import accepted_typed_dicts, field_hints, has_fields, parts
from alloy._typed.types.constraints import check_constraints
from alloy._typed.types.descriptions import field_descriptions
from alloy._typed.types.standins import StandIns, described

__all__ = ["as_shown"]

_lock = threading.RLock()


@contextmanager
def as_shown(annotation: Any, namespace: Mapping[str, Any] | None) -> Iterator[tuple[Any, dict[str, Any]]]:
    """While this lasts, the classes inside *annotation* are as pydantic is to see them.

    Gives what stands in for *annotation* itself, and the names that postponed hints may use. Raises
    `Unsuited` and, for a hint that means nothing, `NameError`.
    """
    with _lock, ExitStack() as undo:
        undo.enter_context(accepted_typed_dicts(annotation, namespace))
        swap = _Swap(undo, namespace)
        classes = list(_classes(annotation, namespace))
        for subject in classes:
            swap.fields(subject)
        if swap.changed:
            for subject in classes:
                swap.forget(subject)
        shown = swap.stand_in(annotation)
        yield shown, {**(namespace or {}), **swap.stand_in.names}


def _classes(annotation: Any, namespace: Mapping[str, Any] | None) -> Iterator[Any]:
    """The classes with fields that *annotation* is made of, each once."""
    seen: set[int] = set()
    for _, part in parts(annotation, namespace):
        subject = typing_extensions.get_origin(part) or part
        if isinstance(subject, type) and id(subject) not in seen and has_fields(subject):
            seen.add(id(subject))
            yield subject


class _Swap:
    """Changes classes, and notes on *undo* how to change them back."""

    def __init__(self, undo: ExitStack, namespace: Mapping[str, Any] | None) -> None:
        self._undo, self._namespace = undo, namespace
        self.stand_in = StandIns()
        self.changed = False

    def fields(self, subject: Any) -> None:
        """Give the fields of *subject* the stand-ins of their types, and descriptions."""
        if (known := subject.__dict__.get("__pydantic_fields__")) is not None:
            self._model_fields(subject, known)
        try:
            hints = field_hints(subject, self._namespace)
        except (NameError, TypeError, AttributeError):
            return  # pydantic says better which name is missing
        if issubclass(subject, BaseModel):
            return
        if dataclasses.is_dataclass(subject):
            self._dataclass_fields(subject, hints)
        else:
            self._annotations(subject, hints)

    def _shown(self, subject: Any, name: str, hint: Any) -> Any:
        shown = self.stand_in(hint)
        text = field_descriptions(subject).get(name)
        return shown if text is None else described(shown, text)

    def _dataclass_fields(self, subject: Any, hints: Mapping[str, Any]) -> None:
        for name, field in subject.__dataclass_fields__.items():
            hint = hints.get(name)
            if hint is None or _is_no_field(hint):
                continue
            if isinstance(field.default, FieldInfo):
                check_constraints(hint, [field.default], f"{name}: ")
            if (shown := self._shown(subject, name, hint)) is not hint:
                self._set(field, "type", shown)

    def _annotations(self, subject: Any, hints: Mapping[str, Any]) -> None:
        """For a TypedDict or a NamedTuple."""
        for base in subject.__mro__:
            if base.__module__ in ("builtins", "typing"):
                continue
            own = typing_extensions.get_annotations(base, format=typing_extensions.Format.FORWARDREF)
            shown = {name: self._shown(subject, name, hints[name]) for name in own if name in hints}
            if any(shown[name] is not hints[name] for name in shown):
                self._set_annotations(base, {**own, **shown})

    def _model_fields(self, subject: Any, fields: Mapping[str, FieldInfo]) -> None:
        texts = field_descriptions(subject)
        for name, info in fields.items():
            check_constraints(info.annotation, info.metadata, f"{name}: ")
            if (shown := self.stand_in(info.annotation)) is not info.annotation:
                self._set(info, "annotation", shown)
            if info.description is None and name in texts:
                self._set(info, "description", texts[name])

    def forget(self, subject: Any) -> None:
        """Have pydantic look at a model again, instead of at what it remembers of it."""
        if "__pydantic_core_schema__" in subject.__dict__:
            remembered = subject.__dict__["__pydantic_core_schema__"]
            type.__delattr__(subject, "__pydantic_core_schema__")
            self._undo.callback(type.__setattr__, subject, "__pydantic_core_schema__", remembered)
        if "__pydantic_complete__" in subject.__dict__:
            # Or pydantic's core takes the validator that the class has already.
            self._set(subject, "__pydantic_complete__", False)

    def _set(self, target: Any, name: str, value: Any) -> None:
        put = type.__setattr__ if isinstance(target, type) else setattr
        self._undo.callback(put, target, name, getattr(target, name))
        put(target, name, value)
        self.changed = True

    def _set_annotations(self, subject: Any, annotations: dict[str, Any]) -> None:
        annotate = getattr(subject, "__annotate__", None) if sys.version_info >= (3, 14) else None
        if annotate is None:
            return self._set(subject, "__annotations__", annotations)
        # Setting the one unsets the other, so the one to go back to is the function.
        self._undo.callback(setattr, subject, "__annotate__", annotate)
        subject.__annotations__ = annotations
        self.changed = True
        return None


def _is_no_field(hint: Any) -> bool:
    origin = typing_extensions.get_origin(hint)
    return isinstance(hint, dataclasses.InitVar) or origin is typing_extensions.ClassVar
