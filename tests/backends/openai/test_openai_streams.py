"""By generated data: feeding a reply's events equals decoding it whole, and nonsense is no answer."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kit.codec import feed, joined
from kit.wire import openai as says

from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.errors import (
    ProviderError,
)
from alloy.messages import (
    ReasoningDelta,
    Reply,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolSchema,
)

RESPONSES, CHAT = OpenAIBackend(), OpenAIChatBackend()
BOTH = [RESPONSES, CHAT]

CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
ADD = ToolSchema("add", "Add two numbers.", CLOSED)
LOOSE = ToolSchema("log", "", {"type": "object"})
CALL = ToolCall("call_1", "add", '{"a": 1}')


# --- feeding equals decoding --------------------------------------------------------------------------

TEXT = st.text(max_size=30)
SOME = st.text(min_size=1, max_size=30)
NAME = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
ARGUMENTS = st.dictionaries(SOME, st.integers() | SOME | st.none(), max_size=3).map(
    lambda value: json.dumps(value, ensure_ascii=False)
)
COUNTS = st.tuples(*[st.integers(0, 10**6)] * 4)
CUTS = st.integers(1, 7)


@st.composite
def responses(draw: st.DrawFn) -> dict[str, Any]:
    """Any finished response, its items in any order."""
    message = st.builds(
        lambda text, phase, refusal: says.message(text, phase=phase, refusal=refusal),
        SOME,
        st.sampled_from([None, "commentary", "final_answer"]),
        st.sampled_from(["", "", "", "I would rather not."]),
    )
    ids = iter(range(100))
    call = st.builds(lambda name, args: says.function_call(name, args, f"call_{next(ids)}"), NAME, ARGUMENTS)
    thought = st.lists(SOME, max_size=3).map(lambda parts: says.reasoning(*parts))
    odd = st.just({"type": "web_search_call", "id": "ws_1"})
    items = draw(st.lists(st.one_of(message, call, thought, odd), max_size=5))
    ending = draw(
        st.sampled_from(
            [
                {},
                {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
                {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            ]
        )
    )
    return says.response(*items, usage=draw(COUNTS), **ending)


@st.composite
def completions(draw: st.DrawFn) -> dict[str, Any]:
    """Any finished completion."""
    named = draw(st.lists(st.tuples(NAME, ARGUMENTS), max_size=3))
    return says.completion(
        text=draw(TEXT),
        calls=[(name, arguments, f"call_{number}") for number, (name, arguments) in enumerate(named)],
        thoughts=draw(TEXT),
        refusal=draw(st.sampled_from([None, None, "I would rather not."])),
        finish=draw(st.sampled_from([None, "stop", "length", "content_filter"])),
        usage=draw(st.none() | COUNTS),
    )


def cut_at(size: int) -> says.Pieces:
    return lambda text: [text[start : start + size] for start in range(0, len(text), size)]


@given(responses(), CUTS)
def test_feeding_a_response_equals_decoding_it(answer: dict[str, Any], size: int):
    """Streamed or not, the reply is the same, and its deltas are its text, its reasoning and its calls."""
    reply, deltas = feed(RESPONSES, says.events(answer, cut_at(size)))

    assert reply == RESPONSES.decode(answer)
    assert joined(deltas, TextDelta) == reply.text
    assert joined(deltas, ReasoningDelta) == reply.reasoning
    told = [(delta.id, delta.name) for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert told == [(call.id, call.name) for call in reply.calls]


@given(completions(), CUTS)
def test_feeding_a_completion_equals_decoding_it(answer: dict[str, Any], size: int):
    """Streamed or not, the reply is the same, and its deltas are its text, its reasoning and its calls."""
    reply, deltas = feed(CHAT, says.chunks(answer, cut_at(size)))

    assert reply == CHAT.decode(answer)
    assert joined(deltas, TextDelta) == reply.text
    assert joined(deltas, ReasoningDelta) == reply.reasoning
    told = [(delta.id, delta.name) for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert told == [(call.id, call.name) for call in reply.calls]


# --- nonsense -----------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | SOME,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside of *value*."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in inner for found in places(item, (*path, key)))]


def damaged(data: st.DataObject, whole: Any) -> Any:
    """*whole* with one value in it, anywhere, replaced by any JSON."""
    path = data.draw(st.sampled_from(places(whole)[1:]))
    whole = copy.deepcopy(whole)
    target = whole
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = data.draw(JSON)
    return whole


@given(st.data(), st.sampled_from(["responses", "chat"]))
def test_damaged_answers_are_replies_or_provider_errors(data: st.DataObject, api: str):
    """Whatever stands in the place of a value, reading it raises nothing of Python's."""
    backend, make = (RESPONSES, responses()) if api == "responses" else (CHAT, completions())
    answer = damaged(data, data.draw(make))
    with suppress(ProviderError):
        assert isinstance(backend.decode(answer), Reply)


@given(st.data(), st.sampled_from(["responses", "chat"]))
def test_damaged_events_are_replies_or_provider_errors(data: st.DataObject, api: str):
    """The same for the events of a stream."""
    backend, make = (RESPONSES, responses()) if api == "responses" else (CHAT, completions())
    render = says.events if api == "responses" else says.chunks
    events = damaged(data, render(data.draw(make)))
    with suppress(ProviderError):
        assert isinstance(feed(backend, events)[0], Reply)
