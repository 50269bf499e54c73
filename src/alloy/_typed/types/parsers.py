"""The register of parsers: how a project's own types are read, and which type the model is shown for them.

    register_parser(Money, wire=str, parse=Money.parse)

From then on a `Money` can be part of any output and of any tool's parameters. The model is shown the
wire type and answers with a value of it; *parse* converts that to a `Money`. What *parse* raises is a
problem of the answer, reported with its path, and goes back to the model like any other problem.

This module is plain data: `alloy._typed.types.async_parsers` calls the parsers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from alloy.arguments import names_checked
from alloy.errors import ConfigurationError

__all__ = ["Hook", "Registration", "generation", "hook_for", "register_parser"]


@dataclass(frozen=True, slots=True, eq=False)
class Hook:
    """How values of the type *subject* are read: *parse* takes a value of the type *wire*."""

    wire: Any
    parse: Callable[[Any], Any]
    subject: Any = None


_lock = threading.Lock()
_hooks: dict[Any, Hook] = {}
_generation = 0


class Registration:
    """A registered parser. `remove()` ends the registration, and so does the end of a `with` block."""

    def __init__(self, subject: Any, hook: Hook) -> None:
        self._subject, self._hook = subject, hook
        self._before = _put(subject, hook)

    def remove(self) -> None:
        """Read the type as before this registration. Does nothing if the type was registered again since."""
        global _generation
        with _lock:
            if _hooks.get(self._subject) is not self._hook:
                return
            del _hooks[self._subject]
            if self._before is not None:
                _hooks[self._subject] = self._before
            _generation += 1

    def __enter__(self) -> Registration:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def _put(subject: Any, hook: Hook) -> Hook | None:
    global _generation
    with _lock:
        before = _hooks.get(subject)
        _hooks[subject] = hook
        _generation += 1
        return before


@names_checked
def register_parser(subject: Any, /, *, wire: Any = str, parse: Callable[[Any], Any]) -> Registration:
    """Read values of the type *subject* with *parse*, in every output and in every tool's parameters.

    The model is shown the type *wire* and answers with a value of it. *parse* takes that value and
    returns one of *subject*, or raises an error, which is sent back to the model. It may be `async def`.
    If a type is registered again, the newer parser is used. The returned registration removes the
    parser with `remove()`, or at the end of `with register_parser(…):`.
    Raises `ConfigurationError` if *subject* is not a type or *parse* cannot be called.
    """
    if not callable(parse):
        raise ConfigurationError(f"register_parser: parse must be a function, not {parse!r}")
    if not _may_be_a_type(subject) or not _hashable(subject):
        raise ConfigurationError(
            f"register_parser needs a type, as in register_parser(Money, …), not {subject!r}"
        )
    return Registration(subject, Hook(wire, parse, subject))


def hook_for(annotation: Any) -> Hook | None:
    """The parser that is registered for *annotation*, or for its generic type."""
    if not _hooks:
        return None
    generic = None if hasattr(annotation, "__metadata__") else getattr(annotation, "__origin__", None)
    try:
        return _hooks.get(annotation) or _hooks.get(generic)
    except TypeError:  # unhashable, as Annotated[int, []] is
        return None


def generation() -> int:
    """A number that changes with the register. Whatever was compiled under another number is out of date."""
    return _generation


def _may_be_a_type(value: Any) -> bool:
    """Whether *value* is a class, or made by a module of types: `NewType`, `list[int]`, `int | str`."""
    made_by = type(value).__module__
    return isinstance(value, type) or made_by in ("typing", "typing_extensions", "types")


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
