"""The logger `alloy`: no record drives a terminal or begins another line, whatever a model writes."""

from __future__ import annotations

import logging

from alloy.excerpts import printable

__all__ = ["log"]

log = logging.getLogger("alloy")


def _escape(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(map(_shown, record.args))
    if record.exc_info and record.exc_info[1] is not None:
        record.exc_text = _traceback_of(record.exc_info[1])  # which formatters use
    return True


def _shown(value: object) -> object:
    return printable(str(value)) if isinstance(value, str | BaseException) else value


def _traceback_of(error: BaseException) -> str:
    """The traceback of *error*, in which only Python's own lines begin at the margin."""
    from traceback import TracebackException

    parts = TracebackException.from_exception(error).format()
    lines = (
        printable(part, lines=True) if part[:1] in (" ", "\n") else printable(part.rstrip("\n")) + "\n"
        for part in parts
    )
    return "".join(lines).rstrip("\n")


log.addFilter(_escape)
