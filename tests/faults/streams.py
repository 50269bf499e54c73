"""Streams that fail, end too early or too late, fall silent, or are written in an odd way."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from kit.apis import CHAT, GEMINI, OLLAMA, OLLAMA_CHAT, TEXT
from kit.wire import Answer, Cut, Gate, each_byte

from faults.bodies import LIMIT
from faults.cells import But, Fault, Scene
from faults.connections import LATE, LATE_TEXT, LOST_TEXT, Endless, until_text
from faults.heads import BAD_RETRIED, BAD_TEXT, VALUE, kind

PLAIN = "- only in streams"
SERVER = "`ServerError`, retried"
SERVER_TEXT = "`ServerError`, text kept"
BAD = "`BadReplyError`"
Build = Callable[[Scene], Answer]
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded."}}


def stream(change: Callable[[list[bytes]], Sequence[Any]]) -> Build:
    """The parts of the body of a good stream, changed; a part is an event, or a line of JSON."""

    def answer(scene: Scene) -> Answer:
        found = scene.answer()
        found.body = change([part for part in found.body if isinstance(part, bytes)])
        return found

    return answer


def to_text(*after: Any) -> Build:
    """The stream to its first text, and then *after*."""

    def answer(scene: Scene) -> Answer:
        found = scene.answer()
        found.body = [*until_text(found), *after]
        return found

    return answer


def event(scene: Scene, data: str) -> bytes:
    return f"{data}\n".encode() if scene.api.json_lines else f"data: {data}\n\n".encode()


def then(data: str, *, times: int = 1) -> Build:
    """The stream to its first text, then events of *data*, and the rest."""

    def answer(scene: Scene) -> Answer:
        found = scene.answer()
        known = until_text(found)
        found.body = [*known, *[event(scene, data)] * times, *found.body[len(known) :]]
        return found

    return answer


def ends_with(data: str, *, at_start: bool = False) -> Build:
    """As `then`, without the rest."""

    def answer(scene: Scene) -> Answer:
        found = scene.answer()
        found.body = [*([] if at_start else until_text(found)), event(scene, data)]
        return found

    return answer


def indices(odd: Any) -> Build:
    """The stream with *odd* in place of each index."""

    def changed(found: Any) -> Any:
        if isinstance(found, list):
            return [changed(each) for each in found]
        if not isinstance(found, dict):
            return found
        return {key: odd if key.endswith("index") else changed(each) for key, each in found.items()}

    return lambda scene: scene.api.stream([changed(each) for each in scene.events()])


def line_ends(end: str) -> Build:
    return lambda scene: scene.api.stream(scene.events(), end)


def cut_call(scene: Scene) -> Answer:
    """A stream that ends inside the arguments of a call."""
    found = scene.answer("", calls=[("stock", {"item": "pencils"})])
    parts = [part for part in found.body if isinstance(part, bytes)]
    found.body = parts[:-3]
    return found


def keep_alives(scene: Scene) -> Answer:
    found = scene.answer()
    found.body = [b"\n" if scene.api.json_lines else b": ping\n\n"] * 50
    return found


def between(part: bytes) -> Build:
    return stream(lambda parts: [each for found in parts for each in (part, found)])


def endless_keep_alives(scene: Scene) -> Answer:
    alive = b"\n" if scene.api.json_lines else b": ping\n\n"
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind(scene)}\r\n\r\n"
    return Answer(raw=Endless(head.encode(), alive))


def half_of_character(scene: Scene) -> Answer:
    """The end inside of a character, in the second piece of the text."""
    found = scene.answer()
    parts = [part for part in found.body if isinstance(part, bytes)]
    place = next(place for place, part in enumerate(parts) if "🦊".encode() in part)
    found.body = [*parts[:place], parts[place].partition("🦊".encode())[0] + b"\xf0\x9f"]
    return found


def bad_bytes(scene: Scene) -> Answer:
    found = scene.answer()
    found.body = [part.replace("🦊".encode(), b"\xf0\x9f") for part in found.body if isinstance(part, bytes)]
    return found


def surrogate(scene: Scene) -> Answer:
    found = scene.answer()
    found.body = [part.replace("🦊".encode(), b"\\ud83e") for part in found.body if isinstance(part, bytes)]
    return found


NO_END = "Its stream has no last event, so the end of the body is the end of the answer."
STARTS = {name: But(PLAIN, BAD_TEXT, "Its first event has text.") for name in (GEMINI.name, OLLAMA.name)}
NO_INDEX = {OLLAMA.name: But(PLAIN, "- its lines have no index", "Its lines have no index.")}
ONE_CHOICE = {
    name: But(PLAIN, BAD_RETRIED, "Its index is that of one of several answers.")
    for name in (CHAT.name, OLLAMA_CHAT.name)
}
NOT_LINES = {
    OLLAMA.name: But(PLAIN, "- its stream has lines, not events", "Its stream has lines, not events.")
}
MARKED = "Its stream ends with `[DONE]`."
DEEP = {depth: "[" * depth + "]" * depth for depth in (500, 5000)}

STREAMS = [
    Fault("an error before the text", ends_with(json.dumps(OVERLOADED), at_start=True), PLAIN, SERVER),
    Fault("an error after some text", ends_with(json.dumps(OVERLOADED)), PLAIN, SERVER_TEXT),
    Fault("an error in words", ends_with('{"error": "Overloaded."}'), PLAIN, SERVER_TEXT),
    Fault("an error of another shape", ends_with('{"error": [[1], {}]}'), PLAIN, SERVER_TEXT),
    Fault("an end before the text", stream(lambda parts: parts[:1]), PLAIN, BAD_RETRIED, STARTS),
    Fault("an end after some text", to_text(), PLAIN, BAD_TEXT),
    Fault("an end inside the arguments of a tool call", cut_call, PLAIN, BAD_RETRIED),
    Fault("an end inside of a character", half_of_character, PLAIN, BAD_TEXT),
    Fault(
        "silence after the end",
        stream(lambda parts: [*parts, Gate()]),
        PLAIN,
        VALUE,
        {GEMINI.name: But(PLAIN, "- see silence after some text", NO_END)},
    ),
    Fault(
        "a reset after the end",
        stream(lambda parts: [*parts, Cut(reset=True)]),
        PLAIN,
        VALUE,
        {GEMINI.name: But(PLAIN, LOST_TEXT, NO_END)},
    ),
    Fault("silence before the first event", stream(lambda _: [Gate()]), PLAIN, LATE, endless=True),
    Fault("silence after some text", to_text(Gate()), PLAIN, LATE_TEXT, endless=True),
    Fault("keep-alives without end", endless_keep_alives, PLAIN, LATE, endless=True),
    Fault("only keep-alives, and then the end", keep_alives, PLAIN, BAD_RETRIED),
    Fault("keep-alives between the events", between(b": ping\n\n"), PLAIN, VALUE),
    Fault("empty lines between the events", between(b"\n\n"), PLAIN, VALUE),
    Fault(
        "`[DONE]` twice",
        stream(lambda parts: [*parts, b"data: [DONE]\n\n"] * 1 + [b"data: [DONE]\n\n"]),
        PLAIN,
        VALUE,
        NOT_LINES,
    ),
    Fault("`[DONE]` in place of the end", to_text(b"data: [DONE]\n\n"), PLAIN, VALUE, NOT_LINES, "Grü"),
    Fault(
        "the whole stream twice",
        stream(lambda parts: parts * 2),
        PLAIN,
        VALUE,
        {GEMINI.name: But(PLAIN, f"another value: {TEXT * 2!r}", NO_END)},
    ),
    Fault(
        "text after the end",
        stream(lambda parts: [*parts, parts[-1], b"data: more\n\n"]),
        PLAIN,
        VALUE,
        {GEMINI.name: But(PLAIN, BAD_TEXT, NO_END)},
    ),
    *(Fault(f"`{json.dumps(odd)}` as index", indices(odd), PLAIN, VALUE, NO_INDEX) for odd in (None, [])),
    *(
        Fault(f"`{json.dumps(odd)}` as index", indices(odd), PLAIN, VALUE, NO_INDEX | ONE_CHOICE)
        for odd in ("x", -1, 1e300, True)
    ),
    Fault("an event of an unknown type", then('{"type": "news", "x": [1]}'), PLAIN, VALUE),
    Fault("an event of another API", ends_with('{"hello": [{"text": "you"}]}'), PLAIN, BAD_TEXT),
    Fault("an event that is not JSON", then("{nonsense"), PLAIN, BAD_TEXT),
    Fault("an event that is a list", then("[1, 2]"), PLAIN, BAD_TEXT),
    Fault("an event that is a number", then("7"), PLAIN, BAD_TEXT),
    Fault("an event that is a string", then('"text"'), PLAIN, BAD_TEXT),
    Fault("an event that is `null`", then("null"), PLAIN, VALUE),
    Fault("an event that is an empty object", then("{}"), PLAIN, VALUE),
    Fault("an event that is 500 deep", then(DEEP[500]), PLAIN, BAD_TEXT),
    Fault("an event that is 5,000 deep", then(DEEP[5000]), PLAIN, BAD_TEXT),
    Fault("an event of 2 MB", then('{"type": "x", "y": "' + "z" * 2_000_000 + '"}'), PLAIN, VALUE),
    Fault(
        "an event beyond `max_response_bytes`",
        then('{"type": "x", "y": "' + "z" * 2_000_000 + '"}'),
        PLAIN,
        "`ResponseTooLargeError`, text kept",
        options=LIMIT,
    ),
    Fault(
        "events that are together beyond `max_response_bytes`",
        then('{"type": "x", "y": "' + "z" * 90_000 + '"}', times=10),
        PLAIN,
        "`ResponseTooLargeError`, text kept",
        options=LIMIT,
    ),
    Fault("an event with `NaN`", then('{"type": "x", "y": NaN}'), PLAIN, VALUE),
    Fault(
        "an event with a number of 5,000 digits",
        then('{"type": "x", "y": ' + "9" * 5000 + "}"),
        PLAIN,
        BAD_TEXT,
    ),
    Fault(
        "events with keys twice",
        stream(lambda parts: [part.replace(b"{", b'{"a": 1, "a": 2, ', 1) for part in parts]),
        PLAIN,
        VALUE,
    ),
    Fault("each byte in a packet of its own", lambda scene: each_byte(scene.answer()), PLAIN, VALUE),
    Fault(
        "a byte-order mark before the events",
        stream(lambda parts: [b"\xef\xbb\xbf" + parts[0], *parts[1:]]),
        PLAIN,
        VALUE,
    ),
    Fault("lines that end with CR LF", line_ends("\r\n"), PLAIN, VALUE),
    Fault("lines that end with CR", line_ends("\r"), PLAIN, VALUE, NOT_LINES),
    Fault(
        "lines that end now with LF, now with CR LF",
        stream(
            lambda parts: [
                part.replace(b"\n", b"\r\n") if place % 2 else part for place, part in enumerate(parts)
            ]
        ),
        PLAIN,
        VALUE,
    ),
    Fault(
        "fields without a blank after the colon",
        stream(lambda parts: [part.replace(b"data: ", b"data:") for part in parts]),
        PLAIN,
        VALUE,
        NOT_LINES,
    ),
    Fault(
        "fields `id` and `retry`, and others",
        between(b"id: \0\nretry: soon\nfoo: bar\n\n"),
        PLAIN,
        VALUE,
        NOT_LINES,
    ),
    Fault(
        "no empty line after the last event",
        stream(lambda parts: [*parts[:-1], parts[-1].rstrip(b"\n")]),
        PLAIN,
        VALUE,
    ),
    Fault("events with bytes that are not UTF-8", bad_bytes, PLAIN, BAD_TEXT),
    Fault("events with a lone surrogate", surrogate, PLAIN, VALUE, text="Grüße \ufffd"),
]
