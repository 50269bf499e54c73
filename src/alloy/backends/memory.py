"""What is remembered of servers and their models while the process runs."""

from __future__ import annotations

from typing import Any, TypeVar
from weakref import WeakSet

__all__ = ["ENTRIES_MAX", "Memory", "forget"]

K = TypeVar("K")
V = TypeVar("V")

ENTRIES_MAX = 1024  # bounds what ever new addresses and models leave behind


class Memory(dict[K, V]):
    """A dict that begins again when it is full."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # by identity, for the set of all

    def __init__(self) -> None:
        super().__init__()
        _memories.add(self)

    def __setitem__(self, key: K, value: V) -> None:
        if len(self) >= ENTRIES_MAX:
            self.clear()
        super().__setitem__(key, value)


_memories: WeakSet[Memory[Any, Any]] = WeakSet()


def forget() -> None:
    """Forget everything, for example because a server has been updated."""
    for memory in list(_memories):
        memory.clear()
