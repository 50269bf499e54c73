"""What reads the bytes of others: each of these must give a value or an `AlloyError`, for any bytes.

A reader returns its outcome, so that two ways to give it the same bytes can be compared. The bodies of
answers go through the whole path of a call, by an HTTP client of the caller's that never connects.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from kit.apis import ANTHROPIC, CHAT, GEMINI, OLLAMA, RESPONSES, Api, pieces_of
from kit.steps import without_garbage_collection
from kit.talking import KEY
from kit.wire import ollama

from alloy import AlloyError, ask, parse, tool

Outcome = tuple[str, str]
STEPS = 200_000  # calls of functions that any input may cost
STEPS_PER_BYTE = 300
SIZES = (7, 1)  # of the pieces in which a stream is given once more


class TooManySteps(BaseException):
    """Reading takes more steps than its length allows."""


@contextmanager
def counted(size: int) -> Iterator[None]:
    """Raise `TooManySteps` in a block that calls more functions than bytes of that *size* need."""
    left = STEPS + STEPS_PER_BYTE * size

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise TooManySteps(f"{size} bytes")

    before = sys.getprofile()
    with without_garbage_collection():
        sys.setprofile(count)
        try:
            yield
        finally:
            sys.setprofile(before)


def ended(call: Callable[[], Any]) -> Outcome:
    """What *call* gives: the class and the text of its value or error."""
    try:
        value = call()
    except AlloyError as error:
        return type(error).__name__, str(getattr(error, "text", ""))
    return type(value).__name__, repr(value)


# --- answers of providers -----------------------------------------------------------------------------


@tool
def stock(item: str, count: int = 1) -> str:
    """How many there are."""
    return f"{count} {item}"


def client(data: bytes, content_type: str, status: int, size: int) -> httpx.Client:
    """A client that gets *data* as the body of every answer, in pieces of *size* bytes."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/show":
            shown = ollama.shown("completion", "tools").body[0]
            return httpx.Response(200, content=shown, headers={"content-type": "application/json"})
        pieces = (data[start : start + size] for start in range(0, len(data), size))
        return httpx.Response(status, content=pieces, headers={"content-type": content_type})

    return httpx.Client(transport=httpx.MockTransport(answer))


def asked(api: Api, data: bytes, *, streamed: bool, status: int = 200, size: int = 1 << 20) -> Outcome:
    """The outcome of a call whose answer has the body *data*."""
    lines = "application/x-ndjson" if api.json_lines else "text/event-stream"
    with client(data, lines if streamed else "application/json", status, size) as http_client:
        options = {
            "model": f"{api.name}:{api.model}",
            "api_key": KEY,
            "base_url": "http://fuzz.invalid/v1",
            "http_client": http_client,
            "retry": 0,
            "max_tool_turns": 1,
            "auto_finalize_missing_output": False,
            "tools": [stock],
        }
        if not streamed:
            return ended(lambda: ask.run("How many?", **options).text)
        return ended(lambda: "".join(ask.stream("How many?", **options)))


def streamed_by(api: Api) -> Callable[[bytes], Outcome]:
    """The reader of a stream: however its bytes are cut, the outcome is the same."""

    def read(data: bytes) -> Outcome:
        whole = asked(api, data, streamed=True)
        for size in SIZES:
            cut = asked(api, data, streamed=True, size=size)
            assert cut == whole, f"in pieces of {size} bytes: {cut}, and not {whole}"
        return whole

    return read


def answered_by(api: Api) -> Callable[[bytes], Outcome]:
    return lambda data: asked(api, data, streamed=False)


def refused_by(api: Api) -> Callable[[bytes], Outcome]:
    return lambda data: asked(api, data, streamed=False, status=400)


# --- texts of models, and of users --------------------------------------------------------------------


@dataclass
class Line:
    """A line of an order."""

    item: str
    count: int = 1
    tags: tuple[str, ...] = ()


TYPES: tuple[Any, ...] = (Line, list[Line], dict[str, int | None], list[float], int, bool, str | int, str)


def text_of(data: bytes) -> str:
    """*data* as a model's text, or as a docstring."""
    return data.decode("utf-8", "replace")


def parsed(data: bytes) -> Outcome:
    """The text as each type, and as the elements of a stream, which are those of the whole."""
    text = text_of(data)
    found = [ended(lambda kind=kind: parse(kind, text)) for kind in TYPES]  # type: ignore[misc]
    return " ".join(name for name, _ in found), found[0][1]


def told(text: str, mode: str) -> dict[str, Any]:
    """The options of a call whose answers all have this *text*."""
    made = CHAT.whole(text)
    answer = (
        CHAT.reply(made) if mode == "send" else CHAT.stream(CHAT.events(made, pieces_of(len(text) // 5 + 1)))
    )
    parts = answer.body
    data = b"".join(part for part in parts if isinstance(part, bytes))
    kind = "text/event-stream" if mode == "open" else "application/json"
    at = {"model": "openai-chat:m", "base_url": "http://fuzz.invalid/v1", "api_key": KEY}
    return {**at, "http_client": client(data, kind, 200, 1 << 20), "retry": 0, "reask": 0}


def items(data: bytes) -> Outcome:
    """The elements of a streamed list are those of the whole list."""
    text = text_of(data)
    streamed = ended(lambda: list(ask.stream("Which?", output=list[Line], **told(text, "open")).items()))
    plain = ended(lambda: ask("Which?", output=list[Line], **told(text, "send")))
    assert streamed == plain or "Error" in plain[0], f"items(): {streamed}, and not {plain}"
    return streamed


def partials(data: bytes) -> Outcome:
    """Each partial of an object, and its representation."""
    options = told(text_of(data), "open")

    def read_all() -> Any:
        with ask.stream("Which?", output=Line, **options) as stream:
            return [repr(partial) for partial in stream.partials()][-1:]

    return ended(read_all)


def react(data: bytes) -> Outcome:
    """A text with the labels of ReAct, with and without a type; whole and streamed are the same."""
    modes = {"tools": [stock], "tool_mode": "react", "max_tool_turns": 1}
    text = text_of(data)
    plain = ended(lambda: ask("How many?", **modes, **told(text, "send")))
    streamed = ended(lambda: "".join(ask.stream("How many?", **modes, **told(text, "open"))))
    assert streamed == plain, f"streamed: {streamed}, and not {plain}"
    typed = ended(lambda: ask("Which?", output=list[Line], **modes, **told(text, "send")))
    return plain[0], typed[0]


def docstring(data: bytes) -> Outcome:
    def documented(item: str, count: int = 1, **more: int) -> str:
        return item

    documented.__doc__ = text_of(data)
    return ended(lambda: ask.request("x", tools=[tool(documented)], model="openai-chat:m", api_key=KEY))[
        0
    ], ""


APIS = (RESPONSES, CHAT, ANTHROPIC, GEMINI, OLLAMA)
READERS: dict[str, Callable[[bytes], Outcome]] = {
    **{f"{api.name}-stream": streamed_by(api) for api in APIS},
    **{f"{api.name}-answer": answered_by(api) for api in APIS},
    **{f"{api.name}-error": refused_by(api) for api in APIS},
    "json": parsed,
    "items": items,
    "partials": partials,
    "react": react,
    "docstring": docstring,
}


def read(name: str, data: bytes) -> Outcome:
    """The outcome of a reader, within the steps that the length of *data* allows."""
    READERS[name](b"")  # each time: other tests may have displaced what has been compiled before
    with counted(len(data)):
        return READERS[name](data)
