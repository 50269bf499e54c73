"""All HTTP backends, by generated answers: streams equal whole answers, and damage is noticed."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.apis import CHAT, GEMINI, OLLAMA_CHAT, Api, every_api, pieces_of, three_characters
from kit.codec import feed, joined
from kit.generated_answers import ANSWERS, ANY_JSON, damaged

from alloy.errors import BadReplyError, ProviderError
from alloy.messages import ReasoningDelta, Reply, Request, TextDelta, ToolCallDelta


@every_api
@given(data=st.data(), size=st.integers(1, 7))
def test_feeding_a_stream_equals_decoding_the_answer(api: Api, data: st.DataObject, size: int) -> None:
    """The reply is the same, and the deltas are its text, its reasoning and its calls."""
    answer = data.draw(ANSWERS[api])
    reply, deltas = feed(api.backend, api.events(answer, pieces_of(size)))

    assert reply == api.backend.decode(answer)
    assert joined(deltas, TextDelta) == reply.text
    assert joined(deltas, ReasoningDelta) == reply.reasoning
    shown = [(delta.id, delta.name) for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert shown == [(call.id, call.name) for call in reply.calls]
    if api is GEMINI:  # a chunk may hold all parts
        assert feed(api.backend, split(api, [answer]))[0] == reply


def split(api: Api, events: list[Any]) -> list[Any]:
    """*events* as the accumulator gets them."""
    split = api.backend.split  # type: ignore[attr-defined]
    return list(events) if split is None else [part for event in events for part in split(event)]


@every_api
@given(data=st.data())
def test_a_stream_without_its_end_is_not_a_reply(api: Api, data: st.DataObject) -> None:
    """Only the event that ends it proves that a stream is complete."""
    answer = data.draw(ANSWERS[api])
    events = api.events(answer, three_characters)
    usage = api in (CHAT, OLLAMA_CHAT) and "usage" in answer  # which follows the finish reason
    kept = data.draw(st.integers(0, len(events) - 1 - usage))
    with pytest.raises(BadReplyError, match=api.end):
        feed(api.backend, events[:kept])


@every_api
@given(data=st.data())
def test_a_damaged_answer_is_a_reply_or_a_provider_error(api: Api, data: st.DataObject) -> None:
    """Whatever is in the place of a value, reading it and sending it back raises no error of Python."""
    answer = data.draw(st.builds(lambda whole: damaged(data, whole), ANSWERS[api]) | ANY_JSON)
    with suppress(ProviderError):
        reply = api.backend.decode(answer)
        assert isinstance(reply, Reply)
        json.dumps(api.backend.encode(Request(api.model, (reply,))))


@every_api
@given(data=st.data())
def test_a_damaged_stream_is_a_reply_or_a_provider_error(api: Api, data: st.DataObject) -> None:
    """The same for the events of a stream."""
    events = damaged(data, api.events(data.draw(ANSWERS[api]), three_characters))
    with suppress(ProviderError):
        assert isinstance(feed(api.backend, split(api, events))[0], Reply)
