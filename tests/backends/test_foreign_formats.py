"""A server that answers in another format would do so again: its answer is not bought twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit.apis import ANTHROPIC, CHAT, GEMINI, OLLAMA, RESPONSES, Api, every_api, sync_modes, whole_modes
from kit.wire import Answer, WireServer

from alloy.errors import BadReplyError

FORMATS = (RESPONSES, CHAT, ANTHROPIC, GEMINI, OLLAMA)
PAIRS = [(api, other) for api in FORMATS for other in FORMATS if api is not other]


def refused(server: WireServer, api: Api, mode: str) -> BadReplyError:
    """The error of a call, which sent one request only."""
    with pytest.raises(BadReplyError) as caught:
        api.ask(mode, server, retry=2)
    assert len(server.requests) == 1
    assert not caught.value.transient
    return caught.value


@sync_modes
@pytest.mark.parametrize(("api", "other"), PAIRS, ids=repr)
def test_the_format_of_another_api_is_named(server: WireServer, api: Api, other: Api, mode: str) -> None:
    """Whole and streamed; a stream of lines in place of one of events, and the reverse, has only a hint."""
    server.script(other.answer(mode))
    error = refused(server, api, mode)
    if mode == "open" and OLLAMA in (api, other):
        assert "stream" in str(error)
    else:
        assert f'model="{other.name}:NAME"' in str(error)


@every_api
@whole_modes
@pytest.mark.parametrize("body", [[1, 2], "text", {"hello": "world"}], ids=repr)
def test_json_in_no_known_format_lasts(server: WireServer, api: Api, mode: str, body: Any) -> None:
    """It is whole, so nothing was cut."""
    server.script(Answer(body=[json.dumps(body).encode()], headers={"content-type": "application/json"}))
    refused(server, api, mode)


@whole_modes
@pytest.mark.parametrize(
    ("api", "changes"),
    [
        (RESPONSES, {"output": {"text": "hi"}}),
        (RESPONSES, {"status": "queued", "output": []}),
        (RESPONSES, {"output": [{"type": "message", "content": [5]}]}),
        (CHAT, {"choices": [{"words": "hi"}]}),
        (CHAT, {"choices": "hi"}),
        (ANTHROPIC, {"content": "hi"}),
        (OLLAMA, {"message": "hi"}),
        (OLLAMA, {"message": {"tool_calls": [7]}}),
    ],
)
def test_a_changed_format_lasts(server: WireServer, api: Api, mode: str, changes: Any) -> None:
    """A server that writes a field in its own way writes it so every time."""
    server.script(api.reply({**api.whole("Hello"), **changes}))
    refused(server, api, mode)


@whole_modes
@pytest.mark.parametrize("choices", [[], None])
def test_a_completion_without_a_choice_is_tried_again(server: WireServer, mode: str, choices: Any) -> None:
    """Gateways send it when the provider behind them gave nothing."""
    server.script(CHAT.reply({**CHAT.whole("Hello"), "choices": choices}))
    with pytest.raises(BadReplyError) as caught:
        CHAT.ask(mode, server)
    assert caught.value.transient
