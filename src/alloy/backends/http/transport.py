"""What every provider behind an HTTP library shares: cutting a wait short, event streams, transport errors.

The SDKs stand on httpx or on httpx2, by provider and by version. Both are used through what they
have in common, so neither is imported by name here.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from ssl import SSLError
from typing import Any
from urllib.parse import urljoin, urlsplit

from alloy.backends.base import CancelToken
from alloy.backends.http.redaction import redacted
from alloy.errors import (
    BadReplyError,
    ConfigurationError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
)

__all__ = [
    "EventStream",
    "attach_cut",
    "bad_reply",
    "cut",
    "cuttable",
    "drain",
    "drain_async",
    "is_json",
    "json_problem",
    "parse_json",
    "redirect_error",
    "request_id",
    "sendable",
    "transport_error",
]

SNIPPET = 200  # characters of a foreign body that a message shows
DEEPEST = 200  # levels; what goes deeper holds itself

# --- cutting a blocked wait ------------------------------------------------------------------------

_this_thread = threading.local()


@contextmanager
def cuttable(cancel: CancelToken) -> Iterator[None]:
    """Let *cancel* cut any response that arrives in this thread meanwhile.

    A thread-local and a response hook, because an SDK reads the body of an error status to its end
    before it hands anything back: no other way leads to that response in time.
    """
    _this_thread.cancel = cancel
    try:
        yield
    finally:
        _this_thread.cancel = None


def attach_cut(response: Any) -> None:
    """Give *response* to this thread's `CancelToken`: the response hook of every synchronous HTTP client."""
    cancel: CancelToken | None = getattr(_this_thread, "cancel", None)
    if cancel is not None:
        cancel.attach(partial(cut, response))


def cut(response: Any) -> None:
    """End *response* from another thread: a blocked read of it fails at once.

    Does nothing when it has been read to its end, for its connection may be another call's by now.
    """
    stream = response.extensions.get("network_stream")
    sock = None if stream is None or response.is_closed else stream.get_extra_info("socket")
    if sock is not None:
        # The plain socket's method: SSLSocket.shutdown also drops the TLS state that the reader is using.
        with suppress(OSError, ValueError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


# --- JSON --------------------------------------------------------------------------------------------


def parse_json(data: bytes | str) -> Any:
    """*data* as Python values. Raises `ValueError`."""
    from pydantic_core import from_json

    try:
        return from_json(data)  # two to five times as fast as json
    except ValueError:
        return json.loads(data)  # takes lone surrogates, which servers make when they split an emoji


def json_problem(value: Any, path: str = "$", depth: int = 0) -> str | None:
    """Why *value* cannot be sent as JSON, and where, or `None` when it can."""
    if depth > DEEPEST:
        return f"{path[: SNIPPET // 2]}… is nested without an end"
    if isinstance(value, dict):
        wrong = next((key for key in value if not isinstance(key, str)), None)
        if wrong is not None:
            return f"{path} has the key {wrong!r}, which is no text"
        parts = [(item, f"{path}.{key}") for key, item in value.items()]
    elif isinstance(value, list | tuple):
        parts = [(item, f"{path}[{index}]") for index, item in enumerate(value)]
    else:
        return _scalar_problem(value, path)
    return next((found for item, at in parts if (found := json_problem(item, at, depth + 1))), None)


def _scalar_problem(value: Any, path: str) -> str | None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            bad = value[error.start]
            return (
                f"{path} holds {bad!r} at character {error.start}, a lone surrogate that is no Unicode text"
            )
        return None
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f"{path} is {value!r}, which JSON cannot say"
    if value is None or isinstance(value, bool | int | float):
        return None
    return f"{path} is a {type(value).__name__}, which JSON cannot say"


# --- whole bodies and event streams ------------------------------------------------------------------


def is_json(response: Any) -> bool:
    """Whether *response* says that its body is one JSON value, and so no event stream."""
    return bool(response.headers.get("content-type", "").startswith("application/json"))


def bad_reply(provider: str, what: str, response: Any, content: bytes) -> BadReplyError:
    """The error for a body with a good status that is no answer: says its type and how it begins."""
    kind = response.headers.get("content-type", "no content type")
    text = content[: SNIPPET * 4].decode("utf-8", "replace").strip()
    text = redacted(text, response.request)
    shown = repr(text if len(text) <= SNIPPET else text[:SNIPPET] + "…") if text else "an empty body"
    return BadReplyError(
        f"{what}: {shown} ({kind}); is `base_url` the address of its API?",
        provider=provider,
        status=response.status_code,
        request_id=request_id(response),
    )


def request_id(response: Any) -> str | None:
    """What the provider's support asks for: OpenAI's header, or Anthropic's."""
    headers = response.headers
    return headers.get("x-request-id") or headers.get("request-id") or None


FIELDS = (b":", b"event", b"id", b"retry")
BESIDE_MAX = 200  # lines


class EventStream:
    """Reads server-sent events out of a body's bytes, however they are cut.

    Only the `data` of an event counts: what the providers put into `event:` stands in the data too.
    The rules are those of the HTML standard, 9.2.6; *done* is true after the `[DONE]` that some
    send last.
    """

    def __init__(self, provider: str, response: Any) -> None:
        self._provider, self._response = provider, response
        self._line: list[bytes] = []  # the pieces of an unfinished line
        self._data: list[bytes] = []  # the data lines of an unfinished event
        self._after_cr = False
        self._head = b""  # the body's first bytes, for a complaint
        self._events = 0
        self._beside: list[bytes] = []  # lines that are no field of an event
        self.done = False

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """Take the body's next bytes and yield the events that end in them, parsed."""
        if not self._events and len(self._head) < SNIPPET * 4:
            self._head += chunk
        for data in self._split(chunk):
            if data.startswith(b"[DONE]"):
                self.done = True
                return
            try:
                event = parse_json(data)
            except ValueError as error:
                raise bad_reply(
                    self._provider, "an event of the stream is no JSON", self._response, data
                ) from error
            self._events += 1
            yield event

    def finish(self) -> None:
        """Raise `BadReplyError` when the whole body held no event at all."""
        if not self._events and not self.done:
            raise bad_reply(self._provider, "the answer is no event stream", self._response, self._head)

    def rest(self) -> bytes:
        """What stood in the body beside events: some servers report a failure as bare JSON."""
        return b"\n".join([*self._beside, *self._line])

    def _split(self, chunk: bytes) -> Iterator[bytes]:
        if b"\n" not in chunk and b"\r" not in chunk:
            self._line.append(
                chunk
            )  # joined only at a line's end, so a long event costs no more than a short
            self._after_cr = self._after_cr and not chunk
            return
        for line in self._lines(chunk):
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and self._data:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                self._data = []
                yield data
            elif line and len(self._beside) < BESIDE_MAX and not line.startswith(FIELDS):
                self._beside.append(line)

    def _lines(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the second half of a CR LF that was cut in two
        self._after_cr = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._line:
            chunk = b"".join([*self._line, chunk])
        *lines, rest = chunk.split(b"\n")
        self._line = [rest] if rest else []
        return lines


# --- transport errors --------------------------------------------------------------------------------

HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "httpcore2", "anyio")

# From special to general: the first that is among an error's classes counts.
_TRANSPORT: dict[str, type[ProviderError] | type[ConfigurationError]] = {
    "UnsupportedProtocol": ConfigurationError,
    "LocalProtocolError": ConfigurationError,
    "InvalidURL": ConfigurationError,
    "DecodingError": BadReplyError,
    "TimeoutException": ProviderTimeoutError,
    "RequestError": ProviderConnectionError,
    "EndOfStream": ProviderConnectionError,
    "BrokenResourceError": ProviderConnectionError,
    "ClosedResourceError": ProviderConnectionError,
    "StreamError": ProviderConnectionError,
}

_REDIRECTS = (300, 301, 302, 303, 307, 308)
_UNREACHED = ("ConnectError", "ConnectTimeout")

_ADVICE: dict[type[Exception], str] = {
    ConfigurationError: "the request cannot be sent; check `base_url` and the key",
    BadReplyError: "the answer's body cannot be decoded",
    ProviderTimeoutError: "no answer in time; a longer `timeout` may help",
    ProviderConnectionError: "no connection, or it broke",
}


def transport_error(
    provider: str, error: BaseException, variable: str = ""
) -> ProviderError | ConfigurationError | None:
    """*error* in Alloy's terms when an HTTP library raised it, recognised by its classes' names.

    *variable* is the environment's name for `base_url`, to be checked where nobody was reached.
    """
    kind = _transport_kind(error)
    if kind is None:
        return None
    cause = redacted(f"{type(error).__name__}: {error}".removesuffix(": "))
    advice = _ADVICE[kind]
    if type(error).__name__ in _UNREACHED:
        with suppress(RuntimeError):  # what an error without its request raises
            request: Any = error.request  # type: ignore[attr-defined]
            origin = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"  # without a password
            advice = f"no connection to {origin}: check {_settings(variable)}"
    message = f"{advice} ({cause})"
    if issubclass(kind, ProviderError):
        return kind(message, provider=provider)
    return kind(f"{provider}: {message}")


def redirect_error(provider: str, response: Any, variable: str) -> ProviderError | None:
    """The error for an answer that sends elsewhere, `None` for any other.

    None is followed: it would give the key and the prompt to whoever is named, and a 302 to a `POST` ends in
    a `GET`.
    """
    if response.status_code not in _REDIRECTS:
        return None
    try:
        target = urlsplit(urljoin(str(response.request.url), response.headers.get("location", "")))
        host = target.netloc.rpartition("@")[2]  # before it stand a name and a password
        where = redacted(f"{target.scheme}://{host}{target.path}", response.request)[:SNIPPET]
    except ValueError:
        where = "what is no address"
    return ProviderError(
        f"the server redirects to {where}, where keys are not sent: set {_settings(variable)} to the address "
        "that answers by itself",
        provider=provider,
        status=response.status_code,
        request_id=request_id(response),
    )


def _settings(variable: str) -> str:
    return f"`base_url` or {variable}" if variable else "`base_url`"


def _transport_kind(error: BaseException) -> type[ProviderError] | type[ConfigurationError] | None:
    classes = type(error).__mro__
    names = {kind.__name__ for kind in classes if kind.__module__.partition(".")[0] in HTTP_LIBRARIES}
    found = next((kind for name, kind in _TRANSPORT.items() if name in names), None)
    if found is None and isinstance(error, SSLError | ConnectionError):
        return ProviderConnectionError  # asyncio's own, where the library below did not translate
    return found


# --- the two ends of an exchange -------------------------------------------------------------------

DRAIN = 0.1  # seconds that the rest of a body may take after its end mark


@contextmanager
def sendable(provider: str, body: Mapping[str, Any]) -> Iterator[None]:
    """Say where *body* cannot be written as JSON, when that is why building the request failed."""
    try:
        yield
    except (RecursionError, TypeError, ValueError) as error:
        problem = json_problem(dict(body))
        if problem is None:
            raise
        raise ConfigurationError(f"{provider}: the request cannot be sent: {problem}") from error


def drain(response: Any, chunks: Iterable[bytes]) -> None:
    """Read what follows the end mark: only a body that was read whole frees its connection for reuse.

    A timer, because some servers leave a finished body open: the answer must not wait for them.
    """
    timer = threading.Timer(DRAIN, cut, [response])
    timer.daemon = True
    timer.start()
    try:
        for _ in chunks:
            pass
    except Exception as error:
        if transport_error("", error) is None:
            raise
    finally:
        timer.cancel()
        timer.join()


async def drain_async(chunks: Any) -> None:
    """As `drain`."""
    try:
        async with asyncio.timeout(DRAIN):
            async for _ in chunks:
                pass
    except TimeoutError:
        return
    except Exception as error:
        if transport_error("", error) is None:
            raise
