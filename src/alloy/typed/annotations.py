"""Annotations as Python holds them: their names, their parts, and the hints of a function."""

from __future__ import annotations

import dataclasses
import enum
import sys
import threading
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Union, cast

import typing_extensions

__all__ = ["accepted_typed_dicts", "hints_of", "namespace_of", "parts", "type_name"]

_UNIONS = (Union, types.UnionType)
_WRAPPERS = {"Annotated", "Required", "NotRequired", "ReadOnly", "Final", "ClassVar"}


def type_name(annotation: Any) -> str:
    """*annotation* as a reader would write it, without module names: `list[int]`, `Invoice | None`."""
    if annotation is None or annotation is types.NoneType:
        return "None"
    if annotation is ...:
        return "..."
    if isinstance(annotation, str):
        return annotation
    if isinstance(annotation, list):  # the parameters of a Callable
        return f"[{', '.join(map(type_name, annotation))}]"
    origin = typing_extensions.get_origin(annotation)
    if origin is not None:
        return _generic_name(annotation, origin)
    if isinstance(annotation, typing.ForwardRef):
        return annotation.__forward_arg__
    return str(getattr(annotation, "__name__", None) or annotation).removeprefix("typing.")


def _generic_name(annotation: Any, origin: Any) -> str:
    arguments = typing_extensions.get_args(annotation)
    if origin in _UNIONS:
        return " | ".join(map(type_name, arguments))
    if origin in (typing.Literal, typing_extensions.Literal):
        return f"Literal[{', '.join(map(_literal_name, arguments))}]"
    if _is_wrapper(origin):
        return type_name(arguments[0])
    name = type_name(origin)
    if not arguments:
        return f"{name}[()]" if origin is tuple else name
    return f"{name}[{', '.join(map(type_name, arguments))}]"


def _literal_name(value: Any) -> str:
    return f"{type(value).__name__}.{value.name}" if isinstance(value, enum.Enum) else repr(value)


def _is_wrapper(origin: Any) -> bool:
    return getattr(origin, "__name__", getattr(origin, "_name", None)) in _WRAPPERS


def parts(annotation: Any, namespace: Mapping[str, Any] | None = None) -> Iterator[tuple[str, Any]]:
    """*annotation* and all that it is made of, each with its path (`Order.lines[].sku`), outermost first.

    Classes are entered once. Hints that do not resolve are left out: pydantic names those better.
    """
    seen: set[int] = set()
    name = type_name(annotation)
    todo = [(f"({name})" if " | " in name else name, annotation)]
    while todo:
        path, part = todo.pop()
        yield path, part
        if isinstance(part, type):
            if id(part) in seen:
                continue
            seen.add(id(part))
        todo += [(path + step, child) for step, child in reversed(list(_children(part, namespace)))]


def _children(annotation: Any, namespace: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    origin = typing_extensions.get_origin(annotation)
    arguments = typing_extensions.get_args(annotation)
    if origin in (typing.Literal, typing_extensions.Literal):
        return
    if origin is not None:
        transparent = origin in _UNIONS or _is_wrapper(origin)
        inner = arguments[:1] if _is_wrapper(origin) else arguments
        step = "" if transparent else "[]"
        yield from ((step, argument) for argument in inner if argument is not ...)
    alias = getattr(annotation, "__value__", None)  # `type X = …`
    if alias is not None and isinstance(annotation, typing_extensions.TypeAliasType):
        yield "", alias
    subject = origin or annotation
    if isinstance(subject, type) and _has_fields(subject):
        try:
            hints = typing_extensions.get_type_hints(
                subject, None, dict(namespace or {}), include_extras=True
            )
        except (NameError, TypeError, AttributeError):
            return
        yield from ((f".{name}", hint) for name, hint in hints.items())


def _has_fields(subject: type) -> bool:
    return (
        dataclasses.is_dataclass(subject)
        or typing_extensions.is_typeddict(subject)
        or (issubclass(subject, tuple) and hasattr(subject, "_fields"))
        or hasattr(subject, "model_fields")
    )


# --- functions ------------------------------------------------------------------------------------


def namespace_of(fn: Callable[..., Any], namespace: Mapping[str, Any] | None) -> dict[str, Any]:
    """The names that *fn*'s postponed annotations may use besides its module's: its closure, *namespace*."""
    code, cells = getattr(fn, "__code__", None), getattr(fn, "__closure__", None) or ()
    names: dict[str, Any] = {}
    for name, cell in zip(code.co_freevars if code else (), cells, strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return {**(namespace or {}), **names}


def hints_of(fn: Callable[..., Any], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved annotations of *fn*'s parameters, `Annotated` kept.

    Raises `NameError` for a name that is not known. What *fn* returns is not asked for: that is
    often a name which only type checkers know.
    """
    found = typing_extensions.get_annotations(fn, format=typing_extensions.Format.FORWARDREF)
    parameters = types.SimpleNamespace(
        __annotations__={name: hint for name, hint in found.items() if name != "return"}
    )
    return typing_extensions.get_type_hints(
        parameters, getattr(fn, "__globals__", {}), dict(namespace), include_extras=True
    )


# --- TypedDict on Python 3.11 ---------------------------------------------------------------------

_swapping = threading.RLock()


@contextmanager
def accepted_typed_dicts(annotation: Any, namespace: Mapping[str, Any] | None) -> Iterator[None]:
    """While this lasts, pydantic takes the `typing.TypedDict`s inside *annotation* on Python 3.11 too.

    Before 3.12 pydantic refuses them by the module of their metaclass, because `typing` then kept
    less about generic inheritance than `typing_extensions` does; what it kept is enough to build a
    schema. They may sit in the fields of the user's own dataclasses, whose annotations are not ours
    to rewrite, so for a moment each gets a metaclass that says `typing_extensions` and is otherwise
    the same.
    """
    if sys.version_info >= (3, 12):
        yield
        return
    with _swapping:
        found = list({id(part): part for part in _typed_dicts(annotation, namespace)}.values())
        before = [type(part) for part in found]
        try:
            for part, meta in zip(found, before, strict=True):
                part.__class__ = _like_typing_extensions(meta)
            yield
        finally:
            for part, meta in zip(found, before, strict=True):
                part.__class__ = meta


def _like_typing_extensions(meta: type) -> Any:
    # `__orig_bases__` is found here by the classes that have none: those that inherit plainly.
    body = {"__module__": "typing_extensions", "__orig_bases__": (dict,)}
    return type(meta.__name__, (meta,), body)


def _typed_dicts(annotation: Any, namespace: Mapping[str, Any] | None) -> Iterator[Any]:
    for _, part in parts(annotation, namespace):
        subject = cast("Any", typing_extensions.get_origin(part) or part)
        if typing_extensions.is_typeddict(subject) and type(subject).__module__ == "typing":
            yield subject
