"""Halves of surrogate pairs, which servers cut between two deltas, are joined wherever they stand."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from kit.apis import ANTHROPIC, GEMINI, OLLAMA, Api, apis, every_api, pieces_of
from kit.wire import Answer, WireServer, ollama

from alloy import Conversation, ask, tool
from alloy.events import ReasoningDelta, TextDelta

FOX = "\U0001f98a"
# The two halves of it, which the answers below hold as private characters until their bytes are written.
HIGH, LOW = "\ue000", "\ue001"
CUT = HIGH + LOW

seen: list[Any] = []


@tool
def note(items: dict[str, str]) -> str:
    """Note *items*."""
    seen.append(items)
    return "noted"


def answered(api: Api, *, streamed: bool, **fields: Any) -> Answer:
    made = api.whole(**fields)
    answer = api.stream(api.events(made, pieces_of(1))) if streamed else api.reply(made)
    answer.body = [escaped(step) if isinstance(step, bytes) else step for step in answer.body]
    return answer


def escaped(step: bytes) -> bytes:
    for half, written in ((HIGH, b"\\ud83e"), (LOW, b"\\udd8a")):
        step = step.replace(half.encode(), written).replace(ascii(half)[1:-1].encode(), written)
    return step


def written(api: Api, arguments: Any) -> Any:
    """*arguments* in the form of the API: as an object, or as text in which the halves stand as they are."""
    return arguments if api in (ANTHROPIC, GEMINI) else json.dumps(arguments, ensure_ascii=False)


@every_api
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(("sent", "whole"), [(f"a {CUT}!", f"a {FOX}!"), (f"a {HIGH}", "a \ufffd")])
def test_text_and_reasoning_are_joined(
    server: WireServer, api: Api, streamed: bool, sent: str, whole: str
) -> None:
    """The value is what was shown, and the turn can be sent back."""
    server.script(
        answered(api, streamed=streamed, text=sent, thought=sent), answered(api, streamed=False, text="ok")
    )
    conversation = Conversation()
    options = {**api.options(server), "conversation": conversation}
    if streamed:
        with ask.stream("?", **options) as stream:
            events = list(stream.events())
            result = stream.run()
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == whole
        assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == whole
    else:
        result = ask.run("?", **options)

    assert result.value == whole
    assert result.transcript[-1].reasoning == whole  # type: ignore[union-attr]
    assert ask("and?", **options) == "ok"
    assert whole in str(server.requests[1].json)


@apis(OLLAMA)  # whose schemas know no open objects
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_arguments_and_their_keys_are_joined(server: WireServer, api: Api, streamed: bool) -> None:
    """The tool gets whole characters, and the call can be sent back with its result."""
    seen.clear()
    arguments = {"items": {f"k{CUT}": f"v{CUT}", "lone": f"v{HIGH}"}}
    server.script(
        answered(api, streamed=streamed, calls=[("note", written(api, arguments))]),
        answered(api, streamed=streamed, text="ok"),
    )
    options = {**api.options(server), "tools": [note]}
    if streamed:
        with ask.stream("?", **options) as stream:
            value = stream.result()
    else:
        value = ask("?", **options)

    assert value == "ok"
    assert seen == [{f"k{FOX}": f"v{FOX}", "lone": "v\ufffd"}]


@every_api
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("layers", [1, 2])
def test_halves_that_the_model_writes_as_escapes(
    server: WireServer, api: Api, streamed: bool, layers: int
) -> None:
    """In the JSON text of arguments, also inside of a JSON string; a backslash before `ud83e` is none."""
    seen.clear()
    arguments = r'{"items": {"k\ud83e": "v\uDD8A\ud83e", "whole": "\uD83E\uDD8A \\ud83e"}}'
    written = arguments if layers == 1 else json.dumps(arguments)
    server.script(
        *([ollama.shown("completion", "tools")] if api is OLLAMA else []),
        answered(api, streamed=streamed, calls=[("note", written)]),
        answered(api, streamed=streamed, text="ok"),
    )
    options = {**api.options(server), "tools": [note]}
    if api is OLLAMA:  # what it says about a model is kept
        options["model"] = f"ollama:escapes-{layers}-{streamed}"
    value = "".join(ask.stream("?", **options)) if streamed else ask("?", **options)

    assert value == "ok"
    assert seen == [{"k\ufffd": "v\ufffd\ufffd", "whole": f"{FOX} \\ud83e"}]
    sent = json.dumps(server.requests[-1].json).lower()
    assert sent.count("\\ufffd") == 3
    assert not re.search(r"ud83e(?!\\*udd8a)", sent.replace(r"\\ud83e", ""))
