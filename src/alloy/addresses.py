"""Addresses of servers: what makes one invalid, and where it has a name and a password."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

__all__ = ["Login", "address_problem", "login_in", "split_address"]

# https://datatracker.ietf.org/doc/html/rfc1035#section-2.3.4, without the bytes of the lengths
LABEL_MAX, HOST_MAX = 63, 253

_IPV4 = re.compile(r"\d+\.\d+\.\d+\.\d+", re.ASCII)


def split_address(address: str) -> SplitResult:
    """*address*, whose scheme may be missing, by its parts. Raises `ValueError` if it has none."""
    return urlsplit(address if "://" in address else f"http://{address.lstrip('/')}")


def address_problem(address: str, *, needs_host: bool = True) -> str | None:
    """What is wrong with *address*, whose scheme may be missing; `None` if a request can be sent to it."""
    if not address.isprintable() or " " in address:
        return "it has a blank, or a character that cannot be printed"
    try:
        parts = split_address(address)
        host = parts.hostname or ""
    except ValueError:  # its text may show a password
        return "its host is not valid"
    if not _has_valid_port(parts):
        return "its port is not a number from 1 to 65535"
    if not host:
        return "it has no host" if needs_host else None
    return _ip_problem(parts, host) or _host_problem(host)


def _has_valid_port(parts: SplitResult) -> bool:
    try:
        port = parts.port
    except ValueError:
        return False
    return port is None or (port > 0 and parts.netloc.rpartition(":")[2].isascii())


def _ip_problem(parts: SplitResult, host: str) -> str | None:
    try:
        if "[" in parts.netloc.rpartition("@")[2]:
            IPv6Address(host)
        elif _IPV4.fullmatch(host):
            IPv4Address(host)
    except AddressValueError:
        return f"{host} is not an IP address"
    return None


def _host_problem(host: str) -> str | None:
    try:
        name = host if host.isascii() else _in_ascii(host)
    except UnicodeError:
        return "its host is not a name of the internet (IDNA)"
    if ":" in name:  # IPv6
        return None
    labels = name.removesuffix(".").split(".")
    if not all(labels):
        return "its host has nothing before a dot"
    if max(map(len, labels)) > LABEL_MAX:
        return f"its host has more than {LABEL_MAX} characters without a dot"
    return f"its host has more than {HOST_MAX} characters" if len(name) > HOST_MAX + 1 else None


def _in_ascii(host: str) -> str:
    """*host* as HTTP libraries encode it. Raises `UnicodeError`."""
    try:
        from idna import encode
    except ImportError:  # it comes with them
        return host.encode("idna").decode("ascii")
    return encode(host.lower()).decode("ascii")


# --- names and passwords ------------------------------------------------------------------------------


class Login(NamedTuple):
    """An address in three parts, each of which may be empty."""

    before: str  # the scheme, with its slashes
    login: str  # name and password
    after: str


_BEFORE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:(?=/))?/*", re.IGNORECASE)
_HOST = re.compile(r"(?:[^@:]*|\[[^@]*\])(?::\d*)?")


def login_in(address: str) -> Login:
    """The parts of *address*, which need not be valid: everything before an `@` may be a password.

    An `@` after a valid host belongs to the path or the query.
    """
    before = _BEFORE.match(address)[0]  # type: ignore[index]  # it matches nothing, too
    rest = address[len(before) :]
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if "@" in authority:
        login, _, host = authority.rpartition("@")
        return Login(before, login, host + rest[len(authority) :])
    if _HOST.fullmatch(authority):
        return Login(before, "", rest)
    login, _, after = rest.rpartition("@")
    return Login(before, login, after)
