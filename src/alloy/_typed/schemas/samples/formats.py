"""The values of `format` in JSON Schema 2020-12 and in pydantic, with sample values and checks.

Addresses are those reserved for documentation: RFC 2606 (example.com), RFC 5737 (192.0.2.1) and RFC 3849
(2001:db8::). Dates and times have an offset, which RFC 3339 requires.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from binascii import Error as NotBase64
from binascii import a2b_base64
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from functools import partial
from ipaddress import ip_address, ip_interface, ip_network
from uuid import UUID

__all__ = ["FORMATS", "has_format"]

FIRST_DAY = date(2025, 1, 31)

DURATION = re.compile(r"[-+]?P(?!$)(\d+W)?(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")


def _numbered(word: str, nth: int) -> str:
    return f"{word}{nth + 1}" if nth else word


def _uuid(version: int, nth: int) -> str:
    # RFC 9562: the version is the first digit of the third group, the variant that of the fourth.
    return f"00000000-0000-{version}000-8000-{nth + 1:012x}"


# The nth value of each format, from 0.
FORMATS: dict[str, Callable[[int], str]] = {
    "date": lambda nth: (FIRST_DAY + timedelta(days=nth)).isoformat(),
    "date-time": lambda nth: f"{FIRST_DAY + timedelta(days=nth)}T12:00:00Z",
    "time": lambda nth: f"12:{nth // 60 % 60:02}:{nth % 60:02}Z",
    "duration": lambda nth: f"PT{nth + 1}H",
    **dict.fromkeys(("email", "idn-email"), lambda nth: f"{_numbered('name', nth)}@example.com"),
    "name-email": lambda nth: f"Name <{_numbered('name', nth)}@example.com>",
    **dict.fromkeys(("uri", "iri"), lambda nth: f"https://example.com/{nth or ''}"),
    "uri-reference": lambda nth: f"/{nth or ''}",
    "multi-host-uri": lambda nth: f"postgres://user:password@example.com:5432/{_numbered('name', nth)}",
    "hostname": lambda nth: f"{_numbered('www', nth)}.example.com",
    **dict.fromkeys(("ipv4", "ipvanyaddress"), lambda nth: f"192.0.2.{nth % 255 + 1}"),
    "ipv6": lambda nth: f"2001:db8::{nth + 1:x}",
    **dict.fromkeys(("ipv4interface", "ipvanyinterface"), lambda nth: f"192.0.2.{nth % 255 + 1}/24"),
    "ipv6interface": lambda nth: f"2001:db8::{nth + 1:x}/64",
    **dict.fromkeys(("ipv4network", "ipvanynetwork"), lambda nth: f"192.0.2.{nth % 256}/32"),
    "ipv6network": lambda nth: f"2001:db8:{nth:x}::/48",
    "uuid": lambda nth: _uuid(4, nth),
    **{f"uuid{version}": partial(_uuid, version) for version in range(1, 9)},
    "base64": lambda nth: b64encode(_numbered("text", nth).encode()).decode(),
    "base64url": lambda nth: urlsafe_b64encode(_numbered("text", nth).encode()).decode(),
    "regex": lambda nth: f"^{_numbered('text', nth)}$",
    "json-pointer": lambda nth: f"/{nth}",
    "color": lambda nth: f"#{nth % 0x1000000:06x}",
}

# Each raises one of `INVALID` for a text without the format. A format without a row is not checked.
READERS: dict[str, Callable[[str], object]] = {
    "date": date.fromisoformat,
    "date-time": datetime.fromisoformat,
    "time": time.fromisoformat,
    "duration": lambda text: _found(DURATION.fullmatch(text)),
    "email": lambda text: _found(re.fullmatch(r"[^@\s]+@[^@\s]+", text)),
    "uri": lambda text: _found(re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", text)),
    **dict.fromkeys(("ipv4", "ipv6", "ipvanyaddress"), ip_address),
    **dict.fromkeys(("ipv4interface", "ipv6interface", "ipvanyinterface"), ip_interface),
    **dict.fromkeys(("ipv4network", "ipv6network", "ipvanynetwork"), ip_network),
    "uuid": UUID,
    **{f"uuid{version}": UUID for version in range(1, 9)},
    "base64": lambda text: a2b_base64(text, strict_mode=True),
    "regex": re.compile,
}

INVALID = (ValueError, NotBase64, re.error)


def has_format(text: str, name: str) -> bool:
    """Whether *text* has the format *name*. True for an unknown format."""
    try:
        READERS.get(name, str)(text)
    except INVALID:
        return False
    return True


def _found(match: re.Match[str] | None) -> None:
    if match is None:
        raise ValueError
