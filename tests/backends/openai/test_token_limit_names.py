"""`max_tokens` and `max_completion_tokens`: the name that a server refuses is replaced, and remembered."""

from __future__ import annotations

from typing import Any

import pytest
from kit.apis import CHAT, Api, every_mode
from kit.wire import WireServer

from alloy.backends.memory import ENTRIES_MAX, forget
from alloy.backends.openai.limits import other_limit, with_limit_name
from alloy.errors import BadRequestError

OLD, NEW = "max_tokens", "max_completion_tokens"

REFUSALS = [
    (OLD, f"Unsupported parameter: '{OLD}' is not supported with this model. Use '{NEW}' instead."),
    (OLD, f"{OLD} is deprecated; use {NEW}"),
    (NEW, f"Unrecognized request argument supplied: {NEW}"),
    (NEW, f"[{{'loc': ['body', '{NEW}'], 'msg': 'Extra inputs are not permitted'}}]"),
    (NEW, f'json: unknown field "{NEW}"'),
]


def models(name: str, mode: str, message: str) -> str:
    """A name of its own for each test, because a refusal is remembered for the process."""
    prefix = "gpt-9" if name == NEW else "deployment"
    return f"{prefix}-{mode}-{abs(hash(message))}"


def ask(api: Api, mode: str, server: WireServer, **options: Any) -> str:
    return api.ask(mode, server, max_tokens=7, **options)


@every_mode
@pytest.mark.parametrize(("refused", "message"), REFUSALS)
def test_a_refused_name_is_replaced_and_remembered(
    server: WireServer, mode: str, refused: str, message: str
) -> None:
    """For that address and model: the next call asks once. No retry is used up for it."""
    model, other = f"openai-chat:{models(refused, mode, message)}", NEW if refused == OLD else OLD
    answers = [CHAT.answer(mode, "ok") for _ in range(3)]
    server.script(CHAT.failure(400, message, None), *answers)

    assert [ask(CHAT, mode, server, model=model) for _ in range(2)] == ["ok", "ok"]
    assert ask(CHAT, mode, server, model=f"{model}-2") == "ok"
    sent = [[name for name in (OLD, NEW) if name in request.json] for request in server.requests]
    assert sent == [[refused], [other], [other], [refused]]
    assert all(7 in (request.json.get(OLD), request.json.get(NEW)) for request in server.requests)


@every_mode
def test_a_server_that_refuses_both_is_asked_twice(server: WireServer, mode: str) -> None:
    """Its second error is the caller's."""
    failures = [CHAT.failure(400, f"'{name}' is not supported", None) for name in (OLD, NEW)]
    server.script(*failures)
    with pytest.raises(BadRequestError, match=NEW):
        ask(CHAT, mode, server, model=f"openai-chat:neither-{mode}")
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, f"{OLD} is too large: 7. This model supports at most 4 completion tokens"),
        (400, "temperature is not supported"),
        (500, f"{OLD} is not supported"),
    ],
)
def test_another_refusal_changes_nothing(server: WireServer, status: int, message: str) -> None:
    """A limit that is too high, another parameter, a failure of the server."""
    server.script(CHAT.failure(status, message, None))
    with pytest.raises(Exception, match=message[:10]):
        ask(CHAT, "send", server, model="openai-chat:other-refusals")
    assert len(server.requests) == 1


def test_what_is_remembered_can_be_forgotten_and_has_a_limit(server: WireServer) -> None:
    """A process that meets ever new models keeps its size; a server may have been updated."""
    refusal = CHAT.failure(400, f"{OLD} is not supported", None)
    answer = CHAT.answer("send", "ok")
    server.always = lambda request: refusal if OLD in request.json else answer

    def requests_of(model: str) -> int:
        before = len(server.requests)
        assert ask(CHAT, "send", server, model=f"openai-chat:{model}") == "ok"
        return len(server.requests) - before

    assert [requests_of("forgotten"), requests_of("forgotten")] == [2, 1]
    forget()
    assert [requests_of("forgotten"), requests_of("forgotten")] == [2, 1]

    for number in range(ENTRIES_MAX + 1):
        with_limit = {"model": str(number), OLD: 7}
        other_limit(with_limit, BadRequestError(f"{OLD} is not supported", provider="p", status=400), "here")
    known = [with_limit_name({"model": str(number), OLD: 7}, "here") for number in range(ENTRIES_MAX + 1)]
    assert 0 < sum(NEW in body for body in known) <= ENTRIES_MAX
