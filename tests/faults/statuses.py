"""Errors that a server reports: statuses, their bodies, and how long to wait."""

from __future__ import annotations

import json
from collections.abc import Callable

from kit.wire import Answer

from faults.cells import Fault, Scene

AUTH, REQUEST = "`AuthenticationError`", "`BadRequestError`"
MODEL, LIMIT = "`ModelNotFoundError`", "`RateLimitError`"
SERVER = "`ServerError`"

STATUSES = {
    **dict.fromkeys(
        (400, 402, 405, 406, 410, 411, 413, 414, 415, 418, 421, 422, 423, 424, 425, 426, 428, 431, 451, 499),
        REQUEST,
    ),
    401: AUTH,
    403: AUTH,
    404: MODEL,
    407: REQUEST,
    408: "`ProviderTimeoutError`, retried",
    409: f"{REQUEST}, retried",
    429: f"{LIMIT}, retried",
    **dict.fromkeys(
        (500, 502, 503, 504, 506, 507, 508, 510, 511, 520, 522, 524, 529, 530, 599), f"{SERVER}, retried"
    ),
    501: SERVER,
    505: SERVER,
}

Build = Callable[[Scene], Answer]


def status(number: int) -> Build:
    return lambda scene: scene.api.failure(number, "That went wrong.", None)


def wait(*lines: str, number: int = 429) -> Build:
    """A rate limit with the header lines *lines*."""

    def answer(scene: Scene) -> Answer:
        found = scene.api.failure(number, "Slow down.", None)
        (body,) = found.body
        assert isinstance(body, bytes)
        head = [
            f"HTTP/1.1 {number} Odd",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
            *lines,
        ]
        return Answer(raw=["\r\n".join([*head, "", ""]).encode() + body])

    return answer


def error_body(body: bytes, content_type: str = "application/json", number: int = 500) -> Build:
    return lambda _: Answer([body], number, {"content-type": content_type})


RETRIED = f"{LIMIT}, retried"
# The header, and whether the call waits so long as it says: no test could, with a wait of an hour.
WAITS: dict[str, tuple[str, ...]] = {
    "no `Retry-After`": (),
    "`Retry-After: 0`": ("retry-after: 0",),
    "`Retry-After: -5`": ("retry-after: -5",),
    "an empty `Retry-After`": ("retry-after:",),
    "`Retry-After: soon`": ("retry-after: soon",),
    "`Retry-After: NaN`": ("retry-after: NaN",),
    "`Retry-After: -inf`": ("retry-after: -inf",),
    "`Retry-After: inf`": ("retry-after: inf",),
    "`Retry-After: 1e999`": ("retry-after: 1e999",),
    "a `Retry-After` of 4,000 digits": ("retry-after: " + "9" * 4000,),
    "a `Retry-After` in the past": ("retry-after: Thu, 01 Jan 1970 00:00:00 GMT",),
    "a `Retry-After` of another language": ("retry-after: später 🦊",),
    "a `Retry-After` with a zone that overflows": ("retry-after: Mon, 01 Jan 2024 00:00:00 +" + "9" * 30,),
    "a `Retry-After` of the year 99999": ("retry-after: Mon, 01 Jan 99999 00:00:00 GMT",),
    "a `Retry-After` of 5,000 digits of a date": ("retry-after: " + "1 " * 5000,),
    "`Retry-After` twice": ("retry-after: 0", "retry-after: 0"),
    "`retry-after-ms: x`": ("retry-after-ms: x", "retry-after: 0"),
}
TOO_LONG = {
    "`Retry-After: 3600`": "3600",
    "a `Retry-After` in a hundred years": "Mon, 01 Jan 2125 00:00:00 GMT",
}
DEEP = {depth: b"[" * depth + b"]" * depth for depth in (500, 5000)}
BODIES: dict[str, Build] = {
    "without a body": error_body(b""),
    "with a page": error_body(b"<html>Bad Gateway</html>", "text/html"),
    "with a page of 1 MB": error_body(b"<html>" + b"x" * 1_000_000, "text/html"),
    "with half of JSON": error_body(b'{"error": {"mess'),
    "with JSON of another shape": error_body(b'{"error": [[1], {"a": null}], "code": [], "status": {}}'),
    "with JSON that is 500 deep": error_body(DEEP[500]),
    "with JSON that is 5,000 deep": error_body(DEEP[5000]),
    "with bytes that are not UTF-8": error_body(b"\xff\xfe\x00\xd8"),
    "with a lone surrogate": error_body(b'{"error": {"message": "\\ud83e"}}'),
    "with control characters": error_body(b'{"error": {"message": "\\u001b[31m\\r\\n\\u0000"}}'),
    "with placeholders of formats": error_body(b'{"error": {"message": "%s %d {0} {x!r} %(y)s"}}'),
    "with a number of 5,000 digits": error_body(b'{"error": {"code": ' + b"9" * 5000 + b"}}"),
    "with an event stream": error_body(b'data: {"error": {"message": "broke"}}\n\n', "text/event-stream"),
}

ERRORS = [
    *(Fault(f"status {number}", status(number), word, word) for number, word in sorted(STATUSES.items())),
    *(
        Fault(f"status 500 {name}", build, f"{SERVER}, retried", f"{SERVER}, retried")
        for name, build in BODIES.items()
    ),
    Fault(
        "status 500 with a body that is not gzip",
        lambda _: Answer([b"no"], 500, {"content-encoding": "gzip"}),
        "`BadReplyError`, retried",
        "`BadReplyError`, retried",
    ),
    *(Fault(f"status 429, {name}", wait(*lines), RETRIED, RETRIED) for name, lines in WAITS.items()),
    *(
        Fault(f"status 429, {name}", wait(f"retry-after: {value}"), LIMIT, LIMIT)
        for name, value in TOO_LONG.items()
    ),
    Fault("status 503, `Retry-After: 3600`", wait("retry-after: 3600", number=503), SERVER, SERVER),
    Fault(
        "an error object with status 200",
        lambda scene: Answer(
            [json.dumps({"error": {"message": "It broke."}}).encode()],
            200,
            {"content-type": "application/json"},
        ),
        f"{SERVER}, retried",
        f"{SERVER}, retried",
    ),
]
