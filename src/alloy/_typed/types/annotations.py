"""Annotations: their names as a reader writes them, the parts they consist of, and the fields of classes."""

from __future__ import annotations

import builtins
import collections.abc
import dataclasses
import enum
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Union

import typing_extensions

from alloy._typed.types.parsers import Hook, hook_for
from alloy._typed.types.records import record_of
from alloy.functions import UNRESOLVED

__all__ = [
    "UNIONS",
    "alias_value",
    "children",
    "class_of",
    "field_hints",
    "has_fields",
    "is_alias",
    "is_qualifier",
    "parts",
    "path_name",
    "resolved",
    "substituted",
    "type_name",
    "variable_type",
]

UNIONS = (Union, types.UnionType)
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
    if origin is not None and origin is not annotation:  # it is for Generic
        return _generic_name(annotation, origin)
    if isinstance(annotation, typing.ForwardRef):
        return annotation.__forward_arg__
    return str(getattr(annotation, "__name__", None) or annotation).removeprefix("typing.")


def _generic_name(annotation: Any, origin: Any) -> str:
    arguments = typing_extensions.get_args(annotation)
    if origin in UNIONS:
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


def class_of(annotation: Any) -> Any:
    """The class or form that *annotation* is, or that it gives arguments to."""
    return typing_extensions.get_origin(annotation) or annotation


def is_qualifier(origin: Any) -> bool:
    """Whether *origin* qualifies a field and not its type, as `NotRequired` does."""
    name = getattr(origin, "__name__", getattr(origin, "_name", None))
    return name in _QUALIFIERS and not isinstance(origin, type)


def _is_wrapper(origin: Any) -> bool:
    return origin is typing_extensions.Annotated or is_qualifier(origin)


def path_name(annotation: Any) -> str:
    """The name of *annotation* as the first step of a path."""
    name = type_name(annotation)
    return f"({name})" if " | " in name else name


def parts(annotation: Any, namespace: Mapping[str, Any] | None = None) -> Iterator[Any]:
    """*annotation* and all of its parts, outermost first.

    Classes and aliases are entered once. Type hints that do not resolve are left out: pydantic reports them.
    """
    seen: set[Any] = set()
    todo = [annotation]
    while todo:
        part = todo.pop()
        yield part
        if (key := _entered_by(part)) is not None:
            if key in seen:
                continue
            seen.add(key)
        todo += reversed([child for _, child in children(part, namespace)])


def _entered_by(part: Any) -> Any:
    """The identity of a class, alias or generic class; `None` for a part that cannot hold itself."""
    subject = typing_extensions.get_origin(part) or part
    if not isinstance(subject, type) and not is_alias(subject):
        return None
    return id(part) if subject is part else type_name(part), id(subject)


def children(annotation: Any, namespace: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    """The parts directly inside *annotation*, each with its step in a path."""
    if (hook := hook_for(annotation)) is not None:  # the model sees only the wire type
        if hook.wire != annotation:
            yield "", hook.wire
        return
    if isinstance(annotation, typing.TypeVar):
        yield "", variable_type(annotation)
    if isinstance(annotation, dataclasses.InitVar):
        yield "", annotation.type
    origin = typing_extensions.get_origin(annotation)
    arguments = typing_extensions.get_args(annotation)
    if origin in (typing.Literal, typing_extensions.Literal, collections.abc.Callable):
        return
    if origin is not None:
        transparent = origin in UNIONS or _is_wrapper(origin)
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
    """Whether *annotation* is a `type X = …` without arguments."""
    return isinstance(annotation, _ALIASES)


def alias_value(alias: Any) -> Any:
    """The value of a `type X = …`; names in it are resolved if its module defines them."""
    return resolved(alias.__value__, alias.__module__)


def variable_type(variable: typing.TypeVar) -> Any:
    """The type that pydantic reads for a type variable without an argument."""
    # `typing.TypeVar` has defaults only since Python 3.13.
    if getattr(variable, "has_default", bool)():
        found = variable.__default__  # type: ignore[attr-defined, unused-ignore]
    elif variable.__constraints__:
        found = Union[variable.__constraints__]  # noqa: UP007
    else:
        found = Any if variable.__bound__ is None else variable.__bound__
    return resolved(found, variable.__module__)


def resolved(hint: Any, module: str, namespace: Mapping[str, Any] | None = None) -> Any:
    """*hint* with the names in it resolved, if *module* or *namespace* defines them."""
    holder = types.SimpleNamespace(__annotations__={"value": hint})
    names = vars(sys.modules.get(module, builtins))
    try:
        return typing_extensions.get_type_hints(holder, names, namespace, include_extras=True)["value"]
    except UNRESOLVED:
        return hint  # pydantic may still be able to resolve them


def substituted(hint: Any, arguments: Mapping[Any, Any]) -> Any:
    """*hint* with *arguments* in place of the type variables that they belong to."""
    if isinstance(hint, typing.TypeVar):
        return arguments.get(hint, hint)
    if isinstance(hint, dataclasses.InitVar):
        return dataclasses.InitVar(substituted(hint.type, arguments))
    parameters = getattr(hint, "__parameters__", ())
    if (
        not arguments
        or not parameters
        or (isinstance(hint, type) and typing_extensions.get_origin(hint) is None)
    ):
        return hint
    return hint[tuple(arguments.get(parameter, parameter) for parameter in parameters)]


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
