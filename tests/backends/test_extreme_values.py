"""All HTTP backends: numbers that Python does not convert, and deep JSON, in every place of an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kit.apis import OLLAMA, Api, every_api, every_mode, pieces_of
from kit.wire import Answer, WireServer
from kit.wire.ollama import shown

from alloy.errors import AlloyError, ProviderError

DIGITS = "9" * 5001  # Python converts 4,300
EXTREMES = {
    "digits": DIGITS,
    "digits as text": f'"{DIGITS}"',
    "negative": f"-{DIGITS}",
    "an exponent": "1e" + "9" * 30,
    "a long exponent": f"1e{DIGITS}",
    "deep list": "[" * 5000 + "]" * 5000,
    "less deep list": "[" * 500 + "]" * 500,
    "deep object": '{"a":' * 5000 + "1" + "}" * 5000,
}
every_extreme = pytest.mark.parametrize("extreme", EXTREMES)
MARK = "@extreme@"


def with_mark(value: Any) -> Iterator[Any]:
    """*value* with each of its scalars replaced by the mark, one at a time."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from ({**value, key: changed} for changed in with_mark(part))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from ([*value[:place], changed, *value[place + 1 :]] for changed in with_mark(part))
    else:
        yield MARK


def filled(answer: Answer, extreme: str) -> Answer:
    """*answer* with *extreme* in the place of the mark."""
    answer.body = [
        step.replace(json.dumps(MARK).encode(), EXTREMES[extreme].encode())
        for step in answer.body
        if isinstance(step, bytes)
    ]
    return answer


def answers(api: Api, mode: str) -> Iterator[Answer]:
    """An answer with a text and a call, with the mark in one place."""
    whole = api.whole("Hi", calls=[("add", {"a": 1})])
    if mode in ("send", "send_async"):
        yield from map(api.reply, with_mark(whole))
        return
    events = api.events(whole, pieces_of(9))
    for place, event in enumerate(events):
        for changed in with_mark(event):
            yield api.stream([*events[:place], changed, *events[place + 1 :]])


@every_api
@every_mode
@every_extreme
def test_an_answer_with_it_is_read_or_an_error(server: WireServer, api: Api, mode: str, extreme: str) -> None:
    """Wherever it is."""
    outcomes = set()
    for answer in answers(api, mode):
        server.script(filled(answer, extreme))
        try:
            api.talk(mode, server)
            outcomes.add("value")
        except AlloyError as error:
            assert len(str(error)) < 3000
            outcomes.add("error")
    assert outcomes


@every_api
@every_mode
@every_extreme
def test_an_error_with_it_is_a_provider_error(server: WireServer, api: Api, mode: str, extreme: str) -> None:
    """In each field of the body, and as the body."""
    body = json.loads(api.failure(400, "no", None).body[0])  # type: ignore[arg-type]
    fields = {
        "code": 1,
        "status": 2,
        "status_code": 3,
        "http_status": 4,
        "param": 5,
        "details": [{"code": 6}],
    }
    error = {**body["error"], **fields} if isinstance(body["error"], dict) else fields
    for made in with_mark({**body, "error": error, "code": 7}):
        for status in (400, 200):
            answer = Answer([json.dumps(made).encode()], status, {"content-type": "application/json"})
            server.script(filled(answer, extreme))
            with pytest.raises(ProviderError) as caught:
                api.talk(mode, server)
            assert len(str(caught.value)) < 3000
    for status in (400, 200):
        answer = Answer([json.dumps(MARK).encode()], status, {"content-type": "application/json"})
        server.script(filled(answer, extreme))
        with pytest.raises(ProviderError):
            api.talk(mode, server)


@every_api
@every_mode
@every_extreme
def test_the_model_is_told_about_arguments_with_it(
    server: WireServer, api: Api, mode: str, extreme: str
) -> None:
    """The call continues, and the tool gets a value only if it is one of its type."""
    got: list[int] = []

    def add(a: int) -> int:
        """Add."""
        got.append(a)
        return 1

    if api is OLLAMA:
        server.script(shown("tools"))
    first = api.whole("", calls=[("add", {"a": MARK})])
    answer = (
        api.reply(first) if mode in ("send", "send_async") else api.stream(api.events(first, pieces_of(99)))
    )
    answer.body = [
        step.replace(json.dumps(f'"{MARK}"')[1:-1].encode(), json.dumps(EXTREMES[extreme])[1:-1].encode())
        for step in answer.body
        if isinstance(step, bytes)
    ]
    server.script(filled(answer, extreme), api.answer(mode, "done"))
    assert api.ask(mode, server, tools=[add]) == "done"
    assert not got
    assert len(server.requests[-1].content) < 60_000
