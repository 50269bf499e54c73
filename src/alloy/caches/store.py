"""The SQLite file of a cache, for all threads and processes that use it.

It is in WAL mode (https://sqlite.org/wal.html): readers wait for nobody, and a process that is killed loses
no finished transaction. A row has a digest of its key, its time and its reply, so that damage is a miss and
never a wrong answer.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from typing import Any, NoReturn, TypeVar
from weakref import WeakValueDictionary, finalize

from alloy.caches.replies import Found, dumped, loaded
from alloy.databases import code_of, file_at, make_private, marks_of
from alloy.errors import ConfigurationError
from alloy.logger import log
from alloy.messages import Reply

__all__ = ["Store", "store_at"]

T = TypeVar("T")

APPLICATION = 0x416C6C43  # "AllC", in the header of the file
FORMAT = 1
HEADER = b"SQLite format 3\0"  # https://sqlite.org/fileformat.html: the first bytes, and
MARK = slice(68, 72)  # where the application is

REST = 60.0  # seconds without the file after a problem that may last, such as a full disk
USED = 60.0  # seconds after which a use is written down again
TIDY = 60.0  # seconds between two removals of answers that are too old
SHORTEST = 8  # characters of a secret: a shorter one may be a word
ROW = 150  # bytes of a row besides its reply, about

_TABLES = (
    "CREATE TABLE answers (key BLOB PRIMARY KEY, stored REAL NOT NULL, expires REAL, used REAL NOT NULL, "
    "digest BLOB NOT NULL, reply BLOB NOT NULL)",
    "CREATE INDEX by_use ON answers (used)",
    "CREATE INDEX by_end ON answers (expires) WHERE expires IS NOT NULL",
)

# A message of SQLite that quotes a damaged file is no UTF-8.
_PROBLEMS = (sqlite3.Error, OSError, UnicodeDecodeError)
# By the beginning of SQLite's code: problems of the place, which do not mean that the file is damaged.
_OUTSIDE = {
    "SQLITE_BUSY": "is locked by another process",
    "SQLITE_LOCKED": "is locked by another process",
    "SQLITE_PROTOCOL": "is locked by another process",
    "SQLITE_FULL": "cannot grow, because the disk is full",
    "SQLITE_READONLY": "is read-only",
    "SQLITE_CANTOPEN": "cannot be opened: check its permissions and those of its folder",
    "SQLITE_IOERR": "cannot be read or written: check the disk",
    "SQLITE_PERM": "cannot be opened: check its permissions",
    "SQLITE_AUTH": "cannot be opened: check its permissions",
    "SQLITE_NOMEM": "cannot be used, because the memory is full",
    "SQLITE_TOOBIG": "cannot store so large an answer",
    "SQLITE_NOLFS": "is too large for this system",
    "SQLITE_INTERRUPT": "was interrupted",
}


class Store:
    """The file at *path*, with one connection for all threads of this process.

    1. The first use opens the file, or makes it. One that is not a cache is an error, and stays as it is.
    2. Each use asks whether the file is still that at *path*, because another process may have replaced it.
    3. A damaged file is renamed, and the next use makes a new one.
    4. After any other problem the call goes on without the cache, and the file rests for a minute: writing
       does after a problem of writing, and all uses do after a problem of reading.
    5. Before a fork the connection is closed: SQLite's locks are those of a process, and the child would take
       the parent's for its own (https://sqlite.org/howtocorrupt.html).
    """

    def __init__(self, path: str, timeout: float) -> None:
        self._path, self._timeout = path, timeout
        self._lock = threading.RLock()  # a signal handler may come back here
        self._connection: sqlite3.Connection | None = None
        self._close: Callable[[], object] = _nothing
        self._file: tuple[int, int] | None = None  # that is open
        self._rests_until = {"read": 0.0, "write": 0.0}
        self._warned: set[str] = set()
        self._tidied: float | None = None
        self._hits = self._misses = 0

    # --- what callers need ----------------------------------------------------------------------------

    def get(self, key: bytes, now: float, ttl: float | None) -> Found | None:
        """The reply that is stored as *key*, unless it is older than *ttl* seconds."""
        with self._lock:
            found = self._perform("read", lambda connection: self._found(connection, key, now, ttl))
            if found is None:
                self._misses += 1
            else:
                self._hits += 1
            return found

    def put(
        self,
        replies: Iterable[tuple[bytes, Reply]],
        now: float,
        expires: float | None,
        most: int | None,
        secrets: Iterable[str] = (),
    ) -> None:
        """Store *replies* without *secrets* in them, which are used until *expires*, in *most* bytes."""
        contents = [(key, content) for key, reply in replies if (content := dumped(reply)) is not None]
        hidden = [json.dumps(secret)[1:-1].encode() for secret in secrets if len(secret) >= SHORTEST]
        kept = [
            (key, content)
            for key, content in contents
            # A larger one would only drive out all others.
            if (most is None or len(content) <= most // 4) and not any(each in content for each in hidden)
        ]
        rows = [
            (key, now, expires, now, _digest(key, now, expires, content), content) for key, content in kept
        ]

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", rows)
            if self._tidied is None or not 0 <= now - self._tidied < TIDY:
                self._tidied = now
                connection.execute("DELETE FROM answers WHERE expires <= ?", (now,))
            if most is not None:
                _shrink(connection, most)
            connection.execute("COMMIT")

        if rows:
            self._perform("write", insert)

    def remove(self, key: bytes) -> None:
        """Remove the reply that is stored as *key*."""
        self._perform(
            "write", lambda connection: connection.execute("DELETE FROM answers WHERE key = ?", (key,))
        )

    def clear(self) -> None:
        """Remove everything, also from the free pages of the file. Raises `ConfigurationError`."""

        def clear(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM answers")
            connection.execute("VACUUM")
            if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise ConfigurationError(
                    f"Cache: {self._path!r} is empty, but another process reads it, so what was removed is "
                    "still in the log of SQLite: call clear() again"
                )

        if self._is_there():
            self._required(clear, "cleared")

    def info(self) -> tuple[int, int, int, int]:
        """How many answers there are, their bytes, and the hits and misses. Raises `ConfigurationError`."""

        def count(connection: sqlite3.Connection) -> tuple[int, int, int, int]:
            (answers,) = connection.execute("SELECT count(*) FROM answers").fetchone()
            return answers, _size(connection), self._hits, self._misses

        if not self._is_there():
            return 0, 0, self._hits, self._misses
        return self._required(count, "read")

    def close(self) -> None:
        """Close the file, which the next use opens again."""
        with self._lock:
            self._close()
            self._connection, self._close = None, _nothing

    # --- a use ----------------------------------------------------------------------------------------

    def _perform(self, way: str, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """What *work* returns; `None` after a problem, which is logged."""
        with self._lock:
            now = time.monotonic()
            if now < self._rests_until["read"] or now < self._rests_until[way]:
                return None
            try:
                return work(self._opened())
            except _PROBLEMS as error:
                self.close()  # which ends a transaction, too
                if _is_outside(error):
                    self._rests_until[way] = now + REST
                    self._warn(error)
                else:
                    self._set_aside(error)
                return None
            except BaseException:  # such as Ctrl-C within a transaction
                self.close()
                raise

    def _required(self, work: Callable[[sqlite3.Connection], T], done: str) -> T:
        """What *work* returns. Raises `ConfigurationError` if it cannot be *done*."""
        with self._lock:
            try:
                return work(self._opened())
            except _PROBLEMS as error:
                self.close()
                raise ConfigurationError(
                    f"Cache: {self._path!r} cannot be {done}: it {_problem(error)} ({error})"
                ) from error

    def _found(
        self, connection: sqlite3.Connection, key: bytes, now: float, ttl: float | None
    ) -> Found | None:
        row = connection.execute(
            "SELECT stored, expires, used, digest, reply FROM answers WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        stored, expires, used, digest, content = row
        try:
            if digest != _digest(key, stored, expires, content):
                return None
            reply, age = loaded(content), max(0.0, now - stored)
            if (ttl is not None and age >= ttl) or (expires is not None and now >= expires):
                return None
            self._note_use(connection, key, used, now)
        except (TypeError, ValueError, KeyError):  # a damaged row, or one of a later version
            return None
        return Found(reply, age)

    def _note_use(self, connection: sqlite3.Connection, key: bytes, used: float, now: float) -> None:
        """Write down that the answer is used *now*, unless that would have to wait."""
        if not 0 <= now - used < USED and time.monotonic() >= self._rests_until["write"]:
            connection.execute("PRAGMA busy_timeout = 0")
            with suppress(sqlite3.OperationalError):
                connection.execute("UPDATE answers SET used = ? WHERE key = ?", (now, key))
            connection.execute(f"PRAGMA busy_timeout = {round(1000 * self._timeout)}")

    # --- the file -------------------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None:
            if file_at(self._path) == self._file:
                return self._connection
            self.close()  # it was removed or replaced
        self._is_there()
        make_private(self._path)
        self._file = file_at(self._path)
        connection = sqlite3.connect(
            self._path, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        self._connection = connection
        # At the end of the process, and when nothing uses this object any more.
        self._close = finalize(self, _close, connection, self._lock)
        self._prepare(connection)
        return connection

    def _is_there(self) -> bool:
        """Whether there is a file. Raises `ConfigurationError` where none can be."""
        folder = os.path.dirname(self._path)
        if not os.path.isdir(folder):
            raise ConfigurationError(f"Cache: there is no folder {folder!r}: make it, or give another path")
        if os.path.isdir(self._path):
            raise ConfigurationError(f"Cache: {self._path!r} is a folder: give the path of a file")
        return os.path.exists(self._path)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables in a new file. Raises `ConfigurationError` for one of something else."""
        if not any(marks_of(connection)):
            connection.execute("BEGIN IMMEDIATE")
            if not any(marks_of(connection)):  # another process was not faster
                for table in _TABLES:
                    connection.execute(table)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("COMMIT")
        marks = marks_of(connection)
        if marks.application != APPLICATION:
            self._refuse("is a database of something else: give another path")
        if marks.version != FORMAT:
            self._refuse("was written by another version of Alloy: remove it, or give another path")
        with suppress(sqlite3.OperationalError):  # another process has it open at this moment, and will do it
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")  # what is removed is overwritten

    def _refuse(self, problem: str) -> NoReturn:
        self.close()
        raise ConfigurationError(f"Cache: {self._path!r} {problem}")

    # --- problems -------------------------------------------------------------------------------------

    def _set_aside(self, error: Exception) -> None:
        """Rename the damaged file. Raises `ConfigurationError` if nothing shows that it is a cache."""
        with suppress(FileNotFoundError), open(self._path, "rb") as file:
            header = file.read(MARK.stop)
            if not header.startswith(HEADER) or int.from_bytes(header[MARK]) != APPLICATION:
                raise ConfigurationError(
                    f"Cache: {self._path!r} is not a cache, or its beginning is damaged ({error}): "
                    "remove it, or give another path"
                ) from error
        if file_at(self._path) != self._file:  # another process was faster
            return
        aside = f"{self._path}.damaged"
        try:
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.replace(self._path + suffix, aside + suffix)
        except OSError as problem:  # on Windows, while another process has it open
            self._rests_until["read"] = time.monotonic() + REST
            self._warn(problem)
            return
        log.warning(
            "the response cache %r is damaged (%s): it is %r now, and a new one begins",
            self._path,
            error,
            aside,
        )

    def _warn(self, error: Exception) -> None:
        """Log *error*, each kind once."""
        problem = _problem(error)
        if problem not in self._warned:
            self._warned.add(problem)
            log.warning("the response cache %r %s; calls go on without it (%s)", self._path, problem, error)


def _is_outside(error: Exception) -> bool:
    return isinstance(error, OSError) or code_of(error).startswith(tuple(_OUTSIDE))


def _problem(error: Exception) -> str:
    """What *error* means, in plain words."""
    if isinstance(error, OSError):
        return "cannot be used: check its permissions and those of its folder"
    code = code_of(error)
    return next((text for start, text in _OUTSIDE.items() if code.startswith(start)), "is damaged")


def _digest(key: bytes, stored: float, expires: float | None, content: bytes) -> bytes:
    times = f"{float(stored)!r} {expires if expires is None else float(expires)!r} "
    return sha256(key + times.encode() + content).digest()[:16]


def _size(connection: sqlite3.Connection) -> int:
    """The bytes of the file that are in use."""
    questions = ("PRAGMA page_count", "PRAGMA freelist_count", "PRAGMA page_size")
    pages, free, size = (connection.execute(each).fetchone()[0] for each in questions)
    used: int = (pages - free) * size
    return used


def _shrink(connection: sqlite3.Connection, most: int) -> None:
    """Remove the answers that were used the longest time ago, if there are more than *most* bytes."""
    excess = _size(connection) - most
    if excess <= 0:
        return
    excess += most // 20  # so that not every answer removes one
    removed = []
    for row, size in connection.execute("SELECT rowid, length(reply) FROM answers ORDER BY used, rowid"):
        removed.append((row,))
        excess -= size + ROW
        if excess <= 0:
            break
    connection.executemany("DELETE FROM answers WHERE rowid = ?", removed)


def _close(connection: sqlite3.Connection, lock: Any) -> None:
    # At the end of the process a thread may be left that never gives the lock back.
    taken = lock.acquire(timeout=1)
    try:
        connection.close()
    finally:
        if taken:
            lock.release()


def _nothing() -> None:
    """Nothing is open."""


# --- of this process ----------------------------------------------------------------------------------

_stores: WeakValueDictionary[tuple[str, float], Store] = WeakValueDictionary()
_opening = threading.RLock()


def store_at(path: str, timeout: float) -> Store:
    """The store of this process for the file at *path*."""
    with _opening:
        found = _stores.get((path, timeout))
        if found is None:
            found = _stores[path, timeout] = Store(path, timeout)
        return found


_held: list[Store] = []  # while the process is forked


def _before_fork() -> None:
    _opening.acquire()
    _held.extend(_stores.values())
    for store in _held:
        store._lock.acquire()
        store.close()


def _after_fork_in_parent() -> None:
    for store in _held:
        store._lock.release()
    _held.clear()
    _opening.release()


def _after_fork_in_child() -> None:
    global _opening
    for store in _held:
        store._lock = threading.RLock()
    _held.clear()
    _opening = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
