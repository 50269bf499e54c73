"""Bodies with status 200 that are not the answer that was asked for, or that are written in an odd way."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

from kit.apis import TEXT
from kit.wire import Answer

from faults.cells import Fault, Scene
from faults.heads import BAD_RETRIED, VALUE

BAD = "`BadReplyError`"
JSON = {"content-type": "application/json"}
IN_STREAMS = "- see the streams"
Build = Callable[[Scene], Answer]


def body(content: bytes, content_type: str = "application/json") -> Build:
    return lambda _: Answer([content], 200, {"content-type": content_type})


def value(made: Any) -> Build:
    return body(json.dumps(made).encode())


def changed(change: Callable[[str], str]) -> Build:
    """The JSON of the plain answer, changed as text."""
    return lambda scene: Answer([change(written(scene)).encode("utf-8", "surrogatepass")], 200, JSON)


def written(scene: Scene, text: str = TEXT) -> str:
    return json.dumps(scene.whole(text), ensure_ascii=False)


def with_field(field: str) -> Build:
    """The plain answer with one more *field* at its beginning."""
    return changed(lambda text: "{" + field + ", " + text[1:])


def in_bytes(change: Callable[[bytes], bytes]) -> Build:
    return lambda scene: Answer([change(written(scene).encode())], 200, JSON)


def stream_instead(scene: Scene) -> Answer:
    return scene.api.stream(scene.events())


def packed(name: str, content: bytes) -> Build:
    return lambda _: Answer([content], 200, {**JSON, "content-encoding": name})


def deep(depth: int) -> str:
    return "[" * depth + "]" * depth


PAGE = b"<html><body>Sign in to the network</body></html>"
# What is not an answer of any API is the same for plain calls and for streams.
NO_ANSWER: dict[str, tuple[Build, str]] = {
    "an empty body": (body(b""), BAD_RETRIED),
    "a page": (body(PAGE, "text/html"), BAD_RETRIED),
    "a page that is called JSON": (body(PAGE), BAD_RETRIED),
    "plain text": (body(b"Ollama is running", "text/plain"), BAD_RETRIED),
    "`null`": (body(b"null"), BAD),
    "a number": (body(b"7"), BAD),
    "a string": (body(b'"text"'), BAD),
    "an empty list": (body(b"[]"), BAD),
    "an empty object": (body(b"{}"), BAD),
    "an object of another API": (value({"hello": "world", "items": [1, {"a": None}]}), BAD),
    "half of an object": (body(b'{"id": "ha'), BAD_RETRIED),
    "bytes that are not UTF-8": (body(b"\xff\xfe\x00\xd8"), BAD_RETRIED),
    "white space of 2 MB": (body(b" " * 2_000_000), BAD_RETRIED),
    "letters of 2 MB": (body(b"x" * 2_000_000), BAD_RETRIED),
    "JSON that is 500 deep": (body(deep(500).encode()), BAD),
    "JSON that is 5,000 deep": (body(deep(5000).encode()), BAD),
    "a number of 5,000 digits": (body(b"9" * 5000), BAD_RETRIED),
}
# The answer, written in an odd way: read as it is meant, or refused.
ODD: dict[str, tuple[Build, str]] = {
    "a byte-order mark": (changed(lambda text: "\ufeff" + text), VALUE),
    "white space around it": (changed(lambda text: f"\r\n\t {text}\r\n"), VALUE),
    "keys twice": (changed(lambda text: text.replace("{", '{"a": 1, "a": 2, ', 1)), VALUE),
    "`NaN` and `Infinity` in fields that nobody knows": (with_field('"x": [NaN, -Infinity]'), VALUE),
    "1e999 in a field that nobody knows": (with_field('"x": 1e999'), VALUE),
    "5,000 digits in a field that nobody knows": (with_field('"x": ' + "9" * 5000), BAD_RETRIED),
    "500 levels in a field that nobody knows": (with_field('"x": ' + deep(500)), BAD),
    "5,000 levels in a field that nobody knows": (with_field('"x": ' + deep(5000)), BAD),
    "2 MB in a field that nobody knows": (with_field('"x": "' + "y" * 2_000_000 + '"'), VALUE),
    "`null` in all fields that nobody knows": (with_field('"x": null, "error": null'), VALUE),
    "text after it": (changed(lambda text: text + " and more"), BAD_RETRIED),
    "it twice": (changed(lambda text: text + text), BAD_RETRIED),
    "comments in it": (changed(lambda text: text.replace("{", "{ /* x */ ", 1)), BAD_RETRIED),
    "UTF-16": (lambda scene: Answer([written(scene).encode("utf-16")], 200, JSON), VALUE),
    "Latin-1": (lambda scene: Answer([written(scene, "Grüße").encode("latin-1")], 200, JSON), BAD_RETRIED),
    "half of a character": (in_bytes(lambda whole: whole.replace("🦊".encode(), b"\xf0\x9f")), BAD_RETRIED),
    "a zero byte": (changed(lambda text: text.replace("Grü", "Grü\0")), BAD_RETRIED),
    "a negative count of tokens": (changed(lambda text: text.replace(": 10,", ": -10,")), VALUE),
}

# With `max_response_bytes=LIMIT`, so that a body of 2 MB is as good as one of 2 GB.
TOO_LARGE = "`ResponseTooLargeError`"
LIMIT = {"max_response_bytes": 100_000}
LONG = b" " * 2_000_000
LARGE: dict[str, tuple[Build, str]] = {
    "a body beyond `max_response_bytes`": (body(b'{"x": "' + LONG), TOO_LARGE),
    "a gzip bomb": (packed("gzip", gzip.compress(LONG)), TOO_LARGE),
    "a gzip bomb in a gzip bomb": (packed("gzip, gzip", gzip.compress(gzip.compress(LONG))), TOO_LARGE),
    "a deflate bomb": (packed("deflate", zlib.compress(LONG)), TOO_LARGE),
    "the body of an error beyond `max_response_bytes`": (
        lambda _: Answer([LONG], 500, JSON),
        "`ServerError`, retried",
    ),
}

BODIES = [
    *(Fault(name, build, word, word, options=LIMIT) for name, (build, word) in LARGE.items()),
    *(Fault(name, build, word, word) for name, (build, word) in NO_ANSWER.items()),
    *(Fault(f"the answer with {name}", build, word, IN_STREAMS) for name, (build, word) in ODD.items()),
    Fault(
        "the answer with a lone surrogate",
        changed(lambda text: text.replace("🦊", "\\ud83e")),
        VALUE,
        IN_STREAMS,
        text="Grüße \ufffd",
    ),
    Fault("a stream instead of a plain answer", stream_instead, VALUE, IN_STREAMS),
    Fault(
        "a plain answer instead of a stream",
        changed(lambda text: text),
        "- that is what a plain call asks for",
        VALUE,
    ),
]
