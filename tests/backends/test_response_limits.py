"""All HTTP backends through their real SDKs: bodies above `max_response_bytes`, compressed or not."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import chain, repeat
from typing import Any

import httpx
import httpx2
import pytest
from kit.apis import (
    ANTHROPIC,
    APIS,
    CHAT,
    GEMINI,
    OLLAMA,
    OLLAMA_CHAT,
    TEXT,
    Api,
    every_api,
    every_mode,
    streamed_modes,
    whole_modes,
)
from kit.patience import PATIENCE
from kit.wire import Answer, Gate, WireServer

from alloy import configure, use_config
from alloy.config import current
from alloy.errors import (
    BadReplyError,
    BadRequestError,
    ProviderConnectionError,
    RateLimitError,
    ResponseTooLargeError,
)
from alloy.events import TextDelta

LIMIT = 1_000_000
MORE = 2 * LIMIT  # memory of everything else
BOMB = 100 * LIMIT
STREAM_TYPE = {True: "application/x-ndjson", False: "text/event-stream"}

Compress = Callable[[bytes], bytes]


def raw_deflate(data: bytes) -> bytes:
    """*data* as some servers write `deflate`."""
    compressor = zlib.compressobj(1, wbits=-15)
    return compressor.compress(data) + compressor.flush()


ENCODINGS: dict[str, tuple[str, Compress]] = {
    "gzip": ("gzip", lambda data: gzip.compress(data, 1)),
    "x-gzip": ("X-GZip", lambda data: gzip.compress(data, 1)),
    "zlib": ("deflate", lambda data: zlib.compress(data, 1)),
    "raw deflate": ("deflate", raw_deflate),
    "twice": ("gzip, deflate", lambda data: zlib.compress(gzip.compress(data, 1))),
}
every_encoding = pytest.mark.parametrize("encoding", ENCODINGS)


@lru_cache
def bomb(encoding: str, begin: bytes) -> bytes:
    """*begin* and 100 MB more, compressed to less than the limit."""
    made = ENCODINGS[encoding][1](begin + bytes(BOMB))
    assert len(made) < LIMIT
    return made


def of_type(api: Api, mode: str) -> str:
    """The content type of an answer in *mode*."""
    return "application/json" if mode in ("send", "send_async") else STREAM_TYPE[api.json_lines]


def endless(
    kind: str, *first: bytes, status: int = 200, chunk: bytes = b"a" * 2**15, encoding: str = "identity"
) -> Answer:
    """A body without an end: *first*, and then *chunk* again and again, each in a chunk of its own."""
    lines = [f"HTTP/1.1 {status} OK", f"content-type: {kind}", f"content-encoding: {encoding}"]
    head = "\r\n".join([*lines, "transfer-encoding: chunked", "", ""]).encode()
    chunks = (b"%x\r\n%b\r\n" % (len(each), each) for each in chain(first, repeat(chunk)))
    return Answer(raw=chain([head], chunks))


def compressed(answer: Answer, encoding: str) -> Answer:
    """*answer* with its whole body in one chunk, compressed."""
    name, compress = ENCODINGS[encoding]
    answer.body = [compress(b"".join(step for step in answer.body if isinstance(step, bytes)))]
    answer.headers["content-encoding"] = name
    return answer


def peak_of(work: Callable[[], Any]) -> int:
    """The most bytes that *work* held at the same time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def peak_without_loading(work: Callable[[], Any]) -> int:
    """The same for a second run of *work*: the first one also loads and compiles what it needs."""
    work()
    return peak_of(work)


def too_large(work: Callable[[], Any], limit: int = LIMIT) -> ResponseTooLargeError:
    """The error that *work* raises."""
    with pytest.raises(ResponseTooLargeError) as caught:
        work()
    error = caught.value
    assert f"max_response_bytes={limit:,}" in str(error)
    assert "None means no limit" in str(error)
    assert not error.transient
    return error


# --- plain and compressed bodies ----------------------------------------------------------------------


@every_api
@every_mode
def test_a_body_without_an_end_ends_at_the_limit(server: WireServer, api: Api, mode: str) -> None:
    """It is asked for once: the next answer would be as large."""
    server.script(endless("application/json", b'{"x": "'))
    error = too_large(lambda: api.ask(mode, server, retry=5, backoff=0, max_response_bytes=LIMIT))

    assert error.provider == api.name
    assert error.status == 200
    assert error.attempts == 1
    assert len(server.requests) == 1


@every_api
@every_mode
def test_a_length_above_the_limit_is_not_waited_for(server: WireServer, api: Api, mode: str) -> None:
    """Nothing of the body is sent here, so whoever reads it waits forever."""
    headers = {"content-type": of_type(api, mode)}
    server.script(Answer([Gate()], headers=headers, length=LIMIT + 1))
    too_large(lambda: api.talk(mode, server, timeout=None, max_response_bytes=LIMIT))


@every_api
@every_mode
@every_encoding
def test_a_bomb_ends_at_the_limit(server: WireServer, api: Api, mode: str, encoding: str) -> None:
    """100 MB in 400 kB, or in much less, cost no more memory than the limit."""
    begin = b'{"x": "' if mode in ("send", "send_async") or api.json_lines else b'data: {"x": "'
    headers = {"content-type": of_type(api, mode), "content-encoding": ENCODINGS[encoding][0]}
    server.always = lambda _: Answer([bomb(encoding, begin)], headers=headers)

    peak = peak_without_loading(lambda: too_large(lambda: api.talk(mode, server, max_response_bytes=LIMIT)))

    assert peak < LIMIT + MORE


@every_api
@every_mode
@every_encoding
def test_compressed_answers_are_read(server: WireServer, api: Api, mode: str, encoding: str) -> None:
    """Whole and as streams, also when each byte arrives alone."""
    for chunks in (1, 1000):
        answer = compressed(api.answer(mode), encoding)
        (content,) = answer.body
        assert isinstance(content, bytes)
        size = -(-len(content) // chunks)
        answer.body = [content[start : start + size] for start in range(0, len(content), size)]
        server.script(answer)
        assert api.talk(mode, server).text == TEXT


@every_api
@streamed_modes
def test_events_of_a_compressed_stream_come_when_they_are_sent(
    server: WireServer, api: Api, mode: str
) -> None:
    """A server that flushes after each event is not waited for until its end."""
    compressor, gate = zlib.compressobj(wbits=31), Gate()
    answer = api.answer(mode)
    events = [step for step in answer.body if isinstance(step, bytes)]
    flushed = [compressor.compress(each) + compressor.flush(zlib.Z_SYNC_FLUSH) for each in events]
    answer.body = [*flushed[:-2], gate, *flushed[-2:], compressor.flush()]
    answer.headers["content-encoding"] = "gzip"
    server.script(answer)

    def note(event: Any) -> None:
        if isinstance(event, TextDelta):
            gate.open()

    assert api.ask(mode, server, on_event=note, timeout=PATIENCE) == TEXT


@every_api
@every_mode
def test_only_what_can_be_limited_is_asked_for(server: WireServer, api: Api, mode: str) -> None:
    """Brotli and zstd, which HTTP libraries offer when their packages are installed, are not."""
    server.script(api.answer(mode))
    api.talk(mode, server)
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


@every_api
@every_mode
@pytest.mark.parametrize("name", ["br", "zstd", "gzip, br", ", ".join(["gzip"] * 6)])
def test_another_compression_is_named(server: WireServer, api: Api, mode: str, name: str) -> None:
    """It is not read as text, and the server would send it again."""
    headers = {"content-type": of_type(api, mode), "content-encoding": name}
    server.script(Answer([b"\x0b\x02\x80"], headers=headers))
    with pytest.raises(BadReplyError, match=f"compressed with '{name}'") as caught:
        api.talk(mode, server)
    assert not caught.value.transient


@every_api
@every_mode
def test_an_unknown_encoding_is_no_compression(server: WireServer, api: Api, mode: str) -> None:
    """Some servers write the character set there."""
    answer = api.answer(mode)
    answer.headers["content-encoding"] = "utf-8, identity"
    server.script(answer)
    assert api.talk(mode, server).text == TEXT


@every_api
@whole_modes
def test_a_body_as_large_as_the_limit_is_read(server: WireServer, api: Api, mode: str) -> None:
    """The limit counts the bytes of the body, decompressed or not."""
    size = sum(len(step) for step in api.answer(mode).body if isinstance(step, bytes))
    for made in (lambda: api.answer(mode), lambda: compressed(api.answer(mode), "gzip")):
        server.script(made(), made())
        assert api.talk(mode, server, max_response_bytes=size).text == TEXT
        too_large(lambda: api.talk(mode, server, max_response_bytes=size - 1), size - 1)


@every_api
@every_mode
def test_bytes_that_decompress_to_nothing_are_limited_too(server: WireServer, api: Api, mode: str) -> None:
    """An endless file name in the header of gzip, and what follows the end of the data."""
    for start in (b"\x1f\x8b\x08\x08" + bytes(6), gzip.compress(b" ")):
        server.script(endless(of_type(api, mode), start, encoding="gzip"))
        too_large(lambda: api.talk(mode, server, max_response_bytes=LIMIT))


# --- streams ------------------------------------------------------------------------------------------


ENDLESS = {
    "a line": (b'data: {"x": "', b"a" * 2**15),
    "an event": (b"\n", b"data: ab\n" * 2**12),
    "an event of empty lines": (b"\n", b"data:\n" * 2**12),
    "comments": (b"\n", b": keep-alive\n\n" * 2**12),
    "an object": (b"\n", b"{\nab\nab\n" * 2**12),
    "blank lines": (b"\n", b"\n" * 2**12),
    "tiny chunks": (b"\n", b"ab"),
}
ENDLESS_LINES = ("a line", "an object", "blank lines", "tiny chunks")


@pytest.mark.parametrize(
    ("api", "kind"),
    [
        pytest.param(api, kind, id=f"{api.name}-{kind}")
        for api in APIS
        for kind in (ENDLESS_LINES if api.json_lines else ENDLESS)
    ],
)
@streamed_modes
def test_a_stream_ends_at_the_limit_with_its_text(server: WireServer, api: Api, mode: str, kind: str) -> None:
    """What has arrived is in the error, and the rest costs no more memory than the limit."""
    more = ENDLESS[kind]
    limit = 300_000 if len(more[1]) > 2 else 10_000  # less than elsewhere: so many lines are slow to trace
    events = [step for step in api.answer(mode).body if isinstance(step, bytes)]
    begun = next(place for place, event in enumerate(events) if TEXT[:3] in event.decode())
    first = events[: begun + 1]
    errors = []

    def ask() -> None:
        server.script(endless(STREAM_TYPE[api.json_lines], *first, more[0], chunk=more[1]))
        errors.append(too_large(lambda: api.ask(mode, server, max_response_bytes=limit), limit))

    peak = peak_without_loading(ask)

    assert errors[0].text == errors[1].text == TEXT[:3]
    assert peak < limit + 1_200_000


@every_api
@whole_modes
def test_a_stream_that_answers_a_plain_request_is_limited(server: WireServer, api: Api, mode: str) -> None:
    """As if it had been asked for."""
    server.script(endless(STREAM_TYPE[api.json_lines], b'data: {"x": "'))
    too_large(lambda: api.talk(mode, server, max_response_bytes=LIMIT))


@pytest.mark.parametrize("api", [api for api in APIS if api is not GEMINI], ids=repr)  # it has no end mark
@streamed_modes
def test_what_follows_the_end_of_a_stream_is_not_counted(server: WireServer, api: Api, mode: str) -> None:
    """The answer is whole by then."""
    answer = api.answer(mode)
    size = sum(len(step) for step in answer.body if isinstance(step, bytes))
    answer.body = [*answer.body, b"\n" * 4000]
    server.script(answer)
    assert api.talk(mode, server, max_response_bytes=size).text == TEXT


# --- errors -------------------------------------------------------------------------------------------


@every_api
@every_mode
@pytest.mark.parametrize(("status", "kind"), [(400, BadRequestError), (429, RateLimitError)])
@pytest.mark.parametrize("has_length", [True, False])
def test_the_text_of_an_error_is_limited_and_the_status_counts(
    server: WireServer, api: Api, mode: str, status: int, kind: type[Exception], has_length: bool
) -> None:
    """A page of an error that is too large does not change what the error is."""
    headers = {"content-type": "text/html"}
    page = b"<p>Slow down" + b"a" * 200_000
    errors: list[Any] = []

    def ask() -> None:
        long = Answer([page, Gate()], status, headers, length=10 * LIMIT)
        server.script(long if has_length else endless("text/html", b"<p>Slow down", status=status))
        with pytest.raises(kind) as caught:
            api.talk(mode, server, max_response_bytes=LIMIT)
        errors.append(caught.value)

    peak = peak_without_loading(ask)

    for error in errors:
        assert "<p>Slow down" in str(error)
        assert f"max_response_bytes={LIMIT:,}" in str(error)
        assert len(str(error)) < 1000
    assert peak < LIMIT + MORE


@every_mode
def test_what_a_model_supports_is_unknown_when_the_description_is_endless(
    server: WireServer, mode: str
) -> None:
    """Ollama is asked for it before a request with tools."""

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    server.script(endless("application/json", b"{"), OLLAMA.answer(mode))
    assert OLLAMA.ask(mode, server, tools=[add]) == TEXT


# --- the setting --------------------------------------------------------------------------------------


@every_mode
def test_the_limit_can_be_set_everywhere(
    server: WireServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default it is 100 MB; `None` lifts it."""
    monkeypatch.setattr("alloy.config._process", {})
    assert current().max_response_bytes == 100_000_000
    server.script(*(CHAT.answer(mode) for _ in range(5)))
    monkeypatch.setenv("ALLOY_MAX_RESPONSE_BYTES", "11")
    too_large(lambda: CHAT.ask(mode, server), 11)
    configure(max_response_bytes=12)
    too_large(lambda: CHAT.ask(mode, server), 12)
    with use_config(max_response_bytes=13):
        too_large(lambda: CHAT.ask(mode, server), 13)
        too_large(lambda: CHAT.ask(mode, server, max_response_bytes=14), 14)
        assert CHAT.ask(mode, server, max_response_bytes=None) == TEXT


@every_mode
def test_the_next_model_is_asked(server: WireServer, mode: str) -> None:
    """Its answer may be smaller."""
    server.script(endless("application/json", b"{"), CHAT.answer(mode))
    models = ["openai-chat:big", "openai-chat:small"]
    assert CHAT.ask(mode, server, model=models, max_response_bytes=LIMIT) == TEXT


@pytest.mark.parametrize("api", [CHAT, ANTHROPIC, GEMINI, OLLAMA, OLLAMA_CHAT], ids=repr)
@every_mode
@pytest.mark.parametrize("reads", [False, True])
def test_a_client_of_the_caller_is_limited_too(server: WireServer, api: Api, mode: str, reads: bool) -> None:
    """Whether or not a hook of it has read the body, with whatever compression."""

    def hook(response: Any) -> None:
        if reads:
            response.read()

    async def hook_async(response: Any) -> None:
        if reads:
            await response.aread()

    def ask(library: Any, **options: Any) -> str:
        server.script(compressed(api.answer(mode), "gzip"))
        shared = {"headers": {"accept-encoding": "br"}, "limits": library.Limits(max_keepalive_connections=0)}
        with library.Client(event_hooks={"response": [hook]}, **shared) as client:
            client_async = library.AsyncClient(event_hooks={"response": [hook_async]}, **shared)
            return api.ask(mode, server, http_client=(client, client_async), **options)

    for library in (httpx, httpx2):
        assert ask(library) == TEXT
        too_large(partial(ask, library, max_response_bytes=100), 100)
        assert server.requests[-1].headers["accept-encoding"] == "gzip, deflate"


# --- headers ------------------------------------------------------------------------------------------

HEADERS = {
    "a header": (b"HTTP/1.1 200 OK\r\nx-long: ", b"a" * 2**15),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x-more: 1\r\n" * 2**12),
    "a status line": (b"HTTP/1.1 200 ", b"a" * 2**15),
    "the size of a chunk": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", b"a" * 2**15),
    "trailers": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x-more: 1\r\n" * 2**12),
}


@pytest.mark.parametrize("api", [CHAT, GEMINI, OLLAMA], ids=repr)
@every_mode
@pytest.mark.parametrize("part", HEADERS)
def test_the_http_library_limits_everything_but_the_body(
    server: WireServer, api: Api, mode: str, part: str
) -> None:
    """To 100 kB. Another try would meet it again."""

    def ask() -> None:
        before = len(server.requests)
        server.script(Answer(raw=chain(HEADERS[part][:1], repeat(HEADERS[part][1]))))
        with pytest.raises(ProviderConnectionError) as caught:
            api.ask(mode, server, retry=2, backoff=0)
        assert len(server.requests) == before + 1
        assert not caught.value.transient

    assert peak_without_loading(ask) < MORE
