"""Status lines, headers, framings and encodings that no server should send, and redirects."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

from kit.wire import Answer

from faults.cells import Fault, Scene
from faults.connections import LOST, LOST_TEXT, until_text

TOO_LONG = "`ProviderConnectionError`"  # the library refuses it each time
BAD_RETRIED = "`BadReplyError`, retried"
BAD_TEXT = "`BadReplyError`, text kept"
VALUE = "value"
Build = Callable[[Scene], Answer]


def content(scene: Scene) -> bytes:
    """The whole body of the good answer."""
    return b"".join(part for part in scene.answer().body if isinstance(part, bytes))


def kind(scene: Scene) -> str:
    return scene.answer().headers["content-type"]


def raw(head: str, body: Callable[[bytes], bytes] = lambda whole: whole) -> Build:
    """The good answer with the lines of *head* before its *body*; the end of the connection ends it."""
    lines = head.replace("\n", "\r\n")

    def answer(scene: Scene) -> Answer:
        first = lines.replace("KIND", kind(scene)).encode("latin-1")
        return Answer(raw=[first + b"\r\nconnection: close\r\n\r\n", body(content(scene))])

    return answer


OK = "HTTP/1.1 200 OK\ncontent-type: KIND"


def headers(**added: str) -> Build:
    """The good answer with more headers."""

    def answer(scene: Scene) -> Answer:
        found = scene.answer()
        found.headers |= {name.replace("_", "-"): value for name, value in added.items()}
        return found

    return answer


def encoded(name: str, encode: Callable[[bytes], bytes]) -> Build:
    """The good answer with a content-encoding that is not what it says, or not whole."""

    def answer(scene: Scene) -> Answer:
        kept = {"content-type": kind(scene), "content-encoding": name}
        return Answer([encode(content(scene))], 200, kept)

    return answer


def half_of_gzip(scene: Scene) -> Answer:
    """Half of a plain answer, or a stream to its first text, and no end of the compression."""
    whole = content(scene)
    half = whole[: len(whole) // 2] if scene.form == "call" else b"".join(until_text(scene.answer()))
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(half) + packer.flush(zlib.Z_SYNC_FLUSH)
    return Answer([body], 200, {"content-type": kind(scene), "content-encoding": "gzip"})


def shorter(scene: Scene) -> Answer:
    """A content-length that leaves out the second half, or what follows the first text of a stream."""
    found = scene.answer()
    whole = content(scene)
    length = len(whole) // 2 if scene.form == "call" else len(b"".join(until_text(found)))
    return Answer([whole], 200, {**found.headers, "connection": "close"}, length=length)


def chunked(end: bytes) -> Build:
    """A chunk of half an answer, or of a stream to its first text, and then *end* instead of a chunk."""

    def answer(scene: Scene) -> Answer:
        whole = content(scene)
        half = whole[: len(whole) // 2] if scene.form == "call" else b"".join(until_text(scene.answer()))
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind(scene)}\r\ntransfer-encoding: chunked\r\n\r\n"
        return Answer(raw=[head.encode() + b"%x\r\n%b\r\n" % (len(half), half) + end])

    return answer


# --- redirects ----------------------------------------------------------------------------------------

ELSEWHERE = "http://127.0.0.1:9/v1"  # the port of the discard service, where nothing listens


def redirect(status: int, target: str) -> Build:
    """A redirect; a request that followed it would be counted, or would be refused."""

    def answer(scene: Scene) -> Answer:
        location = target or scene.server.url + "/elsewhere"
        return Answer([b"moved"], status, {"location": location, "content-type": "text/plain"})

    return answer


MOVED = dict.fromkeys((301, 302, 303, 307, 308), "`ProviderError`")

HEADS = [
    Fault("a status line that is not one", raw("HTTP/1.1 fine\ncontent-type: KIND"), LOST, LOST),
    Fault("status 099", raw("HTTP/1.1 099 Odd\ncontent-type: KIND"), LOST, LOST),
    Fault(
        "status 799",
        raw("HTTP/1.1 799 Odd\ncontent-type: KIND"),
        "`ServerError`, retried",
        "`ServerError`, retried",
    ),
    Fault("HTTP/1.0", raw("HTTP/1.0 200 OK\ncontent-type: KIND"), VALUE, VALUE),
    Fault("HTTP/0.9: a body without headers", lambda scene: Answer(raw=[content(scene)]), LOST, LOST),
    Fault("no header at all", raw("HTTP/1.1 200 OK"), VALUE, VALUE),
    Fault("`101 Switching Protocols`", raw("HTTP/1.1 101 Switching Protocols\nupgrade: x"), LOST, LOST),
    Fault(
        "`103 Early Hints` before the answer", raw(f"HTTP/1.1 103 Early Hints\nlink: x\n\n{OK}"), VALUE, VALUE
    ),
    Fault("a header of 200 KB", headers(x_pad="y" * 200_000), TOO_LONG, TOO_LONG),
    Fault("a thousand headers", headers(**{f"x_{n}": "y" for n in range(1000)}), VALUE, VALUE),
    Fault("a header that is not ASCII", headers(x_name="Grüße 🦊"), VALUE, VALUE),
    Fault("a header without a colon", raw(f"{OK}\nnonsense"), LOST, LOST),
    Fault("a header with a zero byte", raw(f"{OK}\nx-zero: a\0b"), LOST, LOST),
    Fault("a folded header", raw(f"{OK}\nx-folded: a\n b"), VALUE, VALUE),
    Fault("a content-length that is too short", shorter, BAD_RETRIED, BAD_TEXT),
    Fault("a content-length that is not a number", raw(f"{OK}\ncontent-length: ten"), LOST, LOST),
    Fault("a negative content-length", raw(f"{OK}\ncontent-length: -1"), LOST, LOST),
    Fault("two content-lengths", raw(f"{OK}\ncontent-length: 5\ncontent-length: 6"), LOST, LOST),
    Fault("a chunk size that is not a number", chunked(b"zz\r\n{}\r\n"), LOST, LOST_TEXT),
    Fault("a chunk size of 20 digits", chunked(b"f" * 20 + b"\r\n{}"), LOST, LOST_TEXT),
    Fault("a chunk that is longer than its size", chunked(b"1\r\n{{{{\r\n"), LOST, LOST_TEXT),
    Fault("no content type", raw("HTTP/1.1 200 OK"), VALUE, VALUE),
    Fault("the content type of a page", headers(content_type="text/html"), VALUE, VALUE),
    Fault("a content type that is not one", headers(content_type=";;;"), VALUE, VALUE),
    Fault(
        "a charset that does not exist",
        headers(content_type="application/json; charset=klingon"),
        VALUE,
        VALUE,
    ),
    Fault("bytes that are not gzip", encoded("gzip", lambda whole: whole), BAD_RETRIED, BAD_RETRIED),
    Fault("half of a gzip body", half_of_gzip, BAD_RETRIED, BAD_TEXT),
    Fault(
        "gzip twice", encoded("gzip, gzip", lambda whole: gzip.compress(gzip.compress(whole))), VALUE, VALUE
    ),
    Fault("deflate", encoded("deflate", zlib.compress), VALUE, VALUE),
    Fault("an unknown content encoding", encoded("klingon", lambda whole: whole), VALUE, VALUE),
    *(
        Fault(f"status {status}", lambda _, status=status: Answer([], status), BAD_RETRIED, BAD_RETRIED)
        for status in (204, 205, 206, 304)
    ),
    *(
        Fault(f"a redirect with status {status} to the same host", redirect(status, ""), word, word)
        for status, word in MOVED.items()
    ),
    *(
        Fault(f"a redirect with status {status} to another host", redirect(status, ELSEWHERE), word, word)
        for status, word in MOVED.items()
    ),
    Fault("a redirect without a location", lambda _: Answer([], 302), MOVED[302], MOVED[302]),
]
