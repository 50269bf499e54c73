"""The answers of a map in a SQLite file, so that a run that was killed continues where it was.

Each answer is stored when its call finishes, before the reader of the map gets it, in a transaction of its
own. The file is in WAL mode with `synchronous=NORMAL` (https://sqlite.org/wal.html): a process that is
killed at any moment loses no transaction, also in the middle of one. A machine that loses power may lose the
last ones, which are asked again. One connection locks it (`locking_mode=EXCLUSIVE`): a second run is an error
and not a race, and SQLite needs no shared memory, which network file systems do not have.

It holds text and numbers only: the final text of the model, which is read as the type of the command again,
and never a pickle, which could run code.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from contextlib import suppress
from functools import partial
from typing import Any

from alloy._engine.runtime.await_parsers import resolved
from alloy._typed.answers.parse import read
from alloy._typed.schemas.dialects import to_wire
from alloy._typed.types.compile import TypeSpec
from alloy.backends.registry import resolve
from alloy.databases import code_of, file_at, make_private, marks_of
from alloy.errors import CheckpointError
from alloy.jsontypes import JsonObject
from alloy.maps.fingerprints import digest
from alloy.maps.outcomes import Outcome
from alloy.messages import RequestUsage, Usage
from alloy.result import Result

__all__ = ["Checkpoint"]

APPLICATION = 0x416C6C79  # "Ally", in the header of the file
FORMAT = 1

_TABLES = (
    "CREATE TABLE command (part TEXT PRIMARY KEY, digest TEXT NOT NULL)",
    "CREATE TABLE answers (input INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, answer TEXT NOT NULL)",
)


class Checkpoint:
    """The file at *path*, open for one map of the command *name* with *identity*, whose answers are *spec*.

    Raises `CheckpointError` for a file that cannot be used.
    """

    def __init__(self, path: str, name: str, identity: dict[str, str], spec: TypeSpec[Any]) -> None:
        self._path, self._name, self._spec = path, name, spec
        self._lock = threading.Lock()
        self._fingerprints: dict[int, str] = {}  # of the inputs that are being asked
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = _connect(path)
            self._open(identity)
            (last,) = self._connection.execute("SELECT max(input) FROM answers").fetchone()
        except sqlite3.Error as error:
            self.close()
            raise self._explained(error) from error
        except BaseException:
            self.close()
            raise
        self._place = os.path.abspath(path)  # now: the program may change its folder
        self._file = file_at(self._place)
        self._last: int = -1 if last is None else last

    def known(self, index: int, args: tuple[Any, ...]) -> Outcome[Any] | None:
        """What an earlier run stored for the input *index*; `None` if it is to be asked.

        Raises `CheckpointError` if *args* are not those of the earlier run.
        """
        fingerprint = digest(args, f"{self._name}: input {index}")
        if index > self._last or (row := self._row(index)) is None:
            self._fingerprints[index] = fingerprint
            return None
        if row[0] != fingerprint:
            raise CheckpointError(
                f"{self._name}: input {index} is not the one that was answered in {self._path!r}: give the "
                "inputs of that run in the same order (more may follow), or another file for checkpoint"
            )
        result = self._restored(json.loads(row[1]), index)
        return Outcome(index, args, result.value, None, result)

    def store(self, outcome: Outcome[Any]) -> None:
        """Store an answer, from any thread. Raises `CheckpointError` if the file cannot be written."""
        assert outcome.result is not None
        answer = json.dumps(_dumped(outcome.result))
        with self._lock:
            fingerprint = self._fingerprints.pop(outcome.index)
            if self._connection is None:  # the map was left
                return
            if file_at(self._place) != self._file:  # SQLite would write to a file that nobody finds
                raise CheckpointError(
                    f"{self._path!r} was removed or replaced while the map ran: no answer is stored any more"
                )
            try:
                self._connection.execute(
                    "INSERT INTO answers VALUES (?, ?, ?)", (outcome.index, fingerprint, answer)
                )
            except sqlite3.Error as error:
                raise self._explained(error) from error

    def forget(self, index: int) -> None:
        """The call of an input has failed: another run asks again."""
        with self._lock:
            self._fingerprints.pop(index, None)

    def close(self) -> None:
        """Close the file, so that another map can use it."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # --- the file -----------------------------------------------------------------------------------

    def _open(self, identity: dict[str, str]) -> None:
        """Make the tables in a new file; check that another one is of the same command."""
        assert self._connection is not None
        ask = self._connection.execute
        marks = marks_of(self._connection)
        is_new = not any(marks)
        if marks.application != APPLICATION and not is_new:
            raise CheckpointError(
                f"{self._path!r} is a database of something else, not a checkpoint: give another file"
            )
        if marks.version > FORMAT:
            raise CheckpointError(f"{self._path!r} was written by a newer version of Alloy: use that version")
        ask("PRAGMA journal_mode = WAL")
        ask("PRAGMA synchronous = NORMAL")
        ask("BEGIN EXCLUSIVE")
        if is_new:
            for table in _TABLES:
                ask(table)
            self._connection.executemany("INSERT INTO command VALUES (?, ?)", identity.items())
            ask(f"PRAGMA application_id = {APPLICATION}")
            ask(f"PRAGMA user_version = {FORMAT}")
        else:
            self._check(dict(ask("SELECT part, digest FROM command").fetchall()), identity)
        ask("COMMIT")

    def _check(self, stored: dict[str, str], identity: dict[str, str]) -> None:
        changed = [part for part in {**identity, **stored} if stored.get(part) != identity.get(part)]
        if changed:
            raise CheckpointError(
                f"{self._path!r} has answers of another command than {self._name}: {', '.join(changed)} "
                "changed; give another file for checkpoint, or undo the change"
            )

    def _row(self, index: int) -> tuple[str, str] | None:
        with self._lock:
            if self._connection is None:
                return None
            try:
                found: tuple[str, str] | None = self._connection.execute(
                    "SELECT fingerprint, answer FROM answers WHERE input = ?", (index,)
                ).fetchone()
            except sqlite3.Error as error:
                raise self._explained(error) from error
            return found

    def _explained(self, error: sqlite3.Error) -> CheckpointError:
        code = code_of(error)
        known = next((text for start, text in _PROBLEMS.items() if code.startswith(start)), "cannot be used")
        return CheckpointError(f"{self._path!r} {known} ({error})")

    # --- the answers --------------------------------------------------------------------------------

    def _restored(self, answer: JsonObject, index: int) -> Result[Any]:
        try:
            value = resolved(partial(read, self._spec, answer["text"], self._wire(answer["model"])))
        except Exception as error:
            raise CheckpointError(
                f"{self._path!r}: the answer to input {index} cannot be read any more ({error})"
            ) from error
        return Result(
            value=value,
            text=answer["text"],
            usage=Usage(*answer["usage"]),
            turns=answer["turns"],
            attempts=answer["attempts"],
            tool_calls=(),
            model=answer["model"],
            transcript=(),
            downgrades=tuple(answer["downgrades"]),
            seconds=answer["seconds"],
            requests=tuple(
                RequestUsage(model, Usage(*usage), address) for model, usage, address in answer["requests"]
            ),
        )

    def _wire(self, model: str) -> Any:
        """The form in which *model* writes the type."""
        if self._spec.schema is None:
            return None
        backend, _ = resolve(model)
        return to_wire(self._spec.schema, backend.dialect)


# By the beginning of the name of SQLite's code (https://sqlite.org/rescode.html).
_PROBLEMS = {
    "SQLITE_BUSY": "is in use by another map, here or in another process: wait for it, or give another file",
    "SQLITE_NOTADB": "is not a SQLite file: give another file for checkpoint",
    "SQLITE_CORRUPT": "is damaged: give another file for checkpoint",
    "SQLITE_READONLY": "is read-only: change its permissions, or give another file for checkpoint",
    "SQLITE_CANTOPEN": "cannot be opened: check that its folder exists and can be written",
    "SQLITE_FULL": "cannot grow, because the disk is full: what it has stays; free some space and run again",
    "SQLITE_IOERR": "cannot be written: what it has stays; check the disk and run again",
}


def _connect(path: str) -> sqlite3.Connection:
    file = os.path.abspath(path)  # so that ":memory:" is a file, too
    if os.path.isfile(file) and not os.access(file, os.W_OK):
        raise CheckpointError(f"{path!r} {_PROBLEMS['SQLITE_READONLY']}")  # SQLite's error is another one
    with suppress(OSError):  # SQLite's error says more
        make_private(file)
    connection = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
    # Before anything is read: then WAL needs no shared memory.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return connection


def _dumped(result: Result[Any]) -> JsonObject:
    return {
        "text": result.text,
        "usage": _counts(result.usage),
        "turns": result.turns,
        "attempts": result.attempts,
        "model": result.model,
        "downgrades": result.downgrades,
        "seconds": round(result.seconds, 3),
        "requests": [(each.model, _counts(each.usage), each.address) for each in result.requests],
    }


def _counts(usage: Usage) -> list[int]:
    return [
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.reasoning_tokens,
        usage.cache_write_tokens,
    ]
