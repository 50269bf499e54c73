"""Descriptions of fields from the source of a class: the string after a field, and `#:` comments.

    @dataclass
    class Invoice:
        #: The sender.
        vendor: str
        total: float  #: In euros.
        lines: list[str]
        "One line for each item."

A class without source (created by a call, or in an interactive session) has no descriptions.
"""

from __future__ import annotations

import ast
import inspect
import io
import linecache
import sys
import threading
import tokenize
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import typing_extensions

__all__ = ["annotated_text", "field_descriptions"]

_MARK = "#:"

_known: weakref.WeakKeyDictionary[type, Mapping[str, str]] = weakref.WeakKeyDictionary()


def field_descriptions(subject: type) -> Mapping[str, str]:
    """The text for each field of the class *subject* that its source describes, inherited fields included."""
    found = _known.get(subject)
    if found is None:
        own = [_own(base) for base in reversed(subject.__mro__) if base.__module__ not in _SILENT]
        found = _known[subject] = {name: text for fields in own for name, text in fields.items()}
    return found


_SILENT = ("builtins", "typing", "typing_extensions", "pydantic.main", "abc")


def annotated_text(hint: Any) -> str | None:
    """The text in `Annotated[T, "text"]` or `Annotated[T, Doc("text")]`."""
    for extra in getattr(hint, "__metadata__", ()):
        text = extra if isinstance(extra, str) else getattr(extra, "documentation", None)
        if isinstance(text, str):
            return inspect.cleandoc(text)
    return None


def _own(subject: type) -> Mapping[str, str]:
    """The descriptions of the fields in the body of *subject* itself."""
    module = sys.modules.get(subject.__module__)
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return {}
    classes = _classes(file, tuple(linecache.getlines(file, module.__dict__)))
    named = classes.get(subject.__qualname__, [])
    if len(named) > 1:  # several classes have this name: find the one by its line, or by its fields
        line = getattr(subject, "__firstlineno__", None)
        fields = typing_extensions.get_annotations(subject, format=typing_extensions.Format.FORWARDREF).keys()
        named = [body for body in named if body.line == line or (line is None and body.fields == fields)]
    return named[0].texts if len(named) == 1 else {}


class _Body:
    """A class statement: its first line, its fields, and the texts that describe them."""

    def __init__(self, node: ast.ClassDef, comments: Mapping[int, tuple[bool, str]]) -> None:
        self.line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        self.texts: dict[str, str] = {}
        fields = [
            (child, child.target.id, after)
            for child, after in zip(node.body, [*node.body[1:], None], strict=True)
            if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name)
        ]
        self.fields = {name for _, name, _ in fields}
        for child, name, after in fields:
            if text := _docstring(after) or _comment(child, comments):
                self.texts[name] = text


def _docstring(node: ast.stmt | None) -> str | None:
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
        return None
    text = node.value.value
    return inspect.cleandoc(text) if isinstance(text, str) else None


def _comment(node: ast.AnnAssign, comments: Mapping[int, tuple[bool, str]]) -> str | None:
    """The `#:` comment after the field, or those on the lines directly above it."""
    alone, text = comments.get(node.end_lineno or node.lineno, (True, ""))
    if text and not alone:
        return text
    above: list[str] = []
    line = node.lineno - 1
    while line in comments and comments[line][0]:
        above.insert(0, comments[line][1])
        line -= 1
    return " ".join(above) or None


# In Python 3.11.7, `ast.parse` can fail with "SystemError: AST constructor recursion depth mismatch" when
# another thread calls it, or `compile`, at the same time. Ours wait for each other; others are tried past.
_PARSING = threading.Lock()
_TRIES = 20


def _parsed(source: str) -> ast.Module:
    """The syntax tree of *source*; empty when other threads do not let it be built."""
    for _ in range(_TRIES):
        with suppress(SystemError), _PARSING:
            return ast.parse(source)
    return ast.Module([], [])


@lru_cache(maxsize=64)
def _classes(file: str, lines: tuple[str, ...]) -> Mapping[str, list[_Body]]:
    source = "".join(lines)
    try:
        tree = _parsed(source)
    except (SyntaxError, ValueError):  # the file was changed after the import
        return {}
    comments = _comments(source) if _MARK in source else {}
    found: dict[str, list[_Body]] = {}
    for name, node in _class_statements(tree, ""):
        found.setdefault(name, []).append(_Body(node, comments))
    return found


def _class_statements(node: ast.AST, inside: str) -> Iterator[tuple[str, ast.ClassDef]]:
    """All class statements below *node*, by their qualified names."""
    for child in ast.iter_child_nodes(node):
        name = inside
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = inside + child.name
            if isinstance(child, ast.ClassDef):
                yield name, child
            name += "." if isinstance(child, ast.ClassDef) else ".<locals>."
        yield from _class_statements(child, name)


def _comments(source: str) -> dict[int, tuple[bool, str]]:
    """The `#:` comments by line, and whether each is alone on its line."""
    found: dict[int, tuple[bool, str]] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and token.string.startswith(_MARK):
            text = token.string.removeprefix(_MARK).strip()
            found[token.start[0]] = not token.line[: token.start[1]].strip(), text
    return found
