"""The body of a response: decompressed in small pieces, and limited by `max_response_bytes`."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from math import inf
from typing import Any

from alloy.backends.http.received import Received
from alloy.errors import BadReplyError, ProviderError, ResponseTooLargeError

__all__ = ["ENCODINGS", "Body"]

ENCODINGS = "gzip, deflate"
"""The compressions that are asked for: those that zlib decompresses in pieces of a limited size."""

PIECE = 2**16  # bytes that are decompressed at once
LAYERS_MAX = 5  # of compression; more than one is unusual
BEGINNING = 100_000  # bytes of an error body that is too large, of which a message shows less
_BITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_UNREADABLE = ("br", "zstd", "compress")  # by names; servers also write others, such as "utf-8"


async def _stream_of(response: Any) -> AsyncGenerator[bytes, None]:
    """The bytes of *response* as they arrive. As with `aiter_raw`, an error names the request."""
    async with aclosing(aiter(response.stream)) as chunks:
        try:
            async for chunk in chunks:
                yield chunk
        except Exception as error:
            if getattr(error, "_request", response) is None:  # a `RequestError` of the library
                error.request = response.request  # type: ignore[attr-defined]
            raise


class Body:
    """The body of one response.

    The HTTP libraries decompress each chunk as a whole, and 64 kB of it can become 64 MB. So the chunks are
    taken as they arrive (`chunks`) and are decompressed here (`pieces`), at most `PIECE` bytes at once. The
    limit is for the sum of the pieces, and for that of the chunks, because a chunk can decompress to nothing.
    A body that is too large by its header is not read at all. With *cuts*, which is for the text of an error,
    the beginning of a body that is too large is read.
    """

    def __init__(self, received: Received, *, cuts: bool = False) -> None:
        self._received, self._response, self._cuts = received, received.response, cuts
        self._limit = inf if received.max_bytes is None else received.max_bytes
        self.is_cut = False
        self._arrived = self._size = 0
        # A hook of the caller's client may have read it.
        self._is_read = self._response.is_stream_consumed
        self._layers = [] if self._is_read else self._decompressors()

    def chunks(self) -> Any:
        """The bytes as they arrive, for `pieces`. Raises `ResponseTooLargeError` if the header says so."""
        self._check_length()
        return self._response.iter_bytes() if self._is_read else self._response.iter_raw()

    def chunks_async(self) -> Any:
        """As `chunks`. Reading them does not close the response, which a cancellation could cut short."""
        self._check_length()
        return self._response.aiter_bytes() if self._is_read else _stream_of(self._response)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """The pieces of the body that *chunk* contains, decompressed, up to the limit.

        Raises `ResponseTooLargeError`, and `BadReplyError` for a chunk that cannot be decompressed.
        """
        self._arrived += len(chunk)
        try:
            for piece in _through(self._layers, chunk):
                left, self._size = self._limit - self._size, self._size + len(piece)
                if self._size > self._limit:
                    yield piece[: int(left)]
                    raise self._too_large()
                yield piece
        except zlib.error as error:
            raise self._bad(f"the answer's body cannot be decoded ({error})") from error
        if self._arrived > self._limit:
            raise self._too_large()

    def read(self) -> bytes:
        """The whole body, or what *cuts* leaves of it. Raises as `chunks` and `pieces` do."""
        with self._collecting() as found:
            for chunk in self.chunks():
                for piece in self.pieces(chunk):
                    found += piece
        return bytes(found)

    async def read_async(self) -> bytes:
        """As `read`."""
        with self._collecting() as found:
            async for chunk in self.chunks_async():
                for piece in self.pieces(chunk):
                    found += piece
        return bytes(found)

    def noted(self, error: ProviderError) -> ProviderError:
        """*error*, which this body describes, with a remark when only its beginning was read."""
        if self.is_cut:
            error.args = (f"{error}; the rest of its text exceeds {self._limit_text()} and was not read",)
        return error

    @contextmanager
    def _collecting(self) -> Iterator[bytearray]:
        found = bytearray()
        try:
            yield found
        except ResponseTooLargeError:
            if not self._cuts:
                found.clear()  # otherwise the traceback would keep it
                raise
            self.is_cut = True
            del found[BEGINNING:]
        except BaseException:
            found.clear()
            raise

    def _check_length(self) -> None:
        length = self._response.headers.get("content-length", "")
        if length.isdecimal() and float(length) > self._limit:
            if not self._cuts:
                raise self._too_large()
            self._limit = min(self._limit, BEGINNING)

    def _decompressors(self) -> list[_Decompressor]:
        header = self._response.headers.get("content-encoding", "")
        names = [name for each in header.split(",") if (name := each.strip().lower())]
        if len(names) > LAYERS_MAX or any(name in _UNREADABLE for name in names):
            what = f"the answer is compressed with {header[:80]!r}, and only {ENCODINGS} was asked for"
            raise self._bad(what, transient=False)
        return [_Decompressor(name) for name in reversed(names) if name in _BITS]

    def _too_large(self) -> ResponseTooLargeError:
        received = self._received
        return ResponseTooLargeError(
            f"the answer is larger than {self._limit_text()}: raise that setting if answers can be so large "
            "(None means no limit), and check `base_url` otherwise",
            provider=received.provider,
            status=self._response.status_code,
            request_id=received.request_id,
        )

    def _limit_text(self) -> str:
        return f"max_response_bytes={self._received.max_bytes:,}"

    def _bad(self, message: str, transient: bool | None = None) -> BadReplyError:
        received = self._received
        return BadReplyError(
            message,
            provider=received.provider,
            status=self._response.status_code,
            request_id=received.request_id,
            transient=transient,
        )


class _Decompressor:
    """One layer of compression, `gzip` or `deflate`. What follows the end of the data is ignored."""

    def __init__(self, name: str) -> None:
        self._name, self._start = name, b""
        self._object: Any = None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What *data* contains, in pieces of at most `PIECE` bytes. Raises `zlib.error`."""
        if self._object is None:
            data = self._start = self._start + data
            if len(data) < 2:
                return
            self._object = zlib.decompressobj(self._bits(data))
        while not self._object.eof:
            piece = self._object.decompress(data, PIECE)
            data = self._object.unconsumed_tail
            if piece:
                yield piece
            if not data and len(piece) < PIECE:
                return

    def _bits(self, start: bytes) -> int:
        # RFC 9110, 8.4.1.2: some servers send "deflate" without the header of zlib (RFC 1950, 2.2).
        has_header = start[0] & 15 == 8 and int.from_bytes(start[:2], "big") % 31 == 0
        return -zlib.MAX_WBITS if self._name == "deflate" and not has_header else _BITS[self._name]


def _through(layers: list[_Decompressor], data: bytes) -> Iterator[bytes]:
    """*data* without its *layers* of compression, the outermost first."""
    if not layers:
        yield data
        return
    for piece in layers[0].pieces(data):
        yield from _through(layers[1:], piece)
