"""What a server or a model writes drives no terminal and begins no line of a log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.apis import RESPONSES, every_api, every_mode
from kit.wire import Answer, WireServer, json_answer

from alloy import AlloyError, AnswerError, ProviderError, ask, tool
from alloy.excerpts import excerpt, printable
from alloy.messages import Reply
from alloy.testing import call, replies

CLEAR, LINE, ZERO_BIDI = "\x1b[2J\x1b]0;title\x07", "\r\n", "\u202egpj.exe\u2066\u200b\ufeff"
HOSTILE = f"nice{LINE}2026-01-01 CRITICAL paid {CLEAR}{ZERO_BIDI}\x9b31m\x00\u2028end"


def unsafe(text: str, allowed: str = "") -> set[str]:
    """The control characters in *text*."""
    return {character for character in text if printable(character) != character} - set(allowed)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What a plain handler writes of the logger `alloy`, at every level."""
    logger, stream = logging.getLogger("alloy"), io.StringIO()
    handler, before = logging.StreamHandler(stream), logger.level
    handler.setFormatter(logging.Formatter("LINE %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(before)


@given(st.text())
def test_printable_text_is_left_and_the_rest_is_escaped(text: str) -> None:
    """Letters of every script and emoji stay."""
    shown = printable(text)
    assert unsafe(shown) == set()
    assert printable("naïve 日本語 नमस्ते 👩\u200d🚀 a\u00a0b") == ("naïve 日本語 नमस्ते 👩\u200d🚀 a\u00a0b")
    assert unsafe(printable(text, lines=True)) <= set("\n\t")
    shown.encode()  # no lone surrogate is left


class Unread(str):
    """A text that cannot be shown."""

    def __repr__(self) -> str:
        raise AssertionError("it is behind what is shown")


def test_an_excerpt_reads_what_it_shows() -> None:
    """Of a value of any size and depth."""
    assert excerpt({"a": [1, None, True, "it's"]}, 80) == repr({"a": [1, None, True, "it's"]})
    assert excerpt(["x" * 60, Unread(), {Unread(): Unread()}], 50) == "['" + "x" * 48 + "…"
    assert excerpt("x" * 10**6, 3) == "'xxx…'"
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert excerpt(deep, 500).startswith("[[[")
    assert excerpt([10**50_000, "y"], 80) == "[…, 'y']"


@every_mode
@every_api
def test_an_error_of_a_server_is_one_printable_line(
    server: WireServer, api: Any, mode: str, log: io.StringIO
) -> None:
    """Its message, code and request id; and so are the lines of the log."""
    header = HOSTILE.replace("\r", "").replace("\n", "").replace("\x00", "").encode().decode("latin-1")
    answers = {
        "refused": json_answer({"error": {"message": HOSTILE, "code": HOSTILE}}, status=400),
        "page": Answer([HOSTILE.encode()], 502, {"content-type": "text/html"}),
        "not JSON": Answer([HOSTILE.encode()], 200, {"content-type": "text/html"}),
        "foreign": json_answer({"x": HOSTILE, HOSTILE: 1}),
        "header": json_answer(
            {"error": {"message": "no"}}, status=500, x_request_id=header, request_id=header
        ),
        "status line": Answer(raw=[b"HTTP/1.1 \x1b[2J OK\r\n\r\n"]),
        "redirect": Answer([], 302, {"location": "/\x1b[2J\u0085".encode().decode("latin-1")}),
    }
    for name, answer in answers.items():
        server.always = lambda _, answer=answer: answer
        with pytest.raises(ProviderError) as caught:
            api.ask(mode, server, retry=1, backoff=0)
        error: BaseException | None = caught.value
        assert unsafe(str(error)) == set(), name
        while error is not None:
            assert unsafe(str(error), "\n") == set(), name
            error = error.__cause__
    assert unsafe(log.getvalue(), "\n") == set()
    assert all(line.startswith("LINE ") for line in log.getvalue().splitlines())


def test_errors_about_answers_are_printable(log: io.StringIO) -> None:
    """Attributes have the text as the model wrote it."""
    answers: list[tuple[Any, Any]] = [
        (HOSTILE, int),
        (json.dumps({HOSTILE: HOSTILE}), dict[str, int]),
        (Reply("", finish="refusal", explanation=HOSTILE), str),
        (Reply(HOSTILE, finish="other", explanation=HOSTILE), str),
        (Reply(HOSTILE, finish="length"), str),
    ]
    for answer, output in answers:
        with replies(answer), pytest.raises(AlloyError) as caught:
            ask(HOSTILE, output=output, reask=0, retry=0)
        assert unsafe(str(caught.value)) == set()
        if isinstance(caught.value, AnswerError) and isinstance(answer, str):
            assert caught.value.text == answer
    assert unsafe(log.getvalue(), "\n") == set()


@tool
def fail(text: str) -> str:
    """Fail."""
    raise ValueError(text)


def test_the_traceback_of_a_tool_in_the_log_is_escaped(log: io.StringIO) -> None:
    """Its exception has the model's arguments; nothing of it begins a line of its own."""
    with replies(call("fail", text=HOSTILE), call(f"fa{HOSTILE}il"), "done"):
        ask("x", tools=[fail])
    shown = log.getvalue()
    assert "ValueError: nice\\r\\n2026" in shown
    assert "in fail" in shown
    assert unsafe(shown, "\n") == set()
    assert not any(line.startswith("2026") for line in shown.splitlines())


def test_a_tool_error_keeps_lines_and_no_control_characters() -> None:
    """With `tool_errors="raise"`."""
    with replies(call("fail", text=HOSTILE)), pytest.raises(AlloyError) as caught:
        ask("x", tools=[fail], tool_errors="raise")
    assert unsafe(str(caught.value), "\n\t") == set()


def test_names_of_models_are_escaped(server: WireServer, log: io.StringIO) -> None:
    """In errors and in the log."""
    server.script(RESPONSES.failure(404, "no such model", "model_not_found"))
    with pytest.raises(ProviderError) as caught:
        RESPONSES.ask("send", server, model=f"openai:{HOSTILE}")
    assert unsafe(str(caught.value)) == set()
    with pytest.raises(AlloyError) as unknown:
        ask("x", model=HOSTILE)
    assert unsafe(str(unknown.value), "\n") == set()
    assert unsafe(log.getvalue(), "\n") == set()


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\x00b", "grüße", "a\u2028b", "a\x1b[2J"])
def test_a_header_that_no_request_can_carry_is_an_error_that_does_not_show_it(value: str) -> None:
    """It names the header."""
    secret = f"{value}{'q' * 9}"
    for headers in ({"x-team": secret}, {"openai": {"x-team": secret}}):
        with pytest.raises(AlloyError, match="x-team") as caught:
            ask("x", headers=headers, backend="fake")
        assert "qqq" not in str(caught.value)
    with pytest.raises(AlloyError) as of_key:
        ask("x", model="openai:gpt-5.6", api_key=secret)
    assert "qqq" not in str(of_key.value)
    with pytest.raises(AlloyError) as of_name:
        ask("x", headers={value: "1"}, backend="fake")
    assert unsafe(str(of_name.value)) == set()
