"""What the SQLite files of Alloy have in common: the checkpoint of a map, and a response cache.

Importing this module does not import sqlite3.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Marks", "code_of", "file_at", "make_private", "marks_of"]


class Marks(NamedTuple):
    """What a file says of itself: who writes it, in which version, and how many tables and indices it has."""

    application: int
    version: int
    tables: int


def marks_of(connection: sqlite3.Connection) -> Marks:
    """The marks of the file of *connection*; zeros for a new one. Raises `sqlite3.Error`."""
    questions = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    return Marks(*(connection.execute(each).fetchone()[0] for each in questions))


def code_of(error: Exception) -> str:
    """The name of SQLite's code (https://sqlite.org/rescode.html); empty for an error of Python."""
    return getattr(error, "sqlite_errorname", "")


def make_private(path: str) -> None:
    """Make an empty file at *path*, if there is none, that only its owner can read, because it gets answers.

    SQLite gives its other files the same permissions. Raises `OSError` where there can be no file.
    """
    with suppress(FileExistsError):
        # The real path, because `O_EXCL` refuses a link to a file that is not there.
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def file_at(path: str) -> tuple[int, int] | None:
    """Which file is at *path*."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
