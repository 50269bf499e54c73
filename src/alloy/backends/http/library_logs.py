"""What the HTTP libraries log of our requests.

The address of a request may have a name, a password and keys, and a server may repeat them in its headers.
"""

from __future__ import annotations

import logging
import re
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

from alloy.threads import value_of

__all__ = ["addresses_hidden", "hide_addresses", "nothing_logged"]

_shown: ContextVar[str] = ContextVar("alloy_shown_of_requests", default="all")


def hide_addresses() -> None:
    """As `addresses_hidden`, for the rest of the task that sends a request."""
    _shown.set("origin and path")


def addresses_hidden() -> AbstractContextManager[None]:
    """Within the block, httpx and httpx2 log the addresses of requests without userinfo and query.

    And their connections log no headers, no text of an error, and no password of a proxy.
    """
    return value_of(_shown, "origin and path")


def nothing_logged() -> AbstractContextManager[None]:
    """Within the block, httpx and httpx2 log no request: none is sent."""
    return value_of(_shown, "nothing")


def _shows(record: logging.LogRecord) -> bool:
    shown = _shown.get()
    if shown == "origin and path" and isinstance(record.args, tuple):
        record.args = tuple(map(_plain, record.args))
    return shown != "nothing"


def _plain(value: Any) -> Any:
    if not hasattr(value, "userinfo") or not hasattr(value, "query"):
        return value
    hidden = "?…" if value.query else ""
    return f"{value.scheme}://{value.netloc.decode('ascii')}{value.path}{hidden}"


# What httpcore logs at DEBUG, as text: its steps with their arguments, results and exceptions.
_STEP = re.compile(
    r"\A(receive_response_headers\.complete return_value=\((?:b'[^']*', )?\d+"
    r"|setup_socks5_connection\.started|\w+\.failed exception=\w+).*",
    re.DOTALL,
)


def _shortens(record: logging.LogRecord) -> bool:
    if _shown.get() != "all" and isinstance(record.msg, str):
        record.msg = _STEP.sub(r"\1…", record.msg)
    return True


for _library in ("httpx", "httpx2"):
    logging.getLogger(_library).addFilter(_shows)
for _library in ("httpcore", "httpcore2"):
    for _part in ("connection", "http11", "http2", "proxy", "socks"):  # a filter is for its own logger only
        logging.getLogger(f"{_library}.{_part}").addFilter(_shortens)
