"""Values of every kind come back equal: from an answer, from a tool's arguments, in every dialect."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.codec import feed
from kit.dialects import every_dialect, written
from kit.kind_table import ROWS, Row
from kit.kinds import said
from kit.made_types import Made, made_types
from kit.wire import anthropic, gemini, ollama, openai

from alloy._typed.answers.parse import read
from alloy._typed.schemas.dialects import Dialect, to_wire
from alloy._typed.types.compile import compile_type
from alloy._typed.types.signature import compile_signature
from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.backends.gemini.content import GeminiBackend
from alloy.backends.ollama.chat import OllamaBackend
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend

pytestmark = pytest.mark.slow
quick = settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
every_kind = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@every_dialect
@every_kind
@quick
@given(data=st.data())
def test_an_answer_comes_back(row: Row, dialect: Dialect, data: st.DataObject) -> None:
    """What a model says for a value reads as that value, of the same class."""
    value = data.draw(row.values)
    spec = compile_type(row.annotation, row.namespace)
    assert spec.schema is not None
    plain = {"value": said(value)} if spec.wrapped else said(value)

    found = read(spec, written(plain, spec.schema, dialect), to_wire(spec.schema, dialect))

    assert found == value
    assert type(found) is type(value)


@every_dialect
@every_kind
@quick
@given(data=st.data())
def test_an_argument_comes_back(row: Row, dialect: Dialect, data: st.DataObject) -> None:
    """The same as a tool's parameter."""

    def tool(part: Any) -> None: ...

    tool.__annotations__["part"] = row.annotation
    value = data.draw(row.values)
    signature = compile_signature(tool, namespace=row.namespace)

    text = written({"part": said(value)}, signature.schema, dialect)

    assert signature.read(text, to_wire(signature.schema, dialect)) == {"part": value}


@every_dialect
@settings(quick, max_examples=60)
@given(made=made_types(), data=st.data())
def test_values_of_made_up_types_come_back(dialect: Dialect, made: Made, data: st.DataObject) -> None:
    """However kinds are put into one another."""
    annotation, values = made
    value = data.draw(values)
    spec = compile_type(annotation)
    assert spec.schema is not None
    plain = {"value": said(value)} if spec.wrapped else said(value)

    assert read(spec, written(plain, spec.schema, dialect), to_wire(spec.schema, dialect)) == value


# --- streamed ----------------------------------------------------------------------------------------

Cut = Callable[[str], Sequence[str]]
Speaks = Callable[[str, str, Cut], list[Any]]

# Each backend, and how its provider streams a text and a call with those arguments.
SPEAKERS: dict[str, tuple[Any, Speaks]] = {
    "openai": (
        OpenAIBackend(),
        lambda text, given, cut: openai.events(openai.response(text=text, calls=[("tool", given)]), cut),
    ),
    "openai-chat": (
        OpenAIChatBackend(),
        lambda text, given, cut: openai.chunks(openai.completion(text=text, calls=[("tool", given)]), cut),
    ),
    "anthropic": (
        AnthropicBackend(),
        lambda text, given, cut: anthropic.events(
            anthropic.message(text=text, calls=[("tool", json.loads(given))]), cut
        ),
    ),
    "gemini": (
        GeminiBackend(),
        lambda text, given, cut: gemini.chunks(
            gemini.content(text=text, calls=[("tool", json.loads(given))]), cut
        ),
    ),
    "ollama": (
        OllamaBackend(),
        lambda text, given, cut: ollama.events(
            ollama.answer(text=text, calls=[("tool", json.loads(given))]), cut
        ),
    ),
}


@pytest.mark.parametrize("name", sorted(SPEAKERS))
@settings(quick, max_examples=150)
@given(row=st.sampled_from(ROWS), data=st.data())
def test_streamed_values_come_back(name: str, row: Row, data: st.DataObject) -> None:
    """An answer and a call's arguments, in random pieces, through the provider's own accumulator."""

    def tool(part: Any) -> None: ...

    def cut(text: str) -> list[str]:
        ends = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)) | {0, len(text)})
        return [text[start:end] for start, end in pairwise(ends)]

    tool.__annotations__["part"] = row.annotation
    backend, speaks = SPEAKERS[name]
    value = data.draw(row.values)
    spec, signature = (
        compile_type(row.annotation, row.namespace),
        compile_signature(tool, namespace=row.namespace),
    )
    assert spec.schema is not None
    plain = {"value": said(value)} if spec.wrapped else said(value)
    answer = written(plain, spec.schema, backend.dialect)
    arguments = written({"part": said(value)}, signature.schema, backend.dialect)

    reply, _ = feed(backend, speaks(answer, arguments, cut))

    assert read(spec, reply.text, to_wire(spec.schema, backend.dialect)) == value
    (call,) = reply.calls
    assert signature.read(call.arguments, to_wire(signature.schema, backend.dialect)) == {"part": value}
