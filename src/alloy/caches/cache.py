"""`Cache`: where answers are stored, for how long, and how many."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

from alloy.arguments import with_names_checked
from alloy.caches.replies import Found
from alloy.errors import ConfigurationError
from alloy.logger import log
from alloy.messages import Reply
from alloy.quantities import checked, count, number, seconds

if TYPE_CHECKING:
    from alloy.caches.store import Store

__all__ = ["Cache", "CacheInfo"]

LONGEST = 1e6  # seconds that SQLite can wait
_TTL = seconds(above=True)
_SIZE = count(100_000)  # bytes; less would hold nothing but the tables


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What is known of a cache: the number of its *answers*, and how many *bytes* they take.

    *hits* and *misses* count the requests of this process that were answered from the file, and that were
    not.
    """

    path: str
    answers: int
    bytes: int
    hits: int
    misses: int


@with_names_checked
class Cache:
    """Stores the replies of models in the SQLite file at *path*, and answers the same request from there.

    Use it as the setting `cache`, of single commands or of all: `configure(cache=Cache("answers.sqlite"))`.
    Any number of objects, threads and processes may use one file, which only its owner can read.

    An answer is used for *ttl*, seconds or a `timedelta`; `None` means for ever. When the file is larger than
    *max_bytes*, the answers that were used the longest time ago are removed; `None` means no limit. *timeout*
    is how many seconds a call waits while other processes lock the file. *clock* returns the time in seconds,
    for tests.

    Nothing is opened before it is needed. Raises `ConfigurationError` for values that make no sense.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        ttl: float | timedelta | None = None,
        max_bytes: int | None = 1_000_000_000,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # Now: the program may change its folder. A link is another name of the same file.
        self.path = os.path.realpath(os.path.expanduser(_checked_path(path)))
        given = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
        self.ttl = None if given is None else checked("Cache", "ttl", given, _TTL)
        self.max_bytes = None if max_bytes is None else checked("Cache", "max_bytes", max_bytes, _SIZE)
        self.timeout = checked("Cache", "timeout", timeout, number(0, LONGEST))
        self._clock, self._is_refreshing = clock, False
        self._opened: Store | None = None

    def refreshing(self) -> Self:
        """This cache for calls that ask the model again, whatever is stored, and store the new answers."""
        changed = copy(self)
        changed._is_refreshing = True
        return changed

    def info(self) -> CacheInfo:
        """What is stored; no file is made for it. Raises `ConfigurationError` if the file cannot be read."""
        return CacheInfo(self.path, *self._store.info())

    def clear(self) -> None:
        """Remove all answers, so that nothing is left of them in the file.

        Raises `ConfigurationError` if the file cannot be written.
        """
        self._store.clear()

    def close(self) -> None:
        """Close the file, which the next call opens again."""
        self._store.close()

    # --- for handlers -------------------------------------------------------------------------------

    def get(self, key: bytes) -> Found | None:
        """The reply that is stored as *key*; `None` if there is none, or it is too old.

        Raises `ConfigurationError` for a file of something else. Other problems of the file are logged.
        """
        if self._is_refreshing:
            return None
        return self._store.get(key, self._clock(), self.ttl)

    def put(self, replies: Iterable[tuple[bytes, Reply]], secrets: Iterable[str] = ()) -> None:
        """Store *replies*, each with its key, except those that repeat one of *secrets*.

        Problems of the file are logged: the call has its answer.
        """
        now = self._clock()
        expires = None if self.ttl is None else now + self.ttl
        try:
            self._store.put(replies, now, expires, self.max_bytes, secrets)
        except ConfigurationError as error:  # the file was replaced while the model was asked
            log.warning("an answer is not stored: %s", error)

    def remove(self, key: bytes) -> None:
        """Remove the reply that is stored as *key*, which cannot be used. Problems of the file are logged."""
        try:
            self._store.remove(key)
        except ConfigurationError as error:
            log.warning("an answer is not removed: %s", error)

    @property
    def _store(self) -> Store:
        if self._opened is None:
            from alloy.caches.store import store_at  # which imports sqlite3

            self._opened = store_at(self.path, self.timeout)
        return self._opened

    def __repr__(self) -> str:
        ttl = "" if self.ttl is None else f", ttl={self.ttl:g}"
        return f"Cache({self.path!r}{ttl})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cache) and self.__getstate__() == other.__getstate__()

    def __hash__(self) -> int:
        return hash(self.path)

    def __getstate__(self) -> dict[str, Any]:
        # Another process opens the file for itself.
        return {**self.__dict__, "_opened": None}

    def __deepcopy__(self, _: Any) -> Self:
        return self  # a copied command uses the same cache


def _is_encodable(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def _checked_path(path: Any) -> str:
    name = os.fspath(path) if isinstance(path, str | PathLike) else None
    if not isinstance(name, str) or not name or "\0" in name or not _is_encodable(name):
        raise ConfigurationError(f"Cache: path must be the path of a file, not {path!r:.80}")
    return name
