"""Removing keys and passwords from errors before they are raised to the caller.

The engine cleans every error that a request ends with, because codecs, which know no key, quote events and
bodies of an unexpected format. What the requests of a call carried is collected in `Endpoint.carried`.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

from alloy.backends.http.transport_errors import HTTP_LIBRARIES
from alloy.endpoints import Carried, is_public, secrets_in_url
from alloy.excerpts import DEEPEST, beginning, printable

__all__ = ["Redactor", "clean", "release", "repeats_secret"]

SHORTEST = 8  # characters; shorter ones are placeholders such as "ollama", and words that messages need
FRAGMENT = 8  # so much of a secret is removed wherever it is
AT_CUT = 4  # and so much of its beginning where a text was cut
KEPT = 20_000  # characters of each error of a library that are kept

# What looks like a key, whole or with its middle masked, as OpenAI's own 401 shows it: of OpenAI, Anthropic
# and others, Google's keys and tokens, Groq, xAI, Hugging Face, AWS, and a JSON Web Token.
_KEY = re.compile(
    r"\b(?:sk-[\w*.…-]{4,}|AIza[\w*…-]{16,}|ya29\.[\w*.…-]{8,}|(?:gsk|hf|ghp)_\w{16,}|xai-\w{16,}"
    r"|AKIA[A-Z0-9]{12,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)

# Escaped characters of JSON and Python, of URLs, of HTML; before an ellipsis also half of an escape.
_ESCAPE = re.compile(
    r"\\+u(?P<unicode>[0-9a-fA-F]{4})|\\+x(?P<hex>[0-9a-fA-F]{2})|%(?P<url>[0-9a-fA-F]{2})"
    r"|&#(?P<decimal>\d{1,6});|&#[xX](?P<html>[0-9a-fA-F]{1,5});|&(?P<name>amp|quot|lt|gt|apos);"
    r"|(?P<half>(?:\\+(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?|%[0-9a-fA-F]?|&#?[0-9a-zA-Z]{0,5})(?=…))"
    r"|\\+(?P<plain>[\"'/\\])"
)
_NAMES = {"amp": "&", "quot": '"', "lt": "<", "gt": ">", "apos": "'"}


class Redactor:
    """Removes *secrets*, and everything that looks like a key, from texts.

    A text is decoded first: its escapes are read, and it is one case. Then every piece of it is removed that
    is a fragment of a secret, so that neither a masked middle nor a cut, by whomever, leaves a part of one.
    Directly before an ellipsis, where Alloy cuts texts, a shorter beginning of a secret is removed, too.
    Secrets are also found in Base64, as RFC 7617 writes passwords. The time is linear in the text.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        decoded = {_decoded(secret)[0] for secret in secrets}
        whole = {secret for secret in decoded if len(secret) >= SHORTEST}
        self._beginnings = {secret[:size] for secret in whole for size in range(AT_CUT, FRAGMENT)}
        forms = {form for secret in set(secrets) for form in _base64(secret.strip())} | whole
        self._fragments = {
            form[start : start + FRAGMENT] for form in forms for start in range(len(form) - FRAGMENT + 1)
        }

    def __call__(self, text: str) -> str:
        """*text* without secrets."""
        if self._fragments:
            data, places = _decoded(text)
            shown, end = [], 0
            for first, last in self._spans(data):
                shown += [text[end : places[first][0]], "[key]"]
                end = places[last - 1][1]
            text = "".join([*shown, text[end:]])
        return _KEY.sub("[key]", text)

    def _spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        """From where to where *data* is to be removed, in order and without an overlap."""
        found = [
            (start, start + FRAGMENT)
            for start in range(len(data) - FRAGMENT + 1)
            if data[start : start + FRAGMENT] in self._fragments
        ]
        found += [
            (cut - size, cut)
            for cut in (each.start() for each in re.finditer(_ELLIPSIS, data))
            for size in range(AT_CUT, FRAGMENT)
            if data[max(cut - size, 0) : cut] in self._beginnings
        ]
        spans: list[list[int]] = []
        for start, end in sorted(found):
            if spans and start <= spans[-1][1]:
                spans[-1][1] = max(end, spans[-1][1])
            else:
                spans.append([start, end])
        return ((start, end) for start, end in spans)


def repeats_secret(carried: Carried | None, text: str) -> bool:
    """Whether *text*, of a good response, has the end of a secret that its call has *carried*."""
    if carried is None:
        return False
    text = text.lower()
    for headers in carried.headers:
        for name, value in headers.items():
            if len(value) >= SHORTEST and value[-SHORTEST:].lower() in text and not is_public(name):
                return True
    others = [*carried.secrets]
    for url in carried.urls:
        if url.query or url.userinfo:
            others += secrets_in_url(str(url))
    return any(len(secret) >= SHORTEST and secret[-SHORTEST:].lower() in text for secret in others)


_ELLIPSIS = "…".encode()


def _decoded(text: str) -> tuple[bytes, list[tuple[int, int]]]:
    """*text* without escapes, in lower case and UTF-8; and of each byte its place in *text*."""
    data, places, end = bytearray(), [], 0

    def add(content: bytes, start: int, stop: int) -> None:
        data.extend(content)
        places.extend([(start, stop)] * len(content))

    def add_plain(start: int, stop: int) -> None:
        plain = text[start:stop]
        if plain.isascii():
            data.extend(plain.encode())
            places.extend((place, place + 1) for place in range(start, stop))
        else:
            for place, character in enumerate(plain, start):
                add(character.encode("utf-8", "surrogatepass"), place, place + 1)

    for found in _ESCAPE.finditer(text):
        add_plain(end, found.start())
        end = found.end()
        add(_unescaped(found), found.start(), end)
    add_plain(end, len(text))
    return bytes(data).lower(), places


def _unescaped(found: re.Match[str]) -> bytes:
    kind, value = found.lastgroup, found[found.lastgroup or 0]
    if kind == "half":
        return b""
    if kind == "url":
        return bytes.fromhex(value)
    if kind in ("plain", "name"):
        return _NAMES.get(value, value).encode()
    number = int(value, 10 if kind == "decimal" else 16)
    return chr(number).encode("utf-8", "surrogatepass")


def _base64(secret: str) -> Iterator[bytes]:
    """What *secret* is in Base64, at each place where it can be in a longer text."""
    if len(secret) < SHORTEST:
        return
    data = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        form = b64encode(b"\0" * before + data).lower()
        inner = form[4 if before else 0 : -4 if (before + len(data)) % 3 else None]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


# --- errors -------------------------------------------------------------------------------------------


def clean(error: BaseException, redactor: Redactor, before: BaseException | None = None) -> None:
    """Remove secrets and control characters from *error* and from the errors that led to it.

    *before* is an error of the caller's, which was handled when the request began: it is left as it is.
    """
    for each in _linked(error, before):
        kept = _Kept(redactor)
        if isinstance(each, UnicodeEncodeError | UnicodeDecodeError):
            each.args = tuple(type(part)() if part is each.object else part for part in each.args)
            each.object = type(each.object)()  # the whole text, of which the message shows one character
            continue
        each.args = tuple(map(kept.shown, each.args))
        for name, value in each.__dict__.items():
            each.__dict__[name] = kept(value)


def release(error: BaseException, before: BaseException | None = None) -> None:
    """Drop what the *error* of a library keeps alive: requests, which have the key, and bodies."""
    for each in _linked(error, before):
        _clear(each.__traceback__)
        for name, value in each.__dict__.items():
            with suppress(Exception):
                if hasattr(value, "headers"):  # a request, or a response
                    each.__dict__[name] = None


_LIBRARIES = ("alloy.backends.", "alloy._engine.runtime.async_io.", *(f"{name}." for name in HTTP_LIBRARIES))


def _clear(traceback: TracebackType | None) -> None:
    """Clear the variables of the frames of *traceback* that belong to HTTP: responses, bodies, events.

    Others may be those of a generator that has caught the error and goes on, which it would end.
    """
    while traceback is not None:
        frame, traceback = traceback.tb_frame, traceback.tb_next
        if f"{frame.f_globals.get('__name__')}.".startswith(_LIBRARIES):
            with suppress(RuntimeError):  # it still runs
                frame.clear()


class _Kept:
    """What is kept of the values of one error: JSON without secrets, of limited length."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor, self._left, self._depth = redactor, KEPT, 0

    def shown(self, value: Any) -> Any:
        """*value* as a part of a message."""
        kept = self(value)
        return printable(kept, lines=True) if isinstance(kept, str) else kept

    def __call__(self, value: Any) -> Any:
        if isinstance(value, str):
            shown = beginning(value, max(self._left, 0))
            self._left -= len(shown)
            return self._redactor(shown)
        if isinstance(value, dict):
            return {self(key): self(item) for key, item in self._first(value.items())}
        if type(value) in (list, tuple):
            return type(value)(map(self, self._first(value)))
        return value

    def _first(self, items: Iterable[Any]) -> Iterator[Any]:
        self._depth += 1
        for item in items:
            if self._left <= 0 or self._depth > DEEPEST:
                break
            self._left -= 1
            yield item
        self._depth -= 1


def _linked(error: BaseException, before: BaseException | None) -> Iterator[BaseException]:
    """*error*, its causes, those that were being handled, and the members of groups."""
    seen, waiting = {id(None), id(before)}, [error]
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [one for one in (each.__cause__, each.__context__) if one is not None]
            if isinstance(each, BaseExceptionGroup):
                waiting += each.exceptions
