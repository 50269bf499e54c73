"""Errors of an HTTP exchange as Alloy errors."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

from alloy.errors import (
    AuthenticationError,
    BadRequestError,
    ModelNotFoundError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
)

__all__ = ["retry_after", "status_error"]


def status_error(
    provider: str,
    status: int,
    message: str,
    *,
    code: str | None = None,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProviderError:
    """The error for an HTTP *status* of 400 or more; *headers* may hold how long to wait."""
    kind, transient = _kind(status)
    return kind(
        message,
        provider=provider,
        status=status,
        code=code,
        request_id=request_id,
        retry_after=retry_after(headers or {}),
        transient=transient,
    )


def _kind(status: int) -> tuple[type[ProviderError], bool | None]:
    """The class for a status, and whether another try may help if the class does not decide that."""
    if status in (401, 403):
        return AuthenticationError, None
    if status == 404:
        return ModelNotFoundError, None
    if status == 408:
        return ProviderTimeoutError, None
    if status == 429:
        return RateLimitError, None
    if status >= 500:
        return ServerError, status not in (501, 505)
    return BadRequestError, status == 409


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, by `retry-after-ms` or `Retry-After` (RFC 9110, 10.2.3: seconds or a date)."""
    value = headers.get("retry-after", "")
    for text, unit in ((headers.get("retry-after-ms", ""), 1000), (value, 1)):
        with suppress(ValueError):
            if (seconds := float(text) / unit) == seconds:  # false for NaN
                return max(0.0, seconds)
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    # RFC 9110, 5.6.7: the obsolete form of a date has no zone and means UTC.
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time())
