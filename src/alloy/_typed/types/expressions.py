"""Whether an object is a type at all, before anything is compiled: `5`, `[int]` and `Final[int]` are not.

Only the expression is looked at, not the fields of the classes in it, where qualifiers belong. A name that is
text may not exist yet, so of text only the syntax is checked.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from types import ModuleType
from typing import Any

import typing_extensions

from alloy._typed.types.annotations import is_alias, is_qualifier, type_name
from alloy._typed.types.parsers import hook_for
from alloy.errors import ConfigurationError

__all__ = ["check_is_type", "why_not_a_type"]

_TYPING = {"typing", "typing_extensions"}
# Classes that are parts of types. pydantic recurses on Generic without end.
_INCOMPLETE = (typing.Generic, typing.Protocol, typing_extensions.Protocol, typing.Annotated)


def check_is_type(annotation: Any, what: str) -> None:
    """Raise `ConfigurationError` unless *annotation*, which *what* names, is a type."""
    if (problem := why_not_a_type(annotation)) is not None:
        raise ConfigurationError(f"{what} must be a type, and {problem}")


def why_not_a_type(annotation: Any) -> str | None:
    """What *annotation*, or a part of it, is instead of a type, and what to write; `None` for a type."""
    if annotation is None or hook_for(annotation) is not None:
        return None
    if isinstance(annotation, str | typing.ForwardRef):
        return _why_not_an_expression(annotation)
    if any(annotation is form for form in _INCOMPLETE):
        return _instead(annotation)
    origin = typing_extensions.get_origin(annotation)
    arguments = typing_extensions.get_args(annotation)
    if origin is None:
        return None if _is_plain_type(annotation) else _instead(annotation)
    if is_qualifier(origin):
        name = type_name(origin)
        return f"{name}[…] qualifies a field of a class: write {type_name(arguments[0])} without it"
    if origin in (typing.Literal, typing_extensions.Literal, Callable):
        return None  # values, and the parameters of a function
    inner = arguments[:1] if hasattr(annotation, "__metadata__") else arguments
    problems = (why_not_a_type(part) for part in inner if part is not ...)
    return next((problem for problem in problems if problem is not None), None)


def _is_plain_type(annotation: Any) -> bool:
    return (
        isinstance(annotation, type | typing.TypeVar | typing_extensions.TypeVar)
        or hasattr(annotation, "__supertype__")  # a NewType
        or annotation is typing.Any
        or is_alias(annotation)
    )


def _why_not_an_expression(text: str | typing.ForwardRef) -> str | None:
    written = text if isinstance(text, str) else text.__forward_arg__
    try:
        compile(written.strip(), "<annotation>", "eval")
    except (SyntaxError, ValueError) as error:  # ValueError for a null byte
        return f"{written!r} is not a Python expression ({error})"
    return None


def _instead(value: Any) -> str:
    """What *value*, which is not a type, is, and the type that was probably meant."""
    kind = type(value)
    if isinstance(value, list | tuple | set | frozenset | dict):
        return f"{_shown(value)} is a {kind.__name__}: write {_collection_type(value)}"
    if isinstance(value, ModuleType):
        return f"{value.__name__} is a module: write a class that it has"
    if value is ... or kind.__module__ in _TYPING or getattr(value, "__module__", "") in _TYPING:
        return f"{type_name(value)} alone is not one: write a complete type, such as str or list[int]"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{type_name(value)} is a function: write the class that it returns"
    if kind is object:
        return f"{value!r} is not one: write a class, or a type such as list[int]"
    article = "an" if kind.__name__[0] in "aeiouAEIOU" else "a"
    return f"{value!r:.80} is {article} {kind.__name__}: write {kind.__name__}"


def _shown(value: Any) -> str:
    """A collection as it is written, with the names of the types in it."""
    if isinstance(value, dict):
        pairs = (f"{_shown(key)}: {_shown(part)}" for key, part in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple | set | frozenset):
        inner = ", ".join(map(_shown, value))
        return {list: f"[{inner}]", tuple: f"({inner})"}.get(type(value), f"{{{inner}}}")
    return repr(value) if isinstance(value, str) else type_name(value)


def _collection_type(value: Any) -> str:
    """The type for a collection that was written in its place: `list[int]` for `[int]`."""
    name = type(value).__name__
    parts = [*value, *value.values()] if isinstance(value, dict) else list(value)
    if not parts or any(isinstance(part, str) or why_not_a_type(part) for part in parts):
        return "a TypedDict or a dataclass with these fields" if parts and name == "dict" else f"{name}[…]"
    names = list(map(type_name, parts))
    if name == "dict" and len(names) > 2:
        return "dict[…]"
    return f"{name}[{(', ' if name in ('dict', 'tuple') else ' | ').join(names)}]"
