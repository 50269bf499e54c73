"""What the SQLite files of Alloy have in common: the checkpoint of a map, and a response cache.

Importing this module does not import sqlite3.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Marks", "code_of", "file_at", "marks_of"]


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


def file_at(path: str) -> tuple[int, int] | None:
    """Which file is at *path*."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
