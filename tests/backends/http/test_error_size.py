"""An error keeps what it shows of a body, and not the body."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import pytest
from kit.apis import Api, every_api, every_mode
from kit.wire import Answer, WireServer

from alloy import AlloyError

SIZE = 1_000_000  # bytes of a body
KEPT = 300_000  # what a call may leave behind: connections, caches, the error, the beginning of a body

JSON, TEXT, STREAM = (
    {"content-type": kind} for kind in ("application/json", "text/html", "text/event-stream")
)
BODIES: dict[str, Callable[[bytes], Answer]] = {
    "error message": lambda filler: Answer([b'{"error": {"message": "', filler, b'"}}'], 400, JSON),
    "error without message": lambda filler: Answer([b'{"error": {"', filler, b'": 1}}'], 500, JSON),
    "error page": lambda filler: Answer([filler], 502, TEXT),
    "not UTF-8": lambda filler: Answer([b"\xff\xfe", filler], 500, TEXT),
    "page": lambda filler: Answer([filler], 200, TEXT),
    "broken UTF-8": lambda filler: Answer([b'{"', filler, b"\xff\xfe"], 200, JSON),
    "foreign format": lambda filler: Answer([b'{"choices": "', filler, b'"}'], 200, JSON),
    "error in 200": lambda filler: Answer([b'{"error": {"message": "', filler, b'"}}'], 200, JSON),
    "event": lambda filler: Answer([b'data: {"error": {"message": "', filler, b'"}}\n\n'], 200, STREAM),
    "broken event": lambda filler: Answer([b"data: {", filler, b"\n\n"], 200, STREAM),
    "redirect": lambda filler: Answer([filler], 307, {"location": "/elsewhere"}),
}


@every_mode
@every_api
def test_an_error_does_not_keep_a_body_alive(server: WireServer, api: Api, mode: str) -> None:
    """Neither by its attributes nor by its causes, nor by the frames of its traceback."""
    filler = b"x" * SIZE
    server.script(*(BODIES["page"](b"x") for _ in range(2)))
    for _ in range(2):  # what is made once for all calls
        with pytest.raises(AlloyError):
            api.ask(mode, server)
    gc.collect()
    gc.freeze()  # of what is left now nothing is counted: with less to look at, a collection is quick
    for name, body in BODIES.items():
        server.script(body(filler))
        tracemalloc.start()
        try:
            with pytest.raises(AlloyError) as caught:
                api.ask(mode, server)
            gc.collect()
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < KEPT, name
        assert len(str(caught.value)) < 5000
