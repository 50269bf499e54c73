"""Digests by which a checkpoint knows a command and its inputs again, in another process too."""

from __future__ import annotations

import ast
import dataclasses
import datetime as dt
import decimal
import enum
import inspect
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from hashlib import sha256
from textwrap import dedent
from types import CodeType, FunctionType, MethodType
from typing import Any

from alloy.errors import CheckpointError
from alloy.functions import namespace_of

__all__ = ["digest", "function_digest"]

_CONSTANTS = (str, bytes, int, float, complex, type(None))


def digest(value: object, what: str) -> str:
    """The same text for equal values, in every process and on every version of Python.

    Values are compared by their type and their content: containers by their elements, dataclasses by their
    fields, other objects by what pickle would store of them. Raises `CheckpointError`, which names *what* it
    is, for an object that has no such content.
    """
    try:
        return sha256(_content(value)).hexdigest()[:32]
    except RecursionError:
        problem = "it contains itself, or is nested too deeply"
    except Exception as error:  # noqa: BLE001 - whatever an object's __reduce_ex__ raises
        problem = str(error)
    raise CheckpointError(
        f"{what} cannot be compared with that of an earlier run ({problem}): use plain data, such as text, "
        "numbers, lists, dicts and dataclasses"
    )


def _content(value: Any) -> bytes:
    kind = type(value)
    if (exact := _BY_KIND.get(kind)) is not None:
        return _joined(kind, exact(value))
    for base, parts in _BY_BASE:
        if isinstance(value, base):
            own = () if kind is type or base is os.PathLike else (_content(kind),)
            return _joined(base, [*own, *parts(value)])
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _joined(kind, [_content(fields)])
    return _joined(kind, [_content(_reduced(value))])


def _text(value: object) -> list[bytes]:
    return [str(value).encode("utf-8", "surrogatepass")]


def _pairs(value: dict[Any, Any]) -> Iterator[bytes]:
    return (_content(part) for pair in value.items() for part in pair)


def _each(value: Iterable[Any]) -> Iterator[bytes]:
    return map(_content, value)


# By type: the parts of a value of exactly this type.
_BY_KIND: dict[type, Callable[[Any], Iterable[bytes]]] = {
    **dict.fromkeys(
        (type(None), bool, str, int, float, complex, decimal.Decimal, uuid.UUID, dt.timedelta), _text
    ),
    **dict.fromkeys((bytes, bytearray), lambda value: [bytes(value)]),
    **dict.fromkeys((list, tuple), _each),
    **dict.fromkeys((set, frozenset), lambda value: sorted(_each(value))),
    dict: _pairs,
}
# The same for values of a type or of its subclasses, whose own type is added.
_BY_BASE: tuple[tuple[type, Callable[[Any], Iterable[bytes]]], ...] = (
    (type, lambda value: _text(f"{value.__module__}.{value.__qualname__}")),
    (enum.Enum, lambda value: _text(value.name)),
    (dt.date, lambda value: _text(value.isoformat())),  # a datetime is one
    (dt.time, lambda value: _text(value.isoformat())),
    (os.PathLike, lambda value: _text(os.fsdecode(value))),  # its class is that of the platform
    (FunctionType, lambda value: [_function(value, set())]),
    (MethodType, lambda value: [_function(value, set())]),
    (partial, lambda value: [_function(value, set())]),
)


def _reduced(value: Any) -> Any:
    """What pickle would store of *value*; iterators of elements as lists."""
    parts = value.__reduce_ex__(4)
    if isinstance(parts, str):
        return parts
    return [list(part) if index > 2 and part is not None else part for index, part in enumerate(parts[:5])]


def _joined(kind: type, parts: Iterable[bytes]) -> bytes:
    """The digest of *parts* with their lengths and the name of *kind*."""
    hashed = sha256(f"{kind.__module__}.{kind.__qualname__}".encode())
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big"))
        hashed.update(part)
    return hashed.digest()


# --- functions ------------------------------------------------------------------------------------


def function_digest(function: Callable[..., Any]) -> str:
    """A digest of what *function* does, without its comments, docstring and decorators.

    It includes the constants and functions that it names in its module and its closure, such as the template
    of a prompt, and the constants among the attributes of the object that it is bound to. Other values do not
    count, because what they hold may change from run to run.
    """
    return sha256(_function(function, set())).hexdigest()[:32]


def _function(function: Any, seen: set[int]) -> bytes:
    if isinstance(function, partial):
        arguments = [_content(function.args), _content(function.keywords)]
        return _joined(partial, [_function(function.func, seen), *arguments])
    if isinstance(function, MethodType):
        return _joined(MethodType, [_function(function.__func__, seen), _bound(function.__self__)])
    if not isinstance(function, FunctionType):
        if (inner := getattr(function, "__wrapped__", None)) is not None:  # a command
            return _function(inner, seen)
        return _joined(type, _text(getattr(function, "__qualname__", type(function).__qualname__)))
    if id(function) in seen:
        return b""
    seen.add(id(function))
    names = {**function.__globals__, **namespace_of(function)}
    used = {name: names[name] for name in _names(function.__code__) if name in names}
    parts = [
        _joined(str, [name.encode(), _known(used[name], seen)])
        for name in sorted(used)
        if _is_part(name, used[name], function.__module__)
    ]
    return _joined(FunctionType, [_source(function).encode(), *parts])


def _bound(instance: Any) -> bytes:
    """The class of *instance* and the constants among its attributes."""
    attributes = {} if isinstance(instance, type) else getattr(instance, "__dict__", {})
    constants = {name: attributes[name] for name in sorted(attributes) if _is_constant(attributes[name])}
    kind = instance if isinstance(instance, type) else type(instance)
    return _joined(dict, [_content(kind), _content(constants)])


def _known(value: Any, seen: set[int]) -> bytes:
    return _function(value, seen) if isinstance(value, FunctionType) else _content(value)


def _is_part(name: str, value: Any, module: str) -> bool:
    if isinstance(value, FunctionType):
        return value.__module__ == module
    if isinstance(value, list):  # a cache, unless its name says that it stays as it is
        return name.isupper() and _is_constant(tuple(value))
    if isinstance(value, dict):
        return name.isupper() and _is_constant((*value, *value.values()))
    return _is_constant(value)


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(map(_is_constant, value))
    return isinstance(value, _CONSTANTS)


def _names(code: CodeType) -> set[str]:
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return {*code.co_names, *code.co_freevars}.union(*map(_names, inner))


def _source(function: FunctionType) -> str:
    """The source of *function* in one form; its bytecode if there is no source."""
    try:
        (tree,) = ast.parse(dedent(inspect.getsource(function))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return _bytecode(function.__code__)
    if not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):  # a lambda inside of something
        return _bytecode(function.__code__)
    tree.decorator_list = []
    if ast.get_docstring(tree, clean=False) is not None:
        tree.body = tree.body[1:]
    return repr(_shape(tree))


def _shape(node: object) -> object:
    """A tree of plain data, which is the same on every version of Python."""
    if isinstance(node, list):
        return list(map(_shape, node))
    if not isinstance(node, ast.AST):
        return node
    if isinstance(node, ast.JoinedStr):  # Python 3.12.1 adds empty texts
        node.values = [each for each in node.values if not _is_empty(each)]
    # Some fields are not there in every version, and are empty; `kind` is the prefix u of a text.
    fields = {name: value for name, value in ast.iter_fields(node) if name not in ("ctx", "kind")}
    return type(node).__name__, [
        (name, _shape(value))
        for name, value in fields.items()
        if isinstance(node, ast.Constant) or (value is not None and value != [])
    ]


def _is_empty(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == ""


def _bytecode(code: CodeType) -> str:
    constants = [_bytecode(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"
