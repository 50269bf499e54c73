"""A server that answers in another format would do so again: its answer is not bought twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit.apis import ANTHROPIC, CHAT, GEMINI, OLLAMA, RESPONSES, Api, apis, every_api, sync_modes, whole_modes
from kit.wire import Answer, WireServer, sse

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


FOREIGN = [{"success": False, "reason": "no credit"}, {}, {"fault": {"faultstring": "no credit"}}]


@every_api
@sync_modes
@pytest.mark.parametrize("body", FOREIGN, ids=str)
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain"])
def test_a_streamed_request_is_refused_as_a_plain_one_is(
    server: WireServer, api: Api, mode: str, body: Any, kind: str
) -> None:
    """JSON that is no answer of any API is whole, whatever was asked for, and its words are shown."""
    server.script(Answer([json.dumps(body).encode()], 200, {"content-type": kind}))
    error = refused(server, api, mode)
    assert "no credit" in str(error) or not body


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("api", [RESPONSES, CHAT, ANTHROPIC, GEMINI], ids=repr)
@sync_modes
def test_events_of_no_known_format_last(server: WireServer, api: Api, mode: str, done: bool) -> None:
    """Also framed as events, with an end mark and without."""
    server.script(sse([{"type": "ping"}, FOREIGN[0]], done=done))
    assert "no credit" in str(refused(server, api, mode))


@pytest.mark.parametrize("api", [RESPONSES, CHAT, ANTHROPIC, GEMINI], ids=repr)
def test_a_stream_of_keep_alives_alone_may_be_tried_again(server: WireServer, api: Api) -> None:
    """The answer is missing, and nothing shows that another one would be."""
    server.script(sse([{"type": "ping", "cost": 0}]))
    with pytest.raises(BadReplyError) as caught:
        api.ask("open", server)
    assert caught.value.transient


@pytest.mark.parametrize("junk", [b"[PING]", b"[HEARTBEAT]", b"<keep-alive>", b"[]"])
@apis(OLLAMA)
@sync_modes
def test_keep_alives_as_data_are_ignored(server: WireServer, api: Api, mode: str, junk: bytes) -> None:
    """However a gateway writes them, between the events and around them."""
    answer = api.answer("open", "Oslo.")
    first, *others = answer.body
    line = b"data: " + junk + b"\n\n"
    answer.body = [line, first, line, *others]
    server.script(answer)
    assert api.ask(mode, server) == "Oslo."


@sync_modes
def test_an_answer_of_gemini_without_candidates_lasts(server: WireServer, mode: str) -> None:
    """Nothing in it says that another one would have some."""
    server.script(Answer([b'{"candidates": []}'], 200, {"content-type": "application/json"}))
    refused(server, GEMINI, mode)
