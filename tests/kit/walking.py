"""Everything that can be reached from an object: what logs, debuggers, error trackers and pickles show."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any

# A traceback's frames have the caller's own variables; its text is looked at.
_NOT_WALKED = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType, FrameType, TracebackType)


def reachable(*roots: object) -> Iterator[object]:
    """The objects that attributes, items, causes and contexts lead to from *roots*."""
    seen: dict[int, object] = {}
    waiting = list(roots)
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, _NOT_WALKED):
            continue
        seen[id(each)] = each
        yield each
        if isinstance(each, Mapping):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple | set | frozenset):
            waiting += each
        if isinstance(each, BaseException):
            waiting += [each.args, each.__cause__, each.__context__, getattr(each, "object", None)]
        waiting += vars(each).values() if hasattr(each, "__dict__") else ()
        slots = [name for kind in type(each).__mro__ for name in getattr(kind, "__slots__", ())]
        waiting += [getattr(each, name, None) for name in slots]


def texts_of(*roots: object) -> str:
    """All texts that are reachable from *roots*, and what `str`, `repr`, tracebacks and pickles show."""
    found: list[str] = []
    for each in reachable(*roots):
        if isinstance(each, str):
            found.append(each)
        elif isinstance(each, bytes | bytearray):
            found.append(bytes(each).decode("latin-1"))
        elif isinstance(each, BaseException):
            found += [str(each), repr(each), "".join(traceback.format_exception(each)), pickled(each)]
        else:
            found.append(repr(each))
    return "\n".join(found)


def pickled(value: Any) -> str:
    """The pickle of *value* as text, if it can be pickled."""
    try:
        return pickle.dumps(value).decode("latin-1")
    except Exception:
        return ""


def parts_of(secret: str, text: str, size: int = 8) -> list[str]:
    """The parts of *secret*, of *size* characters, that are in *text*."""
    return [part for start in range(len(secret) - size + 1) if (part := secret[start : start + size]) in text]
