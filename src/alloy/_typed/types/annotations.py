"""Annotations as Python holds them: their names, and their parts."""

from __future__ import annotations

import builtins
import dataclasses
import enum
import sys
import threading
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Union, cast

import typing_extensions

from alloy._typed.types.parsers import Hook, hook_for
from alloy._typed.types.records import record_of

__all__ = [
    "accepted_typed_dicts",
    "alias_value",
    "field_hints",
    "has_fields",
    "is_alias",
    "is_qualifier",
    "parts",
    "type_name",
]

_UNIONS = (Union, types.UnionType)
_QUALIFIERS = {"Required", "NotRequired", "ReadOnly", "Final", "ClassVar"}


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


def is_qualifier(origin: Any) -> bool:
    """Whether *origin* says something about a field, and not about its type: `NotRequired` and the like."""
    name = getattr(origin, "__name__", getattr(origin, "_name", None))
    return name in _QUALIFIERS and not isinstance(origin, type)


def _is_wrapper(origin: Any) -> bool:
    return origin is typing_extensions.Annotated or is_qualifier(origin)


def parts(annotation: Any, namespace: Mapping[str, Any] | None = None) -> Iterator[tuple[str, Any]]:
    """*annotation* and all that it is made of, each with its path (`Order.lines[].sku`), outermost first.

    Classes and aliases are entered once. Hints that do not resolve are left out: pydantic names those better.
    """
    seen: set[int] = set()
    name = type_name(annotation)
    todo = [(f"({name})" if " | " in name else name, annotation)]
    while todo:
        path, part = todo.pop()
        yield path, part
        if isinstance(part, type) or is_alias(part):
            if id(part) in seen:
                continue
            seen.add(id(part))
        todo += [(path + step, child) for step, child in reversed(list(_children(part, namespace)))]


def _children(annotation: Any, namespace: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    if (hook := hook_for(annotation)) is not None:  # what it is made of is its parser's affair
        if hook.wire != annotation:
            yield "", hook.wire
        return
    origin = typing_extensions.get_origin(annotation)
    arguments = typing_extensions.get_args(annotation)
    if origin in (typing.Literal, typing_extensions.Literal):
        return
    if origin is not None:
        transparent = origin in _UNIONS or _is_wrapper(origin)
        inner = arguments[:1] if _is_wrapper(origin) else arguments
        step = "" if transparent else "[]"
        yield from ((step, argument) for argument in inner if argument is not ...)
        beside = getattr(annotation, "__metadata__", ())
        yield from (("", extra.wire) for extra in beside if isinstance(extra, Hook))
    if is_alias(subject := origin or annotation):
        yield "", subject if origin is not None else alias_value(subject)
    if isinstance(subject, type):
        yield from _of_class(subject, namespace)


def _of_class(subject: type, namespace: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    record = record_of(subject)
    if record is not None:
        subject = record.shape
    if has_fields(subject):
        try:
            hints = field_hints(subject, namespace)
        except (NameError, TypeError, AttributeError):
            return
        if record is not None:
            yield "", subject
        yield from ((f".{name}", hint) for name, hint in hints.items())


# Up to Python 3.13 typing_extensions has one of its own, whatever `type X = …` makes.
_BACKPORT = typing_extensions.TypeAliasType
_ALIASES = (_BACKPORT, getattr(typing, "TypeAliasType", _BACKPORT))


def is_alias(annotation: Any) -> bool:
    """Whether *annotation* is a `type X = …`, not subscripted."""
    return isinstance(annotation, _ALIASES)


def alias_value(alias: Any) -> Any:
    """What a `type X = …` stands for, resolved as far as its module knows the names in it."""
    holder = types.SimpleNamespace(__annotations__={"value": alias.__value__})
    names = vars(sys.modules.get(alias.__module__, builtins))
    try:
        return typing_extensions.get_type_hints(holder, names, None, include_extras=True)["value"]
    except (NameError, TypeError, SyntaxError):
        return alias.__value__  # pydantic may know them


def field_hints(subject: type, namespace: Mapping[str, Any] | None) -> dict[str, Any]:
    """The resolved types of the fields of *subject*, inherited ones too, `Annotated` kept.

    Raises `NameError` for a name that is not known.
    """
    own = {subject.__name__: subject} if "<locals>" in subject.__qualname__ else {}
    return typing_extensions.get_type_hints(subject, None, {**own, **(namespace or {})}, include_extras=True)


def has_fields(subject: type) -> bool:
    """Whether *subject* is a dataclass, a TypedDict, a NamedTuple or a pydantic model."""
    return (
        dataclasses.is_dataclass(subject)
        or typing_extensions.is_typeddict(subject)
        or (issubclass(subject, tuple) and hasattr(subject, "_fields"))
        or hasattr(subject, "model_fields")
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
